#include "refresh/party.h"

#include "core/json_value.h"
#include "store/json_put.h"

#include <stdio.h>
#include <string.h>

/* ---- what discovery said --------------------------------------------------------------------- */

static void read_url(const json_t *o, const char *key, char out[static OAUTH_ENDPOINT])
{
    const char *url = json_string_value(json_object_get(o, key));
    int n = snprintf(out, OAUTH_ENDPOINT, "%s", url ? url : "");
    if (n < 0 || n >= OAUTH_ENDPOINT)
        out[0] = '\0';
}

static void read_endpoints(const char *text, struct party *out)
{
    auto_json json_t *o = text ? json_value_parse(text, strlen(text), NULL) : NULL;
    const char *auth = json_string_value(json_object_get(o, "auth"));
    out->asked = o != NULL;
    out->any_auth = auth && client_auth_parse(auth, &out->auth);
    read_url(o, "revocation", out->revocation);
    read_url(o, "introspection", out->introspection);
    read_url(o, "device", out->device);
    read_url(o, "userinfo", out->userinfo);
}

static void put_url(struct buf *out, const char *key, const char *url)
{
    put_str(out, key, *url ? url : NULL);
}

void party_write(const struct oauth_metadata *m, struct buf *out)
{
    static const enum client_auth best[] = {CLIENT_AUTH_BASIC, CLIENT_AUTH_POST, CLIENT_AUTH_KEY};
    size_t i = 0;
    while (i < LEN(best) && !m->auth[best[i]])
        i++;
    buf_str(out, "{");
    put_url(out, "revocation", m->revocation);
    put_url(out, "introspection", m->introspection);
    put_url(out, "device", m->device);
    put_url(out, "userinfo", m->userinfo);
    put_str(out, "auth", i < LEN(best) ? client_auth_name(best[i]) : NULL);
    put_bool(out, "tells_issuer", m->tells_issuer);
    buf_str(out, "}");
}

/* ---- whom ------------------------------------------------------------------------------------ */

void party_find(const struct provider_list *all, const struct connection *c, const char *endpoints,
                struct party *out)
{
    *out = (struct party){0};
    if (c->provider)
        out->provider = provider_by_id(all, c->provider);
    if (!out->provider) /* one that this version does not know is like any other */
        out->provider = provider_find(all, c->token_url, c->authorization_url);
    read_endpoints(endpoints, out);
}

bool party_is_new(const struct party *p, const struct connection *c)
{
    return p->provider->discovery && c->issuer && !p->asked;
}

enum client_auth party_auth(const struct party *p, const struct connection *c, bool secret,
                            bool key)
{
    enum client_auth auth = p->any_auth ? p->auth : p->provider->client_auth;
    if (c->client_auth && client_auth_parse(c->client_auth, &auth))
        return auth;
    if (!secret)
        return key ? CLIENT_AUTH_KEY : CLIENT_AUTH_NONE; /* RFC 6749 §2.1: a public client */
    return auth == CLIENT_AUTH_KEY && !key ? CLIENT_AUTH_BASIC : auth;
}

struct provider_values party_values(const struct party *p, const struct connection *c,
                                    const char *access_token)
{
    return (struct provider_values){.token_url = c->token_url,
                                    .instance_url = c->instance_url,
                                    .access_token = access_token,
                                    .userinfo_endpoint = *p->userinfo ? p->userinfo : NULL};
}

/* What the URL needs may not be known yet. */
const struct provider_test *party_test(const struct party *p, const struct connection *c)
{
    const struct provider_test *t =
        c->flow == FLOW_CLIENT_CREDENTIALS ? &p->provider->client_test : &p->provider->test;
    struct provider_values v = party_values(p, c, "x");
    char url[OAUTH_ENDPOINT * 8];
    return t->method && provider_fill(p->provider, t->url, &v, url, sizeof url) ? t : NULL;
}

const char *party_url(const struct party *p, enum ask_kind ask)
{
    const char *url = ask == ASK_REVOKE       ? p->revocation
                      : ask == ASK_INTROSPECT ? p->introspection
                      : ask == ASK_DEVICE     ? p->device
                                              : "";
    return *url ? url : NULL;
}

struct connection_rules party_rules(const struct party *p, const struct connection *c)
{
    static const enum refresh_class classes[] = {[ROTATION_NONE] = REFRESH_REPEATABLE,
                                                 [ROTATION_GRACE] = REFRESH_GRACE,
                                                 [ROTATION_STRICT] = REFRESH_STRICT};
    const struct provider *row = p->provider;
    if (!c->token_url) /* only about to be made: nothing of it is known */
        return (struct connection_rules){.refresh = REFRESH_STRICT};
    return (struct connection_rules){
        .refresh = classes[row->rotation],
        .grace_ms = row->grace_s * 1000,
        .introspects = row->introspection_url || *p->introspection,
        .revokes = row->revocation_url || *p->revocation,
        .tests = party_test(p, c) != NULL,
        .life_ms = row->absent_life_s * 1000,
    };
}
