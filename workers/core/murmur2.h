/* murmur2 — the hash with which Kafka's Java client places a key on a partition
 * (org.apache.kafka.common.utils.Utils.murmur2, seed 0x9747b28c). */
#pragma once

#include "core/base.h"

uint32_t murmur2(const void *key, size_t n);
/* toPositive(murmur2(key)) % partitions; partitions is at least 1. */
int32_t murmur2_partition(const void *key, size_t n, int32_t partitions);
