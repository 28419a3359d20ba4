#include "gateway/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/secret.h"

enum { CHAIN_MAX = 16, FILE_MAX = 65536, KEY_ID = 32 };

struct certificate {
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned n;
    gnutls_privkey_t key;
    int64_t begin_ms, end_ms;
};

#define auto_certificate auto_with(certificate_free)
#define auto_fd auto_with(close_fd)
#define auto_crt auto_with(crt_free)
#define auto_pubkey auto_with(pubkey_free)

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static void crt_free(const gnutls_x509_crt_t *crt)
{
    if (*crt)
        gnutls_x509_crt_deinit(*crt);
}

static void pubkey_free(const gnutls_pubkey_t *key)
{
    if (*key)
        gnutls_pubkey_deinit(*key);
}

void certificate_free(struct certificate **at)
{
    struct certificate *c = take(*at);
    if (!c)
        return;
    for (unsigned i = 0; i < c->n; i++)
        gnutls_pcert_deinit(&c->chain[i]);
    if (c->key)
        gnutls_privkey_deinit(c->key);
    free(c);
}

int64_t certificate_begin_ms(const struct certificate *c)
{
    return c->begin_ms;
}

int64_t certificate_end_ms(const struct certificate *c)
{
    return c->end_ms;
}

gnutls_pcert_st *certificate_chain(struct certificate *c, unsigned *out_n)
{
    *out_n = c->n;
    return c->chain;
}

gnutls_privkey_t certificate_key(const struct certificate *c)
{
    return c->key;
}

/* ---- the files ---- */

/* Group members may read a key: certificates are often handed out that way. */
static bool check_mode(int fd, const char *path, bool is_key, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return err_set(err, ERR_TLS_INVALID, "%s: %m", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_TLS_INVALID, "%s: not a regular file", path);
    if (is_key && (st.st_mode & 07))
        return err_set(err, ERR_TLS_INVALID, "%s: mode %04o lets everybody in", path,
                       (unsigned)st.st_mode & 07777);
    return true;
}

/* At most FILE_MAX bytes. */
static struct secret *read_file(const char *path, bool is_key, size_t *out_n, struct err *err)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    auto_secret struct secret *s = secret_new(FILE_MAX, err);
    size_t n = 0;
    ssize_t got = 1;
    if (!s)
        return NULL;
    if (fd < 0) {
        (void)err_set(err, ERR_TLS_INVALID, "%s: %m", path);
        return NULL;
    }
    if (!check_mode(fd, path, is_key, err))
        return NULL;
    while (got > 0 && n < FILE_MAX) {
        got = read(fd, secret_bytes(s) + n, FILE_MAX - n);
        n += got > 0 ? (size_t)got : 0;
        got = got < 0 && errno == EINTR ? 1 : got;
    }
    if (got) {
        (void)err_set(err, ERR_TLS_INVALID, "%s: %s", path,
                      got < 0 ? strerrordesc_np(errno) : "longer than 64 KiB");
        return NULL;
    }
    *out_n = n;
    return take(s);
}

/* ---- what is in them ---- */

static bool failed(const char *path, int code, struct err *err)
{
    return err_set(err, ERR_TLS_INVALID, "%s: %s", path, gnutls_strerror(code));
}

static bool load_chain(struct certificate *c, const char *path, struct err *err)
{
    size_t n = 0;
    auto_secret struct secret *pem = read_file(path, false, &n, err);
    auto_crt gnutls_x509_crt_t first = NULL;
    unsigned most = CHAIN_MAX;
    if (!pem)
        return false;
    gnutls_datum_t text = {secret_bytes(pem), (unsigned)n};
    int code = gnutls_pcert_list_import_x509_raw(c->chain, &most, &text, GNUTLS_X509_FMT_PEM,
                                                 GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED |
                                                     GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
    if (code < 0)
        return failed(path, code, err);
    c->n = most;
    code = gnutls_pcert_export_x509(&c->chain[0], &first);
    if (code < 0)
        return failed(path, code, err);
    c->begin_ms = (int64_t)gnutls_x509_crt_get_activation_time(first) * 1000;
    c->end_ms = (int64_t)gnutls_x509_crt_get_expiration_time(first) * 1000;
    return true;
}

static bool load_key(struct certificate *c, const char *path, struct err *err)
{
    size_t n = 0;
    auto_secret struct secret *pem = read_file(path, true, &n, err);
    if (!pem)
        return false;
    gnutls_datum_t text = {secret_bytes(pem), (unsigned)n};
    int code = gnutls_privkey_init(&c->key);
    if (code >= 0)
        code = gnutls_privkey_import_x509_raw(c->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    return code >= 0 || failed(path, code, err);
}

static bool key_id(gnutls_pubkey_t key, uint8_t out[static KEY_ID])
{
    size_t n = KEY_ID;
    return gnutls_pubkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, out, &n) == 0 && n == KEY_ID;
}

static bool key_fits(const struct certificate *c)
{
    auto_pubkey gnutls_pubkey_t of_key = NULL;
    uint8_t ours[KEY_ID], theirs[KEY_ID];
    return gnutls_pubkey_init(&of_key) == 0 &&
           gnutls_pubkey_import_privkey(of_key, c->key, 0, 0) == 0 && key_id(of_key, ours) &&
           key_id(c->chain[0].pubkey, theirs) && !memcmp(ours, theirs, KEY_ID);
}

struct certificate *certificate_load(const char *cert_file, const char *key_file, struct err *err)
{
    auto_certificate struct certificate *c = calloc(1, sizeof *c);
    if (!c) {
        (void)err_set(err, ERR_NO_MEMORY, "a certificate");
        return NULL;
    }
    if (!load_chain(c, cert_file, err) || !load_key(c, key_file, err))
        return NULL;
    if (!key_fits(c)) {
        (void)err_set(err, ERR_TLS_INVALID, "%s is not the key of the certificate in %s", key_file,
                      cert_file);
        return NULL;
    }
    return take(c);
}
