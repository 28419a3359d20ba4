#include "gateway/callback_page.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "gateway/problem_json.h"

#include "page_files.h"

#define STYLE "callback.css"

enum { PAGE_MAX = 1 << 16, HASH_TEXT = 45 };

static const struct page_file *style(void)
{
    const struct page_file *f = page_files;
    while (f->name && strcmp(f->name, STYLE) != 0)
        f++;
    return f;
}

/* The style in the page is the one thing that it may have, and by its digest; and a form to us. */
static void set_policy(struct request *r, bool form)
{
    char policy[256];
    uint8_t digest[crypto_hash_sha256_BYTES];
    char hash[HASH_TEXT];
    crypto_hash_sha256(digest, (const uint8_t *)style()->text, style()->length);
    sodium_bin2base64(hash, sizeof hash, digest, sizeof digest, sodium_base64_VARIANT_ORIGINAL);
    snprintf(policy, sizeof policy,
             "default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action %s; "
             "frame-ancestors 'none'",
             hash, form ? "'self'" : "'none'");
    request_set(r, "Content-Security-Policy", policy);
    request_set(r, "Referrer-Policy", "no-referrer");
    request_set(r, "Cross-Origin-Opener-Policy", "same-origin");
    request_set(r, "Cross-Origin-Resource-Policy", "same-origin");
    request_set(r, "X-Robots-Tag", "noindex, nofollow");
}

static void put_escaped(struct buf *b, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '&':
            buf_str(b, "&amp;");
            break;
        case '<':
            buf_str(b, "&lt;");
            break;
        case '>':
            buf_str(b, "&gt;");
            break;
        case '"':
            buf_str(b, "&quot;");
            break;
        case '\'':
            buf_str(b, "&#39;");
            break;
        default:
            buf_put(b, s, 1);
        }
}

static void put_element(struct buf *b, const char *open, const char *s, const char *close)
{
    if (!s || !*s)
        return;
    buf_str(b, open);
    put_escaped(b, s);
    buf_str(b, close);
}

static void put_fact(struct buf *b, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    put_element(b, "<dt>", name, "</dt>");
    put_element(b, "<dd>", value, "</dd>\n");
}

static void put_form(struct buf *b, const struct request *r, const struct callback_page *p)
{
    if (!p->button)
        return;
    put_element(b, "<form method=\"post\" action=\"", r->path, "\">\n");
    for (const struct callback_field *f = p->fields; f->name; f++) {
        if (!f->value)
            continue;
        put_element(b, "<input type=\"hidden\" name=\"", f->name, "\"");
        buf_str(b, " value=\"");
        put_escaped(b, f->value);
        buf_str(b, "\">\n");
    }
    put_element(b, "<button type=\"submit\">", p->button, "</button>\n</form>\n");
}

static void put_page(struct buf *b, const struct request *r, const struct callback_page *p)
{
    static const char *const tones[] = {
        [TONE_GOOD] = "good", [TONE_WAIT] = "wait", [TONE_BAD] = "bad"};
    static const char *const signs[] = {[TONE_GOOD] = "✓", [TONE_WAIT] = "…", [TONE_BAD] = "!"};
    buf_str(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    put_element(b, "<title>", p->title, " – Drawbridge</title>\n<style>");
    buf_put(b, style()->text, style()->length);
    buf_printf(b,
               "</style>\n</head>\n<body>\n<main class=\"%s\">\n<p class=\"sign\" "
               "aria-hidden=\"true\">%s</p>\n",
               tones[p->tone], signs[p->tone]);
    put_element(b, "<h1>", p->title, "</h1>\n");
    put_element(b, "<p>", p->said, "</p>\n");
    put_form(b, r, p);
    put_element(b, "<p class=\"next\">", p->next, "</p>\n");
    buf_str(b, "<dl>\n");
    put_fact(b, "Connection", p->connection);
    put_fact(b, "Begun by", p->requester);
    put_fact(b, "The provider says", p->detail);
    put_fact(b, "Reference", r->correlation_id);
    buf_str(b, "</dl>\n</main>\n</body>\n</html>\n");
}

void callback_page_answer(struct request *r, const struct callback_page *p)
{
    auto_buf struct buf b;
    buf_init(&b, PAGE_MAX);
    put_page(&b, r, p);
    const uint8_t *copy = buf_ok(&b) ? arena_copy(r->arena, b.p, b.n) : NULL;
    set_policy(r, p->button != NULL);
    r->answer.secret = true;
    request_answer(r, copy ? p->status : 503, "text/html; charset=utf-8",
                   copy ? (struct bytes){copy, b.n} : (struct bytes){(const uint8_t *)"", 0});
}

/* What the code of a problem means to somebody who has just come back. */
static const struct {
    const char *code, *title, *said, *next;
} problems[] = {
    {"connection.state_unknown", "This link does not work",
     "It was used already, or it is none of ours.",
     "If the connection is not ready yet, begin to authorize it again."},
    {"connection.state_expired", "This link is over",
     "It is good for ten minutes, and these have passed.", "Begin to authorize it again."},
    {"connection.state_stale", "The connection was changed",
     "Somebody has changed it since this authorization began.", "Begin to authorize it again."},
    {"connection.browser", "This link belongs to another browser",
     "An authorization ends in the browser where it was begun.",
     "Open the link there, or begin to authorize the connection here."},
    {"connection.issuer", "The answer came from somewhere else",
     "It does not say that it comes from the provider of this connection, so it was not used.",
     "Begin to authorize it again. If this comes again, tell whoever looks after Drawbridge."},
    {"request.malformed", "The answer cannot be read",
     "The provider has sent you back without what Drawbridge needs.",
     "Begin to authorize the connection again."},
    {"connection.unknown", "There is no such connection", "It was deleted meanwhile.",
     "Make it again, then authorize it."},
    {NULL, "That did not work", NULL,
     "Begin to authorize the connection again. If this comes again, tell whoever looks after "
     "Drawbridge, with the reference."},
};

void callback_page_problem(struct request *r, const struct problem_json *p)
{
    size_t i = 0;
    while (problems[i].code && strcmp(problems[i].code, p->code) != 0)
        i++;
    callback_page_answer(r, &(struct callback_page){
                                .status = p->status,
                                .tone = TONE_BAD,
                                .title = problems[i].title,
                                .said = problems[i].said ? problems[i].said : p->detail,
                                .next = problems[i].next,
                                .connection = r->params[PARAM_CONNECTION_NAME],
                            });
}
