#include "drivers/oauth_assertion.h"

#include "core/buf.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <string.h>

enum { JWT_MAX = 8192, RAW_MAX = 1024, HALF = 32, RSA_BITS_MIN = 2048 };

static void key_free(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}
static void digest_free(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}
static void bio_free(BIO **bio)
{
    BIO_free(*bio);
}
static void signature_free(ECDSA_SIG **s)
{
    ECDSA_SIG_free(*s);
}

/* A key that asks for a passphrase is not for us: nobody is there to answer. */
static int no_passphrase(char *out, int n, int writing, void *arg)
{
    (void)out;
    (void)n;
    (void)writing;
    (void)arg;
    return -1;
}

static EVP_PKEY *read_key(const struct secret *pem)
{
    auto_with(bio_free) BIO *bio = BIO_new_mem_buf(secret_view(pem), (int)secret_size(pem));
    return bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
}

static const char *algorithm_of(const EVP_PKEY *key)
{
    char group[32] = "";
    if (!key)
        return NULL;
    if (EVP_PKEY_is_a(key, "RSA"))
        return EVP_PKEY_get_bits(key) >= RSA_BITS_MIN ? "RS256" : NULL;
    bool p256 = EVP_PKEY_is_a(key, "EC") &&
                EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
                (!strcmp(group, "prime256v1") || !strcmp(group, "P-256"));
    return p256 ? "ES256" : NULL;
}

static void put_base64(struct buf *b, const void *p, size_t n)
{
    char text[2 * RAW_MAX];
    (void)sodium_bin2base64(text, sizeof text, p, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buf_str(b, text);
}

static void put_member(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, "%c\"%s\":", b->n ? ',' : '{', name);
    buf_json_str(b, value, strlen(value));
}

static bool put_parts(struct buf *jwt, const struct oauth_assertion *a, const char *algorithm)
{
    char raw[RAW_MAX], id[33];
    unsigned char random[16];
    struct buf part;
    buf_init_fixed(&part, raw, sizeof raw);
    put_member(&part, "alg", algorithm);
    put_member(&part, "typ", "JWT");
    if (a->key_id)
        put_member(&part, "kid", a->key_id);
    buf_str(&part, "}");
    bool fine = buf_ok(&part);
    put_base64(jwt, raw, part.n);
    buf_str(jwt, ".");
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(id, sizeof id, random, sizeof random);
    buf_init_fixed(&part, raw, sizeof raw);
    put_member(&part, "iss", a->client_id);
    put_member(&part, "sub", a->client_id);
    put_member(&part, "aud", a->audience);
    put_member(&part, "jti", id);
    int64_t now_s = a->now_ms / 1000;
    buf_str(&part, ",\"iat\":");
    buf_int(&part, now_s);
    buf_str(&part, ",\"exp\":");
    buf_int(&part, now_s + OAUTH_ASSERTION_LIFE_S);
    buf_str(&part, "}");
    put_base64(jwt, raw, part.n);
    return fine && buf_ok(&part) && buf_ok(jwt);
}

/* JOSE has the two halves one behind the other, not DER (RFC 7518 §3.4). */
static bool to_halves(unsigned char *p, size_t *n)
{
    const unsigned char *at = p;
    auto_with(signature_free) ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &at, (long)*n);
    if (!s || BN_bn2binpad(ECDSA_SIG_get0_r(s), p, HALF) != HALF ||
        BN_bn2binpad(ECDSA_SIG_get0_s(s), p + HALF, HALF) != HALF)
        return false;
    *n = 2 * (size_t)HALF;
    return true;
}

static bool put_signature(struct buf *jwt, EVP_PKEY *key, bool halves)
{
    unsigned char signature[RAW_MAX];
    size_t n = sizeof signature;
    auto_with(digest_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(ctx, signature, &n, jwt->p, jwt->n) != 1 ||
        (halves && !to_halves(signature, &n)))
        return false;
    buf_str(jwt, ".");
    put_base64(jwt, signature, n);
    return buf_ok(jwt);
}

struct secret *oauth_assertion_sign(const struct oauth_assertion *a, struct err *err)
{
    auto_with(key_free) EVP_PKEY *key = read_key(a->key);
    const char *algorithm = algorithm_of(key);
    if (!algorithm) {
        (void)err_set(err, ERR_BAD_INPUT,
                      "the private key is neither RSA (%d bits or more) nor P-256, in PEM",
                      RSA_BITS_MIN);
        return NULL;
    }
    auto_secret struct secret *room = secret_new(JWT_MAX, err);
    struct buf jwt;
    if (!room)
        return NULL;
    buf_init_fixed(&jwt, secret_bytes(room), JWT_MAX);
    if (!put_parts(&jwt, a, algorithm) || !put_signature(&jwt, key, algorithm[0] == 'E')) {
        (void)err_set(err, ERR_BAD_INPUT, "the client assertion cannot be signed");
        return NULL;
    }
    return secret_copy(jwt.p, jwt.n, err);
}
