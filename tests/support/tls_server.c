#include "support/tls_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 65536

struct tls_server {
    SSL_CTX *tls;
    int listener, port;
    pthread_t thread;
    pthread_mutex_t lock;
    bool stop;
    enum tls_server_mood mood;
    int connections, requests, now, peak, threads;
};

struct visit {
    struct tls_server *s;
    int fd;
    SSL *ssl;
    char in[REQUEST_MAX];
    size_t n;
};

/* --- certificates --- */

static struct {
    EVP_PKEY *key;
    X509 *certificate;
    char path[64];
} authority;

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static X509 *certify(EVP_PKEY *key, const char *name, X509 *issuer, long seconds)
{
    static long serial;
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -7200);
    X509_gmtime_adj(X509_getm_notAfter(x), seconds);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x));
    if (!issuer)
        extend(x, x, NID_basic_constraints, "critical,CA:TRUE");
    return x;
}

static void forget_authority(void)
{
    unlink(authority.path);
    EVP_PKEY_free(authority.key);
    X509_free(authority.certificate);
}

static void make_authority(void)
{
    if (authority.key)
        return;
    authority.key = EVP_EC_gen("P-256");
    authority.certificate = certify(authority.key, "Test authority", NULL, 86400);
    X509_sign(authority.certificate, authority.key, EVP_sha256());
    snprintf(authority.path, sizeof authority.path, "/tmp/drawbridge-ca-XXXXXX");
    int fd = mkstemp(authority.path);
    FILE *f = fdopen(fd, "w");
    assert(f);
    PEM_write_X509(f, authority.certificate);
    fclose(f);
    atexit(forget_authority);
}

const char *tls_server_ca(void)
{
    make_authority();
    return authority.path;
}

static SSL_CTX *context_new(const char *names, enum tls_server_trust trust)
{
    bool known = trust != TLS_SERVER_UNKNOWN;
    make_authority();
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = certify(key, "Test server", known ? authority.certificate : NULL,
                      trust == TLS_SERVER_EXPIRED ? -3600 : 86400);
    extend(x, known ? authority.certificate : x, NID_subject_alt_name, names);
    X509_sign(x, known ? authority.key : key, EVP_sha256());
    assert(SSL_CTX_use_certificate(tls, x) == 1 && SSL_CTX_use_PrivateKey(tls, key) == 1);
    X509_free(x);
    EVP_PKEY_free(key);
    return tls;
}

/* --- what it does --- */

static bool stopping(struct tls_server *s)
{
    pthread_mutex_lock(&s->lock);
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

/* Until the other side ends it, or the server stops. */
static void hold(struct visit *v)
{
    char c;
    while (!stopping(v->s)) {
        struct pollfd p = {.fd = v->fd, .events = POLLIN};
        if (poll(&p, 1, 10) > 0 && recv(v->fd, &c, 1, MSG_PEEK) <= 0)
            return;
        if (p.revents & POLLIN)
            recv(v->fd, &c, 1, 0);
    }
}

static void say_bytes(struct visit *v, const void *p, size_t n)
{
    if (n)
        (void)SSL_write(v->ssl, p, (int)n);
}

static void say(struct visit *v, const char *text)
{
    say_bytes(v, text, strlen(text));
}

static void answer(struct visit *v, const char *status, const char *headers, const void *body,
                   size_t n)
{
    char head[512];
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status, headers, n);
    say(v, head);
    say_bytes(v, body, n);
}

static void do_ok(struct visit *v)
{
    answer(v, "200 OK", "Content-Type: application/json\r\nX-OAuth-Scopes: a, b\r\n", "{\"a\":1}",
           7);
}

static void answer_json(struct visit *v, const char *status, const char *body)
{
    answer(v, status, "Content-Type: application/json\r\n", body, strlen(body));
}

static void do_token(struct visit *v)
{
    answer_json(v, "200 OK",
                "{\"access_token\":\"new-access\",\"refresh_token\":\"new-refresh\","
                "\"expires_in\":3600}");
}

/* Repeats what it was told. */
static void do_denied(struct visit *v)
{
    char body[REQUEST_MAX + 100];
    snprintf(body, sizeof body, "{\"error\":\"invalid_grant\",\"error_description\":\"%s\"}",
             strstr(v->in, "\r\n\r\n") + 4);
    answer_json(v, "400 Bad Request", body);
}

static void do_active(struct visit *v)
{
    answer_json(v, "200 OK", "{\"active\":true,\"exp\":1795003600}");
}

static void do_device(struct visit *v)
{
    answer_json(v, "200 OK",
                "{\"device_code\":\"dc\",\"user_code\":\"UC\",\"expires_in\":60,"
                "\"verification_uri\":\"https://a.test/enter\"}");
}

static void do_metadata(struct visit *v)
{
    char body[512];
    snprintf(body, sizeof body,
             "{\"issuer\":\"https://a.test:%d\",\"authorization_endpoint\":\"https://a.test/a\","
             "\"token_endpoint\":\"https://a.test/token\"}",
             v->s->port);
    answer_json(v, "200 OK", body);
}

static void do_echo(struct visit *v)
{
    answer(v, "200 OK", "Content-Type: text/plain\r\n", v->in, v->n);
}

static void do_cut(struct visit *v)
{
    (void)v;
}

static void do_half(struct visit *v)
{
    say(v, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_token\":");
}

static void do_huge(struct visit *v)
{
    static const char block[4096] = "{";
    say(v, "HTTP/1.1 200 OK\r\n\r\n");
    for (int i = 0; i < 100; i++)
        say_bytes(v, block, sizeof block);
}

static void do_headers(struct visit *v)
{
    say(v, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 3000; i++)
        say(v, "X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    say(v, "\r\n");
}

static void do_redirect(struct visit *v)
{
    answer(v, "302 Found", "Location: /ok\r\n", "", 0);
}

static void do_garbage(struct visit *v)
{
    say(v, "HTTP/one.point.one OK\r\nthis is none\r\n\r\n");
}

static void do_noise(struct visit *v)
{
    say_bytes(v, "\0\1\2\3\r\n\r\n", 8);
}

static void do_nul(struct visit *v)
{
    answer(v, "200 OK", "", "{\"a\":\"x\0y\"}", 11);
}

static void do_nul_header(struct visit *v)
{
    say_bytes(v, "HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n", 46);
}

static void do_limited(struct visit *v)
{
    answer(v, "429 Too Many Requests", "Retry-After: 7\r\n", "", 0);
}

static void do_limited_date(struct visit *v)
{
    char header[80];
    time_t then = time(NULL) + 90;
    struct tm t;
    strftime(header, sizeof header, "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n",
             gmtime_r(&then, &t));
    answer(v, "503 Service Unavailable", header, "", 0);
}

static void do_limited_past(struct visit *v)
{
    answer(v, "503 Service Unavailable", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", "", 0);
}

static void do_limited_oddly(struct visit *v)
{
    answer(v, "429 Too Many Requests", "Retry-After: soon\r\n", "", 0);
}

static void do_limited_for_ever(struct visit *v)
{
    answer(v, "429 Too Many Requests", "Retry-After: 99999999999\r\n", "", 0);
}

static const struct {
    const char *path;
    void (*act)(struct visit *v);
} acts[] = {
    {"/ok", do_ok},
    {"/pause", do_ok},
    {"/echo", do_echo},
    {"/token", do_token},
    {"/denied", do_denied},
    {"/active", do_active},
    {"/device", do_device},
    {"/.well-known/openid-configuration", do_metadata},
    {"/slow", hold},
    {"/cut", do_cut},
    {"/half", do_half},
    {"/huge", do_huge},
    {"/headers", do_headers},
    {"/redirect", do_redirect},
    {"/garbage", do_garbage},
    {"/noise", do_noise},
    {"/nul", do_nul},
    {"/nul-header", do_nul_header},
    {"/limited", do_limited},
    {"/limited-date", do_limited_date},
    {"/limited-past", do_limited_past},
    {"/limited-oddly", do_limited_oddly},
    {"/limited-for-ever", do_limited_for_ever},
};

/* Whether another request may follow. */
static bool act(struct visit *v)
{
    const char *path = strchr(v->in, ' ') + 1;
    size_t n = strcspn(path, " ?");
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strlen(acts[i].path) == n && !memcmp(acts[i].path, path, n)) {
            acts[i].act(v);
            return acts[i].act == do_ok;
        }
    return false;
}

static bool whole(const struct visit *v)
{
    const char *end = strstr(v->in, "\r\n\r\n"), *length = strcasestr(v->in, "Content-Length:");
    if (!end)
        return false;
    size_t body = length && length < end ? strtoul(length + 15, NULL, 10) : 0;
    return v->n >= (size_t)(end + 4 - v->in) + body;
}

static void count(struct tls_server *s, int more)
{
    pthread_mutex_lock(&s->lock);
    s->requests += more > 0;
    s->now += more;
    if (s->now > s->peak)
        s->peak = s->now;
    pthread_mutex_unlock(&s->lock);
}

static bool read_request(struct visit *v)
{
    memset(v->in, 0, v->n);
    for (v->n = 0; !whole(v);) {
        int n = SSL_read(v->ssl, v->in + v->n, (int)(sizeof v->in - v->n - 1));
        if (n <= 0)
            return false;
        v->n += (size_t)n;
    }
    return true;
}

static void converse(struct visit *v)
{
    if (SSL_accept(v->ssl) != 1)
        return;
    bool more = true;
    while (more && read_request(v)) {
        count(v->s, 1);
        if (strstr(v->in, " /pause "))
            usleep(20000);
        count(v->s, -1); /* before the answer: who has it may ask again */
        more = act(v);
        if (!more)
            SSL_shutdown(v->ssl);
    }
}

static void *visited(void *arg)
{
    struct visit *v = arg;
    struct tls_server *s = v->s;
    pthread_mutex_lock(&s->lock);
    enum tls_server_mood mood = s->mood;
    pthread_mutex_unlock(&s->lock);
    if (mood == TLS_SERVER_SILENT)
        hold(v);
    if (mood == TLS_SERVER_FINE) {
        v->ssl = SSL_new(s->tls);
        SSL_set_fd(v->ssl, v->fd);
        converse(v);
        SSL_free(v->ssl);
    }
    close(v->fd);
    free(v);
    pthread_mutex_lock(&s->lock);
    s->threads--;
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void accept_one(struct tls_server *s)
{
    struct timeval limit = {.tv_sec = 10};
    struct visit *v = calloc(1, sizeof *v);
    pthread_t thread;
    assert(v);
    *v = (struct visit){.s = s, .fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)};
    assert(v->fd >= 0);
    setsockopt(v->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(v->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    pthread_mutex_lock(&s->lock);
    s->connections++;
    s->threads++;
    pthread_mutex_unlock(&s->lock);
    int failed = pthread_create(&thread, NULL, visited, v);
    assert(!failed);
    (void)failed;
    pthread_detach(thread);
}

static void *serve(void *arg)
{
    struct tls_server *s = arg;
    while (!stopping(s)) {
        struct pollfd p = {.fd = s->listener, .events = POLLIN};
        if (poll(&p, 1, 10) > 0)
            accept_one(s);
    }
    return NULL;
}

/* --- life --- */

struct tls_server *tls_server_new(const char *names, enum tls_server_trust trust)
{
    struct tls_server *s = calloc(1, sizeof *s);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    assert(s);
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&s->lock, NULL);
    s->tls = context_new(names, trust);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = bind(s->listener, (struct sockaddr *)&a, sizeof a) || listen(s->listener, 128) ||
                 getsockname(s->listener, (struct sockaddr *)&a, &n) ||
                 pthread_create(&s->thread, NULL, serve, s);
    assert(!failed);
    (void)failed;
    s->port = ntohs(a.sin_port);
    return s;
}

void tls_server_mood(struct tls_server *s, enum tls_server_mood mood)
{
    pthread_mutex_lock(&s->lock);
    s->mood = mood;
    pthread_mutex_unlock(&s->lock);
}

int tls_server_port(const struct tls_server *s)
{
    return s->port;
}

static int look(struct tls_server *s, const int *at)
{
    pthread_mutex_lock(&s->lock);
    int value = *at;
    pthread_mutex_unlock(&s->lock);
    return value;
}

int tls_server_connections(struct tls_server *s)
{
    return look(s, &s->connections);
}

int tls_server_requests(struct tls_server *s)
{
    return look(s, &s->requests);
}

int tls_server_peak(struct tls_server *s)
{
    return look(s, &s->peak);
}

void tls_server_free(struct tls_server **p)
{
    struct tls_server *s = *p;
    if (!s)
        return;
    *p = NULL;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    while (look(s, &s->threads) > 0)
        usleep(2000);
    close(s->listener);
    SSL_CTX_free(s->tls);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
