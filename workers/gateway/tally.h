/* tally — what is seen at the edge, counted for the audit trail (T-09): who came in, who was
 * refused, which links were used. Equal sightings of one window are one row, so that a flood costs
 * a bounded table and a bounded trail; what finds no room is counted without its particulars. A
 * quarter of the room is for who was let in, half of it for credentials, a quarter for refusals: no
 * flood of one is a cover for another. Where there is no room for who was let in or for a
 * credential, what is there is told before its time.
 *
 * The first of its kind is told at once, the rest as a count when the window ends; a kind that was
 * not seen for a whole window is forgotten. Nothing is lost, and nothing is told twice. Pure. */
#pragma once

#include "core/err.h"
#include "core/uuid.h"

enum sighting_kind {
    SEEN_AUTHENTICATED,
    SEEN_DENIED,
    SEEN_DOWNLOAD,
    SEEN_NO_DOWNLOAD,
    SEEN_CREDENTIAL,
    SEEN_NO_CREDENTIAL,
    SEEN_NO_CALLBACK,
    SEEN_KINDS
};

enum {
    SIGHTING_OWNER = 257,
    SIGHTING_CONNECTION = 194,
    SIGHTING_ADDRESS = 46,
    SIGHTING_CORRELATION = 129
};

/* Texts that are not known are "". What may be anything is cut where it is too long. */
struct sighting {
    enum sighting_kind kind;
    const char *reason; /* why not, "revoked"; NULL: it was let in. Static, like route */
    const char *route;  /* of the first of them */
    char token[UUID_TEXT], session[UUID_TEXT];
    char owner[SIGHTING_OWNER];
    char connection[SIGHTING_CONNECTION];   /* its id */
    char address[SIGHTING_ADDRESS];         /* of IPv6, where somebody was refused, the /64 */
    char correlation[SIGHTING_CORRELATION]; /* of the first of them */
};

struct tally_row {
    struct sighting what;
    int64_t count;             /* seen and not told */
    int64_t first_ms, last_ms; /* of these */
    bool told;                 /* the first has been: the rest waits for the end of the window */
};

struct tally;

/* rows: most kinds in one window. */
struct tally *tally_new(size_t rows, struct err *err);
void tally_free(struct tally **t);
void tally_see(struct tally *t, const struct sighting *what, int64_t now_ms);
/* The window ends: what is counted may be told, and what was not seen is forgotten. */
void tally_turn(struct tally *t);
/* A row that is to be told: copied, and counted anew. False: none is. */
bool tally_next(struct tally *t, struct tally_row *out);
size_t tally_untold(const struct tally *t); /* rows with a count */
