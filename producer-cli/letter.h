/* letter — one dead letter: its row as the database gives it, as a document for people and
 * programs, and as the record it holds. */
#pragma once

#include "db.h"

#include "core/arena.h"
#include "core/command.h"

/* The row of dead_letter_show, bytes still in PostgreSQL's text form; NULL and NOT_FOUND. */
json_t *letter_row(struct db *db, const char *id, struct err *err);

/* The record in a row, byte for byte, in the arena; edited or (original) as it came. */
must_check bool letter_record(struct arena *a, const json_t *row, bool original, struct record *out,
                              struct err *err);

/* Turns the row into a document: key, value and headers readable (value: JSON where it is, else
 * text, else {"base16"}), "cameWith" for what another system's headers say of an earlier death, and
 * "hint". */
void letter_open(json_t *row);
/* [{"name", "value"}] of a column of headers in PostgreSQL's text form; NULL when it is none. */
json_t *letter_headers(const char *column);
/* As letter_open does it for one column. NULL when it is null. */
json_t *letter_value(const char *column);

/* The facts of a row for header conventions (convention.h). */
json_t *letter_facts(const json_t *row);
/* The document, for people. */
void letter_people(struct out *o, const json_t *doc);
/* [{"op", "pointer", "from", "to"}] as lines - and +. */
void difference_people(struct out *o, const json_t *difference);
