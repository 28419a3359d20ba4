/* drawbridge session config — the client's WireGuard configuration, as text, file or QR code. The
 * private key is unsealed here, with the master key, and goes nowhere but to what was asked for. */
#include "commands.h"
#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "core/uuid.h"
#include "drivers/client_config_row.h"
#include "drivers/qr.h"

#include "private_file.h"
#include "session_config.h"

enum { PNG_BYTES_MAX = 1 << 20, QR_TEXT_BYTES_MAX = 1 << 20 };

static const char *text_of(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static struct secret *render(struct cli *cli, const char *id, const json_t *row, struct err *err)
{
    if (!strcmp(text_of(row, "status"), "terminated")) {
        (void)err_set(err, ERR_NOT_FOUND, "session %s has ended, its configuration is gone", id);
        return NULL;
    }
    if (!text_of(row, "serverPublicKey") || !text_of(row, "endpoint")) {
        (void)err_set(err, ERR_NOT_FOUND,
                      "session %s is %s and has no configuration yet: its server is not known", id,
                      text_of(row, "status"));
        return NULL;
    }
    return client_config_of_row(cli->conf.master_key_file, id, row, err);
}

struct secret *session_config_text(struct cli *cli, struct db *db, const char *id, struct err *err)
{
    auto_json json_t *row = db_row(db, SQL_SESSION_CONFIG, DB_PARAMS(id), err);
    if (json_is_null(row))
        (void)err_set(err, ERR_NOT_FOUND, "session %s has no configuration", id);
    return row && !err->code ? render(cli, id, row, err) : NULL;
}

static bool write_png(const char *path, const struct secret *text, struct err *err)
{
    auto_qr struct qr *qr = qr_new(secret_view(text), secret_size(text), err);
    struct buf png;
    if (!qr)
        return false;
    buf_init(&png, PNG_BYTES_MAX);
    bool ok = qr_png(qr, &png, err) && private_file_write(path, png.p, png.n, err);
    if (png.p)
        sodium_memzero(png.p, png.cap);
    buf_done(&png);
    return ok;
}

static bool print_qr(struct cli *cli, const struct secret *text, struct err *err)
{
    auto_qr struct qr *qr = qr_new(secret_view(text), secret_size(text), err);
    struct buf lines;
    if (!qr)
        return false;
    buf_init(&lines, QR_TEXT_BYTES_MAX);
    qr_text(qr, cli->out.color, &lines);
    bool ok = buf_ok(&lines);
    if (ok)
        fwrite(lines.p, 1, lines.n, cli->out.to);
    if (lines.p)
        sodium_memzero(lines.p, lines.cap);
    buf_done(&lines);
    return ok || err_set(err, ERR_NO_MEMORY, "QR code");
}

static bool hand_out(struct cli *cli, const char *id, const struct secret *text, struct err *err)
{
    const struct line *l = &cli->line;
    const char *png = line_text(l, "png"), *file = line_text(l, "out");
    if ((png && !write_png(png, text, err)) ||
        (file && !private_file_write(file, secret_view(text), secret_size(text), err)))
        return false;
    if (cli->json) {
        auto_json json_t *doc = json_pack(
            "{s:s, s:s*, s:s*, s:o*}", "sessionId", id, "file", file, "png", png, "config",
            png || file ? NULL : json_stringn((const char *)secret_view(text), secret_size(text)));
        out_json(&cli->out, doc);
        return true;
    }
    if (line_has(l, "qr"))
        return print_qr(cli, text, err);
    if (!png && !file)
        fwrite(secret_view(text), 1, secret_size(text), cli->out.to);
    if (file)
        out_line(&cli->out, STYLE_PLAIN, "Wrote %s (0600). Next: wg-quick up %s", file, file);
    if (png)
        out_line(&cli->out, STYLE_PLAIN, "Wrote %s (0600): whoever sees it can use the session.",
                 png);
    return true;
}

static int run_config(struct cli *cli)
{
    struct err err = {0};
    uint8_t uuid[UUID_BYTES];
    char id[UUID_TEXT];
    const char *given = cli->line.words[0];
    if (!uuid_parse(given, strlen(given), uuid)) {
        (void)err_set(&err, ERR_BAD_INPUT, "%.64s is no session id: a UUID is", given);
        return cli_fail(cli, &err);
    }
    uuid_format(uuid, id);
    auto_db struct db *db = secret_init(&err) ? db_open(cli, &err) : NULL;
    auto_secret struct secret *text = db ? session_config_text(cli, db, id, &err) : NULL;
    if (!text || !hand_out(cli, id, text, &err))
        return cli_fail(cli, &err);
    return EXIT_DONE;
}

static const struct option config_options[] = {
    {"qr", NULL, "as a QR code on the terminal, for the WireGuard app", OPT_FLAG, 0, 0, false},
    {"png", "FILE", "as a QR code in a new PNG file (0600)", OPT_TEXT, 0, 0, false},
    {"out", "FILE", "into a new file (0600)", OPT_TEXT, 0, 0, false},
    {0},
};
static const struct example config_examples[] = {
    {"session config 0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10 --qr", "to scan with a phone"},
    {"session config 0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10 --out ada.conf", "for wg-quick"},
    {0},
};

const struct action session_config_actions[] = {
    {"session", "config", "ID", 1, 1, "Shows the client's WireGuard configuration",
     "Holds the client's private key unless the client sent its own public key: it is unsealed "
     "with "
     "the master key, printed or written, and kept nowhere else.",
     config_options, config_examples, run_config},
    {0},
};
