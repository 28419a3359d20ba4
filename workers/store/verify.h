/* verify — the rules by which inbox, offsets, ledger, lanes, states and topics must agree, each a
 * row with its query. `drawbridge verify` walks all of them once; the reconciler of audit does so
 * all the time.
 *
 * How a rule can be true while commands are carried out: every query is one statement and sees one
 * moment; what one transaction writes it sees whole or not at all. Rules about the ledger compare
 * only below a cut that was taken first (verify_cut). What may be so for a moment (a lane whose
 * next row is about to be taken up) has confirm_ms: it is a finding when the same identity is seen
 * again after that time. */
#pragma once

#include "core/args.h"

#include "sql.h"

enum verify_scope {
    VERIFY_STATE,     /* (now) or no parameter: all rows that are open or live */
    VERIFY_SAMPLE,    /* (bytes): rows that stay; about so much of a table at random, 0: all */
    VERIFY_LEDGER,    /* (consumer[], shard[], after[], upto[]): rows of the ledger, in windows */
    VERIFY_ALL,       /* as STATE, but walks the whole ledger: only when asked for */
    VERIFY_POSITIONS, /* Kafka's offsets against the shards' (store/log_positions.h) */
    VERIFY_TOPIC,     /* drawbridge.events against the ledger: the same; and all the time what is
                         new on it, by the reconciler */
    VERIFY_LETTERS,   /* dead-letter topics and tiers against the ledger: as TOPIC */
};

enum verify_severity {
    VERIFY_WARNING, /* stuck, or behind: nothing is lost, somebody should look */
    VERIFY_ERROR,   /* a gap or a double effect */
};

struct verify_rule {
    const char *name;   /* "ledger.gapless" */
    const char *proves; /* one sentence, for people */
    const char *hint;   /* what to do about a finding */
    enum verify_scope scope;
    enum verify_severity severity;
    enum sql_id query; /* -> subject, identity, detail; at most 100 rows */
    int64_t confirm_ms;
};

/* Ended by a row without a name. */
extern const struct verify_rule verify_rules[];
const struct verify_rule *verify_rule_find(const char *name);
const char *verify_severity_name(enum verify_severity s);

/* One shard's part of the ledger that is still to be walked: (done, seq]. */
struct verify_shard {
    char consumer[32];
    int n;
    int64_t done, seq;
};

/* The next window of at most `most` rows per shard, as the parameters of a rule of VERIFY_LEDGER.
 * False when nothing is left. upto (of n) gets where the window ends. */
bool verify_window(const struct verify_shard *shards, size_t n, int64_t most, int64_t *upto);
