#include "core/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "core/metric.h"

enum {
    VERSION = 1,
    ID = 4,
    KEY = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    WRAPPED = KEY + TAG,
};
_Static_assert(SEAL_OVERHEAD == 1 + ID + NONCE + WRAPPED + NONCE + TAG, "the header's layout");

/* Of the value that is sealed or opened just now, zero in between: guarded memory of its own for
 * each would be a dozen system calls more than all the arithmetic. */
struct sealer {
    struct secret *master, *data_key;
    uint8_t id[ID];
};

#define auto_sealer auto_with(sealer_free)
#define auto_fd auto_with(close_fd)

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

/* --- the key file --- */

static bool check_key_file(int fd, const char *path, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return err_set(err, ERR_KEY_INVALID, "%s: %m", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_KEY_INVALID, "%s: not a regular file", path);
    if (st.st_mode & 077)
        return err_set(err, ERR_KEY_INVALID, "%s: mode %04o lets others in", path,
                       (unsigned)st.st_mode & 07777);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return err_set(err, ERR_KEY_INVALID, "%s: owned by another user (uid %u)", path,
                       (unsigned)st.st_uid);
    if (st.st_size != KEY)
        return err_set(err, ERR_KEY_INVALID, "%s: %lld bytes instead of %d", path,
                       (long long)st.st_size, KEY);
    return true;
}

static bool read_whole(int fd, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t got = read(fd, p, n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

static bool write_whole(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static bool read_key(struct sealer *s, const char *path, struct err *err)
{
    /* Not blocking, so that a pipe in its place does not stop the start. */
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_KEY_MISSING : ERR_KEY_INVALID, "%s: %m", path);
    if (!check_key_file(fd, path, err))
        return false;
    s->master = secret_new(KEY, err);
    if (!s->master)
        return err_wrap(err, "%s", path);
    if (!read_whole(fd, secret_bytes(s->master), KEY))
        return err_set(err, ERR_KEY_INVALID, "%s: not readable to its end", path);
    return true;
}

static void put_id(const struct secret *master, uint8_t id[static ID])
{
    uint8_t hash[crypto_generichash_BYTES];

    (void)crypto_generichash(hash, sizeof(hash), secret_view(master), KEY, NULL, 0);
    memcpy(id, hash, ID);
}

struct sealer *sealer_open(const char *path, struct err *err)
{
    auto_sealer struct sealer *s = calloc(1, sizeof(*s));

    if (!s) {
        err_set(err, ERR_NO_MEMORY, "a sealer");
        return NULL;
    }
    s->data_key = secret_new(KEY, err);
    if (!s->data_key || !read_key(s, path, err)) {
        err_wrap(err, "master key");
        return NULL;
    }
    put_id(s->master, s->id);
    return take(s);
}

void sealer_free(struct sealer **s)
{
    if (!*s)
        return;
    secret_free(&(*s)->master);
    secret_free(&(*s)->data_key);
    free(*s);
    *s = NULL;
}

static bool write_new_key(int fd, struct err *err)
{
    auto_secret struct secret *key = secret_new(KEY, err);

    if (!key)
        return false;
    randombytes_buf(secret_bytes(key), KEY);
    if (!write_whole(fd, secret_view(key), KEY) || fchmod(fd, 0600) != 0 || fsync(fd) != 0)
        return err_set(err, ERR_IO, "%m");
    return true;
}

/* -1 with err. */
static int open_folder_of(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    auto_free char *folder = !slash          ? strdup(".")
                             : slash == path ? strdup("/")
                                             : strndup(path, (size_t)(slash - path));
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd < 0)
        err_set(err, folder ? ERR_IO : ERR_NO_MEMORY, "its folder: %m");
    return fd;
}

/* Linking fails when the name is taken. */
static bool publish(const char *beside, const char *path, int folder, struct err *err)
{
    if (link(beside, path) != 0)
        return err_set(err, ERR_IO, "%m");
    if (fsync(folder) == 0)
        return true;
    err_set(err, ERR_IO, "its folder: %m");
    (void)unlink(path);
    return false;
}

static bool create_key(const char *beside, int fd, const char *path, struct err *err)
{
    auto_fd int folder = open_folder_of(path, err);

    return folder >= 0 && write_new_key(fd, err) && publish(beside, path, folder, err);
}

/* Written beside and then linked: a crash in between leaves no half key under the name. */
bool sealer_create_key(const char *path, struct err *err)
{
    auto_free char *beside = NULL;

    if (asprintf(&beside, "%s.XXXXXX", path) < 0) {
        beside = NULL;
        return err_set(err, ERR_NO_MEMORY, "the name of a key file");
    }
    auto_fd int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_IO, "new master key %s: %m", path);
    bool made = create_key(beside, fd, path, err);
    (void)unlink(beside); /* a second name of the key at worst, as private as the first */
    return made || err_wrap(err, "new master key %s", path);
}

/* --- values --- */

static bool close_layer(uint8_t *out, const void *plain, size_t n, const char *place,
                        const uint8_t *nonce, const struct secret *key)
{
    return crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain, n, (const uint8_t *)place,
                                                      strlen(place), NULL, nonce,
                                                      secret_view(key)) == 0;
}

static bool open_layer(struct secret *out, const uint8_t *sealed, size_t n, const char *place,
                       const uint8_t *nonce, const struct secret *key)
{
    return crypto_aead_xchacha20poly1305_ietf_decrypt(secret_bytes(out), NULL, NULL, sealed, n,
                                                      (const uint8_t *)place, strlen(place), nonce,
                                                      secret_view(key)) == 0;
}

static void forget_data_key(const struct sealer *s)
{
    sodium_memzero(secret_bytes(s->data_key), KEY);
}

static bool fill(uint8_t *to, const struct sealer *s, const char *place, const void *plain,
                 size_t n, struct err *err)
{
    uint8_t *wrap_nonce = to + 1 + ID;
    uint8_t *nonce = wrap_nonce + NONCE + WRAPPED;

    randombytes_buf(secret_bytes(s->data_key), KEY);
    randombytes_buf(wrap_nonce, NONCE);
    randombytes_buf(nonce, NONCE);
    to[0] = VERSION;
    memcpy(to + 1, s->id, ID);
    bool done = close_layer(wrap_nonce + NONCE, secret_view(s->data_key), KEY, place, wrap_nonce,
                            s->master) &&
                close_layer(nonce + NONCE, plain, n, place, nonce, s->data_key);
    forget_data_key(s);
    return done || err_set(err, ERR_INTERNAL, "encryption failed");
}

bool seal(const struct sealer *s, const char *place, const void *plain, size_t n, struct buf *out,
          struct err *err)
{
    if (n > SIZE_MAX - SEAL_OVERHEAD)
        return err_set(err, ERR_NO_MEMORY, "seal %s", place);
    auto_free uint8_t *sealed = malloc(n + SEAL_OVERHEAD);
    if (!sealed)
        return err_set(err, ERR_NO_MEMORY, "seal %s", place);
    if (!fill(sealed, s, place, plain, n, err))
        return err_wrap(err, "seal %s", place);
    buf_put(out, sealed, n + SEAL_OVERHEAD);
    if (!buf_ok(out))
        return err_set(err, ERR_NO_MEMORY, "seal %s: no room for the result", place);
    metric_add(METRIC_SEAL_OPS, "seal", 1);
    return true;
}

static bool check_head(const struct sealer *s, const uint8_t *p, size_t n, struct err *err)
{
    if (n < SEAL_OVERHEAD)
        return err_set(err, ERR_SEAL_BROKEN, "only %zu bytes", n);
    if (p[0] != VERSION)
        return err_set(err, ERR_SEAL_BROKEN, "unknown version %u", p[0]);
    if (memcmp(p + 1, s->id, ID) != 0)
        return err_set(err, ERR_SEAL_BROKEN, "sealed under another master key");
    return true;
}

static struct secret *open_sealed(const struct sealer *s, const char *place, const uint8_t *p,
                                  size_t n, struct err *err)
{
    if (!check_head(s, p, n, err))
        return NULL;
    const uint8_t *wrap_nonce = p + 1 + ID, *wrapped = wrap_nonce + NONCE;
    const uint8_t *nonce = wrapped + WRAPPED, *sealed = nonce + NONCE;

    auto_secret struct secret *plain = secret_new(n - SEAL_OVERHEAD, err);
    if (!plain)
        return NULL;
    bool opened = open_layer(s->data_key, wrapped, WRAPPED, place, wrap_nonce, s->master) &&
                  open_layer(plain, sealed, n - SEAL_OVERHEAD + TAG, place, nonce, s->data_key);
    forget_data_key(s);
    if (!opened) {
        err_set(err, ERR_SEAL_BROKEN, "changed, or moved from another place");
        return NULL;
    }
    return take(plain);
}

struct secret *unseal(const struct sealer *s, const char *place, const void *sealed, size_t n,
                      struct err *err)
{
    struct secret *plain = open_sealed(s, place, sealed, n, err);

    if (!plain) {
        err_wrap(err, "unseal %s", place);
        return NULL;
    }
    metric_add(METRIC_SEAL_OPS, "unseal", 1);
    return plain;
}
