/* overview — the whole system at a glance, as `drawbridge status` has it: made once for all who
 * look, and again when what there is has become old. */
#pragma once

struct gateway;
struct overview;

/* NULL: no memory. */
struct overview *overview_new(struct gateway *g);
