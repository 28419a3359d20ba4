/* O-03, O-05, O-11, O-13: what is asked of a provider, byte for byte. */
#include "drivers/oauth_request.h"

#include "core/json_value.h"
#include "drivers/oauth_answer.h"
#include "drivers/oauth_assertion.h"
#include "drivers/provider_table.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "support/dice.h"
#include "test.h"

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

static struct secret *secret_of(const char *text)
{
    struct secret *s = secret_copy(text, strlen(text), NULL);
    assert_non_null(s);
    return s;
}

/* RFC 7636 appendix B */
static void the_challenge_is_that_of_the_rfc(void **state)
{
    char challenge[OAUTH_CHALLENGE];
    oauth_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", challenge);
    assert_string_equal(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

/* O-03: RFC 7636 §4.1 */
static void verifiers_are_random_and_of_the_right_form(void **state)
{
    char a[OAUTH_VERIFIER], b[OAUTH_VERIFIER];
    oauth_verifier(a);
    oauth_verifier(b);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 43);
    assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                     43);
}

static void assert_authorize(const char *provider, const char *url, const char *scopes,
                             const char *wanted)
{
    auto_buf struct buf out;
    struct err err = {0};
    struct oauth_authorize a = {.authorization_url = url,
                                .client_id = "my client",
                                .redirect_uri = "https://us.example/cb?x=1",
                                .scopes = scopes,
                                .state = "s-1",
                                .challenge = "C_-"};
    buf_init(&out, OAUTH_URL_MAX);
    if (!oauth_authorize_url(row(provider), &a, &out, &err))
        fail_msg("%s", err.message);
    assert_string_equal((char *)out.p, wanted);
}

#define USUAL                                                                                      \
    "response_type=code&client_id=my%20client&redirect_uri=https%3A%2F%2Fus.example%2Fcb%3Fx%3D1"  \
    "&state=s-1&code_challenge=C_-&code_challenge_method=S256"

/* O-03 */
static void the_authorization_url_has_what_the_provider_wants(void **state)
{
    assert_authorize("oidc", "https://idp.example/authorize", "openid a:b/c",
                     "https://idp.example/authorize?" USUAL "&scope=openid%20a%3Ab%2Fc");
    assert_authorize("oidc", "https://idp.example/authorize?tenant=x", NULL,
                     "https://idp.example/authorize?tenant=x&" USUAL);
    assert_authorize("slack", "https://slack.com/oauth/v2/authorize", "a b",
                     "https://slack.com/oauth/v2/authorize?" USUAL "&scope=a%2Cb");
    assert_authorize("google", "https://accounts.google.com/o/oauth2/v2/auth", "",
                     "https://accounts.google.com/o/oauth2/v2/auth?" USUAL
                     "&access_type=offline&prompt=consent");
    assert_authorize("dropbox", "https://www.dropbox.com/oauth2/authorize", NULL,
                     "https://www.dropbox.com/oauth2/authorize?" USUAL
                     "&token_access_type=offline");
}

static void an_authorization_url_must_be_https_and_fit(void **state)
{
    static const char *const urls[] = {"http://idp.example/", "javascript:alert(1)",
                                       "https://a@idp.example/", "https://idp.example/#x", ""};
    auto_buf struct buf out;
    buf_init(&out, OAUTH_URL_MAX);
    struct oauth_authorize a = {
        .client_id = "x", .redirect_uri = "y", .state = "z", .challenge = "c"};
    for (size_t i = 0; i < LEN(urls); i++) {
        a.authorization_url = urls[i];
        assert_false(oauth_authorize_url(row("oidc"), &a, &out, NULL));
    }
    char small[32];
    struct buf tight;
    buf_init_fixed(&tight, small, sizeof small);
    a.authorization_url = "https://idp.example/authorize";
    assert_false(oauth_authorize_url(row("oidc"), &a, &tight, NULL));
}

/* --- requests --- */

struct asked {
    struct oauth_client client;
    struct oauth_question question;
    const char *token, *verifier, *credential;
};

static void make(const struct asked *a, struct oauth_call *out)
{
    auto_secret struct secret *token = a->token ? secret_of(a->token) : NULL;
    auto_secret struct secret *verifier = a->verifier ? secret_of(a->verifier) : NULL;
    auto_secret struct secret *credential = a->credential ? secret_of(a->credential) : NULL;
    struct oauth_client c = a->client;
    struct oauth_question q = a->question;
    struct err err = {0};
    c.credential = credential;
    q.token = token;
    q.verifier = verifier;
    if (!oauth_call_make(&c, &q, out, &err))
        fail_msg("%s", err.message);
}

static void assert_secret(const struct secret *s, const char *wanted)
{
    if (!wanted) {
        assert_null(s);
        return;
    }
    assert_non_null(s);
    char *text = strndup((const char *)secret_view(s), secret_size(s));
    assert_string_equal(text, wanted);
    free(text);
}

static void assert_asked(const struct asked *a, const char *url, const char *authorization,
                         const char *body)
{
    auto_oauth_call struct oauth_call c;
    make(a, &c);
    assert_string_equal(c.http.method, "POST");
    assert_string_equal(c.http.url, url);
    assert_secret(c.http.authorization, authorization);
    assert_secret(c.http.body, body);
    assert_string_equal(c.http.content_type, a->client.provider->json_body
                                                 ? "application/json"
                                                 : "application/x-www-form-urlencoded");
}

/* O-05 */
static void a_code_is_exchanged_with_its_verifier(void **state)
{
    struct asked a = {
        {row("google"), CLIENT_AUTH_POST, "id", NULL, NULL, "https://t.example/token"},
        {.kind = OAUTH_ASK_CODE, .redirect_uri = "https://us.example/cb"},
        .token = "4/0A b",
        .verifier = "ver~ifier",
        .credential = "s&c"};
    assert_asked(&a, "https://t.example/token", NULL,
                 "grant_type=authorization_code&code=4%2F0A+b&code_verifier=ver%7Eifier"
                 "&redirect_uri=https%3A%2F%2Fus.example%2Fcb&client_id=id&client_secret=s%26c");
}

/* O-05: RFC 6749 §2.3.1: encoded as in a form, then base64. */
static void basic_authentication_is_encoded_before_it_is_joined(void **state)
{
    struct asked a = {
        {row("okta"), CLIENT_AUTH_BASIC, "id:1", NULL, NULL, "https://a.okta.com/oauth2/v1/token"},
        {.kind = OAUTH_ASK_REFRESH},
        .token = "rt",
        .credential = "p w+%\xc3\xa9"};
    /* id%3A1:p+w%2B%25%C3%A9 */
    assert_asked(&a, "https://a.okta.com/oauth2/v1/token", "Basic aWQlM0ExOnArdyUyQiUyNSVDMyVBOQ==",
                 "grant_type=refresh_token&refresh_token=rt");
}

/* O-05, O-11, O-13 */
static void every_question_has_its_form(void **state)
{
    const struct oauth_client zoom = {
        row("zoom"), CLIENT_AUTH_NONE, "id", NULL, NULL, "https://zoom.us/oauth/token"};
    const struct oauth_client okta = {
        row("okta"), CLIENT_AUTH_POST, "id", NULL, NULL, "https://a.okta.com/oauth2/v1/token"};
    assert_asked(&(struct asked){zoom, {.kind = OAUTH_ASK_CLIENT, .scopes = "a b"}, .token = NULL},
                 "https://zoom.us/oauth/token", NULL,
                 "grant_type=client_credentials&scope=a+b&client_id=id");
    assert_asked(&(struct asked){zoom, {.kind = OAUTH_ASK_CODES, .scopes = "a"}, .token = NULL},
                 "https://zoom.us/oauth/devicecode", NULL, "scope=a&client_id=id");
    assert_asked(&(struct asked){zoom, {.kind = OAUTH_ASK_DEVICE}, .token = "dc"},
                 "https://zoom.us/oauth/token", NULL,
                 "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code"
                 "&device_code=dc&client_id=id");
    assert_asked(&(struct asked){okta,
                                 {.kind = OAUTH_ASK_REVOKE, .hint = "refresh_token"},
                                 .token = "rt",
                                 .credential = "s"},
                 "https://a.okta.com/oauth2/v1/revoke", NULL,
                 "token=rt&token_type_hint=refresh_token&client_id=id&client_secret=s");
    assert_asked(&(struct asked){okta,
                                 {.kind = OAUTH_ASK_INTROSPECT, .hint = "access_token"},
                                 .token = "at",
                                 .credential = "s"},
                 "https://a.okta.com/oauth2/v1/introspect", NULL,
                 "token=at&token_type_hint=access_token&client_id=id&client_secret=s");
    assert_asked(&(struct asked){okta,
                                 {.kind = OAUTH_ASK_REVOKE, .url = "https://other.example/r"},
                                 .token = "rt",
                                 .credential = "s"},
                 "https://other.example/r", NULL, "token=rt&client_id=id&client_secret=s");
}

static void a_provider_of_json_is_asked_in_json(void **state)
{
    struct asked a = {{row("notion"), CLIENT_AUTH_BASIC, "id", NULL, NULL,
                       "https://api.notion.com/v1/oauth/token"},
                      {.kind = OAUTH_ASK_REFRESH},
                      .token = "r\"t",
                      .credential = "s"};
    assert_asked(&a, "https://api.notion.com/v1/oauth/token", "Basic aWQ6cw==",
                 "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"r\\\"t\"}");
}

static void scopes_are_separated_as_the_provider_wants(void **state)
{
    assert_asked(&(struct asked){{row("slack"), CLIENT_AUTH_NONE, "id", NULL, NULL,
                                  "https://slack.com/api/oauth.v2.access"},
                                 {.kind = OAUTH_ASK_CLIENT, .scopes = "a b"},
                                 .token = NULL},
                 "https://slack.com/api/oauth.v2.access", NULL,
                 "grant_type=client_credentials&scope=a%2Cb&client_id=id");
}

static void what_cannot_be_asked_is_said(void **state)
{
    struct oauth_call out;
    auto_secret struct secret *token = secret_of("t");
    const struct oauth_client c = {row("dropbox"), CLIENT_AUTH_NONE,
                                   "id",           NULL,
                                   NULL,           "https://api.dropboxapi.com/oauth2/token"};
    struct oauth_client bare = c, odd = c;
    bare.auth = CLIENT_AUTH_BASIC;
    odd.token_url = "http://t.example/";
    const struct {
        const struct oauth_client *client;
        struct oauth_question question;
    } rows[] = {
        {&c, {.kind = OAUTH_ASK_REVOKE, .token = token}}, /* it has no such endpoint */
        {&c, {.kind = OAUTH_ASK_INTROSPECT, .token = token}},
        {&c, {.kind = OAUTH_ASK_CODES}},
        {&c, {.kind = OAUTH_ASK_REFRESH}}, /* no token */
        {&bare, {.kind = OAUTH_ASK_CLIENT}},
        {&odd, {.kind = OAUTH_ASK_CLIENT}},
        {&c, {.kind = OAUTH_ASK_CLIENT, .url = "file:///etc/passwd"}},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err err = {0};
        assert_false(oauth_call_make(rows[i].client, &rows[i].question, &out, &err));
        assert_int_equal(err_class(err.code), CLASS_INVALID);
        assert_null(out.http.body);
        assert_null(out.http.authorization);
    }
}

/* O-06 */
static void the_test_call_shows_the_token(void **state)
{
    auto_oauth_call struct oauth_call c = {0};
    struct provider_values v = {.token_url = "https://x.example/t", .access_token = "at/1"};
    const struct provider *p = row("github");
    assert_true(oauth_call_make_test(p, &p->test, &v, &c, NULL));
    assert_string_equal(c.http.method, "GET");
    assert_string_equal(c.http.url, "https://api.github.com/user");
    assert_string_equal(c.http.wanted[OAUTH_HEADER_SCOPES], "X-OAuth-Scopes");
    assert_secret(c.http.authorization, "Bearer at/1");
    assert_null(c.http.body);
    oauth_call_done(&c);
    assert_false(oauth_call_make_test(p, &p->client_test, &v, &c, NULL));
    assert_false(oauth_call_make_test(row("oidc"), &row("oidc")->test, &v, &c, NULL));
    oauth_call_done(&c);
}

/* O-06 */
static void metadata_is_where_the_two_standards_have_it(void **state)
{
    static const struct {
        const char *issuer;
        bool oauth2;
        const char *url;
    } rows[] = {
        {"https://idp.example", false, "https://idp.example/.well-known/openid-configuration"},
        {"https://idp.example/", false, "https://idp.example/.well-known/openid-configuration"},
        {"https://idp.example/a/b/", false,
         "https://idp.example/a/b/.well-known/openid-configuration"},
        {"https://idp.example", true, "https://idp.example/.well-known/oauth-authorization-server"},
        {"https://idp.example/a/b", true,
         "https://idp.example/.well-known/oauth-authorization-server/a/b"},
    };
    struct oauth_call c;
    for (size_t i = 0; i < LEN(rows); i++) {
        assert_true(oauth_call_make_discovery(rows[i].issuer, rows[i].oauth2, &c, NULL));
        assert_string_equal(c.http.url, rows[i].url);
    }
    assert_false(oauth_call_make_discovery("http://idp.example", false, &c, NULL));
    assert_false(oauth_call_make_discovery("https://idp.example?x", false, &c, NULL));
    assert_false(oauth_call_make_discovery("", false, &c, NULL));
}

/* A form that is decoded again is what went in. SEED=<n> repeats. */
static void any_token_survives_a_form(void **state)
{
    const char *seed = getenv("SEED");
    struct dice d = {seed ? strtoull(seed, NULL, 10) : 20261121};
    for (int i = 0; i < 300; i++) {
        unsigned char raw[40], back[40];
        size_t n = 1 + (size_t)dice_below(&d, sizeof raw), m = 0;
        for (size_t k = 0; k < n; k++)
            raw[k] = (unsigned char)dice_below(&d, 256);
        auto_secret struct secret *token = secret_copy(raw, n, NULL);
        struct oauth_client c = {
            row("zoom"), CLIENT_AUTH_NONE, "id", NULL, NULL, "https://zoom.us/oauth/token"};
        auto_oauth_call struct oauth_call call;
        assert_true(oauth_call_make(
            &c, &(struct oauth_question){.kind = OAUTH_ASK_DEVICE, .token = token}, &call, NULL));
        char *body =
            strndup((const char *)secret_view(call.http.body), secret_size(call.http.body));
        const char *at = strstr(body, "&device_code=") + 13;
        for (; *at != '&'; at++) {
            unsigned code = (unsigned char)*at == '+' ? ' ' : (unsigned char)*at;
            if (*at == '%') {
                assert_int_equal(sscanf(at + 1, "%2x", &code), 1);
                at += 2;
            }
            assert_true(m < sizeof back);
            back[m++] = (unsigned char)code;
        }
        free(body);
        assert_int_equal(m, n);
        assert_memory_equal(raw, back, n);
    }
}

/* --- assertions --- */

static struct secret *pem_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long n = BIO_get_mem_data(bio, &text);
    struct secret *s = secret_copy(text, (size_t)n, NULL);
    BIO_free(bio);
    return s;
}

static json_t *decoded(const char *p, size_t n)
{
    unsigned char raw[1024];
    size_t m;
    assert_int_equal(sodium_base642bin(raw, sizeof raw, p, n, NULL, &m, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
    json_t *v = json_value_parse(raw, m, NULL);
    assert_non_null(v);
    return v;
}

static void assert_signed(const char *jwt, size_t head, const char *signature, EVP_PKEY *key,
                          bool halves)
{
    unsigned char raw[512], der[80], *to = der;
    size_t n;
    assert_int_equal(sodium_base642bin(raw, sizeof raw, signature, strlen(signature), NULL, &n,
                                       NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
    if (halves) {
        assert_int_equal(n, 64);
        ECDSA_SIG *s = ECDSA_SIG_new();
        ECDSA_SIG_set0(s, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
        n = (size_t)i2d_ECDSA_SIG(s, &to);
        memcpy(raw, der, n);
        ECDSA_SIG_free(s);
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(ctx, raw, n, (const unsigned char *)jwt, head), 1);
    EVP_MD_CTX_free(ctx);
}

static void assert_assertion(EVP_PKEY *key, const char *algorithm)
{
    auto_secret struct secret *pem = pem_of(key);
    struct oauth_assertion a = {pem, "k\"1", "id", "https://t.example/token", 1795000000999};
    struct err err = {0};
    auto_secret struct secret *s = oauth_assertion_sign(&a, &err);
    if (!s)
        fail_msg("%s", err.message);
    char *jwt = strndup((const char *)secret_view(s), secret_size(s));
    char *claims = strchr(jwt, '.') + 1, *signature = strchr(claims, '.') + 1;
    auto_json json_t *head = decoded(jwt, (size_t)(claims - jwt) - 1);
    auto_json json_t *body = decoded(claims, (size_t)(signature - claims) - 1);
    assert_string_equal(json_string_value(json_object_get(head, "alg")), algorithm);
    assert_string_equal(json_string_value(json_object_get(head, "kid")), "k\"1");
    assert_string_equal(json_string_value(json_object_get(body, "iss")), "id");
    assert_string_equal(json_string_value(json_object_get(body, "sub")), "id");
    assert_string_equal(json_string_value(json_object_get(body, "aud")), a.audience);
    assert_int_equal(json_integer_value(json_object_get(body, "iat")), 1795000000);
    assert_int_equal(json_integer_value(json_object_get(body, "exp")), 1795000120);
    assert_int_equal(json_string_length(json_object_get(body, "jti")), 32);
    assert_signed(jwt, (size_t)(signature - jwt) - 1, signature, key, algorithm[0] == 'E');
    free(jwt);
}

/* O-05: private_key_jwt, RFC 7523 */
static void a_client_with_a_key_signs_its_assertion(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");
    assert_assertion(rsa, "RS256");
    for (int i = 0; i < 20; i++) /* halves that begin with zeros, too */
        assert_assertion(ec, "ES256");
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

static void a_request_with_an_assertion_says_of_what_kind(void **state)
{
    EVP_PKEY *ec = EVP_EC_gen("P-256");
    auto_secret struct secret *pem = pem_of(ec);
    struct oauth_client c = {
        row("okta"), CLIENT_AUTH_KEY, "id", pem, NULL, "https://a.okta.com/oauth2/v1/token"};
    auto_oauth_call struct oauth_call call;
    assert_true(
        oauth_call_make(&c, &(struct oauth_question){.kind = OAUTH_ASK_CLIENT}, &call, NULL));
    assert_null(call.http.authorization);
    static const char wanted[] =
        "grant_type=client_credentials&client_id=id&client_assertion_type="
        "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=ey";
    assert_memory_equal(secret_view(call.http.body), wanted, sizeof wanted - 1);
    EVP_PKEY_free(ec);
}

static void other_keys_are_refused(void **state)
{
    EVP_PKEY *keys[] = {EVP_RSA_gen(1024), EVP_EC_gen("P-384"),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    for (size_t i = 0; i < LEN(keys); i++) {
        auto_secret struct secret *pem = pem_of(keys[i]);
        struct oauth_assertion a = {pem, NULL, "id", "https://t.example/", 0};
        struct err err = {0};
        assert_null(oauth_assertion_sign(&a, &err));
        assert_int_equal(err_class(err.code), CLASS_INVALID);
        EVP_PKEY_free(keys[i]);
    }
    auto_secret struct secret *nonsense = secret_of("-----BEGIN nothing-----");
    struct oauth_assertion a = {nonsense, NULL, "id", "https://t.example/", 0};
    assert_null(oauth_assertion_sign(&a, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_challenge_is_that_of_the_rfc),
        cmocka_unit_test(verifiers_are_random_and_of_the_right_form),
        cmocka_unit_test(the_authorization_url_has_what_the_provider_wants),
        cmocka_unit_test(an_authorization_url_must_be_https_and_fit),
        cmocka_unit_test(a_code_is_exchanged_with_its_verifier),
        cmocka_unit_test(basic_authentication_is_encoded_before_it_is_joined),
        cmocka_unit_test(every_question_has_its_form),
        cmocka_unit_test(a_provider_of_json_is_asked_in_json),
        cmocka_unit_test(scopes_are_separated_as_the_provider_wants),
        cmocka_unit_test(what_cannot_be_asked_is_said),
        cmocka_unit_test(the_test_call_shows_the_token),
        cmocka_unit_test(metadata_is_where_the_two_standards_have_it),
        cmocka_unit_test(any_token_survives_a_form),
        cmocka_unit_test(a_client_with_a_key_signs_its_assertion),
        cmocka_unit_test(a_request_with_an_assertion_says_of_what_kind),
        cmocka_unit_test(other_keys_are_refused),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
