/* drawbridge connection create|update — secrets come from files, standard input or the terminal,
 * and go sealed into rows that the command names (ADR 0014). */
#include "commands.h"
#include "connection_command.h"
#include "connection_secret.h"

#include <stdio.h>
#include <string.h>

#include "domain/provider.h"
#include "drivers/provider_table.h"

enum { URL_MAX = 2001, SCOPES_MAX = 4001 };

/* ---- what is no secret ---- */

static const struct {
    const char *option, *member;
} texts[] = {
    {"flow", "flow"},
    {"provider", "provider"},
    {"client-id", "clientId"},
    {"client-auth", "clientAuth"},
    {"authorization-url", "authorizationUrl"},
    {"token-url", "tokenUrl"},
    {"issuer", "issuer"},
    {"redirect-uri", "redirectUri"},
};

static bool set_scopes(const struct line *l, json_t *data, struct err *err)
{
    const char *scope;
    auto_buf struct buf all;
    buf_init(&all, SCOPES_MAX);
    for (size_t i = 0; (scope = line_many(l, "scope", i)); i++) {
        buf_str(&all, i ? " " : "");
        buf_str(&all, scope);
    }
    if (!buf_ok(&all))
        return usage_error(err, "the scopes are too long");
    if (all.n)
        json_object_set_new(data, "scopes", json_string((const char *)all.p));
    return true;
}

static bool set_texts(const struct line *l, json_t *data, struct err *err)
{
    for (size_t i = 0; i < LEN(texts); i++)
        if (line_has(l, texts[i].option))
            json_object_set_new(data, texts[i].member, json_string(line_text(l, texts[i].option)));
    return set_scopes(l, data, err);
}

/* ---- URLs that are known ---- */

static bool fill_url(json_t *data, const char *member, const char *template,
                     const struct provider_place *at, const struct provider *p, struct err *err)
{
    char url[URL_MAX];
    const char *missing = NULL;
    if (!template || json_object_get(data, member))
        return true;
    if (!provider_setup_url(template, at, url, sizeof url, &missing))
        return usage_error(err, "%s: say --%s, or --token-url and --authorization-url", p->name,
                           missing ? missing : "token-url");
    json_object_set_new(data, member, json_string(url));
    return true;
}

/* Those of a provider that was named, where its row has them. */
static bool fill_urls(const struct line *l, json_t *data, struct err *err)
{
    const char *id = line_text(l, "provider");
    const struct provider_place at = {line_text(l, "tenant"), line_text(l, "domain")};
    const struct provider_list *all = id ? provider_table(err) : NULL;
    const struct provider *p = all ? provider_by_id(all, id) : NULL;
    if (!id)
        return true;
    if (!p)
        return !all ? false
                    : usage_error(err, "--provider: there is no %.64s in `connection providers`",
                                  id);
    const char *flow = json_string_value(json_object_get(data, "flow"));
    bool person = !flow || !strcmp(flow, "authorization_code");
    return fill_url(data, "tokenUrl", p->setup.token_url, &at, p, err) &&
           (!person || fill_url(data, "authorizationUrl", p->setup.authorization_url, &at, p, err));
}

/* ---- secrets ---- */

static const struct secret_option {
    const char *option, *kind, *member, *what;
} secrets[] = {
    {"client-secret-file", "client_secret", "clientSecretId", "client secret"},
    {"private-key-file", "private_key", "privateKeyId", "private key"},
    {"refresh-token-file", "refresh_token", "refreshTokenId", "refresh token"},
};

static bool put_secret(struct cli *cli, struct db *db, const char *connection,
                       const struct secret_option *o, const struct secret *value, json_t *data,
                       struct err *err)
{
    char id[UUID_TEXT];
    if (!connection_secret_put(cli, db, connection, o->kind, value, id, err))
        return false;
    json_object_set_new(data, o->member, json_string(id));
    return true;
}

static bool put_from_file(struct cli *cli, struct db *db, const char *connection,
                          const struct secret_option *o, json_t *data, struct err *err)
{
    const char *path = line_text(&cli->line, o->option);
    auto_secret struct secret *value = path ? connection_secret_read(path, o->what, err) : NULL;
    return !path || (value && put_secret(cli, db, connection, o, value, data, err));
}

static bool put_from_terminal(struct cli *cli, struct db *db, const char *connection,
                              const struct secret_option *o, json_t *data, struct err *err)
{
    char question[320];
    snprintf(question, sizeof question, "%s of %s (empty: none): ", o->what, connection);
    auto_secret struct secret *value = connection_secret_ask(cli, question, err);
    return value ? put_secret(cli, db, connection, o, value, data, err) : !err->code;
}

/* What a new connection needs and nobody has said. */
static bool is_missing(const struct secret_option *o, const json_t *data)
{
    const char *auth = json_string_value(json_object_get(data, "clientAuth"));
    const char *flow = json_string_value(json_object_get(data, "flow"));
    if (json_object_get(data, o->member))
        return false;
    if (!strcmp(o->kind, "refresh_token"))
        return flow && !strcmp(flow, "refresh_token");
    return !strcmp(o->kind, "client_secret") && !json_object_get(data, "privateKeyId") &&
           (!auth || (strcmp(auth, "none") != 0 && strcmp(auth, "private_key_jwt") != 0));
}

static bool one_standard_input(const struct line *l, struct err *err)
{
    int n = 0;
    for (size_t i = 0; i < LEN(secrets); i++) {
        const char *path = line_text(l, secrets[i].option);
        n += path && !strcmp(path, "-");
    }
    return n <= 1 || usage_error(err, "standard input is one secret, not %d", n);
}

static bool put_secrets(struct cli *cli, const char *connection, bool ask, json_t *data,
                        struct err *err)
{
    auto_db struct db *db =
        one_standard_input(&cli->line, err) && secret_init(err) ? db_open(cli, err) : NULL;
    for (size_t i = 0; db && i < LEN(secrets); i++)
        if (!put_from_file(cli, db, connection, &secrets[i], data, err))
            return false;
    for (size_t i = 0; db && ask && i < LEN(secrets); i++)
        if (is_missing(&secrets[i], data) &&
            !put_from_terminal(cli, db, connection, &secrets[i], data, err))
            return false;
    return db != NULL;
}

/* ---- create, update ---- */

static bool check_redirect(const json_t *data, const char *name, struct err *err)
{
    const char *flow = json_string_value(json_object_get(data, "flow"));
    if (strcmp(flow, "authorization_code") != 0 || json_object_get(data, "redirectUri"))
        return true;
    return usage_error(
        err,
        "say --redirect-uri https://YOUR-GATEWAY/api/oauth/callback/%s, and tell the "
        "provider the same",
        name);
}

static bool create_data(struct cli *cli, const struct org_name *who, json_t *data, struct err *err)
{
    const struct line *l = &cli->line;
    json_object_set_new(data, "create", json_true());
    json_object_set_new(data, "flow", json_string("authorization_code"));
    if (!set_texts(l, data, err) || !fill_urls(l, data, err) ||
        !check_redirect(data, who->name, err))
        return false;
    if (!json_object_get(data, "clientId"))
        return usage_error(err, "say --client-id, which the provider gave you");
    if (!json_object_get(data, "tokenUrl"))
        return usage_error(err, "say --provider (see `connection providers`), or --token-url");
    return put_secrets(cli, who->id, connection_secret_can_ask(cli), data, err);
}

static int run_create(struct cli *cli)
{
    struct err err = {0};
    struct org_name who;
    auto_json json_t *data = json_object();
    if (!org_name_of(cli, cli->line.words[0], &who, &err) || !create_data(cli, &who, data, &err))
        return cli_fail(cli, &err);
    json_object_set_new(data, "connectionId", json_string(who.id));
    return connection_send(cli, "connection.put", data, send_waiting(cli));
}

static bool update_data(struct cli *cli, const struct org_name *who, json_t *data, struct err *err)
{
    const struct line *l = &cli->line;
    if (!set_texts(l, data, err) || !fill_urls(l, data, err))
        return false;
    if (line_has(l, "if-revision"))
        json_object_set_new(data, "ifRevision", json_integer(line_int(l, "if-revision", 0)));
    if (line_has(l, "ask-secret") && !connection_secret_can_ask(cli))
        return usage_error(err, "nobody is there to ask: say --client-secret-file FILE");
    return put_secrets(cli, who->id, line_has(l, "ask-secret"), data, err);
}

static int run_update(struct cli *cli)
{
    struct err err = {0};
    struct org_name who;
    auto_json json_t *data = json_object();
    if (!org_name_of(cli, cli->line.words[0], &who, &err) || !update_data(cli, &who, data, &err))
        return cli_fail(cli, &err);
    json_object_set_new(data, "connectionId", json_string(who.id));
    return connection_send(cli, "connection.put", data, send_waiting(cli));
}

/* ---- rows ---- */

/* clang-format off */
#define OPTIONS_OF_BOTH                                                                            \
    OPTION_ORG,                                                                                    \
    {"provider", "ID", "one of `connection providers`; otherwise found by the URLs", OPT_TEXT, 0, 0, false}, \
    {"tenant", "TENANT", "our tenant, where the provider's URLs have one (Microsoft)", OPT_TEXT, 0, 0, false},              \
    {"domain", "HOST", "our host at the provider, likewise (Okta, Salesforce)", OPT_TEXT, 0, 0, false},                                         \
    {"client-id", "ID", "our name at the provider", OPT_TEXT, 0, 0, false},                        \
    {"client-auth", "HOW", "basic, post, private_key_jwt or none; otherwise as the provider has it", OPT_TEXT, 0, 0, false}, \
    {"client-secret-file", "FILE", "the client secret (0600), or - for standard input", OPT_TEXT, 0, 0, false}, \
    {"private-key-file", "FILE", "the same for the key of private_key_jwt, PEM", OPT_TEXT, 0, 0, false}, \
    {"refresh-token-file", "FILE", "the same for the token of the flow refresh_token", OPT_TEXT, 0, 0, false}, \
    {"scope", "SCOPE", "to be asked for", OPT_TEXT, 0, 0, true},                                   \
    {"authorization-url", "URL", "where a person authorizes it", OPT_TEXT, 0, 0, false},           \
    {"token-url", "URL", "where tokens come from", OPT_TEXT, 0, 0, false},                         \
    {"issuer", "URL", "who the provider says it is, where discovery begins", OPT_TEXT, 0, 0, false}, \
    {"redirect-uri", "URL", "where the provider sends the person back to", OPT_TEXT, 0, 0, false}, \
    OPTION_COMMAND_ID, OPTION_WAITING
/* clang-format on */

static const struct option create_options[] = {
    {"flow", "FLOW", "authorization_code (default), client_credentials or refresh_token", OPT_TEXT,
     0, 0, false},
    OPTIONS_OF_BOTH,
    {0},
};
static const struct option update_options[] = {
    {"if-revision", "N", "only when it is at this revision still", OPT_INT, 1, INT32_MAX, false},
    {"ask-secret", NULL, "asks for a new client secret on the terminal", OPT_FLAG, 0, 0, false},
    OPTIONS_OF_BOTH,
    {0},
};

static const struct example create_examples[] = {
    {"connection create acme/github --provider github --client-id Iv1.8a61f9b3 --scope repo "
     "--redirect-uri https://gate.example.org/api/oauth/callback/github",
     "asks for the client secret; then: connection authorize acme/github"},
    {"connection create billing --flow client_credentials --provider okta --domain acme.okta.com "
     "--client-id 0oa1 --client-secret-file /etc/drawbridge/okta.secret --scope invoices",
     "needs no person"},
    {0},
};
static const struct example update_examples[] = {
    {"connection update billing --client-secret-file - < okta.secret",
     "a new client secret; the connection gets tokens anew"},
    {0},
};

const struct action connection_put_actions[] = {
    {"connection", "create", "NAME", 1, 1, "Makes a connection to an OAuth provider",
     "NAME is ORG/NAME, or that of one of GLOBAL's. Secrets come from a file of mode 0600, standard input, or the terminal, "
     "never from the command line; they are kept sealed and shown nowhere.",
     create_options, create_examples, run_create},
    {"connection", "update", "NAME", 1, 1, "Changes what is given and keeps the rest",
     "Changed URLs or credentials end what was granted before: it is to be authorized anew.",
     update_options, update_examples, run_update},
    {0},
};
