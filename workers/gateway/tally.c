#include "gateway/tally.h"

#include <string.h>

#define NOBODY UINT32_MAX
#define VARIOUS "various" /* why: there was no room to tell them apart */

/* Whose room is no one else's: who was let in, credentials that were given, and refusals, of which
 * strangers may cause as many as they like. */
enum share { SHARE_LET_IN, SHARE_GIVEN, SHARE_REFUSED, SHARES };

static const enum share shares[SEEN_KINDS] = {
    [SEEN_AUTHENTICATED] = SHARE_LET_IN, [SEEN_DOWNLOAD] = SHARE_LET_IN,
    [SEEN_CREDENTIAL] = SHARE_GIVEN,     [SEEN_DENIED] = SHARE_REFUSED,
    [SEEN_NO_DOWNLOAD] = SHARE_REFUSED,  [SEEN_NO_CREDENTIAL] = SHARE_REFUSED,
    [SEEN_NO_CALLBACK] = SHARE_REFUSED,
};

struct tally {
    size_t n, max; /* max + SEEN_KINDS rows are there: the last are for what finds no room */
    size_t used[SHARES], told[SHARES]; /* of the n; told: rows whose first has been */
    size_t next;                       /* where tally_next goes on */
    size_t slots;                      /* a power of two, at least twice max */
    uint32_t *index;
    struct tally_row rows[];
};

static size_t slots_for(size_t rows)
{
    size_t slots = 64;
    while (slots < 2 * rows)
        slots *= 2;
    return slots;
}

static void forget_places(struct tally *t)
{
    for (size_t i = 0; i < t->slots; i++)
        t->index[i] = NOBODY;
}

struct tally *tally_new(size_t rows, struct err *err)
{
    struct tally *t = calloc(1, sizeof *t + (rows + SEEN_KINDS) * sizeof t->rows[0]);
    if (t) {
        t->max = rows;
        t->slots = slots_for(rows);
        t->index = calloc(t->slots, sizeof *t->index);
    }
    if (!t || !t->index) {
        free(t);
        (void)err_set(err, ERR_NO_MEMORY, "the tally");
        return NULL;
    }
    forget_places(t);
    return t;
}

void tally_free(struct tally **t)
{
    if (*t)
        free((*t)->index);
    free(*t);
    *t = NULL;
}

/* ---- places ---- */

/* FNV-1a: who knows it fills one chain of a table that has a thousand rows. */
static uint64_t mix(uint64_t h, const char *s)
{
    for (; s && *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001b3;
    return (h ^ 0xff) * 0x100000001b3;
}

static size_t place_of(const struct tally *t, const struct sighting *s)
{
    uint64_t h = mix(0xcbf29ce484222325 + (uint64_t)s->kind, s->reason);
    h = mix(mix(mix(mix(h, s->token), s->session), s->owner), s->address);
    h = mix(h, s->connection);
    return (size_t)(h >> 32) & (t->slots - 1);
}

static bool same_reason(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool same(const struct sighting *a, const struct sighting *b)
{
    return a->kind == b->kind && same_reason(a->reason, b->reason) && !strcmp(a->token, b->token) &&
           !strcmp(a->session, b->session) && !strcmp(a->owner, b->owner) &&
           !strcmp(a->address, b->address) && !strcmp(a->connection, b->connection);
}

/* Where it is, or belongs. */
static uint32_t *find(struct tally *t, const struct sighting *what)
{
    size_t at = place_of(t, what);
    while (t->index[at] != NOBODY && !same(&t->rows[t->index[at]].what, what))
        at = (at + 1) & (t->slots - 1);
    return &t->index[at];
}

/* ---- counting ---- */

static struct tally_row *spare_of(struct tally *t, const struct sighting *what)
{
    struct tally_row *row = &t->rows[t->max + what->kind];
    row->told = true; /* each of them would be a first one */
    row->what.kind = what->kind;
    row->what.reason = what->reason ? VARIOUS : NULL;
    return row;
}

static size_t room_of(const struct tally *t, enum share share)
{
    return share == SHARE_GIVEN ? t->max / 2 : t->max / 4;
}

/* The window of a share (SHARES: of all) ends: what is counted may be told, the rest is forgotten.
 */
static void end_window(struct tally *t, enum share which)
{
    size_t kept = 0;
    forget_places(t);
    memset(t->used, 0, sizeof t->used);
    for (size_t i = 0; i < t->n; i++) {
        enum share share = shares[t->rows[i].what.kind];
        bool ends = which == SHARES || which == share;
        if (ends && !t->rows[i].count)
            continue;
        if (kept != i)
            t->rows[kept] = t->rows[i];
        t->rows[kept].told = t->rows[kept].told && !ends;
        *find(t, &t->rows[kept].what) = (uint32_t)kept;
        t->used[share]++;
        kept++;
    }
    t->n = kept;
    for (size_t i = 0; i < SHARES; i++)
        t->told[i] = which == SHARES || which == i ? 0 : t->told[i];
}

/* Who is let in can be named, and does not hide among many: rather than that particulars are lost,
 * the window ends early. Not for a few rows' sake: it means a walk over all. */
static bool make_room(struct tally *t, enum share share)
{
    bool worth_it = t->told[share] && t->told[share] >= room_of(t, share) / 16;
    if (share == SHARE_REFUSED || !worth_it)
        return false;
    end_window(t, share);
    return t->used[share] < room_of(t, share);
}

static struct tally_row *row_of(struct tally *t, const struct sighting *what)
{
    enum share share = shares[what->kind];
    uint32_t *place = find(t, what);
    if (*place != NOBODY)
        return &t->rows[*place];
    if (t->used[share] >= room_of(t, share) && !make_room(t, share))
        return spare_of(t, what);
    place = find(t, what);
    *place = (uint32_t)t->n++;
    t->used[share]++;
    t->rows[*place] = (struct tally_row){.what = *what};
    return &t->rows[*place];
}

void tally_see(struct tally *t, const struct sighting *what, int64_t now_ms)
{
    struct tally_row *row = row_of(t, what);
    if (!row->count++) {
        row->what.route = what->route;
        memcpy(row->what.correlation, what->correlation, sizeof row->what.correlation);
        row->first_ms = now_ms;
    }
    row->last_ms = now_ms;
}

void tally_turn(struct tally *t)
{
    end_window(t, SHARES);
    t->next = 0;
    for (size_t i = t->max; i < t->max + SEEN_KINDS; i++)
        t->rows[i].told = false;
}

static struct tally_row *nth(struct tally *t, size_t i)
{
    return i < t->n ? &t->rows[i] : &t->rows[t->max + i - t->n];
}

bool tally_next(struct tally *t, struct tally_row *out)
{
    size_t all = t->n + SEEN_KINDS;
    for (size_t tried = 0; tried < all; tried++) {
        size_t i = t->next++ % all;
        struct tally_row *row = nth(t, i);
        if (row->told || !row->count)
            continue;
        if (i < t->n)
            t->told[shares[row->what.kind]]++;
        *out = *row;
        row->told = true;
        row->count = 0;
        return true;
    }
    return false;
}

size_t tally_untold(const struct tally *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        n += t->rows[i].count > 0;
    for (size_t i = t->max; i < t->max + SEEN_KINDS; i++)
        n += t->rows[i].count > 0;
    return n;
}
