/* drawbridge token create|list|show|update|revoke|rotate|seed. A secret is made here and nowhere
 * kept: its hashes go into the database, its text to the terminal or a file, once. */
#include "commands.h"
#include "db.h"
#include "send.h"

#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "core/clock.h"

#include "private_file.h"
#include "token_secret.h"

enum { LIST_LIMIT = 50 };

/* ---- what commands share ----------------------------------------------------------------------
 */

static void set_text(json_t *data, const struct line *l, const char *option, const char *member)
{
    if (line_has(l, option))
        json_object_set_new(data, member, json_string(line_text(l, option)));
}

static void set_scopes(json_t *data, const struct line *l)
{
    const char *scope;
    if (!line_has(l, "scope"))
        return;
    json_t *list = json_array();
    for (size_t i = 0; (scope = line_many(l, "scope", i)); i++)
        json_array_append_new(list, json_string(scope));
    json_object_set_new(data, "scopes", list);
}

static bool set_expiry(struct cli *cli, json_t *data, struct err *err)
{
    const char *text = line_text(&cli->line, "expires");
    char at[25];
    int64_t ms;
    if (!text)
        return true;
    if (!time_parse(text, cli->now_ms, &ms))
        return usage_error(err, "--expires: %.64s is no time; for example +90d", text);
    clock_format(ms, at);
    json_object_set_new(data, "expiresAt", json_string(at));
    return true;
}

static json_t *find_token(struct db *db, const char *id, struct err *err)
{
    uint8_t bytes[UUID_BYTES];
    bool is_id = uuid_parse(id, strlen(id), bytes);
    json_t *row = is_id ? db_row(db, SQL_TOKEN_SHOW, DB_PARAMS(id), err) : json_null();
    if (!json_is_null(row))
        return row;
    (void)err_set(err, ERR_NOT_FOUND, "there is no token %.64s", id);
    return NULL;
}

/* {"tokenId", "owner"} of a token that is there. */
static json_t *data_of(struct db *db, const char *id, struct err *err)
{
    auto_json json_t *row = find_token(db, id, err);
    return row ? json_pack("{s:O, s:O}", "tokenId", json_object_get(row, "tokenId"), "owner",
                           json_object_get(row, "owner"))
               : NULL;
}

/* ---- a secret and the command that takes it ---------------------------------------------------
 */

struct birth {
    struct token_text token;
    char text[TOKEN_TEXT_SIZE];
    char secret_id[UUID_TEXT];
    const char *output; /* NULL: shown */
};

static void birth_wipe(struct birth *b)
{
    sodium_memzero(b, sizeof *b);
}

static void on_done(json_t *event, void *arg)
{
    const struct birth *b = arg;
    if (b->output)
        json_object_set_new(event, "tokenFile", json_string(b->output));
    else
        json_object_set_new(event, "token", json_string(b->text));
}

static bool write_text(const struct birth *b, struct err *err)
{
    char line[TOKEN_TEXT_SIZE + 1];
    snprintf(line, sizeof line, "%s\n", b->text);
    bool ok = private_file_write(b->output, line, strlen(line), err);
    sodium_memzero(line, sizeof line);
    return ok;
}

/* The file is there before the command is: a secret that is taken is never lost. It goes again when
 * the command came to nothing. `keep`: it is not ours to take away. */
static int send_birth(struct cli *cli, struct db *db, struct birth *b, const char *type,
                      json_t *data, bool keep, struct err *err)
{
    token_text_format(&b->token, b->text);
    if (!token_secret_put(cli, db, &b->token, b->secret_id, err) ||
        (b->output && !keep && !write_text(b, err)))
        return cli_fail(cli, err);
    json_object_set_new(data, "secretId", json_string(b->secret_id));
    struct composition in = {.type = type, .data = data, .id = line_text(&cli->line, "command-id")};
    int code =
        send_command_then(cli, &in, line_int(&cli->line, "wait", WAIT_DEFAULT_MS), on_done, b);
    if (b->output && !keep && code != EXIT_DONE && code != EXIT_UNKNOWN)
        (void)unlink(b->output);
    return code;
}

static int run_create(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    uint8_t id[UUID_BYTES];
    char id_text[UUID_TEXT];
    auto_with(birth_wipe) struct birth b = {.output = line_text(l, "output")};
    uuid_random(id);
    uuid_format(id, id_text);
    token_text_make(id, &b.token);
    auto_json json_t *data =
        json_pack("{s:s, s:s, s:s}", "tokenId", id_text, "owner", l->words[0], "name", l->words[1]);
    set_text(data, l, "description", "description");
    set_scopes(data, l);
    auto_db struct db *db = set_expiry(cli, data, &err) ? db_open(cli, &err) : NULL;
    return db ? send_birth(cli, db, &b, "token.create", data, false, &err) : cli_fail(cli, &err);
}

static int run_rotate(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    uint8_t id[UUID_BYTES];
    auto_with(birth_wipe) struct birth b = {.output = line_text(l, "output")};
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *data = db ? data_of(db, l->words[0], &err) : NULL;
    if (!data || !set_expiry(cli, data, &err) || !uuid_parse(l->words[0], strlen(l->words[0]), id))
        return cli_fail(cli, &err);
    token_text_make(id, &b.token);
    if (line_has(l, "grace"))
        json_object_set_new(data, "graceSeconds", json_integer(line_int(l, "grace", 0) / 1000));
    return send_birth(cli, db, &b, "token.rotate", data, false, &err);
}

/* ---- update, revoke ---------------------------------------------------------------------------
 */

static bool set_changes(struct cli *cli, json_t *data, struct err *err)
{
    const struct line *l = &cli->line;
    if ((line_has(l, "expires") && line_has(l, "never-expires")) ||
        (line_has(l, "description") && line_has(l, "no-description")))
        return usage_error(err, "an option and its opposite exclude each other");
    set_text(data, l, "name", "name");
    set_text(data, l, "description", "description");
    set_scopes(data, l);
    if (line_has(l, "no-description"))
        json_object_set_new(data, "description", json_null());
    if (line_has(l, "never-expires"))
        json_object_set_new(data, "expiresAt", json_null());
    if (line_has(l, "if-revision"))
        json_object_set_new(data, "ifRevision", json_integer(line_int(l, "if-revision", 0)));
    return set_expiry(cli, data, err);
}

static int run_update(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *data = db ? data_of(db, l->words[0], &err) : NULL;
    if (!data || !set_changes(cli, data, &err))
        return cli_fail(cli, &err);
    struct composition in = {
        .type = "token.update", .data = data, .id = line_text(l, "command-id")};
    return send_command(cli, &in, send_waiting(cli));
}

static int run_revoke(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *data = db ? data_of(db, l->words[0], &err) : NULL;
    if (!data)
        return cli_fail(cli, &err);
    set_text(data, l, "reason", "reason");
    struct composition in = {
        .type = "token.revoke", .data = data, .id = line_text(l, "command-id")};
    return send_command(cli, &in, send_waiting(cli));
}

/* ---- seed -------------------------------------------------------------------------------------
 */

/* The token in the file; false without an error: there is no file. */
static bool read_seed(const char *path, struct birth *b, bool *out_there, struct err *err)
{
    char text[TOKEN_TEXT_MAX + 1];
    size_t n = 0;
    struct err why = {0};
    *out_there = private_file_read(path, text, TOKEN_TEXT_MAX, &n, &why);
    if (!*out_there && why.code != ERR_NOT_FOUND) {
        *err = why;
        return false;
    }
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    bool ok = !*out_there || token_text_parse(text, n, &b->token);
    sodium_memzero(text, sizeof text);
    return ok || err_set(err, ERR_BAD_INPUT, "%.256s holds no token", path);
}

static void seeded_already(struct cli *cli, const json_t *doc)
{
    (void)doc;
    out_line(&cli->out, STYLE_PLAIN, "There are tokens already: nothing was seeded.");
}

static int seed(struct cli *cli, struct db *db, struct err *err)
{
    uint8_t id[UUID_BYTES];
    char id_text[UUID_TEXT];
    bool there;
    auto_with(birth_wipe) struct birth b = {.output = cli->conf.bootstrap_token_file};
    if (!read_seed(b.output, &b, &there, err))
        return cli_fail(cli, err);
    uuid_random(id);
    if (!there)
        token_text_make(id, &b.token);
    uuid_format(b.token.id, id_text);
    auto_json json_t *data = json_pack(
        "{s:s, s:s, s:s, s:s, s:[s], s:b, s:{s:s, s:s}}", "tokenId", id_text, "owner", "bootstrap",
        "name", "bootstrap", "description", "the first token of this system", "scopes", "admin",
        "seeded", 1, "requestedBy", "kind", "system", "id", "bootstrap");
    return send_birth(cli, db, &b, "token.create", data, there, err);
}

static int run_seed(struct cli *cli)
{
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *count = db ? db_row(db, SQL_TOKEN_COUNT, DB_PARAMS(NULL, NULL), &err) : NULL;
    if (!count)
        return cli_fail(cli, &err);
    if (json_integer_value(json_object_get(count, "totalCount")) > 0)
        return cli_done(cli, json_pack("{s:b}", "seeded", 0), seeded_already);
    return seed(cli, db, &err);
}

/* ---- show, list -------------------------------------------------------------------------------
 */

static const struct column token_columns[] = {
    {"tokenId", "token", FORMAT_TEXT, 0},
    {"owner", "owner", FORMAT_TEXT, 0},
    {"name", "name", FORMAT_TEXT, 0},
    {"description", "description", FORMAT_TEXT, 0},
    {"status", "status", FORMAT_STATUS, 0},
    {"scopes", "may do", FORMAT_LIST, 0},
    {"prefix", "begins with", FORMAT_TEXT, 0},
    {"expiresAt", "expires", FORMAT_TIME, 0},
    {"lastUsedAt", "last used", FORMAT_AGO, 0},
    {"lastUsedIp", "last used from", FORMAT_TEXT, 0},
    {"rotatedAt", "rotated", FORMAT_TIME, 0},
    {"previousUntil", "old secret until", FORMAT_TIME, 0},
    {"createdBy", "made by", FORMAT_TEXT, 0},
    {"createdAt", "made", FORMAT_TIME, 0},
    {"updatedAt", "changed", FORMAT_TIME, 0},
    {"revokedAt", "revoked", FORMAT_TIME, 0},
    {"revision", "revision", FORMAT_NUMBER, 0},
    {0},
};

static void show_people(struct cli *cli, const json_t *token)
{
    out_facts(&cli->out, token, token_columns);
}

static int run_show(struct cli *cli)
{
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    json_t *row = db ? find_token(db, cli->line.words[0], &err) : NULL;
    return row ? cli_done(cli, row, show_people) : cli_fail(cli, &err);
}

static const struct column list_columns[] = {
    {"tokenId", "TOKEN", FORMAT_TEXT, 0},       {"owner", "OWNER", FORMAT_TEXT, 24},
    {"name", "NAME", FORMAT_TEXT, 30},          {"status", "STATUS", FORMAT_STATUS, 0},
    {"scopes", "MAY DO", FORMAT_LIST, 40},      {"expiresAt", "EXPIRES", FORMAT_TIME, 0},
    {"lastUsedAt", "LAST USED", FORMAT_AGO, 0}, {0},
};

static void list_people(struct cli *cli, const json_t *doc)
{
    const json_t *rows = json_object_get(doc, "tokens"), *cursor = json_object_get(doc, "cursor");
    if (json_array_size(rows))
        out_table(&cli->out, rows, list_columns);
    out_line(&cli->out, STYLE_DIM, "%zu of %lld tokens, %lld active", json_array_size(rows),
             (long long)json_integer_value(json_object_get(doc, "totalCount")),
             (long long)json_integer_value(json_object_get(doc, "activeCount")));
    if (json_is_string(cursor))
        out_line(&cli->out, STYLE_DIM, "Next page: --cursor %s", json_string_value(cursor));
}

static json_t *list_rows(struct cli *cli, struct db *db, struct err *err)
{
    const struct line *l = &cli->line;
    char limit[24];
    uint8_t bytes[UUID_BYTES];
    const char *cursor = line_text(l, "cursor");
    if (cursor && !uuid_parse(cursor, strlen(cursor), bytes)) {
        (void)usage_error(err, "--cursor is what the last page ended with");
        return NULL;
    }
    snprintf(limit, sizeof limit, "%lld", (long long)line_int(l, "limit", LIST_LIMIT));
    return db_rows(db, SQL_TOKEN_LIST,
                   DB_PARAMS(line_text(l, "owner"), line_text(l, "status"), limit, cursor), err);
}

static int run_list(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *doc =
        db ? db_row(db, SQL_TOKEN_COUNT, DB_PARAMS(line_text(l, "owner"), line_text(l, "status")),
                    &err)
           : NULL;
    auto_json json_t *rows = doc ? list_rows(cli, db, &err) : NULL;
    if (!rows)
        return cli_fail(cli, &err);
    size_t n = json_array_size(rows);
    const json_t *last = json_object_get(json_array_get(rows, n - (n > 0)), "tokenId");
    bool more = n == (size_t)line_int(l, "limit", LIST_LIMIT);
    json_object_set(doc, "tokens", rows);
    json_object_set_new(doc, "cursor", more ? json_copy((json_t *)last) : json_null());
    return cli_done(cli, json_incref(doc), list_people);
}

/* ---- rows -------------------------------------------------------------------------------------
 */

#define OPTION_WAIT                                                                                \
    {                                                                                              \
        "wait", "S", "how long to wait for the outcome (default 30 s)", OPT_SECONDS_MAYBE,         \
            WAIT_DEFAULT_MS, 0, false                                                              \
    }
#define OPTION_SCOPE                                                                               \
    {                                                                                              \
        "scope", "SCOPE", "what it may do: sessions:read, sessions:*, ..., admin", OPT_TEXT, 0, 0, \
            true                                                                                   \
    }
#define OPTION_OUTPUT                                                                              \
    {                                                                                              \
        "output", "FILE", "writes the token there (0600) instead of showing it", OPT_TEXT, 0, 0,   \
            false                                                                                  \
    }
#define OPTION_EXPIRES                                                                             \
    {                                                                                              \
        "expires", "TIME", "good until then: RFC 3339, or +90d", OPT_TEXT, 0, 0, false             \
    }

static const struct option create_options[] = {
    OPTION_SCOPE,
    OPTION_EXPIRES,
    {"description", "TEXT", "what it is for", OPT_TEXT, 0, 0, false},
    OPTION_OUTPUT,
    OPTION_COMMAND_ID,
    OPTION_WAIT,
    {0},
};
static const struct option rotate_options[] = {
    {"grace", "DURATION", "how long the old secret goes on (default: not at all), up to 7d",
     OPT_DURATION, 0, 604800000, false},
    OPTION_EXPIRES,
    OPTION_OUTPUT,
    OPTION_COMMAND_ID,
    OPTION_WAIT,
    {0},
};
static const struct option update_options[] = {
    {"name", "NAME", "another name", OPT_TEXT, 0, 0, false},
    {"description", "TEXT", "what it is for", OPT_TEXT, 0, 0, false},
    {"no-description", NULL, "takes that away", OPT_FLAG, 0, 0, false},
    OPTION_SCOPE,
    OPTION_EXPIRES,
    {"never-expires", NULL, "good for ever", OPT_FLAG, 0, 0, false},
    {"if-revision", "N", "only when it is at this revision still", OPT_INT, 1, INT32_MAX, false},
    OPTION_COMMAND_ID,
    OPTION_WAITING,
    {0},
};
static const struct option revoke_options[] = {
    {"reason", "TEXT", "kept in the audit trail", OPT_TEXT, 0, 0, false},
    OPTION_COMMAND_ID,
    OPTION_WAITING,
    {0},
};
static const struct option list_options[] = {
    {"owner", "OWNER", "only this user's or service's", OPT_TEXT, 0, 0, false},
    {"status", "STATUS", "active, revoked or expired", OPT_TEXT, 0, 0, false},
    {"limit", "N", "rows on a page (50)", OPT_INT, 1, 1000, false},
    {"cursor", "CURSOR", "where the last page ended", OPT_TEXT, 0, 0, false},
    {0},
};
static const struct option seed_options[] = {
    OPTION_WAIT,
    {0},
};

static const struct example create_examples[] = {
    {"token create ada laptop --scope sessions:* --expires +90d", "for a user"},
    {"token create billing nightly --scope audit:read --output /etc/billing/token",
     "for a service, into a file"},
    {0},
};
static const struct example rotate_examples[] = {
    {"token rotate 3f0c8f6e-6a55-4d1b-9a8e-2f9a4f7d2c11 --grace 1h",
     "the old secret works for another hour"},
    {0},
};
static const struct example update_examples[] = {
    {"token update 3f0c8f6e-6a55-4d1b-9a8e-2f9a4f7d2c11 --scope sessions:read",
     "it may do less from now on"},
    {0},
};

const struct action token_actions[] = {
    {"token", "create", "OWNER NAME", 2, 2, "Makes an access token and shows it, once",
     "The owner is a user, or the name of a service. What the database keeps are hashes: a lost "
     "token cannot be shown again, only replaced (token rotate).",
     create_options, create_examples, run_create},
    {"token", "list", NULL, 0, 0, "Lists tokens, never their secrets", NULL, list_options, NULL,
     run_list},
    {"token", "show", "ID", 1, 1, "Shows one token, never its secret", NULL, NULL, NULL, run_show},
    {"token", "update", "ID", 1, 1, "Changes what is given and keeps the rest",
     "A later expiry makes an expired token active again; a revoked one stays revoked.",
     update_options, update_examples, run_update},
    {"token", "rotate", "ID", 1, 1, "Replaces the secret of a token and shows it, once",
     "The old one dies at once, or after --grace.", rotate_options, rotate_examples, run_rotate},
    {"token", "revoke", "ID", 1, 1, "Revokes a token, for ever", NULL, revoke_options, NULL,
     run_revoke},
    {"token", "seed", NULL, 0, 0, "Makes the first administrator's token of an empty system",
     "Does nothing when there are tokens. The token is read from bootstrap_token_file when that "
     "file is there (0600), else made and written to it.",
     seed_options, NULL, run_seed},
    {0},
};
