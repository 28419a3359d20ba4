/* biography — everything that is known of a command, in the order of time: how it came in, each
 * try, tier, error and event, its deaths, edits and replays, and what it waits for now. From the
 * ledger, the inbox, pending, dead_letter, and the audit trail for what the ledger forgot.
 *
 * A command that was replayed keeps its id; one that was edited has a new one (<old>~e1). Both
 * belong to the same biography, whichever of them was asked for. */
#pragma once

#include "db.h"

/* What a word means: [{"digest", "commandId", "source"?, "type"?, "subject"?, "at"}], newest first,
 * empty when there is nothing. word: the number of a dead letter, a command's id or its beginning,
 * a subject or the part behind its slash. source: ce_source of the command, for one that nothing
 * but the ledger knows; NULL: those of the command line and the workers are tried. */
json_t *biography_find(struct db *db, const char *word, const char *source, struct err *err);

/* commands: some of those. {"commands": […], "steps": [{"at", "gapMs", "what", "detail", "command",
 * "worker"?, "event"?, "outcome"?, "letter"?, …}]}. NULL and err. */
json_t *biography(struct db *db, const json_t *commands, struct err *err);
/* Of the command of a dead letter that may have no usable id. */
json_t *biography_of_letter(struct db *db, int64_t letter, struct err *err);

/* The steps as a table for people. */
void biography_people(struct out *o, const json_t *doc);
