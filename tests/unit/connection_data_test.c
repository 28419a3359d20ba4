/* What is said about connections and workflows is what schemas/ promises. */
#include "store/connection_data.h"

#include "core/schema.h"

#include "test.h"

#include <stdio.h>
#include <string.h>

#define NOW 1700000000000
#define EVENT_MAX 262144

static struct workflow workflow = {
    .id = "acme/nightly", .revision = 1, .created_ms = NOW, .updated_ms = NOW};

static int load(void **state)
{
    struct err err = {0};
    return schema_load_all(&err) ? 0 : -1;
}

/* The text is an instance of the schema, and holds nothing of what it must not. */
static void conforms(const char *name, struct buf *text)
{
    auto_arena struct arena *scratch = arena_new(16384, 1 << 20);
    struct problems problems;
    problems_init(&problems, scratch);
    assert_true(buf_ok(text));
    json_t *value = json_loadb((const char *)text->p, text->n, 0, NULL);
    assert_non_null(value);
    const struct schema *schema = schema_find(name);
    assert_non_null(schema);
    if (!schema_validate(schema, value, &problems))
        fail_msg("%s: %s %s", name, problems.list[0].place, problems.list[0].message);
    json_decref(value);
    assert_null(strstr((const char *)text->p, "sealed"));
    buf_done(text);
}

static struct connection plain(enum connection_status status)
{
    return (struct connection){.id = "acme/github",
                               .flow = FLOW_CLIENT_CREDENTIALS,
                               .client_id = "client",
                               .token_url = "https://example.org/token",
                               .created_by = "ops",
                               .status = status,
                               .created_ms = NOW,
                               .updated_ms = NOW,
                               .config_version = 1,
                               .revision = 1};
}

static struct connection whole(enum connection_status status)
{
    struct connection c = plain(status);
    c.flow = FLOW_AUTHORIZATION_CODE;
    c.provider = "github";
    c.authorization_url = "https://example.org/authorize";
    c.redirect_uri = "https://drawbridge.example.org/callback";
    c.scopes = "repo read:user";
    c.reason = CONNECTION_RECONNECT;
    c.message = "words with \"quotes\" and \xe2\x82\xac";
    c.expires_ms = c.refreshed_ms = c.tested_ms = c.waiting_until_ms = NOW + 1000;
    c.user_code = "WDJB-MJHT";
    c.verification_uri = "https://example.org/device";
    c.generation = 7;
    c.reconnect = true;
    c.access = c.refresh = (struct sealed){"sealed", 6};
    return c;
}

static void say(enum event_kind kind, struct connection c)
{
    struct workflow *const dependants[] = {&workflow, &workflow};
    struct plan plan = {.workflows = dependants, .nworkflows = 2};
    struct plan_event e = {.kind = kind, .connection = &c};
    struct buf out;
    buf_init(&out, EVENT_MAX);
    connection_data(&out, &e, &plan);
    char name[64];
    snprintf(name, sizeof name, "events/%s", event_kind_name(kind));
    assert_null(memmem(out.p, out.n, "WDJB", 4)); /* O-13: who enters a code first has the grant */
    conforms(name, &out);
}

/* O-01 S9 */
static void every_event_about_a_connection_is_as_its_schema_says(void **state)
{
    static const struct {
        enum event_kind kind;
        enum connection_status status;
    } rows[] = {
        {EVENT_CONNECTION_CHANGED, CONNECTION_NOT_CONNECTED},
        {EVENT_CONNECTION_DELETED, CONNECTION_NOT_CONNECTED},
        {EVENT_CONNECTION_WAITING, CONNECTION_WAITING_CALLBACK},
        {EVENT_CONNECTION_TESTING, CONNECTION_TESTING},
        {EVENT_CONNECTION_COMPLETED, CONNECTION_COMPLETED},
        {EVENT_CONNECTION_REFRESHED, CONNECTION_COMPLETED},
        {EVENT_CONNECTION_TESTED, CONNECTION_FAILED},
        {EVENT_CONNECTION_DOUBTED, CONNECTION_COMPLETED},
        {EVENT_CONNECTION_RECONNECT, CONNECTION_COMPLETED},
        {EVENT_CONNECTION_FAILED, CONNECTION_FAILED},
        {EVENT_CONNECTION_LATE, CONNECTION_COMPLETED},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        say(rows[i].kind, plain(rows[i].status));
        say(rows[i].kind, whole(rows[i].status));
    }
}

/* O-11 */
static void a_refusal_names_the_workflows_that_stand_in_the_way(void **state)
{
    struct workflow *const dependants[] = {&workflow};
    struct plan plan = {.refusal = refusals[REFUSAL_CONNECTION_DEPENDANTS],
                        .workflows = dependants,
                        .nworkflows = 1};
    struct buf out;
    buf_init(&out, EVENT_MAX);
    connection_data_refused(&out, "acme/github", &plan);
    assert_non_null(strstr((const char *)out.p, "\"workflows\":[\"acme/nightly\"]"));
    conforms("events/connection.refused", &out);
}

/* As many as may depend on one, each with the longest name. */
static void the_end_of_what_many_depend_on_fits_into_a_message(void **state)
{
    static char id[64 + 1 + 128 + 1];
    static struct workflow one = {.id = id};
    static struct workflow *many[WORKFLOW_DEPENDANTS_MAX];
    memset(id, 'w', sizeof id - 1);
    id[64] = '/';
    for (size_t i = 0; i < LEN(many); i++)
        many[i] = &one;
    struct connection c = plain(CONNECTION_NOT_CONNECTED);
    struct plan plan = {.workflows = many, .nworkflows = LEN(many)};
    struct plan_event e = {.kind = EVENT_CONNECTION_DELETED, .connection = &c};
    struct buf out;
    buf_init(&out, EVENT_MAX);
    connection_data(&out, &e, &plan);
    assert_true(out.n < EVENT_MAX - 16384);
    conforms("events/connection.deleted", &out);
}

static void say_workflow(enum event_kind kind, struct workflow f)
{
    struct plan_event e = {.kind = kind, .workflow = &f};
    struct buf out;
    e.named = kind == EVENT_WORKFLOW_DEPENDING ? "acme/github" : NULL;
    buf_init(&out, EVENT_MAX);
    workflow_data(&out, &e);
    char name[64];
    snprintf(name, sizeof name, "events/%s", event_kind_name(kind));
    conforms(name, &out);
}

/* O-10 O-12 */
static void every_event_about_a_workflow_is_as_its_schema_says(void **state)
{
    struct workflow disabled = workflow;
    workflow_disable(&disabled, "acme/github", "closed", "ops", NOW);
    say_workflow(EVENT_WORKFLOW_DEPENDING, workflow);
    say_workflow(EVENT_WORKFLOW_DISABLED, disabled);
    say_workflow(EVENT_WORKFLOW_ENABLED, workflow);
    say_workflow(EVENT_WORKFLOW_CHECKED, workflow);
    struct buf out;
    buf_init(&out, EVENT_MAX);
    workflow_data_refused(&out, disabled.id, &disabled, &refusals[REFUSAL_WORKFLOW_DISABLED]);
    assert_non_null(strstr((const char *)out.p, "\"reason\":\"closed\""));
    conforms("events/workflow.refused", &out);
    buf_init(&out, EVENT_MAX);
    workflow_data_refused(&out, "acme/other", NULL, &refusals[REFUSAL_WORKFLOW_UNKNOWN]);
    conforms("events/workflow.refused", &out);
}

/* O-08 */
static void what_falls_due_is_ordered_by_commands_as_their_schemas_say(void **state)
{
    static const char *const types[] = {"connection.refresh", "connection.test"};
    struct connection c = whole(CONNECTION_COMPLETED);
    for (size_t i = 0; i < LEN(types); i++) {
        struct plan_command command = {.type = types[i], .connection = &c};
        struct buf out;
        char name[64];
        buf_init(&out, EVENT_MAX);
        connection_data_command(&out, &command, "refresh");
        snprintf(name, sizeof name, "commands/%s", types[i]);
        conforms(name, &out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_about_a_connection_is_as_its_schema_says),
        cmocka_unit_test(a_refusal_names_the_workflows_that_stand_in_the_way),
        cmocka_unit_test(the_end_of_what_many_depend_on_fits_into_a_message),
        cmocka_unit_test(every_event_about_a_workflow_is_as_its_schema_says),
        cmocka_unit_test(what_falls_due_is_ordered_by_commands_as_their_schemas_say),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
