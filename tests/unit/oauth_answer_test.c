/* O-05, O-08, O-09, O-11, O-13: what providers answer, in all their ways, and what is made of it.
 */
#include "drivers/oauth_answer.h"

#include "drivers/oauth_body.h"
#include "drivers/provider_table.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#define NOW INT64_C(1795000000000)

static const struct provider_list *all;

static int load(void **state)
{
    return sodium_init() < 0 || !(all = provider_table(NULL)) ? -1 : 0;
}

static const struct provider *row(const char *id)
{
    const struct provider *p = provider_by_id(all, id);
    assert_non_null(p);
    return p;
}

static const struct oauth_bytes sent[] = {{"old-refresh", 11}, {"client-secret", 13}};

static struct oauth_asked asked(const char *provider)
{
    return (struct oauth_asked){row(provider), NOW, sent, LEN(sent)};
}

static struct http_answer answer(int status, const char *body)
{
    return (struct http_answer){.outcome = HTTP_ANSWERED,
                                .maybe_sent = true,
                                .status = status,
                                .retry_after_ms = -1,
                                .body = body,
                                .n = strlen(body)};
}

static bool holds(const struct secret *s, const char *text)
{
    return s && secret_size(s) == strlen(text) && !memcmp(secret_view(s), text, strlen(text));
}

static void read_well(const char *provider, const char *body, struct oauth_tokens *out)
{
    struct oauth_asked q = asked(provider);
    struct http_answer a = answer(200, body);
    struct oauth_fault fault = {0};
    if (!oauth_read_tokens(&q, &a, out, &fault))
        fail_msg("%s: %s %s", body, fault.word, fault.text);
}

/* RFC 6749 §5.1 */
static void the_answer_of_the_rfc_is_read(void **state)
{
    auto_oauth_tokens struct oauth_tokens t;
    read_well("oidc",
              "{\"access_token\":\"2YotnFZFEjr1zCsicMWpAA\",\"token_type\":\"Bearer\","
              "\"expires_in\":3600,\"refresh_token\":\"tGzv3JOkF0XG5Qx2TlKWIA\","
              "\"example_parameter\":\"example_value\",\"scope\":\"a b\"}",
              &t);
    assert_true(holds(t.access, "2YotnFZFEjr1zCsicMWpAA"));
    assert_true(holds(t.refresh, "tGzv3JOkF0XG5Qx2TlKWIA"));
    assert_string_equal(t.type, "Bearer");
    assert_string_equal(t.scopes, "a b");
    assert_int_equal(t.expires_ms, NOW + 3600000);
    assert_true(t.expires_told);
    assert_int_equal(t.refresh_in_ms, 0);
    assert_int_equal(t.refresh_expires_ms, 0);
}

/* O-08 */
static void an_answer_without_a_refresh_token_leaves_the_old_one(void **state)
{
    static const char *const bodies[] = {
        "{\"access_token\":\"a\"}",
        "{\"access_token\":\"a\",\"refresh_token\":null}",
        "{\"access_token\":\"a\",\"refresh_token\":\"\"}",
        "access_token=a&refresh_token=",
    };
    for (size_t i = 0; i < LEN(bodies); i++) {
        auto_oauth_tokens struct oauth_tokens t;
        read_well("oidc", bodies[i], &t);
        assert_null(t.refresh);
        assert_int_equal(t.expires_ms, 0);
        assert_false(t.expires_told);
        assert_string_equal(t.type, "Bearer");
    }
}

/* O-08 */
static void lives_are_numbers_texts_or_missing(void **state)
{
    static const struct {
        const char *provider, *life;
        int64_t expires_ms;
    } rows[] = {
        {"oidc", "3600", NOW + 3600000},
        {"oidc", "\"3600\"", NOW + 3600000},
        {"oidc", "3599.5", NOW + 3599500},
        {"oidc", "\"3599.5\"", NOW + 3599500},
        {"oidc", "0", 0},
        {"oidc", "null", 0},
        {"oidc", "-1", 0},
        {"oidc", "\"soon\"", 0},
        {"oidc", "\" 3600\"", 0},
        {"oidc", "\"1e3\"", 0},
        {"oidc", "\"1.2.3\"", 0},
        {"oidc", "\"\"", 0},
        {"oidc", "[3600]", 0},
        {"oidc", "true", 0},
        {"oidc", "1e18", NOW + OAUTH_LIFE_MAX_S * 1000},
        {"salesforce", "null", NOW + 7200000},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        auto_oauth_tokens struct oauth_tokens t;
        char body[128];
        snprintf(body, sizeof body, "{\"access_token\":\"a\",\"expires_in\":%s}", rows[i].life);
        read_well(rows[i].provider, body, &t);
        if (t.expires_ms != rows[i].expires_ms)
            fail_msg("%s: %lld", rows[i].life, (long long)t.expires_ms);
    }
}

/* O-08 */
static void when_to_refresh_and_when_the_refresh_token_ends_are_read(void **state)
{
    auto_oauth_tokens struct oauth_tokens t;
    read_well("microsoft",
              "{\"access_token\":\"a\",\"expires_in\":86399,\"refresh_in\":43199,"
              "\"refresh_token_expires_in\":\"7776000\"}",
              &t);
    assert_int_equal(t.refresh_in_ms, 43199000);
    assert_int_equal(t.refresh_expires_ms, NOW + INT64_C(7776000000));
}

static void each_provider_answers_in_its_own_way(void **state)
{
    auto_oauth_tokens struct oauth_tokens t;
    /* GitHub without our Accept */
    read_well("github", "access_token=gho_16%2FC7&scope=repo%2Cgist&token_type=bearer\n", &t);
    assert_true(holds(t.access, "gho_16/C7"));
    assert_string_equal(t.scopes, "repo gist");
    oauth_tokens_done(&t);
    /* Slack: a bot's token at the top, a user's below */
    read_well("slack",
              "{\"ok\":true,\"access_token\":\"xoxe.bot\",\"token_type\":\"bot\","
              "\"scope\":\"a,b\",\"authed_user\":{\"id\":\"U\",\"access_token\":\"xoxe.u\"}}",
              &t);
    assert_true(holds(t.access, "xoxe.bot"));
    assert_string_equal(t.type, "bot");
    oauth_tokens_done(&t);
    read_well("slack",
              "{\"ok\":true,\"authed_user\":{\"id\":\"U\",\"access_token\":\"xoxe.u\","
              "\"refresh_token\":\"r\",\"expires_in\":43200}}",
              &t);
    assert_true(holds(t.access, "xoxe.u"));
    assert_true(holds(t.refresh, "r"));
    assert_int_equal(t.expires_ms, NOW + 43200000);
    oauth_tokens_done(&t);
    read_well("salesforce",
              "{\"access_token\":\"00D!x\",\"instance_url\":\"https://a.my.salesforce.com\"}", &t);
    assert_string_equal(t.instance_url, "https://a.my.salesforce.com");
    oauth_tokens_done(&t);
    read_well("oidc", "{\"access_token\":\"a\",\"scope\":[\"x\",\"y\",7]}", &t);
    assert_string_equal(t.scopes, "x y");
}

/* --- faults --- */

static struct oauth_fault fault_of(const char *provider, const struct http_answer *a)
{
    struct oauth_asked q = asked(provider);
    struct oauth_fault fault = {0};
    struct oauth_tokens t;
    bool fine = oauth_read_tokens(&q, a, &t, &fault);
    assert_false(fine);
    assert_null(t.access);
    assert_null(t.refresh);
    return fault;
}

/* O-05, O-09 */
static void faults_are_recognised_however_they_are_told(void **state)
{
    static const struct {
        const char *provider;
        int status;
        const char *body;
        enum oauth_error error;
        const char *text;
    } rows[] = {
        {"microsoft", 400,
         "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS700082: expired\"}",
         OAUTH_INVALID_GRANT, "AADSTS700082: expired"},
        {"microsoft", 400, "{\"error\":\"interaction_required\"}", OAUTH_INTERACTION_REQUIRED, ""},
        {"github", 200, "{\"error\":\"bad_refresh_token\",\"error_description\":\"no\"}",
         OAUTH_INVALID_GRANT, "no"},
        {"github", 200, "error=bad_verification_code&error_description=The+code%0D%0Ais+over",
         OAUTH_INVALID_GRANT, "The code is over"},
        {"github", 200, "{\"error\":\"incorrect_client_credentials\"}", OAUTH_INVALID_CLIENT, ""},
        {"slack", 200, "{\"ok\":false,\"error\":\"invalid_refresh_token\"}", OAUTH_INVALID_GRANT,
         ""},
        {"slack", 200, "{\"ok\":false}", OAUTH_REFUSED, ""},
        {"slack", 200, "{\"ok\":false,\"error\":\"ratelimited\"}", OAUTH_SLOW_DOWN, ""},
        {"hubspot", 400, "{\"status\":\"BAD_REFRESH_TOKEN\",\"message\":\"missing or invalid\"}",
         OAUTH_INVALID_GRANT, "missing or invalid"},
        {"google", 401,
         "{\"error\":{\"code\":401,\"message\":\"no\",\"status\":\"UNAUTHENTICATED\"}}",
         OAUTH_REFUSED, "no"},
        {"zoom", 400, "{\"reason\":\"Invalid\",\"error\":\"invalid_grant\"}", OAUTH_INVALID_GRANT,
         ""},
        {"oidc", 200, "{\"error\":\"invalid_grant\",\"access_token\":\"a\"}", OAUTH_INVALID_GRANT,
         ""},
        {"oidc", 401, "{\"error\":\"invalid_client\"}", OAUTH_INVALID_CLIENT, ""},
        {"oidc", 401, "", OAUTH_INVALID_CLIENT, ""},
        {"oidc", 404, "<html>not here</html>", OAUTH_REFUSED, ""},
        {"oidc", 302, "", OAUTH_REDIRECTED, ""},
        {"oidc", 429, "{\"error\":\"invalid_grant\"}", OAUTH_THROTTLED, ""},
        {"oidc", 500, "{\"error\":\"invalid_grant\"}", OAUTH_SERVER_ERROR, ""},
        {"oidc", 500, "<html>", OAUTH_SERVER_ERROR, ""},
        {"oidc", 502, "<html>", OAUTH_GATEWAY_TIMEOUT, ""},
        {"oidc", 503, "", OAUTH_TEMPORARILY_UNAVAILABLE, ""},
        {"oidc", 504, "", OAUTH_GATEWAY_TIMEOUT, ""},
        {"oidc", 400, "{\"error\":\"slow_down\"}", OAUTH_SLOW_DOWN, ""},
        {"oidc", 400, "{\"error\":\"authorization_pending\"}", OAUTH_AUTHORIZATION_PENDING, ""},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct http_answer a = answer(rows[i].status, rows[i].body);
        struct oauth_fault f = fault_of(rows[i].provider, &a);
        if (f.error != rows[i].error)
            fail_msg("%d %s: %s", rows[i].status, rows[i].body, oauth_error_name(f.error));
        assert_string_equal(f.text, rows[i].text);
        assert_int_equal(f.status, rows[i].status);
    }
}

/* A 200 that cannot be read may have been one that rotated the refresh token. */
static void a_success_that_cannot_be_read_is_uncertain(void **state)
{
    static const char *const bodies[] = {
        "",
        "   ",
        "{",
        "{\"access_token\":",
        "{}",
        "[]",
        "null",
        "\"access_token\"",
        "{\"access_token\":\"\"}",
        "{\"access_token\":7}",
        "{\"access_token\":\"a b\"}",
        "{\"access_token\":\"a\\r\\nX: y\"}",
        "{\"access_token\":\"caf\xc3\xa9\"}",
        "{\"access_token\":\"\xff\"}",
        "{\"access_token\":\"a\",\"access_token\":\"b\"}",
        "{\"access_token\":\"a\"}{\"access_token\":\"b\"}",
        "access_token",
        "access_token=",
        "access_token=%zz",
        "access_token=%4",
        "access_token=%00",
        "access_token=a&access_token=b",
        "=a",
        "<html><body>Sign in</body></html>",
    };
    for (size_t i = 0; i < LEN(bodies); i++) {
        struct http_answer a = answer(200, bodies[i]);
        struct oauth_fault f = fault_of("oidc", &a);
        if (oauth_consequence(f.error) != OAUTH_IS_UNCERTAIN)
            fail_msg("%s: %s", bodies[i], oauth_error_name(f.error));
    }
    struct http_answer nul = answer(200, "");
    nul.body = "{\"access_token\":\"a\0b\"}";
    nul.n = 22;
    assert_int_equal(fault_of("oidc", &nul).error, OAUTH_UNREADABLE);
}

static void what_never_arrived_is_told_apart_from_what_may_have(void **state)
{
    static const struct {
        enum http_outcome outcome;
        bool maybe_sent;
        enum oauth_error error;
        enum oauth_consequence consequence;
    } rows[] = {
        {HTTP_TIMED_OUT, true, OAUTH_NO_ANSWER, OAUTH_IS_UNCERTAIN},
        {HTTP_TIMED_OUT, false, OAUTH_UNREACHABLE, OAUTH_IS_TRANSIENT},
        {HTTP_CUT, true, OAUTH_NO_ANSWER, OAUTH_IS_UNCERTAIN},
        {HTTP_TOO_LARGE, true, OAUTH_NO_ANSWER, OAUTH_IS_UNCERTAIN},
        {HTTP_GARBLED, true, OAUTH_NO_ANSWER, OAUTH_IS_UNCERTAIN},
        {HTTP_TLS_FAILED, false, OAUTH_UNREACHABLE, OAUTH_IS_TRANSIENT},
        {HTTP_UNREACHABLE, false, OAUTH_UNREACHABLE, OAUTH_IS_TRANSIENT},
        {HTTP_ADDRESS_REFUSED, false, OAUTH_ADDRESS_REFUSED, OAUTH_IS_SETTINGS},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct http_answer a = {.outcome = rows[i].outcome,
                                .maybe_sent = rows[i].maybe_sent,
                                .retry_after_ms = -1,
                                .body = "",
                                .err = {.message = "t.example: it broke"}};
        struct oauth_fault f = fault_of("oidc", &a);
        assert_int_equal(f.error, rows[i].error);
        assert_int_equal(oauth_consequence(f.error), rows[i].consequence);
        assert_string_equal(f.text, "t.example: it broke");
    }
}

static void how_long_to_wait_is_handed_on(void **state)
{
    struct http_answer a = answer(429, "");
    a.retry_after_ms = 7000;
    assert_int_equal(fault_of("oidc", &a).retry_after_ms, 7000);
    a = answer(403, "{\"message\":\"You have exceeded a secondary rate limit\"}");
    assert_int_equal(fault_of("github", &a).error, OAUTH_REFUSED);
    a.retry_after_ms = 60000;
    assert_int_equal(fault_of("github", &a).error, OAUTH_THROTTLED);
}

static void a_providers_words_hold_no_secret_and_fit(void **state)
{
    char body[4096];
    struct http_answer a =
        answer(400, "{\"error\":\"x old-refresh\",\"error_description\":\"old-refresh\\r\\n\\u001b "
                    "client-secret eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl\"}");
    struct oauth_fault f = fault_of("oidc", &a);
    assert_string_equal(f.word, "x ***");
    assert_string_equal(f.text, "*** *** ***");
    memset(body, 'a', sizeof body);
    for (size_t i = 0; i < sizeof body; i += 8)
        body[i] = ' ';
    memcpy(body, "{\"error\":\"", 10);
    memcpy(body + sizeof body - 3, "\"}", 3);
    a = answer(400, body);
    f = fault_of("oidc", &a);
    assert_int_equal(strlen(f.word), sizeof f.word - 1);
}

/* --- the other answers --- */

/* O-11: RFC 7009 §2.2 */
static void a_revocation_is_done_when_the_provider_says_200(void **state)
{
    struct oauth_asked q = asked("google");
    struct oauth_fault f = {0};
    struct http_answer a = answer(200, "");
    assert_true(oauth_read_revocation(&q, &a, &f));
    a = answer(200, "{}");
    assert_true(oauth_read_revocation(&q, &a, &f));
    a = answer(400, "{\"error\":\"unsupported_token_type\"}");
    assert_false(oauth_read_revocation(&q, &a, &f));
    assert_int_equal(f.error, OAUTH_UNSUPPORTED_TOKEN_TYPE);
    a = answer(503, "");
    assert_false(oauth_read_revocation(&q, &a, &f));
    assert_int_equal(oauth_consequence(f.error), OAUTH_IS_TRANSIENT);
}

/* O-13: RFC 7662 §2.2 */
static void an_introspection_says_whether_a_token_is_active(void **state)
{
    struct oauth_asked q = asked("okta");
    struct oauth_fault f = {0};
    struct oauth_introspection i;
    struct http_answer a =
        answer(200, "{\"active\":true,\"exp\":1795003600,\"scope\":\"read write\"}");
    assert_true(oauth_read_introspection(&q, &a, &i, &f));
    assert_true(i.active);
    assert_int_equal(i.expires_ms, INT64_C(1795003600000));
    assert_string_equal(i.scopes, "read write");
    a = answer(200, "{\"active\":false}");
    assert_true(oauth_read_introspection(&q, &a, &i, &f));
    assert_false(i.active);
    assert_int_equal(i.expires_ms, 0);
    static const char *const odd[] = {"", "{}", "{\"active\":\"true\"}", "{\"active\":1}"};
    for (size_t k = 0; k < LEN(odd); k++) {
        a = answer(200, odd[k]);
        assert_false(oauth_read_introspection(&q, &a, &i, &f));
        assert_int_equal(f.error, OAUTH_UNREADABLE);
    }
}

/* O-13: RFC 8628 §3.2 */
static void a_device_gets_its_codes(void **state)
{
    struct oauth_asked q = asked("google");
    struct oauth_fault f = {0};
    struct oauth_device d;
    struct http_answer a =
        answer(200, "{\"device_code\":\"GmRh\",\"user_code\":\"WDJB-MJHT\","
                    "\"verification_uri\":\"https://example.com/device\","
                    "\"verification_uri_complete\":\"https://example.com/device?user_code=W\","
                    "\"expires_in\":1800,\"interval\":7}");
    assert_true(oauth_read_device(&q, &a, &d, &f));
    assert_true(holds(d.code, "GmRh"));
    assert_string_equal(d.user_code, "WDJB-MJHT");
    assert_string_equal(d.uri, "https://example.com/device");
    assert_string_equal(d.uri_complete, "https://example.com/device?user_code=W");
    assert_int_equal(d.expires_ms, NOW + 1800000);
    assert_int_equal(d.interval_ms, 7000);
    oauth_device_done(&d);
    a = answer(200, "{\"device_code\":\"c\",\"user_code\":\"u\",\"expires_in\":\"60\","
                    "\"verification_url\":\"https://www.google.com/device\"}");
    assert_true(oauth_read_device(&q, &a, &d, &f));
    assert_int_equal(d.interval_ms, 5000);
    assert_string_equal(d.uri, "https://www.google.com/device");
    oauth_device_done(&d);
    static const char *const odd[] = {
        "{}",
        "{\"device_code\":\"c\",\"user_code\":\"u\",\"expires_in\":60}",
        "{\"device_code\":\"c\",\"user_code\":\"u u\",\"expires_in\":60,"
        "\"verification_uri\":\"https://e.com/\"}",
        "{\"device_code\":\"c\",\"user_code\":\"u\",\"expires_in\":60,"
        "\"verification_uri\":\"javascript:alert(1)\"}",
        "{\"device_code\":\"c\",\"user_code\":\"u\",\"verification_uri\":\"https://e.com/\"}",
    };
    for (size_t k = 0; k < LEN(odd); k++) {
        a = answer(200, odd[k]);
        assert_false(oauth_read_device(&q, &a, &d, &f));
        assert_int_equal(f.error, OAUTH_UNREADABLE);
        assert_null(d.code);
    }
}

/* O-06 */
static void a_test_call_tells_whether_a_token_works(void **state)
{
    struct oauth_asked github = asked("github"), slack = asked("slack"), google = asked("google");
    struct oauth_fault f = {0};
    char scopes[OAUTH_SCOPES];
    struct http_answer a = answer(200, "{\"login\":\"x\"}");
    strcpy(a.wanted[OAUTH_HEADER_SCOPES], "repo, gist");
    assert_true(oauth_read_test(&github, &github.provider->test, &a, scopes, &f));
    assert_string_equal(scopes, "repo gist");
    a = answer(200, "{\"ok\":true,\"user\":\"x\"}");
    assert_true(oauth_read_test(&slack, &slack.provider->test, &a, scopes, &f));
    assert_string_equal(scopes, "");
    a = answer(200, "{\"user\":\"x\"}");
    assert_false(oauth_read_test(&slack, &slack.provider->test, &a, scopes, &f));
    a = answer(200, "{\"ok\":false,\"error\":\"invalid_auth\"}");
    assert_false(oauth_read_test(&slack, &slack.provider->test, &a, scopes, &f));
    assert_int_equal(f.error, OAUTH_INVALID_GRANT);
    a = answer(401, "{\"error\":{\"code\":401,\"status\":\"UNAUTHENTICATED\"}}");
    assert_false(oauth_read_test(&google, &google.provider->test, &a, scopes, &f));
    assert_int_equal(f.error, OAUTH_INVALID_TOKEN);
    assert_string_equal(f.word, "UNAUTHENTICATED");
}

/* O-06: GitHub's primary limit has no Retry-After; the token is good. */
static void a_test_call_beyond_the_limit_says_nothing_about_the_token(void **state)
{
    struct oauth_asked github = asked("github");
    struct oauth_fault f = {0};
    char scopes[OAUTH_SCOPES];
    struct http_answer a = answer(403, "{\"message\":\"API rate limit exceeded\"}");
    strcpy(a.wanted[OAUTH_HEADER_LEFT], "17");
    assert_false(oauth_read_test(&github, &github.provider->test, &a, scopes, &f));
    assert_int_equal(f.error, OAUTH_REFUSED);
    strcpy(a.wanted[OAUTH_HEADER_LEFT], "0");
    assert_false(oauth_read_test(&github, &github.provider->test, &a, scopes, &f));
    assert_int_equal(f.error, OAUTH_THROTTLED);
    assert_int_equal(f.retry_after_ms, -1);
    snprintf(a.wanted[OAUTH_HEADER_RESET], HTTP_HEADER_MAX, "%lld", (long long)NOW / 1000 + 90);
    assert_false(oauth_read_test(&github, &github.provider->test, &a, scopes, &f));
    assert_int_equal(f.retry_after_ms, ((long long)NOW / 1000 + 90) * 1000 - NOW);
    strcpy(a.wanted[OAUTH_HEADER_RESET], "1"); /* long ago */
    assert_false(oauth_read_test(&github, &github.provider->test, &a, scopes, &f));
    assert_int_equal(f.retry_after_ms, -1);
}

#define DOCUMENT(issuer, more)                                                                     \
    "{\"issuer\":\"" issuer "\",\"authorization_endpoint\":\"https://idp.example/a\","             \
    "\"token_endpoint\":\"https://idp.example/t\"" more "}"

/* O-06: OpenID Connect Discovery §4.3: the issuer must be the one that was asked. */
static void metadata_must_be_the_issuers_own(void **state)
{
    struct oauth_asked q = asked("oidc");
    struct oauth_fault f = {0};
    struct oauth_metadata m;
    struct http_answer a =
        answer(200, DOCUMENT("https://idp.example",
                             ",\"userinfo_endpoint\":\"https://idp.example/u\","
                             "\"revocation_endpoint\":\"https://idp.example/r\","
                             "\"introspection_endpoint\":\"https://idp.example/i\","
                             "\"device_authorization_endpoint\":\"https://idp.example/d\","
                             "\"authorization_response_iss_parameter_supported\":true,"
                             "\"token_endpoint_auth_methods_supported\":[\"client_secret_post\","
                             "\"private_key_jwt\",\"tls_client_auth\",7]"));
    assert_true(oauth_read_metadata(&q, "https://idp.example", &a, &m, &f));
    assert_string_equal(m.authorization, "https://idp.example/a");
    assert_string_equal(m.token, "https://idp.example/t");
    assert_string_equal(m.userinfo, "https://idp.example/u");
    assert_string_equal(m.revocation, "https://idp.example/r");
    assert_string_equal(m.introspection, "https://idp.example/i");
    assert_string_equal(m.device, "https://idp.example/d");
    assert_true(m.tells_issuer);
    assert_false(m.auth[CLIENT_AUTH_BASIC]);
    assert_true(m.auth[CLIENT_AUTH_POST] && m.auth[CLIENT_AUTH_KEY]);
    assert_false(m.auth[CLIENT_AUTH_NONE]);
    a = answer(200, DOCUMENT("https://idp.example", ""));
    assert_true(oauth_read_metadata(&q, "https://idp.example", &a, &m, &f));
    assert_true(m.auth[CLIENT_AUTH_BASIC]);
    assert_false(m.tells_issuer);
    assert_string_equal(m.userinfo, "");
    static const char *const odd[] = {
        DOCUMENT("https://idp.example/", ""),
        DOCUMENT("https://evil.example", ""),
        DOCUMENT("https://idp.example", ",\"userinfo_endpoint\":\"http://idp.example/u\""),
        DOCUMENT("https://idp.example", ",\"revocation_endpoint\":\"https://a@idp.example/u\""),
        "{\"issuer\":\"https://idp.example\",\"authorization_endpoint\":\"https://idp.example/a\"}",
        "{}",
        "",
    };
    for (size_t k = 0; k < LEN(odd); k++) {
        a = answer(200, odd[k]);
        assert_false(oauth_read_metadata(&q, "https://idp.example", &a, &m, &f));
    }
}

static void a_body_is_wiped_when_it_is_let_go(void **state)
{
    json_t *v = body_parse("{\"a\":[{\"b\":\"secret\"}]}", 22);
    json_t *text = json_incref(json_object_get(json_array_get(json_object_get(v, "a"), 0), "b"));
    body_done(&v);
    assert_null(v);
    assert_memory_equal(json_string_value(text), "\0\0\0\0\0\0", 6);
    json_decref(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_of_the_rfc_is_read),
        cmocka_unit_test(an_answer_without_a_refresh_token_leaves_the_old_one),
        cmocka_unit_test(lives_are_numbers_texts_or_missing),
        cmocka_unit_test(when_to_refresh_and_when_the_refresh_token_ends_are_read),
        cmocka_unit_test(each_provider_answers_in_its_own_way),
        cmocka_unit_test(faults_are_recognised_however_they_are_told),
        cmocka_unit_test(a_success_that_cannot_be_read_is_uncertain),
        cmocka_unit_test(what_never_arrived_is_told_apart_from_what_may_have),
        cmocka_unit_test(how_long_to_wait_is_handed_on),
        cmocka_unit_test(a_providers_words_hold_no_secret_and_fit),
        cmocka_unit_test(a_revocation_is_done_when_the_provider_says_200),
        cmocka_unit_test(an_introspection_says_whether_a_token_is_active),
        cmocka_unit_test(a_device_gets_its_codes),
        cmocka_unit_test(a_test_call_tells_whether_a_token_works),
        cmocka_unit_test(a_test_call_beyond_the_limit_says_nothing_about_the_token),
        cmocka_unit_test(metadata_must_be_the_issuers_own),
        cmocka_unit_test(a_body_is_wiped_when_it_is_let_go),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
