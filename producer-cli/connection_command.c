#include "connection_command.h"

#include <string.h>

#include "connection_advice.h"

json_t *connection_row(struct db *db, const struct org_name *who, bool or_global, struct err *err)
{
    auto_json json_t *row = db_row(db, SQL_CONNECTION_SHOW, DB_PARAMS(who->org, who->name), err);
    const char *id = row ? json_string_value(json_object_get(row, "connection_id")) : NULL;
    if (!row)
        return NULL;
    if (id && (or_global || !strcmp(id, who->id)))
        return take(row);
    if (id)
        (void)err_set(err, ERR_NOT_FOUND, "there is no connection %s; %.200s is there", who->id,
                      id);
    else
        (void)err_set(err, ERR_NOT_FOUND, "there is no connection %s", who->id);
    return NULL;
}

/* ---- the outcome ---- */

/* The event that ended it, in the words of connection_show. */
struct ending {
    const struct send_hooks *hooks;
    json_t *row; /* NULL: there was none */
};

static void note_ending(json_t *event, void *arg)
{
    static const char *const names[][2] = {
        {"connectionId", "connection_id"},
        {"status", "status"},
        {"reason", "reason"},
        {"flow", "oauth_flow_type"},
    };
    struct ending *e = arg;
    const json_t *data = json_object_get(event, "data");
    json_decref(e->row);
    e->row = json_object();
    for (size_t i = 0; i < LEN(names); i++) {
        json_t *value = json_object_get(data, names[i][0]);
        if (value)
            json_object_set(e->row, names[i][1], value);
    }
    if (e->hooks->done)
        e->hooks->done(event, e->hooks->arg);
}

static void pass_on(const json_t *event, void *arg)
{
    const struct ending *e = arg;
    if (e->hooks->said)
        e->hooks->said(event, e->hooks->arg);
}

int connection_send_hooked(struct cli *cli, const char *type, json_t *data, int64_t wait_ms,
                           const struct send_hooks *hooks)
{
    struct ending e = {.hooks = hooks};
    struct composition in = {.type = type, .data = data, .id = line_text(&cli->line, "command-id")};
    int code = send_command_hooked(cli, &in, wait_ms,
                                   &(const struct send_hooks){pass_on, note_ending, &e});
    auto_json json_t *row = e.row;
    const char *status = row ? json_string_value(json_object_get(row, "status")) : NULL;
    if (status && !cli->json)
        connection_advice_people(&cli->out, row);
    /* Who changes it has been obeyed; that it is to be authorized anew is no failure of that. */
    if (code == EXIT_DONE && status && !strcmp(status, "failed") &&
        strcmp(type, "connection.put") != 0)
        return EXIT_FAILED;
    return code;
}

int connection_send(struct cli *cli, const char *type, json_t *data, int64_t wait_ms)
{
    return connection_send_hooked(cli, type, data, wait_ms, &(const struct send_hooks){0});
}
