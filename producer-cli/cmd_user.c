/* drawbridge user put|show|list|remove. */
#include "commands.h"
#include "db.h"
#include "send.h"

#include <string.h>

enum { LIST_LIMIT = 50 };

/* ---- put, remove ---- */

/* Options that become a member of the data. */
static const struct {
    const char *option, *member;
} texts[] = {
    {"email", "email"},
    {"name", "displayName"},
    {"auth-method", "authMethod"},
    {"api-key-hash", "apiKeyHash"},
    {"directory-object-id", "directoryObjectId"},
};
static const struct {
    const char *option, *member;
} numbers[] = {
    {"quota-concurrent", "quotaMaxConcurrentSessions"},
    {"quota-daily", "quotaMaxSessionsPerDay"},
};

static json_t *networks(const struct line *l)
{
    json_t *list = json_array();
    const char *network;
    for (size_t i = 0; (network = line_many(l, "allow-source", i)); i++)
        json_array_append_new(list, json_string(network));
    return list;
}

static json_t *put_data(const struct line *l)
{
    json_t *data = json_pack("{s:s}", "userId", l->words[0]);
    for (size_t i = 0; i < LEN(texts); i++)
        if (line_has(l, texts[i].option))
            json_object_set_new(data, texts[i].member, json_string(line_text(l, texts[i].option)));
    for (size_t i = 0; i < LEN(numbers); i++)
        if (line_has(l, numbers[i].option))
            json_object_set_new(data, numbers[i].member,
                                json_integer(line_int(l, numbers[i].option, 0)));
    if (line_has(l, "allow-source") || line_has(l, "allow-any-source"))
        json_object_set_new(data, "allowedSourceIPs", networks(l));
    if (line_has(l, "active") || line_has(l, "inactive"))
        json_object_set_new(data, "isActive", json_boolean(line_has(l, "active")));
    return data;
}

static int run_put(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    if (line_has(l, "active") && line_has(l, "inactive")) {
        (void)usage_error(&err, "--active and --inactive exclude each other");
        return cli_fail(cli, &err);
    }
    auto_json json_t *data = put_data(l);
    struct composition in = {.type = "user.put",
                             .data = data,
                             .tenant = line_text(l, "tenant"),
                             .id = line_text(l, "command-id")};
    return send_command(cli, &in, send_waiting(cli));
}

static int run_remove(struct cli *cli)
{
    const struct line *l = &cli->line;
    auto_json json_t *data = json_pack("{s:s}", "userId", l->words[0]);
    if (line_has(l, "reason"))
        json_object_set_new(data, "reason", json_string(line_text(l, "reason")));
    struct composition in = {.type = "user.remove", .data = data, .id = line_text(l, "command-id")};
    return send_command(cli, &in, send_waiting(cli));
}

/* ---- show, list ---- */

static const struct column user_columns[] = {
    {"id", "user", FORMAT_TEXT, 0},
    {"tenant", "tenant", FORMAT_TEXT, 0},
    {"displayName", "name", FORMAT_TEXT, 0},
    {"email", "mail", FORMAT_TEXT, 0},
    {"isActive", "active", FORMAT_YESNO, 0},
    {"authMethod", "signs in by", FORMAT_TEXT, 0},
    {"hasApiKey", "has an API key", FORMAT_YESNO, 0},
    {"directoryObjectId", "directory object", FORMAT_TEXT, 0},
    {"allowedSourceIPs", "may ask from", FORMAT_LIST, 0},
    {"quotaMaxConcurrentSessions", "sessions at a time", FORMAT_NUMBER, 0},
    {"quotaMaxSessionsPerDay", "sessions a day", FORMAT_NUMBER, 0},
    {"liveSessions", "live sessions", FORMAT_NUMBER, 0},
    {"totalSessionsCreated", "sessions ever", FORMAT_NUMBER, 0},
    {"lastSessionAt", "last session", FORMAT_AGO, 0},
    {"createdAt", "made", FORMAT_TIME, 0},
    {"updatedAt", "changed", FORMAT_TIME, 0},
    {0},
};

static void show_people(struct cli *cli, const json_t *user)
{
    out_facts(&cli->out, user, user_columns);
}

static int run_show(struct cli *cli)
{
    struct err err = {0};
    const char *id = cli->line.words[0];
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *row = db ? db_row(db, SQL_USER_SHOW, DB_PARAMS(id), &err) : NULL;
    if (json_is_null(row))
        (void)err_set(&err, ERR_NOT_FOUND, "there is no user %.128s", id);
    if (err.code || !row)
        return cli_fail(cli, &err);
    return cli_done(cli, json_incref(row), show_people);
}

static const struct column list_columns[] = {
    {"id", "USER", FORMAT_TEXT, 0},
    {"tenant", "TENANT", FORMAT_TEXT, 24},
    {"displayName", "NAME", FORMAT_TEXT, 30},
    {"isActive", "ACTIVE", FORMAT_YESNO, 0},
    {"liveSessions", "LIVE", FORMAT_NUMBER, 0},
    {"quotaMaxConcurrentSessions", "QUOTA", FORMAT_NUMBER, 0},
    {"quotaMaxSessionsPerDay", "PER DAY", FORMAT_NUMBER, 0},
    {"createdAt", "MADE", FORMAT_TIME, 0},
    {0},
};

static void list_people(struct cli *cli, const json_t *doc)
{
    const json_t *rows = json_object_get(doc, "users"), *cursor = json_object_get(doc, "cursor");
    json_int_t total = json_integer_value(json_object_get(doc, "totalCount"));
    if (json_array_size(rows))
        out_table(&cli->out, rows, list_columns);
    out_line(&cli->out, STYLE_DIM, "%zu of %lld users, %lld active", json_array_size(rows),
             (long long)total, (long long)json_integer_value(json_object_get(doc, "activeCount")));
    if (json_is_string(cursor)) {
        auto_free char *next = text_clean(json_string_value(cursor), 0);
        out_line(&cli->out, STYLE_DIM, "Next page: --cursor %s", next ? next : "");
    }
}

static int run_list(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    int64_t limit = line_int(l, "limit", LIST_LIMIT);
    char limit_text[24];
    snprintf(limit_text, sizeof limit_text, "%lld", (long long)limit);
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *counts = db ? db_row(db, SQL_USER_COUNT, NULL, &err) : NULL;
    auto_json json_t *rows =
        counts ? db_rows(db, SQL_USER_LIST, DB_PARAMS(limit_text, line_text(l, "cursor")), &err)
               : NULL;
    if (!rows)
        return cli_fail(cli, &err);
    size_t n = json_array_size(rows);
    const json_t *last = json_object_get(json_array_get(rows, n - (n > 0)), "id");
    json_object_set(counts, "users", rows);
    json_object_set_new(counts, "cursor",
                        n == (size_t)limit ? json_copy((json_t *)last) : json_null());
    return cli_done(cli, json_incref(counts), list_people);
}

/* ---- rows ---- */

static const struct option put_options[] = {
    {"email", "ADDRESS", "mail address", OPT_TEXT, 0, 0, false},
    {"name", "NAME", "name as shown to people", OPT_TEXT, 0, 0, false},
    {"tenant", "TENANT", "the organisation (default: GLOBAL)", OPT_TEXT, 0, 0, false},
    {"quota-concurrent", "N", "sessions at a time, 1 to 3", OPT_INT, 0, 1000000, false},
    {"quota-daily", "N", "sessions a day", OPT_INT, 0, 1000000, false},
    {"allow-source", "CIDR", "network the user may ask from", OPT_TEXT, 0, 0, true},
    {"allow-any-source", NULL, "may ask from anywhere again", OPT_FLAG, 0, 0, false},
    {"auth-method", "METHOD", "apikey or azuread", OPT_TEXT, 0, 0, false},
    {"api-key-hash", "HEX", "hash of the API key; the key itself is never sent", OPT_TEXT, 0, 0,
     false},
    {"directory-object-id", "UUID", "object id in the directory", OPT_TEXT, 0, 0, false},
    {"inactive", NULL, "refuses everything the user asks for", OPT_FLAG, 0, 0, false},
    {"active", NULL, "takes that back", OPT_FLAG, 0, 0, false},
    OPTION_COMMAND_ID,
    OPTION_WAITING,
    {0},
};
static const struct option remove_options[] = {
    {"reason", "TEXT", "kept in the audit trail", OPT_TEXT, 0, 0, false},
    OPTION_COMMAND_ID,
    OPTION_WAITING,
    {0},
};
static const struct option list_options[] = {
    {"limit", "N", "rows on a page (50)", OPT_INT, 1, 1000, false},
    {"cursor", "CURSOR", "where the last page ended", OPT_TEXT, 0, 0, false},
    {0},
};

static const struct example put_examples[] = {
    {"user put ada --name 'Ada Lovelace' --quota-concurrent 2", "makes or changes a user"},
    {"user put ada --inactive", "locks a user out"},
    {0},
};
static const struct example remove_examples[] = {
    {"user remove ada --reason 'left the company'", "ends the live sessions, then the user"},
    {0},
};

static const struct example show_examples[] = {
    {"user show ada", "quotas, sessions of today, and what is under way"}, {0}};
static const struct example list_examples[] = {
    {"user list --json | jq -r '.users[].id'", "the ids alone"}, {0}};

const struct action user_actions[] = {
    {"user", "put", "ID", 1, 1, "Makes a user, or changes what is given", NULL, put_options,
     put_examples, run_put},
    {"user", "show", "ID", 1, 1, "Shows one user", NULL, NULL, show_examples, run_show},
    {"user", "list", NULL, 0, 0, "Lists users", NULL, list_options, list_examples, run_list},
    {"user", "remove", "ID", 1, 1, "Stops a user's sessions and removes the user",
     "Done when the sessions are gone.", remove_options, remove_examples, run_remove},
    {0},
};
