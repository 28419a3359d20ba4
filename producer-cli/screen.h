/* screen — one picture after the other: in the same place of a terminal, without flicker and cut
 * to its height; one below the other on anything else, where nothing is redrawn or cut. */
#pragma once

#include "core/base.h"
#include "core/err.h"

#include <stdio.h>

struct screen {
    FILE *to;
    bool is_terminal;
    FILE *page; /* where the next picture is drawn */
    char *text;
    size_t n;
    bool drawn; /* one is there already */
};

void screen_init(struct screen *s, FILE *to);
/* What is written to the result is the next picture; NULL without memory. */
FILE *screen_begin(struct screen *s, struct err *err);
/* Shows it. False when it cannot be written (a pipe that was closed). */
must_check bool screen_end(struct screen *s);
void screen_done(struct screen *s);
