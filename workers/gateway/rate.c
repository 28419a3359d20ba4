#include "gateway/rate.h"

#include <string.h>

#include "core/digest.h"

enum { WAYS = 8 }; /* slots a key may be in */

struct bucket {
    uint8_t key[DIGEST_BYTES];
    int64_t at_us; /* when `left` was right; 0: nobody's */
    double left;
};

struct rates {
    size_t slots;
    struct bucket buckets[];
};

struct rates *rates_new(size_t slots, struct err *err)
{
    slots = (slots + WAYS - 1) / WAYS * WAYS;
    struct rates *r = calloc(1, sizeof *r + slots * sizeof r->buckets[0]);
    if (r)
        r->slots = slots;
    else
        (void)err_set(err, ERR_NO_MEMORY, "limits of rate");
    return r;
}

void rates_free(struct rates **r)
{
    free(*r);
    *r = NULL;
}

/* The key's own slot, or the one that was idle for the longest time, emptied for it. */
static struct bucket *bucket_of(struct rates *r, const char *kind, const char *key, double burst,
                                int64_t now_us)
{
    uint8_t digest[DIGEST_BYTES];
    uint64_t at;
    const struct bytes parts[] = {{(const uint8_t *)kind, strlen(kind)},
                                  {(const uint8_t *)key, strlen(key)}};
    digest16(digest, parts, LEN(parts));
    memcpy(&at, digest, sizeof at);
    struct bucket *set = &r->buckets[at % (r->slots / WAYS) * WAYS], *oldest = set;
    for (struct bucket *b = set; b < set + WAYS; b++) {
        if (b->at_us && !memcmp(b->key, digest, sizeof digest))
            return b;
        if (b->at_us < oldest->at_us)
            oldest = b;
    }
    memcpy(oldest->key, digest, sizeof digest);
    oldest->at_us = now_us;
    oldest->left = burst;
    return oldest;
}

static int take_some(struct rates *r, const char *kind, const char *key, struct rate rate,
                     int64_t now_us, double some)
{
    struct bucket *b = bucket_of(r, kind, key, rate.burst, now_us);
    double left = b->left + (double)(now_us - b->at_us) / 1e6 * rate.per_second;
    b->left = left < rate.burst ? left : rate.burst;
    b->at_us = now_us;
    if (b->left >= 1) {
        b->left -= some;
        return 0;
    }
    double wait = (1 - b->left) / rate.per_second;
    return wait > 3600 ? 3600 : (int)wait + 1;
}

int rate_take(struct rates *r, const char *kind, const char *key, struct rate rate, int64_t now_us)
{
    return take_some(r, kind, key, rate, now_us, 1);
}

int rate_look(struct rates *r, const char *kind, const char *key, struct rate rate, int64_t now_us)
{
    return take_some(r, kind, key, rate, now_us, 0);
}
