/* page — a list's rows, and where the next page begins. */
#pragma once

#include "cli.h"

#define PAGE_ROWS 50
#define OPTION_LIMIT                                                                               \
    {                                                                                              \
        "limit", "N", "rows on a page (50)", OPT_INT, 1, 1000, false                               \
    }
#define OPTION_CURSOR                                                                              \
    {                                                                                              \
        "cursor", "CURSOR", "where the last page ended", OPT_TEXT, 0, 0, false                     \
    }

/* --limit, for a query. */
void page_limit(const struct line *l, char out[static 24]);
/* {name: rows, "cursor": the last one's `key`, or null on the last page}. Takes rows over. */
json_t *page_json(const struct line *l, const char *name, json_t *rows, const char *key);
/* "3 connections", and how to go on. */
void page_people(struct out *o, const json_t *doc, const char *name);
