#include "store/token_hash.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define OPSLIMIT 2
#define MEMLIMIT (19456 * 1024)

_Static_assert(TOKEN_HMAC == crypto_auth_hmacsha256_BYTES, "HMAC-SHA256");
_Static_assert(TOKEN_PHC == crypto_pwhash_argon2id_STRBYTES, "a PHC string");

/* keys: the dummy, then that of each version. */
struct peppers {
    struct secret *keys;
    int versions[TOKEN_PEPPERS];
    size_t n;
};

struct peppers *peppers_new(struct err *err)
{
    struct peppers *p = calloc(1, sizeof *p);
    struct secret *keys = p ? secret_new((TOKEN_PEPPERS + 1) * (size_t)TOKEN_PEPPER, err) : NULL;
    if (!p)
        err_set(err, ERR_NO_MEMORY, "peppers");
    if (!keys) {
        free(p);
        return NULL;
    }
    p->keys = keys;
    randombytes_buf(secret_bytes(keys), TOKEN_PEPPER);
    return p;
}

void peppers_free(struct peppers **p)
{
    if (!*p)
        return;
    secret_free(&(*p)->keys);
    free(*p);
    *p = NULL;
}

static void place_of(int version, char out[static 64])
{
    snprintf(out, 64, "token_pepper/%d/key", version);
}

bool peppers_have(const struct peppers *p, int version)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->versions[i] == version)
            return true;
    return false;
}

bool peppers_open(struct peppers *p, const struct sealer *s, int version, struct bytes sealed,
                  struct err *err)
{
    char place[64];
    if (peppers_have(p, version))
        return true;
    if (p->n == TOKEN_PEPPERS)
        return err_set(err, ERR_SEAL_BROKEN, "more than %d peppers", TOKEN_PEPPERS);
    place_of(version, place);
    auto_secret struct secret *key = unseal(s, place, sealed.p, sealed.n, err);
    if (!key)
        return false;
    if (secret_size(key) != TOKEN_PEPPER)
        return err_set(err, ERR_SEAL_BROKEN, "pepper %d: not %d bytes", version, TOKEN_PEPPER);
    p->versions[p->n++] = version;
    memcpy(secret_bytes(p->keys) + p->n * TOKEN_PEPPER, secret_view(key), TOKEN_PEPPER);
    return true;
}

bool peppers_read(struct peppers *p, const struct sealer *s, const PGresult *rows, struct err *err)
{
    for (int i = 0; i < PQntuples(rows); i++)
        if (!peppers_open(p, s, (int)pg_int8(rows, i, 0), pg_bytes(rows, i, 1), err))
            return false;
    return true;
}

bool pepper_make(const struct sealer *s, int version, struct buf *sealed, struct err *err)
{
    char place[64];
    auto_secret struct secret *key = secret_new(TOKEN_PEPPER, err);
    if (!key)
        return false;
    randombytes_buf(secret_bytes(key), TOKEN_PEPPER);
    place_of(version, place);
    return seal(s, place, secret_view(key), TOKEN_PEPPER, sealed, err);
}

int peppers_newest(const struct peppers *p)
{
    int newest = 0;
    for (size_t i = 0; i < p->n; i++)
        newest = p->versions[i] > newest ? p->versions[i] : newest;
    return newest;
}

size_t peppers_count(const struct peppers *p)
{
    return p->n;
}

int peppers_version(const struct peppers *p, size_t i)
{
    return p->versions[i];
}

void token_hmac(const struct peppers *p, int version, const void *secret, size_t n,
                uint8_t out[static TOKEN_HMAC])
{
    crypto_auth_hmacsha256_state state;
    size_t at = 0; /* the dummy */
    for (size_t i = 0; i < p->n; i++)
        at = p->versions[i] == version ? i + 1 : at;
    crypto_auth_hmacsha256_init(&state, secret_view(p->keys) + at * TOKEN_PEPPER, TOKEN_PEPPER);
    crypto_auth_hmacsha256_update(&state, secret, n);
    crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

bool token_argon2id(const void *secret, size_t n, char out[static TOKEN_PHC], struct err *err)
{
    if (crypto_pwhash_argon2id_str(out, secret, n, OPSLIMIT, MEMLIMIT) == 0)
        return true;
    return err_set(err, ERR_NO_MEMORY, "Argon2id with %d MiB", MEMLIMIT >> 20);
}

/* libsodium says -1 for "no" and for "no memory" alike; errno tells them apart: EINVAL, or nothing
 * where the string cannot be read. */
enum token_fit token_argon2id_fits(const char *phc, const void *secret, size_t n)
{
    errno = 0;
    if (crypto_pwhash_argon2id_str_verify(phc, secret, n) == 0)
        return TOKEN_FITS;
    return errno == 0 || errno == EINVAL ? TOKEN_DIFFERS : TOKEN_FIT_UNTOLD;
}

bool token_hash_make(const struct peppers *p, const void *secret, size_t n, struct token_hash *out,
                     struct err *err)
{
    out->pepper = peppers_newest(p);
    if (!out->pepper)
        return err_set(err, ERR_PG_SCHEMA, "there is no pepper for tokens yet");
    token_hmac(p, out->pepper, secret, n, out->hmac);
    return token_argon2id(secret, n, out->argon2id, err);
}

/* ---- beside the loop ------------------------------------------------------------------------ */

struct work {
    uv_work_t req;
    const struct peppers *peppers;
    struct secret *secret;
    struct token_hash hash;
    struct err err;
    bool ok;
    enum token_fit fit;
    char phc[TOKEN_PHC];
    token_hash_fn *hashed;
    token_verify_fn *verified;
    void *arg;
};

static void work_free(struct work **w)
{
    if (!*w)
        return;
    secret_free(&(*w)->secret);
    free(*w);
    *w = NULL;
}

static struct work *work_new(const void *secret, size_t n, struct err *err)
{
    auto_with(work_free) struct work *w = calloc(1, sizeof *w);
    if (!w) {
        err_set(err, ERR_NO_MEMORY, "the hash of a token");
        return NULL;
    }
    w->req.data = w;
    w->secret = secret_copy(secret, n, err);
    return w->secret ? take(w) : NULL;
}

static void work_run(uv_work_t *req)
{
    struct work *w = req->data;
    const void *secret = secret_view(w->secret);
    size_t n = secret_size(w->secret);
    if (w->hashed)
        w->ok = token_hash_make(w->peppers, secret, n, &w->hash, &w->err);
    else
        w->fit = token_argon2id_fits(w->phc, secret, n);
}

static void work_over(uv_work_t *req, int status)
{
    auto_with(work_free) struct work *w = req->data;
    if (status)
        w->ok = err_set(&w->err, ERR_NO_MEMORY, "the hash of a token: %s", uv_strerror(status));
    if (status)
        w->fit = TOKEN_FIT_UNTOLD;
    if (w->hashed)
        w->hashed(w->arg, w->ok ? &w->hash : NULL, w->ok ? NULL : &w->err);
    else
        w->verified(w->arg, w->fit);
}

static bool work_begin(uv_loop_t *loop, struct work *w, struct err *err)
{
    int failed = uv_queue_work(loop, &w->req, work_run, work_over);
    if (!failed)
        return true;
    work_free(&w);
    return err_set(err, ERR_NO_MEMORY, "the hash of a token: %s", uv_strerror(failed));
}

bool token_hash_begin(uv_loop_t *loop, const struct peppers *p, const void *secret, size_t n,
                      token_hash_fn *done, void *arg, struct err *err)
{
    struct work *w = work_new(secret, n, err);
    if (!w)
        return false;
    w->peppers = p;
    w->hashed = done;
    w->arg = arg;
    return work_begin(loop, w, err);
}

bool token_verify_begin(uv_loop_t *loop, const char *phc, const void *secret, size_t n,
                        token_verify_fn *done, void *arg, struct err *err)
{
    size_t length = strnlen(phc, TOKEN_PHC);
    struct work *w = length < TOKEN_PHC ? work_new(secret, n, err) : NULL;
    if (length == TOKEN_PHC)
        return err_set(err, ERR_BAD_INPUT, "no Argon2id string");
    if (!w)
        return false;
    memcpy(w->phc, phc, length);
    w->verified = done;
    w->arg = arg;
    return work_begin(loop, w, err);
}
