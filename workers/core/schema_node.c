#include "core/schema_node.h"

#include <stdio.h>
#include <string.h>

/* Writes one token in front of `*start`, escaped (RFC 6901 §3); false when it does not fit. */
static bool put_before(char *out, size_t *start, const char *token)
{
    for (size_t i = strlen(token); i-- > 0;) {
        bool special = token[i] == '~' || token[i] == '/';
        if (*start < (special ? 6u : 5u)) /* leaves room for "…" and "/" */
            return false;
        if (special)
            out[--*start] = token[i] == '~' ? '0' : '1';
        out[--*start] = (char)(special ? '~' : token[i]);
    }
    out[--*start] = '/';
    return true;
}

const char *place_text(const struct place *at, char *out, size_t size)
{
    size_t start = size - 1;
    out[start] = '\0';
    for (; at->up; at = at->up) {
        char index[24];
        snprintf(index, sizeof index, "%zu", at->index);
        if (start < 5 || !put_before(out, &start, at->key ? at->key : index)) {
            while (((uint8_t)out[start] & 0xc0) == 0x80) /* no half character */
                start++;
            start -= strlen("…");
            memcpy(out + start, "…", strlen("…"));
            break;
        }
    }
    memmove(out, out + start, size - start);
    return out;
}

const struct property *property_find(const struct object_rule *r, const char *name, size_t length)
{
    if (!r->slots)
        return NULL;
    for (size_t i = property_hash(name, length);; i++) {
        uint16_t slot = r->slots[i & r->slots_mask];
        if (slot == 0)
            return NULL;
        const struct property *p = &r->properties[slot - 1];
        if (p->length == length && memcmp(p->name, name, length) == 0)
            return p;
    }
}
