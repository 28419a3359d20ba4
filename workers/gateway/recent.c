#include "gateway/recent.h"

#include <stdlib.h>
#include <string.h>

#include "core/murmur2.h"

enum { WAYS = 4, WORKFLOWS = 1024 };

/* Everything it points to lies behind it. */
struct entry {
    struct recent_key key;
    struct recent_credential credential;
    int64_t asked_us;
    char text[];
};

/* All that have one connection name lie in one row, whosever they are: an event about GLOBAL's
 * finds those who have it for want of their own. */
struct row {
    struct entry *entries[WAYS];
    int64_t heard_us; /* last, about a connection of such a name */
};

struct recent {
    size_t rows;
    int64_t workflows_us[WORKFLOWS]; /* last heard, by a hash of their ids */
    struct row table[];
};

struct recent *recent_new(size_t rows, struct err *err)
{
    struct recent *r = calloc(1, sizeof *r + rows * sizeof r->table[0]);
    if (r)
        r->rows = rows;
    else
        (void)err_set(err, ERR_NO_MEMORY, "recent credentials");
    return r;
}

void recent_free(struct recent **r)
{
    for (size_t i = 0; *r && i < (*r)->rows; i++)
        for (int w = 0; w < WAYS; w++)
            free((*r)->table[i].entries[w]);
    free(*r);
    *r = NULL;
}

/* ---- looking ---- */

static size_t row_of(const struct recent *r, const char *name, size_t n)
{
    return murmur2(name, n) & (r->rows - 1);
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool is_of(const struct entry *e, const struct recent_key *key)
{
    return e && !strcmp(e->key.name, key->name) && !strcmp(e->key.org, key->org) &&
           is_same(e->key.workflow, key->workflow);
}

const struct recent_credential *recent_find(const struct recent *r, const struct recent_key *key,
                                            int64_t now_us)
{
    const struct row *row = &r->table[row_of(r, key->name, strlen(key->name))];
    for (int w = 0; w < WAYS; w++)
        if (is_of(row->entries[w], key))
            return now_us - row->entries[w]->asked_us <= RECENT_FRESH_US
                       ? &row->entries[w]->credential
                       : NULL;
    return NULL;
}

/* ---- keeping ---- */

static size_t size_of(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

/* Copies n bytes to *at; NULL stays NULL. */
static const char *keep(char **at, const void *p, size_t n)
{
    char *to = *at;
    if (!p)
        return NULL;
    memcpy(to, p, n);
    *at += n;
    return to;
}

static const char *keep_text(char **at, const char *s)
{
    return keep(at, s, size_of(s));
}

static struct entry *entry_new(const struct recent_key *key, const struct recent_credential *c)
{
    size_t n = size_of(key->org) + size_of(key->name) + size_of(key->workflow) + size_of(c->id) +
               size_of(c->token_type) + size_of(c->scopes) + c->sealed.n;
    struct entry *e = malloc(sizeof *e + n);
    char *at = e ? e->text : NULL;
    if (!e)
        return NULL;
    *e = (struct entry){.credential = *c};
    e->key.org = keep_text(&at, key->org);
    e->key.name = keep_text(&at, key->name);
    e->key.workflow = keep_text(&at, key->workflow);
    e->credential.id = keep_text(&at, c->id);
    e->credential.token_type = keep_text(&at, c->token_type);
    e->credential.scopes = keep_text(&at, c->scopes);
    e->credential.sealed.p = (const uint8_t *)keep(&at, c->sealed.p, c->sealed.n);
    return e;
}

static int64_t *workflow_at(struct recent *r, const char *id, size_t n)
{
    return &r->workflows_us[murmur2(id, n) % WORKFLOWS];
}

/* Its own place, a free one, or the oldest's. */
static struct entry **place_for(struct row *row, const struct recent_key *key)
{
    struct entry **best = &row->entries[0];
    for (int w = 0; w < WAYS; w++) {
        struct entry **e = &row->entries[w];
        if (is_of(*e, key))
            return e;
        if (*best && (!*e || (*e)->asked_us < (*best)->asked_us))
            best = e;
    }
    return best;
}

void recent_put(struct recent *r, const struct recent_key *key, const struct recent_credential *c,
                int64_t asked_us)
{
    struct row *row = &r->table[row_of(r, key->name, strlen(key->name))];
    bool heard =
        row->heard_us >= asked_us ||
        (key->workflow && *workflow_at(r, key->workflow, strlen(key->workflow)) >= asked_us);
    struct entry *e = !heard && c->sealed.n <= RECENT_SEALED_MAX ? entry_new(key, c) : NULL;
    struct entry **place = place_for(row, key);
    if (!e)
        return;
    e->asked_us = asked_us;
    free(*place);
    *place = e;
}

/* ---- hearing ---- */

static bool begins(const char *s, size_t n, const char *with)
{
    return n > strlen(with) && !memcmp(s, with, strlen(with));
}

static void heard_connection(struct recent *r, const char *id, size_t n, int64_t now_us)
{
    const char *slash = memchr(id, '/', n);
    const char *name = slash ? slash + 1 : id;
    struct row *row = &r->table[row_of(r, name, n - (size_t)(name - id))];
    row->heard_us = now_us;
    for (int w = 0; w < WAYS; w++) {
        free(row->entries[w]); /* one that has another name is asked for again */
        row->entries[w] = NULL;
    }
}

static void heard_workflow(struct recent *r, const char *id, size_t n, int64_t now_us)
{
    *workflow_at(r, id, n) = now_us;
    for (size_t i = 0; i < r->rows; i++)
        for (int w = 0; w < WAYS; w++) {
            struct entry *e = r->table[i].entries[w];
            if (!e || !e->key.workflow || strlen(e->key.workflow) != n ||
                memcmp(e->key.workflow, id, n) != 0)
                continue;
            free(e);
            r->table[i].entries[w] = NULL;
        }
}

void recent_heard(struct recent *r, const char *subject, size_t n, int64_t now_us)
{
    static const char connection[] = "connection/", workflow[] = "workflow/";
    if (begins(subject, n, connection))
        heard_connection(r, subject + sizeof connection - 1, n - (sizeof connection - 1), now_us);
    else if (begins(subject, n, workflow))
        heard_workflow(r, subject + sizeof workflow - 1, n - (sizeof workflow - 1), now_us);
}
