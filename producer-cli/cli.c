#include "cli.h"

#include <locale.h>
#include <stdarg.h>
#include <string.h>

#include "core/clock.h"

#include "help.h"

enum { CONF_ERRORS_MAX = 65536 };

json_t *error_json(const struct err *err)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "code", err_name(err->code), "message", err->message,
                     "hint", err_hint(err->code), "class", err_class_name(err_class(err->code)));
}

bool usage_error(struct err *err, const char *format, ...)
{
    va_list args;
    char text[sizeof err->message];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(err, ERR_CONF_INVALID, "%s", text);
}

int cli_exit_code(const struct cli *cli, const struct err *err)
{
    static const struct {
        enum err_code code;
        int exit;
    } rows[] = {
        {ERR_CONF_INVALID, EXIT_USAGE},       {ERR_CONF_MISSING, EXIT_USAGE},
        {ERR_BAD_INPUT, EXIT_INPUT},          {ERR_SCHEMA_VIOLATION, EXIT_INPUT},
        {ERR_JSON_MALFORMED, EXIT_INPUT},     {ERR_ENVELOPE_INVALID, EXIT_INPUT},
        {ERR_TYPE_UNKNOWN, EXIT_INPUT},       {ERR_TIME_INVALID, EXIT_INPUT},
        {ERR_MESSAGE_TOO_LARGE, EXIT_INPUT},  {ERR_PG_DATA, EXIT_INPUT},
        {ERR_NOT_FOUND, EXIT_NOT_FOUND},      {ERR_PG_CONNECTION, EXIT_UNREACHABLE},
        {ERR_KAFKA_FAILED, EXIT_UNREACHABLE}, {ERR_PG_COMMIT_LOST, EXIT_UNKNOWN},
        {ERR_PROVIDER_TIMEOUT, EXIT_UNKNOWN}, {ERR_GATEWAY_UNREACHABLE, EXIT_UNREACHABLE},
    };
    if (cli->denied)
        return EXIT_NOT_ALLOWED;
    for (size_t i = 0; i < LEN(rows); i++)
        if (rows[i].code == err->code)
            return rows[i].exit;
    return EXIT_FAILED;
}

int cli_fail(struct cli *cli, const struct err *err)
{
    auto_free char *message = text_clean(err->message, 0);
    out_text(&cli->say, STYLE_BAD, "drawbridge: ");
    out_line(&cli->say, STYLE_PLAIN, "%s", message ? message : err->message);
    /* Usage messages say themselves what to do. */
    if (cli->denied)
        out_line(&cli->say, STYLE_DIM, "  hint: connect as a role that may do this");
    else if (err->code != ERR_CONF_INVALID)
        out_line(&cli->say, STYLE_DIM, "  hint: %s", err_hint(err->code));
    if (cli->json) {
        auto_json json_t *doc = json_pack("{s:o}", "error", error_json(err));
        out_json(&cli->out, doc);
    }
    return cli_exit_code(cli, err);
}

int cli_done(struct cli *cli, json_t *doc, void (*people)(struct cli *cli, const json_t *doc))
{
    auto_json json_t *mine = doc;
    if (!mine) {
        struct err err = {0};
        (void)err_set(&err, ERR_NO_MEMORY, "the answer");
        return cli_fail(cli, &err);
    }
    if (cli->json)
        out_json(&cli->out, mine);
    else
        people(cli, mine);
    return EXIT_DONE;
}

/* Configuration from what the action did not take. */
static bool load_conf(struct cli *cli)
{
    auto_buf struct buf errors;
    char *rest[LEN(cli->line.rest)]; /* conf_load takes out what it knows */
    int n = cli->line.nrest;
    buf_init(&errors, CONF_ERRORS_MAX);
    memcpy(rest, cli->line.rest, sizeof rest);
    if (conf_load(&cli->conf, NULL, &n, rest, &errors))
        return true;
    out_line(&cli->say, STYLE_PLAIN, "drawbridge: the configuration has errors:\n%s",
             errors.p ? (const char *)errors.p : "");
    return false;
}

static int run(struct cli *cli, const struct action *action)
{
    if (!load_conf(cli))
        return EXIT_USAGE;
    int code = action->run(cli);
    conf_done(&cli->conf);
    return code;
}

/* A full disk or a closed pipe is a failure of ours too. */
static int flushed(struct cli *cli, int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    out_line(&cli->say, STYLE_PLAIN, "drawbridge: cannot write the output");
    return code == EXIT_DONE ? EXIT_FAILED : code;
}

static bool given(int argc, char **argv, const char *a, const char *b)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], a) || !strcmp(argv[i], b))
            return true;
    return false;
}

static int usage(struct cli *cli, const struct err *err)
{
    cli_fail(cli, err);
    return EXIT_USAGE;
}

int cli_main(const struct action *actions, int argc, char **argv)
{
    struct err err = {0};
    struct cli cli = {.actions = actions, .now_ms = clock_wall_ms()};
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before there is any other thread */
    setlocale(LC_CTYPE, "C.UTF-8"); /* for the widths of letters */
    cli.json = given(argc, argv, "--json", "--json");
    bool color = !given(argc, argv, "--no-color", "--no_color");
    out_init(&cli.out, stdout, color, cli.now_ms);
    out_init(&cli.say, stderr, color, cli.now_ms);
    const struct action *action = line_find(actions, argc, argv, &err);
    bool wants_help = given(argc, argv, "--help", "-h");
    if (!action && wants_help && !help_noun(&cli, argc, argv))
        return flushed(&cli, EXIT_DONE);
    if (!action)
        return usage(&cli, &err);
    int code;
    if (!line_parse(&cli.line, action, argc, argv, &err)) {
        code = usage(&cli, &err);
    } else if (cli.line.help) {
        help_action(&cli.out, action);
        code = EXIT_DONE;
    } else {
        code = run(&cli, action);
    }
    line_done(&cli.line);
    return flushed(&cli, code);
}
