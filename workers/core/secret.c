#include "core/secret.h"

#include <malloc.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <sodium.h>

/* Two allocations: the length may be looked at without touching a guarded page. */
struct secret {
    size_t n;
    uint8_t *p;
};

bool secret_init(struct err *err)
{
    const struct rlimit none = {0, 0};

    if (sodium_init() < 0)
        return err_set(err, ERR_INTERNAL, "libsodium does not start");
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return err_set(err, ERR_INTERNAL, "forbid core dumps: %m");
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        return err_set(err, ERR_INTERNAL, "forbid being dumped or traced: %m");
    return true;
}

void secret_wipe_freed(void)
{
    (void)mallopt(M_PERTURB, 0x5a);
}

/* sodium_malloc locks too, but returns memory all the same when that fails (HAZARDS S10): locking
 * a second time is harmless and tells. */
static bool take_locked(struct secret *s, size_t n, struct err *err)
{
    s->p = sodium_malloc(n);
    if (!s->p)
        return err_set(err, ERR_NO_MEMORY, "%zu guarded bytes", n);
    if (n > 0 && sodium_mlock(s->p, n) != 0)
        return err_set(err, ERR_NO_MEMORY, "lock %zu bytes in memory (raise RLIMIT_MEMLOCK): %m",
                       n);
    memset(s->p, 0, n);
    s->n = n;
    return true;
}

struct secret *secret_new(size_t n, struct err *err)
{
    auto_secret struct secret *s = calloc(1, sizeof(*s));

    if (!s) {
        err_set(err, ERR_NO_MEMORY, "a secret");
        return NULL;
    }
    return take_locked(s, n, err) ? take(s) : NULL;
}

struct secret *secret_copy(const void *p, size_t n, struct err *err)
{
    struct secret *s = secret_new(n, err);

    if (s && n > 0)
        memcpy(s->p, p, n);
    return s;
}

uint8_t *secret_bytes(struct secret *s)
{
    return s->p;
}

const uint8_t *secret_view(const struct secret *s)
{
    return s->p;
}

size_t secret_size(const struct secret *s)
{
    return s->n;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    return a->n == b->n && sodium_memcmp(a->p, b->p, a->n) == 0;
}

void secret_free(struct secret **s)
{
    if (!*s)
        return;
    sodium_free((*s)->p); /* wipes, and takes NULL */
    free(*s);
    *s = NULL;
}
