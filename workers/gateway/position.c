#include "gateway/position.h"

#include <string.h>

bool position_copy(struct position *to, const struct position *from)
{
    int64_t *seq = from->n ? realloc(to->seq, (size_t)from->n * sizeof *seq) : to->seq;
    if (from->n && !seq)
        return false;
    to->seq = seq;
    to->n = from->n;
    if (from->n)
        memcpy(to->seq, from->seq, (size_t)from->n * sizeof *seq);
    return true;
}

bool position_set(struct position *p, int32_t shard, int64_t seq)
{
    if (shard < 0 || shard >= POSITION_SHARDS)
        return false;
    if (shard >= p->n) {
        int64_t *more = realloc(p->seq, ((size_t)shard + 1) * sizeof *more);
        if (!more)
            return false;
        memset(more + p->n, 0, (size_t)(shard + 1 - p->n) * sizeof *more);
        p->seq = more;
        p->n = shard + 1;
    }
    if (seq > p->seq[shard])
        p->seq[shard] = seq;
    return true;
}

int64_t position_of(const struct position *p, int32_t shard)
{
    return shard >= 0 && shard < p->n ? p->seq[shard] : 0;
}

bool position_covers(const struct position *p, const struct position *q)
{
    for (int32_t i = 0; i < q->n; i++)
        if (position_of(p, i) < q->seq[i])
            return false;
    return true;
}

void position_done(struct position *p)
{
    free(p->seq);
    *p = (struct position){0};
}

/* ---- as text ---- */

/* A number of at most 18 digits, written one way. */
static bool number(const char **at, int64_t *out)
{
    size_t n = strspn(*at, "0123456789");
    if (n == 0 || n > 18 || (n > 1 && **at == '0'))
        return false;
    *out = 0;
    for (; n; n--, ++*at)
        *out = *out * 10 + (**at - '0');
    return true;
}

bool position_parse(const char *text, struct position *out)
{
    struct position p = {0};
    bool good = *text != 0;
    for (int32_t shard = 0; good && *text; shard++) {
        int64_t seq = 0;
        good = number(&text, &seq) && position_set(&p, shard, seq) &&
               (!*text || (*text == '.' && text[1]));
        text += good && *text;
    }
    if (good)
        *out = p;
    else
        position_done(&p);
    return good;
}

void position_print(const struct position *p, struct buf *out)
{
    if (!p->n)
        buf_str(out, "0");
    for (int32_t i = 0; i < p->n; i++) {
        if (i)
            buf_str(out, ".");
        buf_int(out, p->seq[i]);
    }
}

void position_args(const struct position *p, struct args *a)
{
    args_array(a, OID_INT4);
    for (int32_t i = 0; i < p->n; i++)
        item_int4(a, i);
    args_array_end(a);
    args_array(a, OID_INT8);
    for (int32_t i = 0; i < p->n; i++)
        item_int8(a, p->seq[i]);
    args_array_end(a);
}
