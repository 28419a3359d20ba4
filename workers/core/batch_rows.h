/* batch_rows — what a batch has read and what it writes: lanes and rows of pending, of the inbox
 * and the ledger, dead letters, streams. All of it is in the batch's arena unless it says
 * otherwise, and gone with the batch. The engine's files share it by engine_internal.h. */
#pragma once

#include "core/engine.h"
#include "core/gate.h"

struct shard;

struct scheduled {
    struct scheduled *next;
    struct pending row;
};

/* A dead letter that this batch has to do with. */
struct letter {
    int64_t id;
    const char *consumer, *state, *token, *command_id, *type, *subject, *class;
    int shard, edits;
    const uint8_t *digest; /* NULL: it had no usable id */
    int64_t job;
    const char *replay_by, *replay_reason;
    struct record record; /* when it was asked for whole; its headers parsed */
    bool taken;           /* by an item of this batch */
};

struct letter_take {
    int64_t id;
    const char *token;
    const uint8_t *digest; /* of the command that is taken in */
};

/* A replayed command has ended: by number, or (0) by the command's digest. */
struct letter_end {
    int64_t id;
    const uint8_t *digest;
    const char *outcome;
};

/* What a control command does to a letter. */
struct letter_write {
    const struct letter *letter;
    bool edit; /* else: discard */
    const char *by, *reason, *diff;
    struct bytes headers, value;
};

/* A lane as this batch sees it. */
struct lane {
    const char *subject;
    struct shard *shard;
    int64_t rows; /* in pending, not scheduled, as loaded; then as the batch leaves it */
    int64_t bytes;
    struct pending *loaded; /* the first few, in order */
    size_t nloaded;
    struct scheduled *named; /* rows asked for one by one: scheduled, too late, held */
    bool asked, drain, all;  /* drain: up to DRAIN_MAX rows are wanted; all: every one */
    const char *held_by;     /* asked for whatever row is held by this, in any lane */
    bool if_any;             /* asked only if its shard has rows when the reads are sent */
    bool drained;            /* its followers are items of this batch already */
    bool blocked;            /* an open row stays at its head: nobody behind it may go */
    bool wake;               /* after commit: drain what is left */
    bool nudge;              /* after commit: its head, should it wait, is told of who waits */
};

#define NUDGE "lane.nudge" /* a record on a main topic that is no command: look at this lane */

/* Changes of pending. */
struct lane_write {
    enum { LANE_INSERT, LANE_UPDATE, LANE_DELETE } op;
    struct pending row;
};

struct inbox_write {
    bool insert;
    bool reopen; /* of a replay: the row is there, dead, or has been dropped */
    uint8_t digest[16], payload[16];
    int64_t day;
    char outcome; /* 'o' open */
    int shard;
    int64_t event_seq, event_day; /* 0: none */
};

struct ledger_row {
    struct shard *shard;
    int64_t seq;
    const char *topic;
    int32_t partition; /* -1 by key */
    struct bytes key, headers, value;
    const char *ce_id, *type, *subject, *outcome;
    int64_t sequence;
    const uint8_t *command;
    const char *prev_consumer;
    int prev_shard;
    int64_t prev_seq;
};

struct dead_row {
    const struct item *it;
    struct err err;
    enum err_class class;
    int attempts;
    const char *problems; /* JSON */
};

struct effect_start {
    struct item *it;
    void *effect;
    struct call_slot slot; /* released when the batch goes back; the open effect's once it began */
};

/* What the inbox knew of a record's digest. */
struct inbox_row {
    uint8_t payload[16];
    char outcome;
    bool has_event;
    struct ledger_row event; /* to publish again */
};

/* A stream of a subject without a row of its own. */
struct stray {
    const char *subject;
    struct stream stream;
    int64_t loaded_sequence;
};
