/* tls — the certificate that the gateway shows, kept as new as its files.
 *
 * The files are looked at every second; what has changed, and has been the same for two looks, is
 * read anew, and so is everything on request. A pair that is no good (certificate_load says why; or
 * it is over, or not begun) is kept out, told and counted, and the one before stays. What is shown
 * to new connections changes; those that are open keep theirs.
 *
 * TLS 1.2 and 1.3, with forward secrecy and authenticated ciphers only. */
#pragma once

#include "gateway/certificate.h"

#define TLS_PRIORITIES                                                                             \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-MAC-ALL:+AEAD:%SERVER_PRECEDENCE"

struct gateway;
struct tls;

/* *out NULL: none is configured. False and err (CONF_INVALID: one file without the other;
 * TLS_INVALID: they are no good). One in a process: GnuTLS' callback knows nothing of whose it is.
 */
must_check bool tls_new(struct gateway *g, struct tls **out, struct err *err);
/* Reads the files now. */
void tls_reload(struct tls *t);
/* Frees what no connection can use any more: the oldest began at that (monotonic) time. */
void tls_forget(struct tls *t, int64_t oldest_us);
/* MHD_OPTION_HTTPS_CERT_CALLBACK. */
gnutls_certificate_retrieve_function2 tls_certificate;
