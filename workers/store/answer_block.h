/* answer_block — an answer and all that it points to, in one block. */
#pragma once

#include "domain/connection.h"

/* The room that a copy takes. */
size_t answer_bytes(const struct connection_answer *a);
/* *to has that room; its pointers lead into it. */
void answer_copy(struct connection_answer *to, const struct connection_answer *a);
