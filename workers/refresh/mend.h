/* mend — makes an interface what the rows say, where both have disagreed for a while: strays are
 * removed (H33), what is missing is applied again (V-23, V-24).
 *
 * A client may begin a session with a key that it had before, in the very moment in which its old
 * peer is removed as a stray. So the rows are read again *behind* each removal, and what they want
 * by then is applied: a session that begins has its key in its row before its peer is made, so
 * either that row is seen here, or its peer is made later than the removal. */
#pragma once

#include "refresh/peers.h"

struct mend;

/* NULL without memory. It looks after itself, and is done when *slot, where it is kept, is NULL
 * again. */
void mend_begin(struct mend **slot, struct engine *e, struct drivers *drivers,
                const struct peers *p);
