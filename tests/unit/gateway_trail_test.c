/* Those who follow the audit trail: positions, filters, the ring, and that nobody misses a record
 * or is told one twice, whatever way it comes. */
#include "gateway/follower.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

static void a_position_is_the_text_it_was_printed_as(void **state)
{
    static const char *const good[] = {"0", "17.0.412", "1.2.3.4.5.6", "999999999999999999"};
    static const char *const bad[] = {
        "", ".", "1.", ".1", "1..2", "01", "x", "-1", "1 ", "1,2", "1000000000000000000"};
    (void)state;
    for (size_t i = 0; i < LEN(good); i++) {
        struct position p = {0};
        auto_buf struct buf text;
        buf_init(&text, POSITION_TEXT);
        assert_true(position_parse(good[i], &p));
        position_print(&p, &text);
        assert_string_equal((char *)text.p, good[i]);
        position_done(&p);
    }
    for (size_t i = 0; i < LEN(bad); i++) {
        struct position p = {0};
        print_message("%s\n", bad[i]);
        assert_false(position_parse(bad[i], &p));
        assert_null(p.seq);
    }
}

static void a_position_has_no_more_shards_than_there_may_be(void **state)
{
    auto_buf struct buf text;
    struct position p = {0};
    (void)state;
    buf_init(&text, 4096);
    for (int i = 0; i < POSITION_SHARDS; i++)
        buf_str(&text, i ? ".1" : "1");
    assert_true(position_parse((char *)text.p, &p));
    position_done(&p);
    buf_str(&text, ".1");
    assert_false(position_parse((char *)text.p, &p));
}

static void a_filter_fits_what_it_names(void **state)
{
    const struct audit_facts facts = {"vpn.stop.success", "ada", "session/1", "success", "c-1"};
    const struct audit_facts bare = {"vpn.stop.success", NULL, "session/1", "success", NULL};
    static const struct {
        struct audit_filter filter;
        bool fits;
    } rows[] = {
        {{0}, true},
        {{.type = "vpn.stop.success"}, true},
        {{.type = "vpn.stop.*"}, true},
        {{.type = "vpn.*"}, true},
        {{.type = "vpn.st.*"}, false},
        {{.type = "vpn.stop"}, false},
        {{.type = "vpn.stop.success.*"}, false},
        {{.user = "ada", .outcome = "success"}, true},
        {{.user = "ada", .outcome = "failure"}, false},
        {{.user = "ad"}, false},
        {{.resource = "session/1", .correlation = "c-1"}, true},
        {{.correlation = "c-2"}, false},
    };
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("row %zu\n", i);
        assert_int_equal(audit_filter_fits(&rows[i].filter, &facts), rows[i].fits);
    }
    assert_false(audit_filter_fits(&(struct audit_filter){.user = "ada"}, &bare));
}

/* ---- histories: shards that grow, a ring that is short, readers that come and go ---- */

enum { SHARDS = 3, STEPS = 4000, READERS = 5 };

static uint32_t luck;

static uint32_t draw(uint32_t below)
{
    luck = luck * 1664525u + 1013904223u;
    return (luck >> 8) % below;
}

struct world {
    int64_t written[SHARDS];
    struct ring ring;
};

static const struct audit_facts some = {"a.b", "ada", "r/1", "success", NULL};

static bool hidden(int32_t shard, int64_t seq)
{
    return (seq * 7 + shard) % 5 == 0;
}

static const char *json_of(int32_t shard, int64_t seq, char out[64])
{
    snprintf(out, 64, "{\"n\":\"%d/%lld\"}", (int)shard, (long long)seq);
    return hidden(shard, seq) ? NULL : out;
}

static void tail(struct world *w)
{
    char json[64];
    for (int32_t s = 0; s < SHARDS; s++)
        for (int64_t n = position_of(&w->ring.head, s) + 1; n <= w->written[s]; n++)
            assert_true(ring_add(&w->ring, s, n, &some, json_of(s, n, json)));
}

/* A page of the database: rows behind the reader's position, in the order of each shard. */
static void page(const struct world *w, struct follower *f)
{
    char json[64];
    for (int rows = 0; rows < 5; rows++) {
        int32_t s = (int32_t)draw(SHARDS);
        int64_t n = position_of(&f->at, s) + 1;
        if (n <= w->written[s] && !follower_row(f, s, n, &some, json_of(s, n, json)))
            return;
    }
}

/* One client: the id of its last event, and what it was told of each shard. */
struct client {
    struct follower f;
    char last[POSITION_TEXT];
    int64_t told[SHARDS];
    char rest[65536];
    size_t n;
    bool open;
};

static void line(struct client *c, const char *text, char id[static POSITION_TEXT])
{
    int shard;
    long long seq;
    if (!strncmp(text, "id: ", 4)) {
        snprintf(id, POSITION_TEXT, "%s", text + 4);
    } else if (sscanf(text, "data: {\"n\":\"%d/%lld\"}", &shard, &seq) == 2) {
        int64_t next = c->told[shard] + 1;
        while (hidden(shard, next))
            next++;
        assert_int_equal(seq, next); /* none is missed, none comes twice */
        c->told[shard] = seq;
    }
}

/* Whole events only: a client that is cut off forgets half of one. */
static void fetch(struct client *c, size_t most)
{
    size_t n = follower_fetch(&c->f, c->rest + c->n, most);
    c->n += n;
    assert_true(c->n < sizeof c->rest - 4096);
    for (;;) {
        char *end = memmem(c->rest, c->n, "\n\n", 2), id[POSITION_TEXT] = "";
        if (!end)
            return;
        *end = 0;
        for (char *at = c->rest, *next; at; at = next) {
            next = strchr(at, '\n');
            if (next)
                *next++ = 0;
            line(c, at, id);
        }
        if (*id)
            snprintf(c->last, sizeof c->last, "%s", id);
        c->n -= (size_t)(end + 2 - c->rest);
        memmove(c->rest, end + 2, c->n);
    }
}

static void come(struct client *c)
{
    struct position at = {0};
    assert_true(position_parse(c->last, &at));
    follower_begin(&c->f, &(struct audit_filter){0}, &at);
    c->n = 0;
    c->open = true;
}

static void go(struct client *c)
{
    follower_done(&c->f);
    c->open = false;
}

static void step(struct world *w, struct client *c)
{
    if (!c->open) {
        come(c);
        return;
    }
    follower_pull(&c->f, &w->ring);
    if (!c->f.live)
        page(w, &c->f);
    if (draw(10) == 0)
        follower_heartbeat(&c->f);
    fetch(c, 1 + draw(300));
    if (draw(50) == 0)
        go(c);
}

static void finish(struct world *w, struct client *c)
{
    for (int i = 0; i < 100000; i++) {
        if (!c->open)
            come(c);
        follower_pull(&c->f, &w->ring);
        if (!c->f.live)
            page(w, &c->f);
        fetch(c, 4096);
        if (c->f.live && c->f.next == w->ring.end && !follower_ready(&c->f))
            break;
    }
    for (int32_t s = 0; s < SHARDS; s++) {
        int64_t last = w->written[s];
        while (last > 0 && hidden(s, last))
            last--;
        assert_int_equal(c->told[s], last);
    }
    go(c);
}

/* A gateway that starts anew knows nothing but where the shards are. */
static void restart(struct world *w)
{
    struct position head = {0};
    for (int32_t s = 0; s < SHARDS; s++)
        assert_true(position_set(&head, s, w->written[s]));
    assert_true(ring_begin(&w->ring, &head));
    position_done(&head);
}

static void nobody_misses_a_record_or_is_told_one_twice(void **state)
{
    static struct client clients[READERS];
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        struct world w = {0};
        print_message("seed %u\n", seed);
        luck = seed;
        memset(clients, 0, sizeof clients);
        for (size_t i = 0; i < READERS; i++)
            strcpy(clients[i].last, "0.0.0");
        restart(&w);
        for (int i = 0; i < STEPS; i++) {
            uint32_t what = draw(10);
            if (what < 2)
                w.written[draw(SHARDS)] += 1 + draw(4);
            else if (what == 2)
                tail(&w);
            else if (draw(400) == 0)
                restart(&w);
            else
                step(&w, &clients[draw(READERS)]);
        }
        tail(&w);
        for (size_t i = 0; i < READERS; i++)
            finish(&w, &clients[i]);
        ring_done(&w.ring);
    }
}

static void the_ring_is_bounded_and_its_floor_rises(void **state)
{
    struct ring ring = {0};
    struct position none = {0}, read = {0};
    auto_free char *large = malloc(60001);
    (void)state;
    assert_non_null(large);
    memset(large, 'x', 60000);
    large[60000] = 0;
    assert_true(ring_begin(&ring, &none));
    for (int i = 1; i <= 3 * RING_RECORDS; i++)
        assert_true(ring_add(&ring, 0, i, &some, "{}"));
    assert_int_equal(ring.end - ring.first, RING_RECORDS);
    assert_int_equal(position_of(&ring.floor, 0), 2 * RING_RECORDS);
    for (int i = 1; i <= 400; i++)
        assert_true(ring_add(&ring, 1, i, &some, large));
    assert_true(ring.bytes <= RING_BYTES);
    assert_true(position_set(&read, 0, 3 * RING_RECORDS));
    assert_false(position_covers(&read, &ring.floor));
    assert_null(ring_at(&ring, ring.first - 1));
    assert_null(ring_at(&ring, ring.end));
    assert_non_null(ring_at(&ring, ring.first));
    ring_done(&ring);
    position_done(&read);
}

static void what_is_ready_for_one_who_fetches_nothing_is_bounded(void **state)
{
    struct ring ring = {0};
    struct position none = {0}, at = {0};
    struct follower f;
    char text[1001];
    (void)state;
    memset(text, 'x', 1000);
    text[1000] = 0;
    assert_true(ring_begin(&ring, &none));
    follower_begin(&f, &(struct audit_filter){0}, &at);
    for (int i = 1; i <= 1000; i++) {
        assert_true(ring_add(&ring, 0, i, &some, text));
        follower_pull(&f, &ring);
        follower_heartbeat(&f);
    }
    assert_true(f.out.n < FOLLOWER_FILL + 2000);
    follower_end(&f, "stopping");
    follower_end(&f, "revoked");
    assert_non_null(memmem(f.out.p, f.out.n, "stopping", 8));
    assert_null(memmem(f.out.p, f.out.n, "revoked", 7));
    assert_false(follower_row(&f, 0, 5000, &some, "{}"));
    follower_done(&f);
    ring_done(&ring);
}

static void rows_that_are_gone_keep_nobody_behind(void **state)
{
    struct ring ring = {0};
    struct position head = {0}, at = {0};
    struct follower f;
    (void)state;
    assert_true(position_set(&head, 1, 100));
    assert_true(ring_begin(&ring, &head));
    follower_begin(&f, &(struct audit_filter){0}, &at);
    follower_pull(&f, &ring);
    assert_false(f.live);
    follower_raise(&f, &ring.floor);
    follower_pull(&f, &ring);
    assert_true(f.live);
    follower_done(&f);
    ring_done(&ring);
    position_done(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_position_is_the_text_it_was_printed_as),
        cmocka_unit_test(a_position_has_no_more_shards_than_there_may_be),
        cmocka_unit_test(a_filter_fits_what_it_names),
        cmocka_unit_test(nobody_misses_a_record_or_is_told_one_twice),
        cmocka_unit_test(the_ring_is_bounded_and_its_floor_rises),
        cmocka_unit_test(rows_that_are_gone_keep_nobody_behind),
        cmocka_unit_test(what_is_ready_for_one_who_fetches_nothing_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
