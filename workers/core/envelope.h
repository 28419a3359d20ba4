/* envelope — a Kafka record read as CloudEvents 1.0: binary mode (ce_* headers) or structured mode
 * (content-type application/cloudevents+json). Kafka protocol binding for CloudEvents 1.0.2.
 *
 * The content-type alone chooses the mode; absent it is binary with application/json, anything else
 * is a problem. In structured mode ce_* headers are not looked at. The drawbridge-* headers, which
 * tell of delivery and not of the event, are headers in both modes. */
#pragma once

#include "core/buf.h"
#include "core/command.h"
#include "core/problem.h"

#define MESSAGE_BYTES_MAX (256 * 1024)

/* Reads r into *out. All problems found are added (not only the first): missing or doubled
 * attributes, bad UTF-8, bad times, wrong specversion, a subject that is not noun/id, no key, JSON
 * that is malformed, has duplicate keys, a NUL, or is nested deeper than 64; a value beyond
 * MESSAGE_BYTES_MAX is not parsed at all. Places are "header ce_id", in structured mode
 * "attribute id", "key", and "" for the body. true when there was none.
 *
 * out->json is a new reference: json_decref it (envelope_done) when the batch ends. On failure
 * *out holds whatever could be read (id, type, subject …), for the dead letter's index.
 *
 * out->data is the body as it came; in structured mode it is the data written anew (compact, keys
 * sorted), or the decoded data_base64. out->payload covers those bytes, so a resend must use the
 * mode of the first sending to count as the same. */
must_check bool envelope_parse(struct arena *a, const struct record *r, struct command *out,
                               struct problems *problems);
void envelope_done(struct command *c);

/* The value of the first header of that name, or NULL. */
const struct header *record_header(const struct record *r, const char *name);

/* What a message of ours says about itself. */
struct envelope {
    const char *id, *source, *type, *subject;                         /* type with its prefix */
    const char *correlation_id, *causation_id, *tenant, *traceparent; /* NULL: left out */
    int64_t time_ms;
    int64_t expiry_ms, sequence; /* 0: left out */
};
/* Appends the headers of binary mode as a header block (core/header_block.h). */
void envelope_headers(struct buf *out, const struct envelope *e);
