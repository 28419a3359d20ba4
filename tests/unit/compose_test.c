/* a command is built and checked from its schema alone, exactly as the worker will read it.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "core/compose.h"
#include "core/envelope.h"
#include "core/json_value.h"
#include "schemas.h"

#define NOW INT64_C(1795176000000)

struct fixture {
    struct arena *arena;
    struct problems problems;
    struct message message;
    struct err err;
};

static void fixture_done(struct fixture *f)
{
    message_done(&f->message);
    arena_free(&f->arena);
}
#define auto_fixture auto_with(fixture_done)

static bool composed(struct fixture *f, const struct composition *in, const char *data)
{
    struct composition with = *in;
    if (!f->arena)
        f->arena = arena_new(65536, 8 << 20);
    problems_init(&f->problems, f->arena);
    auto_json json_t *value = json_loads(data, JSON_DECODE_ANY, NULL);
    with.data = value;
    with.now_ms = NOW;
    with.who = "ops";
    message_done(&f->message);
    return compose(f->arena, &with, &f->message, &f->problems, &f->err);
}

static const char *header(const struct fixture *f, const char *name)
{
    const struct header *h = record_header(&f->message.record, name);
    return h ? (const char *)h->value.p : NULL;
}

static void topic_key_and_subject_come_from_the_schema(void **state)
{
    auto_fixture struct fixture f = {0};
    const struct composition in = {.type = "session.stop"};
    assert_true(composed(&f, &in,
                         "{\"sessionId\": \"0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10\","
                         " \"userId\": \"ada\"}"));
    const struct record *r = &f.message.record;
    assert_string_equal(r->topic, "drawbridge.teardown");
    assert_int_equal(r->key.n, 3);
    assert_memory_equal(r->key.p, "ada", 3);
    assert_string_equal(header(&f, "ce_type"), "drawbridge.session.stop");
    assert_string_equal(header(&f, "ce_subject"), "session/0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10");
    assert_string_equal(header(&f, "ce_specversion"), "1.0");
    assert_string_equal(header(&f, "ce_time"), "2026-11-20T12:00:00.000Z");
    assert_string_equal(header(&f, "ce_correlationid"), header(&f, "ce_id"));
    assert_string_equal(header(&f, "content-type"), "application/json");
    assert_null(header(&f, "ce_expirytime"));
    assert_non_null(f.message.command.traceparent);
    assert_string_equal(json_string_value(json_object_get(
                            json_object_get(f.message.command.json, "requestedBy"), "id")),
                        "ops");
}

static void each_type_keeps_its_own_routing_however_often_it_is_asked_for(void **state)
{
    static const struct {
        const char *type, *topic, *subject;
    } rows[] = {{"session.stop", "drawbridge.teardown", "session/{sessionId}"},
                {"user.put", "drawbridge.provisioning", "user/{userId}"},
                {"drawbridge.session.stop", "drawbridge.teardown", "session/{sessionId}"},
                {"user.put", "drawbridge.provisioning", "user/{userId}"}};
    for (size_t i = 0; i < LEN(rows); i++) {
        struct routing r = {0};
        struct err err = {0};
        assert_true(routing_of(rows[i].type, &r, &err));
        assert_string_equal(r.topic, rows[i].topic);
        assert_string_equal(r.subject, rows[i].subject);
        assert_string_equal(r.key, "/userId");
        assert_false(routing_of("session.strat", &r, &err));
        assert_string_equal(r.topic, rows[i].topic);
    }
}

static void what_is_given_goes_before_what_would_be_made(void **state)
{
    auto_fixture struct fixture f = {0};
    const char *const headers[] = {"x-note=hello=world", NULL};
    const struct composition in = {.type = "drawbridge.user.put",
                                   .id = "id-1",
                                   .source = "urn:me",
                                   .subject = "user/bob",
                                   .tenant = "acme",
                                   .not_before_ms = NOW + 1000,
                                   .expires_ms = NOW + 2000,
                                   .headers = headers};
    assert_true(composed(&f, &in,
                         "{\"userId\": \"ada\", \"requestedBy\": {\"kind\": \"user\", \"id\": "
                         "\"ada\"}}"));
    assert_string_equal(header(&f, "ce_id"), "id-1");
    assert_string_equal(header(&f, "ce_source"), "urn:me");
    assert_string_equal(header(&f, "ce_subject"), "user/bob");
    assert_string_equal(header(&f, "ce_tenant"), "acme");
    assert_string_equal(header(&f, "drawbridge-not-before"), "2026-11-20T12:00:01.000Z");
    assert_string_equal(header(&f, "ce_expirytime"), "2026-11-20T12:00:02.000Z");
    assert_string_equal(header(&f, "x-note"), "hello=world");
    assert_int_equal(f.message.command.not_before_ms, NOW + 1000);
    assert_string_equal(json_string_value(json_object_get(
                            json_object_get(f.message.command.json, "requestedBy"), "kind")),
                        "user");
}

static void every_problem_is_found_before_anything_is_sent(void **state)
{
    auto_fixture struct fixture f = {0};
    const struct composition in = {.type = "user.put"};
    assert_false(composed(&f, &in, "{\"userId\": \"a b\", \"isActive\": 1, \"odd\": 2}"));
    assert_int_equal(f.problems.n, 3);
    assert_int_equal(f.err.code, ERR_SCHEMA_VIOLATION);
    const struct composition wrong = {.type = "user.put", .subject = "nobody"};
    assert_false(composed(&f, &wrong, "{\"userId\": \"ada\"}"));
    assert_string_equal(f.problems.list[0].place, "header ce_subject");
    assert_false(composed(&f, &in, "[]"));
    assert_int_equal(f.err.code, ERR_JSON_MALFORMED);
}

static void an_unknown_type_is_answered_with_the_nearest(void **state)
{
    auto_fixture struct fixture f = {0};
    const struct composition in = {.type = "session.strat"};
    assert_false(composed(&f, &in, "{}"));
    assert_int_equal(f.err.code, ERR_TYPE_UNKNOWN);
    assert_non_null(strstr(f.err.message, "session.start"));
}

static void a_message_that_no_worker_would_take_is_not_made(void **state)
{
    auto_fixture struct fixture f = {0};
    const struct composition in = {.type = "user.put"};
    size_t n = 300 * 1024;
    auto_free char *data = malloc(n + 64);
    int head = snprintf(data, 64, "{\"userId\": \"ada\", \"displayName\": \"");
    memset(data + head, 'x', n - (size_t)head);
    snprintf(data + n, 8, "\"}");
    assert_false(composed(&f, &in, data));
    assert_int_equal(f.err.code, ERR_MESSAGE_TOO_LARGE);
}

/* what the schemas show as examples is what can be sent. */
static void every_example_of_every_command_can_be_composed(void **state)
{
    size_t seen = 0;
    for (const struct schema_file *file = schema_files; file->name; file++) {
        size_t i;
        json_t *example;
        if (strncmp(file->name, "commands/", 9) != 0)
            continue;
        auto_json json_t *schema = json_loadb(file->text, file->length, 0, NULL);
        json_array_foreach(json_object_get(schema, "examples"), i, example)
        {
            auto_fixture struct fixture f = {0};
            auto_free char *data = json_dumps(example, 0);
            const struct composition in = {.type = file->name + 9};
            if (!composed(&f, &in, data))
                fail_msg("%s, example %zu: %s", file->name, i, f.err.message);
            seen++;
        }
    }
    assert_true(seen >= 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topic_key_and_subject_come_from_the_schema),
        cmocka_unit_test(each_type_keeps_its_own_routing_however_often_it_is_asked_for),
        cmocka_unit_test(what_is_given_goes_before_what_would_be_made),
        cmocka_unit_test(every_problem_is_found_before_anything_is_sent),
        cmocka_unit_test(an_unknown_type_is_answered_with_the_nearest),
        cmocka_unit_test(a_message_that_no_worker_would_take_is_not_made),
        cmocka_unit_test(every_example_of_every_command_can_be_composed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
