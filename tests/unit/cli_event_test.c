/* events are told in the sentences of the audit trail. */
#include "test.h"

#include <string.h>

#include "../../producer-cli/event.h"
#include "core/json_value.h"
#include "schemas.h"

static void told(const char *event, const char *expected)
{
    char memory[1024];
    struct buf b;
    auto_json json_t *v = json_loads(event, 0, NULL);
    buf_init_fixed(&b, memory, sizeof memory);
    event_text(v, &b);
    assert_string_equal(memory, expected);
}

static void the_sentence_fits_type_reason_and_command(void **state)
{
    told("{\"type\": \"drawbridge.session.active\", \"data\": {\"sessionId\": \"s\", \"userId\": "
         "\"ada\"}}",
         "Session s of ada is active");
    told("{\"type\": \"drawbridge.session.terminated\", \"data\": {\"sessionId\": \"s\","
         " \"userId\": \"ada\", \"reason\": \"idle\"}}",
         "Session s of ada was shut down because it was idle");
    told("{\"type\": \"drawbridge.session.terminated\", \"data\": {\"sessionId\": \"s\","
         " \"userId\": \"ada\", \"reason\": \"stopped\"}}",
         "Session s of ada was stopped");
    told("{\"type\": \"drawbridge.command.retrying\", \"data\": {\"commandId\": \"c\","
         " \"commandType\": \"drawbridge.session.start\", \"attempt\": 1, \"attemptsMax\": 4}}",
         "Command c failed its try 1 of 4 and is tried again at –");
}

static void an_event_nobody_wrote_a_sentence_for_is_told_by_its_type(void **state)
{
    told("{\"type\": \"drawbridge.moon.landed\", \"data\": {}}", "moon.landed");
    told("{\"type\": \"other\", \"data\": 3}", "other");
    told("{}", "?");
}

static void every_event_has_a_sentence(void **state)
{
    for (const struct schema_file *f = schema_files; f->name; f++) {
        char memory[1024];
        struct buf b;
        if (strncmp(f->name, "events/", 7) != 0)
            continue;
        auto_json json_t *schema = json_loadb(f->text, f->length, 0, NULL);
        const json_t *x = json_object_get(schema, "x-drawbridge");
        auto_json json_t *event =
            json_pack("{s:O, s:O}", "type", json_object_get(x, "type"), "data",
                      json_array_get(json_object_get(schema, "examples"), 0));
        buf_init_fixed(&b, memory, sizeof memory);
        event_text(event, &b);
        assert_non_null(strchr(memory, ' '));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sentence_fits_type_reason_and_command),
        cmocka_unit_test(an_event_nobody_wrote_a_sentence_for_is_told_by_its_type),
        cmocka_unit_test(every_event_has_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
