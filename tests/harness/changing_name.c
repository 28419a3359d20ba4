/* Preloaded into a worker: the name in CHANGING_NAME has the address that the file CHANGING_FILE
 * tells at this moment, and whoever connects to OUTSIDE, an address that anybody may be told to
 * call, reaches this machine. Everything else is as ever. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OUTSIDE "93.184.216.34"

static const char *address_now(char *out, size_t n)
{
    const char *name = getenv("CHANGING_FILE");
    FILE *f = name ? fopen(name, "re") : NULL;
    const char *line = f ? fgets(out, (int)n, f) : NULL;
    if (f)
        fclose(f);
    return line;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    const char *changing = getenv("CHANGING_NAME");
    char line[64];
    if (node && changing && !strcmp(node, changing)) {
        node = address_now(line, sizeof line);
        if (!node)
            return EAI_AGAIN;
    }
    return real(node, service, hints, out);
}

int connect(int fd, const struct sockaddr *to, socklen_t n)
{
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    struct sockaddr_in here;
    if (to->sa_family != AF_INET || n != sizeof here)
        return real(fd, to, n);
    memcpy(&here, to, sizeof here);
    if (here.sin_addr.s_addr == inet_addr(OUTSIDE))
        here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return real(fd, (const struct sockaddr *)&here, sizeof here);
}
