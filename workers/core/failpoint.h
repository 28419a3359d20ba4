/* failpoint — named places in the engine at which a test can end, freeze or delay the process.
 *
 *   FAILPOINT("commit-sent");                       in the code: a name, used once in the tree
 *   DRAWBRIDGE_FAILPOINT=commit-sent                kill -9 at the first pass
 *   DRAWBRIDGE_FAILPOINT=commit-sent:20=stop        SIGSTOP at the 20th, and only then
 *   DRAWBRIDGE_FAILPOINT=commit-sent:3=sleep-1500   blocks for 1,500 ms at the third
 *   DRAWBRIDGE_FAILPOINT=loaded:5=sleep-300,published:2=kill      several, one per place
 *
 * What is done is told first, with one line on stderr ("failpoint NAME pass N: kill"), so that a
 * test knows which place it was. A setting that cannot be read ends the process with status 78: a
 * test that injects nothing would pass for the wrong reason.
 *
 * Only builds with DRAWBRIDGE_FAILPOINTS (the testable ones) have them; in a release the macros
 * leave no code and no text. Not thread-safe: only the loop's thread passes failpoints. */
#pragma once

#ifdef DRAWBRIDGE_FAILPOINTS

#include "core/base.h"

void failpoint_pass(const char *name);
bool failpoint_due(const char *name); /* the next pass will act */

#define FAILPOINT(name) failpoint_pass(name)
/* The pass counts only when the condition holds. */
#define FAILPOINT_IF(condition, name)                                                              \
    do {                                                                                           \
        if (condition)                                                                             \
            failpoint_pass(name);                                                                  \
    } while (0)
/* Does something first when the pass will act: what is buffered has to be on its way, for example,
 * to be in the middle of sending it. */
#define FAILPOINT_AFTER(first, name)                                                               \
    do {                                                                                           \
        if (failpoint_due(name))                                                                   \
            first;                                                                                 \
        failpoint_pass(name);                                                                      \
    } while (0)

#else

#define FAILPOINT(name) ((void)0)
#define FAILPOINT_IF(condition, name) ((void)0)
#define FAILPOINT_AFTER(first, name) ((void)0)

#endif
