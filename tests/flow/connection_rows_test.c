/* Connections and workflows as rows, on a real PostgreSQL (DRAWBRIDGE_DATABASE_URL; started by
 * test_drivers.py): what was written is read, by the worker's role, in batches. */
#include "test.h"

#include "core/clock.h"
#include "store/working_set.h"

#include "support/bare_batch.h"

#include <stdio.h>
#include <string.h>

#define GIVE_UP_MS 20000
#define NOW 1700000000000
#define SECRET "00000000-0000-0000-0000-000000000001"
#define STATE "00000000-0000-0000-0000-000000000002"
#define INTENT "00000000-0000-0000-0000-000000000003"

static struct {
    uv_loop_t loop;
    struct pg *pg;
    struct bare_batch *bare;
    struct batch *b;
    struct store_env env;
    int ups, ends;
    bool lost;
    char state[6]; /* of the segment that failed; "": it did not */
    struct connection_rules rules;
    int claimed;
    char refresh[32], code[32], verifier[32];
} t;

static void on_up(void *arg)
{
    (void)arg;
    t.ups++;
}

static void on_down(void *arg, const struct err *why)
{
    (void)arg, (void)why;
}

static void on_end(void *arg, const struct pg_failure *failure)
{
    (void)arg;
    t.ends++;
    memset(t.state, 0, sizeof t.state);
    if (!failure)
        return;
    memcpy(t.state, failure->sqlstate, sizeof t.state);
    if (strcmp(t.state, "DB002") != 0)
        print_error("%s: %s\n", failure->lost ? "lost" : t.state, failure->err.message);
    t.lost |= failure->lost;
}

static void run_until(const int *what, int wanted)
{
    int64_t until = clock_mono_now_us() + GIVE_UP_MS * 1000LL;
    while (*what < wanted && clock_mono_now_us() < until)
        uv_run(&t.loop, UV_RUN_NOWAIT);
    assert_int_equal(*what, wanted);
}

static void sync_now(const char *sqlstate)
{
    int wanted = t.ends + 1;
    pg_sync(t.pg, on_end, NULL);
    run_until(&t.ends, wanted);
    assert_false(t.lost);
    assert_string_equal(t.state, sqlstate);
}

static int setup(void **state)
{
    struct err err = {0};
    const char *url = getenv("DRAWBRIDGE_DATABASE_URL");
    struct pg_ops ops = {.on_up = on_up, .on_down = on_down};
    uv_loop_init(&t.loop);
    t.pg = url ? pg_new(&t.loop, url, "drawbridge_worker", &ops, &err) : NULL;
    t.bare = t.pg ? bare_batch_new(t.pg, NOW) : NULL;
    if (!t.bare) {
        print_error("DRAWBRIDGE_DATABASE_URL names what to test with\n");
        return -1;
    }
    t.b = bare_batch(t.bare);
    run_until(&t.ups, 1);
    return 0;
}

static int teardown(void **state)
{
    pg_free(&t.pg);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    bare_batch_free(&t.bare);
    return uv_loop_close(&t.loop);
}

static void load(struct working_set *ws, bool locked)
{
    struct err err = {0};
    assert_true(working_set_load(ws, locked, &err));
    sync_now("");
}

static void commit(struct working_set *ws, const char *sqlstate)
{
    struct err err = {0};
    assert_true(working_set_commit(ws, false, &err));
    sync_now(sqlstate);
    assert_false(bare_batch_failed(t.bare));
}

static struct working_set *fresh_set(void)
{
    struct working_set *ws = working_set_new(t.b, &t.env);
    assert_non_null(ws);
    return ws;
}

static struct connection_world world(struct connection_row *row, const char *intent)
{
    return (struct connection_world){.connection =
                                         row->exists || row->dirty ? &row->connection : NULL,
                                     .fresh = &row->connection,
                                     .rules = &t.rules,
                                     .intent_id = intent,
                                     .dependants = row->dependants,
                                     .ndependants = row->ndependants,
                                     .secrets_there = true,
                                     .now_ms = NOW};
}

static void make(const char *id)
{
    struct working_set *ws = fresh_set();
    struct connection_row *row = want_connection(ws, id);
    load(ws, false);
    struct connection_world w = world(row, INTENT);
    struct plan plan;
    connection_put(&w,
                   &(struct connection_put){.id = id,
                                            .create = true,
                                            .flow = FLOW_AUTHORIZATION_CODE,
                                            .client_id = "client",
                                            .authorization_url = "https://example.org/a",
                                            .token_url = "https://example.org/t",
                                            .redirect_uri = "https://example.net/c",
                                            .by = "ops"},
                   &plan);
    assert_int_equal(plan.kind, PLAN_DONE);
    connection_row_decided(ws, row);
    commit(ws, "");
}

static struct connection_row *read_one(const char *id)
{
    struct working_set *ws = fresh_set();
    struct connection_row *row = want_connection(ws, id);
    load(ws, true);
    assert_true(row->exists);
    return row;
}

#define same_text(member) assert_string_equal(got->member, put.member)
#define same(member) assert_int_equal(got->member, put.member)

/* O-01: column by column, each with a value of its own. */
static void a_connection_that_was_written_is_read_as_it_was(void **state)
{
    struct connection put = {.id = "rows/whole",
                             .flow = FLOW_REFRESH_TOKEN,
                             .provider = "p1",
                             .client_id = "p2",
                             .client_auth = "p3",
                             .authorization_url = "p4",
                             .token_url = "p5",
                             .issuer = "p6",
                             .redirect_uri = "p7",
                             .scopes = "p8",
                             .created_by = "p9",
                             .status = CONNECTION_FAILED,
                             .reason = CONNECTION_MISCONFIGURED,
                             .message = "p10",
                             .created_ms = NOW + 1,
                             .updated_ms = NOW + 2,
                             .refreshed_ms = NOW + 3,
                             .tested_ms = NOW + 4,
                             .completed_ms = NOW + 5,
                             .expires_ms = NOW + 6,
                             .renew_ms = NOW + 7,
                             .due_ms = NOW + 8,
                             .config_version = 11,
                             .generation = 12,
                             .revision = 13,
                             .has_access = true,
                             .has_refresh = true,
                             .reconnect = true,
                             .doubt_ms = NOW + 9,
                             .failures = 14,
                             .token_type = "p11",
                             .granted = "p12",
                             .instance_url = "p15",
                             .endpoints = "p16",
                             .waiting_until_ms = NOW + 10,
                             .user_code = "p13",
                             .verification_uri = "p14",
                             .poll_every_ms = 15,
                             .deleting = true,
                             .intent = {.id = INTENT,
                                        .ask = ASK_INTROSPECT,
                                        .generation = 16,
                                        .config_version = 17,
                                        .at_ms = NOW + 11,
                                        .command = "sixteen letters"},
                             .access = {"access", 6},
                             .refresh = {"refresh", 7}};
    struct working_set *ws = fresh_set();
    struct connection_row *row = want_connection(ws, put.id);
    row->connection = put;
    row->shard = 3;
    row->dirty = true;
    row->stream = (struct stream){.sequence = 5, .consumer = "refresh", .shard = 2, .seq = 9};
    commit(ws, "");
    row = read_one(put.id);
    const struct connection *got = &row->connection;
    assert_true(row->version == 1 && row->shard == 3 && row->stream.sequence == 5);
    assert_true(row->stream.shard == 2 && row->stream.seq == 9 && !row->stream.key);
    assert_string_equal(row->stream.consumer, "refresh");
    same_text(id), same(flow), same_text(provider), same_text(client_id), same_text(client_auth);
    same_text(authorization_url), same_text(token_url), same_text(issuer), same_text(redirect_uri);
    same_text(scopes), same_text(created_by), same(status), same(reason), same_text(message);
    same(created_ms), same(updated_ms), same(refreshed_ms), same(tested_ms), same(completed_ms);
    same(expires_ms), same(renew_ms), same(due_ms), same(config_version), same(generation);
    same(revision), same(has_access), same(has_refresh), same(reconnect), same(doubt_ms);
    same(failures), same_text(token_type), same_text(granted), same_text(instance_url),
        same_text(endpoints), same(waiting_until_ms);
    same_text(user_code), same_text(verification_uri), same(poll_every_ms), same(deleting);
    same_text(intent.id), same(intent.ask), same(intent.generation), same(intent.config_version);
    same(intent.at_ms), same(intent.sent_ms), same(deleted_ms);
    assert_memory_equal(got->intent.command, put.intent.command, 16);
}

static void on_claim(void *arg, const PGresult *r)
{
    (void)arg;
    t.claimed = PQntuples(r);
    if (!t.claimed)
        return;
    struct bytes refresh = pg_bytes(r, 0, 1), code = pg_bytes(r, 0, 11),
                 verifier = pg_bytes(r, 0, 13);
    snprintf(t.refresh, sizeof t.refresh, "%.*s", (int)refresh.n, (const char *)refresh.p);
    snprintf(t.code, sizeof t.code, "%.*s", (int)code.n, (const char *)code.p);
    snprintf(t.verifier, sizeof t.verifier, "%.*s", (int)verifier.n, (const char *)verifier.p);
}

static void claim(const char *id)
{
    struct args *a = batch_args(t.b);
    args_text(a, id);
    args_text(a, INTENT);
    args_time(a, NOW + 5);
    args_time(a, 0);
    pg_query(t.pg, SQL_CONNECTION_CLAIM, a, on_claim, NULL);
    sync_now("");
}

static void bring(const char *connection)
{
    char sql[1024];
    snprintf(sql, sizeof sql,
             "INSERT INTO connection_secret VALUES ('" SECRET
             "', '%s', 'code', 'code', now(), 'new');"
             "INSERT INTO oauth_state (id, digest, connection, config_version, requester, verifier,"
             " redirect_uri, created_at, until) VALUES ('" STATE "', sha256('s'), '%s', 1, 'ada',"
             " 'verifier', 'https://example.net/c', now(), to_timestamp(%lld))",
             connection, connection, (long long)(NOW / 1000 + 60));
    char *second = strchr(sql, ';');
    *second++ = 0;
    pg_command(t.pg, sql);
    pg_command(t.pg, second);
    sync_now("");
}

/* O-04 O-08: from the callback to the call. */
static void a_code_and_its_state_are_taken_and_come_with_the_claim(void **state)
{
    const char *id = "rows/code";
    make(id);
    bring(id);
    struct working_set *ws = fresh_set();
    struct connection_row *row = want_connection(ws, id);
    want_brought(ws, SECRET, id);
    want_state(ws, STATE);
    load(ws, false);
    assert_true(working_set_brought(ws, SECRET, id));
    assert_false(working_set_brought(ws, SECRET, "rows/other"));
    struct connection_world w = world(row, INTENT);
    w.state = working_set_state(ws, STATE);
    struct plan plan;
    connection_exchange(&w, &(struct connection_exchange){.state = STATE, .code = SECRET}, &plan);
    assert_int_equal(plan.kind, PLAN_EFFECT);
    connection_row_decided(ws, row);
    assert_false(working_set_brought(ws, SECRET, id)); /* also for the next in this batch */
    assert_false(working_set_state(ws, STATE)->open);
    commit(ws, "");
    claim(id);
    assert_int_equal(t.claimed, 1);
    assert_string_equal(t.code, "code");
    assert_string_equal(t.verifier, "verifier");
    claim(id);
    assert_int_equal(t.claimed, 0);
    row = read_one(id);
    assert_int_equal(row->connection.intent.sent_ms, NOW + 5);
}

static void answer(struct connection_row *row, struct working_set *ws)
{
    const struct connection_intent *in = &row->connection.intent;
    struct connection_answer a = {.kind = ANSWER_TOKENS,
                                  .intent = in->id,
                                  .generation = in->generation,
                                  .config_version = in->config_version,
                                  .access = {"access", 6},
                                  .refresh = {"sealed", 6},
                                  .expires_ms = NOW + 3600000};
    struct connection_world w = world(row, INTENT);
    struct plan plan;
    connection_answered(&w, &a, &plan);
    assert_int_equal(plan.kind, PLAN_DONE);
    connection_row_decided(ws, row);
}

/* O-04 O-08: and back; what the code was taken with is gone. */
static void tokens_are_kept_sealed_and_the_code_is_forgotten(void **state)
{
    const char *id = "rows/code";
    struct working_set *ws = fresh_set();
    struct connection_row *row = want_connection(ws, id);
    load(ws, false);
    answer(row, ws);
    commit(ws, "");
    row = read_one(id);
    assert_int_equal(row->connection.status, CONNECTION_COMPLETED);
    assert_true(row->connection.has_access && row->connection.has_refresh &&
                row->connection.generation == 1 && !row->connection.intent.id);
    ws = fresh_set();
    row = want_connection(ws, id);
    load(ws, false);
    struct connection_world w = world(row, INTENT);
    struct plan plan;
    connection_refresh(&w, &(struct connection_refresh){1}, &plan);
    connection_row_decided(ws, row);
    commit(ws, "");
    claim(id);
    assert_string_equal(t.refresh, "sealed");
    assert_string_equal(t.code, "");
    assert_string_equal(t.verifier, "");
}

static void begin_twice(const char *id, const char *const states[static 2])
{
    for (int i = 0; i < 2; i++) {
        char sql[512];
        snprintf(sql, sizeof sql,
                 "INSERT INTO oauth_state (id, digest, connection, config_version, requester,"
                 " verifier, redirect_uri, created_at, until) VALUES ('%s', sha256('%s'), '%s', 1,"
                 " 'ada', 'verifier %d', 'https://example.net/c', now(), to_timestamp(%lld))",
                 states[i], states[i], id, i, (long long)(NOW / 1000 + 60));
        pg_command(t.pg, sql);
    }
    pg_command(t.pg, "INSERT INTO connection_secret VALUES ('" SECRET
                     "', 'rows/twice', 'code', 'code', now(), 'new')");
    sync_now("");
}

/* O-03 O-04: a person says no and then yes, and both callbacks come in one batch. */
static void two_callbacks_of_a_batch_use_up_both_states(void **state)
{
    static const char *const states[] = {"00000000-0000-0000-0000-00000000000a",
                                         "00000000-0000-0000-0000-00000000000b"};
    const char *id = "rows/twice";
    make(id);
    begin_twice(id, states);
    struct working_set *ws = fresh_set();
    struct connection_row *row = want_connection(ws, id);
    want_brought(ws, SECRET, id);
    for (int i = 0; i < 2; i++)
        want_state(ws, states[i]);
    load(ws, false);
    for (int i = 0; i < 2; i++) {
        struct connection_world w = world(row, INTENT);
        w.state = working_set_state(ws, states[i]);
        struct plan plan;
        connection_exchange(
            &w, &(struct connection_exchange){.state = states[i], .code = i ? SECRET : NULL},
            &plan);
        assert_int_equal(plan.kind, i ? PLAN_EFFECT : PLAN_DONE);
        connection_row_decided(ws, row);
    }
    commit(ws, "");
    claim(id);
    assert_string_equal(t.verifier, "verifier 1");
    ws = fresh_set();
    for (int i = 0; i < 2; i++)
        want_state(ws, states[i]);
    (void)want_connection(ws, id);
    load(ws, false);
    for (int i = 0; i < 2; i++)
        assert_false(working_set_state(ws, states[i]) && working_set_state(ws, states[i])->open);
}

static void depend(struct working_set *ws, const char *workflow, const char *connection)
{
    struct workflow_row *row = workflow_row_get(ws, workflow);
    struct connection_row *c = connection_row_get(ws, connection);
    const struct dependency *d = working_set_dependency(ws, workflow, connection);
    struct workflow_world w = {.workflow = row->exists || row->dirty ? &row->workflow : NULL,
                               .connection_there =
                                   (c->exists || c->dirty) && connection_exists(&c->connection),
                               .depends = d->there,
                               .dependants = d->dependants,
                               .siblings = d->siblings,
                               .now_ms = NOW};
    struct plan plan;
    workflow_depend(&w, workflow, connection, &row->workflow, &plan);
    assert_int_equal(plan.kind, PLAN_DONE);
    row->dirty = true;
    workflow_row_decided(ws, row);
}

static struct working_set *asked_to_depend(const char *workflow, const char *connection)
{
    struct working_set *ws = fresh_set();
    assert_non_null(want_workflow(ws, workflow));
    want_dependency(ws, workflow, connection);
    load(ws, false);
    return ws;
}

static struct connection_row *end_it(struct working_set *ws, const char *id)
{
    struct connection_row *row = connection_row_get(ws, id);
    struct connection_world w = world(row, INTENT);
    const struct connection_delete cmd = {.confirm = true, .reason = "closed", .by = "ops"};
    struct plan plan;
    connection_delete(&w, &cmd, &plan);
    assert_int_equal(plan.kind, PLAN_DONE);
    for (size_t i = 0; i < plan.nworkflows; i++)
        ((struct workflow_row *)(void *)plan.workflows[i])->dirty = true;
    connection_row_decided(ws, row);
    return row;
}

/* O-10 O-11 */
static void a_connections_end_disables_whoever_depends_on_it(void **state)
{
    const char *id = "rows/used";
    make(id);
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "rows/w%d", i);
        struct working_set *ws = asked_to_depend(name, id);
        assert_int_equal(working_set_dependency(ws, name, id)->dependants, i);
        assert_int_equal(working_set_dependency(ws, name, id)->siblings, i);
        depend(ws, name, id);
        commit(ws, "");
    }
    struct working_set *again = asked_to_depend("rows/w0", id);
    assert_true(working_set_dependency(again, "rows/w0", id)->there);
    struct working_set *other = asked_to_depend("others/w0", id);
    assert_int_equal(working_set_dependency(other, "others/w0", id)->dependants, 5);
    assert_int_equal(working_set_dependency(other, "others/w0", id)->siblings, 0);
    struct working_set *ws = fresh_set();
    struct connection_row *row = want_dependants(ws, id);
    load(ws, false);
    assert_int_equal(row->ndependants, 5);
    (void)end_it(ws, id);
    commit(ws, "");
    ws = fresh_set();
    row = want_dependants(ws, id);
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "rows/w%d", i);
        assert_non_null(want_workflow(ws, name));
    }
    load(ws, true);
    assert_true(row->connection.deleted_ms && !row->ndependants);
    for (size_t i = 0; i < table_count(ws->workflows); i++) {
        const struct workflow_row *f = table_at(ws->workflows, i)->value;
        assert_true(f->exists && f->workflow.disabled && f->version == 2);
        assert_string_equal(f->workflow.connection, id);
        assert_string_equal(f->workflow.reason, "closed");
        assert_string_equal(f->workflow.by, "ops");
        assert_int_equal(f->workflow.disabled_ms, NOW);
    }
}

/* O-11: both were decided from what was there before. */
static void an_end_and_a_dependency_that_miss_each_other_are_decided_again(void **state)
{
    make("rows/race");
    struct working_set *ending = fresh_set();
    (void)want_dependants(ending, "rows/race");
    load(ending, false);
    struct working_set *depending = asked_to_depend("rows/racer", "rows/race");
    depend(depending, "rows/racer", "rows/race");
    commit(depending, "");
    (void)end_it(ending, "rows/race");
    commit(ending, "DB002");
    make("rows/race2");
    depending = asked_to_depend("rows/racer2", "rows/race2");
    ending = fresh_set();
    (void)want_dependants(ending, "rows/race2");
    load(ending, false);
    (void)end_it(ending, "rows/race2");
    commit(ending, "");
    depend(depending, "rows/racer2", "rows/race2");
    commit(depending, "DB002");
}

/* O-11: in one batch they know of each other. */
static void an_end_in_the_batch_of_a_dependency_has_the_last_word(void **state)
{
    make("rows/both");
    struct working_set *ws = fresh_set();
    assert_non_null(want_workflow(ws, "rows/quick"));
    want_dependency(ws, "rows/quick", "rows/both");
    (void)want_dependants(ws, "rows/both");
    load(ws, false);
    depend(ws, "rows/quick", "rows/both");
    (void)end_it(ws, "rows/both");
    commit(ws, "");
    struct working_set *after = asked_to_depend("rows/quick", "rows/both");
    assert_true(workflow_row_get(after, "rows/quick")->workflow.disabled);
    assert_false(working_set_dependency(after, "rows/quick", "rows/both")->there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_that_was_written_is_read_as_it_was),
        cmocka_unit_test(a_code_and_its_state_are_taken_and_come_with_the_claim),
        cmocka_unit_test(tokens_are_kept_sealed_and_the_code_is_forgotten),
        cmocka_unit_test(two_callbacks_of_a_batch_use_up_both_states),
        cmocka_unit_test(a_connections_end_disables_whoever_depends_on_it),
        cmocka_unit_test(an_end_and_a_dependency_that_miss_each_other_are_decided_again),
        cmocka_unit_test(an_end_in_the_batch_of_a_dependency_has_the_last_word),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
