#include "line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"

const struct option global_options[] = {
    {"json", NULL, "one JSON document for programs instead of text", OPT_FLAG, 0, 0, false},
    {"config", "FILE", "configuration file (environment and flags go before it)", OPT_TEXT, 0, 0,
     false},
    {"no-color", NULL, "no colours, as with NO_COLOR", OPT_FLAG, 0, 0, false},
    {"help", NULL, "help about the command", OPT_FLAG, 0, 0, false},
    {0},
};

static const char *const conf_keys[] = {
#define CONF(key, type, def, min, max, flags, help) #key,
#include "core/conf.def"
#undef CONF
    NULL,
};

/* ---- small parsers ---- */

bool number_parse(const char *s, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (end == s || *end || errno || *s == ' ' || *s == '+')
        return false;
    *out = v;
    return true;
}

bool duration_parse(const char *s, int64_t *out_ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    errno = 0;
    if (*s < '0' || *s > '9')
        return false;
    long long v = strtoll(s, &end, 10);
    if (errno)
        return false;
    for (size_t i = 0; i < LEN(units); i++)
        if (!strcmp(end, units[i].name))
            return !__builtin_mul_overflow((int64_t)v, units[i].ms, out_ms);
    return false;
}

bool time_parse(const char *s, int64_t now_ms, int64_t *out_ms)
{
    int64_t ms;
    if (*s != '+' && *s != '-')
        return clock_parse(s, strlen(s), out_ms);
    if (!duration_parse(s + 1, &ms))
        return false;
    return *s == '+' ? !__builtin_add_overflow(now_ms, ms, out_ms)
                     : !__builtin_sub_overflow(now_ms, ms, out_ms);
}

/* ---- which action ---- */

static size_t stem(const char *noun)
{
    size_t n = strlen(noun);
    return n > 1 && noun[n - 1] == 's' ? n - 1 : n;
}

static bool same_noun(const char *a, const char *b)
{
    return stem(a) == stem(b) && !strncmp(a, b, stem(a));
}

/* The name of an option without dashes and value, with '-' for '_'; false when it is too long to
 * be one. */
static bool option_name(const char *word, char *out, size_t bytes)
{
    size_t n = strcspn(word + 2, "=");
    if (n >= bytes)
        return false;
    for (size_t i = 0; i < n; i++) {
        out[i] = word[2 + i];
        if (out[i] == '_')
            out[i] = '-';
    }
    out[n] = 0;
    return true;
}

/* The configuration key of that option name, or NULL. */
static const char *conf_key(const char *name)
{
    for (const char *const *key = conf_keys; *key; key++) {
        size_t i = 0;
        while ((*key)[i] && name[i] == ((*key)[i] == '_' ? '-' : (*key)[i]))
            i++;
        if (!(*key)[i] && !name[i])
            return *key;
    }
    return NULL;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1];
}

/* Words of a line that stands before any action is known: options take a value when they are
 * global ones that do. */
static size_t first_words(int argc, char **argv, const char *out[static 2])
{
    size_t n = 0;
    for (int i = 1; i < argc && n < 2; i++) {
        char name[64];
        if (!strcmp(argv[i], "--"))
            break;
        if (!is_option(argv[i])) {
            out[n++] = argv[i];
            continue;
        }
        if (argv[i][1] == '-' && !strchr(argv[i], '=') && option_name(argv[i], name, sizeof name) &&
            (!strcmp(name, "config") || conf_key(name)))
            i++;
    }
    return n;
}

static void suggest_noun(const struct action *actions, const char *noun, struct err *err)
{
    const char *names[LINE_WORDS_MAX + 1] = {0};
    size_t n = 0;
    for (const struct action *a = actions; a->noun && n < LINE_WORDS_MAX; a++)
        names[n++] = a->noun;
    const char *near = nearest(noun, names);
    if (near)
        (void)err_set(err, ERR_CONF_INVALID,
                      "no such command: %.64s. Did you mean `drawbridge %s`?", noun, near);
    else
        (void)err_set(err, ERR_CONF_INVALID,
                      "no such command: %.64s. `drawbridge help` lists them.", noun);
}

static void suggest_verb(const struct action *actions, const char *noun, const char *verb,
                         struct err *err)
{
    const char *names[LINE_WORDS_MAX + 1] = {0};
    char all[256] = "";
    size_t n = 0, used = 0;
    for (const struct action *a = actions; a->noun && n < LINE_WORDS_MAX; a++)
        if (same_noun(a->noun, noun)) {
            noun = a->noun;
            int more = snprintf(all + used, sizeof all - used, "%s%s", n ? ", " : "", a->verb);
            used = more < 0 || (size_t)more >= sizeof all - used ? used : used + (size_t)more;
            names[n++] = a->verb;
        }
    const char *near = verb ? nearest(verb, names) : NULL;
    if (near)
        (void)err_set(err, ERR_CONF_INVALID,
                      "no such command: %s %.64s. Did you mean `drawbridge %s %s`?", noun, verb,
                      noun, near);
    else if (verb)
        (void)err_set(err, ERR_CONF_INVALID, "no such command: %s %.64s. There are: %s.", noun,
                      verb, all);
    else
        (void)err_set(err, ERR_CONF_INVALID, "`drawbridge %s` wants one of: %s.", noun, all);
}

const struct action *line_find(const struct action *actions, int argc, char **argv, struct err *err)
{
    const char *words[2] = {0};
    bool noun_known = false;
    if (!first_words(argc, argv, words)) {
        (void)err_set(err, ERR_CONF_INVALID, "no command given. `drawbridge help` lists them.");
        return NULL;
    }
    for (const struct action *a = actions; a->noun; a++) {
        if (!same_noun(a->noun, words[0]))
            continue;
        noun_known = true;
        if (!a->verb || (words[1] && !strcmp(a->verb, words[1])))
            return a;
    }
    if (noun_known)
        suggest_verb(actions, words[0], words[1], err);
    else
        suggest_noun(actions, words[0], err);
    return NULL;
}

/* ---- one action's line ---- */

static const struct option *find_in(const struct option *options, const char *name)
{
    for (const struct option *o = options; o && o->name; o++)
        if (!strcmp(o->name, name))
            return o;
    return NULL;
}

static bool bad_value(const struct option *o, const char *text, struct err *err)
{
    if (o->type == OPT_INT)
        return err_set(err, ERR_CONF_INVALID, "--%s: %.64s is not a whole number from %lld to %lld",
                       o->name, text, (long long)o->min, (long long)o->max);
    return err_set(err, ERR_CONF_INVALID, "--%s: %.64s is no duration like 500ms, 30s, 5m or 2h",
                   o->name, text);
}

static bool read_value(const struct option *o, const char *text, int64_t *out, struct err *err)
{
    bool ok = true;
    if (o->type == OPT_INT)
        ok = number_parse(text, out) && *out >= o->min && *out <= o->max;
    else if (o->type == OPT_DURATION || o->type == OPT_SECONDS_MAYBE)
        ok = duration_parse(text, out);
    return ok || bad_value(o, text, err);
}

static bool add_option(struct line *a, const struct option *o, const char *text, struct err *err)
{
    int64_t number = 0;
    if (text && !read_value(o, text, &number, err))
        return false;
    if (!text && o->type == OPT_SECONDS_MAYBE)
        number = o->min;
    if (!o->many && line_has(a, o->name))
        return err_set(err, ERR_CONF_INVALID, "--%s is given twice", o->name);
    if (a->nset == LINE_WORDS_MAX)
        return err_set(err, ERR_CONF_INVALID, "more than %d options", LINE_WORDS_MAX);
    a->set[a->nset++] = (struct arg){o, text, number};
    return true;
}

/* Hands `--key=value` on to conf_load. */
static bool add_rest(struct line *a, const char *key, const char *value, struct err *err)
{
    char *flag;
    if (a->nrest == LINE_WORDS_MAX)
        return err_set(err, ERR_CONF_INVALID, "more than %d options", LINE_WORDS_MAX);
    if (asprintf(&flag, "--%s=%s", key, value) < 0)
        return err_set(err, ERR_NO_MEMORY, "options");
    a->rest[a->nrest++] = flag;
    a->rest[a->nrest] = NULL;
    return true;
}

static bool unknown_option(const struct line *a, const char *word, const char *name,
                           struct err *err)
{
    const char *names[2 * LINE_WORDS_MAX + 1] = {0};
    size_t n = 0;
    for (const struct option *o = a->action->options; o && o->name && n < LINE_WORDS_MAX; o++)
        names[n++] = o->name;
    for (const struct option *o = global_options; o->name; o++)
        names[n++] = o->name;
    const char *near = nearest(name, names);
    const char *verb = a->action->verb;
    if (near)
        return err_set(err, ERR_CONF_INVALID, "no such option: %.64s. Did you mean --%s?", word,
                       near);
    return err_set(err, ERR_CONF_INVALID,
                   "no such option: %.64s. `drawbridge help %s%s%s` lists them.", word,
                   a->action->noun, verb ? " " : "", verb ? verb : "");
}

/* One option at argv[*i]; a value in the next word is taken along. */
static bool parse_option(struct line *a, int argc, char **argv, int *i, struct err *err)
{
    const char *word = argv[*i], *equals = strchr(word, '='), *value = equals ? equals + 1 : NULL;
    char name[64];
    if (!strcmp(word, "-h") || !strcmp(word, "--help"))
        return a->help = true;
    if (word[1] != '-' || !option_name(word, name, sizeof name))
        return unknown_option(a, word, word + 1, err);
    const struct option *o = find_in(a->action->options, name);
    if (!o)
        o = find_in(global_options, name);
    const char *key = o ? NULL : conf_key(name);
    if (!o && !key)
        return unknown_option(a, word, name, err);
    if (o && o->type == OPT_FLAG && value)
        return err_set(err, ERR_CONF_INVALID, "--%s takes no value", name);
    if (!value && (key || (o->type != OPT_FLAG && o->type != OPT_SECONDS_MAYBE))) {
        if (*i + 1 >= argc)
            return err_set(err, ERR_CONF_INVALID, "--%s wants a value", name);
        value = argv[++*i];
    }
    if (key || !strcmp(name, "config"))
        return add_rest(a, key ? key : "config", value, err);
    return add_option(a, o, value, err);
}

static bool check_words(const struct line *a, struct err *err)
{
    const struct action *x = a->action;
    if (a->help || (a->nwords >= x->words_min && a->nwords <= x->words_max))
        return true;
    const char *what = a->nwords < x->words_min ? "a word is missing" : "too many words";
    return err_set(err, ERR_CONF_INVALID, "%s. Usage: drawbridge %s%s%s%s%s", what, x->noun,
                   x->verb ? " " : "", x->verb ? x->verb : "", x->words ? " " : "",
                   x->words ? x->words : "");
}

bool line_parse(struct line *a, const struct action *action, int argc, char **argv, struct err *err)
{
    size_t skip = action->verb ? 2 : 1; /* words that named the action */
    bool options = true;
    memset(a, 0, sizeof *a);
    a->action = action;
    a->rest[a->nrest++] = argc ? argv[0] : NULL;
    for (int i = 1; i < argc; i++) {
        if (options && !strcmp(argv[i], "--")) {
            options = false;
            continue;
        }
        if (options && is_option(argv[i])) {
            if (!parse_option(a, argc, argv, &i, err))
                return false;
            continue;
        }
        if (skip) {
            skip--;
            continue;
        }
        if (a->nwords == LINE_WORDS_MAX)
            return err_set(err, ERR_CONF_INVALID, "more than %d words", LINE_WORDS_MAX);
        a->words[a->nwords++] = argv[i];
    }
    return check_words(a, err);
}

void line_done(struct line *a)
{
    for (int i = 1; i < a->nrest; i++)
        free(a->rest[i]);
    a->nrest = 0;
}

/* ---- what was given ---- */

bool line_has(const struct line *a, const char *option)
{
    for (size_t i = 0; i < a->nset; i++)
        if (!strcmp(a->set[i].option->name, option))
            return true;
    return false;
}

const char *line_text(const struct line *a, const char *option)
{
    const char *text = NULL;
    for (size_t i = 0; i < a->nset; i++)
        if (!strcmp(a->set[i].option->name, option))
            text = a->set[i].text;
    return text;
}

int64_t line_int(const struct line *a, const char *option, int64_t otherwise)
{
    for (size_t i = 0; i < a->nset; i++)
        if (!strcmp(a->set[i].option->name, option))
            return a->set[i].number;
    return otherwise;
}

const char *line_many(const struct line *a, const char *option, size_t i)
{
    for (size_t k = 0; k < a->nset; k++)
        if (!strcmp(a->set[k].option->name, option) && !i--)
            return a->set[k].text;
    return NULL;
}
