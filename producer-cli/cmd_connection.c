/* drawbridge connection list|show|test|refresh|delete|providers. */
#include "commands.h"
#include "connection_advice.h"
#include "connection_command.h"

#include <string.h>
#include <unistd.h>

#include "domain/provider.h"
#include "drivers/provider_table.h"

#include "confirm.h"
#include "page.h"

/* ---- show ---- */

static const struct column connection_columns[] = {
    {"connection_id", "connection", FORMAT_TEXT, 0},
    {"provider", "provider", FORMAT_TEXT, 0},
    {"oauth_flow_type", "gets tokens by", FORMAT_TEXT, 0},
    {"status", "status", FORMAT_STATUS, 0},
    {"reason", "why", FORMAT_TEXT, 0},
    {"status_message", "it says", FORMAT_TEXT, 0},
    {"reconnect_required", "to be authorized anew", FORMAT_YESNO, 0},
    {"expires_at", "token good until", FORMAT_TIME, 0},
    {"renew_at", "renewed", FORMAT_AGO, 0},
    {"last_refresh_at", "last got tokens", FORMAT_AGO, 0},
    {"last_test_at", "last tested", FORMAT_AGO, 0},
    {"waiting_until", "waits until", FORMAT_TIME, 0},
    {"user_code", "code for the person", FORMAT_TEXT, 0},
    {"verification_uri", "to be entered at", FORMAT_TEXT, 0},
    {"client_id", "client id", FORMAT_TEXT, 0},
    {"client_auth", "shows who it is by", FORMAT_TEXT, 0},
    {"client_secret", "client secret", FORMAT_TEXT, 0},
    {"private_key", "private key", FORMAT_TEXT, 0},
    {"scopes", "scopes", FORMAT_TEXT, 0},
    {"authorization_url", "authorization URL", FORMAT_TEXT, 0},
    {"token_url", "token URL", FORMAT_TEXT, 0},
    {"issuer", "issuer", FORMAT_TEXT, 0},
    {"redirect_uri", "redirect URI", FORMAT_TEXT, 0},
    {"workflows", "workflows", FORMAT_LIST, 0},
    {"created_by", "made by", FORMAT_TEXT, 0},
    {"created_at", "made", FORMAT_TIME, 0},
    {"updated_at", "changed", FORMAT_TIME, 0},
    {"revision", "revision", FORMAT_NUMBER, 0},
    {0},
};

static void show_people(struct cli *cli, const json_t *row)
{
    out_facts(&cli->out, row, connection_columns);
    connection_advice_people(&cli->out, row);
}

/* The ids of the workflows that use it. */
static json_t *dependants(struct db *db, const char *id, struct err *err)
{
    auto_buf struct buf list;
    buf_init(&list, 1024);
    db_array(&list, &id, 1);
    auto_json json_t *rows =
        db_rows(db, SQL_CONNECTION_DEPENDANTS, DB_PARAMS((const char *)list.p), err);
    auto_json json_t *names = rows ? json_array() : NULL;
    const json_t *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        json_array_append(names, json_object_get(row, "workflow"));
    }
    return take(names);
}

static json_t *whole_row(struct cli *cli, struct db *db, struct err *err)
{
    struct org_name who;
    auto_json json_t *row = org_name_of(cli, cli->line.words[0], &who, err)
                                ? connection_row(db, &who, true, err)
                                : NULL;
    if (!row)
        return NULL;
    json_t *names = dependants(db, json_string_value(json_object_get(row, "connection_id")), err);
    if (!names)
        return NULL;
    struct connection_advice a = connection_advice(row);
    json_object_set_new(row, "workflows", names);
    json_object_set_new(row, "meaning", json_string(a.means));
    return take(row);
}

static int run_show(struct cli *cli)
{
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    json_t *row = db ? whole_row(cli, db, &err) : NULL;
    return row ? cli_done(cli, row, show_people) : cli_fail(cli, &err);
}

/* ---- list ---- */

static const struct column list_columns[] = {
    {"connection_id", "CONNECTION", FORMAT_TEXT, 0},
    {"provider", "PROVIDER", FORMAT_TEXT, 0},
    {"oauth_flow_type", "TOKENS BY", FORMAT_TEXT, 0},
    {"status", "STATUS", FORMAT_STATUS, 0},
    {"reason", "WHY", FORMAT_TEXT, 0},
    {"expires_at", "GOOD UNTIL", FORMAT_TIME, 0},
    {"last_refresh_at", "GOT TOKENS", FORMAT_AGO, 0},
    {"status_message", "IT SAYS", FORMAT_TEXT, 60},
    {0},
};

static void list_people(struct cli *cli, const json_t *doc)
{
    const json_t *rows = json_object_get(doc, "connections");
    if (json_array_size(rows))
        out_table_leaving(&cli->out, rows, list_columns, "status_message last_refresh_at");
    page_people(&cli->out, doc, "connections");
}

static int run_list(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    char limit[24];
    page_limit(l, limit);
    auto_db struct db *db = db_open(cli, &err);
    json_t *rows = db ? db_rows(db, SQL_CONNECTION_LIST,
                                DB_PARAMS(line_text(l, "org"),
                                          line_has(l, "include-global") ? "true" : "false", limit,
                                          line_text(l, "cursor")),
                                &err)
                      : NULL;
    return rows ? cli_done(cli, page_json(l, "connections", rows, "connection_id"), list_people)
                : cli_fail(cli, &err);
}

/* ---- test, refresh ---- */

static int run_plain(struct cli *cli, const char *type)
{
    struct err err = {0};
    struct org_name who;
    if (!org_name_of(cli, cli->line.words[0], &who, &err))
        return cli_fail(cli, &err);
    auto_json json_t *data = json_pack("{s:s}", "connectionId", who.id);
    return connection_send(cli, type, data, send_waiting(cli));
}

static int run_test(struct cli *cli)
{
    return run_plain(cli, "connection.test");
}

static int run_refresh(struct cli *cli)
{
    return run_plain(cli, "connection.refresh");
}

/* ---- delete ---- */

static void tell_dependants(struct cli *cli, const char *id, const json_t *names)
{
    const json_t *name;
    size_t i;
    out_line(&cli->say, STYLE_WARN,
             "%zu workflows use %s, and are disabled with its end:", json_array_size(names), id);
    json_array_foreach(names, i, name)
    {
        auto_free char *text = text_clean(json_string_value(name), 0);
        out_line(&cli->say, STYLE_PLAIN, "  %s", text ? text : "");
    }
}

/* Whether those may be disabled that are known now; the worker asks again. */
static bool may_disable(struct cli *cli, struct db *db, const char *id, bool *out_confirmed,
                        struct err *err)
{
    auto_json json_t *names = dependants(db, id, err);
    if (!names)
        return false;
    size_t n = json_array_size(names);
    *out_confirmed = line_has(&cli->line, "confirm-disable-workflows");
    if (!n || *out_confirmed)
        return true;
    tell_dependants(cli, id, names);
    *out_confirmed = isatty(STDIN_FILENO)
                         ? confirm(cli, err, "Delete %s and disable %zu workflows", id, n)
                         : usage_error(err, "say --confirm-disable-workflows to disable them");
    return *out_confirmed;
}

static int run_delete(struct cli *cli)
{
    struct err err = {0};
    struct org_name who;
    bool confirmed = false;
    bool named = org_name_of(cli, cli->line.words[0], &who, &err);
    auto_db struct db *db = named ? db_open(cli, &err) : NULL;
    if (!db || !may_disable(cli, db, who.id, &confirmed, &err))
        return cli_fail(cli, &err);
    auto_json json_t *data = json_pack("{s:s}", "connectionId", who.id);
    if (confirmed)
        json_object_set_new(data, "confirmDisableWorkflows", json_true());
    if (line_has(&cli->line, "reason"))
        json_object_set_new(data, "reason", json_string(line_text(&cli->line, "reason")));
    struct composition in = {
        .type = "connection.delete", .data = data, .id = line_text(&cli->line, "command-id")};
    return send_command(cli, &in, send_waiting(cli));
}

/* ---- providers ---- */

static const struct column provider_columns[] = {
    {"id", "PROVIDER", FORMAT_TEXT, 0},
    {"name", "NAME", FORMAT_TEXT, 0},
    {"needs", "NEEDS", FORMAT_TEXT, 0},
    {"refresh_tokens", "REFRESH TOKENS", FORMAT_TEXT, 0},
    {"can", "CAN", FORMAT_LIST, 0},
    {"hosts", "KNOWN BY", FORMAT_LIST, 40},
    {0},
};

static const char *refresh_habit(const struct provider *p)
{
    static const char *const words[] = {
        [ROTATION_NONE] = "stay",
        [ROTATION_GRACE] = "rotate, the old one lasts a while",
        [ROTATION_STRICT] = "rotate, each is good once",
    };
    return words[p->rotation];
}

static const char *needs_of(const struct provider *p)
{
    const char *url = p->setup.token_url;
    return !url                      ? "--token-url"
           : strstr(url, "{tenant}") ? "--tenant"
           : strstr(url, "{domain}") ? "--domain"
                                     : NULL;
}

static json_t *provider_json(const struct provider *p)
{
    json_t *can = json_array(), *hosts = json_array();
    if (p->device_url || p->discovery)
        json_array_append_new(can, json_string("device"));
    if (p->revocation_url || p->discovery)
        json_array_append_new(can, json_string("revoke"));
    if (p->introspection_url || p->discovery)
        json_array_append_new(can, json_string("introspect"));
    for (const char *const *h = p->hosts; *h; h++)
        json_array_append_new(hosts, json_string(*h));
    return json_pack("{s:s, s:s, s:s?, s:s, s:s, s:s, s:s?, s:s?, s:o, s:o}", "id", p->id, "name",
                     p->name, "needs", needs_of(p), "refresh_tokens", refresh_habit(p), "rotation",
                     rotation_name(p->rotation), "client_auth", client_auth_name(p->client_auth),
                     "authorization_url", p->setup.authorization_url, "token_url",
                     p->setup.token_url, "can", can, "hosts", hosts);
}

static void providers_people(struct cli *cli, const json_t *doc)
{
    out_table_leaving(&cli->out, json_object_get(doc, "providers"), provider_columns, "hosts can");
}

static int run_providers(struct cli *cli)
{
    struct err err = {0};
    const struct provider_list *all = provider_table(&err);
    if (!all)
        return cli_fail(cli, &err);
    json_t *rows = json_array();
    for (size_t i = 0; i < all->n; i++)
        json_array_append_new(rows, provider_json(&all->list[i]));
    return cli_done(cli, json_pack("{s:o}", "providers", rows), providers_people);
}

/* ---- rows ---- */

static const struct option list_options[] = {
    {"org", "ORG", "only this organisation's", OPT_TEXT, 0, 0, false},
    {"include-global", NULL, "and those of GLOBAL", OPT_FLAG, 0, 0, false},
    OPTION_LIMIT,
    OPTION_CURSOR,
    {0},
};
static const struct option show_options[] = {OPTION_ORG, {0}};
static const struct option plain_options[] = {
    OPTION_ORG,
    OPTION_COMMAND_ID,
    OPTION_WAITING,
    {0},
};
static const struct option delete_options[] = {
    OPTION_ORG,
    {"confirm-disable-workflows", NULL, "also when workflows use it: they are disabled", OPT_FLAG,
     0, 0, false},
    {"reason", "TEXT", "why; the workflows are told, and the audit trail", OPT_TEXT, 0, 0, false},
    OPTION_COMMAND_ID,
    OPTION_WAITING,
    {0},
};

static const struct example show_examples[] = {
    {"connection show acme/github", "how it stands, what that means, and what to do"},
    {0},
};
static const struct example list_examples[] = {
    {"connection list --json | jq -r '.connections[] | select(.status == "
     "\"failed\").connection_id'",
     "those that need somebody"},
    {0},
};
static const struct example delete_examples[] = {
    {"connection delete acme/github --confirm-disable-workflows --reason 'the account is closed'",
     "revokes its tokens where the provider offers that, and disables its workflows"},
    {0},
};

const struct action connection_actions[] = {
    {"connection", "list", NULL, 0, 0, "Lists connections, never their secrets", NULL, list_options,
     list_examples, run_list},
    {"connection", "show", "NAME", 1, 1,
     "Shows one connection, what its state means, and what to do",
     "A connection that the organisation does not have is looked for in GLOBAL.", show_options,
     show_examples, run_show},
    {"connection", "test", "NAME", 1, 1, "Asks the provider whether its access token is good", NULL,
     plain_options, NULL, run_test},
    {"connection", "refresh", "NAME", 1, 1, "Renews its tokens now",
     "They renew themselves before they end: this is for when somebody has changed something.",
     plain_options, NULL, run_refresh},
    {"connection", "delete", "NAME", 1, 1, "Deletes a connection with its secrets",
     "Revokes its tokens where the provider offers that. Workflows that use it are listed, and "
     "disabled in the same moment when that is confirmed.",
     delete_options, delete_examples, run_delete},
    {"connection", "providers", NULL, 0, 0, "Lists the providers that are known",
     "Any other that speaks OpenID Connect or OAuth 2.0 is used with its URLs.", NULL, NULL,
     run_providers},
    {0},
};
