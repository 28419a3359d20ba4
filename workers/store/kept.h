/* kept — what providers have answered and no commit has yet. The engine drops an answer with the
 * database connection that was to decide it, or because its shard was opened anew while the call
 * was under way; a token that a provider gave once would be gone with it, in a process that still
 * has it. So each answer stays here until a commit has it; what was dropped is found by its intent
 * when the command comes up again.
 *
 * Bounded: of what was dropped the latest KEPT_MAX. Wiped when it goes, though its tokens are
 * sealed. */
#pragma once

#include "core/err.h"
#include "domain/connection.h"

struct kept;

#define KEPT_MAX 1024

/* NULL and err without memory. */
struct kept *kept_new(struct err *err);
/* What the engine still has stays good, and goes when it is let go. A pointer to NULL is fine. */
void kept_free(struct kept **k);
/* A copy of the answer, the engine's from now on: kept_let_go gives it back. NULL without memory.
 */
struct connection_answer *kept_add(struct kept *k, const struct connection_answer *a);
/* The engine is done with it: dropped, unless it was committed. */
void kept_let_go(void *answer);
/* The answer to this intent was decided, and that is committed: nobody asks for it again. */
void kept_committed(struct kept *k, const char *intent);
/* What was dropped of it; NULL: nothing. Good until the next call of any of these. */
const struct connection_answer *kept_find(const struct kept *k, const char *intent);
