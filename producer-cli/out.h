/* out — what a command prints: tables and facts for people, one JSON document for programs.
 *
 * Both come from the same json_t, so that they cannot disagree. Text from outside (names, messages
 * of providers) is printed without its control characters: a terminal must not obey it. Colour
 * only on a terminal, and never with NO_COLOR or --no-color. */
#pragma once

#include "core/buf.h"

#include <stdio.h>

#include <jansson.h>

enum out_style { STYLE_PLAIN, STYLE_DIM, STYLE_BOLD, STYLE_GOOD, STYLE_WARN, STYLE_BAD };

enum out_format {
    FORMAT_TEXT,
    FORMAT_NUMBER, /* right-aligned, thousands apart */
    FORMAT_BYTES,  /* "1.2 MiB" */
    FORMAT_MS,     /* "412 ms", "2.5 s" */
    FORMAT_TIME,   /* "2026-11-20 23:58:01" (UTC) */
    FORMAT_AGO,    /* "12 s ago", "in 3 min" */
    FORMAT_STATUS, /* coloured by its word */
    FORMAT_YESNO,
    FORMAT_LIST, /* array, comma-separated; an empty one is "–" */
};

struct column {
    const char *key;   /* member of the row */
    const char *title; /* for people */
    enum out_format format;
    size_t width_max; /* longer cells are cut with "…", and on a narrow terminal shorter ones too;
                         0: never */
};

struct out {
    FILE *to;
    bool color;
    int64_t now_ms; /* what "ago" counts from */
    size_t width;   /* columns of the terminal (or COLUMNS), which tables keep to; 0: any */
};

/* Colour is decided here, once: `wanted` and `to` is a terminal and NO_COLOR is unset or empty. */
void out_init(struct out *o, FILE *to, bool wanted, int64_t now_ms);

/* rows: an array of objects. columns: ended by a zeroed row. Titles, then one line each; columns
 * that are empty in every row are left out. */
void out_table(struct out *o, const json_t *rows, const struct column *columns);
/* The same; on a terminal that is too narrow the columns named leave, first those of them that say
 * nothing but 0, then one after the other. leaving: keys, a blank between. */
void out_table_leaving(struct out *o, const json_t *rows, const struct column *columns,
                       const char *leaving);
/* The same with a line under each row: the text of its member `note`, dimmed and wrapped; none
 * where it is missing. */
void out_table_notes(struct out *o, const json_t *rows, const struct column *columns,
                     const char *note);
/* The text without what a terminal would obey, broken at blanks to fit the terminal's width, each
 * line after the first behind `indent` blanks; the first begins at column `indent` already. Ends
 * the line. */
void out_wrapped(struct out *o, enum out_style style, const char *text, size_t indent);
/* One object as lines "title  value"; members that are missing or null are left out. */
void out_facts(struct out *o, const json_t *row, const struct column *columns);
/* "12 s ago" of a time, as FORMAT_AGO prints it. */
void out_time_text(const struct out *o, struct buf *to, const json_t *time);
/* "15 ms", "2.5 s" of a number of milliseconds; nothing for what is none. */
void out_ms_text(struct buf *to, const json_t *ms);
/* One document, indented, with a line end; or one line (compact). */
void out_json(struct out *o, const json_t *doc);
void out_json_line(struct out *o, const json_t *doc);
void out_line(struct out *o, enum out_style style, const char *format, ...) printf_like(3, 4);
/* Without a line end. */
void out_text(struct out *o, enum out_style style, const char *format, ...) printf_like(3, 4);

/* Columns a terminal uses for the text (combining marks 0, wide letters 2). */
size_t text_width(const char *s);
/* A copy that a terminal cannot obey: control characters and broken UTF-8 become U+FFFD, at most
 * `width_max` columns (0: all). NULL without memory. */
char *text_clean(const char *s, size_t width_max);
