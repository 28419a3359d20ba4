/* wireguard — sessions are peers of a node's interface, driven through `wg` (V-20).
 *
 * Three kinds of work, each with one process at a time; calls that arrive meanwhile make its next
 * batch. The steps of a batch:
 *
 *   add     [look] -> addconf -> check      look only for resumed calls and for apply (H31): what
 *                                           is right already is left alone, its traffic undisturbed
 *   remove  look -> set … remove -> [check] check only when the set failed
 *   read    look
 *
 * look and check are one `wg show dump` for the whole batch. `wg` is not atomic: after a failure
 * some peers may be done and others not, so each call is answered by what the dump shows, never by
 * what was asked. A peer that is absent is never removed, because removing it would make it first
 * (PROTOCOLS §7); a peer that carries another session's address is not ours to remove. */
#include "drivers/driver.h"

#include "core/buf.h"
#include "core/wgkey.h"
#include "drivers/endpoint.h"
#include "drivers/wg_command.h"
#include "drivers/wg_dump.h"
#include "drivers/wg_item.h"
#include "drivers/wg_spawn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define REMOVES_MAX 500 /* keys on one command line */
#define CONFIG_BYTES_MAX ((size_t)256 << 20)

enum kind { ADD, REMOVE, READ, KINDS };
enum step { IDLE, LOOK, ACT, CHECK };

struct work {
    struct driver *d;
    enum kind kind;
    enum step step;
    struct wg_queue waiting, running;
    struct wg_spawn *spawn;
    struct wg_dump dump;
    struct wg_item *next_remove; /* the first of the running that no set has named yet */
    struct err why;              /* what failed in this batch */
    bool uncertain;              /* … and nobody knows whether it happened */
};

struct driver {
    uv_loop_t *loop;
    struct wg_where where;
    char endpoint[280], public_ip[INET6_ADDRSTRLEN];
    int port;
    char server_key[WGKEY_TEXT]; /* as the last dump showed it */
    uv_idle_t turn;              /* runs once after a turn in which something was asked */
    struct wg_queue refused;
    struct work works[KINDS];
    bool closing;
};

static void work_go(struct work *w);

/* ---- items */

/* Nothing that is not valid goes any further: `wg` stops at the first bad line of a batch. */
static bool key_set(struct wg_wanted *p, const char *key, struct err *err)
{
    uint8_t raw[WGKEY_BYTES];
    if (!key || !wgkey_decode(key, raw))
        return err_set(err, ERR_PROVIDER_REFUSED, "the client's public key is not valid");
    snprintf(p->key, sizeof(p->key), "%s", key);
    return true;
}

static bool address_set(struct wg_wanted *p, const char *address, struct err *err)
{
    struct network n;
    if (!address || !address_parse(address, strlen(address), &n))
        return err_set(err, ERR_PROVIDER_REFUSED, "the client's address is not valid");
    inet_ntop(n.family, n.address, p->address, sizeof(p->address));
    return true;
}

/* ---- answers */

static void instance_id(const struct driver *d, const char *key, char *out, size_t size)
{
    uint8_t hash[crypto_generichash_BYTES_MIN];
    char hex[17];
    crypto_generichash(hash, sizeof(hash), (const uint8_t *)key, strlen(key), NULL, 0);
    snprintf(out, size, "wg:%s:%s", d->where.interface, sodium_bin2hex(hex, sizeof(hex), hash, 8));
}

static void answer_ok(const struct driver *d, const struct wg_item *i)
{
    char id[48];
    struct outcome o = {.kind = OUTCOME_OK, .rx_bytes = i->rx_bytes, .tx_bytes = i->tx_bytes};
    if (i->op != EFFECT_DELETE) {
        instance_id(d, i->peers[0].key, id, sizeof(id));
        o.instance_id = id;
        o.server_public_key = d->server_key;
        o.endpoint = d->endpoint;
        o.public_ip = *d->public_ip ? d->public_ip : NULL;
        o.port = d->port;
    }
    i->done(i->arg, &o);
}

/* answered: the interface is there, and did not do this. */
static void answer_failed(const struct wg_item *i, const struct err *why, bool uncertain,
                          bool answered)
{
    struct outcome o = {.kind = OUTCOME_TRANSIENT,
                        .rx_bytes = -1,
                        .tx_bytes = -1,
                        .code = err_name(ERR_PROVIDER_FAILED),
                        .message = why->message,
                        .answered = answered};
    if (uncertain) {
        o.kind = OUTCOME_UNCERTAIN;
        o.code = err_name(ERR_PROVIDER_TIMEOUT);
    } else if (err_class(why->code) == CLASS_PERMANENT) {
        o.kind = OUTCOME_PERMANENT;
        o.code = err_name(why->code);
    }
    i->done(i->arg, &o);
}

static void answer_applied(const struct wg_item *i, const struct err *why)
{
    struct err err = {0};
    size_t missing = wg_item_missing(i);
    const struct err *reason = i->refused.code ? &i->refused : why;
    if (missing)
        err_set(&err, ERR_PROVIDER_FAILED, "%zu of %zu peers could not be applied%s%s", missing,
                i->npeers, reason->code ? ": " : "", reason->message);
    i->applied(i->arg, missing ? &err : NULL);
}

static void answer_counted(const struct wg_item *i, const struct wg_dump *dump,
                           const struct err *why)
{
    struct err err = *why;
    auto_free struct driver_counter *rows = calloc(dump->npeers + 1, sizeof(*rows));
    if (!rows)
        err_set(&err, ERR_NO_MEMORY, "counters of %zu peers", dump->npeers);
    for (size_t k = 0; rows && k < dump->npeers; k++) {
        const struct wg_peer *p = &dump->peers[k];
        rows[k] = (struct driver_counter){.client_public_key = p->public_key,
                                          .allowed_ips = p->allowed_ips,
                                          .rx_bytes = p->rx_bytes,
                                          .tx_bytes = p->tx_bytes,
                                          .handshake_ms = p->handshake_s * 1000};
    }
    const struct driver_reading reading = {dump->public_key, rows, dump->npeers};
    if (err.code)
        i->counted(i->arg, NULL, &err);
    else
        i->counted(i->arg, &reading, NULL);
}

static void answer(const struct work *w, const struct wg_item *i)
{
    static const struct err not_there = {ERR_PROVIDER_FAILED,
                                         "the interface does not have the peer"};
    if (i->counted)
        answer_counted(i, &w->dump, &w->why);
    else if (i->applied)
        answer_applied(i, &w->why);
    else if (i->peers[0].there == (i->op != EFFECT_DELETE))
        answer_ok(w->d, i);
    else
        answer_failed(i, w->why.code ? &w->why : &not_there, w->uncertain, !w->why.code);
}

/* Ends the batch; the next one starts at once. */
static void finish(struct work *w)
{
    struct wg_queue ended;
    wg_queue_move(&w->running, &ended);
    for (struct wg_item *i; !w->d->closing && (i = wg_queue_get(&ended)); free(i))
        answer(w, i);
    wg_queue_done(&ended);
    wg_dump_done(&w->dump);
    err_clear(&w->why);
    w->uncertain = false;
    w->step = IDLE;
    if (!w->d->closing)
        work_go(w);
}

/* ---- running wg */

static void on_dump(void *arg, const struct wg_result *r);
static void on_added(void *arg, const struct wg_result *r);
static void on_removed(void *arg, const struct wg_result *r);

/* false: it did not start, and why says so. */
static bool spawn(struct work *w, const char *const *argv, struct bytes in, wg_spawn_done *done)
{
    w->spawn = wg_spawn_start(w->d->loop, argv, in, done, w, &w->why);
    if (!w->spawn)
        wg_explain(&w->d->where, &w->why);
    return w->spawn != NULL;
}

static bool dump(struct work *w, enum step step)
{
    const char *argv[WG_COMMAND_ARGS + 2] = {0};
    size_t n = wg_command(&w->d->where, "show", argv);
    argv[n] = "dump";
    w->step = step;
    return spawn(w, argv, (struct bytes){0}, on_dump);
}

/* ---- add */

static void put_peer(struct buf *config, const struct wg_wanted *p)
{
    bool v6 = strchr(p->address, ':') != NULL;
    buf_printf(config, "[Peer]\nPublicKey = %s\nAllowedIPs = %s/%d\n", p->key, p->address,
               v6 ? 128 : 32);
}

static bool add(struct work *w)
{
    const char *argv[WG_COMMAND_ARGS + 2] = {0};
    auto_buf struct buf config;
    buf_init(&config, CONFIG_BYTES_MAX);
    for (const struct wg_item *i = w->running.first; i; i = i->next)
        for (size_t k = 0; k < i->npeers; k++)
            if (!i->peers[k].there && *i->peers[k].key)
                put_peer(&config, &i->peers[k]);
    if (!buf_ok(&config))
        return err_set(&w->why, ERR_NO_MEMORY, "the peers of a batch");
    if (!config.n)
        return false;
    size_t n = wg_command(&w->d->where, "addconf", argv);
    argv[n] = "/dev/stdin";
    w->step = ACT;
    return spawn(w, argv, (struct bytes){config.p, config.n}, on_added);
}

static void on_added(void *arg, const struct wg_result *r)
{
    struct work *w = arg;
    w->spawn = NULL;
    w->why = r->err;
    if (r->err.code) {
        wg_explain(&w->d->where, &w->why);
        w->uncertain = r->err.code == ERR_PROVIDER_TIMEOUT;
    }
    if (w->uncertain || !dump(w, CHECK))
        finish(w);
}

/* ---- remove */

/* The next keys that are there; false when none is left. */
static bool remove_some(struct work *w)
{
    const char *argv[WG_COMMAND_ARGS + 3 * REMOVES_MAX + 1] = {0};
    size_t n = wg_command(&w->d->where, "set", argv), keys = 0;
    for (; w->next_remove && keys < REMOVES_MAX; w->next_remove = w->next_remove->next) {
        if (!w->next_remove->peers[0].there)
            continue;
        argv[n++] = "peer";
        argv[n++] = w->next_remove->peers[0].key;
        argv[n++] = "remove";
        keys++;
    }
    w->step = ACT;
    return keys && spawn(w, argv, (struct bytes){0}, on_removed);
}

static void on_removed(void *arg, const struct wg_result *r)
{
    struct work *w = arg;
    w->spawn = NULL;
    if (r->err.code) {
        w->why = r->err;
        wg_explain(&w->d->where, &w->why);
        w->uncertain = r->err.code == ERR_PROVIDER_TIMEOUT;
        if (w->uncertain || !dump(w, CHECK))
            finish(w);
        return;
    }
    for (struct wg_item *i = w->running.first; i != w->next_remove; i = i->next)
        i->peers[0].there = false;
    if (!remove_some(w))
        finish(w);
}

/* ---- look and check */

static bool is_there(const struct work *w, const struct wg_peer *found, const struct wg_wanted *p)
{
    if (!found)
        return false;
    if (w->kind == REMOVE)
        return !*p->address || !*found->allowed_ips || wg_peer_has(found, p->address);
    return wg_peer_has(found, p->address);
}

static void compare(struct work *w)
{
    for (struct wg_item *i = w->running.first; i; i = i->next)
        for (size_t k = 0; k < i->npeers; k++) {
            struct wg_wanted *p = &i->peers[k];
            const struct wg_peer *found = *p->key ? wg_dump_find(&w->dump, p->key) : NULL;
            p->there = is_there(w, found, p);
            if (w->kind == REMOVE && w->step == LOOK && p->there) {
                i->rx_bytes = found->rx_bytes;
                i->tx_bytes = found->tx_bytes;
            }
        }
}

static void after_look(struct work *w)
{
    w->next_remove = w->running.first;
    bool going = w->kind == ADD ? add(w) : w->kind == REMOVE && remove_some(w);
    if (!going)
        finish(w);
}

static bool dump_read(struct work *w, const struct wg_result *r, struct err *err)
{
    wg_dump_done(&w->dump);
    if (r->err.code) {
        *err = r->err;
        wg_explain(&w->d->where, err);
        return false;
    }
    if (!wg_dump_parse(r->out, r->n, &w->dump, err))
        return false;
    memcpy(w->d->server_key, w->dump.public_key, sizeof(w->d->server_key));
    return *w->d->server_key || w->kind != ADD ||
           err_set(err, ERR_PROVIDER_FAILED, "interface %s has no private key",
                   w->d->where.interface);
}

static void on_dump(void *arg, const struct wg_result *r)
{
    struct work *w = arg;
    struct err err = {0};
    w->spawn = NULL;
    if (!dump_read(w, r, &err)) {
        /* A change that went well and cannot be checked may have happened; a look changes nothing.
         */
        w->uncertain = w->step == CHECK && !w->why.code;
        if (!w->why.code)
            w->why = err;
        finish(w);
        return;
    }
    compare(w);
    if (w->step == LOOK)
        after_look(w);
    else
        finish(w);
}

static bool any_looks_first(const struct work *w)
{
    for (const struct wg_item *i = w->running.first; i; i = i->next)
        if (i->look_first)
            return true;
    return false;
}

static void work_go(struct work *w)
{
    if (w->step != IDLE || !w->waiting.first)
        return;
    wg_queue_move(&w->waiting, &w->running);
    bool going = w->kind == ADD && !any_looks_first(w) ? add(w) : dump(w, LOOK);
    if (!going)
        finish(w);
}

/* ---- for callers */

static void on_turn(uv_idle_t *idle)
{
    struct driver *d = idle->data;
    struct wg_queue refused;
    uv_idle_stop(idle);
    wg_queue_move(&d->refused, &refused);
    for (struct wg_item *i; !d->closing && (i = wg_queue_get(&refused)); free(i)) {
        if (i->refused.code)
            answer_failed(i, &i->refused, false, true);
        else
            answer_ok(d, i);
    }
    wg_queue_done(&refused);
    for (size_t k = 0; k < KINDS && !d->closing; k++)
        work_go(&d->works[k]);
}

static void enqueue(struct driver *d, enum kind kind, struct wg_item *i)
{
    wg_queue_put(&d->works[kind].waiting, i);
    uv_idle_start(&d->turn, on_turn);
}

/* Answered at the end of the turn, without any work. */
static void answer_later(struct driver *d, struct wg_item *i)
{
    wg_queue_put(&d->refused, i);
    uv_idle_start(&d->turn, on_turn);
}

static void wireguard_call(struct driver *d, const struct driver_call *c, driver_wanted *wanted,
                           driver_done *done, void *arg)
{
    (void)wanted; /* made within this turn, or right after the batch that runs */
    struct wg_item *i = wg_item_new(1, arg);
    struct wg_wanted *p = &i->peers[0];
    i->op = c->op;
    i->done = done;
    i->look_first = c->resumed;
    if (c->op == EFFECT_DELETE) {
        /* Without a valid key there never was a peer; without an address the key decides. */
        bool known = key_set(p, c->client_public_key, NULL);
        (void)!address_set(p, c->address, NULL);
        p->there = true; /* until a dump shows that it is not */
        if (known)
            enqueue(d, REMOVE, i);
        else
            answer_later(d, i);
        return;
    }
    if (key_set(p, c->client_public_key, &i->refused) && address_set(p, c->address, &i->refused))
        enqueue(d, c->op == EFFECT_CREATE ? ADD : READ, i);
    else
        answer_later(d, i);
}

static void wireguard_counters(struct driver *d, driver_counters_done *done, void *arg)
{
    struct wg_item *i = wg_item_new(0, arg);
    i->counted = done;
    enqueue(d, READ, i);
}

static void wireguard_apply(struct driver *d, const struct driver_peer *peers, size_t n,
                            driver_applied *done, void *arg)
{
    struct wg_item *i = wg_item_new(n, arg);
    i->applied = done;
    i->look_first = true;
    for (size_t k = 0; k < n; k++)
        if (!address_set(&i->peers[k], peers[k].address, &i->refused) ||
            !key_set(&i->peers[k], peers[k].client_public_key, &i->refused))
            continue; /* without a key it stays missing, and the answer says so */
    enqueue(d, ADD, i);
}

/* ---- life */

static void on_closed(uv_handle_t *h)
{
    struct driver *d = h->data;
    wg_queue_done(&d->refused);
    for (size_t k = 0; k < KINDS; k++) {
        wg_queue_done(&d->works[k].waiting);
        wg_queue_done(&d->works[k].running);
        wg_dump_done(&d->works[k].dump);
    }
    free(d);
}

/* May be called by a done(), from deep inside: memory is released only by on_closed. */
static void wireguard_close(struct driver **dp)
{
    struct driver *d = take(*dp);
    if (!d)
        return;
    d->closing = true;
    for (size_t k = 0; k < KINDS; k++)
        wg_spawn_stop(&d->works[k].spawn);
    uv_close((uv_handle_t *)&d->turn, on_closed);
}

static bool configure(struct driver *d, const struct conf *conf, struct err *err)
{
    struct endpoint e;
    if (!wg_where_set(&d->where, conf->wireguard_interface, conf->wireguard_netns, err))
        return false;
    if (!endpoint_parse(conf->wireguard_endpoint, &e))
        return err_set(err, ERR_CONF_INVALID, "wireguard_endpoint: not host:port");
    snprintf(d->endpoint, sizeof(d->endpoint), "%s", conf->wireguard_endpoint);
    if (e.is_address)
        snprintf(d->public_ip, sizeof(d->public_ip), "%.*s", (int)sizeof(d->public_ip) - 1, e.host);
    d->port = e.port;
    return true;
}

static struct driver *wireguard_open(uv_loop_t *loop, const struct conf *conf, struct err *err)
{
    auto_free struct driver *d = calloc(1, sizeof(*d));
    if (!d) {
        err_set(err, ERR_NO_MEMORY, "wireguard driver");
        return NULL;
    }
    if (!configure(d, conf, err))
        return NULL;
    d->loop = loop;
    wg_queue_init(&d->refused);
    for (enum kind k = ADD; k < KINDS; k++) {
        d->works[k].d = d;
        d->works[k].kind = k;
        wg_queue_init(&d->works[k].waiting);
        wg_queue_init(&d->works[k].running);
    }
    uv_idle_init(loop, &d->turn); /* cannot fail */
    d->turn.data = d;
    return take(d);
}

const struct driver_type driver_wireguard = {
    .name = "wireguard",
    .sees_traffic = true,
    .open = wireguard_open,
    .call = wireguard_call,
    .counters = wireguard_counters,
    .apply = wireguard_apply,
    .close = wireguard_close,
};
