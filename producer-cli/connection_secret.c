#include "connection_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <sodium.h>

#include "core/clock.h"
#include "core/seal.h"
#include "domain/sealed_place.h"

#include "private_file.h"

enum { VALUE_MAX = 16384, SEALED_MAX = VALUE_MAX + SEAL_OVERHEAD };

/* ---- where it comes from ---- */

static bool read_all(int fd, uint8_t *p, size_t most, size_t *out_n, struct err *err)
{
    size_t n = 0;
    for (ssize_t got = 1; got != 0 && n < most;) {
        got = read(fd, p + n, most - n);
        if (got < 0 && errno != EINTR)
            return err_set(err, ERR_IO, "standard input: %m");
        n += got > 0 ? (size_t)got : 0;
    }
    *out_n = n;
    return true;
}

static struct secret *without_line_end(const struct secret *raw, size_t n, const char *what,
                                       struct err *err)
{
    const uint8_t *p = secret_view(raw);
    while (n && (p[n - 1] == '\n' || p[n - 1] == '\r'))
        n--;
    if (n && n <= VALUE_MAX && !memchr(p, 0, n))
        return secret_copy(p, n, err);
    (void)err_set(err, ERR_BAD_INPUT, "the %s is empty, or too long, or no text", what);
    return NULL;
}

struct secret *connection_secret_read(const char *path, const char *what, struct err *err)
{
    auto_secret struct secret *raw = secret_new(VALUE_MAX + 4, err);
    size_t n = 0;
    if (!raw)
        return NULL;
    char *room = (char *)secret_bytes(raw);
    bool ok = !strcmp(path, "-") ? read_all(STDIN_FILENO, secret_bytes(raw), VALUE_MAX + 3, &n, err)
                                 : private_file_read(path, room, VALUE_MAX + 2, &n, err);
    return ok ? without_line_end(raw, n, what, err) : NULL;
}

/* ---- the terminal ---- */

bool connection_secret_can_ask(const struct cli *cli)
{
    return !cli->json && isatty(STDIN_FILENO) && isatty(fileno(cli->say.to));
}

static bool read_line(int fd, uint8_t *p, size_t most, size_t *out_n)
{
    size_t n = 0;
    while (n < most) {
        ssize_t got = read(fd, p + n, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || p[n] == '\n')
            break;
        n++;
    }
    *out_n = n;
    return n < most;
}

struct secret *connection_secret_ask(struct cli *cli, const char *question, struct err *err)
{
    auto_secret struct secret *raw = secret_new(VALUE_MAX + 4, err);
    struct termios before, quiet;
    size_t n = 0;
    if (!raw)
        return NULL;
    if (tcgetattr(STDIN_FILENO, &before) != 0) {
        (void)err_set(err, ERR_IO, "the terminal cannot be told not to show it: %m");
        return NULL;
    }
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    bool whole = tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
    out_text(&cli->say, STYLE_BOLD, "%s", question); /* what is typed from now on counts */
    fflush(cli->say.to);
    whole = whole && read_line(STDIN_FILENO, secret_bytes(raw), VALUE_MAX + 1, &n);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    out_line(&cli->say, STYLE_PLAIN, "%s", "");
    if (!whole)
        (void)err_set(err, ERR_BAD_INPUT, "it cannot be read, or is too long");
    return whole && n ? without_line_end(raw, n, "secret", err) : NULL;
}

/* ---- the row ---- */

static bool put_sealed(struct db *db, const char *connection, const char *kind,
                       const struct buf *sealed, const char *id, struct err *err)
{
    char now[25];
    size_t room = 2 * sealed->n + 3;
    auto_free char *hex = malloc(room);
    if (!hex)
        return err_set(err, ERR_NO_MEMORY, "a secret");
    memcpy(hex, "\\x", 2); /* bytea's text form */
    sodium_bin2hex(hex + 2, room - 2, sealed->p, sealed->n);
    clock_format(clock_wall_ms(), now);
    return db_do(db, SQL_CONNECTION_SECRET_ADD, DB_PARAMS(id, connection, kind, hex, now), err);
}

bool connection_secret_put(struct cli *cli, struct db *db, const char *connection, const char *kind,
                           const struct secret *value, char out_id[static UUID_TEXT],
                           struct err *err)
{
    uint8_t id[UUID_BYTES];
    char place[SEALED_PLACE_MAX];
    auto_buf struct buf sealed;
    buf_init(&sealed, SEALED_MAX);
    uuid_random(id);
    uuid_format(id, out_id);
    sealed_place(PLACE_CONNECTION_SECRET, out_id, place);
    struct sealer *s = sealer_open(cli->conf.master_key_file, err);
    bool ok = s && seal(s, place, secret_view(value), secret_size(value), &sealed, err) &&
              put_sealed(db, connection, kind, &sealed, out_id, err);
    sealer_free(&s);
    return ok;
}
