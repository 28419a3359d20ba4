/* letter_filter — which dead letters are meant. One set of options for every `dlq` command, one
 * JSON document for every query (dead_letter_matching in sql/migrations): a member per option, each
 * an array of texts of which one must fit. A job keeps the document it was made from. */
#pragma once

#include "cli.h"

#include "core/buf.h"

#define LETTER_FILTER_OPTIONS                                                                        \
    {"id", "ID", "only this dead letter", OPT_TEXT, 0, 0, true},                                     \
        {"worker", "NAME", "only this worker's: provisioning, teardown or refresh", OPT_TEXT, 0,     \
         0,        true},                                                                            \
        {"type", "TYPE", "only commands of this type, such as session.start", OPT_TEXT, 0, 0, true}, \
        {"tenant", "TENANT", "only this tenant's", OPT_TEXT, 0, 0, true},                            \
        {"subject", "SUBJECT", "only of this resource: session/ID, or the ID alone", OPT_TEXT, 0,    \
         0,         true},                                                                           \
        {"command", "ID", "only of this command: its id, or how it begins", OPT_TEXT, 0, 0, true},   \
        {"class", "CLASS", "only failures of this class, such as invalid", OPT_TEXT, 0, 0, true},    \
        {"code", "CODE", "only this reason, such as schema.violation", OPT_TEXT, 0, 0, true},        \
        {"place", "POINTER", "only with a problem there, such as /userId", OPT_TEXT, 0, 0, true},    \
        {"text", "TEXT", "only where a message has it", OPT_TEXT, 0, 0, true},                       \
        {"fingerprint", "PRINT", "only this group, see `drawbridge dlq groups`", OPT_TEXT, 0, 0,     \
         true},                                                                                      \
        {"since", "TIME|DURATION", "died since then: 2h, or 2026-11-20T22:00:00Z", OPT_TEXT, 0, 0,   \
         false},                                                                                     \
        {"until", "TIME|DURATION", "died before that", OPT_TEXT, 0, 0, false},                       \
        {"state", "STATE", "parked, replaying, resolved, discarded or all", OPT_TEXT, 0, 0, true},   \
    {                                                                                                \
        "job", "N", "only what this job replayed, see `drawbridge dlq jobs`", OPT_TEXT, 0, 0, true   \
    }

/* From the line: its options, and its words as ids. state: what is meant without --state (NULL:
 * any). NULL and err when a value can fit nothing: an id that is no number, a worker there is not.
 */
json_t *letter_filter(const struct cli *cli, const char *state, struct err *err);
/* Whether anything but states was said: what changes letters wants more than that. */
bool letter_filter_says_something(const json_t *filter);
/* For people: "worker provisioning, type session.start or session.stop"; "all" when it is empty. */
void letter_filter_text(const json_t *filter, struct buf *out);
/* As the parameter of a query; NULL without memory. Freed by the caller. */
char *letter_filter_param(const json_t *filter);
