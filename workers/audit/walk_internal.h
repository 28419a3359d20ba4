/* walk_internal — what the parts of the walk share: walk.c (the turn: cut, topics, ledger),
 * walk_tell.c (what does not match), walk_keep.c (where the next one goes on). */
#pragma once

#include "audit/walk.h"
#include "store/log_positions.h"
#include "store/topic_match.h"
#include "store/verify.h"

#define WALK_SHARDS_MAX 512
#define WALK_ASK_MOST 200
#define WALK_PATIENCE_MS 5000 /* a record without a row waits so long for its mark */

enum walk_step { IDLE, FINDING, BEGINNING, READING, COMPARING, ASKING, KEEPING };

struct walk_job { /* what the thread works on; nobody else touches it meanwhile */
    struct walk *w;
    uv_work_t work;
    bool begin, aim, logs; /* logs: asks for the shards' logs too */
    struct published *records;
    size_t n;
    bool ok, whole, logs_ok;
    struct err err, logs_err;
};

struct shard_walk {
    struct verify_shard s; /* compared up to done; seq: the mark of the cut */
    int64_t head;          /* the count of the cut */
    int64_t kept;          /* of the positions that are to be kept: behind this */
};

struct walk_row {
    struct published p;
    struct match_row at;
};

struct walk {
    struct engine *e;
    struct pg *pg;
    struct findings *findings;
    void (*done)(void *arg, bool failed);
    void *arg;
    uv_timer_t timer;
    struct args args;
    struct topic_walk *reader;
    struct topic_match *match;
    struct log_positions *logs;
    struct shard_position places[WALK_SHARDS_MAX]; /* of the cut */
    size_t nplaces;
    struct walk_job job;
    bool failed;  /* something of this turn could not be read */
    bool placed;  /* the positions were compared in this turn */
    bool working; /* the thread is */
    enum walk_step step;
    bool begun, counted; /* the topics' beginning is known; and the rows' */
    bool aimed;          /* reading up to the ends behind the cut in hand */
    bool dropped;        /* the shard was lost in the middle of a turn */
    bool fresh;          /* begins at what is there now, whatever was kept */
    struct shard_walk shards[WALK_SHARDS_MAX];
    size_t n;
    struct verify_shard window[WALK_SHARDS_MAX];
    int64_t upto[WALK_SHARDS_MAX];
    struct walk_row *rows; /* of the window, until it is known to be whole */
    size_t nrows, rows_cap;
    struct match_alone asked[WALK_ASK_MOST];
    size_t nasked;
    char *positions; /* that were kept, to begin at; NULL: the ends */
    char *found;     /* the shards' counts that were kept, of another owner */
    char *ends;    /* the ends of the aim before: everything behind the next cut's counts is behind
                      them */
    char *keeping; /* positions that are kept once all rows up to shards[].kept are compared */
    int64_t turn_us, asked_us;
    int64_t keep_us; /* not before: records that came before have been asked for by then */
};

/* ---- the turn */
int64_t walk_ms(const struct walk *w); /* monotonic */
struct shard_walk *walk_shard(struct walk *w, const char *consumer, int n);
void walk_end(struct walk *w, bool failed);
void walk_fail(struct walk *w, const struct err *why);
/* Begins anew at what is there now: the log or the database is another one than it was. */
void walk_lose(struct walk *w, const struct err *why);
bool walk_no_memory(struct walk *w); /* the same; false */
/* Whether the segment has failed, or the shard was lost meanwhile: then the turn is over. */
bool walk_query_failed(struct walk *w, const struct pg_failure *failure);
void walk_begin(struct walk *w); /* the positions that were kept are found, or there are none */

/* ---- what does not match */
void walk_tell(struct walk *w, const struct published *p, const char *detail);
void walk_tell_missing(struct walk *w); /* rows below the marks that were not met */
void walk_tell_positions(struct walk *w);
void walk_ask(struct walk *w); /* for records without a row; then walk_keep */

/* ---- where the next one goes on */
void walk_look(struct walk *w); /* what an owner before has kept; then walk_begin */
void walk_keep(struct walk *w); /* ends the turn */
