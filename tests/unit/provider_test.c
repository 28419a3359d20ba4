/* O-06: which provider a connection has, and what its row of schemas/providers.json says. */
#include "drivers/provider_table.h"

#include "core/base.h"

#include <string.h>

#include "test.h"

static const struct provider_list *all;

static int load(void **state)
{
    struct err err = {0};
    all = provider_table(&err);
    if (!all)
        print_error("%s\n", err.message);
    return all ? 0 : -1;
}

static void assert_provider(const char *token_url, const char *authorization_url, const char *id)
{
    const struct provider *p = provider_find(all, token_url, authorization_url);
    assert_non_null(p);
    if (strcmp(p->id, id) != 0)
        fail_msg("%s: %s, not %s", token_url, p->id, id);
}

/* O-06 */
static void a_provider_is_known_by_the_hosts_of_its_urls(void **state)
{
    static const struct {
        const char *url, *id;
    } rows[] = {
        {"https://login.microsoftonline.com/common/oauth2/v2.0/token", "microsoft"},
        {"https://LOGIN.MicrosoftOnline.com/t/oauth2/v2.0/token", "microsoft"},
        {"https://oauth2.googleapis.com/token", "google"},
        {"https://github.com/login/oauth/access_token", "github"},
        {"https://gitlab.com/oauth/token", "gitlab"},
        {"https://slack.com/api/oauth.v2.access", "slack"},
        {"https://acme.my.salesforce.com/services/oauth2/token", "salesforce"},
        {"https://acme.okta.com/oauth2/v1/token", "okta"},
        {"https://acme.okta.com:443/oauth2/v1/token", "okta"},
        {"https://auth.atlassian.com/oauth/token", "atlassian"},
        {"https://api.dropboxapi.com/oauth2/token", "dropbox"},
        {"https://api.hubapi.com/oauth/v1/token", "hubspot"},
        {"https://zoom.us/oauth/token", "zoom"},
        {"https://api.notion.com/v1/oauth/token", "notion"},
        {"https://idp.example.org/token", "oidc"},
    };
    for (size_t i = 0; i < LEN(rows); i++)
        assert_provider(rows[i].url, NULL, rows[i].id);
    assert_int_equal(all->n, 13);
}

/* O-06 */
static void a_suffix_begins_with_a_label_and_is_at_the_end_of_the_host(void **state)
{
    static const char *const others[] = {
        "https://evilgithub.com/x",
        "https://github.com.evil.org/x",
        "https://evil.org/github.com",
        "https://evil.org?github.com",
        "https://evil.org#github.com",
        "https://evil.org\\.github.com/",
        "https://github.com@evil.org/",
        "https://github.com:x@evil.org/",
        "https://evil.org:github.com/",
        "https://u:p@github.com/",
        "http://github.com/",
        "https://github.co/",
        "https://hub.com/",
        "https:///github.com",
        "https://",
        "",
        "github.com",
        "https://[::1]/github.com",
    };
    for (size_t i = 0; i < LEN(others); i++)
        assert_provider(others[i], NULL, "oidc");
    assert_provider("https://a.b.github.com/x", NULL, "github");
}

static void the_token_url_counts_before_the_authorization_url(void **state)
{
    assert_provider("https://zoom.us/x", "https://github.com/x", "zoom");
    assert_provider("https://idp.example.org/x", "https://github.com/x", "github");
    assert_provider("https://idp.example.org/x", "https://www.example.org/x", "oidc");
    assert_provider(NULL, "https://zoom.us/x", "zoom");
}

static void without_a_row_for_all_others_nobody_is_found(void **state)
{
    struct provider_list one = {provider_by_id(all, "github"), 1};
    assert_null(provider_find(&one, "https://idp.example.org/x", NULL));
    assert_null(provider_by_id(&one, "zoom"));
}

static const struct provider *row(const char *id)
{
    const struct provider *p = provider_by_id(all, id);
    if (!p)
        fail_msg("no row %s", id);
    return p;
}

/* O-06: one row for each provider, whose call says whether a token works. */
static void every_provider_has_its_test_call(void **state)
{
    static const struct {
        const char *id, *method, *url;
    } rows[] = {
        {"microsoft", "GET", "https://graph.microsoft.com/v1.0/me"},
        {"google", "GET", "https://openidconnect.googleapis.com/v1/userinfo"},
        {"github", "GET", "https://api.github.com/user"},
        {"gitlab", "GET", "https://idp.example.org/oauth/token/info"},
        {"slack", "POST", "https://slack.com/api/auth.test"},
        {"salesforce", "GET", "https://acme.my.salesforce.com/services/oauth2/userinfo"},
        {"okta", "GET", "https://idp.example.org/a/b/userinfo"},
        {"atlassian", "GET", "https://api.atlassian.com/oauth/token/accessible-resources"},
        {"dropbox", "POST", "https://api.dropboxapi.com/2/users/get_current_account"},
        {"hubspot", "GET", "https://api.hubapi.com/oauth/v1/access-tokens/a%2Fb%20%2B~"},
        {"zoom", "GET", "https://api.zoom.us/v2/users/me"},
        {"notion", "GET", "https://api.notion.com/v1/users/me"},
        {"oidc", "GET", "https://idp.example.org/userinfo"},
    };
    const struct provider_values values = {.token_url = "https://idp.example.org/a/b/token?x=/y",
                                           .instance_url = "https://acme.my.salesforce.com",
                                           .access_token = "a/b +~",
                                           .userinfo_endpoint = "https://idp.example.org/userinfo"};
    assert_int_equal(LEN(rows), all->n);
    for (size_t i = 0; i < LEN(rows); i++) {
        char url[256];
        const struct provider *p = row(rows[i].id);
        assert_string_equal(p->test.method, rows[i].method);
        assert_true(provider_fill(p, p->test.url, &values, url, sizeof url));
        assert_string_equal(url, rows[i].url);
    }
    assert_string_equal(row("microsoft")->client_test.url,
                        "https://graph.microsoft.com/v1.0/organization?$select=id");
    assert_null(row("github")->client_test.method);
    assert_string_equal(row("slack")->test.ok, "/ok");
    assert_string_equal(row("notion")->test.headers, "Notion-Version: 2022-06-28");
    assert_string_equal(row("github")->test.headers,
                        "Accept: application/vnd.github+json\nX-GitHub-Api-Version: 2022-11-28");
}

/* O-05, O-08 */
static void every_provider_has_its_habits(void **state)
{
    static const struct {
        const char *id;
        enum client_auth auth;
        enum rotation rotation;
        int64_t grace_s;
    } rows[] = {
        {"microsoft", CLIENT_AUTH_POST, ROTATION_NONE, 0},
        {"google", CLIENT_AUTH_POST, ROTATION_NONE, 0},
        {"github", CLIENT_AUTH_POST, ROTATION_STRICT, 0},
        {"gitlab", CLIENT_AUTH_POST, ROTATION_STRICT, 0},
        {"slack", CLIENT_AUTH_POST, ROTATION_STRICT, 0},
        {"salesforce", CLIENT_AUTH_POST, ROTATION_NONE, 0},
        {"okta", CLIENT_AUTH_BASIC, ROTATION_STRICT, 0},
        {"atlassian", CLIENT_AUTH_POST, ROTATION_GRACE, 600},
        {"dropbox", CLIENT_AUTH_POST, ROTATION_NONE, 0},
        {"hubspot", CLIENT_AUTH_POST, ROTATION_NONE, 0},
        {"zoom", CLIENT_AUTH_BASIC, ROTATION_STRICT, 0},
        {"notion", CLIENT_AUTH_BASIC, ROTATION_STRICT, 0},
        {"oidc", CLIENT_AUTH_BASIC, ROTATION_STRICT, 0},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        const struct provider *p = row(rows[i].id);
        assert_int_equal(p->client_auth, rows[i].auth);
        assert_int_equal(p->rotation, rows[i].rotation);
        assert_int_equal(p->grace_s, rows[i].grace_s);
        assert_int_equal(p->json_body, !strcmp(p->id, "notion"));
        assert_string_equal(p->scope_separator, strcmp(p->id, "slack") ? " " : ",");
        assert_int_equal(p->absent_life_s, strcmp(p->id, "salesforce") ? 0 : 7200);
        assert_false(p->no_pkce); /* O-03: always */
    }
    assert_string_equal(row("google")->authorize.list[0].name, "access_type");
    assert_string_equal(row("google")->authorize.list[0].value, "offline");
    assert_true(row("oidc")->discovery);
}

static void words_and_their_names_go_both_ways(void **state)
{
    for (enum client_auth a = CLIENT_AUTH_BASIC; a <= CLIENT_AUTH_NONE; a++) {
        enum client_auth back = CLIENT_AUTH_NONE;
        assert_true(client_auth_parse(client_auth_name(a), &back));
        assert_int_equal(back, a);
    }
    for (enum rotation r = ROTATION_NONE; r <= ROTATION_STRICT; r++) {
        enum rotation back = ROTATION_NONE;
        assert_true(rotation_parse(rotation_name(r), &back));
        assert_int_equal(back, r);
    }
    enum rotation none;
    enum client_auth no;
    assert_false(rotation_parse("sometimes", &none));
    assert_false(client_auth_parse("tls", &no));
}

/* S1: a token goes to hosts of its provider only. */
static void what_cannot_be_filled_in_is_not_called(void **state)
{
    const struct provider *p = row("salesforce");
    char url[64];
    static const char *const instances[] = {
        NULL,
        "",
        "https://evil.org",
        "http://a.salesforce.com",
        "https://salesforce.com.evil.org",
        "https://salesforce.com@evil.org",
        "https://salesforce.com:x@evil.org",
    };
    for (size_t i = 0; i < LEN(instances); i++) {
        struct provider_values v = {.instance_url = instances[i]};
        assert_false(provider_fill(p, p->test.url, &v, url, sizeof url));
    }
    struct provider_values v = {.token_url = "https://x.org"};
    assert_false(provider_fill(p, "{nothing}", &v, url, sizeof url));
    assert_false(provider_fill(p, "{origin", &v, url, sizeof url));
    assert_false(provider_fill(p, "{access_token}", &v, url, sizeof url));
    assert_false(provider_fill(p, "{userinfo_endpoint}", &v, url, sizeof url));
    assert_true(provider_fill(p, "{token_base}x", &v, url, sizeof url));
    assert_string_equal(url, "https://x.org/x");
    assert_true(provider_fill(p, "{origin}/x", &v, url, sizeof "https://x.org/x"));
    assert_false(provider_fill(p, "{origin}/x", &v, url, sizeof "https://x.org/x" - 1));
}

static void only_the_origin_of_an_instance_counts(void **state)
{
    const struct provider *p = row("salesforce");
    char url[128];
    struct provider_values v = {.instance_url = "https://a.salesforce.com/x?y"};
    assert_true(provider_fill(p, p->test.url, &v, url, sizeof url));
    assert_string_equal(url, "https://a.salesforce.com/services/oauth2/userinfo");
}

/* O-06: a new connection needs no URLs where the provider's are known. */
static void the_urls_of_a_new_connection_lead_to_the_same_row(void **state)
{
    const struct provider_place at = {"common", NULL};
    char url[256];
    for (size_t i = 0; i < all->n; i++) {
        const struct provider *p = &all->list[i];
        if (!p->hosts[0]) {
            assert_null(p->setup.token_url);
            continue;
        }
        const struct provider_place its = {"common", p->hosts[0]};
        assert_true(provider_setup_url(p->setup.token_url, &its, url, sizeof url, NULL));
        assert_provider(url, NULL, p->id);
        assert_true(provider_setup_url(p->setup.authorization_url, &its, url, sizeof url, NULL));
        assert_provider(url, NULL, p->id);
    }
    assert_true(provider_setup_url(row("microsoft")->setup.token_url, &at, url, sizeof url, NULL));
    assert_string_equal(url, "https://login.microsoftonline.com/common/oauth2/v2.0/token");
}

static void what_a_setup_needs_is_said_and_is_part_of_a_host(void **state)
{
    static const char *const bad[] = {NULL, "", "a/b", "a@b", "a b", ".a", "a?b", "{domain}"};
    const char *missing = NULL;
    char url[256];
    for (size_t i = 0; i < LEN(bad); i++) {
        const struct provider_place at = {"x", bad[i]};
        const char *okta = row("okta")->setup.token_url;
        assert_false(provider_setup_url(okta, &at, url, sizeof url, &missing));
        assert_string_equal(missing, "domain");
    }
    const struct provider_place at = {"x", "acme.okta.com"};
    assert_false(provider_setup_url("https://{other}/", &at, url, sizeof url, NULL));
    assert_false(provider_setup_url("https://{domain", &at, url, sizeof url, NULL));
    assert_true(provider_setup_url("https://{domain}/", &at, url, 23, NULL));
    assert_string_equal(url, "https://acme.okta.com/");
    assert_false(provider_setup_url("https://{domain}/", &at, url, 22, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_provider_is_known_by_the_hosts_of_its_urls),
        cmocka_unit_test(a_suffix_begins_with_a_label_and_is_at_the_end_of_the_host),
        cmocka_unit_test(the_token_url_counts_before_the_authorization_url),
        cmocka_unit_test(without_a_row_for_all_others_nobody_is_found),
        cmocka_unit_test(every_provider_has_its_test_call),
        cmocka_unit_test(every_provider_has_its_habits),
        cmocka_unit_test(words_and_their_names_go_both_ways),
        cmocka_unit_test(what_cannot_be_filled_in_is_not_called),
        cmocka_unit_test(only_the_origin_of_an_instance_counts),
        cmocka_unit_test(the_urls_of_a_new_connection_lead_to_the_same_row),
        cmocka_unit_test(what_a_setup_needs_is_said_and_is_part_of_a_host),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
