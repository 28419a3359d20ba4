#include "replay_send.h"

#include <inttypes.h>
#include <string.h>

#include "core/arena.h"
#include "core/command.h"
#include "core/json_value.h"

#include "convention.h"
#include "letter.h"

enum { ARENA_BYTES = 64 << 20, FLUSH_MS = 15000 };

static void letter_id(const json_t *letter, char out[static 24])
{
    snprintf(out, 24, "%" PRId64, (int64_t)json_integer_value(json_object_get(letter, "id")));
}

/* id -> token of those that are ours now. */
static json_t *decide(struct db *db, const char *job, const json_t *letters, const char *author,
                      const char *reason, struct err *err)
{
    auto_buf struct buf ids;
    auto_json json_t *tokens = json_object();
    size_t i, fresh = 0;
    json_t *l;
    buf_init(&ids, 1 << 20);
    buf_str(&ids, "{");
    json_array_foreach(letters, i, l)
    {
        char id[24];
        letter_id(l, id);
        if (json_member_text(l, "token"))
            json_object_set(tokens, id, json_object_get(l, "token"));
        else
            buf_printf(&ids, "%s%s", fresh++ ? "," : "", id);
    }
    buf_str(&ids, "}");
    if (!fresh)
        return take(tokens);
    const char *const params[] = {job, (const char *)ids.p, author, reason};
    auto_json json_t *rows = db_rows(db, SQL_REPLAY_JOB_SEND, params, err);
    json_array_foreach(rows, i, l)
    {
        char id[24];
        letter_id(l, id);
        json_object_set(tokens, id, json_object_get(l, "token"));
    }
    return rows ? take(tokens) : NULL;
}

/* The record as it came (or as it was edited), without what tells of failures and hops. */
static rd_kafka_headers_t *replay_headers(const struct record *r, const char *id, const char *token)
{
    rd_kafka_headers_t *h = rd_kafka_headers_new(r->nheaders + 2);
    for (size_t i = 0; i < r->nheaders; i++)
        if (!convention_is_letter_header(r->headers[i].name))
            rd_kafka_header_add(h, r->headers[i].name, -1, r->headers[i].value.p,
                                (ssize_t)r->headers[i].value.n);
    rd_kafka_header_add(h, "drawbridge-replay-of", -1, id, -1);
    rd_kafka_header_add(h, "drawbridge-replay-token", -1, token, -1);
    return h;
}

static bool post(struct broker *b, struct arena *a, const json_t *letter, const char *token,
                 struct err *err)
{
    struct record r;
    char id[24], topic[96];
    letter_id(letter, id);
    snprintf(topic, sizeof topic, "drawbridge.%s", json_member_text(letter, "worker"));
    return letter_record(a, letter, false, &r, err) &&
           broker_post(b, topic, r.partition, r.key, r.value, replay_headers(&r, id, token), err);
}

bool replay_send(struct db *db, struct broker *b, const char *job, const json_t *letters,
                 const char *author, const char *reason, size_t *out_sent, struct err *err)
{
    auto_arena struct arena *a = arena_new(65536, ARENA_BYTES);
    auto_json json_t *tokens = a ? decide(db, job, letters, author, reason, err) : NULL;
    size_t i;
    json_t *l;
    *out_sent = 0;
    if (!tokens)
        return false;
    json_array_foreach(letters, i, l)
    {
        char id[24];
        letter_id(l, id);
        const char *token = json_string_value(json_object_get(tokens, id));
        if (!token)
            continue;
        if (!post(b, a, l, token, err))
            return err_wrap(err, "dead letter %s", id);
        ++*out_sent;
    }
    return broker_flush(b, FLUSH_MS, err);
}
