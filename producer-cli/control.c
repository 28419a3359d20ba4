#include "control.h"

#include <string.h>

#include "core/clock.h"
#include "core/digest.h"

#include "broker.h"
#include "core/compose.h"
#include "signals.h"

enum { ARENA_BYTES = 256 << 20, FLUSH_MS = 15000, ASK_MS = 100 };

/* Room for one request, whose data may hold a whole message as text. */
static rd_kafka_headers_t *headers_of(const struct record *r)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(r->nheaders);
    for (size_t i = 0; i < r->nheaders; i++)
        rd_kafka_header_add(headers, r->headers[i].name, -1, r->headers[i].value.p,
                            (ssize_t)r->headers[i].value.n);
    return headers;
}

static bool problem_error(const struct problems *problems, struct err *err)
{
    if (!problems->n)
        return false;
    return err_wrap(err, "%s: %s", problems->list[0].place, problems->list[0].message);
}

static json_t *request(struct cli *cli, struct arena *a, struct broker *b, const char *type,
                       json_t *data, const char *author, struct err *err)
{
    struct problems problems;
    struct message m = {0};
    char hex[DIGEST_HEX];
    struct composition in = {.type = type, .now_ms = clock_wall_ms(), .data = data, .who = author};
    problems_init(&problems, a);
    json_t *sent = NULL;
    (void)cli;
    if (!compose(a, &in, &m, &problems, err))
        (void)problem_error(&problems, err);
    else if (broker_post(b, m.record.topic,
                         (int32_t)json_integer_value(json_object_get(data, "shard")), m.record.key,
                         m.record.value, headers_of(&m.record), err)) {
        digest_hex(m.command.digest, hex);
        sent = json_pack("{s:s, s:s, s:n}", "commandId", m.command.id, "digest", hex, "outcome");
    }
    message_done(&m);
    return sent;
}

static json_t *send_all(struct cli *cli, struct broker *b, const char *type, const json_t *datas,
                        const char *author, struct err *err)
{
    auto_arena struct arena *a = arena_new(65536, ARENA_BYTES);
    auto_json json_t *sent = json_array();
    size_t i;
    json_t *data;
    json_array_foreach(datas, i, data)
    {
        json_t *one = a ? request(cli, a, b, type, data, author, err) : NULL;
        if (!one || json_array_append_new(sent, one))
            return NULL;
        arena_reset(a);
    }
    return broker_flush(b, FLUSH_MS, err) ? take(sent) : NULL;
}

/* Asks for those that have none; how many still have none, -1 and err. */
static int64_t ask(struct db *db, json_t *sent, struct err *err)
{
    int64_t open = 0;
    size_t i;
    json_t *one;
    json_array_foreach(sent, i, one)
    {
        if (!json_is_null(json_object_get(one, "outcome")))
            continue;
        const char *digest = json_string_value(json_object_get(one, "digest"));
        auto_json json_t *event = db_row(db, SQL_COMMAND_OUTCOME, DB_PARAMS(digest), err);
        if (!event)
            return -1;
        if (!json_is_object(event)) {
            open++;
            continue;
        }
        json_object_set(one, "outcome", json_object_get(event, "outcome"));
        json_object_set(one, "data", json_object_get(event, "data"));
    }
    return open;
}

json_t *control_run(struct cli *cli, struct db *db, const char *type, const json_t *datas,
                    const char *author, int64_t wait_ms, struct err *err)
{
    auto_broker struct broker *b = broker_open(cli, err);
    const struct rd_kafka_metadata *md = b ? broker_metadata(b, err) : NULL;
    if (!md)
        return NULL;
    rd_kafka_metadata_destroy(md);
    auto_json json_t *sent = send_all(cli, b, type, datas, author, err);
    int64_t until = clock_mono_now_us() / 1000 + wait_ms;
    for (int64_t open = 1; sent && open && clock_mono_now_us() / 1000 < until;) {
        open = ask(db, sent, err);
        if (open < 0)
            return NULL;
        if (open && signals_wait(ASK_MS))
            break;
    }
    return take(sent);
}

size_t control_count(const json_t *results, const char *outcome)
{
    size_t i, n = 0;
    json_t *one;
    json_array_foreach(results, i, one)
    {
        const char *ended = json_string_value(json_object_get(one, "outcome"));
        n += outcome ? ended && !strcmp(ended, outcome) : !ended;
    }
    return n;
}

bool control_error(const json_t *results, struct err *err)
{
    size_t i;
    json_t *one;
    json_array_foreach(results, i, one)
    {
        const char *ended = json_string_value(json_object_get(one, "outcome"));
        const json_t *data = json_object_get(one, "data");
        const char *code = json_string_value(json_object_get(data, "code"));
        const char *why = json_string_value(json_object_get(data, "message"));
        if (!ended)
            return err_set(err, ERR_PROVIDER_TIMEOUT,
                           "the worker has not answered yet; it may still do it (command %s)",
                           json_string_value(json_object_get(one, "commandId")));
        if (strcmp(ended, "done") != 0)
            return err_set(err, code ? err_by_name(code) : ERR_PROVIDER_REFUSED, "%s: %s", ended,
                           why ? why : "no reason given");
    }
    return true;
}
