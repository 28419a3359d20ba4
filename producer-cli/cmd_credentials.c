/* drawbridge credentials get|exec — a live access token of a connection, from the gateway, by the
 * library that workflows use too (O-14). */
#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/secret.h"

#include "drawbridge_credentials.h"
#include "signals.h"

enum { AGAIN_MS = 1000, AGAIN_MAX_MS = 10000, VARIABLE_MAX = 128 };

#define VARIABLE_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define VARIABLE_DEFAULT "ACCESS_TOKEN"

/* ---- asking ---- */

static enum err_code code_of(enum drawbridge_problem_kind kind)
{
    switch (kind) {
    case DRAWBRIDGE_WRONG_CALL:
        return ERR_CONF_INVALID;
    case DRAWBRIDGE_NOT_FOUND:
        return ERR_NOT_FOUND;
    case DRAWBRIDGE_NO_MEMORY:
        return ERR_NO_MEMORY;
    case DRAWBRIDGE_UNREACHABLE:
        return ERR_GATEWAY_UNREACHABLE;
    case DRAWBRIDGE_NO_PROBLEM:
    case DRAWBRIDGE_NOT_READY:
    case DRAWBRIDGE_DISABLED:
    case DRAWBRIDGE_DENIED:
    case DRAWBRIDGE_THROTTLED:
    case DRAWBRIDGE_BAD_ANSWER:
        break;
    }
    return ERR_CREDENTIAL_REFUSED;
}

/* What is said of the connection or the workflow says of which. */
static const char *whose(const struct cli *cli, enum drawbridge_problem_kind kind)
{
    return kind == DRAWBRIDGE_NOT_READY || kind == DRAWBRIDGE_NOT_FOUND ? cli->line.words[0]
           : kind == DRAWBRIDGE_DISABLED ? line_text(&cli->line, "workflow")
                                         : NULL;
}

static bool set_problem(struct cli *cli, const struct drawbridge_problem *p, struct err *err)
{
    const char *who = whose(cli, p->kind);
    cli->denied = p->kind == DRAWBRIDGE_DENIED;
    if (p->retry_after_s > 0)
        (void)err_set(err, code_of(p->kind), "%s; again in %ld s", p->message, p->retry_after_s);
    else
        (void)err_set(err, code_of(p->kind), "%s", p->message);
    return who ? err_wrap(err, "%.200s", who) : false;
}

static bool may_come(const struct drawbridge_problem *p)
{
    return p->kind == DRAWBRIDGE_NOT_READY || p->kind == DRAWBRIDGE_THROTTLED ||
           p->kind == DRAWBRIDGE_UNREACHABLE;
}

/* Once, or as long as --wait says. */
static bool get(struct cli *cli, struct drawbridge_credentials *from, const char *name,
                struct drawbridge_credential *out, struct drawbridge_problem *why)
{
    int64_t until_ms = cli->now_ms + line_int(&cli->line, "wait", 0);
    while (!drawbridge_credential_get(from, name, out, why)) {
        int64_t wait_ms = why->retry_after_s > 0 ? why->retry_after_s * 1000 : AGAIN_MS;
        int64_t left_ms = until_ms - clock_wall_ms();
        if (wait_ms > AGAIN_MAX_MS)
            wait_ms = AGAIN_MAX_MS;
        if (!may_come(why) || left_ms <= 0 || signals_wait(wait_ms < left_ms ? wait_ms : left_ms))
            return false;
    }
    return true;
}

static bool ask(struct cli *cli, struct drawbridge_credential *out, struct err *err)
{
    const struct line *l = &cli->line;
    struct drawbridge_problem why = {0};
    const char *word = l->words[0], *slash = strchr(word, '/');
    char org[128] = "";
    if (slash)
        snprintf(org, sizeof org, "%.*s", (int)(slash - word), word);
    if (slash && line_has(l, "org") && strcmp(org, line_text(l, "org")) != 0)
        return usage_error(err, "%.200s is not of what --org says", word);
    struct drawbridge_credentials *from = drawbridge_credentials_open(
        &(struct drawbridge_credentials_options){
            .gateway_url = cli->conf.gateway_url,
            .token_file = cli->conf.token_file,
            .ca_file = cli->conf.gateway_ca_file,
            .org = slash ? org : line_text(l, "org"),
            .workflow = line_text(l, "workflow"),
            .cache_ms = -1,
            .plain_http = line_has(l, "plain-http"),
        },
        &why);
    bool ok = from && get(cli, from, slash ? slash + 1 : word, out, &why);
    drawbridge_credentials_close(&from);
    return ok || set_problem(cli, &why, err);
}

/* ---- get ---- */

static bool check_variable(const char *name, struct err *err)
{
    size_t n = strspn(name, VARIABLE_LETTERS);
    return (n > 0 && n < VARIABLE_MAX && !name[n] && (name[0] < '0' || name[0] > '9')) ||
           usage_error(err, "--env: %.64s is no name of a variable", name);
}

/* In quotes that no shell looks into. */
static void print_variable(FILE *to, const char *name, const char *value)
{
    fprintf(to, "%s='", name);
    for (; *value; value++) {
        if (*value == '\'')
            fputs("'\\''", to);
        else
            fputc(*value, to);
    }
    fputs("'\n", to);
}

static void print_json(struct cli *cli, const struct drawbridge_credential *c)
{
    char ends[25] = "";
    if (c->expires_at_ms)
        clock_format(c->expires_at_ms, ends);
    auto_json json_t *doc =
        json_pack("{s:s, s:s, s:s?, s:s?}", "access_token", c->access_token, "token_type",
                  c->token_type, "expires_at", ends[0] ? ends : NULL, "scopes", c->scopes);
    out_json(&cli->out, doc);
}

static int run_get(struct cli *cli)
{
    const char *variable = line_text(&cli->line, "env");
    struct err err = {0};
    struct drawbridge_credential c = {0};
    if (!secret_init(&err) || (variable && !check_variable(variable, &err)) || !ask(cli, &c, &err))
        return cli_fail(cli, &err);
    if (cli->json)
        print_json(cli, &c);
    else if (line_has(&cli->line, "header"))
        fprintf(cli->out.to, "Authorization: %s %s\n", c.token_type, c.access_token);
    else if (variable)
        print_variable(cli->out.to, variable, c.access_token);
    else
        fprintf(cli->out.to, "%s\n", c.access_token);
    drawbridge_credential_wipe(&c);
    return EXIT_DONE;
}

/* ---- exec ---- */

static int run_exec(struct cli *cli)
{
    const struct line *l = &cli->line;
    const char *variable = line_has(l, "env") ? line_text(l, "env") : VARIABLE_DEFAULT;
    struct err err = {0};
    struct drawbridge_credential c = {0};
    const char *argv[LINE_WORDS_MAX] = {0};
    for (size_t i = 1; i < l->nwords; i++)
        argv[i - 1] = l->words[i];
    if (!secret_init(&err) || !check_variable(variable, &err) || !ask(cli, &c, &err))
        return cli_fail(cli, &err);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread, and it becomes another program */
    bool set = setenv(variable, c.access_token, 1) == 0;
    drawbridge_credential_wipe(&c);
    if (set)
        execvp(argv[0], (char *const *)argv);
    (void)usage_error(&err, "%.200s cannot be run: %s", argv[0], strerrordesc_np(errno));
    return cli_fail(cli, &err);
}

/* ---- rows ---- */

/* clang-format off */
#define OPTIONS_OF_BOTH                                                                            \
    {"org", "ORG", "whose connection (default: the token owner's organisation, then GLOBAL)", OPT_TEXT, 0, 0, false}, \
    {"workflow", "NAME", "who uses it: noted at first use, refused while it is disabled", OPT_TEXT, 0, 0, false}, \
    {"wait", "S", "how long to wait until it is ready (default: not at all)", OPT_DURATION, 0, 3600000, false}, \
    {"plain-http", NULL, "http to another machine, too: the tokens can be read on the way", OPT_FLAG, 0, 0, false}
/* clang-format on */

static const struct option get_options[] = {
    {"header", NULL, "as a line for curl -H @-: Authorization: Bearer ...", OPT_FLAG, 0, 0, false},
    {"env", "VAR", "as VAR='...', for eval", OPT_TEXT, 0, 0, false},
    OPTIONS_OF_BOTH,
    {0},
};
static const struct option exec_options[] = {
    {"env", "VAR", "the variable that holds it (default: " VARIABLE_DEFAULT ")", OPT_TEXT, 0, 0,
     false},
    OPTIONS_OF_BOTH,
    {0},
};

static const struct example get_examples[] = {
    {"credentials get github --header | curl -H @- https://api.github.com/user",
     "the token is no argument: those are public"},
    {"credentials get acme/github --workflow nightly-sync --wait 30",
     "of one organisation, for a workflow; waits for a connection that is just renewed"},
    {0},
};
static const struct example exec_examples[] = {
    {"credentials exec github --env GH_TOKEN -- gh repo list", "the token is in its environment"},
    {0},
};

const struct action credentials_actions[] = {
    {"credentials", "get", "NAME", 1, 1, "Prints a live access token of a connection",
     "Asks the gateway (gateway_url, token_file), which keeps it live; the use is in the audit "
     "trail. Exit code 4: no such connection; 1: not ready, or the workflow is disabled, and why.",
     get_options, get_examples, run_get},
    {"credentials", "exec", "NAME -- COMMAND", 2, LINE_WORDS_MAX - 1,
     "Runs a command with a live access token in its environment",
     "The command takes this program's place; its exit code is what it says.", exec_options,
     exec_examples, run_exec},
    {0},
};
