/* drawbridge migrate — brings the database to the schema this build knows, and makes the master
 * key when there is none. Forward only; each migration is one transaction; a migration that was
 * applied must not change afterwards. */
#include "commands.h"
#include "db.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <sodium.h>

#include "core/seal.h"

#include "token_secret.h"

enum { SHA256_HEX = 2 * crypto_hash_sha256_BYTES + 1 };

static void text_sha256(const char *text, char out[static SHA256_HEX])
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const uint8_t *)text, strlen(text));
    sodium_bin2hex(out, SHA256_HEX, hash, sizeof hash);
}

static const json_t *applied_row(const json_t *applied, int version)
{
    size_t i;
    json_t *row;
    json_array_foreach(applied, i, row)
    {
        if (json_integer_value(json_object_get(row, "version")) == version)
            return row;
    }
    return NULL;
}

/* An applied migration is one we know, unchanged. */
static bool check_applied(const json_t *applied, struct err *err)
{
    size_t i;
    json_t *row;
    json_array_foreach(applied, i, row)
    {
        int version = (int)json_integer_value(json_object_get(row, "version"));
        const char *name = json_string_value(json_object_get(row, "name"));
        const struct sql_migration *m = sql_migrations;
        char hash[SHA256_HEX];
        while (m->text && m->version != version)
            m++;
        if (!m->text)
            return err_set(err, ERR_CONF_INVALID,
                           "the database has migration %s, which this build does not know: it is "
                           "newer. Use the drawbridge that applied it.",
                           name);
        text_sha256(m->text, hash);
        if (strcmp(hash, json_string_value(json_object_get(row, "sha256"))) != 0)
            return err_set(err, ERR_CONF_INVALID,
                           "migration %s was changed after it was applied here. Restore the file "
                           "as it was and put the change into a new migration.",
                           name);
    }
    return true;
}

static bool apply_one(struct db *db, const struct sql_migration *m, struct err *err)
{
    char version[16], hash[SHA256_HEX];
    snprintf(version, sizeof version, "%d", m->version);
    text_sha256(m->text, hash);
    if (db_begin(db, err) && db_script(db, m->text, err) &&
        db_do(db, SQL_MIGRATION_RECORD, DB_PARAMS(version, m->name, hash), err) &&
        db_commit(db, err))
        return true;
    db_rollback(db);
    return err_wrap(err, "migration %s", m->name);
}

/* Applies (or, with --check, only names) what is missing; names go to `names`. */
static bool apply_missing(struct db *db, bool check, const json_t *applied, json_t *names,
                          struct err *err)
{
    for (const struct sql_migration *m = sql_migrations; m->text; m++) {
        if (applied_row(applied, m->version))
            continue;
        if (!check && !apply_one(db, m, err))
            return false;
        if (json_array_append_new(names, json_string(m->name)))
            return err_set(err, ERR_NO_MEMORY, "migrations");
    }
    return true;
}

static json_t *read_applied(struct db *db, bool check, struct err *err)
{
    if (!check) {
        if (!db_do(db, SQL_MIGRATION_LOCK, NULL, err) || !db_do(db, SQL_MIGRATION_TABLE, NULL, err))
            return NULL;
        return db_rows(db, SQL_MIGRATION_LIST, NULL, err);
    }
    auto_json json_t *there = db_row(db, SQL_MIGRATION_TABLE_EXISTS, NULL, err);
    if (!there)
        return NULL;
    return json_is_true(json_object_get(there, "exists"))
               ? db_rows(db, SQL_MIGRATION_LIST, NULL, err)
               : json_array();
}

/* "present", "made", "missing" (with --check); NULL and err when rows are sealed under a key that
 * is gone: a new one could not open them. */
static const char *ensure_key(struct db *db, const char *path, bool check, bool have_tables,
                              struct err *err)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return "present";
    if (errno != ENOENT && errno != ENOTDIR) {
        (void)err_set(err, ERR_KEY_INVALID, "the master key %s: %m", path);
        return NULL;
    }
    if (have_tables) {
        auto_json json_t *row = db_row(db, SQL_SEALED_COUNT, NULL, err);
        if (!row)
            return NULL;
        json_int_t sealed = json_integer_value(json_object_get(row, "sealed"));
        if (sealed) {
            (void)err_set(err, ERR_KEY_MISSING,
                          "the master key %s is gone, and %lld rows are sealed under it", path,
                          (long long)sealed);
            return NULL;
        }
    }
    if (check)
        return "missing";
    return secret_init(err) && sealer_create_key(path, err) ? "made" : NULL;
}

static void migrate_people(struct cli *cli, const json_t *doc)
{
    struct out *o = &cli->out;
    const json_t *names = json_object_get(doc, "migrations");
    bool check = json_is_true(json_object_get(doc, "check"));
    const char *key = json_string_value(json_object_get(doc, "masterKey"));
    const char *file = json_string_value(json_object_get(doc, "masterKeyFile"));
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
        out_line(o, check ? STYLE_WARN : STYLE_GOOD, "%s  %s", check ? "missing" : "applied",
                 json_string_value(name));
    if (!json_array_size(names))
        out_line(o, STYLE_PLAIN, "The schema is up to date.");
    if (!strcmp(key, "made"))
        out_line(o, STYLE_PLAIN,
                 "Made the master key %s (0600). Keep a copy in a safe place: what "
                 "it seals cannot be opened without it.",
                 file);
    if (!strcmp(key, "missing"))
        out_line(o, STYLE_WARN, "missing  the master key %s", file);
    if (check && (json_array_size(names) || !strcmp(key, "missing")))
        out_line(o, STYLE_PLAIN, "Next: drawbridge migrate");
}

static int run_migrate(struct cli *cli)
{
    struct err err = {0};
    bool check = line_has(&cli->line, "check");
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *applied = db ? read_applied(db, check, &err) : NULL;
    auto_json json_t *names = json_array();
    if (!applied || !check_applied(applied, &err) ||
        !apply_missing(db, check, applied, names, &err))
        return cli_fail(cli, &err) == EXIT_USAGE ? EXIT_FAILED : cli_exit_code(cli, &err);
    size_t missing = check ? json_array_size(names) : 0;
    const char *key =
        ensure_key(db, cli->conf.master_key_file, check, !check || json_array_size(applied), &err);
    const char *pepper = !key      ? NULL
                         : missing ? "missing"
                                   : token_pepper_ensure(cli, db, check, &err);
    if (!pepper)
        return cli_fail(cli, &err);
    json_t *doc =
        json_pack("{s:b, s:O, s:s, s:s, s:s}", "check", check, "migrations", names, "pepper",
                  pepper, "masterKey", key, "masterKeyFile", cli->conf.master_key_file);
    int code = cli_done(cli, doc, migrate_people);
    return code == EXIT_DONE && (missing || !strcmp(key, "missing")) ? EXIT_FAILED : code;
}

static const struct option migrate_options[] = {
    {"check", NULL, "change nothing; exit code 1 when something is missing", OPT_FLAG, 0, 0, false},
    {0},
};

static const struct example migrate_examples[] = {
    {"migrate", "brings a new or older database up to date"},
    {"migrate --check", "in a deployment, before the workers start"},
    {0},
};

const struct action migrate_actions[] = {
    {"migrate", NULL, NULL, 0, 0, "Brings the database up to date and makes the master key",
     "Applies the migrations that are missing, each in one transaction and never twice; runs at "
     "the same time wait for each other. Refuses a database that is newer, or a migration that was "
     "changed after it was applied. Makes the master key (exclusive create, mode 0600) when there "
     "is none and nothing is sealed yet; while sealed rows exist, a missing key is an error. Makes "
     "the pepper that tokens are hashed with, sealed under it.",
     migrate_options, migrate_examples, run_migrate},
    {0},
};
