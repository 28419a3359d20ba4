#include "drivers/wg_command.h"

#include <stdio.h>
#include <string.h>

static bool is_plain_name(const char *s, size_t max)
{
    size_t n = strlen(s);
    return n > 0 && n <= max && *s != '-' && *s != '.' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=+.-") == n;
}

bool wg_where_set(struct wg_where *w, const char *interface, const char *netns, struct err *err)
{
    if (!is_plain_name(interface, sizeof(w->interface) - 1))
        return err_set(err, ERR_CONF_INVALID, "wireguard_interface: no name of an interface");
    if (*netns && !is_plain_name(netns, sizeof(w->netns) - 1))
        return err_set(err, ERR_CONF_INVALID, "wireguard_netns: no name of a network namespace");
    snprintf(w->interface, sizeof(w->interface), "%s", interface);
    snprintf(w->netns, sizeof(w->netns), "%s", netns);
    return true;
}

size_t wg_command(const struct wg_where *w, const char *verb, const char **argv)
{
    size_t n = 0;
    if (*w->netns) {
        argv[n++] = "ip";
        argv[n++] = "netns";
        argv[n++] = "exec";
        argv[n++] = w->netns;
    }
    argv[n++] = "wg";
    argv[n++] = verb;
    argv[n++] = w->interface;
    return n;
}

enum about { NAMESPACE, DEVICE, RIGHTS, PROGRAM };

static const struct row {
    const char *said;
    enum about about;
} rows[] = {
    {"Cannot open network namespace", NAMESPACE},
    {"No such device", DEVICE},
    {"Protocol not supported", DEVICE}, /* without a kernel module and without its socket */
    {"Operation not permitted", RIGHTS},
    {"Permission denied", RIGHTS},
    {"cannot start", PROGRAM},
};

void wg_explain(const struct wg_where *w, struct err *err)
{
    const struct err said = *err;
    const struct row *row = NULL;
    for (size_t i = 0; !row && i < LEN(rows); i++)
        if (strstr(said.message, rows[i].said))
            row = &rows[i];
    if (!row || said.code != ERR_PROVIDER_FAILED) {
        err_wrap(err, "wg");
        return;
    }
    switch (row->about) {
    case NAMESPACE:
        err_set(err, said.code,
                "no network namespace %s: start the node, or correct wireguard_netns", w->netns);
        break;
    case DEVICE:
        err_set(err, said.code,
                "no WireGuard interface %s: start the node, or correct wireguard_interface",
                w->interface);
        break;
    case RIGHTS:
        err_set(err, said.code, "no right to use %s: run as root or with CAP_NET_ADMIN",
                w->interface);
        break;
    case PROGRAM:
        err_set(err, said.code, "%s: install wireguard-tools and iproute2", said.message);
        break;
    }
}
