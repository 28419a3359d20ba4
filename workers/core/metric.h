/* metric — numbers a scraper reads. Every metric is a row of metric.def:
 *   METRIC(id, type COUNTER|GAUGE|HISTOGRAM, "drawbridge_name_unit", label or NULL, "Sentence.")
 * At most one label per metric; its values are registered on first use, at most 64 of each (more
 * fall into "other"). Single-threaded: only the loop's thread touches them. */
#pragma once

#include "core/base.h"
#include "core/buf.h"

enum metric_id {
#define METRIC(id, type, name, label, help) METRIC_##id,
#include "core/metric.def"
#undef METRIC
    METRIC_IDS
};

void metric_add(enum metric_id id, const char *label, double v);     /* counters */
void metric_set(enum metric_id id, const char *label, double v);     /* gauges */
void metric_observe(enum metric_id id, const char *label, double v); /* histograms, seconds */
double metric_get(enum metric_id id, const char *label); /* counter or gauge; 0 unseen */
/* Prometheus text format 0.0.4 of everything, `worker` as a constant label; besides the rows, the
 * process's memory, CPU time, start and open files under their usual names. */
void metric_render(struct buf *out, const char *worker);
void metric_reset(void); /* for tests */
