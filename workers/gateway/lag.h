/* lag — the ends of the topics that workers read, so that the overview can say what nobody has
 * taken yet. The brokers are asked beside the loop, and only while somebody wants to know. */
#pragma once

#include "core/topics.h"

struct gateway;
struct lag;

/* NULL: no memory, or a setting that Kafka's client refuses. */
struct lag *lag_new(struct gateway *g);
/* Somebody wants to know: what is older than two seconds is asked for again. */
void lag_want(struct lag *l);
/* The end of a topic's partition; -1: not known. */
int64_t lag_end(const struct lag *l, const char *topic, int32_t partition);
bool lag_known(const struct lag *l); /* the brokers have answered within the last 15 seconds */
const struct topics *lag_topics(const struct lag *l);
