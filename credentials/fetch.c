#include "fetch.h"

#include "problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct fetch_answer *a = arg;
    size_t bytes = size * n;
    if (bytes > FETCH_BODY_MAX - a->n) {
        a->full = true;
        return 0; /* ends the transfer */
    }
    memcpy(a->body + a->n, p, bytes);
    a->n += bytes;
    a->body[a->n] = '\0';
    return bytes;
}

static void set_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static bool set_up(CURL *curl, const struct fetch *f, const struct curl_slist *headers,
                   struct fetch_answer *out, char *said)
{
    curl_easy_reset(curl); /* keeps the connection */
    set_protocols(curl);
    return !curl_easy_setopt(curl, CURLOPT_URL, f->url) &&
           !curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) &&
           !curl_easy_setopt(curl, CURLOPT_USERAGENT, "drawbridge-credentials/1") &&
           !curl_easy_setopt(curl, CURLOPT_PROXY, "") &&
           !curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) &&
           !curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, f->timeout_ms) &&
           !curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, said) &&
           !curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) &&
           !curl_easy_setopt(curl, CURLOPT_WRITEDATA, (void *)out) &&
           (!f->ca_file || !curl_easy_setopt(curl, CURLOPT_CAINFO, f->ca_file));
}

static struct curl_slist *headers_of(const char *token)
{
    size_t room = strlen(token) + sizeof "Authorization: Bearer ";
    char *line = malloc(room);
    if (!line)
        return NULL;
    snprintf(line, room, "Authorization: Bearer %s", token);
    struct curl_slist *list = curl_slist_append(NULL, line);
    explicit_bzero(line, room);
    free(line);
    struct curl_slist *both =
        list ? curl_slist_append(list, "Accept: application/json, application/problem+json") : NULL;
    return both ? both : list;
}

static void headers_free(struct curl_slist *list)
{
    for (struct curl_slist *s = list; s; s = s->next)
        explicit_bzero(s->data, strlen(s->data));
    curl_slist_free_all(list);
}

bool drawbridge_fetch(CURL *curl, const struct fetch *f, struct fetch_answer *out,
                      struct drawbridge_problem *why)
{
    char said[CURL_ERROR_SIZE] = "";
    curl_off_t after = 0;
    out->status = 0;
    out->n = 0;
    out->full = false;
    out->body[0] = '\0';
    struct curl_slist *headers = headers_of(f->token);
    if (!headers || !set_up(curl, f, headers, out, said)) {
        headers_free(headers);
        return drawbridge_problem_set(why, DRAWBRIDGE_NO_MEMORY, "no memory for a request");
    }
    CURLcode code = curl_easy_perform(curl);
    headers_free(headers);
    if (out->full)
        return drawbridge_problem_set(why, DRAWBRIDGE_BAD_ANSWER,
                                      "the gateway's answer is too long");
    if (code)
        return drawbridge_problem_set(why, DRAWBRIDGE_UNREACHABLE,
                                      "the gateway cannot be asked: %s",
                                      said[0] ? said : curl_easy_strerror(code));
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
    (void)curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &after);
    out->retry_after_s = (long)after;
    return true;
}
