/* engine_internal — what the engine's files share; nobody else includes it.
 *
 *   engine.c        life, turn of the loop             intake.c        what a batch is made of
 *   assignment.c    which shards are ours              batch.c         life, turn, recovery
 *   pipe.c          a connection and its shards        batch_items.c   intakes -> items
 *   shard.c         open, positions, due rows          batch_reads.c   what a decision needs
 *   effect.c        calls under way                    batch_commit.c  the segment, and after it
 *   publish.c       ledger -> Kafka, marks             admit.c         records: whose turn is it?
 *   health.c        probes, gauges                     settle.c        verdicts -> rows
 *   lane.c          rows of pending in and out         message.c       headers, events, letters
 *   periodic.c      offsets, heartbeat, partitions     stream.c        where events of a subject
 * stand */
#pragma once

#include "core/batch_rows.h"
#include "core/engine.h"
#include "core/gate.h"
#include "core/header_block.h"
#include "core/kafka.h"

#define SECOND_US 1000000
#define MARK_US 200000 /* how often marks are looked at; the loop does not block for longer */
#define POSITIONS (1 + TIERS) /* main, then the tiers */
#define PIPE_DEPTH 2          /* batches of one connection between load and commit */

/* Repeats are rare, and the key of the inbox finds them: then the batch is decided again under
 * locks with what the inbox knows. Where there was one, more are expected, and the next batches
 * look first. */
#define INBOX_READS 64

/* Resources have the stream of their events in their row; that of a subject without a row is asked
 * for once that is known, and for the next batches beforehand, to spare them the round trip. */
#define STRAY_READS 8

/* Work of a shard that is no record: an outcome, a due row, a lane to drain. Heap. */
struct ref {
    struct ref *next;
    enum item_kind kind;
    bool drain; /* the lane's first followers, whoever they are */
    bool resumed;
    enum item_call call;
    char *subject;
    uint8_t digest[16];
    int64_t due_ms; /* when it fell due, for the not-before histogram; 0 unknown */
    void *blob;
    void (*free_blob)(void *);
    char *type, *key, *id; /* ITEM_DUE */
    struct pool *grant;    /* ITEM_RESUME of a held row: where a place is kept for it */
    struct pool *failed;   /* ITEM_OUTCOME: the dependency that gave no answer */
    struct pool *enough;   /* ITEM_OUTCOME: the one that said "too many" */
};

/* One unit taken in; what a batch is made of, and what is put back when a batch fails. */
struct intake {
    enum item_kind kind;
    struct shard *shard;
    rd_kafka_message_t *msg;     /* record or ticket */
    const struct record *record; /* of a rehearsal (shadow.c), instead of a message; not ours */
    struct ref *ref;
    int position;       /* 0 main, 1.. tier: what its offset advances; -1 none */
    struct err *poison; /* heap; the database refuses this one: dead-letter it */
    int refused;        /* how often: what is tried with it gets simpler each time */
};

struct timed {
    int64_t due_ms;
    char *subject;
    uint8_t digest[16];
};

struct inflight {
    int64_t seq;
    uint32_t bytes;
    bool acked;
};

enum shard_state { SHARD_CLOSED, SHARD_OPENING, SHARD_OPEN };

struct shard {
    struct engine *e;
    struct pipe *pipe;
    int n;
    enum shard_state state;
    uint32_t generation; /* raised at each open and close: late callbacks are told apart */
    bool caught_up; /* what a predecessor left unpublished or open is in hand: new work may begin */
    int64_t
        republish_after; /* seq up to which its rows are published; the next chunk waits for room */
    bool republish_waits;
    int64_t epoch;
    int64_t committed[POSITIONS], sent[POSITIONS], taken[POSITIONS];
    int64_t stored; /* the position of main that the group was told last */
    int64_t seq_committed, seq_sent;
    int64_t mark, mark_written; /* published: acknowledged; as the row has it */
    int64_t mark_seen;          /* when idle shards were looked for last */
    rd_kafka_queue_t *main_q, *tier_q[TIERS];
    rd_kafka_message_t *tier_head[TIERS]; /* held in hand until due */
    int64_t tier_due[TIERS];
    bool
        tier_anew[TIERS]; /* its position is lost: from the log's beginning, until a ticket comes */
    bool lost;            /* the position of main is: nothing is read from it */
    int64_t lost_again_us, lost_look_us;
    struct ref *refs, **refs_end;
    size_t nresume;      /* refs of due rows among them */
    struct timed *timed; /* min-heap of rows due soon */
    size_t ntimed, timed_cap;
    int64_t timed_horizon_ms; /* rows due before this are in the heap */
    bool timed_loading;
    int64_t sweep_at_us;     /* next look for lost tickets */
    int64_t expired_at_us;   /* next look for what is too late */
    struct inflight *flight; /* ring of ledger rows on their way */
    size_t flight_head, flight_n, flight_cap;
    int64_t pending_rows; /* rows of this shard in pending, as committed */
    int64_t held_rows;    /* of these, held by breakers and limits, as far as is known */
    bool held_counted;    /* since the shard was opened */
    int64_t by_state[PENDING_STATES]; /* of pending_rows */
    char after_subject[1200];         /* resumption walks the open rows in chunks */
};

/* How a command left a batch, for the metric. */
enum ending {
    ENDING_DONE,
    ENDING_REFUSED,
    ENDING_CANCELLED,
    ENDING_DEAD,
    ENDING_DUPLICATE,
    ENDINGS
};

enum batch_state {
    BATCH_FREE,
    BATCH_COLLECTED,
    BATCH_LOADING,
    BATCH_LOADED,
    BATCH_COMMITTING,
    BATCH_COMMITTED,
    BATCH_FAILED
};

struct batch {
    struct pipe *pipe;
    enum batch_state state;
    bool locked;
    bool inside; /* of a transaction that somebody else began and ends (shadow.c) */
    struct arena *arena;
    struct intake *in;
    size_t nin, in_cap, in_bytes;
    struct item *items;
    size_t nitems, items_cap;
    int64_t now_ms;
    int64_t pos_new[64][POSITIONS]; /* by the pipe's shard index */
    bool beside; /* of other shards than the undecided batches before it: reads at once */
    bool touched[64];
    int64_t seq_new[64];
    struct table *lanes, *inbox, *seen, *strays, *letters;
    size_t control_at; /* index + 1 of the first intake that is a control command; 0: none */
    bool replays;      /* some item is a replay */
    struct letter_take *takes;
    size_t ntakes, takes_cap;
    struct letter_end *letter_ends;
    size_t nletter_ends, letter_ends_cap;
    struct letter_write letter_write; /* a control command is alone in its batch */
    struct lane_write *lane_writes;
    size_t nlane_writes, lane_writes_cap;
    struct inbox_write *inbox_writes;
    size_t ninbox, inbox_cap;
    struct ledger_row *ledger;
    size_t nledger, ledger_cap;
    struct ledger_row *again; /* outcomes published again for duplicates; no ledger row */
    size_t nagain, again_cap;
    struct ledger_row *foreign; /* others' unpublished events that ours follow */
    size_t nforeign, foreign_cap;
    struct dead_row *dead;
    size_t ndead, dead_cap;
    struct effect_start *effects;
    size_t neffects, effects_cap;
    bool failed;       /* memory: put back */
    bool two_step;     /* holds more than records: rows first, then the worker's reads */
    bool strays_asked; /* for the streams of subjects without a row */
    bool strays_late;  /* … behind the rows */
    struct err why;
    struct pg_failure failure;
    double ended[ENDINGS];     /* commands, counted when it is committed: it may be decided twice */
    struct problems *problems; /* of the message being read; an item that has any takes it along */
    void *user;
    uint64_t t0_us;
};

enum pipe_state { PIPE_DOWN, PIPE_READY };

/* One database connection and the shards it serves. */
struct pipe {
    struct engine *e;
    int n;
    struct pg *pg;
    struct args args;
    enum pipe_state state;
    struct shard *shards[64];
    size_t nshards;
    struct batch *queue[PIPE_DEPTH + 1]; /* oldest first: committing, loading, collected */
    size_t nqueue;
    struct batch *spare[PIPE_DEPTH + 2];
    size_t nspare;
    struct intake *backlog; /* put back, before anything new */
    size_t nbacklog, backlog_at, backlog_cap;
    size_t limit;         /* of the next batch: halved after data errors */
    bool lock_next;       /* decide the next batch under locks */
    int lock_fails;       /* conflicts under locks in a row: there can be none, so it is the data */
    int resets;           /* in a row, without a committed batch: each waits longer */
    unsigned apart;       /* so many batches read only behind a commit: there was a conflict */
    unsigned inbox_reads; /* so many batches look their ids up; 0: the insert finds repeats */
    unsigned stray_reads; /* so many ask for all streams beforehand; 0: for the missing ones */
    bool reset_wanted;
    char reset_why[64];
    struct err reset_err;
    int64_t round_robin;
    bool marking;
    bool may_fill; /* this turn */
    bool was_down;
    bool opening;        /* the epochs of its shards are being raised */
    bool opened;         /* they are: positions known */
    int64_t retry_at_us; /* of a failed opening */
};

struct open_effect {
    uint64_t token;
    struct shard *shard;
    uint32_t generation;
    char *subject;
    uint8_t digest[16];
    int64_t t0_us;
    struct call_slot slot;
};

struct engine {
    const struct worker_ops *ops;
    const struct conf *conf;
    uv_loop_t *loop;
    struct clock *clock;
    struct cx cx;
    struct kv cx_facts[4];
    struct kafka *kafka;
    void *worker;
    struct pipe *pipes;
    size_t npipes, fill_next; /* whose turn it is to take in a batch */
    struct shard **shards;    /* by number; NULL: never ours */
    int nshards;              /* of the consumer, in all */
    bool assigned;            /* the group gave us shards */
    bool reassign;            /* positions are to be told to the consumer */
    bool yielding;            /* the shards are wanted: nothing new is begun, effects come back */
    bool revoking;            /* … then what is in flight ends */
    int64_t yield_by_us, revoke_by_us;
    int32_t *owned;
    size_t nowned;
    bool have_tier[TIERS];
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    struct open_effect *effects;
    size_t neffects, effects_cap;
    uint64_t next_token;
    struct gate *gate;
    struct hold *hold;
    bool draining, kafka_down, producer_broken, consumer_broken;
    int rebuilds; /* of the producer in a row, without a delivery: each waits longer */
    int64_t rebuild_at_us;
    int64_t fenced_at_us; /* when the group fenced our consumer last; 0: never */
    int64_t drain_by_us;
    bool topics_checked;
    int exit_status;
    bool stopped;
    int64_t next_second_us, next_store_us, next_mark_us, next_heartbeat_us, partitions_day;
    int64_t partitions_at_us;
    int64_t turn_us;       /* when the loop turned last */
    int64_t trouble_at_us; /* when the next one is told */
    uint64_t republished;
    size_t flight_bytes;           /* of messages produced and not acknowledged */
    bool busy;                     /* this turn did something: do not block */
    char instance[64], source[64]; /* source: of what we send, /drawbridge/<worker> */
    int64_t started_ms;
    const char *metrics_url;
};

/* engine.c */
struct engine *engine_new(uv_loop_t *loop, const struct conf *conf, const struct worker_ops *ops,
                          const char *metrics_url, struct err *err);
void engine_stop(struct engine *e);                  /* graceful, within stop_timeout */
void engine_stop_with(struct engine *e, int status); /* fatal: leave the loop at once */
void engine_free(struct engine **e);
bool engine_in_flight(const struct engine *e); /* a batch is between collect and commit */
/* What fails at once again is not tried in a hot loop: nothing the first time, then up to 5 s. */
int64_t engine_backoff_us(int times);

/* periodic.c */
void engine_periodic(struct engine *e);
void engine_store_offsets(struct engine *e); /* tells the group what is committed */

/* assignment.c */
struct shard *assignment_shard(struct engine *e, int n); /* made when it is new; NULL: memory */
void assignment_given(struct engine *e, const int32_t *partitions, size_t n);
void assignment_taken(struct engine *e); /* effects and what is in flight end first, then: */
void assignment_turn(struct engine *e);  /* … as far as it is */
/* Nothing stays behind: what could not end in time is fenced by the next owner's epoch. */
void assignment_end(struct engine *e);
/* Once every connection has read the positions of its shards: tells the consumer, and reads. */
void assignment_assign(struct engine *e);

/* pipe.c */
must_check bool pipe_init(struct pipe *p, struct engine *e, int n, struct err *err);
void pipe_open_shards(struct pipe *p); /* raises their epochs, reads their positions */
void pipe_close_shards(struct pipe *p);
/* The one recovery, asked for here and done at the next turn. The connection is dropped with it:
 * answers that are still under way belong to batches that are forgotten. */
void pipe_reset(struct pipe *p, const char *reason, const struct err *why);
void pipe_do_reset(struct pipe *p);

/* health.c */
bool engine_ready(struct engine *e, struct buf *why);
bool engine_healthy(struct engine *e, struct buf *why);
void engine_gauges(struct engine *e);

/* effect.c */
bool engine_stalled(const struct engine *e); /* the loop has not turned for seconds */
/* The slot becomes the effect's; 0 without memory. */
uint64_t effect_open(struct engine *e, struct shard *s, const char *subject, const uint8_t *digest,
                     struct call_slot *slot);
void effects_forget(struct engine *e);

/* intake.c */
bool intake_collect(struct pipe *p, struct batch *b);
void intake_free(struct intake *in);
/* What falls due would be taken in at once. False: something else comes first and turns the loop.
 */
bool intake_takes_due(const struct shard *s);
void intake_put_back(struct pipe *p, struct batch *b);
/* Keeps the first n; the others go back, to be the next batch. */
void intake_cut(struct pipe *p, struct batch *b, size_t n);

/* hold.c */
struct waiting { /* what a command that may not go out becomes */
    enum pending_state state;
    int64_t due_ms;
};
must_check bool hold_open(struct engine *e, struct err *err);
void hold_close(struct engine *e);
/* May the effect that was decided go out? Otherwise row and out say how it waits. */
bool hold_admits(struct batch *b, struct item *it, struct pending *row, struct call_slot *slot,
                 struct waiting *out);
/* An outcome that is none, of a dependency that is out of order: true, and the row is to wait. */
bool hold_takes_back(struct batch *b, struct item *it, struct pending *row, struct waiting *out);
void hold_committed(struct batch *b);      /* after the commit: what waits now */
void hold_dropped(struct batch *b);        /* effects that were not begun give their places back */
void hold_turn(struct engine *e);          /* probes, lets out what may go */
void hold_shard_opened(struct shard *s);   /* counts what it holds */
void hold_changed(struct engine *e);       /* a breaker moved: told at once */
bool hold_has_room(const struct shard *s); /* more commands may come to wait */
void hold_gauges(struct engine *e);
bool is_ours(const struct pending *row); /* held by a breaker or a limit */

/* shard.c */
void shard_open(struct shard *s);
void shard_close(struct shard *s);
void shard_rewind(struct shard *s); /* taken and sent positions back to the committed ones */
void shard_push(struct shard *s, struct ref *r);
struct ref *shard_pop(struct shard *s);
struct ref *ref_new(enum item_kind kind, const char *subject, const uint8_t *digest);
void ref_free(struct ref *r);
bool shard_drain(struct shard *s, const char *subject); /* a lane to drain */
void shard_timed_add(struct shard *s, int64_t due_ms, const char *subject, const uint8_t *digest);
void shard_due(struct shard *s, int64_t now_ms); /* what has fallen due becomes refs */
int64_t shard_next_due(const struct shard *s);   /* 0: nothing known */
void shard_tick(struct shard *s);                /* loads due rows, sweeps for lost tickets */

/* batch.c */
struct batch *batch_new(struct pipe *p);
bool batch_begin(struct batch *b); /* what is taken in becomes items, before the reads */
void batch_free(struct batch **b);
/* What the database has answered goes on. False: recovery comes first, nothing new may begin. */
bool pipe_turn(struct pipe *p);
bool pipe_fill(struct pipe *p); /* one batch is collected, parsed and asked for; false: no work */
bool pipe_has_room(const struct pipe *p); /* one more batch may be collected */
void pipe_drop(struct pipe *p);           /* forgets all batches and the backlog */

/* batch_items.c */
void batch_parse(struct batch *b); /* before the reads: records become items, in order */
void batch_ask_lanes(struct batch *b);
void batch_resolve(struct batch *b); /* after the reads of lanes: so does everything else */
/* Envelope and schema: whatever fails here is invalid, with every problem found. */
void batch_read_record(struct batch *b, struct item *it, const struct record *r);
/* A row becomes an item of its own, called for by `call`; NULL: it is one already. */
struct item *batch_call(struct batch *b, const struct intake *in, size_t index, struct pending *p,
                        enum item_call call);
bool item_of_pending(struct batch *b, struct pending *p, struct command *cmd);

/* batch_reads.c */
void batch_load(struct batch *b); /* ends as BATCH_LOADED or BATCH_FAILED */
void batch_failed(struct batch *b, const struct pg_failure *failure);

/* batch_commit.c */
void batch_commit(struct batch *b); /* ends as BATCH_COMMITTED or BATCH_FAILED */
void batch_finish(struct batch *b); /* once it is committed: publish, wake, start, count */

/* lane.c */
struct lane *lane_of(struct batch *b, struct shard *s, const char *subject);
void lane_ask(struct batch *b, struct lane *l, bool drain);
/* The row of a digest wherever it stands, loaded or named; NULL: there is none. */
struct pending *lane_row(struct lane *l, const uint8_t *digest);
struct pending *lane_head(struct lane *l); /* of what was loaded and is not gone; NULL: none */
/* By the records that brought them: places change when somebody is let by. */
bool lane_came_later(const struct pending *row, const struct pending *than);
/* Somebody waits behind the head who came after it, and nobody between them keeps his place. */
bool lane_has_later(const struct lane *l);
#define LANE_ROWS_MAX 1000
#define LANE_BYTES_MAX (1024 * 1024)
void lane_load(struct batch *b); /* queues the reads */
void lane_commit(struct batch *b);
void lane_write(struct batch *b, int op, const struct pending *row);
const char *pending_state_name(enum pending_state s);
enum pending_state pending_state_by_name(const char *s);

/* settle.c */
void settle_all(struct batch *b);
void settle_decide(struct batch *b, struct item *it); /* asks the worker: verdict, rows */
void settle_follow(struct batch *b, struct item *it, const char *subject); /* joins that lane */
void settle_nudge(struct batch *b, struct lane *l); /* somebody waits behind its head */
struct pending settle_fresh_row(struct batch *b, struct item *it); /* of one that has none yet */
/* Until when it may wait: its own expiry or the policy's deadline; 0: for ever. */
int64_t settle_expires_ms(const struct item *it, int64_t accepted_ms);
void settle_inbox_open(struct batch *b, const struct item *it);
/* What this batch writes for a command; NULL: nothing. Until the next call that adds a row. */
struct inbox_write *settle_inbox_write(struct batch *b, const uint8_t *digest);
void settle_inbox_close(struct batch *b, const struct command_name *c, char outcome,
                        const struct ledger_row *event);

void settle_inbox_reopen(struct batch *b, const struct item *it);
/* Ends a row that waits (CALL_…) for a control command; false: it cannot be, and is as it was. */
bool settle_call(struct batch *b, struct item *it);

/* admit.c */
void admit_record(struct batch *b, struct item *it);

/* letter.c: dead letters that are replayed, edited, discarded */
int64_t letter_replay_of(const struct record *r, const char **out_token); /* 0: no replay */
void letter_load(struct batch *b);                                        /* queues the read */
struct letter *letter_of(struct batch *b, int64_t id);
const char *letter_subject(struct batch *b, int64_t id); /* of its events: "deadletter/<id>" */
/* The replay is taken in, and says so; false: it was before, or is none: dropped. */
bool letter_take(struct batch *b, struct item *it);
void letter_ended(struct batch *b, int64_t id, const uint8_t *digest, const char *outcome);
void letter_commit(struct batch *b);

/* shadow.c: what the decision about a dead letter would be, told and not done. Returns the exit
 * status of the program. */
int shadow_run(const struct worker_ops *ops, const struct conf *conf, const char *letter);

/* control.c: what operators ask of the engine itself (ADR 0010) */
const struct command_type *control_type_of(const char *name);   /* NULL: no control command */
bool control_is(const struct item *it);                         /* a valid one */
int32_t control_shard(const struct item *it, int nshards);      /* where it belongs */
int64_t control_letter(const struct item *it, bool *out_whole); /* 0: none is meant */
void control_ask(struct batch *b, struct item *it);             /* for rows, before the reads */
/* The rows it is about become items behind it. */
void control_resolve(struct batch *b, const struct intake *in, size_t index, size_t item);
void control_settle(struct batch *b, struct item *it);

/* stream.c */
struct stream *stream_of(struct batch *b, const char *subject);
/* The key of its events, if it has none yet. */
void stream_keyed(struct stream *stream, const char *subject);
/* Queues the read: of all subjects, or of those that turned out to have no row; how many. */
size_t stream_load(struct batch *b, bool all);
/* Whether a subject has one of its own. */
bool stream_found(const struct batch *b);
void stream_commit(struct batch *b);

/* message.c */
struct ledger_row *ledger_add(struct batch *b, struct shard *s);
void message_ticket(struct batch *b, struct item *it, const struct pending *row, int tier);
/* tier: the one it waits in; -1: until a time of its own. */
void message_retrying(struct batch *b, struct item *it, const struct pending *row, int attempts_max,
                      int tier);
void message_held(struct batch *b, struct item *it, const struct pending *row);
void message_cancelled(struct batch *b, struct item *it); /* ends a command that waited */
void message_dead(struct batch *b, struct item *it, const struct err *err, int attempts);
/* Of a record, as columns keep them; p is NULL only when the batch has failed. */
struct bytes message_headers_block(struct batch *b, const struct record *r);
size_t record_headers_bytes(const struct record *r);
size_t record_bytes(const struct record *r);
#define RECORD_BYTES_MAX                                                                           \
    1050000 /* beyond it a record came compressed, and may not pass our producer */
void message_reroute(struct batch *b, struct item *it, int32_t partition);
void command_name_of(const struct item *it, struct command_name *out);

/* publish.c */
void publish_batch(struct batch *b);
void publish_delivered(struct engine *e, uint64_t tag);
void publish_rows(struct shard *s, const struct ledger_row *rows, size_t n, bool tracked);
/* Writes the marks of shards that idle; last: of all, nothing will take them along any more. */
void publish_marks(struct pipe *p, bool last);
void publish_forget(struct shard *s);         /* what is on its way counts no more */
bool publish_has_room(const struct shard *s); /* more may be produced */

/* The grown array or NULL; *cap in items. Memory from the heap, kept by the batch. */
void *grown(void *array, size_t *cap, size_t want, size_t size);
