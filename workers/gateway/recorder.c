#include "gateway/recorder.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/access.h"
#include "gateway/gateway.h"
#include "gateway/net.h"
#include "gateway/publish.h"
#include "gateway/request.h"

#include "core/clock.h"
#include "core/compose.h"
#include "core/metric.h"

enum {
    ROWS = 8192,
    TURN_MS = 25,
    PER_TURN = 8,        /* composed in one turn of the loop: who asks meanwhile waits for them */
    UNDER_WAY_MAX = 256, /* beyond, it is counted and not sent */
    AGAIN_US = 1000000,
    ARENA_BLOCK = 2000,
    ARENA_MAX = 65536,
};

#define SOURCE "urn:drawbridge:gateway"

/* A command until it is in the log. */
struct sending {
    struct recorder *recorder;
    struct sending *next; /* of those that are sent again */
    struct arena *arena;
    struct message message;
};

struct recorder {
    struct gateway *gateway;
    struct tally *tally;
    uv_timer_t turn;
    int64_t window_ends_us, again_us;
    struct sending *again;
    size_t under_way; /* handed to Kafka's client, or in `again` */
    char name[128];   /* of this gateway */
};

/* ---- noting ---- */

static void fit(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
}

static void see(struct request *r, struct sighting *s)
{
    struct recorder *c = r->gateway->recorder;
    s->route = r->route->name;
    if (s->reason)
        net_network_text(r->address, s->address);
    else
        fit(s->address, sizeof s->address, r->address);
    fit(s->correlation, sizeof s->correlation, r->correlation_id);
    tally_see(c->tally, s, clock_ms(r->gateway->clock));
}

void record_authenticated(struct request *r)
{
    struct sighting s = {.kind = SEEN_AUTHENTICATED};
    fit(s.token, sizeof s.token, r->principal->token);
    fit(s.owner, sizeof s.owner, r->principal->owner);
    metric_add(METRIC_HTTP_AUTHENTICATED, r->principal->token ? "token" : "key", 1);
    see(r, &s);
}

void record_denied(struct request *r, const char *why, const uint8_t *token, const char *owner)
{
    static const uint8_t none[UUID_BYTES];
    struct sighting s = {.kind = SEEN_DENIED, .reason = why};
    if (token && memcmp(token, none, sizeof none) != 0)
        uuid_format(token, s.token);
    fit(s.owner, sizeof s.owner, owner);
    metric_add(METRIC_HTTP_DENIED, why, 1);
    see(r, &s);
}

void record_download(struct request *r, const char *session)
{
    struct sighting s = {.kind = SEEN_DOWNLOAD};
    fit(s.session, sizeof s.session, session);
    metric_add(METRIC_DOWNLOADS, "used", 1);
    see(r, &s);
}

void record_no_download(struct request *r)
{
    struct sighting s = {.kind = SEEN_NO_DOWNLOAD, .reason = "gone"};
    metric_add(METRIC_DOWNLOADS, "refused", 1);
    see(r, &s);
}

static void see_credential(struct request *r, struct sighting *s, const char *connection)
{
    fit(s->token, sizeof s->token, r->principal->token);
    fit(s->owner, sizeof s->owner, r->principal->owner);
    fit(s->connection, sizeof s->connection, connection);
    metric_add(METRIC_CREDENTIALS, s->reason ? s->reason : "given", 1);
    see(r, s);
}

void record_credential(struct request *r, const char *connection)
{
    struct sighting s = {.kind = SEEN_CREDENTIAL};
    see_credential(r, &s, connection);
}

void record_no_credential(struct request *r, const char *connection, const char *why)
{
    struct sighting s = {.kind = SEEN_NO_CREDENTIAL, .reason = why};
    see_credential(r, &s, connection);
}

void record_no_callback(struct request *r, const char *connection, const char *why)
{
    struct sighting s = {.kind = SEEN_NO_CALLBACK, .reason = why};
    fit(s.connection, sizeof s.connection, connection);
    see(r, &s);
}

/* ---- sending ---- */

static void put(json_t *data, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(data, key, json_string(text));
}

static void put_time(json_t *data, const char *key, int64_t ms)
{
    char text[25];
    clock_format(ms, text);
    put(data, key, text);
}

static json_t *data_of(const struct recorder *c, const struct tally_row *row)
{
    static const char *const events[SEEN_KINDS] = {
        [SEEN_AUTHENTICATED] = "request.authenticated",
        [SEEN_DENIED] = "request.denied",
        [SEEN_DOWNLOAD] = "download.used",
        [SEEN_NO_DOWNLOAD] = "download.refused",
        [SEEN_CREDENTIAL] = "credential.given",
        [SEEN_NO_CREDENTIAL] = "credential.refused",
        [SEEN_NO_CALLBACK] = "callback.refused",
    };
    const struct sighting *s = &row->what;
    json_t *data = json_object();
    put(data, "gateway", c->name);
    put(data, "event", events[s->kind]);
    put(data, "reason", s->reason);
    put(data, "route", s->route);
    put(data, "tokenId", s->token);
    put(data, "userId", s->owner);
    put(data, "sessionId", s->session);
    put(data, "connectionId", s->connection);
    put(data, "address", s->address);
    json_object_set_new(data, "count", json_integer(row->count));
    put_time(data, "firstAt", row->first_ms);
    put_time(data, "lastAt", row->last_ms);
    json_object_set_new(data, "requestedBy",
                        json_pack("{s:s, s:s}", "kind", "system", "id", c->name));
    return data;
}

static void sending_free(struct sending *s)
{
    s->recorder->under_way--;
    message_done(&s->message);
    arena_free(&s->arena);
    free(s);
}

static void on_published(void *arg, const struct err *failed)
{
    struct sending *s = arg;
    struct recorder *c = s->recorder;
    if (!failed) {
        sending_free(s);
        return;
    }
    if (!c->again) {
        log_warn(&c->gateway->cx, "record.unpublished", KV_ERR(failed));
        c->again_us = clock_mono_now_us() + AGAIN_US;
    }
    s->next = c->again;
    c->again = s;
}

static struct sending *sending_new(struct recorder *c)
{
    struct sending *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->recorder = c;
    s->arena = arena_new(ARENA_BLOCK, ARENA_MAX);
    if (!s->arena) {
        free(s);
        return NULL;
    }
    c->under_way++;
    return s;
}

static bool compose_row(struct sending *s, const struct tally_row *row, struct err *err)
{
    struct recorder *c = s->recorder;
    struct problems problems;
    problems_init(&problems, s->arena);
    /* Copied: the record points to it, and may be sent again. */
    const char *correlation = arena_str(s->arena, row->what.correlation);
    json_t *data = data_of(c, row);
    bool ok = compose(s->arena,
                      &(struct composition){
                          .type = "auth.record",
                          .source = SOURCE,
                          .correlation_id = correlation && *correlation ? correlation : NULL,
                          .now_ms = clock_ms(c->gateway->clock),
                          .data = data,
                      },
                      &s->message, &problems, err);
    json_decref(data);
    return ok;
}

static void send_row(struct recorder *c, const struct tally_row *row)
{
    struct err err = {0};
    struct sending *s = sending_new(c);
    if (s && compose_row(s, row, &err)) {
        publish(c->gateway->publisher, &s->message.record, on_published, s);
        return;
    }
    if (!s)
        (void)err_set(&err, ERR_NO_MEMORY, "a record");
    log_error(&c->gateway->cx, "record.lost", KV_INT("count", row->count), KV_ERR(&err));
    if (s)
        sending_free(s);
}

static void send_again(struct recorder *c, int64_t now_us)
{
    if (!c->again || now_us < c->again_us)
        return;
    struct sending *s = take(c->again);
    while (s) {
        struct sending *next = take(s->next);
        publish(c->gateway->publisher, &s->message.record, on_published, s);
        s = next;
    }
}

static void on_turn(uv_timer_t *timer)
{
    struct recorder *c = timer->data;
    struct tally_row row;
    int64_t now_us = clock_mono_now_us();
    send_again(c, now_us);
    if (c->gateway->draining || now_us >= c->window_ends_us) {
        tally_turn(c->tally);
        c->window_ends_us = now_us + c->gateway->conf.gateway_record_window * 1000;
    }
    for (int i = 0; i < PER_TURN && c->under_way < UNDER_WAY_MAX && tally_next(c->tally, &row); i++)
        send_row(c, &row);
}

bool recorder_done(const struct recorder *c)
{
    return !c->under_way && !tally_untold(c->tally);
}

/* ---- life ---- */

/* As it may stand in a subject: what else a host may be called becomes a dash. */
static void name_of(const struct conf *conf, char *out, size_t size)
{
    char host[64] = "";
    if (!*conf->instance_id && gethostname(host, sizeof host - 1))
        host[0] = 0;
    snprintf(out, size, "%s", *conf->instance_id ? conf->instance_id : *host ? host : "gateway");
    for (char *at = out; *at; at++)
        if (!strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-", *at))
            *at = '-';
}

struct recorder *recorder_new(struct gateway *g, struct err *err)
{
    struct recorder *c = calloc(1, sizeof *c);
    if (!c || !(c->tally = tally_new(ROWS, err))) {
        free(c);
        (void)err_set(err, ERR_NO_MEMORY, "the recorder");
        return NULL;
    }
    c->gateway = g;
    c->window_ends_us = clock_mono_now_us() + g->conf.gateway_record_window * 1000;
    name_of(&g->conf, c->name, sizeof c->name);
    uv_timer_init(&g->loop, &c->turn);
    c->turn.data = c;
    uv_timer_start(&c->turn, on_turn, TURN_MS, TURN_MS);
    return c;
}
