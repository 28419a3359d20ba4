/* walk — the reconciler's part that compares topics with the ledger while they grow: every row
 * that the marks say is published is on its topic, every record of ours there is a row, byte for
 * byte, and first occurrences of a subject's events are in order (rules kafka.events and
 * kafka.letters); and the shards' positions with their logs (kafka.positions).
 *
 * How it can be sure without looking at clocks: the marks of a cut are compared with what lies
 * before the topics' ends that were asked for after the cut; and it begins behind the ledger's
 * count of a cut that was taken after the topics' ends it begins at. So a row that is not met is
 * not there. A record without a row is asked for in the ledger before it is told. What has been
 * compared is kept in the table topic_walk, where the next owner goes on.
 *
 * Kafka is read in a thread of the loop's pool, one piece at a time; everything else is done on the
 * loop. Memory is bounded by what is published and not yet marked. */
#pragma once

#include "audit/findings.h"
#include "core/engine.h"

struct walk;

/* done is called when a turn is over, failed when something of it could not be read. */
struct walk *walk_new(struct engine *e, struct pg *pg, struct findings *findings,
                      void (*done)(void *arg, bool failed), void *arg);
void walk_free(struct walk **w);
/* The rows of verify_cut. */
void walk_cut(struct walk *w, const PGresult *res);
/* Works until everything below the cut is compared, or for a while; then calls done. */
void walk_turn(struct walk *w);
/* The shard is another's: what is remembered is forgotten. Not while a turn is under way. */
void walk_forget(struct walk *w);
bool walk_placed(const struct walk *w);    /* the last turn has compared the positions */
int64_t walk_behind(const struct walk *w); /* rows that are published and not yet compared */
