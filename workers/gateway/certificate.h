/* certificate — a certificate with its chain and its private key, from two PEM files, as GnuTLS
 * wants them. The key's file is read into guarded memory; what GnuTLS makes of it is its own, which
 * it wipes, in a process that cannot be dumped (core/secret.h). */
#pragma once

#include "core/err.h"

#include <gnutls/abstract.h>

struct certificate;

/* NULL and err (TLS_INVALID), which names the file: it cannot be read, is no PEM, the key is
 * encrypted, others may read it, or it belongs to another certificate. */
struct certificate *certificate_load(const char *cert_file, const char *key_file, struct err *err);
void certificate_free(struct certificate **c);

/* Unix milliseconds: the time in which the first certificate is good. */
int64_t certificate_begin_ms(const struct certificate *c);
int64_t certificate_end_ms(const struct certificate *c);
/* The chain, that certificate first, and the key: of the certificate, as long as it lives. */
gnutls_pcert_st *certificate_chain(struct certificate *c, unsigned *out_n);
gnutls_privkey_t certificate_key(const struct certificate *c);
