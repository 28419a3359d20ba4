/* callback_page — what a person sees who comes back from a provider: a page of its own, without
 * script, without anything from elsewhere, with nothing secret in it but what the person's browser
 * has brought and is to bring again; every text is escaped. */
#pragma once

#include "gateway/request.h"

enum callback_tone { TONE_GOOD, TONE_WAIT, TONE_BAD };

/* What comes back when the person says so. */
struct callback_field {
    const char *name, *value; /* value NULL: left out */
};

struct callback_page {
    int status;
    enum callback_tone tone;
    const char *title;
    const char *said;       /* what has happened, a sentence or two */
    const char *next;       /* what to do now */
    const char *connection; /* its name; NULL: not known */
    const char *detail;     /* the provider's own words, cleaned; NULL: none */
    const char *requester;  /* who began it; NULL: not told */
    /* A button that posts these, up to a NULL name, to where the page comes from. NULL: none. */
    const char *button;
    const struct callback_field *fields;
};

/* Ends the request. */
void callback_page_answer(struct request *r, const struct callback_page *p);
/* The problem as such a page: a struct request's `tell`. */
void callback_page_problem(struct request *r, const struct problem_json *p);
