/* oauth_body — the body of a provider's answer, JSON or a form, as one tree, and its members read
 * generously. For oauth_answer.c and its tests. */
#pragma once

#include "core/json_value.h"

/* NULL when it is neither a JSON object nor a form with a name and a value. */
json_t *body_parse(const char *text, size_t n);
/* Wipes what its texts held, then lets go. */
void body_done(json_t **body);
#define auto_body auto_with(body_done)

/* By JSON pointer whose names have no "~"; NULL when it is not there. */
const json_t *body_at(const json_t *body, const char *pointer);
/* NULL when it is no text. */
const char *body_text(const json_t *o, const char *key);
/* A number, or a text that is one; -1 when it is none, or below zero. */
double body_number(const json_t *o, const char *key);
/* A text or a list of texts, as oauth_scopes has them; "" when it is neither, or too long. */
void body_scopes(const json_t *o, const char *key, char *out, size_t room);
/* A text of printable ASCII without spaces; false: it is none, or too long. */
must_check bool body_word(const json_t *o, const char *key, char *out, size_t room);
/* The same that is an https URL; one that is not there is "". */
must_check bool body_url(const json_t *o, const char *key, char *out, size_t room);
