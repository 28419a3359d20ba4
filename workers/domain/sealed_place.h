/* sealed_place — where the secrets of OAuth connections are sealed for (core/seal.h): a value that
 * was moved to another row does not open. */
#pragma once

enum sealed_place {
    PLACE_CONNECTION_TOKEN,  /* connection.access_token, refresh_token, device_code, orphan_token;
                                id: the connection's */
    PLACE_CONNECTION_SECRET, /* connection_secret.sealed; id: the row's UUID */
    PLACE_OAUTH_VERIFIER,    /* oauth_state.verifier; id: the row's UUID */
    SEALED_PLACES,
};

enum { SEALED_PLACE_MAX = 256 };

/* "connection/acme/github/token". An id longer than ids are makes it "": nothing is sealed for
 * that. */
void sealed_place(enum sealed_place place, const char *id, char out[static SEALED_PLACE_MAX]);
