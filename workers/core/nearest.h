/* nearest — what somebody meant who mistyped a name. */
#pragma once

#include "core/base.h"

/* Of `names` (ended by NULL) the one most like `s`; NULL when none is near. */
const char *nearest(const char *s, const char *const *names);
