/* pg — one PostgreSQL connection inside the loop, in pipeline mode.
 *
 * Work is queued as segments: pg_query … pg_query, pg_sync. A segment without BEGIN is one
 * transaction, and it is committed if and only if its end is reported without a failure (H16–H18).
 * Statements are prepared once per connection under their file's name, at first use. When the
 * connection breaks, every open segment ends with a failure whose `lost` is true (it may have
 * committed, H20), on_down is called, and the connection is tried again with back-off until
 * pg_free; on_up follows when it is usable.
 *
 * jsonb parameters are sent as text arrays and cast in SQL; results come in binary format. */
#pragma once

#include "core/args.h"
#include "core/err.h"

#include "sql.h"

#include <libpq-fe.h>
#include <uv.h>

struct pg;

struct pg_failure {
    bool lost;        /* the connection broke: nobody knows */
    char sqlstate[6]; /* "" when lost */
    struct err err;
};

/* The rows of one query; r is freed afterwards. Not called when the segment failed before. */
typedef void pg_rows_fn(void *arg, const PGresult *r);
/* The end of a segment; failure NULL: committed. */
typedef void pg_done_fn(void *arg, const struct pg_failure *failure);

struct pg_ops {
    void (*on_up)(void *arg);
    void (*on_down)(void *arg, const struct err *why);
    void *arg;
};

/* Starts to connect; never blocks. `role`: taken at connect when the user may (NULL: none). */
struct pg *pg_new(uv_loop_t *loop, const char *url, const char *role, const struct pg_ops *ops,
                  struct err *err);
void pg_free(struct pg **pg); /* open segments end nowhere: their callbacks are not called */

bool pg_is_up(const struct pg *pg);
int pg_backend_pid(const struct pg *pg);
/* Queues one prepared statement of the current segment. rows may be NULL. Failures surface at the
 * segment's end. */
void pg_query(struct pg *pg, enum sql_id id, const struct args *args, pg_rows_fn *rows, void *arg);
/* As above for a statement without parameters outside the table: BEGIN, COMMIT, ROLLBACK. */
void pg_command(struct pg *pg, const char *sql);
/* Ends the segment. done is called from the loop; at once only when the connection is down. */
void pg_sync(struct pg *pg, pg_done_fn *done, void *arg);
#ifdef DRAWBRIDGE_FAILPOINTS
/* Sends what is queued of a segment without ending it: tests die in the middle of one. */
void pg_flush(struct pg *pg);
#endif
/* Drops the connection and connects anew, as after a break. */
void pg_reset(struct pg *pg, const char *why);

/* Reading binary results. NULL columns read as 0, NULL or an empty run. */
int64_t pg_int8(const PGresult *r, int row, int col); /* int2, int4, int8, bool, "char" too */
int64_t pg_time(const PGresult *r, int row, int col); /* timestamptz as Unix ms; NULL: 0 */
int64_t pg_day(const PGresult *r, int row, int col);  /* date as days since 1970 */
struct bytes pg_bytes(const PGresult *r, int row, int col);
const char *pg_text(const PGresult *r, int row, int col); /* NUL-terminated, NULL for NULL */
