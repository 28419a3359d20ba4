/* db — the database, asked synchronously. Statements are those of sql/queries, by id; parameters
 * only as parameters. Rows become JSON objects: column names are the members' names, timestamps
 * ISO 8601 in UTC with milliseconds, json and arrays of text as JSON, NULL as null. */
#pragma once

#include "cli.h"

#include "sql.h"

#include <libpq-fe.h>

struct db;

/* Connects within 5 s (or what the connection string says). */
struct db *db_open(struct cli *cli, struct err *err);
void db_free(struct db **db);
#define auto_db auto_with(db_free)

/* Parameters in text form, NULL for null. As many as the statement has. */
#define DB_PARAMS(...) ((const char *const[]){__VA_ARGS__})
/* All rows as an array; NULL and err. A missing table says that `migrate` has to run; a missing
 * right sets cli->denied. */
json_t *db_rows(struct db *db, enum sql_id id, const char *const *params, struct err *err);
/* The first row or json null. */
json_t *db_row(struct db *db, enum sql_id id, const char *const *params, struct err *err);
/* Rows do not matter. */
must_check bool db_do(struct db *db, enum sql_id id, const char *const *params, struct err *err);
/* Several statements in one transaction: db_begin … db_commit; a failure in between rolls back.
 * db_script runs a migration's text. */
must_check bool db_begin(struct db *db, struct err *err);
must_check bool db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);
must_check bool db_script(struct db *db, const char *text, struct err *err);
/* A bytea column's text form ("\x00ff") as bytes into `out`. */
must_check bool db_bytes(const char *text, struct buf *out);
/* {"a","b"} of n texts, for array parameters; NULL elements are NULL. */
void db_array(struct buf *out, const char *const *items, size_t n);
void db_array_item(struct buf *out, const char *item); /* one of them, quoted */
/* PostgreSQL's own error position and context are left out; this is the SQLSTATE of the last
 * failure, "" when there was none. */
const char *db_sqlstate(const struct db *db);
