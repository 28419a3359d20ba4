/* T-06, T-11: the table of routes is whole, and finds what a request means. */
#include "gateway/route.h"

#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/schema.h"
#include "test.h"

static void every_route_names_a_scope_and_schemas_that_exist(void **state)
{
    (void)state;
    assert_true(ROUTES > 0);
    for (const struct route *r = routes; r->name; r++) {
        print_message("%s\n", r->name);
        assert_true(strlen(r->scope) > 0);
        assert_true(!strcmp(r->scope, "public") || strchr(r->scope, ':') ||
                    !strcmp(r->scope, "admin"));
        assert_true(strlen(r->summary) > 0 && strlen(r->type) > 0 && r->path[0] == '/');
        assert_non_null(r->handle);
        assert_true(!*r->body == !r->body_max);
        if (*r->body)
            assert_non_null(schema_find(r->body));
        bool json = !strcmp(r->type, "application/json");
        const char *at = r->answers;
        char schema[64];
        int status, n = 0, good = 0;
        while (route_answer(&at, &status, schema)) {
            n++;
            assert_true(status >= 200 && status < 600);
            good += status < 400;
            if (*schema)
                assert_non_null(schema_find(schema));
            /* What is said in JSON has a schema, unless there is nothing to say. */
            assert_true(!json || status >= 400 || status == 204 || *schema);
        }
        assert_true(n > 0 && good > 0);
    }
}

static void no_two_routes_answer_the_same_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROUTES; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(routes[i].method != routes[j].method ||
                        strcmp(routes[i].path, routes[j].path) != 0);
}

/* By its name, or, where several have one, by its id. */
static bool is_param(const char *word)
{
    for (size_t i = 0; i < PARAMS; i++)
        if (params[i].place != PLACE_PATH &&
            (!strcmp(params[i].name, word) || !strcmp(params[i].id, word)))
            return true;
    return false;
}

static void a_route_takes_the_parameter_it_names_under_a_name_that_several_have(void **state)
{
    (void)state;
    assert_int_equal(route_param(&routes[ROUTE_vpn_list], "status", PLACE_QUERY), PARAM_STATUS);
    assert_int_equal(route_param(&routes[ROUTE_token_list], "status", PLACE_QUERY),
                     PARAM_TOKEN_STATUS);
    assert_int_equal(route_param(&routes[ROUTE_user_list], "cursor", PLACE_QUERY),
                     PARAM_USER_CURSOR);
    assert_int_equal(route_param(&routes[ROUTE_user_list], "status", PLACE_QUERY), PARAMS);
    assert_false(route_takes(&routes[ROUTE_token_list], PARAM_CURSOR));
}

static void every_parameter_that_a_route_names_is_in_the_table(void **state)
{
    (void)state;
    for (const struct route *r = routes; r->name; r++) {
        for (const char *at = r->params; *at;) {
            char name[64];
            size_t n = strcspn(at, " ");
            snprintf(name, sizeof name, "%.*s", (int)n, at);
            assert_true(is_param(name));
            at += n + strspn(at + n, " ");
        }
        for (const char *at = strchr(r->path, '{'); at; at = strchr(at + 1, '{')) {
            char name[64];
            snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "}"), at + 1);
            assert_true(param_find(name, PLACE_PATH) != PARAMS);
        }
    }
}

static enum route_found find(struct arena *a, const char *method, const char *path,
                             char allowed[64])
{
    const struct route *r = NULL;
    const char *values[PARAMS];
    return route_find(method, path, a, &r, values, allowed);
}

static void a_known_path_with_another_method_is_told_from_an_unknown_one(void **state)
{
    auto_arena struct arena *a = arena_new(4096, 65536);
    char allowed[64];
    (void)state;
    assert_int_equal(find(a, "GET", "/healthz", allowed), ROUTE_FOUND);
    assert_int_equal(find(a, "HEAD", "/healthz", allowed), ROUTE_FOUND);
    assert_int_equal(find(a, "DELETE", "/healthz", allowed), ROUTE_METHOD);
    assert_string_equal(allowed, "GET, HEAD");
    assert_int_equal(find(a, "GET", "/healthz/", allowed), ROUTE_NONE);
    assert_int_equal(find(a, "GET", "/health", allowed), ROUTE_NONE);
    assert_int_equal(find(a, "GET", "", allowed), ROUTE_NONE);
    assert_int_equal(find(a, "GET", "healthz", allowed), ROUTE_NONE);
    assert_int_equal(find(a, "GET", "//healthz", allowed), ROUTE_NONE);
}

static void values_of_parameters_are_checked_by_their_schemas(void **state)
{
    static const struct {
        enum param_id id;
        const char *value;
        bool good;
    } rows[] = {
        {PARAM_LIMIT, "1", true},
        {PARAM_LIMIT, "1000", true},
        {PARAM_LIMIT, "0", false},
        {PARAM_LIMIT, "1001", false},
        {PARAM_LIMIT, "", false},
        {PARAM_LIMIT, "ten", false},
        {PARAM_LIMIT, "1.5", false},
        {PARAM_LIMIT, "99999999999999999999", false},
        {PARAM_STATUS, "live", true},
        {PARAM_STATUS, "LIVE", false},
        {PARAM_CURSOR, "\xff", false},
        {PARAM_SESSION_ID, "0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10", true},
        {PARAM_SESSION_ID, "0b6f3c1e", false},
    };
    auto_arena struct arena *a = arena_new(4096, 65536);
    struct err err = {0};
    (void)state;
    assert_true(route_init(&err));
    for (size_t i = 0; i < LEN(rows); i++) {
        struct problems problems;
        problems_init(&problems, a);
        print_message("%s %s\n", params[rows[i].id].name, rows[i].value);
        assert_int_equal(param_check(rows[i].id, rows[i].value, &problems), rows[i].good);
        assert_int_equal(problems.total == 0, rows[i].good);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_names_a_scope_and_schemas_that_exist),
        cmocka_unit_test(no_two_routes_answer_the_same_request),
        cmocka_unit_test(a_route_takes_the_parameter_it_names_under_a_name_that_several_have),
        cmocka_unit_test(every_parameter_that_a_route_names_is_in_the_table),
        cmocka_unit_test(a_known_path_with_another_method_is_told_from_an_unknown_one),
        cmocka_unit_test(values_of_parameters_are_checked_by_their_schemas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
