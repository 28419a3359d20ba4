/* drawbridge session link and session download — one-hour tokens for a configuration (V-02): shown
 * once, only the hash is kept; counted, expiring, revocable. */
#include "commands.h"
#include "db.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "core/clock.h"
#include "core/secret.h"
#include "store/download.h"

#include "session_config.h"

#define HOUR_MS INT64_C(3600000)

static void hex_of(const uint8_t hash[static DOWNLOAD_HASH], char out[static 2 * DOWNLOAD_HASH + 3])
{
    snprintf(out, 3, "\\x"); /* bytea's text form */
    sodium_bin2hex(out + 2, 2 * DOWNLOAD_HASH + 1, hash, DOWNLOAD_HASH);
}

static void link_people(struct cli *cli, const json_t *doc)
{
    static const struct column columns[] = {
        {"sessionId", "session", FORMAT_TEXT, 0},
        {"token", "token", FORMAT_TEXT, 0},
        {"expiresAt", "valid until", FORMAT_TIME, 0},
        {"downloads", "downloads", FORMAT_NUMBER, 0},
        {"revoked", "tokens revoked", FORMAT_NUMBER, 0},
        {0},
    };
    out_facts(&cli->out, doc, columns);
    if (json_object_get(doc, "token"))
        out_line(&cli->out, STYLE_DIM,
                 "It is shown only now. Use: drawbridge session download < FILE-WITH-THE-TOKEN");
}

static json_t *make_link(struct cli *cli, struct db *db, const char *id, struct err *err)
{
    char token[DOWNLOAD_TOKEN_TEXT], hex[2 * DOWNLOAD_HASH + 3], now[25], until[25], count[24];
    uint8_t hash[DOWNLOAD_HASH];
    int64_t downloads = line_int(&cli->line, "downloads", 3);
    download_token_make(token);
    if (!download_token_hash(token, hash)) {
        (void)err_set(err, ERR_INTERNAL, "a token that was just made does not parse");
        return NULL;
    }
    hex_of(hash, hex);
    clock_format(cli->now_ms, now);
    clock_format(cli->now_ms + line_int(&cli->line, "for", HOUR_MS), until);
    snprintf(count, sizeof count, "%lld", (long long)downloads);
    auto_json json_t *row =
        db_row(db, SQL_DOWNLOAD_TOKEN_ADD, DB_PARAMS(hex, id, now, until, count), err);
    if (json_is_null(row))
        (void)err_set(err, ERR_NOT_FOUND,
                      "session %.64s has no configuration that could be downloaded", id);
    if (!row || err->code)
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:I}", "sessionId", id, "token", token, "expiresAt", until,
                     "downloads", (json_int_t)downloads);
}

static json_t *revoke_links(struct cli *cli, struct db *db, const char *id, struct err *err)
{
    char now[25];
    clock_format(cli->now_ms, now);
    auto_json json_t *row = db_row(db, SQL_DOWNLOAD_TOKEN_REVOKE, DB_PARAMS(id, now), err);
    return row ? json_pack("{s:s, s:O}", "sessionId", id, "revoked",
                           json_object_get(row, "revoked"))
               : NULL;
}

static int run_link(struct cli *cli)
{
    struct err err = {0};
    const char *id = cli->line.words[0];
    auto_db struct db *db = secret_init(&err) ? db_open(cli, &err) : NULL;
    json_t *doc = !db                              ? NULL
                  : line_has(&cli->line, "revoke") ? revoke_links(cli, db, id, &err)
                                                   : make_link(cli, db, id, &err);
    return doc ? cli_done(cli, doc, link_people) : cli_fail(cli, &err);
}

/* From standard input: a process's arguments are public. */
static bool read_token(char out[static DOWNLOAD_TOKEN_TEXT + 2], struct err *err)
{
    if (!fgets(out, DOWNLOAD_TOKEN_TEXT + 2, stdin))
        return err_set(err, ERR_BAD_INPUT,
                       "the token is read from standard input, and nothing came");
    out[strcspn(out, "\r\n")] = 0;
    return true;
}

static struct secret *use_token(struct cli *cli, struct db *db, struct err *err)
{
    char token[DOWNLOAD_TOKEN_TEXT + 2] = "", hex[2 * DOWNLOAD_HASH + 3], now[25];
    uint8_t hash[DOWNLOAD_HASH];
    if (!read_token(token, err))
        return NULL;
    bool good = download_token_hash(token, hash);
    sodium_memzero(token, sizeof token);
    if (!good) {
        (void)err_set(err, ERR_BAD_INPUT, "this is no download token: they begin with dl_");
        return NULL;
    }
    hex_of(hash, hex);
    clock_format(cli->now_ms, now);
    auto_json json_t *row = db_row(db, SQL_DOWNLOAD_TOKEN_USE, DB_PARAMS(hex, now), err);
    const char *id = row ? json_string_value(json_object_get(row, "sessionId")) : NULL;
    if (row && !id)
        (void)err_set(err, ERR_NOT_FOUND, "the token is unknown, over, used up or revoked");
    return id ? session_config_text(cli, db, id, err) : NULL;
}

static int run_download(struct cli *cli)
{
    struct err err = {0};
    auto_db struct db *db = secret_init(&err) ? db_open(cli, &err) : NULL;
    auto_secret struct secret *text = db ? use_token(cli, db, &err) : NULL;
    if (!text)
        return cli_fail(cli, &err);
    fwrite(secret_view(text), 1, secret_size(text), cli->out.to);
    return EXIT_DONE;
}

static const struct option link_options[] = {
    {"for", "DUR", "how long it is valid (1h)", OPT_DURATION, 1000, 24 * HOUR_MS, false},
    {"downloads", "N", "how often it can be used (3)", OPT_INT, 1, 100, false},
    {"revoke", NULL, "ends all tokens of the session instead", OPT_FLAG, 0, 0, false},
    {0},
};
static const struct example link_examples[] = {
    {"session link 0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10 --downloads 1", "for one device"},
    {"session link 0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10 --revoke",
     "when it went to the wrong place"},
    {0},
};
static const struct example download_examples[] = {
    {"session download < token.txt > ada.conf", "the token is never an argument: those are public"},
    {0},
};

const struct action session_link_actions[] = {
    {"session", "link", "ID", 1, 1, "Makes a token that downloads the configuration",
     "The token is random, shown once, counted, and valid for an hour; only its hash is kept.",
     link_options, link_examples, run_link},
    {"session", "download", NULL, 0, 0, "Writes the configuration a token is for",
     "Reads the token from standard input; each use counts.", NULL, download_examples,
     run_download},
    {0},
};
