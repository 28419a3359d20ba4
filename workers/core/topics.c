#include "core/topics.h"

#include <string.h>

#include <jansson.h>

#include "schemas.h"

const struct tier tiers[TIERS_N] = {
    {"1s", 1000},  {"2s", 2000},   {"4s", 4000},    {"5s", 5000},    {"15s", 15000},
    {"1m", 60000}, {"5m", 300000}, {"15m", 900000}, {"1h", 3600000},
};

static const char *const kinds[] = {
    [TOPIC_MAIN] = "main",     [TOPIC_TIER] = "tier",   [TOPIC_DLQ] = "dlq",
    [TOPIC_EVENTS] = "events", [TOPIC_AUDIT] = "audit",
};

struct topics {
    json_t *doc; /* owns every string */
    int32_t partitions;
    size_t n;
    struct topic *rows;
    struct topic_config *config; /* all rows' pairs, one after another */
};

const char *topic_kind_name(enum topic_kind kind)
{
    return kinds[kind];
}

static bool read_kind(const json_t *row, struct topic *t, struct err *err)
{
    const char *name = json_string_value(json_object_get(row, "kind"));
    for (size_t i = 0; name && i < LEN(kinds); i++)
        if (!strcmp(name, kinds[i])) {
            t->kind = (enum topic_kind)i;
            return true;
        }
    return err_set(err, ERR_CONF_INVALID, "topics: %s has no known kind", t->name);
}

static bool read_slot(const json_t *row, struct topic *t, struct err *err)
{
    t->slot = t->kind == TOPIC_MAIN || t->kind == TOPIC_EVENTS ? 0 : -1;
    if (t->kind != TOPIC_TIER)
        return true;
    t->delay_ms = json_integer_value(json_object_get(row, "delayMs"));
    for (int i = 0; i < TIERS_N; i++)
        if (tiers[i].delay_ms == t->delay_ms)
            t->slot = 1 + i;
    if (t->slot < 0)
        return err_set(err, ERR_CONF_INVALID, "topics: %s has a delay no tier has", t->name);
    const char *last = strrchr(t->name, '.');
    if (!last || strcmp(last + 1, tiers[t->slot - 1].name) != 0)
        return err_set(err, ERR_CONF_INVALID, "topics: %s is not named after its delay", t->name);
    return true;
}

static bool read_config(json_t *row, struct topic *t, struct topic_config **next, struct err *err)
{
    const char *name;
    json_t *value;
    t->config = *next;
    json_object_foreach(json_object_get(row, "config"), name, value)
    {
        if (!json_is_string(value))
            return err_set(err, ERR_CONF_INVALID, "topics: %s: %s is no string", t->name, name);
        *(*next)++ = (struct topic_config){name, json_string_value(value)};
        t->nconfig++;
    }
    return true;
}

static bool read_row(struct topics *ts, json_t *row, struct topic *t, struct topic_config **next,
                     struct err *err)
{
    t->name = json_string_value(json_object_get(row, "name"));
    if (!t->name)
        return err_set(err, ERR_CONF_INVALID, "topics: a row has no name");
    t->worker = json_string_value(json_object_get(row, "worker"));
    const json_t *partitions = json_object_get(row, "partitions");
    t->partitions = partitions ? (int32_t)json_integer_value(partitions) : ts->partitions;
    if (!read_kind(row, t, err) || !read_slot(row, t, err) || !read_config(row, t, next, err))
        return false;
    bool command = t->kind == TOPIC_MAIN || t->kind == TOPIC_TIER;
    if (t->partitions < 1 || (command && t->partitions != ts->partitions))
        return err_set(err, ERR_CONF_INVALID,
                       "topics: %s: command topics and tiers have equal partitions, at least 1",
                       t->name);
    if (!t->worker && t->kind != TOPIC_EVENTS && t->kind != TOPIC_AUDIT)
        return err_set(err, ERR_CONF_INVALID, "topics: %s belongs to no worker", t->name);
    return true;
}

static bool read_rows(struct topics *ts, json_t *list, struct err *err)
{
    size_t i, pairs = 0;
    json_t *row;
    json_array_foreach(list, i, row) pairs += json_object_size(json_object_get(row, "config"));
    ts->rows = calloc(json_array_size(list) + 1, sizeof *ts->rows);
    ts->config = calloc(pairs + 1, sizeof *ts->config);
    if (!ts->rows || !ts->config)
        return err_set(err, ERR_NO_MEMORY, "topics");
    struct topic_config *next = ts->config;
    json_array_foreach(list, i, row)
    {
        if (!read_row(ts, row, &ts->rows[i], &next, err))
            return false;
        ts->n++;
    }
    return true;
}

struct topics *topics_parse(const char *text, size_t n, struct err *err)
{
    auto_topics struct topics *ts = calloc(1, sizeof *ts);
    json_error_t why;
    if (!ts) {
        (void)err_set(err, ERR_NO_MEMORY, "topics");
        return NULL;
    }
    ts->doc = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    json_t *list = json_object_get(ts->doc, "topics");
    ts->partitions = (int32_t)json_integer_value(json_object_get(ts->doc, "partitions"));
    if (!json_is_array(list)) {
        (void)err_set(err, ERR_CONF_INVALID, "topics: %s", ts->doc ? "no list" : why.text);
        return NULL;
    }
    return read_rows(ts, list, err) ? take(ts) : NULL;
}

struct topics *topics_load(struct err *err)
{
    for (const struct schema_file *f = schema_files; f->name; f++)
        if (!strcmp(f->name, "topics"))
            return topics_parse(f->text, f->length, err);
    (void)err_set(err, ERR_INTERNAL, "topics: the declaration is not built in");
    return NULL;
}

void topics_free(struct topics **t)
{
    if (!*t)
        return;
    json_decref((*t)->doc);
    free((*t)->rows);
    free((*t)->config);
    free(take(*t));
}

size_t topics_count(const struct topics *t)
{
    return t->n;
}

const struct topic *topics_at(const struct topics *t, size_t i)
{
    return &t->rows[i];
}

const struct topic *topics_find(const struct topics *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->rows[i].name, name))
            return &t->rows[i];
    return NULL;
}

int32_t topics_partitions(const struct topics *t)
{
    return t->partitions;
}

bool topics_of(const struct topics *t, const char *worker,
               const struct topic *out[static TOPIC_SLOTS])
{
    bool audit = !strcmp(worker, "audit");
    for (int slot = 0; slot < TOPIC_SLOTS; slot++)
        out[slot] = NULL;
    for (size_t i = 0; i < t->n; i++) {
        const struct topic *row = &t->rows[i];
        bool ours = audit ? row->kind == TOPIC_EVENTS : row->worker && !strcmp(row->worker, worker);
        if (ours && row->slot >= 0)
            out[row->slot] = row;
    }
    return out[0] != NULL;
}
