#include "gateway/gateway.h"

#include "gateway/access.h"
#include "gateway/credentials.h"
#include "gateway/reader.h"
#include "gateway/server.h"

bool gateway_healthy(const struct gateway *g, struct buf *why)
{
    buf_printf(why, "loop: ok\nconnections: %zu\n", g->server ? server_connections(g->server) : 0);
    return true;
}

bool gateway_ready(const struct gateway *g, struct buf *why)
{
    bool peppers = g->access && access_ready(g->access);
    bool ready = g->server && !g->draining && peppers && reader_pg(g->reader);
    buf_printf(why, "%s%s\n", ready ? "ready" : "not ready",
               g->draining ? ": stopping"
               : peppers   ? ""
                           : ": no database, or no pepper in it");
    return ready;
}

void gateway_heard(struct gateway *g, const char *subject, size_t n)
{
    access_heard(g->access, subject, n);
    credentials_heard(g->credentials, subject, n);
}
