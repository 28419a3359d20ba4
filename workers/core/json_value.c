#include "core/json_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- parsing */

/* Looks over the text before it is parsed: how deep is it, and does any number have a fraction or
 * an exponent? A stack of our own depth cannot overflow here, whatever the text. */
struct scan {
    int depth, deepest;
    bool reals;
};

static struct scan scan_text(const char *s, size_t n)
{
    struct scan scan = {0};
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (in_string) {
            if (c == '\\')
                i++;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++scan.depth > scan.deepest)
                scan.deepest = scan.depth;
        } else if (c == '}' || c == ']') {
            scan.depth--;
        } else if (c == '.' || ((c | 0x20) == 'e' && i > 0 && s[i - 1] >= '0' && s[i - 1] <= '9')) {
            scan.reals = true;
        }
    }
    return scan;
}

static const char *parse_problem(enum json_error_code code)
{
    static const struct {
        enum json_error_code code;
        const char *what;
    } rows[] = {
        {json_error_duplicate_key, "has the same key twice in one object"},
        {json_error_numeric_overflow,
         "has a number beyond 64-bit integers or double-precision reals"},
        {json_error_invalid_utf8, "is not UTF-8"},
        {json_error_null_character, "has a NUL in a string"},
        {json_error_null_byte_in_key, "has a NUL in a key"},
        {json_error_premature_end_of_input, "ends too early"},
        {json_error_end_of_input_expected, "goes on after its value"},
        {json_error_invalid_syntax, "is not JSON"},
    };
    for (size_t i = 0; i < LEN(rows); i++)
        if (rows[i].code == code)
            return rows[i].what;
    return "is not JSON";
}

static bool whole(double d)
{
    return d >= -9223372036854775808.0 && d < 9223372036854775808.0 && d == floor(d);
}

static json_t *whole_of(const json_t *v)
{
    return json_is_real(v) && whole(json_real_value(v))
               ? json_integer((json_int_t)json_real_value(v))
               : NULL;
}

/* Replaces whole reals inside v, which is at most JSON_DEPTH_MAX deep. */
static bool make_integers(json_t *v)
{
    const char *key;
    void *next;
    json_t *item, *number;
    json_object_foreach_safe(v, next, key, item)
    {
        number = whole_of(item);
        if (number ? json_object_set_new_nocheck(v, key, number) != 0 : !make_integers(item))
            return false;
    }
    size_t index;
    json_array_foreach(v, index, item)
    {
        number = whole_of(item);
        if (number ? json_array_set_new(v, index, number) != 0 : !make_integers(item))
            return false;
    }
    return true;
}

json_t *json_value_parse(const void *text, size_t n, struct err *err)
{
    const char *s = n > 0 ? text : "";
    struct scan scan = scan_text(s, n);
    if (scan.deepest > JSON_DEPTH_MAX) {
        err_set(err, ERR_JSON_MALFORMED, "is nested deeper than %d levels", JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t error;
    auto_json json_t *v = json_loadb(s, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!v) {
        err_set(err, ERR_JSON_MALFORMED, "%s, at byte %d", parse_problem(json_error_code(&error)),
                error.position);
        return NULL;
    }
    if (scan.reals) {
        json_t *number = whole_of(v);
        if (number) {
            json_decref(v);
            v = number;
        } else if (!make_integers(v)) {
            err_set(err, ERR_NO_MEMORY, "JSON of %zu bytes", n);
            return NULL;
        }
    }
    return take(v);
}

/* ---- comparing */

static bool object_equal(const json_t *a, const json_t *b, int64_t *steps)
{
    const char *key;
    json_t *v;
    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)a, key, v)
    {
        const json_t *other = json_object_get(b, key);
        if (!other || !json_value_equal(v, other, steps))
            return false;
    }
    return true;
}

static bool array_equal(const json_t *a, const json_t *b, int64_t *steps)
{
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!json_value_equal(json_array_get(a, i), json_array_get(b, i), steps))
            return false;
    return true;
}

bool json_value_equal(const json_t *a, const json_t *b, int64_t *steps)
{
    if (*steps <= 0)
        return false;
    --*steps;
    if (json_is_number(a) && json_is_number(b))
        return json_number_compare(a, b) == 0;
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_string(a))
        return json_string_length(a) == json_string_length(b) &&
               !memcmp(json_string_value(a), json_string_value(b), json_string_length(a));
    if (json_is_object(a))
        return object_equal(a, b, steps);
    return !json_is_array(a) || array_equal(a, b, steps);
}

static int sign_of(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_mixed(int64_t i, double d)
{
    if (d >= 9223372036854775808.0)
        return -1;
    if (d < -9223372036854775808.0)
        return 1;
    double down = floor(d);
    int order = sign_of(i, (int64_t)down);
    return order ? order : down < d ? -1 : 0;
}

int json_number_compare(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b))
        return sign_of(json_integer_value(a), json_integer_value(b));
    if (json_is_integer(a))
        return compare_mixed(json_integer_value(a), json_real_value(b));
    if (json_is_integer(b))
        return -compare_mixed(json_integer_value(b), json_real_value(a));
    double x = json_real_value(a), y = json_real_value(b);
    return x < y ? -1 : x > y;
}

bool json_number_integral(const json_t *v)
{
    return json_is_integer(v) ||
           (json_is_real(v) && json_real_value(v) == floor(json_real_value(v)));
}

/* ---- multiples. A number is digits × 10^exponent, the digits being the fewest that name the
 * double: what the sender wrote, unless it wrote more digits than a double holds. */

struct decimal {
    uint64_t digits;
    int exponent;
};

static struct decimal decimal_of_real(double d)
{
    char text[32];
    int precision = 14; /* digits after the first; 15 are always exact, 17 always enough */
    do
        snprintf(text, sizeof text, "%.*e", precision, d);
    while (strtod(text, NULL) != d && ++precision <= 16);
    struct decimal r = {0, 0};
    const char *p = text;
    for (int fraction = 0; *p && *p != 'e'; p++) {
        fraction |= *p == '.';
        if (*p < '0' || *p > '9')
            continue;
        r.digits = r.digits * 10 + (uint64_t)(*p - '0');
        r.exponent -= fraction;
    }
    r.exponent += *p ? (int)strtol(p + 1, NULL, 10) : 0;
    return r;
}

static struct decimal decimal_of(const json_t *v)
{
    struct decimal r = {0, 0};
    if (json_is_real(v)) {
        r = decimal_of_real(fabs(json_real_value(v)));
    } else {
        int64_t i = json_integer_value(v);
        r.digits = i < 0 ? -(uint64_t)i : (uint64_t)i;
    }
    while (r.digits > 0 && r.digits % 10 == 0) {
        r.digits /= 10;
        r.exponent++;
    }
    return r;
}

bool json_number_multiple(const json_t *v, const json_t *step)
{
    struct decimal a = decimal_of(v), b = decimal_of(step);
    if (a.digits == 0)
        return true;
    int shift = a.exponent - b.exponent;
    /* Beyond 19 places the step's digits × 10^places exceed any 64-bit digits. */
    if (shift < -19)
        return false;
    unsigned __int128 step_digits = b.digits;
    for (; shift < 0; shift++)
        step_digits *= 10;
    unsigned __int128 rest = a.digits % step_digits;
    for (; shift > 0 && rest != 0; shift--) /* here step_digits is b.digits: no overflow */
        rest = rest * 10 % step_digits;
    return rest == 0;
}
