#include "core/curl_memory.h"

#include <curl/curl.h>
#include <malloc.h>
#include <sodium.h>
#include <string.h>

static void *get(size_t n)
{
    return malloc(n);
}

static void *get_zeroed(size_t n, size_t size)
{
    return calloc(n, size);
}

static void wipe(void *p)
{
    if (p)
        sodium_memzero(p, malloc_usable_size(p));
    free(p);
}

static void *get_other(void *p, size_t n)
{
    void *larger = malloc(n ? n : 1);
    if (!larger || !p)
        return larger;
    size_t old = malloc_usable_size(p);
    memcpy(larger, p, old < n ? old : n);
    wipe(p);
    return larger;
}

static char *copy(const char *s)
{
    return strdup(s);
}

bool curl_memory_init(struct err *err)
{
    static bool done;
    if (done)
        return true;
    if (sodium_init() < 0)
        return err_set(err, ERR_INTERNAL, "libsodium does not start");
    CURLcode code =
        curl_global_init_mem(CURL_GLOBAL_DEFAULT, get, wipe, get_other, copy, get_zeroed);
    if (code != CURLE_OK)
        return err_set(err, ERR_INTERNAL, "libcurl does not start: %s", curl_easy_strerror(code));
    done = true;
    return true;
}
