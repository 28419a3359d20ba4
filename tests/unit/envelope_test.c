/* a record read as a CloudEvent, in both modes, with everything that is wrong. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "core/envelope.h"
#include "core/header_block.h"

struct fixture {
    struct arena *arena;
    struct problems problems;
    struct header headers[32];
    struct record record;
    struct command command;
};

static struct bytes text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, s ? strlen(s) : 0};
}

static void header_add(struct fixture *f, const char *name, const char *value)
{
    f->headers[f->record.nheaders++] = (struct header){name, text(value)};
}

static void header_change(struct fixture *f, const char *name, const char *value)
{
    for (size_t i = 0; i < f->record.nheaders; i++)
        if (strcmp(f->headers[i].name, name) == 0)
            f->headers[i].value = text(value);
}

static void header_drop(struct fixture *f, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->record.nheaders; i++)
        if (strcmp(f->headers[i].name, name) != 0)
            f->headers[kept++] = f->headers[i];
    f->record.nheaders = kept;
}

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->arena = arena_new(16384, 8 << 20);
    problems_init(&f->problems, f->arena);
    f->record = (struct record){.topic = "drawbridge.provisioning",
                                .key = text("ada"),
                                .value = text("{\"userId\":\"ada\"}"),
                                .headers = f->headers};
}

static void binary(struct fixture *f)
{
    fixture_init(f);
    header_add(f, "ce_specversion", "1.0");
    header_add(f, "ce_id", "id-1");
    header_add(f, "ce_source", "tests");
    header_add(f, "ce_type", "drawbridge.user.put");
    header_add(f, "ce_subject", "user/ada");
    header_add(f, "ce_time", "2026-11-20T10:00:00Z");
    header_add(f, "content-type", "application/json; charset=utf-8");
}

#define EVENT                                                                                      \
    "\"specversion\":\"1.0\",\"id\":\"id-1\",\"source\":\"tests\",\"type\":"                       \
    "\"drawbridge.user.put\",\"subject\":\"user/ada\",\"time\":\"2026-11-20T10:00:00Z\""

static void structured(struct fixture *f, const char *event)
{
    fixture_init(f);
    header_add(f, "content-type", "application/cloudevents+json; charset=UTF-8");
    f->record.value = text(event);
}

static bool parse(struct fixture *f)
{
    return envelope_parse(f->arena, &f->record, &f->command, &f->problems);
}

static void fixture_done(struct fixture *f)
{
    envelope_done(&f->command);
    arena_free(&f->arena);
}

static bool has_problem(const struct fixture *f, const char *place, const char *says)
{
    for (size_t i = 0; i < f->problems.n; i++)
        if (strcmp(f->problems.list[i].place, place) == 0 &&
            strstr(f->problems.list[i].message, says))
            return true;
    for (size_t i = 0; i < f->problems.n; i++)
        print_message("\"%s\" %s\n", f->problems.list[i].place, f->problems.list[i].message);
    return false;
}

/* */
static void binary_mode_is_read_from_the_headers(void **state)
{
    struct fixture f;
    binary(&f);
    header_add(&f, "ce_correlationid", "c-1");
    header_add(&f, "ce_causationid", "c-2");
    header_add(&f, "ce_expirytime", "2026-11-20T11:00:00.500+01:00");
    header_add(&f, "ce_tenant", "GLOBAL");
    header_add(&f, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    header_add(&f, "drawbridge-attempt", "3");
    header_add(&f, "drawbridge-not-before", "2026-11-20T10:00:05Z");
    header_add(&f, "drawbridge-first-failed-at", "2026-11-20T10:00:01Z");
    header_add(&f, "drawbridge-last-error", "provider.failed");
    header_add(&f, "drawbridge-replay-of", "id-0");
    header_add(&f, "somebody-elses", NULL);
    assert_true(parse(&f));
    const struct command *c = &f.command;
    assert_string_equal(c->id, "id-1");
    assert_string_equal(c->source, "tests");
    assert_string_equal(c->type, "drawbridge.user.put");
    assert_string_equal(c->type_short, "user.put");
    assert_string_equal(c->subject, "user/ada");
    assert_string_equal(c->correlation_id, "c-1");
    assert_string_equal(c->causation_id, "c-2");
    assert_string_equal(c->tenant, "GLOBAL");
    assert_string_equal(c->traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_string_equal(c->last_error, "provider.failed");
    assert_string_equal(c->replay_of, "id-0");
    assert_int_equal(c->attempt, 3);
    assert_int_equal(c->time_ms, 1795168800000);
    assert_int_equal(c->expiry_ms, 1795168800500);
    assert_int_equal(c->not_before_ms, 1795168805000);
    assert_int_equal(c->first_failed_ms, 1795168801000);
    assert_int_equal(c->data.n, 16);
    assert_string_equal(json_string_value(json_object_get(c->json, "userId")), "ada");
    assert_ptr_equal(c->record, &f.record);
    fixture_done(&f);
}

/* */
static void what_is_absent_has_its_default(void **state)
{
    struct fixture f;
    binary(&f);
    header_drop(&f, "content-type");
    assert_true(parse(&f));
    assert_string_equal(f.command.correlation_id, "id-1");
    assert_null(f.command.causation_id);
    assert_null(f.command.traceparent);
    assert_null(f.command.tenant);
    assert_int_equal(f.command.attempt, 1);
    assert_int_equal(f.command.expiry_ms, 0);
    fixture_done(&f);
}

/* */
static void structured_mode_is_read_from_the_body_and_ignores_ce_headers(void **state)
{
    struct fixture f;
    structured(&f, "{" EVENT ",\"tenant\":\"GLOBAL\",\"causationid\":null,\"extra\":7,"
                   "\"datacontenttype\":\"application/json\",\"data\":{\"b\":1.0,\"a\":\"x\"}}");
    header_add(&f, "ce_id", "not-this-one");
    header_add(&f, "drawbridge-attempt", "2");
    assert_true(parse(&f));
    assert_string_equal(f.command.id, "id-1");
    assert_string_equal(f.command.tenant, "GLOBAL");
    assert_int_equal(f.command.attempt, 2);
    assert_int_equal(f.command.data.n, strlen("{\"a\":\"x\",\"b\":1}"));
    assert_memory_equal(f.command.data.p, "{\"a\":\"x\",\"b\":1}", f.command.data.n);
    assert_int_equal(json_integer_value(json_object_get(f.command.json, "b")), 1);
    fixture_done(&f);
}

/* */
static void structured_mode_takes_base64_data(void **state)
{
    struct fixture f;
    structured(&f, "{" EVENT ",\"data_base64\":\"eyJhIjoxfQ==\"}");
    assert_true(parse(&f));
    assert_int_equal(f.command.data.n, 7);
    assert_memory_equal(f.command.data.p, "{\"a\":1}", 7);
    fixture_done(&f);
}

/* */
static void every_missing_header_is_told_at_once(void **state)
{
    struct fixture f;
    fixture_init(&f);
    f.record.key = (struct bytes){0};
    f.record.value = text("{\"a\":1,\"a\":2}");
    assert_false(parse(&f));
    static const char *const required[] = {"ce_specversion", "ce_id",      "ce_source",
                                           "ce_type",        "ce_subject", "ce_time"};
    for (size_t i = 0; i < LEN(required); i++) {
        char place[64];
        snprintf(place, sizeof place, "header %s", required[i]);
        assert_true(has_problem(&f, place, "is required"));
    }
    assert_true(has_problem(&f, "key", "is required"));
    assert_true(has_problem(&f, "", "the same key twice"));
    assert_int_equal(f.problems.total, 8);
    assert_int_equal(f.problems.code, ERR_ENVELOPE_INVALID);
    fixture_done(&f);
}

/* */
static void a_wrong_header_is_named_with_what_was_expected(void **state)
{
    static const struct {
        const char *name, *value, *says;
    } rows[] = {
        {"ce_specversion", "0.3", "must be 1.0"},
        {"ce_id", "", "is empty"},
        {"ce_id", NULL, "has no value"},
        {"ce_id", "a\nb", "control characters"},
        {"ce_id", "\xff", "UTF-8"},
        {"ce_type", "\x7f", "control characters"},
        {"ce_subject", "ada", "noun/id"},
        {"ce_subject", "user/", "noun/id"},
        {"ce_subject", "/ada", "noun/id"},
        {"ce_subject", "User/ada", "noun/id"},
        {"ce_time", "yesterday", "date and time"},
        {"ce_time", "2026-13-20T10:00:00Z", "date and time"},
        {"content-type", "text/plain", "application/json or"},
        {"content-type", "application/cloudevents-batch+json", "application/json or"},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct fixture f;
        char place[64];
        binary(&f);
        header_change(&f, rows[i].name, rows[i].value);
        assert_false(parse(&f));
        snprintf(place, sizeof place, "header %s", rows[i].name);
        assert_true(has_problem(&f, place, rows[i].says));
        assert_int_equal(f.problems.total, 1);
        assert_string_equal(f.command.source, "tests"); /* the rest is there for the index */
        if (strcmp(rows[i].name, "ce_subject") == 0)
            assert_null(f.command.subject); /* no event may bear it */
        fixture_done(&f);
    }
}

/* */
static void delivery_headers_are_checked_too(void **state)
{
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"drawbridge-attempt", "0"},        {"drawbridge-attempt", "-1"},
        {"drawbridge-attempt", "1x"},       {"drawbridge-attempt", "9999999"},
        {"drawbridge-not-before", "soon"},  {"ce_expirytime", "later"},
        {"drawbridge-first-failed-at", ""},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct fixture f;
        binary(&f);
        header_add(&f, rows[i].name, rows[i].value);
        assert_false(parse(&f));
        assert_int_equal(f.problems.total, 1);
        fixture_done(&f);
    }
}

/* */
static void a_header_that_comes_twice_is_a_problem(void **state)
{
    struct fixture f;
    binary(&f);
    header_add(&f, "ce_id", "id-1");
    header_add(&f, "content-type", "application/json");
    assert_false(parse(&f));
    assert_true(has_problem(&f, "header ce_id", "more than once"));
    assert_true(has_problem(&f, "header content-type", "more than once"));
    fixture_done(&f);
}

/* */
static void names_have_a_length_limit(void **state)
{
    char id[258] = {0};
    struct fixture f;
    binary(&f);
    memset(id, 'i', 257);
    header_change(&f, "ce_id", id);
    assert_false(parse(&f));
    assert_true(has_problem(&f, "header ce_id", "longer than 256 bytes"));
    fixture_done(&f);
    binary(&f);
    id[256] = '\0';
    header_change(&f, "ce_id", id);
    assert_true(parse(&f));
    fixture_done(&f);
}

/* */
static void a_malformed_traceparent_is_left_out(void **state)
{
    static const char *const rows[] = {
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "\xff\xff",
        NULL,
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct fixture f;
        binary(&f);
        header_add(&f, "traceparent", rows[i]);
        assert_true(parse(&f));
        assert_null(f.command.traceparent);
        fixture_done(&f);
    }
    struct fixture f;
    binary(&f);
    header_add(&f, "traceparent", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more");
    assert_true(parse(&f));
    assert_non_null(f.command.traceparent);
    fixture_done(&f);
}

/* */
static void a_message_beyond_256_kib_is_too_large_and_not_parsed(void **state)
{
    static uint8_t big[MESSAGE_BYTES_MAX + 1];
    struct fixture f;
    binary(&f);
    memset(big, ' ', sizeof big);
    memcpy(big, "{}", 2);
    f.record.value = (struct bytes){big, sizeof big};
    assert_false(parse(&f));
    assert_int_equal(f.problems.code, ERR_MESSAGE_TOO_LARGE);
    assert_int_equal(f.problems.total, 1);
    assert_null(f.command.json);
    assert_string_equal(f.command.id, "id-1");
    fixture_done(&f);
    binary(&f);
    f.record.value = (struct bytes){big, sizeof big - 1};
    assert_true(parse(&f));
    fixture_done(&f);
}

/* */
static void a_record_without_body_is_a_problem(void **state)
{
    struct fixture f;
    binary(&f);
    f.record.value = (struct bytes){0};
    assert_false(parse(&f));
    assert_true(has_problem(&f, "", "has no body"));
    fixture_done(&f);
}

/* */
static void what_is_wrong_in_structured_mode_is_named_by_attribute(void **state)
{
    static const struct {
        const char *event, *place, *says;
    } rows[] = {
        {"[]", "", "must be a CloudEvent"},
        {"{", "", "ends too early"},
        {"{" EVENT "}", "attribute data", "is required"},
        {"{" EVENT ",\"data\":1,\"data_base64\":\"\"}", "attribute data_base64", "beside"},
        {"{" EVENT ",\"data_base64\":\"!\"}", "attribute data_base64", "base64"},
        {"{" EVENT ",\"data_base64\":7}", "attribute data_base64", "base64"},
        {"{" EVENT ",\"data_base64\":\"e30x\"}", "attribute data_base64", "goes on"},
        {"{" EVENT ",\"tenant\":7,\"data\":1}", "attribute tenant", "must be a string"},
        {"{" EVENT ",\"datacontenttype\":\"text/xml\",\"data\":1}", "attribute datacontenttype",
         "application/json"},
        {"{\"specversion\":\"1.0\",\"data\":{}}", "attribute id", "is required"},
        {"{\"id\":null,\"data\":{}}", "attribute id", "is required"},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct fixture f;
        structured(&f, rows[i].event);
        assert_false(parse(&f));
        assert_true(has_problem(&f, rows[i].place, rows[i].says));
        fixture_done(&f);
    }
}

static void digests_of(const char *id, const char *type, const char *key, const char *value,
                       uint8_t digest[16], uint8_t payload[16])
{
    struct fixture f;
    binary(&f);
    header_change(&f, "ce_id", id);
    header_change(&f, "ce_type", type);
    f.record.key = text(key);
    f.record.value = text(value);
    assert_true(parse(&f));
    memcpy(digest, f.command.digest, 16);
    memcpy(payload, f.command.payload, 16);
    fixture_done(&f);
}

/* */
static void digests_tell_a_resend_from_a_reused_id(void **state)
{
    uint8_t name[5][16], payload[5][16];
    digests_of("1", "a.b.c", "k", "{}", name[0], payload[0]);
    digests_of("1", "a.b.c", "k", "{}", name[1], payload[1]);
    digests_of("1", "a.b.c", "k", "{ }", name[2], payload[2]);
    digests_of("1", "a.b.d", "k", "{}", name[3], payload[3]);
    digests_of("2", "a.b.c", "l", "{}", name[4], payload[4]);
    assert_memory_equal(name[0], name[1], 16);
    assert_memory_equal(payload[0], payload[1], 16);
    assert_memory_equal(name[0], name[2], 16);
    assert_memory_not_equal(payload[0], payload[2], 16);
    assert_memory_not_equal(payload[0], payload[3], 16);
    assert_memory_not_equal(name[0], name[4], 16);
    assert_memory_not_equal(payload[0], payload[4], 16);
}

/* */
static void what_we_write_is_read_back_the_same(void **state)
{
    struct fixture f;
    fixture_init(&f);
    auto_buf struct buf b;
    buf_init(&b, 4096);
    const struct envelope e = {.id = "e-1",
                               .source = "drawbridge/refresh",
                               .type = "drawbridge.session.stop",
                               .subject = "session/0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10",
                               .correlation_id = "c-1",
                               .causation_id = "c-2",
                               .tenant = "GLOBAL",
                               .time_ms = 1795168800123,
                               .expiry_ms = 1795168801000,
                               .sequence = 7};
    envelope_headers(&b, &e);
    struct header *headers = NULL;
    struct err err = {0};
    assert_true(
        header_block_parse(f.arena, (struct bytes){b.p, b.n}, &headers, &f.record.nheaders, &err));
    f.record.headers = headers;
    assert_true(parse(&f));
    assert_string_equal(f.command.id, e.id);
    assert_string_equal(f.command.type_short, "session.stop");
    assert_string_equal(f.command.correlation_id, "c-1");
    assert_int_equal(f.command.time_ms, e.time_ms);
    assert_int_equal(f.command.expiry_ms, e.expiry_ms);
    const struct header *sequence = record_header(&f.record, "ce_sequence");
    assert_non_null(sequence);
    assert_memory_equal(sequence->value.p, "7", 1);
    assert_null(record_header(&f.record, "traceparent"));
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binary_mode_is_read_from_the_headers),
        cmocka_unit_test(what_is_absent_has_its_default),
        cmocka_unit_test(structured_mode_is_read_from_the_body_and_ignores_ce_headers),
        cmocka_unit_test(structured_mode_takes_base64_data),
        cmocka_unit_test(every_missing_header_is_told_at_once),
        cmocka_unit_test(a_wrong_header_is_named_with_what_was_expected),
        cmocka_unit_test(delivery_headers_are_checked_too),
        cmocka_unit_test(a_header_that_comes_twice_is_a_problem),
        cmocka_unit_test(names_have_a_length_limit),
        cmocka_unit_test(a_malformed_traceparent_is_left_out),
        cmocka_unit_test(a_message_beyond_256_kib_is_too_large_and_not_parsed),
        cmocka_unit_test(a_record_without_body_is_a_problem),
        cmocka_unit_test(what_is_wrong_in_structured_mode_is_named_by_attribute),
        cmocka_unit_test(digests_tell_a_resend_from_a_reused_id),
        cmocka_unit_test(what_we_write_is_read_back_the_same),
    };
    return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
