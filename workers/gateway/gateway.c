#include "gateway/gateway.h"

#include "gateway/server.h"

bool gateway_healthy(const struct gateway *g, struct buf *why)
{
    buf_printf(why, "loop: ok\nconnections: %zu\n", g->server ? server_connections(g->server) : 0);
    return true;
}

bool gateway_ready(const struct gateway *g, struct buf *why)
{
    bool ready = g->server && !g->draining;
    buf_printf(why, "%s%s\n", ready ? "ready" : "not ready", g->draining ? ": stopping" : "");
    return ready;
}
