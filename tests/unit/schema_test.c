/* Q-02, Q-08: schemas compile or say why; every violation is told with its JSON pointer. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "core/json_value.h"
#include "core/schema.h"
#include "schemas.h"

static struct schema *compile(const char *text)
{
    struct err err = {0};
    struct schema *s = schema_compile(text, strlen(text), &err);
    if (!s)
        fail_msg("%s: %s", text, err.message);
    return s;
}

static json_t *parse(const char *text)
{
    struct err err = {0};
    json_t *v = json_value_parse(text, strlen(text), &err);
    if (!v)
        fail_msg("%s: %s", text, err.message);
    return v;
}

/* All problems as "place: message\n" lines; also asks for the verdict alone, which must agree. */
static void problems_of(const struct schema *s, const char *instance, char *out, size_t size)
{
    auto_arena struct arena *arena = arena_new(65536, 8 << 20);
    struct problems problems;
    problems_init(&problems, arena);
    auto_json json_t *v = parse(instance);
    bool ok = schema_validate(s, v, &problems);
    assert_int_equal(ok, problems.total == 0);
    assert_int_equal(ok, schema_validate(s, v, NULL));
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < problems.n && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s: %s\n", problems.list[i].place,
                              problems.list[i].message);
}

static void check(const char *schema, const char *instance, const char *expected)
{
    char got[8192];
    auto_with(schema_free) struct schema *s = compile(schema);
    problems_of(s, instance, got, sizeof got);
    if (strcmp(got, expected) != 0)
        fail_msg("%s\nof %s\nexpected:\n%s\ngot:\n%s", instance, schema, expected, got);
}

/* Q-08 */
static void a_violation_is_told_with_its_place_and_what_was_expected(void **state)
{
    static const struct {
        const char *schema, *instance, *problems;
    } rows[] = {
        {"{\"type\":\"string\"}", "1", ": must be a string, is a whole number\n"},
        {"{\"type\":[\"number\",\"null\"]}", "true",
         ": must be a number or null, is true or false\n"},
        {"{\"enum\":[\"a\",1,null]}", "\"b\"", ": must be one of \"a\", 1, null\n"},
        {"{\"const\":{\"a\":1}}", "{}", ": must be {\"a\":1}\n"},
        {"{\"minLength\":3}", "\"ab\"", ": is shorter than 3 characters\n"},
        {"{\"maxLength\":1}", "\"ab\"", ": is longer than 1 character\n"},
        {"{\"minLength\":2,\"maxLength\":2}", "\"\xc3\xa4\xf0\x9f\x90\xb2\"", ""},
        {"{\"pattern\":\"^a$\"}", "\"b\"", ": does not match the pattern ^a$\n"},
        {"{\"format\":\"ipv4\"}", "\"1.2.3\"", ": must be an IPv4 address\n"},
        {"{\"minimum\":1}", "0", ": is less than 1\n"},
        {"{\"maximum\":1.5}", "2", ": is more than 1.5\n"},
        {"{\"exclusiveMinimum\":1}", "1", ": must be more than 1\n"},
        {"{\"exclusiveMaximum\":1}", "1", ": must be less than 1\n"},
        {"{\"multipleOf\":0.01}", "0.075", ": is not a multiple of 0.01\n"},
        {"{\"items\":{\"type\":\"integer\"}}", "[1,\"x\",null]",
         "/1: must be a whole number, is a string\n/2: must be a whole number, is null\n"},
        {"{\"prefixItems\":[true],\"items\":false}", "[1,2]", "/1: is not allowed here\n"},
        {"{\"minItems\":2}", "[1]", ": has fewer than 2 items\n"},
        {"{\"maxItems\":1}", "[1,1]", ": has more than 1 item\n"},
        {"{\"uniqueItems\":true}", "[1,2,1.0]", "/2: is the same as item 0\n"},
        {"{\"contains\":{\"const\":1},\"minContains\":2}", "[1,2]",
         ": has 1 of the items it needs at least 2 of\n"},
        {"{\"contains\":true,\"maxContains\":1}", "[1,2]",
         ": has 2 of the items it may have at most 1 of\n"},
        {"{\"required\":[\"a\",\"b\"]}", "{\"a\":1}", "/b: is required\n"},
        {"{\"properties\":{\"a\":{\"type\":\"null\"}},\"additionalProperties\":false}",
         "{\"a\":1,\"b\":2}", "/a: must be null, is a whole number\n/b: is not a known property\n"},
        {"{\"additionalProperties\":{\"type\":\"null\"}}", "{\"b\":2}",
         "/b: must be null, is a whole number\n"},
        {"{\"patternProperties\":{\"^x\":{\"type\":\"null\"}}}", "{\"xy\":2}",
         "/xy: must be null, is a whole number\n"},
        {"{\"propertyNames\":{\"maxLength\":1}}", "{\"ab\":2}",
         "/ab: has a name that is not allowed\n"},
        {"{\"minProperties\":1}", "{}", ": has fewer than 1 property\n"},
        {"{\"maxProperties\":0}", "{\"a\":1}", ": has more than 0 properties\n"},
        {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", "/b: is required beside \"a\"\n"},
        {"{\"allOf\":[{\"minimum\":2},{\"maximum\":0}]}", "1",
         ": is less than 2\n: is more than 0\n"},
        {"{\"anyOf\":[{\"format\":\"ipv4\"},{\"format\":\"ipv6\"}]}", "\"x\"",
         ": matches none of 2 alternatives: must be an IPv4 address; or must be an IPv6 address\n"},
        {"{\"properties\":{\"a\":{\"anyOf\":[{\"required\":[\"b\"]},{\"type\":\"null\"}]}}}",
         "{\"a\":{}}",
         "/a: matches none of 2 alternatives: /b is required; or must be null, is an object\n"},
        {"{\"oneOf\":[true,true]}", "1", ": matches more than one of 2 alternatives\n"},
        {"{\"not\":{\"type\":\"null\"}}", "null", ": is of a form that is not allowed\n"},
        {"{\"if\":{\"minimum\":5},\"then\":{\"maximum\":6},\"else\":{\"const\":1}}", "7",
         ": is more than 6\n"},
        {"{\"if\":{\"minimum\":5},\"then\":{\"maximum\":6},\"else\":{\"const\":1}}", "2",
         ": must be 1\n"},
        {"{\"$ref\":\"#/$defs/a~1b\",\"$defs\":{\"a/b\":{\"type\":\"null\"}}}", "2",
         ": must be null, is a whole number\n"},
        {"{\"properties\":{\"a/b\":{\"items\":{\"properties\":{\"~\":false}}}}}",
         "{\"a/b\":[{\"~\":1}]}", "/a~1b/0/~0: is not allowed here\n"},
    };
    for (size_t i = 0; i < LEN(rows); i++)
        check(rows[i].schema, rows[i].instance, rows[i].problems);
}

/* Q-08 */
static void all_violations_are_counted_and_the_first_hundred_told(void **state)
{
    static char text[64 * 1024] = "[";
    for (int i = 0; i < 5000; i++)
        strcat(text, i ? ",\"x\"" : "\"x\"");
    strcat(text, "]");
    auto_arena struct arena *arena = arena_new(65536, 8 << 20);
    struct problems problems;
    problems_init(&problems, arena);
    auto_with(schema_free) struct schema *s = compile("{\"items\":{\"type\":\"integer\"}}");
    auto_json json_t *v = parse(text);
    assert_false(schema_validate(s, v, &problems));
    assert_int_equal(problems.n, PROBLEMS_MAX);
    assert_int_equal(problems.total, 5000);
    assert_int_equal(problems.code, ERR_SCHEMA_VIOLATION);
    assert_string_equal(problems.list[99].place, "/99");
}

/* Q-08 */
static void a_long_place_is_cut_in_front(void **state)
{
    char instance[2048], got[8192], name[1500];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(instance, sizeof instance, "{\"%s\":{\"end\":1}}", name);
    auto_with(schema_free) struct schema *s =
        compile("{\"additionalProperties\":{\"additionalProperties\":{\"type\":\"null\"}}}");
    problems_of(s, instance, got, sizeof got);
    assert_non_null(strstr(got, "/end: must be null"));
    assert_non_null(strstr(got, "\xe2\x80\xa6"));
    assert_true(strlen(got) < 700);
}

/* Q-02 */
static void a_schema_that_nobody_could_check_does_not_compile(void **state)
{
    static const struct {
        const char *schema, *says;
    } rows[] = {
        {"{", "ends too early"},
        {"7", "an object or a boolean"},
        {"{\"properties\":{\"a\":{\"unevaluatedItems\":false}}}",
         "at \"/properties/a/unevaluatedItems\": this keyword is not supported"},
        {"{\"typo\":1}", "\"/typo\""},
        {"{\"type\":\"text\"}", "not a type"},
        {"{\"type\":[]}", "not a type"},
        {"{\"format\":\"colour\"}", "not supported"},
        {"{\"pattern\":\"(\"}", "not a regular expression"},
        {"{\"patternProperties\":{\"[\":{}}}", "not a regular expression"},
        {"{\"minLength\":-1}", "zero or more"},
        {"{\"minLength\":1.5}", "zero or more"},
        {"{\"minimum\":\"1\"}", "must be a number"},
        {"{\"multipleOf\":0}", "more than zero"},
        {"{\"required\":[1]}", "names"},
        {"{\"enum\":1}", "must be an array"},
        {"{\"allOf\":[]}", "at least one"},
        {"{\"items\":[]}", "an object or a boolean"},
        {"{\"$ref\":\"#/nowhere\"}", "leads nowhere"},
        {"{\"$ref\":\"http://example.org/x\"}", "leads nowhere"},
        {"{\"$ref\":\"#\"}", "leads back to itself"},
        {"{\"allOf\":[{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"not\":{\"$ref\":\"#\"}}}}",
         "leads back to itself"},
        {"{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", "2020-12"},
        {"{\"properties\":{\"a\":{\"$id\":\"urn:x\"}}}", "whole document only"},
        {"{\"uniqueItems\":1}", "true or false"},
        {"{\"dependentRequired\":{\"a\":\"b\"}}", "arrays of names"},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err err = {0};
        struct schema *s = schema_compile(rows[i].schema, strlen(rows[i].schema), &err);
        assert_null(s);
        if (!strstr(err.message, rows[i].says))
            fail_msg("%s: %s", rows[i].schema, err.message);
    }
}

/* Q-02 */
static void a_recursive_schema_follows_the_instance(void **state)
{
    check("{\"properties\":{\"next\":{\"$ref\":\"#\"}},\"additionalProperties\":false}",
          "{\"next\":{\"next\":{\"nxt\":1}}}", "/next/next/nxt: is not a known property\n");
}

/* Q-02 */
static void a_check_that_would_take_too_long_ends(void **state)
{
    static char text[128 * 1024] = "[0";
    char *p = text + 2;
    for (int i = 1; i < 20000; i++)
        p += sprintf(p, ",%d", i);
    strcat(p, "]");
    char got[8192];
    auto_with(schema_free) struct schema *s = compile("{\"uniqueItems\":true}");
    problems_of(s, text, got, sizeof got);
    assert_string_equal(got, ": takes too many steps to check\n");
}

static void format_check(const char *format, const char *s, bool expected)
{
    char schema[128], instance[512];
    snprintf(schema, sizeof schema, "{\"format\":\"%s\"}", format);
    snprintf(instance, sizeof instance, "\"%s\"", s);
    auto_with(schema_free) struct schema *compiled = compile(schema);
    auto_json json_t *v = parse(instance);
    if (schema_validate(compiled, v, NULL) != expected)
        fail_msg("%s %s: expected %d", format, s, expected);
}

/* V-04, V-22: the two formats of ours; the others are shown by the official cases. */
static void networks_and_keys_are_checked_strictly(void **state)
{
    static const struct {
        const char *format, *s;
        bool ok;
    } rows[] = {
        {"cidr", "192.0.2.0/24", true},
        {"cidr", "0.0.0.0/0", true},
        {"cidr", "192.0.2.7/32", true},
        {"cidr", "2001:db8::/32", true},
        {"cidr", "::/0", true},
        {"cidr", "::1/128", true},
        {"cidr", "192.0.2.1/24", false}, /* bits of a host */
        {"cidr", "2001:db8::1/64", false},
        {"cidr", "192.0.2.0", false},
        {"cidr", "192.0.2.0/", false},
        {"cidr", "192.0.2.0/33", false},
        {"cidr", "192.0.2.0/024", false},
        {"cidr", "192.0.2/24", false},
        {"cidr", "::/129", false},
        {"cidr", "192.0.2.0/24 ", false},
        {"wireguard-key", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", true},
        {"wireguard-key", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dh=", false}, /* spare bits */
        {"wireguard-key", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg", false},
        {"wireguard-key", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8D-=", false},
        {"wireguard-key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false},
        {"email", "a@b", true},
        {"email", "\\\"a\\\\\\\"@b", false}, /* the quote that would end it is escaped */
        {"email", "a@", false},
        {"email", "@b", false},
        {"email", "a@b\xc3\xa4", false},
        {"uri-reference", "a:b", true},
        {"uri-reference", "1:b", false},
        {"uri-reference", "", true},
        {"uri", "http://[v1.a:b]/", true},
        {"uri", "http://[::1]:80x/", false},
        {"uri", "http://h/%zz", false},
        {"uri", "a:%", false},
    };
    for (size_t i = 0; i < LEN(rows); i++)
        format_check(rows[i].format, rows[i].s, rows[i].ok);
}

/* ---- the files of schemas/ */

static bool is_contract(const struct schema_file *f)
{
    return strchr(f->name, '/') != NULL;
}

static json_t *document_of(const struct schema_file *f)
{
    struct err err = {0};
    json_t *v = json_value_parse(f->text, f->length, &err);
    if (!v)
        fail_msg("%s: %s", f->name, err.message);
    return v;
}

/* Q-02 */
static void every_contract_compiles_and_its_examples_are_valid(void **state)
{
    struct err err = {0};
    int contracts = 0;
    if (!schema_load_all(&err))
        fail_msg("%s", err.message);
    for (int i = 0; i < schema_files_n; i++) {
        const struct schema_file *f = &schema_files[i];
        const struct schema *s = schema_find(f->name);
        assert_int_equal(s != NULL, is_contract(f));
        if (!s)
            continue;
        auto_json json_t *document = document_of(f);
        json_t *examples = json_object_get(document, "examples"), *example;
        size_t index;
        assert_true(json_array_size(examples) > 0);
        json_array_foreach(examples, index, example)
        {
            auto_arena struct arena *arena = arena_new(65536, 1 << 20);
            struct problems problems;
            problems_init(&problems, arena);
            if (!schema_validate(s, example, &problems))
                fail_msg("%s, example %zu: %s %s", f->name, index, problems.list[0].place,
                         problems.list[0].message);
        }
        contracts++;
    }
    assert_true(contracts >= 20);
    assert_null(schema_find("topics"));
    assert_null(schema_find("commands/no.such"));
}

/* Q-02 */
static void every_contract_says_what_it_is_and_refuses_what_it_does_not_know(void **state)
{
    for (int i = 0; i < schema_files_n; i++) {
        const struct schema_file *f = &schema_files[i];
        if (!is_contract(f))
            continue;
        auto_json json_t *d = document_of(f);
        char id[128], type[128];
        snprintf(id, sizeof id, "urn:drawbridge:%s:1", f->name);
        snprintf(type, sizeof type, "drawbridge.%s", strchr(f->name, '/') + 1);
        assert_string_equal(json_string_value(json_object_get(d, "$id")), id);
        assert_true(json_string_length(json_object_get(d, "title")) > 0);
        assert_true(json_string_length(json_object_get(d, "description")) > 0);
        /* What providers post back has members of theirs (RFC 6749 §4.1.2: "MUST ignore"). */
        bool of_strangers = !strcmp(f->name, "http/callback.form");
        json_t *others = json_object_get(d, "additionalProperties");
        assert_true(of_strangers ? json_is_true(others) : json_is_false(others));
        if (!strncmp(f->name, "http/", 5) || !strncmp(f->name, "tables/", 7))
            continue; /* bodies and tables, not messages */
        json_t *x = json_object_get(d, "x-drawbridge");
        const char *told = json_string_value(json_object_get(x, "type"));
        if (strncmp(f->name, "audit/", 6) != 0) /* whose types are rows of a table */
            assert_string_equal(told, type);
        assert_true(json_is_string(json_object_get(x, "subject")));
    }
}

static json_t *file_named(const char *name)
{
    for (int i = 0; i < schema_files_n; i++)
        if (strcmp(schema_files[i].name, name) == 0)
            return document_of(&schema_files[i]);
    fail_msg("schemas/%s.json is missing", name);
    return NULL;
}

/* V-05 */
static void every_event_has_an_operational_name_and_every_name_an_event(void **state)
{
    auto_json json_t *rows = file_named("operational-events");
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row)
    {
        char name[128];
        const char *type = json_string_value(json_object_get(row, "type"));
        const char *outcome = json_string_value(json_object_get(row, "outcome"));
        assert_non_null(type);
        assert_int_equal(strncmp(type, "drawbridge.", 11), 0);
        snprintf(name, sizeof name, "events/%s", type + 11);
        if (!schema_find(name))
            fail_msg("%s is no event", type);
        assert_true(strcmp(outcome, "success") == 0 || strcmp(outcome, "failure") == 0 ||
                    strcmp(outcome, "warning") == 0);
        assert_true(json_string_length(json_object_get(row, "message")) > 0);
        assert_true(json_string_length(json_object_get(row, "eventType")) > 0);
    }
    for (int i = 0; i < schema_files_n; i++) {
        if (strncmp(schema_files[i].name, "events/", 7) != 0)
            continue;
        bool fallback = false; /* a row that takes the event whatever its reason */
        json_array_foreach(rows, index, row)
        {
            const char *type = json_string_value(json_object_get(row, "type"));
            fallback |= strcmp(type + 11, schema_files[i].name + 7) == 0 &&
                        json_is_null(json_object_get(row, "reason")) &&
                        !json_object_get(row, "commandType");
        }
        if (!fallback)
            fail_msg("%s has no row for every reason", schema_files[i].name);
    }
}

static bool pointer_known(const json_t *schema, const char *name, size_t n)
{
    json_t *properties = json_object_get(schema, "properties");
    char key[64];
    snprintf(key, sizeof key, "%.*s", (int)n, name);
    return json_object_get(properties, key) != NULL;
}

/* V-05 */
static void messages_name_only_fields_that_the_event_has(void **state)
{
    auto_json json_t *rows = file_named("operational-events");
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row)
    {
        char name[128];
        snprintf(name, sizeof name, "events/%s",
                 json_string_value(json_object_get(row, "type")) + 11);
        auto_json json_t *schema = file_named(name);
        const char *p = json_string_value(json_object_get(row, "message"));
        while ((p = strchr(p, '{'))) {
            size_t n = strcspn(++p, "}");
            if (!pointer_known(schema, p, n))
                fail_msg("%s: %.*s", name, (int)n, p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_violation_is_told_with_its_place_and_what_was_expected),
        cmocka_unit_test(all_violations_are_counted_and_the_first_hundred_told),
        cmocka_unit_test(a_long_place_is_cut_in_front),
        cmocka_unit_test(a_schema_that_nobody_could_check_does_not_compile),
        cmocka_unit_test(a_recursive_schema_follows_the_instance),
        cmocka_unit_test(a_check_that_would_take_too_long_ends),
        cmocka_unit_test(networks_and_keys_are_checked_strictly),
        cmocka_unit_test(every_contract_compiles_and_its_examples_are_valid),
        cmocka_unit_test(every_contract_says_what_it_is_and_refuses_what_it_does_not_know),
        cmocka_unit_test(every_event_has_an_operational_name_and_every_name_an_event),
        cmocka_unit_test(messages_name_only_fields_that_the_event_has),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
