/* cli — one run of `drawbridge`: its arguments, configuration and output.
 *
 * Commands may wait (libpq and librdkafka synchronously): this is no worker. They return an exit
 * code and never call exit. */
#pragma once

#include "line.h"
#include "out.h"

#include "core/conf.h"
#include "core/json_value.h"

/* DECISIONS: CLI. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1, /* refused, failed or dead */
    EXIT_USAGE = 2,
    EXIT_INPUT = 3,
    EXIT_NOT_FOUND = 4,
    EXIT_UNREACHABLE = 5,
    EXIT_UNKNOWN = 6, /* no answer in time, outcome unknown */
    EXIT_NOT_ALLOWED = 7,
};

struct cli {
    const struct action *actions; /* all of them */
    struct line line;
    struct conf conf;
    bool json;
    bool denied;    /* the last failure was a missing right: EXIT_NOT_ALLOWED */
    struct out out; /* stdout */
    struct out say; /* stderr: progress, errors */
    int64_t now_ms; /* wall clock at start */
};

/* Reads the line and runs what it names. */
int cli_main(const struct action *actions, int argc, char **argv);

/* Prints an error with its hint (and, with --json, as a document {"error": …}); returns the exit
 * code that belongs to it. */
int cli_fail(struct cli *cli, const struct err *err);
int cli_exit_code(const struct cli *cli, const struct err *err);
/* Sets an error of the words or options given; always EXIT_USAGE when passed to cli_fail. */
bool usage_error(struct err *err, const char *format, ...) printf_like(2, 3);
/* {"code", "message", "hint", "class"} */
json_t *error_json(const struct err *err);
/* Prints the document, or lets `people` print it. Both get the same json_t. Takes doc over. */
int cli_done(struct cli *cli, json_t *doc, void (*people)(struct cli *cli, const json_t *doc));
