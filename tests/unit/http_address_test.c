/* HAZARDS S1: which addresses may be called. */
#include "core/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "test.h"

static void addresses_are_global_or_not(void **state)
{
    static const struct {
        const char *text;
        bool global;
    } rows[] = {
        {"8.8.8.8", true},
        {"1.0.0.0", true},
        {"0.0.0.0", false},
        {"10.255.255.255", false},
        {"11.0.0.0", true},
        {"100.63.255.255", true},
        {"100.64.0.0", false},
        {"100.127.255.255", false},
        {"100.128.0.0", true},
        {"127.255.255.255", false},
        {"168.63.129.16", false},
        {"169.253.0.0", true},
        {"169.254.169.254", false},
        {"172.15.255.255", true},
        {"172.16.0.0", false},
        {"172.31.255.255", false},
        {"172.32.0.0", true},
        {"192.0.0.8", false},
        {"192.0.2.1", false},
        {"192.167.255.255", true},
        {"192.168.0.1", false},
        {"192.169.0.0", true},
        {"198.17.255.255", true},
        {"198.18.0.0", false},
        {"198.19.255.255", false},
        {"198.20.0.0", true},
        {"198.51.100.1", false},
        {"203.0.113.1", false},
        {"223.255.255.255", true},
        {"224.0.0.1", false},
        {"240.0.0.1", false},
        {"255.255.255.255", false},
        {"2606:4700::1111", true},
        {"2001:4860:4860::8888", true},
        {"::", false},
        {"::1", false},
        {"::127.0.0.1", false},
        {"::ffff:10.0.0.1", false},
        {"::ffff:8.8.8.8", true},
        {"64:ff9b::127.0.0.1", false},
        {"64:ff9b::8.8.8.8", true},
        {"64:ff9b:1::8.8.8.8", false},
        {"2002:7f00:1::", false},
        {"2002:808:808::", true},
        {"2001::1", false},
        {"2001:1ff::", false},
        {"2001:200::", true},
        {"2001:db8::1", false},
        {"3fff:1::", false},
        {"3fff:1000::", true},
        {"3ffe::", true},
        {"4000::", false},
        {"fc00::1", false},
        {"fd12:3456::1", false},
        {"fe80::1", false},
        {"fec0::1", false},
        {"ff02::1", false},
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        bool six = strchr(rows[i].text, ':');
        assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, rows[i].text,
                                   six ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr),
                         1);
        bool global = http_address_global(six ? (void *)&v6 : (void *)&v4);
        if (global != rows[i].global)
            fail_msg("%s", rows[i].text);
    }
    struct sockaddr other = {.sa_family = AF_UNIX};
    assert_false(http_address_global(&other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(addresses_are_global_or_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
