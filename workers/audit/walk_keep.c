#include "audit/walk_internal.h"

#include "core/json_memory.h"

#include <string.h>

#include <jansson.h>

#define WALKER "audit"

static bool is_compared(const struct walk *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->shards[i].s.done < w->shards[i].kept)
            return false;
    return true;
}

static char *counts(const struct walk *w)
{
    json_t *all = json_object();
    for (size_t i = 0; all && i < w->n; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%d", w->shards[i].s.consumer, w->shards[i].s.n);
        json_object_set_new(all, name, json_integer(w->shards[i].kept));
    }
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}

static void on_kept(void *arg, const struct pg_failure *failure)
{
    struct walk *w = arg;
    if (!walk_query_failed(w, failure))
        walk_end(w, false);
}

void walk_keep(struct walk *w)
{
    int64_t now_us = clock_mono_us(engine_clock(w->e));
    json_text_free(take(w->ends));
    w->ends = topic_walk_positions(w->reader);
    char *shards = w->keeping && is_compared(w) && now_us >= w->keep_us ? counts(w) : NULL;
    if (!shards) {
        walk_end(w, false);
        return;
    }
    w->step = KEEPING;
    struct args *a = &w->args;
    args_clear(a);
    args_text(a, WALKER);
    args_text(a, w->keeping);
    args_text(a, shards);
    args_time(a, clock_ms(engine_clock(w->e)));
    pg_query(w->pg, SQL_TOPIC_WALK_PUT, a, NULL, NULL);
    pg_sync(w->pg, on_kept, w);
    json_text_free(take(w->keeping));
    json_text_free(shards);
}

static void on_kept_before(void *arg, const PGresult *res)
{
    struct walk *w = arg;
    if (!PQntuples(res))
        return;
    w->positions = strdup(pg_text(res, 0, 0));
    w->found = strdup(pg_text(res, 0, 1));
    if (!w->positions || !w->found)
        w->dropped = true;
}

static void on_looked(void *arg, const struct pg_failure *failure)
{
    struct walk *w = arg;
    if (!walk_query_failed(w, failure))
        walk_begin(w);
}

void walk_look(struct walk *w)
{
    w->step = FINDING;
    free(take(w->positions));
    free(take(w->found));
    struct args *a = &w->args;
    args_clear(a);
    args_text(a, WALKER);
    pg_query(w->pg, SQL_TOPIC_WALK_FIND, a, on_kept_before, w);
    pg_sync(w->pg, on_looked, w);
}
