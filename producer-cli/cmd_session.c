/* drawbridge session start|stop|show|list; config is in cmd_session_config.c. */
#include "commands.h"
#include "db.h"
#include "send.h"

#include <string.h>

#include "core/uuid.h"

enum { LIST_LIMIT = 50 };

static void random_uuid(char out[static UUID_TEXT])
{
    uint8_t uuid[UUID_BYTES];
    uuid_random(uuid);
    uuid_format(uuid, out);
}

/* Ids are compared as text, so they are written one way. */
static bool session_id(const char *given, char out[static UUID_TEXT], struct err *err)
{
    uint8_t uuid[UUID_BYTES];
    if (!uuid_parse(given, strlen(given), uuid))
        return err_set(err, ERR_BAD_INPUT,
                       "%.64s is no session id: a UUID is, `drawbridge session list` shows them",
                       given);
    uuid_format(uuid, out);
    return true;
}

/* ---- start ---- */

static json_t *texts(const struct line *l, const char *option)
{
    json_t *list = json_array();
    const char *s;
    for (size_t i = 0; (s = line_many(l, option, i)); i++)
        json_array_append_new(list, json_string(s));
    return list;
}

static json_t *start_data(const struct line *l, const char *id)
{
    json_t *data = json_pack("{s:s, s:s}", "sessionId", id, "userId", line_text(l, "user"));
    if (line_has(l, "idle-timeout"))
        json_object_set_new(data, "idleTimeoutMinutes",
                            json_integer(line_int(l, "idle-timeout", 0)));
    if (line_has(l, "public-key"))
        json_object_set_new(data, "clientPublicKey", json_string(line_text(l, "public-key")));
    if (line_has(l, "allowed-ip"))
        json_object_set_new(data, "allowedIPs", texts(l, "allowed-ip"));
    if (line_has(l, "dns"))
        json_object_set_new(data, "dnsServers", texts(l, "dns"));
    const char *profile = line_text(l, "profile"), *driver = line_text(l, "driver");
    if (driver || profile)
        json_object_set_new(
            data, "placement",
            json_pack("{s:s, s:s*}", "driver", driver ? driver : "simulated", "profile", profile));
    return data;
}

static int run_start(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    char id[UUID_TEXT];
    if (!line_has(l, "user")) {
        (void)usage_error(&err, "session start wants --user ID: whose session it is");
        return cli_fail(cli, &err);
    }
    if (!line_has(l, "id"))
        random_uuid(id);
    else if (!session_id(line_text(l, "id"), id, &err))
        return cli_fail(cli, &err);
    auto_json json_t *data = start_data(l, id);
    struct composition in = {
        .type = "session.start", .data = data, .id = line_text(l, "command-id")};
    return send_command(cli, &in, send_waiting(cli));
}

/* ---- stop ---- */

/* Whose session it is, from its row. */
static bool find_user(struct cli *cli, const char *id, char *out, size_t bytes, struct err *err)
{
    auto_db struct db *db = db_open(cli, err);
    auto_json json_t *row = db ? db_row(db, SQL_SESSION_SHOW, DB_PARAMS(id), err) : NULL;
    if (!row)
        return err_wrap(err, "look up the session's user (or say --user)");
    if (json_is_null(row))
        return err_set(err, ERR_NOT_FOUND, "there is no session %s", id);
    snprintf(out, bytes, "%s", json_string_value(json_object_get(row, "userId")));
    return true;
}

static int run_stop(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    char id[UUID_TEXT], user[256];
    const char *given = line_text(l, "user");
    if (!session_id(l->words[0], id, &err) ||
        (!given && !find_user(cli, id, user, sizeof user, &err)))
        return cli_fail(cli, &err);
    auto_json json_t *data = json_pack("{s:s, s:s, s:s*}", "sessionId", id, "userId",
                                       given ? given : user, "reason", line_text(l, "reason"));
    struct composition in = {
        .type = "session.stop", .data = data, .id = line_text(l, "command-id")};
    return send_command(cli, &in, send_waiting(cli));
}

/* ---- show ---- */

static const struct column show_columns[] = {
    {"sessionId", "session", FORMAT_TEXT, 0},
    {"userId", "user", FORMAT_TEXT, 0},
    {"status", "status", FORMAT_STATUS, 0},
    {"reason", "because", FORMAT_TEXT, 0},
    {"health", "server", FORMAT_TEXT, 0},
    {"driver", "driver", FORMAT_TEXT, 0},
    {"profile", "profile", FORMAT_TEXT, 0},
    {"serverEndpoint", "endpoint", FORMAT_TEXT, 0},
    {"clientIpAddress", "client's address", FORMAT_TEXT, 0},
    {"connectedClients", "connected clients", FORMAT_NUMBER, 0},
    {"bytesReceived", "received", FORMAT_BYTES, 0},
    {"bytesSent", "sent", FORMAT_BYTES, 0},
    {"lastHandshakeAt", "last handshake", FORMAT_AGO, 0},
    {"observedAt", "server last seen", FORMAT_AGO, 0},
    {"uptimeMs", "up for", FORMAT_MS, 0},
    {"lastActivityAt", "last activity", FORMAT_AGO, 0},
    {"idleTimeoutMinutes", "idle timeout, min", FORMAT_NUMBER, 0},
    {"idleTimeoutAt", "ends when idle", FORMAT_AGO, 0},
    {"provisionAttempts", "tries after the first", FORMAT_NUMBER, 0},
    {"errorMessage", "error", FORMAT_TEXT, 0},
    {"createdAt", "asked for", FORMAT_TIME, 0},
    {"activatedAt", "active since", FORMAT_TIME, 0},
    {"terminatedAt", "ended", FORMAT_TIME, 0},
    {0},
};
static const struct column pending_columns[] = {
    {"type", "UNDER WAY", FORMAT_TEXT, 0},
    {"state", "STATE", FORMAT_TEXT, 0},
    {"attempt", "TRY", FORMAT_NUMBER, 0},
    {"dueAt", "DUE", FORMAT_AGO, 0},
    {"errorMessage", "LAST ERROR", FORMAT_TEXT, 60},
    {0},
};

static void show_people(struct cli *cli, const json_t *doc)
{
    const json_t *pending = json_object_get(doc, "pending");
    out_facts(&cli->out, doc, show_columns);
    if (json_array_size(pending))
        out_table(&cli->out, pending, pending_columns);
}

static int run_show(struct cli *cli)
{
    struct err err = {0};
    char id[UUID_TEXT], subject[sizeof "session/" + UUID_TEXT];
    if (!session_id(cli->line.words[0], id, &err))
        return cli_fail(cli, &err);
    snprintf(subject, sizeof subject, "session/%s", id);
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *row = db ? db_row(db, SQL_SESSION_SHOW, DB_PARAMS(id), &err) : NULL;
    auto_json json_t *pending =
        row ? db_rows(db, SQL_SESSION_PENDING, DB_PARAMS(subject), &err) : NULL;
    if (pending && json_is_null(row))
        (void)err_set(&err, ERR_NOT_FOUND, "there is no session %s", id);
    if (err.code || !pending)
        return cli_fail(cli, &err);
    json_object_set(row, "pending", pending);
    return cli_done(cli, json_incref(row), show_people);
}

/* ---- list ---- */

static const struct column list_columns[] = {
    {"sessionId", "SESSION", FORMAT_TEXT, 0},       {"userId", "USER", FORMAT_TEXT, 30},
    {"status", "STATUS", FORMAT_STATUS, 0},         {"reason", "BECAUSE", FORMAT_TEXT, 0},
    {"driver", "DRIVER", FORMAT_TEXT, 0},           {"profile", "PROFILE", FORMAT_TEXT, 0},
    {"clientIpAddress", "ADDRESS", FORMAT_TEXT, 0}, {"createdAt", "ASKED FOR", FORMAT_TIME, 0},
    {"lastActivityAt", "ACTIVITY", FORMAT_AGO, 0},  {0},
};

static void list_people(struct cli *cli, const json_t *doc)
{
    const json_t *rows = json_object_get(doc, "sessions"), *cursor = json_object_get(doc, "cursor");
    if (json_array_size(rows))
        out_table(&cli->out, rows, list_columns);
    out_line(&cli->out, STYLE_DIM, "%zu of %lld sessions, %lld active", json_array_size(rows),
             (long long)json_integer_value(json_object_get(doc, "totalCount")),
             (long long)json_integer_value(json_object_get(doc, "activeCount")));
    if (json_is_string(cursor))
        out_line(&cli->out, STYLE_DIM, "Next page: --cursor %s", json_string_value(cursor));
}

static bool status_known(const char *status, struct err *err)
{
    static const char *const names[] = {"live",        "provisioning", "active", "idle",
                                        "terminating", "terminated",   NULL};
    for (const char *const *n = names; *n; n++)
        if (!status || !strcmp(status, *n))
            return true;
    const char *near = nearest(status, names);
    return usage_error(err,
                       "--status: %.32s is none of live, provisioning, active, idle, "
                       "terminating, terminated%s%s%s",
                       status, near ? ". Did you mean " : "", near ? near : "", near ? "?" : "");
}

/* Rows carry where the next page goes on; one cursor for the page is enough. */
static json_t *page_cursor(json_t *rows, int64_t limit)
{
    size_t i, n = json_array_size(rows);
    json_t *row, *last = json_null();
    json_array_foreach(rows, i, row)
    {
        if (i + 1 == n && n == (size_t)limit)
            last = json_copy(json_object_get(row, "cursor"));
        json_object_del(row, "cursor");
    }
    return last;
}

static int run_list(struct cli *cli)
{
    const struct line *l = &cli->line;
    const char *user = line_text(l, "user"), *status = line_text(l, "status");
    int64_t limit = line_int(l, "limit", LIST_LIMIT);
    struct err err = {0};
    char limit_text[24];
    snprintf(limit_text, sizeof limit_text, "%lld", (long long)limit);
    if (!status_known(status, &err))
        return cli_fail(cli, &err);
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *counts =
        db ? db_row(db, SQL_SESSION_COUNT, DB_PARAMS(user, status), &err) : NULL;
    auto_json json_t *rows =
        counts ? db_rows(db, SQL_SESSION_LIST,
                         DB_PARAMS(user, status, limit_text, line_text(l, "cursor")), &err)
               : NULL;
    if (!rows)
        return cli_fail(cli, &err);
    json_object_set_new(counts, "cursor", page_cursor(rows, limit));
    json_object_set(counts, "sessions", rows);
    return cli_done(cli, json_incref(counts), list_people);
}

/* ---- rows ---- */

static const struct option start_options[] = {
    {"user", "ID", "whose session it is", OPT_TEXT, 0, 0, false},
    {"id", "UUID", "id of the session (default: a new one)", OPT_TEXT, 0, 0, false},
    {"idle-timeout", "MIN", "minutes without traffic after which it ends, 1 to 1440", OPT_INT, 0,
     1000000, false},
    {"driver", "NAME", "wireguard or simulated (default: the workers' setting)", OPT_TEXT, 0, 0,
     false},
    {"profile", "P", "how the simulated driver behaves: ok, slow-<ms>, flaky-<n>, broken, …",
     OPT_TEXT, 0, 0, false},
    {"public-key", "KEY", "the client's own WireGuard key; else a pair is made here", OPT_TEXT, 0,
     0, false},
    {"allowed-ip", "CIDR", "network the client sends through the tunnel", OPT_TEXT, 0, 0, true},
    {"dns", "ADDRESS", "name server of the client", OPT_TEXT, 0, 0, true},
    OPTION_COMMAND_ID,
    OPTION_WAITING,
    {0},
};
static const struct option stop_options[] = {
    {"user", "ID", "whose session it is (default: looked up)", OPT_TEXT, 0, 0, false},
    {"reason", "TEXT", "kept in the audit trail", OPT_TEXT, 0, 0, false},
    OPTION_COMMAND_ID,
    OPTION_WAITING,
    {0},
};
static const struct option list_options[] = {
    {"user", "ID", "only this user's", OPT_TEXT, 0, 0, false},
    {"status", "STATUS", "live, provisioning, active, idle, terminating or terminated", OPT_TEXT, 0,
     0, false},
    {"limit", "N", "rows on a page (50)", OPT_INT, 1, 1000, false},
    {"cursor", "CURSOR", "where the last page ended", OPT_TEXT, 0, 0, false},
    {0},
};

static const struct example start_examples[] = {
    {"session start --user ada",
     "a session of the configured driver, and waits until it is active"},
    {"session start --user ada --driver simulated --profile flaky-2", "a drill: fails twice"},
    {0},
};
static const struct example stop_examples[] = {
    {"session stop 0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10", "waits until it is gone"},
    {0},
};
static const struct example list_examples[] = {
    {"session list --status live", "what runs now"},
    {0},
};

static const struct example show_examples[] = {
    {"session show 7d1f7a52-8c53-4f0e-9b07-3a1a4b3f6f0e", "its state, address, traffic and errors"},
    {0}};

const struct action session_actions[] = {
    {"session", "start", NULL, 0, 0, "Starts a VPN session", NULL, start_options, start_examples,
     run_start},
    {"session", "stop", "ID", 1, 1, "Stops a session, or cancels it while it is being made", NULL,
     stop_options, stop_examples, run_stop},
    {"session", "show", "ID", 1, 1, "Shows one session and what is under way for it", NULL, NULL,
     show_examples, run_show},
    {"session", "list", NULL, 0, 0, "Lists sessions, newest first", NULL, list_options,
     list_examples, run_list},
    {0},
};
