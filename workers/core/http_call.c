#include "core/http_call.h"

#include "core/clock.h"
#include "core/http_address.h"
#include "core/http_url.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEADER_BYTES_MAX ((size_t)32 << 10)
#define BODY_BYTES_FIRST ((size_t)4 << 10)
#define RETRY_AFTER_MAX_S 86400

/* --- the request --- */

static bool add_header(struct http_call *call, const char *line)
{
    struct curl_slist *more = curl_slist_append(call->headers, line);
    if (more)
        call->headers = more;
    return more;
}

static bool add_field(struct http_call *call, const char *name, const char *value, size_t n)
{
    size_t room = strlen(name) + n + 3;
    char *line = malloc(room);
    if (!line)
        return false;
    snprintf(line, room, "%s: %.*s", name, (int)n, value);
    bool fine = add_header(call, line);
    sodium_memzero(line, room);
    free(line);
    return fine;
}

static bool add_lines(struct http_call *call, const char *lines)
{
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        auto_free char *line = strndup(lines, n);
        if (!line || !add_header(call, line))
            return false;
        lines += n + (lines[n] == '\n');
    }
    return true;
}

static bool add_secret(struct http_call *call, const char *name, const struct secret *s)
{
    return !s || add_field(call, name, (const char *)secret_view(s), secret_size(s));
}

static bool has_field(const char *lines, const char *name)
{
    size_t n = strlen(name);
    while (lines && *lines) {
        if (!strncasecmp(lines, name, n) && lines[n] == ':')
            return true;
        lines = strchrnul(lines, '\n');
        lines += *lines == '\n';
    }
    return false;
}

/* A header that holds one would be two. */
static bool has_control(const struct secret *s)
{
    for (size_t i = 0; s && i < secret_size(s); i++)
        if (secret_view(s)[i] < ' ' || secret_view(s)[i] == 0x7f)
            return true;
    return false;
}

static bool set_headers(struct http_call *call, const struct http_request *r)
{
    const char *accept = r->accept ? r->accept : "application/json";
    const char *agent = r->user_agent ? r->user_agent : call->rules->user_agent;
    return (has_field(r->headers, "Accept") || add_field(call, "Accept", accept, strlen(accept))) &&
           add_field(call, "User-Agent", agent, strlen(agent)) &&
           add_header(call, "Expect:") && /* never to wait for a "100 Continue" */
           (r->content_type
                ? add_field(call, "Content-Type", r->content_type, strlen(r->content_type))
                : add_header(call, "Content-Type:")) && /* libcurl would call it a form */
           add_secret(call, "Authorization", call->authorization) &&
           (!r->headers || add_lines(call, r->headers));
}

static bool set_wanted(struct http_call *call, const struct http_request *r)
{
    for (size_t i = 0; i < HTTP_WANTED && r->wanted[i]; i++)
        if (!(call->wanted[i] = strdup(r->wanted[i])))
            return false;
    return true;
}

static bool check_secrets(const struct http_call *call, struct err *err)
{
    return !has_control(call->authorization) ||
           err_set(err, ERR_BAD_INPUT, "what would authorize the call to %s is no header",
                   call->name);
}

struct http_call *http_call_new(const struct http_rules *rules, struct http_request *r,
                                struct err *err)
{
    struct http_call *call = calloc(1, sizeof *call);
    auto_secret struct secret *authorization = take(r->authorization), *body = take(r->body);
    if (!call) {
        (void)err_set(err, ERR_NO_MEMORY, "a call");
        return NULL;
    }
    call->rules = rules;
    call->authorization = take(authorization);
    call->body = take(body);
    call->asked_us = clock_mono_now_us();
    call->method = strdup(r->method);
    if (!http_url_read(r->url, &call->url, &call->name, err) || !check_secrets(call, err)) {
        http_call_free(call);
        return NULL;
    }
    if (!call->method || !set_headers(call, r) || !set_wanted(call, r)) {
        (void)err_set(err, ERR_NO_MEMORY, "a call to %s", call->name);
        http_call_free(call);
        return NULL;
    }
    return call;
}

char *http_call_place(const struct http_call *call)
{
    char *port = NULL, *place = NULL;
    if (curl_url_get(call->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT))
        return NULL;
    bool fine = asprintf(&place, "%s:%s", call->name, port) >= 0;
    curl_free(port);
    if (!fine)
        return NULL;
    for (char *p = place; *p; p++)
        *p |= *p >= 'A' && *p <= 'Z' ? 0x20 : 0;
    return place;
}

/* --- under way: what libcurl asks --- */

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_call *call = arg;
    (void)purpose;
    if (!call->allowed && !http_address_global(&address->addr)) {
        call->refused_one = true;
        return CURL_SOCKET_BAD;
    }
    call->tried_one = true;
    const struct http_client_testing *t = call->rules->testing;
    if (t && t->route)
        t->route(t->arg, &address->addr);
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int on_about_to_send(void *arg, char *there, char *here, int port_there, int port_here)
{
    struct http_call *call = arg;
    (void)there;
    (void)here;
    (void)port_there;
    (void)port_here;
    call->sent = true;
    return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct http_call *call = arg;
    (void)p;
    call->header_bytes += size * n;
    call->too_large |= call->header_bytes > HEADER_BYTES_MAX;
    return call->too_large ? 0 : size * n;
}

static bool make_room(struct http_call *call, size_t more)
{
    size_t cap = call->in ? secret_size(call->in) : 0, wanted = cap ? cap : BODY_BYTES_FIRST;
    if (call->n + more < cap)
        return true;
    while (call->n + more >= wanted)
        wanted *= 2;
    if (wanted > call->rules->body_max + 1)
        wanted = call->rules->body_max + 1;
    struct secret *larger = secret_new(wanted, NULL);
    if (!larger)
        return false;
    if (call->n)
        memcpy(secret_bytes(larger), secret_view(call->in), call->n);
    secret_free(&call->in);
    call->in = larger;
    return true;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct http_call *call = arg;
    size_t more = size * n;
    call->too_large |= more > call->rules->body_max - call->n;
    call->no_memory |= !call->too_large && !make_room(call, more);
    if (call->too_large || call->no_memory)
        return more ? 0 : 1; /* anything else than `more` ends it */
    memcpy(secret_bytes(call->in) + call->n, p, more);
    call->n += more; /* the memory is zeroed: a NUL is behind */
    return more;
}

static CURLcode set_request(struct http_call *call)
{
    CURL *e = call->easy;
    CURLcode bad = curl_easy_setopt(e, CURLOPT_CURLU, call->url);
    bad |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
    if (call->body) {
        bad |= curl_easy_setopt(e, CURLOPT_POST, 1L);
        bad |=
            curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)secret_size(call->body));
        bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDS, secret_view(call->body));
    } else if (!strcmp(call->method, "POST")) {
        bad |= curl_easy_setopt(e, CURLOPT_POST, 1L);
        bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, 0L);
        bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDS, "");
    }
    bad |= curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, call->method);
    return bad;
}

static CURLcode set_safety(CURL *e, const struct http_rules *r)
{
    CURLcode bad = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
    bad |= curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl_easy_setopt(e, CURLOPT_PROXY, "");
    bad |= curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    bad |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (r->ca_bundle)
        bad |= curl_easy_setopt(e, CURLOPT_CAINFO, r->ca_bundle);
    bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    bad |= curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    /* A name that is looked up for long is left to its thread; without this the loop waits. */
    bad |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)r->timeout_ms);
    return bad;
}

static CURLcode set_callbacks(struct http_call *call)
{
    CURL *e = call->easy;
    CURLcode bad = curl_easy_setopt(e, CURLOPT_PRIVATE, call);
    bad |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    bad |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, call);
    bad |= curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_about_to_send);
    bad |= curl_easy_setopt(e, CURLOPT_PREREQDATA, call);
    bad |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    bad |= curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
    bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
    return bad;
}

bool http_call_begin(struct http_call *call)
{
    call->started_us = clock_mono_now_us();
    call->allowed = http_url_lists(call->rules->allow_hosts, call->name);
    call->easy = curl_easy_init();
    return call->easy && !set_safety(call->easy, call->rules) && !set_request(call) &&
           !set_callbacks(call);
}

/* --- the answer --- */

static const struct {
    const char *name;
} outcomes[] = {
    [HTTP_ANSWERED] = {"answered"},       [HTTP_ADDRESS_REFUSED] = {"address_refused"},
    [HTTP_UNREACHABLE] = {"unreachable"}, [HTTP_TLS_FAILED] = {"tls_failed"},
    [HTTP_TIMED_OUT] = {"timed_out"},     [HTTP_CUT] = {"cut"},
    [HTTP_GARBLED] = {"garbled"},         [HTTP_TOO_LARGE] = {"too_large"},
    [HTTP_FAILED] = {"failed"},
};

const char *http_outcome_name(enum http_outcome o)
{
    return outcomes[o].name;
}

struct reading {
    CURLcode code;
    enum http_outcome outcome;
    const char *what;
};

static const struct reading readings[] = {
    {CURLE_OK, HTTP_ANSWERED, ""},
    {CURLE_OPERATION_TIMEDOUT, HTTP_TIMED_OUT, "no answer in time"},
    {CURLE_COULDNT_RESOLVE_HOST, HTTP_UNREACHABLE, "its name has no address"},
    {CURLE_COULDNT_CONNECT, HTTP_UNREACHABLE, "no connection"},
    {CURLE_INTERFACE_FAILED, HTTP_UNREACHABLE, "no connection"},
    {CURLE_PEER_FAILED_VERIFICATION, HTTP_TLS_FAILED, "its certificate is not valid for us"},
    {CURLE_SSL_CONNECT_ERROR, HTTP_TLS_FAILED, "the TLS handshake failed"},
    {CURLE_SSL_CACERT_BADFILE, HTTP_TLS_FAILED, "the CA bundle cannot be read"},
    {CURLE_SSL_CIPHER, HTTP_TLS_FAILED, "no common cipher"},
    {CURLE_SSL_ISSUER_ERROR, HTTP_TLS_FAILED, "its certificate is not valid for us"},
    {CURLE_GOT_NOTHING, HTTP_CUT, "the connection ended without an answer"},
    {CURLE_RECV_ERROR, HTTP_CUT, "the connection broke"},
    {CURLE_SEND_ERROR, HTTP_CUT, "the connection broke"},
    {CURLE_PARTIAL_FILE, HTTP_CUT, "the connection ended within the answer"},
    {CURLE_WEIRD_SERVER_REPLY, HTTP_GARBLED, "its answer is not HTTP"},
    {CURLE_UNSUPPORTED_PROTOCOL, HTTP_GARBLED, "its answer is not HTTP"},
    {CURLE_BAD_CONTENT_ENCODING, HTTP_GARBLED, "its answer is not HTTP"},
};
static const struct reading address_refused = {0, HTTP_ADDRESS_REFUSED,
                                               "it has no address that may be called"};
static const struct reading answer_too_large = {0, HTTP_TOO_LARGE, "its answer is too large"};
static const struct reading failed = {0, HTTP_FAILED, "the call failed"};

static const struct reading *read_code(const struct http_call *call, CURLcode code)
{
    if (call->refused_one && !call->tried_one)
        return &address_refused;
    if (call->too_large)
        return &answer_too_large;
    for (size_t i = 0; i < LEN(readings); i++)
        if (readings[i].code == code)
            return &readings[i];
    return &failed;
}

static void header_value(const struct http_call *call, const char *name, char *out, size_t room)
{
    struct curl_header *h = NULL;
    if (curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK)
        snprintf(out, room, "%s", h->value);
}

static int64_t retry_after(const struct http_call *call)
{
    char text[64] = "";
    curl_off_t s = 0;
    header_value(call, "Retry-After", text, sizeof text);
    if (!*text || curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &s) != CURLE_OK)
        return -1;
    /* 0 stands for what cannot be read, too. */
    if (s == 0 && strcmp(text, "0") != 0 && curl_getdate(text, NULL) == -1)
        return -1;
    return (s < 0 ? 0 : s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (int64_t)s) * 1000;
}

static void read_head(const struct http_call *call, struct http_answer *out)
{
    long status = 0;
    if (curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK)
        out->status = (int)status;
    out->retry_after_ms = retry_after(call);
    header_value(call, "Content-Type", out->content_type, sizeof out->content_type);
    for (size_t i = 0; i < HTTP_WANTED && call->wanted[i]; i++)
        header_value(call, call->wanted[i], out->wanted[i], sizeof out->wanted[i]);
}

void http_call_judge(const struct http_call *call, CURLcode code, struct http_answer *out)
{
    const struct reading *r = read_code(call, code);
    *out = (struct http_answer){.outcome = r->outcome,
                                .maybe_sent = call->sent,
                                .retry_after_ms = -1,
                                .body = "",
                                .waited_us = call->started_us - call->asked_us,
                                .took_us = clock_mono_now_us() - call->started_us};
    if (call->sent && call->easy)
        read_head(call, out);
    if (r->outcome == HTTP_ANSWERED) {
        out->body = call->in ? (const char *)secret_view(call->in) : "";
        out->n = call->n;
        return;
    }
    (void)err_set(&out->err,
                  call->sent                           ? ERR_PROVIDER_TIMEOUT
                  : r->outcome == HTTP_ADDRESS_REFUSED ? ERR_BAD_INPUT
                                                       : ERR_PROVIDER_FAILED,
                  "%s: %s", call->name, r->what);
}

static void wipe_headers(struct curl_slist *list)
{
    for (struct curl_slist *h = list; h; h = h->next)
        sodium_memzero(h->data, strlen(h->data));
    curl_slist_free_all(list);
}

void http_call_free(struct http_call *call)
{
    if (call->easy)
        curl_easy_cleanup(call->easy);
    curl_url_cleanup(call->url);
    wipe_headers(call->headers);
    curl_slist_free_all(call->resolve);
    secret_free(&call->authorization);
    secret_free(&call->body);
    secret_free(&call->in);
    for (size_t i = 0; i < HTTP_WANTED; i++)
        free(call->wanted[i]);
    free(call->method);
    free(call->name);
    free(call);
}
