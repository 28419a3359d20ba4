#include "domain/sealed_place.h"

#include <stdio.h>

void sealed_place(enum sealed_place place, const char *id, char out[static SEALED_PLACE_MAX])
{
    static const struct {
        const char *table, *column;
    } rows[SEALED_PLACES] = {
        [PLACE_CONNECTION_TOKEN] = {"connection", "token"},
        [PLACE_CONNECTION_SECRET] = {"connection_secret", "value"},
        [PLACE_OAUTH_VERIFIER] = {"oauth_state", "verifier"},
    };
    int n = snprintf(out, SEALED_PLACE_MAX, "%s/%s/%s", rows[place].table, id, rows[place].column);
    if (n < 0 || n >= SEALED_PLACE_MAX)
        out[0] = '\0';
}
