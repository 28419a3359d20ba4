/* replay — dead letters sent again, as a job that outlives the terminal it was started from.
 *
 * The job's letters are noted when it is made, in the order in which they are sent: that in which
 * their commands came in, so that order per resource is kept. Each is decided on by a
 * compare-and-set in the database (parked -> replaying, with a token) and only then produced. What
 * was cut off in between still has its token and is produced again, with the same one: the shard's
 * owner takes in the first copy and drops the second. So a job may be killed anywhere, and be
 * resumed by anybody; it never doubles. One process at a time runs a job (an advisory lock). */
#pragma once

#include "db.h"

struct replay_options {
    double rate;          /* letters a second; 0: no limit */
    double key_rate;      /* of one key; 0: no limit */
    int64_t canary;       /* so many first, whose outcomes are waited for; 0: none */
    int64_t max_failures; /* stops when more died again; -1: no such limit */
    int64_t max_percent;  /* stops when more than this share of the outcomes is death, from
                             REPLAY_SHARE_FROM outcomes on; -1: no such limit */
    int64_t wait_ms;      /* for outcomes, once everything was sent */
};
enum { REPLAY_SHARE_FROM = 10 };

/* "50/s", "50", "120/m", "2/h": per second. */
must_check bool replay_rate_parse(const char *s, double *out);
/* "5" or "20%". */
must_check bool replay_limit_parse(const char *s, int64_t *out_count, int64_t *out_percent);

json_t *replay_options_json(const struct replay_options *o);
void replay_options_read(const json_t *doc, struct replay_options *out);

/* Why a job with these counts (replay_job_list) has to stop; NULL: it may go on. Written to `why`.
 * since: counts that were known when it was resumed after a stop, and are forgiven; may be NULL. */
const char *replay_stop_reason(const struct replay_options *o, const json_t *counts,
                               const json_t *since, char *why, size_t bytes);

/* Makes the job and notes its letters: its id, 0 and err. out_total 0: nothing fits, no job is
 * made.
 */
int64_t replay_make(struct db *db, const json_t *filter, const struct replay_options *o,
                    const char *author, const char *reason, int64_t *out_total, struct err *err);
/* The row of replay_job_list; NULL and NOT_FOUND. */
json_t *replay_job(struct db *db, int64_t job, struct err *err);

/* Runs it to its end, until it stops by itself, or Ctrl-C. The state it is left in ("done",
 * "stopped", "interrupted") is in the database; false and err when it cannot be run, which leaves
 * it interrupted. o: what of it is obeyed; NULL: what it was made with. */
must_check bool replay_run(struct cli *cli, struct db *db, int64_t job,
                           const struct replay_options *o, struct err *err);
