/* Where a provider sends a person back to (O-04): with a code, which becomes tokens, or with an
 * error. There is no bearer token here; what lets somebody in is the state, which is found by its
 * digest, belongs to the connection in the path, is good once, ends, and is bound to a browser, or
 * else the person is asked once more, for whoever began it may have sent somebody else.
 * The answer is a page for that person (callback_page.h). */
#include "gateway/access.h"
#include "gateway/binding.h"
#include "gateway/call.h"
#include "gateway/callback_page.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/recorder.h"
#include "gateway/secret_row.h"

#include <sodium.h>
#include <string.h>

#include "core/json_value.h"
#include "core/uuid.h"
#include "domain/oauth.h"
#include "domain/percent.h"
#include "drivers/oauth_begin.h"

enum { WAIT_MS = 25000, STATE_MAX = 512, CODE_MAX = 8192, WORDS_MAX = 500, LOCATION_MAX = 12288 };

struct returning {
    struct request *r;
    const char *code, *state, *iss, *error, *description; /* NULL: absent */
    const char *state_id, *connection;                    /* of the row */
    bool agreed;                                          /* the person was asked, and said so */
    uint8_t code_id[UUID_BYTES];
};

/* ---- what came of it ---- */

static const char *name_in(const char *connection)
{
    const char *slash = strchr(connection, '/');
    return slash ? slash + 1 : connection;
}

/* What became of it, by the reason that the connection has now; the last: by any other. */
static const struct {
    const char *reason;
    enum callback_tone tone;
    const char *title, *said, *next;
} failures[] = {
    {"denied", TONE_BAD, "Not authorized",
     "The provider says that access was not allowed. What the connection had before, it still has.",
     "If that was a mistake, begin to authorize the connection again."},
    {"test_failed", TONE_BAD, "Authorized, but it does not work",
     "The provider gave access, and then did not accept it when it was tried out.",
     "See whether the account has the rights that the connection asks for, then begin again."},
    {"test_unanswered", TONE_WAIT, "Authorized, but not tried out",
     "The provider gave access, and did not answer when it was tried out.",
     "You can close this window: it is tried again by itself."},
    {"misconfigured", TONE_BAD, "The connection is not set up right",
     "The provider does not take the request as the connection makes it.",
     "Whoever set it up has to correct it; then begin to authorize it again."},
    {NULL, TONE_BAD, "The provider did not accept it", "The connection could not be made ready.",
     "Begin to authorize it again. If this comes again, tell whoever looks after Drawbridge, with "
     "the reference."},
};

/* A connection that goes on with what it had has no reason: then the provider's word counts. */
static size_t failure_of(const struct returning *b, const json_t *data)
{
    const char *reason = json_member_text(data, "reason");
    size_t i = 0;
    if (!reason && b->error && !strcmp(b->error, "access_denied"))
        reason = "denied";
    while (failures[i].reason && (!reason || strcmp(failures[i].reason, reason) != 0))
        i++;
    return i;
}

static void on_exchanged(struct request *r, const json_t *data)
{
    const struct returning *b = r->work;
    bool done = !strcmp(r->event, "drawbridge.connection.completed") ||
                !strcmp(r->event, "drawbridge.connection.tested");
    size_t i = failure_of(b, data);
    struct callback_page page = {.status = 200,
                                 .title = "Connected",
                                 .said = "The connection is authorized and ready to be used.",
                                 .next = "You can close this window.",
                                 .connection = name_in(b->connection)};
    if (!done) {
        page.tone = failures[i].tone;
        page.title = failures[i].title;
        page.said = failures[i].said;
        page.next = failures[i].next;
        page.detail = json_member_text(data, "message");
    }
    callback_page_answer(r, &page);
}

static void on_undecided(struct request *r, const char *command)
{
    const struct returning *b = r->work;
    callback_page_answer(
        r,
        &(struct callback_page){
            .status = command ? 200 : 503,
            .tone = command ? TONE_WAIT : TONE_BAD,
            .title = command ? "Still going on" : "Not for the moment",
            .said = command ? "The provider has sent you back, and the connection is being made "
                              "ready. That takes longer than usual."
                            : "Drawbridge cannot carry it out just now.",
            .next = command ? "You can close this window: it goes on by itself, and the status of "
                              "the connection says how it ended."
                            : "Begin to authorize the connection again in some minutes.",
            .connection = name_in(b->connection)});
}

/* ---- the command ---- */

/* Who began it asks for this too; nothing else is allowed to anybody here. */
static bool become_requester(struct returning *b, const json_t *row)
{
    struct request *r = b->r;
    struct principal *p = arena_get(r->arena, sizeof *p);
    const char *requester = json_member_text(row, "requester"), *slash = strchr(b->connection, '/');
    if (!p || !requester || !slash)
        return false;
    *p = (struct principal){
        .owner = arena_str(r->arena, requester),
        .tenant = arena_strn(r->arena, b->connection, (size_t)(slash - b->connection)),
        .owner_is_user = true};
    r->principal = p;
    return p->owner && p->tenant;
}

static void exchange(struct returning *b, json_t *data)
{
    json_object_set_new(data, "connectionId", json_string(b->connection));
    json_object_set_new(data, "stateId", json_string(b->state_id));
    b->r->work = b;
    call_send(b->r, &(struct call){.type = "connection.exchange",
                                   .data = data,
                                   .wait_ms = WAIT_MS,
                                   .done = on_exchanged,
                                   .undecided = on_undecided});
}

/* One word of RFC 6749 §4.1.2.1, and a sentence that is fit to be shown. */
static void exchange_error(struct returning *b)
{
    char words[WORDS_MAX];
    size_t n = strlen(b->error);
    bool fits = n <= 100;
    for (size_t i = 0; i < n; i++)
        fits = fits && b->error[i] > ' ' && b->error[i] < 0x7f;
    b->error = n && fits ? b->error : "server_error";
    const char *told = b->description ? b->description : "";
    oauth_clean(told, strlen(told), NULL, 0, words, sizeof words);
    exchange(
        b, json_pack("{s:s, s:s*}", "error", b->error, "errorDescription", *words ? words : NULL));
}

static void on_code(void *arg, json_t *rows, const struct err *err)
{
    struct returning *b = arg;
    char id[UUID_TEXT];
    (void)rows;
    if (err) {
        request_unasked(b->r, err);
        return;
    }
    uuid_format(b->code_id, id);
    exchange(b, json_pack("{s:s}", "codeId", id));
}

/* ---- the state ---- */

static void refuse(struct returning *b, const char *why, const char *code, const char *detail)
{
    record_no_callback(b->r, b->connection, why);
    request_refuse(b->r, 400, code, detail, "begin anew: POST …/authorize");
}

/* It was begun in a browser: whether that is this one. *out_again: this one may not have been
 * asked for its cookie (a form that comes from another site), and will be when it asks itself. */
static bool is_bound(const struct returning *b, const json_t *row, bool *out_again)
{
    const char *wanted = json_member_text(row, "binding");
    uint8_t digest[BINDING_DIGEST];
    char hex[2 * BINDING_DIGEST + 1];
    if (!wanted)
        return true;
    bool came = binding_of(b->r, digest);
    *out_again = !came && b->r->route == &routes[ROUTE_oauth_callback_form];
    if (!came)
        return false;
    sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    return strlen(wanted) == sizeof hex - 1 && !sodium_memcmp(hex, wanted, sizeof hex - 1);
}

static void put_param(struct buf *out, const char *name, const char *value)
{
    char c[3];
    if (!value)
        return;
    buf_printf(out, "%s%s=", out->n && memchr(out->p, '?', out->n) ? "&" : "?", name);
    for (; *value; value++)
        buf_put(out, c, percent_encode(*value, PERCENT_UNRESERVED, c));
}

/* 303 to this path, and to no other: a browser sends its cookie along with what it asks itself. */
static void ask_again(const struct returning *b)
{
    struct request *r = b->r;
    auto_buf struct buf to;
    buf_init(&to, LOCATION_MAX);
    buf_str(&to, r->path);
    put_param(&to, "code", b->code);
    put_param(&to, "state", b->state);
    put_param(&to, "iss", b->iss);
    put_param(&to, "error", b->error);
    put_param(&to, "error_description", b->description);
    if (!buf_ok(&to)) {
        (void)request_fail(r, HTTP_MALFORMED, "the answer is too long");
        return;
    }
    request_set(r, "Location", (const char *)to.p);
    request_set(r, "Referrer-Policy", "no-referrer");
    request_answer(r, 303, "text/html; charset=utf-8", (struct bytes){(const uint8_t *)"", 0});
}

/* RFC 9207: what says who it is says the right name; what should say it says it. */
static bool is_from(const struct returning *b, const json_t *row)
{
    const char *issuer = json_member_text(row, "issuer");
    if (!issuer)
        return true;
    return b->iss ? !strcmp(issuer, b->iss) : !json_is_true(json_object_get(row, "tells_issuer"));
}

/* False: answered. */
static bool holds(struct returning *b, const json_t *row)
{
    const char *until = json_member_text(row, "until");
    int64_t until_ms = 0;
    bool again = false, timed = until && clock_parse(until, strlen(until), &until_ms);
    if (!row || strcmp(name_in(b->connection), b->r->params[PARAM_CONNECTION_NAME]) != 0 ||
        !json_is_true(json_object_get(row, "open")))
        refuse(b, "state", "connection.state_unknown", "the state is unknown, or was used already");
    else if (!timed || until_ms <= clock_ms(b->r->gateway->clock))
        refuse(b, "time", "connection.state_expired", "the authorization took too long");
    else if (!is_from(b, row))
        refuse(b, "issuer", "connection.issuer", "the issuer is another");
    else if (is_bound(b, row, &again))
        return true;
    else if (again)
        ask_again(b);
    else
        refuse(b, "browser", "connection.browser",
               "the authorization was begun in another browser");
    return false;
}

/* Nobody knows in whose browser it was begun: that a person comes back does not mean that they know
 * what they have allowed. Somebody else may have sent them the link. */
static void ask_person(struct returning *b, const json_t *row)
{
    const struct callback_field fields[] = {
        {"code", b->code}, {"state", b->state}, {"iss", b->iss}, {"agreed", "yes"}, {NULL, NULL}};
    callback_page_answer(
        b->r, &(struct callback_page){
                  .status = 200,
                  .tone = TONE_WAIT,
                  .title = "Connect your account?",
                  .said = "You have just allowed access to an account of yours. If you go on, "
                          "whoever may use this connection works with that account.",
                  .next = "Go on only if you know who began it, and what for. Otherwise close this "
                          "window: nothing has been connected.",
                  .connection = b->connection,
                  .requester = json_member_text(row, "requester"),
                  .button = "Connect",
                  .fields = fields});
}

static void on_state(void *arg, json_t *rows, const struct err *err)
{
    struct returning *b = arg;
    struct request *r = b->r;
    const json_t *row = json_array_get(rows, 0);
    if (err) {
        request_unasked(r, err);
        return;
    }
    b->connection = arena_str(r->arena, row ? json_member_text(row, "connection") : "");
    b->state_id = arena_str(r->arena, row ? json_member_text(row, "id") : "");
    if (!b->connection || !b->state_id)
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
    else if (!holds(b, row))
        return;
    else if (!become_requester(b, row))
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
    else if (b->error)
        exchange_error(b);
    else if (!json_member_text(row, "binding") && !b->agreed)
        ask_person(b, row);
    else {
        uuid_random(b->code_id);
        secret_row_add(r, b->code_id, b->connection, "code", b->code, on_code, b);
    }
}

/* ---- either way in ---- */

static bool fits(const char *value, size_t most)
{
    return !value || strlen(value) <= most;
}

static void come_back(struct returning *b)
{
    struct request *r = b->r;
    uint8_t digest[OAUTH_STATE_DIGEST];
    struct args a;
    bool whole = b->state && (b->code || b->error) && fits(b->state, STATE_MAX) &&
                 fits(b->code, CODE_MAX) && (!b->code || *b->code);
    if (!whole) {
        (void)request_fail(r, HTTP_MALFORMED, "state, and code or error, are what is needed");
        return;
    }
    oauth_state_digest(b->state, strlen(b->state), digest);
    args_init(&a);
    args_bytes(&a, digest, sizeof digest);
    reader_ask(r->gateway->reader, SQL_OAUTH_STATE_SHOW, &a, on_state, b);
    args_done(&a);
}

/* The button of our own page was pressed: a form of a provider has no such field, and one of
 * somebody else's page comes from elsewhere. */
static bool agrees(const struct request *r)
{
    const char *agreed = json_member_text(r->body, "agreed"),
               *site = request_header(r, "Sec-Fetch-Site");
    return agreed && !strcmp(agreed, "yes") && (!site || !strcmp(site, "same-origin"));
}

static struct returning *begin(struct request *r)
{
    struct returning *b = arena_get(r->arena, sizeof *b);
    r->tell = callback_page_problem;
    if (b)
        b->r = r;
    else
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
    return b;
}

void handle_oauth_callback(struct request *r)
{
    struct returning *b = begin(r);
    if (!b)
        return;
    if (!strcmp(r->method, "HEAD")) { /* somebody looks where a link leads */
        callback_page_answer(
            r, &(struct callback_page){.status = 200, .tone = TONE_WAIT, .title = "Drawbridge"});
        return;
    }
    b->code = r->params[PARAM_CODE];
    b->state = r->params[PARAM_STATE];
    b->iss = r->params[PARAM_ISS];
    b->error = r->params[PARAM_ERROR];
    b->description = r->params[PARAM_ERROR_DESCRIPTION];
    come_back(b);
}

void handle_oauth_callback_form(struct request *r)
{
    struct returning *b = begin(r);
    if (!b)
        return;
    b->code = json_member_text(r->body, "code");
    b->state = json_member_text(r->body, "state");
    b->iss = json_member_text(r->body, "iss");
    b->error = json_member_text(r->body, "error");
    b->description = json_member_text(r->body, "error_description");
    b->agreed = agrees(r);
    come_back(b);
}
