/* Workflows over HTTP (O-10, O-12): what one depends on, whether it may run, and that it may again.
 */
#include "gateway/call.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/organisation.h"
#include "gateway/reader.h"

#include <string.h>

#include "core/json_value.h"

enum { WAIT_MS = 30000, LIMIT_DEFAULT = 50 };

struct asking {
    struct request *r;
    const char *org, *id;
};

/* The workflow in the path; NULL: answered. */
static struct asking *asked(struct request *r)
{
    struct asking *a = arena_get(r->arena, sizeof *a);
    if (!a) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return NULL;
    }
    *a = (struct asking){.r = r, .org = organisation_of(r, r->params[PARAM_ORG])};
    a->id = a->org ? organisation_id(r, a->org, r->params[PARAM_WORKFLOW_NAME]) : NULL;
    return a->id ? a : NULL;
}

/* "acme/nightly-sync" as organisation and name. */
static void split_id(json_t *row)
{
    const char *id = json_member_text(row, "workflow_id"), *slash = id ? strchr(id, '/') : NULL;
    if (!slash)
        return;
    json_object_set_new(row, "org", json_stringn(id, (size_t)(slash - id)));
    json_object_set_new(row, "workflow_id", json_string(slash + 1));
}

static void ask_row(struct asking *a, reader_fn *done)
{
    struct args args;
    args_init(&args);
    args_text(&args, a->id);
    reader_ask(a->r->gateway->reader, SQL_WORKFLOW_SHOW, &args, done, a);
    args_done(&args);
}

/* NULL: answered. */
static json_t *known_row(const struct asking *a, json_t *rows, const struct err *err)
{
    json_t *row = json_array_get(rows, 0);
    if (err)
        request_unasked(a->r, err);
    else if (!row)
        request_refuse(a->r, 404, "workflow.unknown", "there is no such workflow",
                       "a workflow is known once it depends on a connection");
    else
        return row;
    return NULL;
}

/* ---- one workflow ---- */

static void on_show(void *arg, json_t *rows, const struct err *err)
{
    const struct asking *a = arg;
    json_t *row = known_row(a, rows, err);
    if (!row)
        return;
    split_id(row);
    request_answer_json(a->r, 200, json_pack("{s:O}", "workflow", row));
}

void handle_workflow_show(struct request *r)
{
    struct asking *a = asked(r);
    if (a)
        ask_row(a, on_show);
}

static void on_check(void *arg, json_t *rows, const struct err *err)
{
    const struct asking *a = arg;
    const json_t *row = known_row(a, rows, err);
    const char *why = json_member_text(row, "reason");
    if (!row)
        return;
    if (json_is_true(json_object_get(row, "disabled")))
        request_refuse(a->r, 403, "workflow.disabled", why ? why : "the workflow is disabled",
                       "enable it when its cause is gone: POST /api/oauth/workflows/ID/enable");
    else
        request_answer_json(a->r, 200,
                            json_pack("{s:s, s:s, s:b}", "workflow_id",
                                      a->r->params[PARAM_WORKFLOW_NAME], "org", a->org, "disabled",
                                      0));
}

void handle_workflow_check(struct request *r)
{
    struct asking *a = asked(r);
    if (a)
        ask_row(a, on_check);
}

/* ---- commands ---- */

static void on_done(struct request *r, const json_t *data)
{
    (void)data;
    ask_row(r->work, on_show);
}

/* data is taken over. */
static void workflow_send(struct asking *a, const char *type, json_t *data)
{
    struct request *r = a->r;
    const char *name = r->params[PARAM_WORKFLOW_NAME];
    json_object_set_new(data, "workflowId", json_string(a->id));
    r->work = a;
    call_send(
        r, &(struct call){
               .type = type,
               .data = data,
               .wait_ms = WAIT_MS,
               .done = on_done,
               .location = arena_printf(r->arena, "/api/oauth/workflows/%s?org=%s", name, a->org),
               .accepted = json_pack("{s:s, s:s}", "workflow_id", name, "org", a->org),
               .id_name = "command_id"});
}

void handle_workflow_enable(struct request *r)
{
    struct asking *a = asked(r);
    if (a)
        workflow_send(a, "workflow.enable", json_object());
}

/* The organisation's own connection, else that of GLOBAL. */
static void on_connection(void *arg, json_t *rows, const struct err *err)
{
    struct asking *a = arg;
    const char *id = json_member_text(json_array_get(rows, 0), "connection_id");
    if (err)
        request_unasked(a->r, err);
    else if (!id)
        request_refuse(a->r, 404, "connection.unknown", "there is no such connection",
                       "list them: GET /api/oauth/connections");
    else
        workflow_send(a, "workflow.depend", json_pack("{s:s}", "connectionId", id));
}

void handle_workflow_depend(struct request *r)
{
    struct asking *a = asked(r);
    struct args args;
    if (!a)
        return;
    args_init(&args);
    args_text(&args, a->org);
    args_text(&args, json_member_text(r->body, "connection_name"));
    reader_ask(r->gateway->reader, SQL_CONNECTION_SHOW, &args, on_connection, a);
    args_done(&args);
}

/* ---- those that are disabled ---- */

struct listing {
    struct request *r;
    int64_t limit;
};

static void on_list(void *arg, json_t *rows, const struct err *err)
{
    struct listing *l = arg;
    size_t i, n = json_array_size(rows);
    json_t *row;
    if (err) {
        request_unasked(l->r, err);
        return;
    }
    json_t *last =
        n == (size_t)l->limit ? json_object_get(json_array_get(rows, n - 1), "workflow_id") : NULL;
    json_t *cursor = last ? json_incref(last) : json_null();
    json_array_foreach(rows, i, row) split_id(row);
    request_answer_json(l->r, 200, json_pack("{s:O, s:o}", "workflows", rows, "cursor", cursor));
}

void handle_workflow_disabled(struct request *r)
{
    const char *named = r->params[PARAM_ORG], *limit = r->params[PARAM_LIMIT];
    const char *org = organisation_of(r, named);
    struct listing *l = org ? arena_get(r->arena, sizeof *l) : NULL;
    struct args a;
    if (!l) {
        if (org)
            (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    *l = (struct listing){r, limit ? strtoll(limit, NULL, 10) : LIMIT_DEFAULT};
    args_init(&a);
    args_text(&a, !named && organisation_any(r->principal) ? NULL : org);
    args_int4(&a, (int32_t)l->limit);
    args_text(&a, r->params[PARAM_CONNECTION_CURSOR]);
    reader_ask(r->gateway->reader, SQL_WORKFLOW_DISABLED_LIST, &a, on_list, l);
    args_done(&a);
}
