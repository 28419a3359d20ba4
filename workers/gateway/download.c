/* Links to a configuration (V-02, V-18, V-S6): the token in the path is the whole credential. What
 * comes to look, and not to fetch (HEAD, the previews of mail and chat programs), uses nothing up.
 * Unknown, over, used up and revoked are one answer. */
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/reader.h"
#include "gateway/recorder.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "core/json_value.h"
#include "drivers/client_config_row.h"
#include "drivers/qr.h"
#include "store/download.h"

enum { PNG_BYTES_MAX = 1 << 19 };

struct fetching {
    struct request *r;
    bool png;
    char session[64];
};

static void gone(struct request *r)
{
    record_no_download(r);
    (void)request_fail(r, HTTP_GONE, "the link is unknown, over, used up or revoked");
}

static void fail(struct request *r, const struct err *err)
{
    log_warn(&r->cx, "download.failed", KV_ERR(err));
    request_set(r, "Retry-After", "2");
    (void)request_fail(r, HTTP_UNAVAILABLE, "the configuration cannot be made for the moment");
}

/* ---- the configuration ---- */

static const char *text_of(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static void hand_over(struct request *r, const char *type, const void *p, size_t n)
{
    const uint8_t *copy = arena_copy(r->arena, p, n);
    if (!copy) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    r->answer.secret = true;
    request_answer(r, 200, type, (struct bytes){copy, n});
}

static bool hand_over_png(struct request *r, const struct secret *text, struct err *err)
{
    auto_qr struct qr *qr = qr_new(secret_view(text), secret_size(text), err);
    struct buf png;
    if (!qr)
        return false;
    buf_init(&png, PNG_BYTES_MAX);
    bool ok = qr_png(qr, &png, err);
    if (ok)
        hand_over(r, "image/png", png.p, png.n);
    if (png.p)
        sodium_memzero(png.p, png.cap);
    buf_done(&png);
    return ok;
}

static void on_config(void *arg, json_t *rows, const struct err *err)
{
    struct fetching *f = arg;
    struct request *r = f->r;
    struct err failed = {0};
    const json_t *row = json_array_get(rows, 0);
    if (err || !row) {
        if (err)
            fail(r, err);
        else
            gone(r);
        return;
    }
    auto_secret struct secret *text =
        client_config_of_row(r->gateway->conf.master_key_file, f->session, row, &failed);
    if (!text || (f->png && !hand_over_png(r, text, &failed)))
        fail(r, &failed);
    else if (!f->png)
        hand_over(r, "text/plain; charset=utf-8", secret_view(text), secret_size(text));
}

static void on_used(void *arg, json_t *rows, const struct err *err)
{
    struct fetching *f = arg;
    struct request *r = f->r;
    const char *session = text_of(json_array_get(rows, 0), "sessionId");
    struct args a;
    if (err || !session) {
        if (err)
            fail(r, err);
        else
            gone(r);
        return;
    }
    snprintf(f->session, sizeof f->session, "%s", session);
    record_download(r, f->session);
    log_info(&r->cx, "download.used", KV_STR("session", f->session));
    request_set(r, "Content-Disposition",
                f->png ? "inline; filename=\"drawbridge.png\""
                       : "attachment; filename=\"drawbridge.conf\"");
    args_init(&a);
    args_text(&a, f->session);
    reader_ask(r->gateway->reader, SQL_SESSION_CONFIG, &a, on_config, f);
    args_done(&a);
}

/* ---- only looking ---- */

static void on_looked(void *arg, json_t *rows, const struct err *err)
{
    static const char text[] = "A configuration waits here. Opening the link fetches it; a link "
                               "can be used a few times only.\n";
    struct fetching *f = arg;
    if (err)
        fail(f->r, err);
    else if (!json_array_size(rows))
        gone(f->r);
    else
        request_answer(f->r, 200, "text/plain; charset=utf-8",
                       (struct bytes){(const uint8_t *)text, sizeof text - 1});
}

/* Previews say so, in one of these ways. */
static bool only_looks(const struct request *r)
{
    static const char *const words[] = {
        "bot",   "preview", "crawl",  "spider",   "facebookexternal", "whatsapp", "slack",
        "skype", "embed",   "unfurl", "prefetch", "scanner",          "safelinks"};
    static const char *const headers[] = {"Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"};
    const char *agent = request_header(r, "User-Agent");
    if (!strcmp(r->method, "HEAD"))
        return true;
    for (size_t i = 0; agent && i < LEN(words); i++)
        if (strcasestr(agent, words[i]))
            return true;
    for (size_t i = 0; i < LEN(headers); i++) {
        const char *why = request_header(r, headers[i]);
        if (why && (strcasestr(why, "prefetch") || strcasestr(why, "preview")))
            return true;
    }
    return false;
}

/* "dl_….conf", "dl_….png", or the token alone. */
static bool read_path(struct request *r, struct fetching *f, uint8_t hash[static DOWNLOAD_HASH])
{
    char token[DOWNLOAD_TOKEN_TEXT + 8];
    snprintf(token, sizeof token, "%s", r->params[PARAM_DOWNLOAD]);
    char *dot = strrchr(token, '.');
    f->png = dot && !strcmp(dot, ".png");
    if (dot)
        *dot = 0;
    bool good = download_token_hash(token, hash);
    sodium_memzero(token, sizeof token);
    return good;
}

void handle_download(struct request *r)
{
    struct fetching *f = arena_get(r->arena, sizeof *f);
    uint8_t hash[DOWNLOAD_HASH];
    struct args a;
    if (!f) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    f->r = r;
    request_set(r, "Referrer-Policy", "no-referrer");
    request_set(r, "X-Robots-Tag", "noindex, nofollow");
    if (!read_path(r, f, hash)) {
        gone(r);
        return;
    }
    bool look = only_looks(r);
    args_init(&a);
    args_bytes(&a, hash, sizeof hash);
    args_time(&a, clock_ms(r->gateway->clock));
    reader_ask(r->gateway->reader, look ? SQL_DOWNLOAD_TOKEN_LOOK : SQL_DOWNLOAD_TOKEN_USE, &a,
               look ? on_looked : on_used, f);
    args_done(&a);
}
