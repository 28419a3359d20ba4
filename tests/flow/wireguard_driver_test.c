/* The wireguard driver against a node's real interface (DRAWBRIDGE_WIREGUARD_…, DRAWBRIDGE_RUN;
 * made by test_drivers.py with ops/wireguard-node).
 *
 * In front of the real `wg` stands a script that notes each call, and on request hangs, fails, or
 * carries out only the beginning: files <what>-<verb> in its folder ask for that. */
#include "test.h"

#include "core/clock.h"
#include "core/uuid.h"
#include "core/wgkey.h"
#include "drivers/client_config.h"
#include "support/asking.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MANY = 300 };

struct session {
    char id[UUID_TEXT], key[WGKEY_TEXT], address[46];
};

struct world {
    char folder[64], wg[64];
    uv_loop_t loop;
    struct conf conf;
    struct driver *d;
    struct session many[MANY];
};

static const char script[] =
    "#!/bin/sh\n"
    "dir=$(dirname \"$0\")\n"
    "echo \"$1 $(($# - 2))\" >> \"$dir/calls\"\n"
    "[ ! -e \"$dir/hang-$1\" ] || exec sleep 60\n"
    "if [ -e \"$dir/begin-$1\" ]; then\n"
    "    head -n \"$(cat \"$dir/begin-$1\")\" | WG addconf \"$2\" /dev/stdin\n"
    "    echo 'pretended failure' >&2; exit 1\n"
    "fi\n"
    "if [ -e \"$dir/fail-$1\" ]; then echo 'pretended failure' >&2; exit 1; fi\n"
    "exec WG \"$@\"\n";

static void file_write(const struct world *w, const char *name, const char *text, mode_t mode)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", w->folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void file_remove(const struct world *w, const char *name)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", w->folder, name);
    unlink(path);
}

/* First line of what a command prints. */
static void shell(char *out, size_t size, const char *format, ...)
{
    char command[512];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    if (!fgets(out, (int)size, p))
        out[0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    pclose(p);
}

/* How often wg was called with that verb since calls_forget. */
static int calls(const struct world *w, const char *verb)
{
    char n[32];
    shell(n, sizeof(n), "grep -c '^%s ' %s/calls 2>/dev/null", verb, w->folder);
    return (int)strtol(n, NULL, 10);
}

static void calls_forget(const struct world *w)
{
    file_remove(w, "calls");
}

/* Peers on the interface, by the real wg. */
static int peers_there(const struct world *w)
{
    char n[32];
    shell(n, sizeof(n), "ip netns exec %s %s show %s peers | wc -l", w->conf.wireguard_netns, w->wg,
          w->conf.wireguard_interface);
    return (int)strtol(n, NULL, 10);
}

static void allowed_ips(const struct world *w, const char *key, char *out, size_t size)
{
    shell(out, size, "ip netns exec %s %s show %s allowed-ips | grep -F '%s' | cut -f2",
          w->conf.wireguard_netns, w->wg, w->conf.wireguard_interface, key);
}

static struct session session_make(size_t n)
{
    struct session s;
    uint8_t id[UUID_BYTES];
    auto_secret struct secret *key = NULL;
    struct err err;
    uuid_random(id);
    uuid_format(id, s.id);
    if (!wgkey_generate(&key, s.key, &err))
        fail_msg("%s", err.message);
    snprintf(s.address, sizeof(s.address), "10.9.%zu.%zu", n / 200, n % 200 + 2);
    return s;
}

static struct driver_call call_of(enum effect_op op, const struct session *s)
{
    return (struct driver_call){.op = op,
                                .session_id = s->id,
                                .client_public_key = s->key,
                                .address = s->address,
                                .attempt = 1};
}

static struct answer one(struct world *w, struct driver_call c)
{
    struct answer a;
    ask(&driver_wireguard, w->d, &c, &a);
    if (!loop_until_here(&w->loop, &a, 1, 15000))
        fail_msg("no answer");
    return a;
}

/* All of the many at once; returns how many were answered with that kind. */
static int all(struct world *w, enum effect_op op, enum outcome_kind kind)
{
    static struct answer answers[MANY];
    int n = 0;
    for (size_t i = 0; i < MANY; i++) {
        struct driver_call c = call_of(op, &w->many[i]);
        ask(&driver_wireguard, w->d, &c, &answers[i]);
    }
    assert_true(loop_until_here(&w->loop, answers, MANY, 15000));
    for (size_t i = 0; i < MANY; i++)
        n += answers[i].kind == (int)kind;
    return n;
}

static int group_setup(void **state)
{
    static struct world w;
    char path[4096];
    struct err err = {0};
    char *interface = getenv("DRAWBRIDGE_WIREGUARD_INTERFACE");
    char *netns = getenv("DRAWBRIDGE_WIREGUARD_NETNS");
    char *endpoint = getenv("DRAWBRIDGE_WIREGUARD_ENDPOINT");
    if (!interface || !netns || !endpoint || !getenv("DRAWBRIDGE_RUN")) {
        print_error("DRAWBRIDGE_WIREGUARD_… and DRAWBRIDGE_RUN name the node to test with\n");
        return -1;
    }
    w.conf = (struct conf){
        .wireguard_interface = interface, .wireguard_netns = netns, .wireguard_endpoint = endpoint};
    if (!secret_init(&err))
        return -1;
    snprintf(w.folder, sizeof(w.folder), "/tmp/drawbridge-wg.XXXXXX");
    shell(w.wg, sizeof(w.wg), "command -v wg");
    if (!mkdtemp(w.folder) || !*w.wg)
        return -1;
    file_write(&w, "sed", script, 0600);
    shell(path, sizeof(path), "sed 's|WG|%s|' %s/sed > %s/wg; chmod 755 %s %s/wg", w.wg, w.folder,
          w.folder, w.folder, w.folder);
    snprintf(path, sizeof(path), "%s:%s", w.folder, getenv("PATH"));
    setenv("PATH", path, 1);
    for (size_t i = 0; i < MANY; i++)
        w.many[i] = session_make(i);
    *state = &w;
    return 0;
}

static int group_teardown(void **state)
{
    struct world *w = *state;
    char none[8];
    shell(none, sizeof(none), "rm -r %s", w->folder);
    return 0;
}

static int setup(void **state)
{
    static const char *const requests[] = {"hang-addconf", "begin-addconf", "fail-addconf",
                                           "hang-set",     "fail-set",      "fail-show"};
    struct world *w = *state;
    struct err err = {0};
    char none[8];
    for (size_t i = 0; i < LEN(requests); i++)
        file_remove(w, requests[i]);
    shell(none, sizeof(none),
          "for k in $(ip netns exec %s %s show %s peers); do "
          "ip netns exec %s %s set %s peer $k remove; done",
          w->conf.wireguard_netns, w->wg, w->conf.wireguard_interface, w->conf.wireguard_netns,
          w->wg, w->conf.wireguard_interface);
    calls_forget(w);
    uv_loop_init(&w->loop);
    w->d = driver_wireguard.open(&w->loop, &w->conf, &err);
    if (!w->d)
        print_error("%s\n", err.message);
    return w->d ? 0 : -1;
}

static int teardown(void **state)
{
    struct world *w = *state;
    driver_wireguard.close(&w->d);
    loop_finish(&w->loop);
    return 0;
}

/* V-20 */
static void three_hundred_creates_of_one_turn_are_one_call_of_wg(void **state)
{
    struct world *w = *state;
    char ips[64];
    assert_int_equal(all(w, EFFECT_CREATE, OUTCOME_OK), MANY);
    assert_int_equal(peers_there(w), MANY);
    assert_int_equal(calls(w, "addconf"), 1);
    assert_int_equal(calls(w, "show"), 1);
    allowed_ips(w, w->many[17].key, ips, sizeof(ips));
    assert_string_equal(ips, "10.9.0.19/32");
    calls_forget(w);
    assert_int_equal(all(w, EFFECT_DELETE, OUTCOME_OK), MANY);
    assert_int_equal(peers_there(w), 0);
    assert_int_equal(calls(w, "set"), 1);
}

/* V-20 */
static void an_outcome_tells_the_client_what_it_needs(void **state)
{
    struct world *w = *state;
    char key[WGKEY_TEXT + 1];
    struct answer a = one(w, call_of(EFFECT_CREATE, &w->many[0]));
    shell(key, sizeof(key), "ip netns exec %s %s show %s public-key", w->conf.wireguard_netns,
          w->wg, w->conf.wireguard_interface);
    assert_int_equal(a.kind, OUTCOME_OK);
    assert_string_equal(a.server_public_key, key);
    assert_string_equal(a.endpoint, w->conf.wireguard_endpoint);
    assert_string_equal(a.public_ip, "127.0.0.1");
    assert_true(a.port >= 1024);
    assert_int_equal(strncmp(a.instance_id, "wg:db", 5), 0);
    struct answer again = one(w, call_of(EFFECT_OBSERVE, &w->many[0]));
    assert_int_equal(again.kind, OUTCOME_OK);
    assert_string_equal(again.instance_id, a.instance_id);
}

/* H31 */
static void a_resumed_create_looks_first_and_leaves_alone_what_is_right(void **state)
{
    struct world *w = *state;
    struct driver_call c = call_of(EFFECT_CREATE, &w->many[0]);
    c.resumed = true;
    assert_int_equal(one(w, c).kind, OUTCOME_OK);
    assert_int_equal(calls(w, "addconf"), 1);
    calls_forget(w);
    assert_int_equal(one(w, c).kind, OUTCOME_OK);
    assert_int_equal(calls(w, "addconf"), 0);
    assert_int_equal(peers_there(w), 1);
}

static void deleting_an_absent_peer_is_fine_and_never_names_it_to_wg(void **state)
{
    struct world *w = *state;
    struct driver_call keyless = call_of(EFFECT_DELETE, &w->many[1]);
    keyless.client_public_key = NULL;
    assert_int_equal(one(w, call_of(EFFECT_DELETE, &w->many[0])).kind, OUTCOME_OK);
    assert_int_equal(one(w, keyless).kind, OUTCOME_OK);
    assert_int_equal(calls(w, "set"), 0);
    assert_int_equal(peers_there(w), 0);
}

static void a_peer_that_carries_another_sessions_address_is_not_removed(void **state)
{
    struct world *w = *state;
    struct session older = w->many[0];
    assert_int_equal(one(w, call_of(EFFECT_CREATE, &w->many[0])).kind, OUTCOME_OK);
    snprintf(older.address, sizeof(older.address), "10.9.77.77");
    assert_int_equal(one(w, call_of(EFFECT_DELETE, &older)).kind, OUTCOME_OK);
    assert_int_equal(peers_there(w), 1);
    assert_int_equal(one(w, call_of(EFFECT_DELETE, &w->many[0])).kind, OUTCOME_OK);
    assert_int_equal(peers_there(w), 0);
}

/* V-03 */
static void an_ipv6_address_works_too(void **state)
{
    struct world *w = *state;
    struct session s = w->many[0];
    char ips[64];
    snprintf(s.address, sizeof(s.address), "fd00:0::2");
    assert_int_equal(one(w, call_of(EFFECT_CREATE, &s)).kind, OUTCOME_OK);
    allowed_ips(w, s.key, ips, sizeof(ips));
    assert_string_equal(ips, "fd00::2/128");
    assert_int_equal(one(w, call_of(EFFECT_OBSERVE, &s)).kind, OUTCOME_OK);
}

static void a_call_that_is_not_valid_is_refused_and_harms_no_other(void **state)
{
    struct world *w = *state;
    struct answer a[3];
    struct driver_call calls_[] = {call_of(EFFECT_CREATE, &w->many[0]),
                                   call_of(EFFECT_CREATE, &w->many[1]),
                                   call_of(EFFECT_CREATE, &w->many[2])};
    calls_[0].client_public_key = "nonsense";
    calls_[2].address = "10.9.0.0/16";
    for (size_t i = 0; i < LEN(a); i++)
        ask(&driver_wireguard, w->d, &calls_[i], &a[i]);
    assert_true(loop_until_here(&w->loop, a, LEN(a), 5000));
    assert_int_equal(a[0].kind, OUTCOME_PERMANENT);
    assert_string_equal(a[0].code, "provider.refused");
    assert_int_equal(a[1].kind, OUTCOME_OK);
    assert_int_equal(a[2].kind, OUTCOME_PERMANENT);
    assert_int_equal(peers_there(w), 1);
}

static void when_wg_stops_in_the_middle_each_call_hears_what_is_really_there(void **state)
{
    struct world *w = *state;
    file_write(w, "begin-addconf", "300\n", 0644); /* 100 peers of 3 lines */
    assert_int_equal(all(w, EFFECT_CREATE, OUTCOME_OK), 100);
    assert_int_equal(peers_there(w), 100);
    file_remove(w, "begin-addconf");
    assert_int_equal(all(w, EFFECT_CREATE, OUTCOME_OK), MANY);
    file_write(w, "fail-set", "", 0644);
    assert_int_equal(all(w, EFFECT_DELETE, OUTCOME_TRANSIENT), MANY);
    file_remove(w, "fail-set");
    assert_int_equal(all(w, EFFECT_DELETE, OUTCOME_OK), MANY);
}

static void a_change_that_cannot_be_checked_is_uncertain_a_look_that_fails_is_not(void **state)
{
    struct world *w = *state;
    struct driver_call resumed = call_of(EFFECT_CREATE, &w->many[1]);
    resumed.resumed = true;
    file_write(w, "fail-show", "", 0644);
    struct answer a = one(w, call_of(EFFECT_CREATE, &w->many[0]));
    assert_int_equal(a.kind, OUTCOME_UNCERTAIN);
    assert_string_equal(a.code, "provider.timeout");
    assert_int_equal(one(w, call_of(EFFECT_DELETE, &w->many[0])).kind, OUTCOME_TRANSIENT);
    assert_int_equal(one(w, resumed).kind, OUTCOME_TRANSIENT);
}

static void a_wg_that_hangs_is_killed_after_ten_seconds(void **state)
{
    struct world *w = *state;
    int64_t began_us = clock_mono_now_us();
    file_write(w, "hang-addconf", "", 0644);
    struct answer a = one(w, call_of(EFFECT_CREATE, &w->many[0]));
    assert_int_equal(a.kind, OUTCOME_UNCERTAIN);
    assert_in_range(a.at_us - began_us, 9900000, 12000000);
    file_remove(w, "hang-addconf");
    assert_int_equal(one(w, call_of(EFFECT_CREATE, &w->many[0])).kind, OUTCOME_OK);
}

static void a_missing_interface_is_told_with_what_to_do(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    struct conf conf = w->conf;
    struct answer a[2];
    conf.wireguard_interface = (char *)"dbnone";
    struct driver *no_interface = driver_wireguard.open(&w->loop, &conf, &err);
    conf = w->conf;
    conf.wireguard_netns = (char *)"drawbridge-none";
    struct driver *no_namespace = driver_wireguard.open(&w->loop, &conf, &err);
    struct driver_call c = call_of(EFFECT_CREATE, &w->many[0]);
    ask(&driver_wireguard, no_interface, &c, &a[0]);
    ask(&driver_wireguard, no_namespace, &c, &a[1]);
    bool here = loop_until_here(&w->loop, a, LEN(a), 5000);
    driver_wireguard.close(&no_interface);
    driver_wireguard.close(&no_namespace);
    assert_true(here);
    assert_int_equal(a[0].kind, OUTCOME_TRANSIENT);
    assert_non_null(strstr(a[0].message, "wireguard_interface"));
    assert_int_equal(a[1].kind, OUTCOME_TRANSIENT);
    assert_non_null(strstr(a[1].message, "wireguard_netns"));
}

struct counted {
    bool here;
    size_t n;
    int64_t rx_bytes, handshake_ms; /* of the peer asked for */
    const char *key;
    char message[512], allowed[64];
    bool of_server;
};

static void on_counted(void *arg, const struct driver_reading *reading, const struct err *err)
{
    struct counted *c = arg;
    c->here = true;
    c->n = reading ? reading->n : 0;
    snprintf(c->message, sizeof(c->message), "%s", err ? err->message : "");
    for (size_t i = 0; i < c->n; i++)
        if (c->key && strcmp(reading->rows[i].client_public_key, c->key) == 0) {
            c->rx_bytes = reading->rows[i].rx_bytes;
            c->handshake_ms = reading->rows[i].handshake_ms;
            snprintf(c->allowed, sizeof(c->allowed), "%s", reading->rows[i].allowed_ips);
            c->of_server = *reading->server_public_key != '\0';
        }
}

static struct counted counters(struct world *w, const char *key)
{
    struct counted c = {.key = key};
    driver_wireguard.counters(w->d, on_counted, &c);
    for (int i = 0; i < 200 && !c.here; i++)
        loop_for(&w->loop, 10);
    assert_true(c.here);
    return c;
}

/* V-15 */
static void counters_of_all_peers_come_from_one_dump(void **state)
{
    struct world *w = *state;
    all(w, EFFECT_CREATE, OUTCOME_OK);
    calls_forget(w);
    struct counted c = counters(w, w->many[5].key);
    assert_int_equal(c.n, MANY);
    assert_int_equal(c.rx_bytes, 0);
    assert_true(c.of_server && strstr(c.allowed, "/32"));
    assert_int_equal(calls(w, "show"), 1);
    file_write(w, "fail-show", "", 0644);
    c = counters(w, NULL);
    assert_string_equal(c.message, "wg: pretended failure");
}

static void on_applied(void *arg, const struct err *err)
{
    snprintf(arg, 512, "%s", err ? err->message : "fine");
}

static void apply(struct world *w, char message[static 512], bool break_one)
{
    static struct driver_peer peers[MANY];
    for (size_t i = 0; i < MANY; i++)
        peers[i] = (struct driver_peer){w->many[i].key, w->many[i].address};
    if (break_one)
        peers[7].address = "nowhere";
    *message = '\0';
    driver_wireguard.apply(w->d, peers, MANY, on_applied, message);
    for (int i = 0; i < 500 && !*message; i++)
        loop_for(&w->loop, 10);
}

/* V-24 */
static void applying_again_brings_back_what_is_missing_and_leaves_the_rest(void **state)
{
    struct world *w = *state;
    char message[512], none[8], ips[64];
    apply(w, message, false);
    assert_string_equal(message, "fine");
    assert_int_equal(peers_there(w), MANY);
    calls_forget(w);
    apply(w, message, false);
    assert_string_equal(message, "fine");
    assert_int_equal(calls(w, "addconf"), 0);
    shell(none, sizeof(none),
          "ip netns exec %s %s set %s peer %s remove peer %s allowed-ips 10.9.9.9/32",
          w->conf.wireguard_netns, w->wg, w->conf.wireguard_interface, w->many[3].key,
          w->many[4].key);
    apply(w, message, false);
    assert_string_equal(message, "fine");
    assert_int_equal(peers_there(w), MANY);
    allowed_ips(w, w->many[4].key, ips, sizeof(ips));
    assert_string_equal(ips, "10.9.0.6/32");
}

static void a_peer_that_cannot_be_applied_is_told_and_the_others_are_there(void **state)
{
    struct world *w = *state;
    char message[512];
    apply(w, message, true);
    assert_int_equal(strncmp(message, "1 of 300 peers could not be applied", 35), 0);
    assert_int_equal(peers_there(w), MANY - 1);
}

static void after_close_nobody_is_called(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    struct answer a[2];
    struct driver *d = driver_wireguard.open(&w->loop, &w->conf, &err);
    struct driver_call c = call_of(EFFECT_CREATE, &w->many[0]);
    file_write(w, "hang-addconf", "", 0644);
    ask(&driver_wireguard, d, &c, &a[0]);
    loop_for(&w->loop, 100);
    c.client_public_key = "nonsense";
    ask(&driver_wireguard, d, &c, &a[1]);
    driver_wireguard.close(&d);
    loop_for(&w->loop, 200);
    assert_false(a[0].here || a[1].here);
}

/* V-22, V-S1: the rendered configuration loads with wg, and a client that loaded it gets through.
 * V-13: the counters of the peer come back with its removal. */
static void a_client_with_the_rendered_configuration_gets_through_the_tunnel(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    char path[160], said[512];
    struct session s = w->many[0];
    auto_secret struct secret *key = NULL;
    assert_true(wgkey_generate(&key, s.key, &err));
    snprintf(s.address, sizeof(s.address), "10.8.0.9");
    struct answer a = one(w, call_of(EFFECT_CREATE, &s));
    assert_int_equal(a.kind, OUTCOME_OK);
    struct client_config c = {.private_key = key,
                              .address = s.address,
                              .server_public_key = a.server_public_key,
                              .allowed_ips = "10.8.0.0/24",
                              .endpoint = a.endpoint,
                              .keepalive_s = 25};
    auto_secret struct secret *text = client_config_render(&c, &err);
    if (!text)
        fail_msg("%s", err.message);
    snprintf(path, sizeof(path), "%s/client.conf", w->folder);
    file_write(w, "client.conf", "", 0600);
    FILE *f = fopen(path, "w");
    fwrite(secret_view(text), 1, secret_size(text), f);
    fclose(f);
    shell(said, sizeof(said), "ops/wireguard-node client-up %s >/dev/null 2>&1 || echo failed",
          path);
    assert_string_equal(said, "");
    shell(said, sizeof(said),
          "ops/wireguard-node exec client ping -c 3 -i 0.2 -W 3 -q 10.8.0.1 >/dev/null 2>&1 || "
          "echo lost");
    struct counted counted = counters(w, s.key);
    struct answer gone = one(w, call_of(EFFECT_DELETE, &s));
    char none[8];
    shell(none, sizeof(none), "ops/wireguard-node client-down >/dev/null 2>&1");
    assert_string_equal(said, "");
    assert_true(counted.rx_bytes > 300);
    assert_true(counted.handshake_ms > 1600000000000);
    assert_int_equal(gone.kind, OUTCOME_OK);
    assert_true(gone.rx_bytes >= counted.rx_bytes);
    assert_true(gone.tx_bytes > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(three_hundred_creates_of_one_turn_are_one_call_of_wg),
        TEST(an_outcome_tells_the_client_what_it_needs),
        TEST(a_resumed_create_looks_first_and_leaves_alone_what_is_right),
        TEST(deleting_an_absent_peer_is_fine_and_never_names_it_to_wg),
        TEST(a_peer_that_carries_another_sessions_address_is_not_removed),
        TEST(an_ipv6_address_works_too),
        TEST(a_call_that_is_not_valid_is_refused_and_harms_no_other),
        TEST(when_wg_stops_in_the_middle_each_call_hears_what_is_really_there),
        TEST(a_change_that_cannot_be_checked_is_uncertain_a_look_that_fails_is_not),
        TEST(a_wg_that_hangs_is_killed_after_ten_seconds),
        TEST(a_missing_interface_is_told_with_what_to_do),
        TEST(counters_of_all_peers_come_from_one_dump),
        TEST(applying_again_brings_back_what_is_missing_and_leaves_the_rest),
        TEST(a_peer_that_cannot_be_applied_is_told_and_the_others_are_there),
        TEST(after_close_nobody_is_called),
        TEST(a_client_with_the_rendered_configuration_gets_through_the_tunnel),
    };
    return cmocka_run_group_tests_name("wireguard driver", tests, group_setup, group_teardown);
}
