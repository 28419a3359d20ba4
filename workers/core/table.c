#include "core/table.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

enum { SLOTS_LEAST = 8 };

struct table {
    struct arena *arena;
    struct table_row *rows; /* in the order of insertion; room for half as many as slots */
    uint64_t *hashes;       /* of each row */
    uint32_t *slots;        /* index of a row + 1; 0 is free */
    size_t n, nslots;       /* nslots is a power of two */
    bool digests;
};

static uint8_t secret[crypto_shorthash_KEYBYTES];

static void draw_secret(void)
{
    static bool drawn;

    if (!drawn)
        crypto_shorthash_keygen(secret);
    drawn = true;
}

/* Who looks for ids with like digests does not know what they are multiplied by. */
static uint64_t digest_hash(const void *key)
{
    uint64_t factor, hash;

    memcpy(&factor, secret, sizeof(factor));
    memcpy(&hash, key, sizeof(hash));
    hash *= factor | 1;
    return hash ^ hash >> 32;
}

static uint64_t hash_of(const struct table *t, const void *key, size_t n)
{
    uint64_t hash;

    if (t->digests && n == 16)
        return digest_hash(key);
    (void)crypto_shorthash((uint8_t *)&hash, n ? key : "", n, secret);
    return hash;
}

static bool take_memory(struct table *t, size_t nslots)
{
    struct table_row *rows = arena_array(t->arena, nslots / 2, sizeof(*rows));
    uint64_t *hashes = arena_array(t->arena, nslots / 2, sizeof(*hashes));
    uint32_t *slots = arena_array(t->arena, nslots, sizeof(*slots));

    if (!rows || !hashes || !slots)
        return false;
    if (t->n > 0) {
        memcpy(rows, t->rows, t->n * sizeof(*rows));
        memcpy(hashes, t->hashes, t->n * sizeof(*hashes));
    }
    t->rows = rows;
    t->hashes = hashes;
    t->slots = slots;
    t->nslots = nslots;
    return true;
}

struct table *table_new(struct arena *a, size_t expected)
{
    struct table *t = arena_get(a, sizeof(*t));
    size_t nslots = SLOTS_LEAST;

    while (nslots / 2 < expected && nslots <= UINT32_MAX / 2)
        nslots *= 2;
    if (!t)
        return NULL;
    draw_secret();
    t->arena = a;
    return take_memory(t, nslots) ? t : NULL;
}

struct table *table_of_digests(struct arena *a, size_t expected)
{
    struct table *t = table_new(a, expected);

    if (t)
        t->digests = true;
    return t;
}

/* The slot of the key, or the free one where it belongs. */
static size_t find(const struct table *t, uint64_t hash, const void *key, size_t n)
{
    size_t at = hash & (t->nslots - 1);

    while (t->slots[at]) {
        size_t i = t->slots[at] - 1;

        if (t->hashes[i] == hash && t->rows[i].key.n == n &&
            (n == 0 || memcmp(t->rows[i].key.p, key, n) == 0))
            break;
        at = (at + 1) & (t->nslots - 1);
    }
    return at;
}

static bool grow(struct table *t)
{
    if (t->nslots > UINT32_MAX / 2 || !take_memory(t, t->nslots * 2))
        return false;
    for (size_t i = 0; i < t->n; i++) {
        size_t at = t->hashes[i] & (t->nslots - 1);

        while (t->slots[at])
            at = (at + 1) & (t->nslots - 1);
        t->slots[at] = (uint32_t)i + 1;
    }
    return true;
}

void *table_get(const struct table *t, const void *key, size_t n)
{
    if (!t->n)
        return NULL;
    uint32_t i = t->slots[find(t, hash_of(t, key, n), key, n)];

    return i ? t->rows[i - 1].value : NULL;
}

bool table_put(struct table *t, const void *key, size_t n, void *value)
{
    uint64_t hash = hash_of(t, key, n);
    size_t at = find(t, hash, key, n);

    if (t->slots[at]) {
        t->rows[t->slots[at] - 1].value = value;
        return true;
    }
    if (t->n == t->nslots / 2) {
        if (!grow(t))
            return false;
        at = find(t, hash, key, n);
    }
    const uint8_t *copy = arena_copy(t->arena, key, n);
    if (!copy)
        return false;
    t->rows[t->n] = (struct table_row){{copy, n}, value};
    t->hashes[t->n] = hash;
    t->slots[at] = (uint32_t)++t->n;
    return true;
}

size_t table_count(const struct table *t)
{
    return t->n;
}

const struct table_row *table_at(const struct table *t, size_t i)
{
    assert(i < t->n);
    return &t->rows[i];
}

void table_reset(struct table *t)
{
    t->n = 0;
    memset(t->slots, 0, t->nslots * sizeof(*t->slots));
}
