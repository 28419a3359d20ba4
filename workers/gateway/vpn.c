/* Sessions over HTTP (V-10…V-17). */
#include "gateway/call.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/reader.h"

#include <stdio.h>
#include <string.h>

#include "core/json_value.h"
#include "core/uuid.h"
#include "store/download.h"

enum { DOWNLOADS = 3, HOUR_MS = 3600000, STOP_WAIT_MS = 30000, LIMIT_DEFAULT = 50 };

/* A cursor that is no time: the database refuses it. */
static void unanswered(struct request *r, const struct err *err)
{
    struct problems problems;
    problems_init(&problems, r->arena);
    if (err->code != ERR_PG_DATA) {
        request_unasked(r, err);
        return;
    }
    (void)problem_add(&problems, ERR_BAD_INPUT, "query cursor", "is none of ours");
    request_fail_problems(r, &problems);
}

/* Ids are compared as text, so they are written one way. */
static const char *canonical(struct request *r, const char *given)
{
    uint8_t uuid[UUID_BYTES];
    char text[UUID_TEXT];
    if (!uuid_parse(given, strlen(given), uuid))
        return given;
    uuid_format(uuid, text);
    const char *copy = arena_str(r->arena, text);
    return copy ? copy : given;
}

/* ---- start ---- */

struct starting {
    struct request *r;
    json_t *session; /* data of the event */
    char token[DOWNLOAD_TOKEN_TEXT];
    int64_t expires_ms;
};

static void answer_started(struct starting *s, bool with_link)
{
    struct request *r = s->r;
    char until[25];
    json_t *body = json_pack("{s:o}", "session", take(s->session));
    clock_format(s->expires_ms, until);
    if (with_link)
        json_object_set_new(body, "download",
                            json_pack("{s:s+, s:s, s:i}", "url", "/d/", s->token, "expiresAt",
                                      until, "downloads", DOWNLOADS));
    r->answer.secret = true;
    request_answer_json(r, 200, body);
}

static void on_link(void *arg, json_t *rows, const struct err *err)
{
    struct starting *s = arg;
    if (err)
        log_warn(&s->r->cx, "download.unmade", KV_ERR(err)); /* the session is there all the same */
    answer_started(s, json_array_size(rows) == 1);
}

static void on_started(struct request *r, const json_t *data)
{
    struct starting *s = arena_get(r->arena, sizeof *s);
    uint8_t hash[DOWNLOAD_HASH];
    struct args a;
    if (!s) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    s->r = r;
    s->session = json_deep_copy(data);
    s->expires_ms = clock_ms(r->gateway->clock) + HOUR_MS;
    download_token_make(s->token);
    if (!download_token_hash(s->token, hash)) {
        answer_started(s, false);
        return;
    }
    args_init(&a);
    args_bytes(&a, hash, sizeof hash);
    args_text(&a, json_string_value(json_object_get(data, "sessionId")));
    args_time(&a, clock_ms(r->gateway->clock));
    args_time(&a, s->expires_ms);
    args_int4(&a, DOWNLOADS);
    reader_ask(r->gateway->reader, SQL_DOWNLOAD_TOKEN_ADD, &a, on_link, s);
    args_done(&a);
}

/* Whose session: the body's, or the asker's own. NULL: answered already. */
static const char *user_of(struct request *r)
{
    const char *given = json_string_value(json_object_get(r->body, "userId"));
    const struct principal *p = r->principal;
    struct problems problems;
    if (given && principal_may_act_for(p, given))
        return given;
    if (given) {
        (void)request_fail(r, HTTP_FORBIDDEN, "%s acts for itself only", p->owner);
        return NULL;
    }
    if (p->owner_is_user)
        return p->owner;
    problems_init(&problems, r->arena);
    (void)problem_add(&problems, ERR_BAD_INPUT, "/userId",
                      "is missing: the token belongs to a service");
    request_fail_problems(r, &problems);
    return NULL;
}

static const char *session_of(struct request *r)
{
    const char *given = json_string_value(json_object_get(r->body, "sessionId"));
    uint8_t uuid[UUID_BYTES];
    char text[UUID_TEXT];
    if (given)
        return canonical(r, given);
    call_id(r, "session", uuid);
    uuid_format(uuid, text);
    return arena_str(r->arena, text);
}

void handle_vpn_start(struct request *r)
{
    const char *user = user_of(r), *session = user ? session_of(r) : NULL;
    if (!session)
        return;
    json_t *data = json_copy(r->body);
    json_object_set_new(data, "userId", json_string(user));
    json_object_set_new(data, "sessionId", json_string(session));
    call_send(
        r, &(struct call){
               .type = "session.start",
               .data = data,
               .wait_ms = r->gateway->conf.gateway_start_wait,
               .done = on_started,
               .location = arena_printf(r->arena, "/api/vpn/status/%s", session),
               .accepted = json_pack("{s:s, s:s}", "sessionId", session, "status", "provisioning"),
           });
}

/* ---- one session ---- */

/* The row, when it is the asker's to see; else the answer is 404 and NULL comes back. */
static json_t *own_session(struct request *r, json_t *rows, const struct err *err)
{
    json_t *row = json_array_get(rows, 0);
    const char *user = json_string_value(json_object_get(row, "userId"));
    if (err)
        request_unasked(r, err);
    else if (!user || !principal_may_act_for(r->principal, user))
        (void)request_fail(r, HTTP_NOT_FOUND, "there is no such session");
    else
        return row;
    return NULL;
}

static void ask_session(struct request *r, const char *id, reader_fn *done)
{
    struct args a;
    args_init(&a);
    args_text(&a, canonical(r, id));
    reader_ask(r->gateway->reader, SQL_SESSION_SHOW, &a, done, r);
    args_done(&a);
}

static void on_status(void *arg, json_t *rows, const struct err *err)
{
    json_t *row = own_session(arg, rows, err);
    if (row)
        request_answer_json(arg, 200, json_incref(row));
}

void handle_vpn_status(struct request *r)
{
    ask_session(r, r->params[PARAM_SESSION_ID], on_status);
}

/* ---- stop ---- */

static void on_stopped(struct request *r, const json_t *data)
{
    request_answer_json(r, 200, json_pack("{s:O}", "session", data));
}

static void on_stopping(void *arg, json_t *rows, const struct err *err)
{
    struct request *r = arg;
    json_t *row = own_session(r, rows, err);
    const char *id = json_string_value(json_object_get(row, "sessionId"));
    if (!row)
        return;
    json_t *data = json_pack("{s:O, s:O}", "sessionId", json_object_get(row, "sessionId"), "userId",
                             json_object_get(row, "userId"));
    json_t *reason = json_object_get(r->body, "reason");
    if (reason)
        json_object_set(data, "reason", reason);
    call_send(r, &(struct call){
                     .type = "session.stop",
                     .data = data,
                     .wait_ms = STOP_WAIT_MS,
                     .done = on_stopped,
                     .location = arena_printf(r->arena, "/api/vpn/status/%s", id),
                     .accepted = json_pack("{s:s, s:s}", "sessionId", id, "status", "terminating"),
                 });
}

void handle_vpn_stop(struct request *r)
{
    ask_session(r, json_string_value(json_object_get(r->body, "sessionId")), on_stopping);
}

/* ---- all of them ---- */

struct listing {
    struct request *r;
    const char *user, *status;
    int64_t limit;
    json_t *counts;
};

static void on_list(void *arg, json_t *rows, const struct err *err)
{
    struct listing *l = arg;
    json_t *body = take(l->counts), *row, *cursor = NULL;
    size_t i, n = json_array_size(rows);
    if (err) {
        json_decref(body);
        unanswered(l->r, err);
        return;
    }
    json_array_foreach(rows, i, row)
    {
        if (i + 1 == n && n == (size_t)l->limit)
            cursor = json_incref(json_object_get(row, "cursor"));
        json_object_del(row, "cursor");
    }
    json_object_set(body, "sessions", rows);
    json_object_set_new(body, "cursor", cursor ? cursor : json_null());
    request_answer_json(l->r, 200, body);
}

static void on_counts(void *arg, json_t *rows, const struct err *err)
{
    struct listing *l = arg;
    struct args a;
    if (err) {
        request_unasked(l->r, err);
        return;
    }
    l->counts = json_incref(json_array_get(rows, 0));
    args_init(&a);
    args_text(&a, l->user);
    args_text(&a, l->status);
    args_int4(&a, (int32_t)l->limit);
    args_text(&a, l->r->params[PARAM_SESSION_CURSOR]);
    reader_ask(l->r->gateway->reader, SQL_SESSION_LIST, &a, on_list, l);
    args_done(&a);
}

/* Of everybody only for who acts for everybody. */
void handle_vpn_list(struct request *r)
{
    const struct principal *p = r->principal;
    const char *wanted = r->params[PARAM_OF_USER], *limit = r->params[PARAM_LIMIT];
    struct listing *l = arena_get(r->arena, sizeof *l);
    struct args a;
    if (!l) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    bool all = principal_may_act_for(p, "");
    *l = (struct listing){.r = r,
                          .user = all ? wanted : p->owner,
                          .status = r->params[PARAM_STATUS],
                          .limit = limit ? strtoll(limit, NULL, 10) : LIMIT_DEFAULT};
    if (wanted && !all && strcmp(wanted, p->owner) != 0) {
        request_answer_json(r, 200,
                            json_pack("{s:[], s:i, s:i, s:n}", "sessions", "totalCount", 0,
                                      "activeCount", 0, "cursor"));
        return;
    }
    args_init(&a);
    args_text(&a, l->user);
    args_text(&a, l->status);
    reader_ask(r->gateway->reader, SQL_SESSION_COUNT, &a, on_counts, l);
    args_done(&a);
}
