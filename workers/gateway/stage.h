/* stage — the stages of a request in libmicrohttpd's calls.
 *
 * It calls with the head alone, then with each piece of the body, then once more when all is there.
 * A connection that is suspended in the first call is called again as if for the first time, before
 * 100-continue is said: so who asks is found out before a byte of the body is taken. */
#pragma once

#include "gateway/request.h"

/* For MHD_start_daemon: arg is the gateway. */
enum MHD_Result stage_request(void *arg, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data, size_t *n,
                              void **context);
/* MHD_OPTION_NOTIFY_COMPLETED: the answer was sent, or the client has gone. */
void stage_completed(void *arg, struct MHD_Connection *c, void **context,
                     enum MHD_RequestTerminationCode how);
/* MHD_OPTION_UNESCAPE_CALLBACK: %00 and %2F stay as they are: neither ends a text early, nor makes
 * a segment two. */
size_t stage_unescape(void *arg, struct MHD_Connection *c, char *s);
