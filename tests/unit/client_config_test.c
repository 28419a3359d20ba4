/* V-02, V-22 */
#include "test.h"

#include "core/wgkey.h"
#include "drivers/client_config.h"

#include <string.h>

#define SERVER "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="

static struct client_config config(void)
{
    return (struct client_config){
        .address = "10.8.0.2",
        .dns_servers = "10.8.0.1",
        .server_public_key = SERVER,
        .allowed_ips = "0.0.0.0/0, ::/0",
        .endpoint = "203.0.113.1:51820",
        .keepalive_s = 25,
    };
}

static void is_text(struct secret *s, const char *want)
{
    assert_non_null(s);
    assert_int_equal(secret_size(s), strlen(want));
    assert_memory_equal(secret_view(s), want, strlen(want));
}

static void a_configuration_has_every_line_a_client_needs(void **state)
{
    uint8_t bytes[WGKEY_BYTES] = {0};
    auto_secret struct secret *key = secret_copy(bytes, sizeof(bytes), NULL);
    struct client_config c = config();
    struct err err = {0};
    c.private_key = key;
    auto_secret struct secret *text = client_config_render(&c, &err);
    is_text(text, "[Interface]\n"
                  "PrivateKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
                  "Address = 10.8.0.2/32\n"
                  "DNS = 10.8.0.1\n"
                  "\n"
                  "[Peer]\n"
                  "PublicKey = " SERVER "\n"
                  "AllowedIPs = 0.0.0.0/0, ::/0\n"
                  "Endpoint = 203.0.113.1:51820\n"
                  "PersistentKeepalive = 25\n");
}

static void a_client_with_its_own_key_is_told_where_to_put_it(void **state)
{
    struct client_config c = config();
    struct err err = {0};
    c.address = "fd00::2/64,10.8.0.2/24";
    c.dns_servers = "";
    c.keepalive_s = 0;
    c.endpoint = "[2001:db8::1]:51820";
    auto_secret struct secret *text = client_config_render(&c, &err);
    is_text(text, "[Interface]\n"
                  "# PrivateKey = the private key that belongs to the public key you sent.\n"
                  "# Put it here: it never left your machine, so nobody else can.\n"
                  "Address = fd00::2/64, 10.8.0.2/24\n"
                  "\n"
                  "[Peer]\n"
                  "PublicKey = " SERVER "\n"
                  "AllowedIPs = 0.0.0.0/0, ::/0\n"
                  "Endpoint = [2001:db8::1]:51820\n");
}

static void refused(struct client_config c, const char *about)
{
    struct err err = {0};
    auto_secret struct secret *text = client_config_render(&c, &err);
    if (text)
        fail_msg("rendered in spite of %s", about);
    assert_int_equal(err.code, ERR_BAD_INPUT);
    if (!strstr(err.message, about))
        fail_msg("\"%s\" does not name %s", err.message, about);
}

#define BAD(about, field, value)                                                                   \
    do {                                                                                           \
        struct client_config c_ = config();                                                        \
        c_.field = (value);                                                                        \
        refused(c_, (about));                                                                      \
    } while (0)

static void every_field_that_is_not_valid_is_refused_by_name(void **state)
{
    auto_secret struct secret *short_key = secret_new(31, NULL);
    BAD("private key", private_key, short_key);
    BAD("address", address, NULL);
    BAD("address", address, "");
    BAD("address", address, "10.8.0.2/33");
    BAD("address", address, "10.8.0.2\nPostUp = touch /tmp/x");
    BAD("DNS", dns_servers, "10.8.0.1/32");
    BAD("DNS", dns_servers, "10.8.0.1,");
    BAD("public key", server_public_key, NULL);
    BAD("public key", server_public_key, "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTm0=x");
    BAD("allowed IPs", allowed_ips, NULL);
    BAD("allowed IPs", allowed_ips, "0.0.0.0/0 ::/0");
    BAD("allowed IPs", allowed_ips, "0.0.0.0");
    BAD("endpoint", endpoint, NULL);
    BAD("endpoint", endpoint, "203.0.113.1");
    BAD("endpoint", endpoint, "2001:db8::1:51820");
    BAD("keepalive", keepalive_s, 65536);
    BAD("keepalive", keepalive_s, -1);
}

static void a_configuration_that_grows_too_long_is_refused(void **state)
{
    static char networks[20000];
    struct client_config c = config();
    for (size_t n = 0; n + 12 < sizeof(networks); n += 12)
        memcpy(networks + n, "10.0.0.0/32,", 12);
    networks[sizeof(networks) / 12 * 12 - 13] = '\0';
    c.allowed_ips = networks;
    refused(c, "longer");
}

static int setup(void **state)
{
    return secret_init(NULL) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_has_every_line_a_client_needs),
        cmocka_unit_test(a_client_with_its_own_key_is_told_where_to_put_it),
        cmocka_unit_test(every_field_that_is_not_valid_is_refused_by_name),
        cmocka_unit_test(a_configuration_that_grows_too_long_is_refused),
    };
    return cmocka_run_group_tests_name("client_config", tests, setup, NULL);
}
