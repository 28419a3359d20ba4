/* engine — carries commands from Kafka to one committed outcome (DESIGN: The way of one command).
 *
 * A worker hands it a table of command types and a few hooks; the engine does the rest: intake in
 * batches, envelope and schema, inbox, lanes, one transaction per batch with the positions in it,
 * publishing from the ledger, delay tiers, dead letters, and shard reset as the one recovery.
 *
 * Everything a hook gets lives in the batch's arena and ends with the batch. Hooks never block. */
#pragma once

#include "core/arena.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/command.h"
#include "core/conf.h"
#include "core/err.h"
#include "core/log.h"
#include "core/pg.h"
#include "core/problem.h"
#include "core/retry.h"
#include "core/table.h"

#include <uv.h>

struct engine;
struct shard;
struct batch;
struct lane;

/* ---- what a worker declares ---------------------------------------------------------------- */

struct command_type {
    const char *name;          /* "session.start" */
    const char *subject_noun;  /* "session": ce_subject must be noun/<subject field> */
    const char *subject_field; /* "sessionId" */
    const char *key_field;     /* "userId": must equal the record's key */
    const struct policy *policy;
    bool internal; /* made by the worker itself; refused from the topic */
};

/* ---- what is decided ----------------------------------------------------------------------- */

enum item_kind {
    ITEM_RECORD,   /* from the main topic */
    ITEM_TICKET,   /* a retry tier's ticket is due */
    ITEM_RESUME,   /* a timed row is due, or a predecessor left an open effect (resumed) */
    ITEM_OUTCOME,  /* an effect came back; blob is the worker's */
    ITEM_FOLLOWER, /* its lane came free */
    ITEM_DUE,      /* made by the worker from a row; blob is the worker's; no inbox, no pending */
};

/* Why the engine comes back to a row that waits, out of turn. A worker that cannot do it for this
 * row answers VERDICT_NONE: the row stays as it is (but for one that is too late: it dies). */
enum item_call {
    CALL_NONE,
    CALL_EXPIRED,   /* no further try: its deadline has passed */
    CALL_CANCELLED, /* no further try: it was called off */
    CALL_NUDGED,    /* somebody changed the resource, or waits behind it (worker_ops.gives_way):
                     * look whether it still has to wait */
};

enum pending_state {
    PENDING_EFFECT,
    PENDING_TIER,
    PENDING_TIMED,
    PENDING_SCHEDULED,
    PENDING_FOLLOWER,
    PENDING_HELD,
    PENDING_STATES
};

/* A row of pending. */
struct pending {
    int shard;
    const char *subject; /* the lane */
    int64_t pos;
    uint8_t digest[16];
    int64_t day;
    const char *command_id, *type;
    enum pending_state state;
    bool compensating;
    int attempt;
    int64_t due_ms, accepted_ms, first_failed_ms;
    const char *error_code, *error_class, *error_message;
    const char *held_by; /* PENDING_HELD: "dead:<dead letter>", "breaker:<dependency>", … */
    int64_t expires_ms;  /* looked for while it waits; 0: never */
    int64_t replay_of;   /* the dead letter; 0: none */
    const char *topic;
    int32_t partition;
    int64_t record_offset, record_ms;
    struct bytes key, headers, value;
    bool taken;                   /* the engine's: an item of this batch already */
    bool gone;                    /* the engine's: deleted by this batch */
    enum pending_state state_was; /* the engine's: as it was read */
    const char *held_was;         /* likewise */
};

enum verdict_kind {
    VERDICT_NONE, /* ITEM_DUE: nothing to do. Anything else: a bug, dead-lettered */
    VERDICT_DONE,
    VERDICT_REFUSED,
    VERDICT_CANCELLED,
    VERDICT_DEAD,     /* with `failure`, or what the pending row remembers */
    VERDICT_EFFECT,   /* settle as pending, then start `effect` */
    VERDICT_RETRY,    /* by policy, or after retry_after_ms when that is set */
    VERDICT_POLL,     /* look again at due_ms; costs no attempt */
    VERDICT_LANE,     /* behind the open work of subject `lane`, which may be its own */
    VERDICT_HANDOVER, /* another worker will end it */
};

struct verdict {
    enum verdict_kind kind;
    int64_t due_ms, retry_after_ms;
    const char *lane;
    bool compensating; /* VERDICT_EFFECT: from now on attempts count by undo_delays_ms */
    bool keep_failure; /* remember `failure` in the row (why it is being undone) */
    struct err failure;
    int attempts; /* VERDICT_DEAD: tries to tell of; 0: those of this phase */
    void *effect; /* VERDICT_EFFECT: the worker's, from the batch's arena */
    /* VERDICT_EFFECT: whom it calls and for whom, for breakers, limits and budgets. Without a
     * dependency it goes out at once; without a tenant it is GLOBAL's. */
    const char *dependency, *tenant;
};

struct item {
    enum item_kind kind;
    struct shard *shard;
    struct command cmd;
    const struct command_type *type;
    struct pending *pending; /* the command's open row; NULL for records and ITEM_DUE */
    void *blob;
    int attempt;       /* 1 for the first try; counted anew while compensating */
    bool last;         /* no attempt is left after this one */
    int64_t latest_ms; /* nor would there be one when it were due after this; INT64_MAX: any time */
    bool compensating, resumed;
    bool decidable; /* goes to ops->decide; load must fetch what it needs */
    bool no_inbox;  /* has no inbox row: not a command, or one without a usable id */
    bool nudge;     /* the engine's: a record that is no command, only a reason to look at a lane */
    enum item_call call;
    int64_t replay_of;       /* dead letter that it is the replay of; 0: none */
    const uint8_t *replayed; /* digest of that letter's command; NULL: none, or not known */
    int64_t front_pos; /* the engine's: place at the head of its lane that it takes; 0: none */
    struct lane *lane; /* the engine's: of a record, once it was looked up; NULL: not yet */
    size_t control;    /* the engine's: index + 1 of the control command it is handled by */
    size_t intake;     /* the engine's: which unit of the batch it came from */
    int refused;       /* the engine's: how often the database refused what came of it */
    void *user;        /* the worker's own */
    struct verdict verdict;
    struct problems *problems; /* invalid: why */
    struct err invalid;
};

/* Where a resource's event stream stands. In every resource row; also of subjects without
 * a row (subject_stream). */
struct stream {
    int64_t sequence;
    const char *consumer; /* of the last event; NULL: none yet */
    int shard;
    int64_t seq;
    const char *key; /* of all its events' records, which keeps them on one partition; NULL: none
                      yet, then the command's */
    bool dirty;
};

/* ---- hooks --------------------------------------------------------------------------------- */

struct worker_ops {
    const char *name;  /* "provisioning" */
    const char *topic; /* "drawbridge.provisioning" */
    const struct command_type *types;
    size_t ntypes;
    const char *const
        *writes; /* topics it writes beside events and dead letters; NULL-terminated */
    /* Its effects must not be lost and cannot be looked at: shards are given back when they have
     * come back, or after YIELD_US. */
    bool waits_for_effects;
    /* A command that waits at the head of its lane, held or polling, is CALL_NUDGED when others who
     * came after it wait behind it: it may let those go first (VERDICT_LANE of its own lane, with
     * whoever let it by behind it), and is CALL_EXPIRED there, too. */
    bool gives_way;
    /* How many calls of one dependency at once; NULL: effects_per_driver. */
    int64_t (*per_dependency)(const struct conf *c);
    /* audit: takes every event type, keeps no inbox, validates against nothing */
    bool plain_log;

    void *(*open)(struct engine *e, struct err *err); /* state of the worker; NULL: leave */
    void (*close)(void *w);
    /* Queue the reads of this batch (pg_query on batch_pg); locked: … FOR UPDATE, ordered by id. */
    must_check bool (*load)(void *w, struct batch *b, bool locked, struct err *err);
    /* After the reads came in; one call per item, in order. Fills it->verdict. */
    void (*decide)(void *w, struct batch *b, struct item *it);
    /* The stream of a resource of this batch; NULL: it has no row. */
    struct stream *(*stream)(void *w, struct batch *b, const char *subject);
    /* Queue the writes. last: hot rows only (capacity), right before the end. */
    must_check bool (*commit)(void *w, struct batch *b, bool last, struct err *err);
    /* After the commit: start it; it must end in engine_effect_done(token). */
    void (*effect)(void *w, struct item *it, void *effect, uint64_t token);
    /* For rehearsals: an outcome as engine_effect_done would get it, of a provider that did what
     * the effect asks, or will never do it. Heap, freed with free; NULL without memory. */
    void *(*answer)(const void *effect, bool done);
    void (*shard_opened)(void *w, int shard);
    void (*shards_closed)(void *w);
    void (*committed)(void *w, struct batch *b); /* may be NULL */
    void (*tick)(void *w);                       /* about once a second; may be NULL */
    void (*stopping)(void *w);                   /* SIGTERM: what has not begun is abandoned */
};

/* ---- services ------------------------------------------------------------------------------ */

const struct conf *engine_conf(struct engine *e);
uv_loop_t *engine_loop(struct engine *e);
struct clock *engine_clock(struct engine *e);
const struct cx *engine_cx(struct engine *e);
int engine_shards(
    const struct engine *e); /* in all, of the consumer; 0 before the first assignment */
bool engine_owns(struct engine *e, int shard);
struct pg *engine_pg(struct engine *e, int shard); /* for reads outside batches; may be down */
void *engine_worker(struct engine *e);

/* Whether the dependency answered, be it with "no", or could not be reached, was silent, or is out
 * of order: then this failure says nothing about the command. */
enum effect_sign { EFFECT_ANSWERED, EFFECT_NO_ANSWER };
/* The effect of `token` came back. blob goes to decide as it->blob and is freed with free_blob
 * (NULL: free) when the batch is done, or at once when the shard has been lost meanwhile. While
 * the breaker of its dependency is not closed, one without an answer is not decided: the command
 * is held with its attempts as they were. */
void engine_effect_done(struct engine *e, uint64_t token, enum effect_sign sign, void *blob,
                        void (*free_blob)(void *));
/* The dependency has enough, until until_ms (0: it does not say). Nothing is decided: the command
 * waits for its turn with its attempts as they were, and what goes to the dependency goes at the
 * rate it allows (core/throttle.h). */
void engine_effect_throttled(struct engine *e, uint64_t token, int64_t until_ms);
/* The call was never made, and nobody here will make it: its row stays, for the successor. */
void engine_effect_abandon(struct engine *e, uint64_t token);
/* True: the dependency is out of order, and the callers of this command type would rather be told
 * (503) than wait. For commands that have not begun. */
bool engine_outage(struct engine *e, const struct item *it, const char *dependency);
bool engine_draining(const struct engine *e); /* nothing new is begun */
/* Nor while the shards are wanted and only effects are waited for (waits_for_effects). */
bool engine_yielding(const struct engine *e);
/* Whether anybody still waits for it: a call that has not begun yet and whose shard was lost or
 * opened anew must not be made beside the one that takes its place, and neither must one be begun
 * after the process stood still for as long as that may take (H33). */
bool engine_effect_live(struct engine *e, uint64_t token);
/* Work made from a row: becomes an ITEM_DUE of that shard. id: derived from the row and its
 * version. All strings are copied. */
must_check bool engine_due(struct engine *e, int shard, const char *type, const char *subject,
                           const char *key, const char *id, void *blob, void (*free_blob)(void *));

struct arena *batch_arena(struct batch *b);
struct pg *batch_pg(struct batch *b);
struct args *batch_args(struct batch *b); /* cleared; valid until the next batch_args */
size_t batch_count(const struct batch *b);
struct item *batch_item(struct batch *b, size_t i);
int64_t batch_now_ms(const struct batch *b);
void *batch_user(struct batch *b);
void batch_user_set(struct batch *b, void *user);
const char *batch_consumer(const struct batch *b); /* short worker name */
int shard_number(const struct shard *s);
/* The batch cannot go on (memory): it is put back whole. */
void batch_fail(struct batch *b, enum err_code code, const char *what);

/* Names a command that an event ends or was caused by. */
struct command_name {
    const char *id, *correlation_id, *type;
    uint8_t digest[16];
    int64_t time_ms;
};

struct event_out {
    const char *type;      /* "session.active", without the prefix */
    const char *subject;   /* "session/<id>" */
    struct stream *stream; /* NULL: looked up */
    const char *data;      /* JSON text */
    size_t data_n;
    const char *outcome;                /* NULL, or done|refused|cancelled|dead: it ends … */
    const struct command_name *command; /* … this command; NULL: the item's own */
    bool nameless; /* the command's id is another's: it is no part of that one's biography */
};
/* Where the stream of a subject without a row stands: a row that is made now goes on from there.
 * NULL: nothing was ever said about it. */
const struct stream *batch_stray(struct batch *b, const char *subject);
/* The subject gets a row of its own with this batch, which carries its stream on. Another worker
 * that writes to the stream of the subject without a row at the same moment conflicts with us, and
 * is decided again: otherwise both would count from the same number. In commit(); false: no memory.
 */
must_check bool batch_stray_end(struct batch *b, const char *subject, const struct stream *stream);
/* The lane of a subject may have nothing to wait for any more: a start that was superseded, or
 * stopped, waits for its next try. consumer: whose lane. The worker gets it as CALL_NUDGED. */
void batch_nudge(struct batch *b, struct item *it, const char *consumer, const char *subject);
void batch_event(struct batch *b, struct item *it, const struct event_out *e);

/* A command for another worker; its id is derived from the item's command, type and subject. */
void batch_command(struct batch *b, struct item *it, const char *topic, const char *type,
                   const char *subject, const char *data, size_t data_n);
/* Any other message through the ledger (audit's stream): headers are made like an event's. */
struct message_out {
    const char *topic;
    struct bytes key, headers, value;
    const char *ce_id, *type, *subject;
    int64_t sequence;
};
void batch_message(struct batch *b, struct item *it, const struct message_out *m);

/* The main of every worker: configuration, signals, engine, loop, close in reverse. Returns the
 * exit status. */
int worker_main(int argc, char **argv, const struct worker_ops *ops);
