/* provider — what is known of an OAuth provider: a row of schemas/providers.json, which says what
 * each field is; how a connection's provider is found, and how the URLs of its row are filled in.
 *
 * Rows are read by drivers/provider_table.h and live as long as the process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum client_auth { CLIENT_AUTH_BASIC, CLIENT_AUTH_POST, CLIENT_AUTH_KEY, CLIENT_AUTH_NONE };
enum rotation { ROTATION_NONE, ROTATION_GRACE, ROTATION_STRICT };

struct provider_pair {
    const char *name, *value;
};

struct provider_pairs {
    const struct provider_pair *list;
    size_t n;
};

struct provider_test {
    const char *method;  /* NULL: there is no such test */
    const char *url;     /* a template */
    const char *headers; /* "Name: value" in lines, or NULL */
    const char *ok;      /* JSON pointer to what must be true; NULL: the status is enough */
};

struct provider_setup {
    const char *authorization_url, *token_url; /* with {tenant}, {domain}; NULL: not known */
};

struct provider {
    const char *id, *name;
    const char *const *hosts; /* suffixes; ends with NULL */
    struct provider_setup setup;
    enum client_auth client_auth;
    bool json_body, no_pkce, discovery;
    const char *scope_separator;
    struct provider_pairs authorize, token;
    enum rotation rotation;
    int64_t grace_s;
    bool life_in_ms;
    int64_t absent_life_s; /* 0: it does not end */
    /* Templates; NULL: none, or for refresh_url the token URL. */
    const char *refresh_url, *revocation_url, *introspection_url, *device_url;
    const char *token_at;         /* JSON pointer; NULL: none */
    struct provider_pairs errors; /* its word, the one of RFC 6749 */
    struct provider_test test, client_test;
    const char *scopes_header, *user_agent; /* NULL: none */
};

struct provider_list {
    const struct provider *list;
    size_t n;
};

const char *client_auth_name(enum client_auth a); /* "private_key_jwt" */
bool client_auth_parse(const char *name, enum client_auth *out);
const char *rotation_name(enum rotation r); /* "strict" */
bool rotation_parse(const char *name, enum rotation *out);

/* The host within an absolute https URL: where it begins and how long it is; NULL: it is none, or
 * has a user, or no host. */
const char *url_host(const char *url, size_t *out_n);
/* Host and port are alike, in any case; what is no such URL is alike when it is the same text. */
bool url_same_server(const char *a, const char *b);
/* Whether one of the provider's suffixes ends the host, on the boundary of a label. */
bool provider_has_host(const struct provider *p, const char *host, size_t n);
/* The row with the longest suffix for the token URL's host, or else for the authorization URL's
 * (NULL: there is none); else the row for all others, NULL without one. */
const struct provider *provider_find(const struct provider_list *all, const char *token_url,
                                     const char *authorization_url);
const struct provider *provider_by_id(const struct provider_list *all, const char *id);

struct provider_values {
    const char *token_url;         /* of the connection */
    const char *instance_url;      /* what the token answer said; NULL: nothing */
    const char *access_token;      /* NULL: it must not be needed */
    const char *userinfo_endpoint; /* what discovery said; NULL: nothing */
};
/* The template with its values, NUL-terminated. False when a value is missing, one is no https URL,
 * the instance is on no host of the provider's (which would get the token), or it does not fit:
 * nothing to call then. */
bool provider_fill(const struct provider *p, const char *url, const struct provider_values *v,
                   char *out, size_t room);

/* What {tenant} and {domain} of a setup's URL stand for; NULL: nobody said. */
struct provider_place {
    const char *tenant, *domain;
};
/* The setup's URL with its values, which are letters, digits, '-', '.' and '_' and no more. False:
 * it does not fit, or *out_missing (may be NULL) is what is missing or no such value, "tenant". */
bool provider_setup_url(const char *url, const struct provider_place *at, char *out, size_t room,
                        const char **out_missing);
