/* access — who asks, and may they? The one way into every route that is not public (T-04, T-06). */
#pragma once

#include "gateway/request.h"

/* Ends in STAGE_BODY (granted) or in an answer: 401 without a good credential. At once or later. */
void access_check(struct request *r);
