/* envelope — a Kafka record read as CloudEvents 1.0: binary mode (ce_* headers) or structured mode
 * (content-type application/cloudevents+json). Kafka protocol binding for CloudEvents 1.0.2. */
#pragma once

#include "core/command.h"
#include "core/problem.h"

#define MESSAGE_BYTES_MAX (256 * 1024)

/* Reads r into *out. All problems found are added (not only the first): missing or doubled
 * attributes, bad UTF-8, bad times, wrong specversion, a subject that is not noun/id, JSON that is
 * malformed, has duplicate keys, a NUL, or is nested deeper than 64. true when there was none.
 * out->json is a new reference: json_decref it (envelope_done) when the batch ends. On failure
 * *out holds whatever could be read (id, type, subject …), for the dead letter's index. */
must_check bool envelope_parse(struct arena *a, const struct record *r, struct command *out,
                               struct problems *problems);
void envelope_done(struct command *c);

/* The value of the first header of that name, or NULL. */
const struct header *record_header(const struct record *r, const char *name);
