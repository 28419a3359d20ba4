#include "store/answer_block.h"

#include <string.h>

#define TEXTS 9
#define SEALS 3

static void list_texts(struct connection_answer *a, const char **texts[static TEXTS],
                       struct sealed *seals[static SEALS])
{
    const char **all[TEXTS] = {&a->intent,    &a->token_type, &a->scopes,
                               &a->user_code, &a->endpoints,  &a->verification_uri,
                               &a->code,      &a->message,    &a->instance_url};
    memcpy(texts, all, sizeof all);
    seals[0] = &a->access;
    seals[1] = &a->refresh;
    seals[2] = &a->device;
}

size_t answer_bytes(const struct connection_answer *a)
{
    struct connection_answer same = *a;
    const char **texts[TEXTS];
    struct sealed *seals[SEALS];
    size_t n = sizeof *a;
    list_texts(&same, texts, seals);
    for (size_t i = 0; i < TEXTS; i++)
        n += *texts[i] ? strlen(*texts[i]) + 1 : 0;
    for (size_t i = 0; i < SEALS; i++)
        n += seals[i]->n;
    return n;
}

void answer_copy(struct connection_answer *to, const struct connection_answer *a)
{
    const char **texts[TEXTS];
    struct sealed *seals[SEALS];
    *to = *a;
    list_texts(to, texts, seals);
    char *at = (char *)(to + 1);
    for (size_t i = 0; i < TEXTS; i++)
        if (*texts[i])
            *texts[i] = memcpy(at, *texts[i], strlen(*texts[i]) + 1), at += strlen(at) + 1;
    for (size_t i = 0; i < SEALS; i++)
        if (seals[i]->p)
            seals[i]->p = memcpy(at, seals[i]->p, seals[i]->n), at += seals[i]->n;
}
