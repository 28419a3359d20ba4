#include "drivers/qr.h"

#include <errno.h>
#include <png.h>
#include <qrencode.h>
#include <sodium.h>
#include <string.h>

#define PIXELS_WANTED 600
#define MODULE_MIN 4
#define MODULE_MAX 8

struct qr {
    int width;
    int level;
    uint8_t dark[]; /* width * width, one byte each */
};

static QRcode *encode(const void *p, size_t n, int *out_level)
{
    QRcode *code = QRcode_encodeData((int)n, p, 0, QR_ECLEVEL_M);
    *out_level = 'M';
    if (!code && errno == ERANGE) {
        code = QRcode_encodeData((int)n, p, 0, QR_ECLEVEL_L);
        *out_level = 'L';
    }
    return code;
}

struct qr *qr_new(const void *p, size_t n, struct err *err)
{
    int level;
    if (n == 0 || n > QR_BYTES_MAX) {
        err_set(err, ERR_BAD_INPUT,
                "a QR code holds 1 to %d bytes, not %zu: shorten or split AllowedIPs", QR_BYTES_MAX,
                n);
        return NULL;
    }
    QRcode *code = encode(p, n, &level);
    size_t modules = code ? (size_t)code->width * (size_t)code->width : 0;
    struct qr *qr = code ? malloc(sizeof(*qr) + modules) : NULL;
    if (qr) {
        qr->width = code->width;
        qr->level = level;
        for (size_t i = 0; i < modules; i++)
            qr->dark[i] = code->data[i] & 1;
    }
    if (code) {
        sodium_memzero(code->data, modules);
        QRcode_free(code);
    }
    if (!qr)
        err_set(err, ERR_NO_MEMORY, "QR code of %zu bytes", n);
    return qr;
}

void qr_free(struct qr **qr)
{
    if (!*qr)
        return;
    sodium_memzero((*qr)->dark, (size_t)(*qr)->width * (size_t)(*qr)->width);
    free(take(*qr));
}

int qr_width(const struct qr *qr)
{
    return qr->width;
}

int qr_level(const struct qr *qr)
{
    return qr->level;
}

bool qr_dark(const struct qr *qr, int x, int y)
{
    return x >= 0 && y >= 0 && x < qr->width && y < qr->width &&
           qr->dark[(size_t)y * (size_t)qr->width + (size_t)x];
}

static int module_pixels(const struct qr *qr)
{
    int pixels = PIXELS_WANTED / (qr->width + 2 * QR_QUIET);
    return pixels < MODULE_MIN ? MODULE_MIN : pixels > MODULE_MAX ? MODULE_MAX : pixels;
}

static void paint(const struct qr *qr, int scale, int side, uint8_t *pixels)
{
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            pixels[(size_t)y * (size_t)side + (size_t)x] =
                !qr_dark(qr, x / scale - QR_QUIET, y / scale - QR_QUIET);
}

bool qr_png(const struct qr *qr, struct buf *out, struct err *err)
{
    static const uint8_t black_and_white[] = {0, 0, 0, 255, 255, 255};
    int scale = module_pixels(qr), side = (qr->width + 2 * QR_QUIET) * scale;
    size_t area = (size_t)side * (size_t)side;
    /* The simplified API: no setjmp. With two colours it writes one bit per pixel. */
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)side,
                       .height = (png_uint_32)side,
                       .format = PNG_FORMAT_RGB_COLORMAP,
                       .colormap_entries = 2};
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
    auto_free uint8_t *pixels = malloc(area), *png = malloc(bytes);
    if (!pixels || !png)
        return err_set(err, ERR_NO_MEMORY, "PNG of a QR code");
    paint(qr, scale, side, pixels);
    int ok = png_image_write_to_memory(&image, png, &bytes, 0, pixels, side, black_and_white);
    sodium_memzero(pixels, area);
    if (!ok)
        return err_set(err, ERR_INTERNAL, "PNG of a QR code: %s", image.message);
    buf_put(out, png, bytes);
    sodium_memzero(png, bytes);
    return buf_ok(out) || err_set(err, ERR_NO_MEMORY, "PNG of a QR code");
}

/* Light is drawn, dark is the background: terminals are dark more often than not. */
static const char *half_block(bool dark_above, bool dark_below)
{
    if (dark_above)
        return dark_below ? " " : "▄";
    return dark_below ? "▀" : "█";
}

void qr_text(const struct qr *qr, bool colours, struct buf *out)
{
    int end = qr->width + QR_QUIET;
    for (int y = -QR_QUIET; y < end; y += 2) {
        buf_str(out, colours ? "\033[0;97;40m" : "");
        for (int x = -QR_QUIET; x < end; x++)
            /* The width is odd: below the last row there is nothing. */
            buf_str(out, half_block(qr_dark(qr, x, y), qr_dark(qr, x, y + 1) || y + 1 >= end));
        buf_str(out, colours ? "\033[0m\n" : "\n");
    }
}
