/* drawbridge send TYPE — any command, from its schema. */
#include "commands.h"
#include "send.h"

#include <string.h>

#include "core/json_value.h"

enum { INPUT_BYTES_MAX = 1 << 20, HEADERS_MAX = 32 };

static bool read_stream(FILE *from, const char *name, struct buf *out, struct err *err)
{
    char block[16384];
    size_t n;
    while ((n = fread(block, 1, sizeof block, from)) > 0)
        buf_put(out, block, n);
    if (ferror(from))
        return err_set(err, ERR_BAD_INPUT, "cannot read %s", name);
    return buf_ok(out) ||
           err_set(err, ERR_MESSAGE_TOO_LARGE, "%s has more than %d bytes", name, INPUT_BYTES_MAX);
}

static bool read_file(const char *path, struct buf *out, struct err *err)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(err, ERR_BAD_INPUT, "cannot open %.256s: %m", path);
    bool ok = read_stream(f, path, out, err);
    fclose(f);
    return ok;
}

/* --data JSON, @FILE or "-" for standard input; an empty object when it is absent. */
static json_t *read_data(const char *given, struct err *err)
{
    auto_buf struct buf text;
    buf_init(&text, INPUT_BYTES_MAX);
    bool ok = true;
    if (!given)
        buf_str(&text, "{}");
    else if (!strcmp(given, "-"))
        ok = read_stream(stdin, "standard input", &text, err);
    else if (*given == '@')
        ok = read_file(given + 1, &text, err);
    else
        buf_str(&text, given);
    if (!ok)
        return NULL;
    json_t *data = json_value_parse(text.p ? (const char *)text.p : "", text.n, err);
    if (!data)
        (void)err_wrap(err, "--data");
    return data;
}

static bool read_time(struct cli *cli, const char *option, int64_t *out, struct err *err)
{
    const char *text = line_text(&cli->line, option);
    if (!text || time_parse(text, cli->now_ms, out))
        return true;
    return err_set(err, ERR_BAD_INPUT,
                   "--%s: %.64s is no time like 2026-11-20T10:15:00Z or +30s, +5m, +2h", option,
                   text);
}

static int run_send(struct cli *cli)
{
    const struct line *l = &cli->line;
    const char *headers[HEADERS_MAX + 1] = {0};
    struct err err = {0};
    struct composition in = {
        .type = l->words[0],
        .id = line_text(l, "id"),
        .source = line_text(l, "source"),
        .subject = line_text(l, "subject"),
        .tenant = line_text(l, "tenant"),
        .headers = headers,
    };
    for (size_t i = 0; i < HEADERS_MAX && (headers[i] = line_many(l, "header", i)); i++)
        ;
    auto_json json_t *data = read_data(line_text(l, "data"), &err);
    if (!data || !read_time(cli, "not-before", &in.not_before_ms, &err) ||
        !read_time(cli, "expires", &in.expires_ms, &err) ||
        !read_time(cli, "time", &in.now_ms, &err))
        return cli_fail(cli, &err);
    in.data = data;
    return send_command(cli, &in, line_int(l, "wait", 0));
}

static const struct option send_options[] = {
    {"data", "JSON|@FILE|-", "the data: text, a file, or standard input", OPT_TEXT, 0, 0, false},
    {"id", "ID", "ce_id (default: a new UUID); the same id is never done twice", OPT_TEXT, 0, 0,
     false},
    {"source", "URI", "ce_source (default: " COMPOSE_SOURCE ")", OPT_TEXT, 0, 0, false},
    {"subject", "SUBJECT", "ce_subject (default: from the data)", OPT_TEXT, 0, 0, false},
    {"tenant", "TENANT", "ce_tenant", OPT_TEXT, 0, 0, false},
    {"time", "TIME", "ce_time (default: now); a resend repeats id and time", OPT_TEXT, 0, 0, false},
    {"not-before", "TIME|+DURATION", "carried out then, not earlier", OPT_TEXT, 0, 0, false},
    {"expires", "TIME|+DURATION", "dead letter when it is not done by then", OPT_TEXT, 0, 0, false},
    {"header", "NAME=VALUE", "a further header", OPT_TEXT, 0, 0, true},
    {"wait", "S", "wait for the outcome (30 s) and print it", OPT_SECONDS_MAYBE, WAIT_DEFAULT_MS, 0,
     false},
    {0},
};

static const struct example send_examples[] = {
    {"send user.put --data '{\"userId\": \"ada\"}' --wait",
     "makes a user and tells what became of it"},
    {"send session.stop --data @stop.json --not-before +30m", "stops a session in half an hour"},
    {0},
};

const struct action send_actions[] = {
    {"send", NULL, "TYPE", 1, 1, "Sends a command, and waits for its outcome with --wait",
     "TYPE is noun.verb, with or without `drawbridge.` before it; topic, key and subject come from "
     "its schema, and the data is checked against it before anything is sent. requestedBy is the "
     "account that runs this, as an administrator, unless the data says otherwise. With --wait the "
     "exit code tells the outcome, and the event that ends the command is printed.",
     send_options, send_examples, run_send},
    {0},
};
