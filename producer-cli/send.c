#include "send.h"

#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/digest.h"

#include "account.h"
#include "broker.h"
#include "db.h"
#include "event.h"

enum {
    SEND_ARENA_BYTES = 8 << 20,
    ASK_MS = 1000,
    TURN_MS = 100,
    SENT_MS = 10000,
    LINE_BYTES = 4096
};

#define EVENTS "drawbridge.events"

/* Where an outcome may come from. */
struct waiter {
    struct cli *cli;
    const struct message *message;
    struct follower *stream;
    struct db *db; /* NULL: cannot be reached, the stream alone has to do */
    const struct send_hooks *hooks;
    int64_t ask_at_ms;
};

static void waiter_done(struct waiter *w)
{
    follower_free(&w->stream);
    db_free(&w->db);
}
#define auto_waiter auto_with(waiter_done)

static int64_t mono_ms(void)
{
    return clock_mono_now_us() / 1000;
}

/* ---- telling ---- */

static const struct column detail_columns[] = {
    {"serverEndpoint", "endpoint", FORMAT_TEXT, 0},
    {"clientIpAddress", "address", FORMAT_TEXT, 0},
    {"idleTimeoutMinutes", "idle timeout, min", FORMAT_NUMBER, 0},
    {"provisionAttempts", "tries after the first", FORMAT_NUMBER, 0},
    {"operationMs", "took", FORMAT_MS, 0},
    {"errorMessage", "error", FORMAT_TEXT, 0},
    {"code", "code", FORMAT_TEXT, 0},
    {"hint", "hint", FORMAT_TEXT, 0},
    {"attempts", "tries", FORMAT_NUMBER, 0},
    {"workflows", "workflows", FORMAT_LIST, 0},
    {0},
};
/* Of a workflow that may not run. */
static const struct column disabled_columns[] = {
    {"reason", "why", FORMAT_TEXT, 0},
    {"disabledBy", "by", FORMAT_TEXT, 0},
    {"relatedConnection", "with the end of", FORMAT_TEXT, 0},
    {"disabledAt", "since", FORMAT_TIME, 0},
    {0},
};

static enum out_style outcome_style(const char *outcome)
{
    return !strcmp(outcome, "done")   ? STYLE_GOOD
           : !strcmp(outcome, "dead") ? STYLE_BAD
                                      : STYLE_WARN;
}

static void put_event_line(struct out *o, const char *mark, enum out_style style,
                           const json_t *event)
{
    char memory[LINE_BYTES];
    struct buf b;
    buf_init_fixed(&b, memory, sizeof memory);
    event_text(event, &b);
    auto_free char *text = text_clean(memory, 0);
    out_text(o, style, "%s%*s ", mark, (int)(text_width(mark) < 9 ? 9 - text_width(mark) : 0), "");
    out_line(o, STYLE_PLAIN, "%s", text ? text : "");
}

static void outcome_people(struct cli *cli, const json_t *event)
{
    const char *outcome = json_string_value(json_object_get(event, "outcome"));
    const json_t *data = json_object_get(event, "data"), *p;
    size_t i;
    put_event_line(&cli->out, outcome, outcome_style(outcome), event);
    out_facts(&cli->out, data, detail_columns);
    if (json_object_get(data, "disabledAt"))
        out_facts(&cli->out, data, disabled_columns);
    const char *token = json_string_value(json_object_get(event, "token"));
    if (token)
        out_line(&cli->out, STYLE_BOLD, "%s", token);
    if (token)
        out_line(&cli->out, STYLE_DIM, "Keep it in a safe place: it is shown this once.");
    json_array_foreach(json_object_get(data, "problems"), i, p)
    {
        auto_free char *text = text_clean(json_string_value(json_object_get(p, "message")), 0);
        auto_free char *at = text_clean(json_string_value(json_object_get(p, "pointer")), 0);
        out_line(&cli->out, STYLE_PLAIN, "  %s %s", at && *at ? at : "the whole", text ? text : "");
    }
    if (!strcmp(outcome, "dead"))
        out_line(&cli->out, STYLE_DIM, "Next: drawbridge dlq list");
}

static int outcome_code(const json_t *event)
{
    const char *outcome = json_string_value(json_object_get(event, "outcome"));
    return outcome && !strcmp(outcome, "done") ? EXIT_DONE : EXIT_FAILED;
}

static void sent_people(struct cli *cli, const json_t *doc)
{
    auto_free char *subject = text_clean(json_string_value(json_object_get(doc, "subject")), 0);
    auto_free char *id = text_clean(json_string_value(json_object_get(doc, "id")), 0);
    out_text(&cli->out, STYLE_GOOD, "sent      ");
    out_line(&cli->out, STYLE_PLAIN, "%s of %s, id %s", event_type(doc), subject ? subject : "",
             id ? id : "");
}

static json_t *message_json(const struct message *m)
{
    const struct command *c = &m->command;
    auto_json json_t *doc =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s%, s:O}", "id", c->id, "type", c->type, "source",
                  c->source, "subject", c->subject, "topic", m->record.topic, "key",
                  (const char *)c->key.p, c->key.n, "data", c->json);
    char time[25];
    clock_format(c->time_ms, time);
    json_object_set_new(doc, "time", json_string(time));
    if (c->traceparent)
        json_object_set_new(doc, "traceparent", json_string(c->traceparent));
    return take(doc);
}

static int tell_unknown(struct cli *cli, const struct message *m, int64_t wait_ms)
{
    auto_free char *id = text_clean(m->command.id, 0);
    char time[25];
    out_text(&cli->say, STYLE_WARN, "unknown   ");
    out_line(&cli->say, STYLE_PLAIN, "no outcome of %s within %.1f s; it may still be carried out",
             id ? id : "", (double)wait_ms / 1000);
    clock_format(m->command.time_ms, time);
    out_line(
        &cli->say, STYLE_DIM,
        "  hint: `drawbridge status` tells whether the workers run; to ask again without doing "
        "it twice, send the same with --id %s --time %s",
        id ? id : "", time);
    if (cli->json) {
        auto_json json_t *doc = message_json(m);
        json_object_set_new(doc, "outcome", json_null());
        out_json(&cli->out, doc);
    }
    return EXIT_UNKNOWN;
}

static int tell_problems(struct cli *cli, const struct problems *problems, const struct err *err)
{
    auto_json json_t *list = json_array();
    for (size_t i = 0; i < problems->n; i++) {
        const struct problem *p = &problems->list[i];
        auto_free char *place = text_clean(p->place, 0), *text = text_clean(p->message, 0);
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "pointer", p->place, "message", p->message));
        out_text(&cli->say, STYLE_BAD, "  %s", place && *place ? place : "the whole");
        out_line(&cli->say, STYLE_PLAIN, " %s", text ? text : "");
    }
    if (problems->total > problems->n)
        out_line(&cli->say, STYLE_PLAIN, "  and %zu more", problems->total - problems->n);
    if (!cli->json)
        return cli_fail(cli, err);
    auto_json json_t *doc = json_pack("{s:o}", "error", error_json(err));
    json_object_set(json_object_get(doc, "error"), "problems", list);
    out_json(&cli->out, doc);
    return cli_exit_code(cli, err);
}

/* ---- waiting ---- */

static bool header_is(const rd_kafka_message_t *m, const char *name, const char *value)
{
    size_t n;
    const char *s = message_header(m, name, &n);
    return s && n == strlen(value) && !memcmp(s, value, n);
}

/* The outcome when m is it; else tells about it if it belongs to the command. */
static json_t *look_at(struct waiter *w, const rd_kafka_message_t *m)
{
    const struct command *c = &w->message->command;
    size_t n;
    bool ends =
        header_is(m, "ce_causationid", c->id) && message_header(m, "drawbridge-outcome", &n);
    if (!ends && !header_is(m, "ce_correlationid", c->id))
        return NULL;
    auto_json json_t *event = event_json(m);
    if (ends)
        return take(event);
    if (event && !w->cli->json)
        put_event_line(&w->cli->say, "…", STYLE_DIM, event);
    if (event && w->hooks->said)
        w->hooks->said(event, w->hooks->arg);
    return NULL;
}

static json_t *ask_ledger(struct waiter *w)
{
    const struct command *c = &w->message->command;
    char hex[DIGEST_HEX];
    struct err err = {0};
    if (!w->db || mono_ms() < w->ask_at_ms)
        return NULL;
    w->ask_at_ms = mono_ms() + ASK_MS;
    digest_hex(c->digest, hex);
    auto_json json_t *event = db_row(w->db, SQL_COMMAND_OUTCOME, DB_PARAMS(hex), &err);
    if (!event) {
        db_free(&w->db); /* the stream goes on */
        return NULL;
    }
    if (!json_is_object(event))
        return NULL;
    json_object_set_new(event, "causationid", json_string(c->id));
    return take(event);
}

/* The outcome, or NULL: when time is up err is untouched. */
static json_t *wait_outcome(struct waiter *w, int64_t wait_ms, struct err *err)
{
    int64_t until = mono_ms() + wait_ms;
    w->ask_at_ms = mono_ms() + ASK_MS;
    do {
        struct err why = {0};
        rd_kafka_message_t *m = follower_next(w->stream, TURN_MS, &why);
        json_t *event = m ? look_at(w, m) : NULL;
        if (m)
            rd_kafka_message_destroy(m);
        if (!event)
            event = ask_ledger(w);
        if (event)
            return event;
        if (why.code && !w->db) {
            *err = why;
            return NULL;
        }
    } while (mono_ms() < until);
    return NULL;
}

/* ---- sending ---- */

static bool publish(struct broker *b, const struct message *m, struct err *err)
{
    const struct record *r = &m->record;
    const struct rd_kafka_metadata *md = broker_metadata(b, err);
    if (!md)
        return false;
    bool there = metadata_topic(md, r->topic) != NULL;
    rd_kafka_metadata_destroy(md);
    if (!there)
        return err_set(err, ERR_KAFKA_TOPICS, "the topic %s does not exist", r->topic);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(r->nheaders);
    for (size_t i = 0; i < r->nheaders; i++)
        rd_kafka_header_add(headers, r->headers[i].name, -1, r->headers[i].value.p,
                            (ssize_t)r->headers[i].value.n);
    return broker_send(b, r->topic, r->key.p, r->key.n, r->value.p, r->value.n, headers, SENT_MS,
                       err);
}

static int send_message(struct cli *cli, const struct message *m, int64_t wait_ms,
                        const struct send_hooks *hooks)
{
    struct err err = {0};
    auto_waiter struct waiter w = {.cli = cli, .message = m, .hooks = hooks};
    auto_broker struct broker *b = broker_open(cli, &err);
    if (!b)
        return cli_fail(cli, &err);
    if (wait_ms) {
        w.stream = follower_open(cli, EVENTS, RD_KAFKA_OFFSET_END, &err);
        if (!w.stream)
            return cli_fail(cli, &err);
        w.db = db_open(cli, NULL);
    }
    if (!publish(b, m, &err))
        return cli_fail(cli, &err);
    if (!wait_ms)
        return cli_done(cli, message_json(m), sent_people);
    auto_json json_t *event = wait_outcome(&w, wait_ms, &err);
    if (!event)
        return err.code ? cli_fail(cli, &err) : tell_unknown(cli, m, wait_ms);
    if (hooks->done && outcome_code(event) == EXIT_DONE)
        hooks->done(event, hooks->arg);
    int code = cli_done(cli, json_incref(event), outcome_people);
    return code == EXIT_DONE ? outcome_code(event) : code;
}

int send_command_hooked(struct cli *cli, struct composition *in, int64_t wait_ms,
                        const struct send_hooks *hooks)
{
    struct err err = {0};
    struct problems problems;
    struct message m = {0};
    char who[128];
    auto_arena struct arena *a = arena_new(65536, SEND_ARENA_BYTES);
    if (!a) {
        (void)err_set(&err, ERR_NO_MEMORY, "the message");
        return cli_fail(cli, &err);
    }
    account_name(who, sizeof who);
    in->who = who;
    if (!in->now_ms)
        in->now_ms = clock_wall_ms();
    problems_init(&problems, a);
    bool fine = compose(a, in, &m, &problems, &err);
    int code = fine             ? send_message(cli, &m, wait_ms, hooks)
               : problems.total ? tell_problems(cli, &problems, &err)
                                : cli_fail(cli, &err);
    message_done(&m);
    return code;
}

int send_command_then(struct cli *cli, struct composition *in, int64_t wait_ms,
                      void (*done)(json_t *event, void *arg), void *arg)
{
    return send_command_hooked(cli, in, wait_ms, &(const struct send_hooks){NULL, done, arg});
}

int send_command(struct cli *cli, struct composition *in, int64_t wait_ms)
{
    return send_command_then(cli, in, wait_ms, NULL, NULL);
}

int64_t send_waiting(const struct cli *cli)
{
    return line_has(&cli->line, "no-wait") ? 0 : line_int(&cli->line, "wait", WAIT_DEFAULT_MS);
}
