/* inquiry — who is it? Asked of the database, in one query; those who come with the same credential
 * while it is under way wait for the same answer.
 *
 * What took longer than KNOWN_FRESH_US to arrive is not believed and asked for again, at most three
 * times, and so is what something was heard about in the meantime (T-05). A good answer is known
 * from then on (known.h). Where a pepper is lost, Argon2id decides (slow.h). */
#pragma once

#include "gateway/known.h"

struct gateway;
struct inquiries;

/* known NULL: nothing is remembered, and everybody asks alone. Both outlive it. */
struct inquiries *inquiries_new(struct gateway *g, const struct peppers *peppers,
                                struct known *known, struct err *err);

/* found NULL: nobody can be asked for the moment. Both until the function returns. */
typedef void inquiry_fn(void *arg, const struct token_found *found, enum token_verdict verdict);

/* Who wants to know; the caller's, until it is told. */
struct inquirer {
    inquiry_fn *told; /* called from the loop, or at once when nobody can be asked */
    void *arg;
    struct inquirer *next;
};

/* c is copied. who NULL: to know it when it is asked for; without memory, nobody asks. */
void inquire(struct inquiries *all, const struct credential *c, struct inquirer *who);
