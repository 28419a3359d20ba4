/* The cache: a table under one mutex. Who finds a name that somebody is asking for waits for that
 * answer; nobody else waits for a request. */
#include "drawbridge_credentials.h"

#include "answer.h"
#include "problem.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

enum {
    NAME_MAX_BYTES = 128,
    URL_MAX_BYTES = 2048,
    TOKEN_MAX_BYTES = 4096,
    ENTRIES = 256,
    HANDLES = 8, /* connections that are kept */
    TIMEOUT_MS = 10000,
    CACHE_MS = 60000,
    MARGIN_MS = 60000, /* before a token's end it is not handed out of the cache any more */
};

struct entry {
    char name[NAME_MAX_BYTES + 1]; /* "": free */
    bool busy;                     /* somebody is asking */
    bool stale;                    /* forgotten meanwhile */
    struct drawbridge_credential credential;
    int64_t until_ms; /* monotonic; 0: nothing is kept */
};

struct drawbridge_credentials {
    char *url, *token, *token_file, *ca_file, *org, *workflow;
    long timeout_ms, cache_ms;
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    struct entry entries[ENTRIES];
    CURL *idle[HANDLES];
    size_t nidle;
};

/* ---- small things ---- */

static int64_t clock_ms(clockid_t which)
{
    struct timespec t;
    (void)clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wipe_text(char **text)
{
    if (*text)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void drawbridge_credential_wipe(struct drawbridge_credential *c)
{
    wipe_text(&c->access_token);
    wipe_text(&c->token_type);
    wipe_text(&c->scopes);
    c->expires_at_ms = 0;
}

static bool copy_text(const char *from, char **out)
{
    *out = from ? strdup(from) : NULL;
    return !from || *out;
}

static bool copy(const struct drawbridge_credential *from, struct drawbridge_credential *out,
                 struct drawbridge_problem *why)
{
    *out = (struct drawbridge_credential){.expires_at_ms = from->expires_at_ms};
    if (copy_text(from->access_token, &out->access_token) &&
        copy_text(from->token_type, &out->token_type) && copy_text(from->scopes, &out->scopes))
        return true;
    drawbridge_credential_wipe(out);
    return drawbridge_problem_set(why, DRAWBRIDGE_NO_MEMORY, "no memory for a token");
}

static bool is_name(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    return n > 0 && n <= NAME_MAX_BYTES && strspn(s, NAME_LETTERS) == n && !strchr("._-", s[0]);
}

/* ---- open, close ---- */

static void start_curl(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* An option, or else the environment's, or NULL. Empty is not said. */
static const char *said(const char *option, const char *variable)
{
    const char *s = option ? option : getenv(variable);
    return s && s[0] ? s : NULL;
}

/* This machine's own, whose traffic nobody else sees. */
static bool is_local(const char *host)
{
    static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (!strncmp(host, names[i], n) && strchr(":/", host[n]))
            return true; /* strchr finds the end too */
    }
    return false;
}

static bool check_url(const char *url, bool plain_http, struct drawbridge_problem *why)
{
    if (!url)
        return drawbridge_problem_set(why, DRAWBRIDGE_WRONG_CALL,
                                      "nobody said where the gateway is: DRAWBRIDGE_GATEWAY_URL");
    if (strlen(url) > URL_MAX_BYTES - 3 * NAME_MAX_BYTES - 64 || strpbrk(url, "?#@ \r\n"))
        return drawbridge_problem_set(why, DRAWBRIDGE_WRONG_CALL,
                                      "the gateway's URL is too long, or none");
    if (!strncmp(url, "https://", 8) ||
        (!strncmp(url, "http://", 7) && (plain_http || is_local(url + 7))))
        return true;
    return drawbridge_problem_set(
        why, DRAWBRIDGE_WRONG_CALL,
        "the gateway's URL must begin with https://, unless it is on this machine");
}

static bool check_names(const struct drawbridge_credentials_options *o,
                        struct drawbridge_problem *why)
{
    if ((o->org && !is_name(o->org)) || (o->workflow && !is_name(o->workflow)))
        return drawbridge_problem_set(why, DRAWBRIDGE_WRONG_CALL,
                                      "an organisation or workflow is of letters, digits, . _ -");
    if (!said(o->token, "") && !said(o->token_file, "DRAWBRIDGE_TOKEN_FILE"))
        return drawbridge_problem_set(why, DRAWBRIDGE_WRONG_CALL,
                                      "there is no token for the gateway: DRAWBRIDGE_TOKEN_FILE");
    return true;
}

static struct drawbridge_credentials *made(const struct drawbridge_credentials_options *o,
                                           const char *url)
{
    struct drawbridge_credentials *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    (void)pthread_mutex_init(&c->mutex, NULL);
    (void)pthread_cond_init(&c->answered, NULL);
    c->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
    c->cache_ms = o->cache_ms ? o->cache_ms : CACHE_MS;
    if (!copy_text(url, &c->url) || !copy_text(said(o->token, ""), &c->token) ||
        !copy_text(said(o->token_file, "DRAWBRIDGE_TOKEN_FILE"), &c->token_file) ||
        !copy_text(said(o->ca_file, "DRAWBRIDGE_GATEWAY_CA_FILE"), &c->ca_file) ||
        !copy_text(o->org, &c->org) || !copy_text(o->workflow, &c->workflow))
        drawbridge_credentials_close(&c);
    return c;
}

struct drawbridge_credentials *
drawbridge_credentials_open(const struct drawbridge_credentials_options *options,
                            struct drawbridge_problem *why)
{
    static const struct drawbridge_credentials_options none;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const struct drawbridge_credentials_options *o = options ? options : &none;
    const char *url = said(o->gateway_url, "DRAWBRIDGE_GATEWAY_URL");
    if (!check_url(url, o->plain_http, why) || !check_names(o, why))
        return NULL;
    (void)pthread_once(&once, start_curl);
    struct drawbridge_credentials *c = made(o, url);
    if (!c)
        (void)drawbridge_problem_set(why, DRAWBRIDGE_NO_MEMORY, "no memory");
    return c;
}

void drawbridge_credentials_close(struct drawbridge_credentials **from)
{
    struct drawbridge_credentials *c = *from;
    *from = NULL;
    if (!c)
        return;
    for (size_t i = 0; i < ENTRIES; i++)
        drawbridge_credential_wipe(&c->entries[i].credential);
    while (c->nidle)
        curl_easy_cleanup(c->idle[--c->nidle]);
    wipe_text(&c->token);
    free(c->url);
    free(c->token_file);
    free(c->ca_file);
    free(c->org);
    free(c->workflow);
    (void)pthread_cond_destroy(&c->answered);
    (void)pthread_mutex_destroy(&c->mutex);
    explicit_bzero(c, sizeof *c);
    free(c);
}

/* ---- asking ---- */

static CURL *take_handle(struct drawbridge_credentials *c)
{
    CURL *curl = NULL;
    (void)pthread_mutex_lock(&c->mutex);
    if (c->nidle)
        curl = c->idle[--c->nidle];
    (void)pthread_mutex_unlock(&c->mutex);
    return curl ? curl : curl_easy_init();
}

static void give_handle(struct drawbridge_credentials *c, CURL *curl)
{
    (void)pthread_mutex_lock(&c->mutex);
    if (curl && c->nidle < HANDLES) {
        curl_easy_reset(curl); /* it knows the token */
        c->idle[c->nidle++] = curl;
        curl = NULL;
    }
    (void)pthread_mutex_unlock(&c->mutex);
    curl_easy_cleanup(curl);
}

static bool read_file(const char *path, char *out, size_t room, struct drawbridge_problem *why)
{
    size_t n = 0;
    ssize_t got = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return drawbridge_problem_set(why, DRAWBRIDGE_WRONG_CALL, "%.200s cannot be read: %m",
                                      path);
    while (got > 0 && n + 1 < room)
        n += (got = read(fd, out + n, room - 1 - n)) > 0 ? (size_t)got : 0;
    (void)close(fd);
    while (n && strchr("\r\n", out[n - 1]))
        n--;
    out[n] = '\0';
    return (got == 0 && n > 0 && strcspn(out, "\r\n") == n) ||
           drawbridge_problem_set(why, DRAWBRIDGE_WRONG_CALL, "%.200s holds no token", path);
}

static void put_url(const struct drawbridge_credentials *c, const char *name,
                    char out[static URL_MAX_BYTES])
{
    size_t n = strlen(c->url);
    while (n && c->url[n - 1] == '/')
        n--;
    (void)snprintf(out, URL_MAX_BYTES, "%.*s/api/oauth/credentials/%s%s%s%s%s", (int)n, c->url,
                   name, c->org ? "?org=" : "", c->org ? c->org : "",
                   c->workflow ? (c->org ? "&workflow_id=" : "?workflow_id=") : "",
                   c->workflow ? c->workflow : "");
}

static bool ask_with(struct drawbridge_credentials *c, const char *name, const char *token,
                     struct fetch_answer *a, struct drawbridge_credential *out,
                     struct drawbridge_problem *why)
{
    char url[URL_MAX_BYTES];
    put_url(c, name, url);
    CURL *curl = take_handle(c);
    const struct fetch f = {url, token, c->ca_file, c->timeout_ms};
    bool ok = curl ? drawbridge_fetch(curl, &f, a, why) && drawbridge_answer_read(a, out, why)
                   : drawbridge_problem_set(why, DRAWBRIDGE_NO_MEMORY, "no memory for a request");
    give_handle(c, curl);
    return ok;
}

static bool ask(struct drawbridge_credentials *c, const char *name,
                struct drawbridge_credential *out, struct drawbridge_problem *why)
{
    char token[TOKEN_MAX_BYTES];
    struct fetch_answer *a = malloc(sizeof *a);
    *out = (struct drawbridge_credential){0};
    if (!a)
        return drawbridge_problem_set(why, DRAWBRIDGE_NO_MEMORY, "no memory for an answer");
    bool ok = (c->token || read_file(c->token_file, token, sizeof token, why)) &&
              ask_with(c, name, c->token ? c->token : token, a, out, why);
    explicit_bzero(token, sizeof token);
    explicit_bzero(a, sizeof *a);
    free(a);
    return ok;
}

/* ---- the cache ---- */

/* How long a token that came now may be handed out again. */
static int64_t keep_ms(const struct drawbridge_credentials *c, int64_t expires_at_ms)
{
    int64_t life = expires_at_ms - clock_ms(CLOCK_REALTIME);
    int64_t margin = life / 5 < MARGIN_MS ? life / 5 : MARGIN_MS;
    if (c->cache_ms < 0)
        return 0;
    return expires_at_ms && life - margin < c->cache_ms ? life - margin : c->cache_ms;
}

static struct entry *find(struct drawbridge_credentials *c, const char *name)
{
    for (size_t i = 0; i < ENTRIES; i++)
        if (!strcmp(c->entries[i].name, name))
            return &c->entries[i];
    return NULL;
}

/* A free one, or that which is over first; NULL: all are being asked for. */
static struct entry *claim(struct drawbridge_credentials *c, const char *name)
{
    struct entry *best = NULL;
    for (size_t i = 0; i < ENTRIES; i++) {
        struct entry *e = &c->entries[i];
        if (!e->busy && (!best || !e->name[0] || (best->name[0] && e->until_ms < best->until_ms)))
            best = e;
    }
    if (best) {
        drawbridge_credential_wipe(&best->credential);
        best->until_ms = 0;
        (void)snprintf(best->name, sizeof best->name, "%s", name);
    }
    return best;
}

/* The entry that is ours to fill, or NULL with *out_hit: the token is in *out. */
static struct entry *look_up(struct drawbridge_credentials *c, const char *name,
                             struct drawbridge_credential *out, bool *out_hit,
                             struct drawbridge_problem *why)
{
    struct entry *e;
    *out_hit = false;
    while ((e = find(c, name)) && e->busy)
        (void)pthread_cond_wait(&c->answered, &c->mutex);
    if (e && e->until_ms > clock_ms(CLOCK_MONOTONIC))
        *out_hit = copy(&e->credential, out, why);
    if (*out_hit)
        return NULL;
    if (!e)
        e = claim(c, name);
    if (e) {
        drawbridge_credential_wipe(&e->credential);
        e->busy = true;
        e->stale = false;
        e->until_ms = 0;
    }
    return e;
}

static void settle(struct drawbridge_credentials *c, struct entry *e,
                   const struct drawbridge_credential *got)
{
    int64_t keep = got && !e->stale ? keep_ms(c, got->expires_at_ms) : 0;
    e->busy = false;
    if (keep > 0 && copy(got, &e->credential, NULL))
        e->until_ms = clock_ms(CLOCK_MONOTONIC) + keep;
    (void)pthread_cond_broadcast(&c->answered);
}

bool drawbridge_credential_get(struct drawbridge_credentials *from, const char *name,
                               struct drawbridge_credential *out, struct drawbridge_problem *why)
{
    bool hit;
    *out = (struct drawbridge_credential){0};
    if (!is_name(name))
        return drawbridge_problem_set(why, DRAWBRIDGE_WRONG_CALL,
                                      "a connection's name is of letters, digits, . _ -");
    (void)pthread_mutex_lock(&from->mutex);
    struct entry *e = look_up(from, name, out, &hit, why);
    (void)pthread_mutex_unlock(&from->mutex);
    if (hit)
        return true;
    bool ok = ask(from, name, out, why);
    if (!e)
        return ok;
    (void)pthread_mutex_lock(&from->mutex);
    settle(from, e, ok ? out : NULL);
    (void)pthread_mutex_unlock(&from->mutex);
    return ok;
}

void drawbridge_credentials_forget(struct drawbridge_credentials *from, const char *name)
{
    (void)pthread_mutex_lock(&from->mutex);
    struct entry *e = find(from, name);
    if (e && name[0]) {
        e->stale = true;
        e->until_ms = 0;
        drawbridge_credential_wipe(&e->credential);
    }
    (void)pthread_mutex_unlock(&from->mutex);
}
