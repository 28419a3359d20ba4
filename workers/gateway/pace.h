/* pace — refusals of a credential leave at a fixed time after their request began: at the next
 * multiple of 20 ms. How long it took to find out which it was does not show (T-04). */
#pragma once

#include "gateway/request.h"

#include <uv.h>

struct pace;

enum { PACE_US = 20000 };

struct pace *pace_new(uv_loop_t *loop, struct err *err);
/* `go` is called from the loop when the time of this request has come; at once without memory. */
void pace_hold(struct pace *p, struct request *r, void (*go)(struct request *r));
