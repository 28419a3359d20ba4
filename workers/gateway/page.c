/* The operator's page: files of page/, embedded. What it may do is said in its head: no script but
 * ours, no other host, no frame around it; its script puts every text there as text. */
#include <string.h>

#include "gateway/handlers.h"

#include "page_files.h"

#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "        \
    "'self'; "                                                                                     \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "                                \
    "require-trusted-types-for 'script'; trusted-types 'none'"

static void answer_file(struct request *r, const char *name, const char *type)
{
    for (const struct page_file *f = page_files; f->name; f++)
        if (!strcmp(f->name, name)) {
            request_set(r, "Content-Security-Policy", POLICY);
            request_set(r, "Referrer-Policy", "no-referrer");
            request_set(r, "Cross-Origin-Opener-Policy", "same-origin");
            request_set(r, "Cross-Origin-Resource-Policy", "same-origin");
            request_set(r, "Permissions-Policy", "camera=(), geolocation=(), microphone=()");
            request_answer(r, 200, type, (struct bytes){(const uint8_t *)f->text, f->length});
            return;
        }
    (void)request_fail(r, HTTP_NOT_FOUND, "the page is no part of this build");
}

void handle_page(struct request *r)
{
    answer_file(r, "index.html", "text/html; charset=utf-8");
}

void handle_page_style(struct request *r)
{
    answer_file(r, "page.css", "text/css; charset=utf-8");
}

void handle_page_script(struct request *r)
{
    answer_file(r, "page.js", "text/javascript; charset=utf-8");
}

void handle_page_icon(struct request *r)
{
    answer_file(r, "favicon.svg", "image/svg+xml");
}
