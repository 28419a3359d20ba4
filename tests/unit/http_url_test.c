/* O-01, HAZARDS S1: what the text of a URL says about whether it may be called. */
#include "core/http_url.h"

#include "core/base.h"

#include <string.h>

#include "test.h"

static bool callable(const char *url, const char *allow)
{
    struct err err = {0};
    bool fine = http_url_callable(url, allow, &err);
    assert_true(fine == !err.code);
    if (!fine)
        assert_int_equal(err_class(err.code), CLASS_INVALID);
    return fine;
}

static void assert_each(const char *const *urls, size_t n, const char *allow, bool fine)
{
    for (size_t i = 0; i < n; i++)
        if (callable(urls[i], allow) != fine)
            fail_msg("%s", urls[i]);
}

/* O-01: which addresses these are: http_address_test.c. */
static void an_address_inside_may_not_be_called_however_it_is_spelled(void **state)
{
    static const char *const urls[] = {
        "https://127.0.0.1/token",
        "https://127.0.0.1:8443",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://%31%32%37.0.0.1/",
        "https://10.0.0.1./",
        "https://0.0.0.0/",
        "https://192.168.1.1/",
        "https://172.16.0.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::]/",
        "https://[::1]:8443/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a00:1]/",
        "https://[64:ff9b::10.0.0.1]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fd00::1]/",
        "https://[ff02::1]/",
    };
    assert_each(urls, LEN(urls), "", false);
}

/* O-01: RFC 6761 */
static void nor_may_this_machine_by_its_names(void **state)
{
    static const char *const urls[] = {"https://localhost/", "https://LocalHost:1/",
                                       "https://localhost./", "https://a.localhost/",
                                       "https://a.b.localhost./"};
    assert_each(urls, LEN(urls), "", false);
}

/* O-01: names are judged when they are connected to. */
static void names_and_public_addresses_may_be_called(void **state)
{
    static const char *const urls[] = {
        "https://example.org/token",
        "https://login.example.org:8443/a?b=c",
        "https://8.8.8.8/",
        "https://[2001:4860:4860::8888]/",
        "https://[::ffff:8.8.8.8]/",
        "https://notlocalhost/",
        "https://localhost.example.org/",
        "https://127.0.0.1.example.org/",
        "https://10.example.org/",
        "HTTPS://Example.org",
    };
    assert_each(urls, LEN(urls), NULL, true);
}

/* O-01 */
static void what_is_allowed_by_name_may_be_called_and_nothing_else(void **state)
{
    static const char allow[] = "localhost, idp.internal,10.0.0.1\t[::1]";
    static const char *const yes[] = {"https://localhost:8443/x", "https://LOCALHOST/",
                                      "https://10.0.0.1/", "https://10.1/", "https://[::1]/"};
    static const char *const no[] = {"https://localhost./", "https://a.localhost/",
                                     "https://10.0.0.2/", "https://127.0.0.1/", "https://[::2]/"};
    assert_each(yes, LEN(yes), allow, true);
    assert_each(no, LEN(no), allow, false);
    assert_true(http_url_lists(allow, "IDP.internal"));
    assert_false(http_url_lists(allow, "internal"));
    assert_false(http_url_lists(allow, "idp.internal,10.0.0.1"));
    assert_false(http_url_lists(" ,\t", ""));
    assert_false(http_url_lists(NULL, "localhost"));
}

/* O-01 */
static void what_is_no_https_url_is_not_called_whoever_is_allowed(void **state)
{
    static const char *const urls[] = {
        "http://example.org/",
        "ftp://example.org/",
        "example.org",
        "https://",
        "https://?token",
        "https://us@example.org/",
        "https://u:p@idp/",
        "https://example.org#b",
        "https://example.org/#a",
        "https://[::1/",
        "https://a b/",
        "https://%ff%fe.example.org/",
        "https://a%01b/",
        "",
    };
    assert_each(urls, LEN(urls), "example.org,us", false);
    static char longer[8194] = "https://example.org/";
    memset(longer + strlen(longer), 'x', sizeof longer - 1 - strlen(longer));
    assert_false(callable(longer, ""));
    longer[8192] = '\0';
    assert_true(callable(longer, ""));
}

/* O-01: whoever wrote it is told which host, in the spelling that is meant. */
static void the_host_is_named(void **state)
{
    struct err err = {0};
    assert_false(http_url_callable("https://2130706433/secret-path", "", &err));
    assert_non_null(strstr(err.message, "127.0.0.1 is no address that may be called"));
    assert_null(strstr(err.message, "secret-path"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_inside_may_not_be_called_however_it_is_spelled),
        cmocka_unit_test(nor_may_this_machine_by_its_names),
        cmocka_unit_test(names_and_public_addresses_may_be_called),
        cmocka_unit_test(what_is_allowed_by_name_may_be_called_and_nothing_else),
        cmocka_unit_test(what_is_no_https_url_is_not_called_whoever_is_allowed),
        cmocka_unit_test(the_host_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
