#include "domain/provider.h"

#include "domain/percent.h"

#include <string.h>

static const char *const auth_names[] = {
    [CLIENT_AUTH_BASIC] = "basic",
    [CLIENT_AUTH_POST] = "post",
    [CLIENT_AUTH_KEY] = "private_key_jwt",
    [CLIENT_AUTH_NONE] = "none",
};
static const char *const rotation_names[] = {
    [ROTATION_NONE] = "none",
    [ROTATION_GRACE] = "grace",
    [ROTATION_STRICT] = "strict",
};

static bool find_name(const char *const *names, size_t n, const char *name, size_t *out)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], name)) {
            *out = i;
            return true;
        }
    return false;
}

const char *client_auth_name(enum client_auth a)
{
    return auth_names[a];
}

bool client_auth_parse(const char *name, enum client_auth *out)
{
    size_t i;
    if (!find_name(auth_names, sizeof auth_names / sizeof *auth_names, name, &i))
        return false;
    *out = (enum client_auth)i;
    return true;
}

const char *rotation_name(enum rotation r)
{
    return rotation_names[r];
}

bool rotation_parse(const char *name, enum rotation *out)
{
    size_t i;
    if (!find_name(rotation_names, sizeof rotation_names / sizeof *rotation_names, name, &i))
        return false;
    *out = (enum rotation)i;
    return true;
}

/* --- which provider --- */

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
}

static bool same(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

const char *url_host(const char *url, size_t *out_n)
{
    static const char scheme[] = "https://";
    if (strlen(url) < sizeof scheme || !same(url, scheme, sizeof scheme - 1))
        return NULL;
    const char *host = url + sizeof scheme - 1;
    size_t authority = strcspn(host, "/?#\\");
    if (memchr(host, '@', authority))
        return NULL;
    size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#\\");
    if (n == 0 || n > authority)
        return NULL;
    *out_n = n;
    return host;
}

bool url_same_server(const char *a, const char *b)
{
    size_t n, m;
    const char *x = url_host(a, &n), *y = url_host(b, &m);
    if (!x || !y)
        return !x && !y && !strcmp(a, b);
    n = strcspn(x, "/?#\\");
    return n == strcspn(y, "/?#\\") && same(x, y, n);
}

static bool ends_with(const char *host, size_t n, const char *suffix)
{
    size_t m = strlen(suffix);
    return n >= m && same(host + n - m, suffix, m) && (n == m || host[n - m - 1] == '.');
}

static size_t longest_suffix(const struct provider *p, const char *host, size_t n)
{
    size_t best = 0;
    for (const char *const *s = p->hosts; *s; s++)
        if (ends_with(host, n, *s) && strlen(*s) > best)
            best = strlen(*s);
    return best;
}

bool provider_has_host(const struct provider *p, const char *host, size_t n)
{
    return longest_suffix(p, host, n) > 0;
}

/* Its place in the list; the end of it: none. */
static size_t find_by_url(const struct provider_list *all, const char *url)
{
    size_t n, best = 0, found = all->n;
    const char *host = url ? url_host(url, &n) : NULL;
    for (size_t i = 0; host && i < all->n; i++) {
        size_t m = longest_suffix(&all->list[i], host, n);
        if (m > best) {
            best = m;
            found = i;
        }
    }
    return found;
}

static size_t find_for_others(const struct provider_list *all)
{
    size_t i = 0;
    while (i < all->n && all->list[i].hosts[0])
        i++;
    return i;
}

const struct provider *provider_find(const struct provider_list *all, const char *token_url,
                                     const char *authorization_url)
{
    size_t i = find_by_url(all, token_url);
    if (i == all->n)
        i = find_by_url(all, authorization_url);
    if (i == all->n)
        i = find_for_others(all);
    return i < all->n ? &all->list[i] : NULL;
}

const struct provider *provider_by_id(const struct provider_list *all, const char *id)
{
    for (size_t i = 0; i < all->n; i++)
        if (!strcmp(all->list[i].id, id))
            return &all->list[i];
    return NULL;
}

/* --- its URLs --- */

struct text {
    char *p;
    size_t n, room;
    bool full;
};

static void put(struct text *t, const char *s, size_t n)
{
    t->full |= n >= t->room - t->n;
    if (t->full)
        return;
    memcpy(t->p + t->n, s, n);
    t->n += n;
    t->p[t->n] = '\0';
}

static void put_encoded(struct text *t, const char *s)
{
    char code[3];
    for (; *s; s++)
        put(t, code, percent_encode(*s, PERCENT_UNRESERVED, code));
}

static bool put_origin(struct text *t, const char *url)
{
    size_t n;
    const char *host = url ? url_host(url, &n) : NULL;
    if (host)
        put(t, url, (size_t)(host - url) + strcspn(host, "/?#\\"));
    return host;
}

static bool put_base(struct text *t, const char *url)
{
    size_t n;
    const char *host = url ? url_host(url, &n) : NULL;
    if (!host)
        return false;
    const char *slash = NULL;
    for (const char *p = host; *p && !strchr("?#", *p); p++)
        slash = *p == '/' ? p : slash;
    put(t, url, slash ? (size_t)(slash + 1 - url) : strcspn(url, "?#"));
    if (!slash)
        put(t, "/", 1);
    return true;
}

static bool put_instance(const struct provider *p, struct text *t, const char *url)
{
    size_t n;
    const char *host = url ? url_host(url, &n) : NULL;
    return host && provider_has_host(p, host, n) && put_origin(t, url);
}

static bool put_whole(struct text *t, const char *url)
{
    size_t n;
    if (!url || !url_host(url, &n))
        return false;
    put(t, url, strlen(url));
    return true;
}

static bool put_value(const struct provider *p, struct text *t, const char *name, size_t n,
                      const struct provider_values *v)
{
    if (n == 6 && !memcmp(name, "origin", n))
        return put_origin(t, v->token_url);
    if (n == 10 && !memcmp(name, "token_base", n))
        return put_base(t, v->token_url);
    if (n == 12 && !memcmp(name, "instance_url", n))
        return put_instance(p, t, v->instance_url);
    if (n == 17 && !memcmp(name, "userinfo_endpoint", n))
        return put_whole(t, v->userinfo_endpoint);
    if (n != 12 || memcmp(name, "access_token", n) != 0 || !v->access_token)
        return false;
    put_encoded(t, v->access_token);
    return true;
}

bool provider_fill(const struct provider *p, const char *url, const struct provider_values *v,
                   char *out, size_t room)
{
    struct text t = {.p = out, .room = room};
    out[0] = '\0';
    while (*url && !t.full) {
        size_t plain = strcspn(url, "{"), n;
        put(&t, url, plain);
        url += plain;
        if (!*url)
            break;
        n = strcspn(url, "}");
        if (!url[n] || !put_value(p, &t, url + 1, n - 1, v))
            return false;
        url += n + 1;
    }
    return !t.full;
}

/* --- the URLs of a new connection --- */

static bool is_part_of_host(const char *s)
{
    size_t n =
        s ? strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") : 0;
    return n > 0 && !s[n] && s[0] != '.';
}

/* What the name in braces at *url stands for, which goes on behind it; NULL: nothing. */
static const char *value_named(const char **url, const struct provider_place *at,
                               const char **out_name)
{
    static const char tenant[] = "{tenant}", domain[] = "{domain}";
    bool is_tenant = !strncmp(*url, tenant, sizeof tenant - 1);
    *out_name = is_tenant ? "tenant" : "domain";
    if (!is_tenant && strncmp(*url, domain, sizeof domain - 1) != 0)
        return NULL;
    *url += is_tenant ? sizeof tenant - 1 : sizeof domain - 1;
    return is_tenant ? at->tenant : at->domain;
}

bool provider_setup_url(const char *url, const struct provider_place *at, char *out, size_t room,
                        const char **out_missing)
{
    struct text t = {.p = out, .room = room};
    out[0] = '\0';
    for (;;) {
        const char *name;
        size_t plain = strcspn(url, "{");
        put(&t, url, plain);
        url += plain;
        if (!*url)
            return !t.full;
        const char *value = value_named(&url, at, &name);
        if (!is_part_of_host(value)) {
            if (out_missing)
                *out_missing = name;
            return false;
        }
        put(&t, value, strlen(value));
    }
}
