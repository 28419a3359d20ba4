/* letter_edit — a dead letter's message changed: by pointers, by headers, or in an editor; checked
 * as its worker will check it, before anything is sent. */
#pragma once

#include "cli.h"

#include "core/arena.h"
#include "core/command.h"
#include "core/problem.h"

struct letter_edit {
    char *value;     /* the new body */
    json_t *headers; /* name -> text, or null to drop it; empty: none is changed */
    json_t *diff;    /* of body and headers, [{"op", "pointer", "from", "to"}] */
};
void letter_edit_done(struct letter_edit *e);

/* The body as the options say (--set, --unset, --value), or NULL and err. body: as it is. */
char *letter_edit_body(const struct line *l, const char *body, struct err *err);
/* Whether the options change the body, so that no editor is wanted. */
bool letter_edit_is_told(const struct line *l);
/* {"name": "text"|null} of --header NAME=VALUE and --drop-header NAME. */
json_t *letter_edit_headers(const struct line *l, struct err *err);
/* $VISUAL, $EDITOR or vi on the text, in a file of its own that is removed again. The new text;
 * NULL and err when the editor failed. */
char *letter_edit_in_editor(const char *text, const char *name, struct err *err);

/* Whether the record with this body and these headers is a command that the worker takes: envelope,
 * type, schema, key and subject. Every problem is added. */
must_check bool letter_edit_check(struct arena *a, const struct record *old, const char *worker,
                                  const char *body, const json_t *headers,
                                  struct problems *problems);
/* What is different, headers at "header NAME". */
json_t *letter_edit_difference(const struct record *old, const char *body, const json_t *headers);
