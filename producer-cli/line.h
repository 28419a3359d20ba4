/* line — the words of a command line against a table of commands.
 *
 * An *action* is a row: noun, verb, words, options, help, handler. Dispatch, help, the reference
 * page and completion walk the same rows. Nouns are singular, the plural is an alias (and the
 * other way round for `topics`). Options are `--name value` or `--name=value`; `--` ends them.
 * Configuration keys are options of every command, with `-` or `_`; what is no option of the
 * action is handed on to conf_load. */
#pragma once

#include "core/base.h"
#include "core/err.h"
#include "core/nearest.h"

struct cli;

enum option_type {
    OPT_FLAG,
    OPT_TEXT,
    OPT_INT,           /* within min and max */
    OPT_DURATION,      /* "200ms" "10s" "5m" "2h" "7d", plain: seconds; in milliseconds */
    OPT_SECONDS_MAYBE, /* like OPT_DURATION, as `--name[=value]`; min is the default, ms */
};

struct option {
    const char *name;  /* without the dashes */
    const char *value; /* placeholder, "ID"; NULL for flags */
    const char *help;
    enum option_type type;
    int64_t min, max;
    bool many; /* may come several times */
};

struct example {
    const char *line; /* without "drawbridge " */
    const char *what;
};

struct action {
    const char *noun, *verb; /* verb NULL: the noun alone is the command */
    const char *words;       /* "ID", "[COMMAND]"; NULL: none */
    size_t words_min, words_max;
    const char *summary;            /* one line, no full stop */
    const char *details;            /* sentences; may be NULL */
    const struct option *options;   /* ended by a zeroed row; may be NULL */
    const struct example *examples; /* the same */
    int (*run)(struct cli *cli);    /* returns the exit code */
};

enum { LINE_WORDS_MAX = 128 };

struct arg {
    const struct option *option;
    const char *text;
    int64_t number;
};

struct line {
    const struct action *action;
    const char *words[LINE_WORDS_MAX];
    size_t nwords;
    struct arg set[LINE_WORDS_MAX];
    size_t nset;
    char *
        rest[LINE_WORDS_MAX + 1]; /* for conf_load: [0] the program's name, then what is not ours */
    int nrest;
    bool help; /* --help or -h */
};

/* Options of every command. */
extern const struct option global_options[];

/* Finds the action the line names; NULL and a message with the nearest command when there is none
 * (or no word at all). actions: rows ended by a zeroed one. */
const struct action *line_find(const struct action *actions, int argc, char **argv,
                               struct err *err);
/* Sorts argv into words, options and the rest. argv must live as long as the args; line_done
 * frees what was put into `rest`. */
must_check bool line_parse(struct line *a, const struct action *action, int argc, char **argv,
                           struct err *err);
void line_done(struct line *a);

bool line_has(const struct line *a, const char *option);
const char *line_text(const struct line *a, const char *option); /* the last one; NULL: not given */
int64_t line_int(const struct line *a, const char *option, int64_t otherwise);
/* The i-th of an option that may come several times; NULL after the last. */
const char *line_many(const struct line *a, const char *option, size_t i);

/* "200ms" "10s" "5m" "2h" "7d"; a plain number counts seconds. */
must_check bool duration_parse(const char *s, int64_t *out_ms);
/* RFC 3339, or "+DURATION" from now, or "-DURATION" before it. */
must_check bool time_parse(const char *s, int64_t now_ms, int64_t *out_ms);
/* A whole decimal number, nothing else. */
must_check bool number_parse(const char *s, int64_t *out);
