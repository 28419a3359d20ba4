/* qr — a QR code (ISO/IEC 18004) of some bytes, as PNG or as lines for a terminal.
 *
 * A client configuration in it makes the code as secret as the configuration: the module matrix is
 * wiped by qr_free; what is written to a buf is the caller's to wipe. */
#pragma once

#include "core/buf.h"
#include "core/err.h"

#define QR_BYTES_MAX 2953 /* byte mode, version 40, level L */
#define QR_QUIET 4        /* modules of white around the code, ISO/IEC 18004 §9.1 */

struct qr;

/* Error correction level M (15 %); where that has no room (beyond 2,331 bytes), L (7 %). NULL and
 * BAD_INPUT for nothing and for more than QR_BYTES_MAX. */
struct qr *qr_new(const void *p, size_t n, struct err *err);
void qr_free(struct qr **qr);
int qr_width(const struct qr *qr);               /* modules, without the quiet zone */
int qr_level(const struct qr *qr);               /* 'M' or 'L' */
bool qr_dark(const struct qr *qr, int x, int y); /* light outside of the code */

/* Two colours; modules of 4 to 8 pixels, large codes the smaller ones. */
must_check bool qr_png(const struct qr *qr, struct buf *out, struct err *err);
/* UTF-8, two rows of modules in one line of half blocks. With colours (ANSI: white on black, made
 * explicit) it can be scanned on any terminal; without (NO_COLOR), on one with a dark background.
 */
void qr_text(const struct qr *qr, bool colours, struct buf *out);

#define auto_qr auto_with(qr_free)
