/* curl_memory — libcurl's own copies of what it sends and receives are wiped before they are given
 * back to the heap: it holds tokens and client secrets. */
#pragma once

#include "core/err.h"

/* Starts libcurl; repeats do nothing. Only the first one in a process to start libcurl decides how
 * it gets memory, and librdkafka starts it too: to be called before the first Kafka client. */
must_check bool curl_memory_init(struct err *err);
