#include "token_secret.h"

#include <string.h>

#include <sodium.h>

#include "core/clock.h"
#include "store/token_hash.h"

enum { SEALED_MAX = 4096, HEX_MAX = 2 * SEALED_MAX + 3 };

/* The text form of a bytea. */
static void bytea(const uint8_t *p, size_t n, char *out, size_t size)
{
    memcpy(out, "\\x", 2);
    sodium_bin2hex(out + 2, size - 2, p, n);
}

static bool open_one(struct peppers *p, const struct sealer *s, const json_t *row, struct err *err)
{
    auto_buf struct buf sealed;
    buf_init(&sealed, SEALED_MAX);
    const char *text = json_string_value(json_object_get(row, "sealed"));
    if (!text || !db_bytes(text, &sealed))
        return err_set(err, ERR_SEAL_BROKEN, "a pepper");
    return peppers_open(p, s, (int)json_integer_value(json_object_get(row, "version")),
                        (struct bytes){sealed.p, sealed.n}, err);
}

static struct peppers *open_peppers(struct db *db, const struct sealer *s, struct err *err)
{
    auto_json json_t *rows = db_rows(db, SQL_TOKEN_PEPPER_LIST, NULL, err);
    struct peppers *p = rows ? peppers_new(err) : NULL;
    const json_t *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        if (p && !open_one(p, s, row, err))
            peppers_free(&p);
    }
    return p;
}

static bool make_first(struct db *db, const struct sealer *s, struct err *err)
{
    char hex[HEX_MAX], now[25];
    auto_buf struct buf sealed;
    buf_init(&sealed, SEALED_MAX);
    if (!pepper_make(s, 1, &sealed, err))
        return false;
    bytea(sealed.p, sealed.n, hex, sizeof hex);
    clock_format(clock_wall_ms(), now);
    return db_do(db, SQL_TOKEN_PEPPER_ADD, DB_PARAMS("1", hex, now), err);
}

const char *token_pepper_ensure(struct cli *cli, struct db *db, bool check, struct err *err)
{
    auto_json json_t *rows = db_rows(db, SQL_TOKEN_PEPPER_LIST, NULL, err);
    if (!rows)
        return NULL;
    if (json_array_size(rows))
        return "present";
    if (check)
        return "missing";
    struct sealer *s = secret_init(err) ? sealer_open(cli->conf.master_key_file, err) : NULL;
    bool made = s && make_first(db, s, err);
    sealer_free(&s);
    return made ? "made" : NULL;
}

static bool put(struct db *db, const struct peppers *p, const struct token_text *t,
                char secret_id[static UUID_TEXT], struct err *err)
{
    struct token_hash h;
    uint8_t id[UUID_BYTES];
    char token_id[UUID_TEXT], hmac[2 * TOKEN_HMAC + 3], version[12], now[25];
    if (!token_hash_make(p, t->secret, TOKEN_SECRET, &h, err))
        return false;
    uuid_random(id);
    uuid_format(id, secret_id);
    uuid_format(t->id, token_id);
    bytea(h.hmac, sizeof h.hmac, hmac, sizeof hmac);
    snprintf(version, sizeof version, "%d", h.pepper);
    clock_format(clock_wall_ms(), now);
    return db_do(db, SQL_TOKEN_SECRET_ADD,
                 DB_PARAMS(secret_id, token_id, hmac, version, h.argon2id, now), err);
}

bool token_secret_put(struct cli *cli, struct db *db, const struct token_text *t,
                      char secret_id[static UUID_TEXT], struct err *err)
{
    struct sealer *s = secret_init(err) ? sealer_open(cli->conf.master_key_file, err) : NULL;
    struct peppers *p = s ? open_peppers(db, s, err) : NULL;
    bool ok = p && put(db, p, t, secret_id, err);
    peppers_free(&p);
    sealer_free(&s);
    return ok;
}
