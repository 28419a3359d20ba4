/* Any record: u16 BE length and a header block, u8 length and a key, the rest is the value. What
 * is taken has all its attributes; what is refused has problems. */
#include "core/envelope.h"
#include "core/header_block.h"
#include "core/schema.h"
#include "core/utf8.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s, size_t bytes_max)
{
    assert(s && s[0] && strlen(s) <= bytes_max && utf8_printable(s, strlen(s)));
}

static void check_taken(const struct command *c, struct problems *problems)
{
    check_text(c->id, 256);
    check_text(c->source, 256);
    check_text(c->type, 1024);
    check_text(c->subject, 1024);
    check_text(c->correlation_id, 1024);
    assert(strchr(c->subject, '/') && c->json && c->data.p && c->attempt >= 1);
    char name[1100];
    snprintf(name, sizeof name, "commands/%s", c->type_short);
    const struct schema *s = schema_find(name);
    if (s) {
        bool ok = schema_validate(s, c->json, problems);
        assert(ok == (problems->total == 0));
    }
}

static struct bytes cut(const uint8_t **p, const uint8_t *end, size_t n)
{
    size_t left = (size_t)(end - *p);
    struct bytes b = {*p, n < left ? n : left};
    *p += b.n;
    return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(16384, 16 << 20);
    if (size < 3 || !arena)
        return 0;
    const uint8_t *p = data + 2, *end = data + size;
    struct bytes block = cut(&p, end, (size_t)data[0] << 8 | data[1]);
    struct record r = {.topic = "drawbridge.provisioning"};
    struct header *headers = NULL;
    struct err err = {0};
    if (!header_block_parse(arena, block, &headers, &r.nheaders, &err))
        return 0;
    r.headers = headers;
    struct bytes length = cut(&p, end, 1);
    r.key = length.n && length.p[0] ? cut(&p, end, length.p[0]) : (struct bytes){0};
    r.value = p < end ? (struct bytes){p, (size_t)(end - p)} : (struct bytes){0};
    struct problems problems;
    problems_init(&problems, arena);
    struct command c;
    bool ok = envelope_parse(arena, &r, &c, &problems);
    assert(ok == (problems.total == 0));
    if (ok)
        check_taken(&c, &problems);
    envelope_done(&c);
    return 0;
}
