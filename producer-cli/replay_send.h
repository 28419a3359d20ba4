/* replay_send — some letters of a job: decided on in one statement, then produced. */
#pragma once

#include "broker.h"
#include "db.h"

/* letters: rows of replay_job_next, in order. Those that somebody else took meanwhile are left out.
 * Returns when the brokers have all of them; out_sent counts them. */
must_check bool replay_send(struct db *db, struct broker *b, const char *job, const json_t *letters,
                            const char *author, const char *reason, size_t *out_sent,
                            struct err *err);
