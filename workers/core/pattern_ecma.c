/* pattern_ecma — an expression of ECMA-262 said in PCRE2's words, one token after another. */
#include "core/pattern.h"
#include "core/utf8.h"

#include <string.h>

/* White space and line ends of ECMA-262 (12.2, 12.3), as the inside of a class. */
#define SPACES                                                                                     \
    "\\x09-\\x0d\\x20\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"        \
    "\\x{3000}\\x{feff}"

struct reader {
    const char *s;
    size_t n, at;
    bool in_class;
    int quantified; /* 0 nothing to make lazy, 1 after a quantifier, 2 after its "?" */
    struct buf *out;
    struct err *err;
};

/* Long names of general categories, which PCRE2 knows by their short names only. */
static const struct {
    const char *name, *category;
} categories[] = {
    {"Letter", "L"},
    {"Cased_Letter", "L&"},
    {"LC", "L&"},
    {"Uppercase_Letter", "Lu"},
    {"Lowercase_Letter", "Ll"},
    {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"},
    {"Other_Letter", "Lo"},
    {"Mark", "M"},
    {"Combining_Mark", "M"},
    {"Nonspacing_Mark", "Mn"},
    {"Spacing_Mark", "Mc"},
    {"Enclosing_Mark", "Me"},
    {"Number", "N"},
    {"Decimal_Number", "Nd"},
    {"digit", "Nd"},
    {"Letter_Number", "Nl"},
    {"Other_Number", "No"},
    {"Punctuation", "P"},
    {"punct", "P"},
    {"Connector_Punctuation", "Pc"},
    {"Dash_Punctuation", "Pd"},
    {"Open_Punctuation", "Ps"},
    {"Close_Punctuation", "Pe"},
    {"Initial_Punctuation", "Pi"},
    {"Final_Punctuation", "Pf"},
    {"Other_Punctuation", "Po"},
    {"Symbol", "S"},
    {"Math_Symbol", "Sm"},
    {"Currency_Symbol", "Sc"},
    {"Modifier_Symbol", "Sk"},
    {"Other_Symbol", "So"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Line_Separator", "Zl"},
    {"Paragraph_Separator", "Zp"},
    {"Other", "C"},
    {"Control", "Cc"},
    {"cntrl", "Cc"},
    {"Format", "Cf"},
    {"Surrogate", "Cs"},
    {"Private_Use", "Co"},
    {"Unassigned", "Cn"},
};

static bool bad(struct reader *r, const char *what)
{
    return err_set(r->err, ERR_BAD_INPUT, "not a regular expression: %s at byte %zu", what, r->at);
}

static int peek(const struct reader *r, size_t ahead)
{
    return r->at + ahead < r->n ? (uint8_t)r->s[r->at + ahead] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static int hex_value(int c)
{
    if (is_digit(c))
        return c - '0';
    if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
        return (c | 0x20) - 'a' + 10;
    return -1;
}

/* Exactly `digits` hexadecimal digits at the reader's place. */
static bool read_hex(struct reader *r, int digits, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < digits; i++) {
        int d = hex_value(peek(r, (size_t)i));
        if (d < 0)
            return bad(r, "too few hexadecimal digits");
        v = v << 4 | (uint32_t)d;
    }
    r->at += (size_t)digits;
    *out = v;
    return true;
}

static bool put_char(struct reader *r, uint32_t c)
{
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return bad(r, "no such character");
    buf_printf(r->out, "\\x{%x}", (unsigned)c);
    return true;
}

/* The second half of a surrogate pair, "\uDC32", when it is there. */
static bool read_low(struct reader *r, uint32_t *c)
{
    if (peek(r, 0) != '\\' || peek(r, 1) != 'u' || (peek(r, 2) | 0x20) != 'd')
        return true;
    uint32_t low = 0;
    r->at += 2;
    if (!read_hex(r, 4, &low))
        return false;
    if (low < 0xdc00)
        return bad(r, "half a surrogate pair");
    *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static bool unicode_escape(struct reader *r)
{
    uint32_t c = 0;
    if (peek(r, 0) != '{')
        return read_hex(r, 4, &c) && (c < 0xd800 || c >= 0xdc00 || read_low(r, &c)) &&
               put_char(r, c);
    size_t digits = 0;
    while (hex_value(peek(r, 1 + digits)) >= 0)
        digits++;
    r->at++;
    if (digits == 0 || digits > 8 || peek(r, digits) != '}')
        return bad(r, "\\u{ without a code point and }");
    bool ok = read_hex(r, (int)digits, &c);
    r->at++;
    return ok && put_char(r, c);
}

static const char *category_of(const char *name, size_t n)
{
    for (size_t i = 0; i < LEN(categories); i++)
        if (strlen(categories[i].name) == n && !memcmp(categories[i].name, name, n))
            return categories[i].category;
    return NULL;
}

static bool has_prefix(const char *s, size_t n, const char *prefix)
{
    return n >= strlen(prefix) && !memcmp(s, prefix, strlen(prefix));
}

/* \p{L} \p{Letter} \p{gc=Letter} \p{Script=Greek} \p{sc=Greek} \p{scx=Greek} \p{Alphabetic} */
static bool property_escape(struct reader *r, char letter)
{
    const char *end = peek(r, 0) == '{' ? memchr(r->s + r->at, '}', r->n - r->at) : NULL;
    if (!end)
        return bad(r, "\\p without {property}");
    const char *name = r->s + r->at + 1;
    size_t n = (size_t)(end - name);
    r->at += n + 2;
    static const char *const general[] = {"General_Category=", "gc="};
    for (size_t i = 0; i < LEN(general); i++)
        if (has_prefix(name, n, general[i])) {
            n -= strlen(general[i]);
            name += strlen(general[i]);
        }
    const char *script = memchr(name, '=', n);
    const char *category = category_of(name, n);
    if (category)
        buf_printf(r->out, "\\%c{%s}", letter, category);
    else if (script)
        buf_printf(r->out, "\\%c{%s:%.*s}", letter,
                   has_prefix(name, n, "Script_Extensions=") || has_prefix(name, n, "scx=") ? "scx"
                                                                                            : "sc",
                   (int)(name + n - script - 1), script + 1);
    else
        buf_printf(r->out, "\\%c{%.*s}", letter, (int)n, name);
    return true;
}

static bool space_escape(struct reader *r, char letter)
{
    if (!r->in_class)
        buf_printf(r->out, "[%s%s]", letter == 'S' ? "^" : "", SPACES);
    else if (letter == 's')
        buf_str(r->out, SPACES);
    else
        return bad(r, "\\S inside [...] is not supported");
    return true;
}

static bool control_escape(struct reader *r)
{
    int c = peek(r, 0);
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
        return bad(r, "\\c without a letter");
    r->at++;
    return put_char(r, (uint32_t)c & 0x1f);
}

static bool reference_escape(struct reader *r, char first)
{
    if (r->in_class)
        return bad(r, "a back-reference inside [...]");
    unsigned group = (unsigned)(first - '0');
    for (; is_digit(peek(r, 0)) && group < 1000; r->at++)
        group = group * 10 + (unsigned)(peek(r, 0) - '0');
    buf_printf(r->out, "\\g{%u}", group);
    return true;
}

static bool is_name_char(int c)
{
    return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "<name>" at the reader's place, copied as it is. */
static bool group_name(struct reader *r)
{
    size_t n = 1;
    while (is_name_char(peek(r, n)))
        n++;
    if (peek(r, 0) != '<' || n == 1 || peek(r, n) != '>')
        return bad(r, "a group without <name>");
    buf_put(r->out, r->s + r->at, n + 1);
    r->at += n + 1;
    return true;
}

static bool name_escape(struct reader *r)
{
    if (r->in_class)
        return bad(r, "a back-reference inside [...]");
    buf_str(r->out, "\\k");
    return group_name(r);
}

static bool hex_escape(struct reader *r)
{
    uint32_t c = 0;
    return read_hex(r, 2, &c) && put_char(r, c);
}

static bool zero_escape(struct reader *r)
{
    return is_digit(peek(r, 0)) ? bad(r, "an octal escape") : put_char(r, 0);
}

static bool literal_escape(struct reader *r, char c)
{
    const char *as_they_are = r->in_class ? "dDwWbtnrf" : "dDwWbBtnrf";
    if (!strchr(as_they_are, c) && !strchr("^$\\.*+?()[]{}|/-", c)) {
        r->at -= 2;
        return bad(r, "an escape that ECMA-262 does not know");
    }
    buf_printf(r->out, "\\%c", c);
    return true;
}

static bool escape(struct reader *r)
{
    if (r->at == r->n || r->s[r->at] == '\0')
        return bad(r, "a backslash at the end");
    char c = r->s[r->at++];
    switch (c) {
    case 's':
    case 'S':
        return space_escape(r, c);
    case 'p':
    case 'P':
        return property_escape(r, c);
    case 'u':
        return unicode_escape(r);
    case 'x':
        return hex_escape(r);
    case 'c':
        return control_escape(r);
    case 'v':
        return put_char(r, 0x0b); /* PCRE2's \v is a class */
    case '0':
        return zero_escape(r);
    case 'k':
        return name_escape(r);
    default:
        return c >= '1' && c <= '9' ? reference_escape(r, c) : literal_escape(r, c);
    }
}

static bool class_char(struct reader *r, char c)
{
    if (c == ']')
        r->in_class = false;
    if (c == '[') /* PCRE2 would look for [:name:] */
        buf_str(r->out, "\\[");
    else
        buf_put(r->out, &c, 1);
    return true;
}

static bool class_begin(struct reader *r)
{
    r->in_class = true;
    buf_str(r->out, "[");
    if (peek(r, 0) == '^') {
        buf_str(r->out, "^");
        r->at++;
    }
    return true;
}

/* (…) (?:…) (?=…) (?!…) (?<=…) (?<!…) (?<name>…), and nothing of PCRE2's own. */
static bool group_begin(struct reader *r)
{
    buf_str(r->out, "(");
    if (peek(r, 0) == '*')
        return bad(r, "nothing to repeat");
    if (peek(r, 0) != '?')
        return true;
    static const char *const kinds[] = {"?:", "?=", "?!", "?<=", "?<!"};
    for (size_t i = 0; i < LEN(kinds); i++)
        if (has_prefix(r->s + r->at, r->n - r->at, kinds[i])) {
            buf_str(r->out, kinds[i]);
            r->at += strlen(kinds[i]);
            return true;
        }
    r->at++;
    buf_str(r->out, "?");
    return group_name(r);
}

/* {n} {n,} {n,m}, the brace already read. */
static bool braces(struct reader *r)
{
    size_t n = 0, digits = 0;
    for (; is_digit(peek(r, n)); n++)
        digits++;
    if (digits > 0 && peek(r, n) == ',')
        for (n++; is_digit(peek(r, n)); n++)
            ;
    if (digits == 0 || peek(r, n) != '}')
        return bad(r, "{ without {n}, {n,} or {n,m}");
    buf_str(r->out, "{");
    buf_put(r->out, r->s + r->at, n + 1);
    r->at += n + 1;
    return true;
}

static bool quantifier(struct reader *r, char c)
{
    if (r->quantified == 2 || (r->quantified == 1 && c != '?'))
        return bad(r, "nothing to repeat");
    r->quantified++;
    if (c == '{')
        return braces(r);
    buf_put(r->out, &c, 1);
    return true;
}

static bool token(struct reader *r)
{
    char c = r->s[r->at++];
    if (r->in_class && c != '\\')
        return class_char(r, c);
    if (c && strchr("*+?{", c))
        return quantifier(r, c);
    r->quantified = 0;
    switch (c) {
    case '\\':
        return escape(r);
    case '[':
        return class_begin(r);
    case '(':
        return group_begin(r);
    case '.':
        buf_str(r->out, "[^\\n\\r\\x{2028}\\x{2029}]");
        return true;
    case ']':
    case '}':
        return bad(r, "a bracket that nothing opens");
    default:
        buf_put(r->out, &c, 1);
        return true;
    }
}

bool pattern_translate(const char *s, size_t n, struct buf *out, struct err *err)
{
    if (n > PATTERN_BYTES_MAX)
        return err_set(err, ERR_BAD_INPUT, "a regular expression longer than %d bytes",
                       PATTERN_BYTES_MAX);
    if (!utf8_valid(s, n))
        return err_set(err, ERR_BAD_INPUT, "a regular expression that is not UTF-8");
    struct reader r = {.s = s, .n = n, .out = out, .err = err};
    while (r.at < r.n)
        if (!token(&r))
            return false;
    if (r.in_class)
        return bad(&r, "[ without ]");
    return buf_ok(out) || err_set(err, ERR_NO_MEMORY, "regular expression");
}
