/* Effects under way: a token names the shard's opening, the lane and the command, so that what
 * comes back late, for a shard that has been lost meanwhile, is dropped: the successor observes. */
#include "core/engine_internal.h"

#include "core/failpoint.h"
#include "core/metric.h"

#include <string.h>

uint64_t effect_open(struct engine *e, struct shard *s, const char *subject, const uint8_t *digest,
                     struct call_slot *slot)
{
    struct open_effect *more = grown(e->effects, &e->effects_cap, e->neffects + 1, sizeof *more);
    char *copy = strdup(subject);
    if (more)
        e->effects = more;
    if (!more || !copy) {
        free(copy);
        return 0; /* the row stays open: a reset resumes it */
    }
    struct open_effect *o = &e->effects[e->neffects++];
    *o = (struct open_effect){.token = ++e->next_token,
                              .shard = s,
                              .generation = s->generation,
                              .subject = copy,
                              .t0_us = clock_mono_us(e->clock),
                              .slot = *slot};
    *slot = (struct call_slot){0};
    memcpy(o->digest, digest, 16);
    return o->token;
}

static struct open_effect *find(struct engine *e, uint64_t token)
{
    for (size_t i = 0; i < e->neffects; i++)
        if (e->effects[i].token == token)
            return &e->effects[i];
    return NULL;
}

static bool live(const struct open_effect *o)
{
    return o && o->generation == o->shard->generation && o->shard->state == SHARD_OPEN;
}

bool engine_effect_live(struct engine *e, uint64_t token)
{
    return live(find(e, token)) && !engine_stalled(e);
}

static void forget(struct engine *e, struct open_effect *o)
{
    gate_release(&o->slot);
    free(o->subject);
    *o = e->effects[--e->neffects];
    e->busy = true;
}

static struct pool *note_sign(struct engine *e, const struct open_effect *o, enum effect_sign sign)
{
    if (gate_came_back(e->gate, &o->slot, sign == EFFECT_ANSWERED, clock_ms(e->clock)))
        hold_changed(e);
    return sign == EFFECT_ANSWERED ? NULL : o->slot.dependency;
}

void engine_effect_done(struct engine *e, uint64_t token, enum effect_sign sign, void *blob,
                        void (*free_blob)(void *))
{
    struct open_effect *o = find(e, token);
    struct pool *failed = o ? note_sign(e, o, sign) : NULL;
    struct ref *r = NULL;
    if (live(o))
        r = ref_new(ITEM_OUTCOME, o->subject, o->digest);
    if (r) {
        FAILPOINT("effect-answered");
        r->blob = blob;
        r->free_blob = free_blob;
        r->failed = failed;
        shard_push(o->shard, r);
    } else if (blob) {
        (free_blob ? free_blob : free)(blob);
    }
    if (o)
        forget(e, o);
    e->busy = true;
}

void engine_effect_throttled(struct engine *e, uint64_t token, int64_t until_ms)
{
    struct open_effect *o = find(e, token);
    struct ref *r = live(o) ? ref_new(ITEM_OUTCOME, o->subject, o->digest) : NULL;
    if (o && gate_throttled(e->gate, &o->slot, until_ms, clock_ms(e->clock)))
        hold_changed(e);
    if (r) {
        r->enough = o->slot.dependency;
        shard_push(o->shard, r);
    }
    if (o)
        forget(e, o);
    e->busy = true;
}

void engine_effect_abandon(struct engine *e, uint64_t token)
{
    struct open_effect *o = find(e, token);
    if (o)
        forget(e, o);
}

void effects_forget(struct engine *e)
{
    while (e->neffects)
        free(e->effects[--e->neffects].subject);
    free(take(e->effects));
    e->effects_cap = 0;
}

bool engine_due(struct engine *e, int shard, const char *type, const char *subject, const char *key,
                const char *id, void *blob, void (*free_blob)(void *))
{
    struct shard *s = shard >= 0 && shard < e->nshards ? e->shards[shard] : NULL;
    struct ref *r = s && s->state == SHARD_OPEN ? ref_new(ITEM_DUE, subject, NULL) : NULL;
    if (r) {
        r->type = strdup(type);
        r->key = strdup(key);
        r->id = strdup(id);
    }
    if (!r || !r->type || !r->key || !r->id) {
        ref_free(r);
        return false; /* the blob stays the caller's */
    }
    r->blob = blob;
    r->free_blob = free_blob;
    shard_push(s, r);
    return true;
}
