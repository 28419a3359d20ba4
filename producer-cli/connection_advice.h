/* connection_advice — what the state of a connection means, in plain words, and what to do next. */
#pragma once

#include "out.h"

/* row: status, reason, oauth_flow_type, user_code as connection_show has them. The texts are
 * constants; `next` is a command without "drawbridge " and the id behind it, NULL: nothing is to be
 * done. */
struct connection_advice {
    const char *means;
    const char *next;
};
struct connection_advice connection_advice(const json_t *row);
/* Both, as lines. */
void connection_advice_people(struct out *o, const json_t *row);
