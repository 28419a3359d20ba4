/* callback_page — what a person sees who comes back from a provider: a page of its own, without
 * script, without anything from elsewhere, with nothing secret in it; every text is escaped. */
#pragma once

#include "gateway/request.h"

enum callback_tone { TONE_GOOD, TONE_WAIT, TONE_BAD };

struct callback_page {
    int status;
    enum callback_tone tone;
    const char *title;
    const char *said;       /* what has happened, a sentence or two */
    const char *next;       /* what to do now */
    const char *connection; /* its name; NULL: not known */
    const char *detail;     /* the provider's own words, cleaned; NULL: none */
};

/* Ends the request. */
void callback_page_answer(struct request *r, const struct callback_page *p);
/* The problem as such a page: a struct request's `tell`. */
void callback_page_problem(struct request *r, const struct problem_json *p);
