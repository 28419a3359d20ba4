#include "gateway/known.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/uuid.h"

enum { WAYS = 8 /* slots a key may be in */, PLACES = 1 << 16 };

struct answer {
    struct token_found found; /* strings behind it */
    size_t which;
    char strings[];
};

struct slot {
    uint8_t key[KNOWN_KEY];
    int64_t asked_us;
    struct answer *answer; /* NULL: nobody's */
};

struct known {
    uint8_t secret[crypto_generichash_KEYBYTES], place_secret[crypto_shorthash_KEYBYTES];
    int64_t heard_us[PLACES]; /* by a hash of the subject */
    size_t slots;
    struct slot table[];
};

struct known *known_new(size_t slots, struct err *err)
{
    slots = (slots + WAYS - 1) / WAYS * WAYS;
    struct known *k = calloc(1, sizeof *k + slots * sizeof k->table[0]);
    if (!k) {
        (void)err_set(err, ERR_NO_MEMORY, "what is known of credentials");
        return NULL;
    }
    k->slots = slots;
    randombytes_buf(k->secret, sizeof k->secret);
    randombytes_buf(k->place_secret, sizeof k->place_secret);
    return k;
}

static void slot_empty(struct slot *s)
{
    free(s->answer);
    *s = (struct slot){0};
}

void known_free(struct known **k)
{
    struct known *old = take(*k);
    for (size_t i = 0; old && i < old->slots; i++)
        slot_empty(&old->table[i]);
    free(old);
}

void known_key(const struct known *k, const struct credential *c, uint8_t out[static KNOWN_KEY])
{
    crypto_generichash(out, KNOWN_KEY, c->digest, sizeof c->digest, k->secret, sizeof k->secret);
}

/* The first of the slots that the key may be in. */
static size_t set_of(const struct known *k, const uint8_t key[static KNOWN_KEY])
{
    uint64_t at;
    memcpy(&at, key, sizeof at);
    return at % (k->slots / WAYS) * WAYS;
}

static bool is_of(const struct slot *s, const uint8_t key[static KNOWN_KEY])
{
    return s->answer && !memcmp(s->key, key, KNOWN_KEY);
}

static bool fresh(const struct slot *s, int64_t now_us)
{
    return s->answer && now_us - s->asked_us <= KNOWN_FRESH_US;
}

/* ---- what was heard ---- */

static size_t place_of(const struct known *k, const char *subject, size_t n)
{
    uint8_t hash[crypto_shorthash_BYTES];
    uint16_t place;
    crypto_shorthash(hash, (const uint8_t *)subject, n, k->place_secret);
    memcpy(&place, hash, sizeof place);
    return place;
}

void known_heard(struct known *k, const char *subject, size_t n, int64_t now_us)
{
    if ((n > 6 && !memcmp(subject, "token/", 6)) || (n > 5 && !memcmp(subject, "user/", 5)))
        k->heard_us[place_of(k, subject, n)] = now_us;
}

static int64_t heard_of(const struct known *k, const char *kind, const char *id)
{
    char subject[300];
    int n = snprintf(subject, sizeof subject, "%s/%s", kind, id);
    return n > 0 && (size_t)n < sizeof subject ? k->heard_us[place_of(k, subject, (size_t)n)]
                                               : INT64_MAX;
}

bool known_unheard(const struct known *k, const struct token_found *found, int64_t asked_us)
{
    char id[UUID_TEXT];
    uuid_format(found->id, id);
    return !found->exists ||
           (heard_of(k, "token", id) < asked_us &&
            (!found->owner_is_user || heard_of(k, "user", found->owner) < asked_us));
}

/* ---- answers ---- */

static bool in_its_grace(const struct answer *a, int64_t now_ms)
{
    int64_t until_ms = a->found.secrets[a->which].valid_until_ms;
    return !until_ms || now_ms < until_ms;
}

const struct token_found *known_find(const struct known *k, const uint8_t key[static KNOWN_KEY],
                                     int64_t now_us, int64_t now_ms, bool *out_ahead)
{
    const struct slot *s = &k->table[set_of(k, key)], *end = s + WAYS;
    while (s < end && !is_of(s, key))
        s++;
    if (s == end || !fresh(s, now_us) || !token_still_good(&s->answer->found, now_ms) ||
        !in_its_grace(s->answer, now_ms) || !known_unheard(k, &s->answer->found, s->asked_us))
        return NULL;
    *out_ahead = now_us - s->asked_us > KNOWN_FRESH_US / 2;
    return &s->answer->found;
}

static size_t size_of(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

static void move(const char **s, char **to)
{
    size_t n = size_of(*s);
    if (!n)
        return;
    *s = memcpy(*to, *s, n);
    *to += n;
}

static struct answer *answer_new(const struct token_found *found, size_t which)
{
    struct answer *a = malloc(sizeof *a + size_of(found->owner) + size_of(found->name) +
                              size_of(found->tenant) + size_of(found->allowed_source_ips));
    if (!a)
        return NULL;
    char *to = a->strings;
    a->found = *found;
    a->which = which;
    move(&a->found.owner, &to);
    move(&a->found.name, &to);
    move(&a->found.tenant, &to);
    move(&a->found.allowed_source_ips, &to);
    for (size_t i = 0; i < TOKEN_SECRETS; i++)
        a->found.secrets[i].argon2id = NULL;
    return a;
}

/* The key's own slot, or the one with the oldest answer. */
static struct slot *slot_for(struct known *k, const uint8_t key[static KNOWN_KEY])
{
    struct slot *set = &k->table[set_of(k, key)], *oldest = set;
    for (struct slot *s = set; s < set + WAYS; s++) {
        if (is_of(s, key))
            return s;
        if (s->asked_us < oldest->asked_us)
            oldest = s;
    }
    return oldest;
}

void known_put(struct known *k, const uint8_t key[static KNOWN_KEY],
               const struct token_found *found, size_t which, int64_t asked_us)
{
    struct slot *s = slot_for(k, key);
    if (is_of(s, key) && s->asked_us > asked_us)
        return;
    struct answer *answer = answer_new(found, which);
    slot_empty(s);
    if (!answer)
        return;
    *s = (struct slot){.asked_us = asked_us, .answer = answer};
    memcpy(s->key, key, KNOWN_KEY);
}

void known_forget(struct known *k, const uint8_t key[static KNOWN_KEY])
{
    struct slot *s = slot_for(k, key);
    if (is_of(s, key))
        slot_empty(s);
}

void known_sweep(struct known *k, int64_t now_us)
{
    for (struct slot *s = k->table; s < k->table + k->slots; s++)
        if (s->answer && !fresh(s, now_us))
            slot_empty(s);
}
