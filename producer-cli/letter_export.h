/* letter_export — dead letters as records in a file, one JSON document per line, with headers as
 * another system writes them (convention.h): for its tools, or for keeping.
 *
 *   {"topic": "drawbridge.provisioning.dlq", "partition": 3, "diedAt": "2026-11-20T22:10:00.000Z",
 *    "key": "ada", "headers": [{"name", "value"}…], "value": "{…}"}
 *
 * What is not UTF-8 (binary numbers in headers too) is "keyBase64", "base64" in a header, and
 * "valueBase64"; what was null is null. */
#pragma once

#include "db.h"

#include "core/arena.h"

#include "convention.h"

/* row: of dead_letter_show, not opened. A new document; NULL and err. */
json_t *letter_export_record(struct arena *a, const json_t *row, const struct convention *c,
                             struct err *err);
/* --export FILE ("-": standard output) of the letters with these ids; the exit code. ids: an array
 * of rows with an "id". */
int letter_export(struct cli *cli, struct db *db, const json_t *ids);

#define LETTER_EXPORT_OPTIONS                                                                      \
    {"export", "FILE", "write the records to a file, one JSON document per line (- for stdout)",   \
     OPT_TEXT, 0,      0,                                                                          \
     false},                                                                                       \
    {                                                                                              \
        "headers", "SYSTEM", "headers as drawbridge, spring or connect write them (drawbridge)",   \
            OPT_TEXT, 0, 0, false                                                                  \
    }
