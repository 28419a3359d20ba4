#include "db.h"

#include <string.h>

#include "core/clock.h"

struct db {
    struct cli *cli;
    PGconn *pg;
    char sqlstate[6];
};

static void result_cleanup(PGresult **r)
{
    PQclear(*r);
}
#define auto_result auto_with(result_cleanup)

void db_free(struct db **db)
{
    if (!*db)
        return;
    PQfinish((*db)->pg);
    free(take(*db));
}

const char *db_sqlstate(const struct db *db)
{
    return db->sqlstate;
}

/* libpq's messages end with a line end, and have several lines when it tried several addresses. */
static bool connection_error(const struct db *db, struct err *err)
{
    const char *why = db->pg ? PQerrorMessage(db->pg) : "no memory";
    char line[400];
    size_t n = 0;
    for (; *why && n + 1 < sizeof line; why++) {
        char c = *why;
        if (c == '\n' || c == '\t')
            c = ' ';
        if (c != ' ' || (n && line[n - 1] != ' '))
            line[n++] = c;
    }
    while (n && line[n - 1] == ' ')
        n--;
    line[n] = 0;
    return err_set(err, ERR_PG_CONNECTION, "the database cannot be reached: %s", line);
}

/* "relation … already exists, skipping" is no news. */
static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

struct db *db_open(struct cli *cli, struct err *err)
{
    /* What the connection string says goes before the defaults in front of it. */
    static const char *const keys[] = {"connect_timeout", "client_encoding",           "options",
                                       "dbname",          "fallback_application_name", NULL};
    const char *const values[] = {
        "5",          "UTF8", "-c TimeZone=UTC -c DateStyle=ISO", cli->conf.database_url,
        "drawbridge", NULL};
    auto_db struct db *db = calloc(1, sizeof *db);
    if (!db) {
        (void)err_set(err, ERR_NO_MEMORY, "database");
        return NULL;
    }
    db->cli = cli;
    db->pg = PQconnectdbParams(keys, values, 1);
    if (PQstatus(db->pg) != CONNECTION_OK) {
        (void)connection_error(db, err);
        return NULL;
    }
    PQsetNoticeProcessor(db->pg, ignore_notice, NULL);
    return take(db);
}

/* What the server said, in our words where we know better. */
static bool statement_error(struct db *db, const PGresult *r, const char *what, struct err *err)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *said = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    snprintf(db->sqlstate, sizeof db->sqlstate, "%s", state ? state : "");
    if (PQstatus(db->pg) == CONNECTION_BAD || !state)
        return connection_error(db, err);
    if (!strcmp(state, "42P01") || !strcmp(state, "42703") || !strcmp(state, "42883"))
        return err_set(err, ERR_PG_SCHEMA, "the database does not have this schema: %s", said);
    if (!strcmp(state, "42501")) {
        db->cli->denied = true;
        return err_set(err, ERR_PG_FAILED, "the database's user may not do this: %s", said);
    }
    return err_set(
        err, !strncmp(state, "22", 2) || !strncmp(state, "23", 2) ? ERR_PG_DATA : ERR_PG_FAILED,
        "%s: %s (%s)", what, said ? said : "failed", state);
}

static bool succeeded(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static PGresult *query(struct db *db, enum sql_id id, const char *const *params, struct err *err)
{
    const struct sql_query *q = &sql_queries[id];
    PGresult *r = PQexecParams(db->pg, q->text, q->params, NULL, params, NULL, NULL, 0);
    if (succeeded(r))
        return r;
    (void)statement_error(db, r, q->name, err);
    PQclear(r);
    return NULL;
}

bool db_script(struct db *db, const char *text, struct err *err)
{
    auto_result PGresult *r = PQexec(db->pg, text);
    return succeeded(r) || statement_error(db, r, "script", err);
}

bool db_begin(struct db *db, struct err *err)
{
    return db_script(db, "BEGIN", err);
}

bool db_commit(struct db *db, struct err *err)
{
    return db_script(db, "COMMIT", err);
}

void db_rollback(struct db *db)
{
    if (PQtransactionStatus(db->pg) != PQTRANS_IDLE)
        PQclear(PQexec(db->pg, "ROLLBACK")); /* the connection's end does the same */
}

/* ---- values ---- */

enum {
    TYPE_BOOL = 16,
    TYPE_INT8 = 20,
    TYPE_INT2 = 21,
    TYPE_INT4 = 23,
    TYPE_JSON = 114,
    TYPE_FLOAT8 = 701,
    TYPE_TIMESTAMPTZ = 1184,
    TYPE_NUMERIC = 1700,
    TYPE_JSONB = 3802
};

/* "2026-11-20 23:58:01.123456+00" */
static json_t *time_value(const char *s)
{
    char text[64], iso[25];
    int64_t ms;
    size_t n = strlen(s);
    if (n < 22 || n + 4 > sizeof text)
        return json_string(s);
    memcpy(text, s, n + 1);
    text[10] = 'T';
    if (text[n - 3] == '+')
        memcpy(text + n, ":00", 4);
    if (!clock_parse(text, strlen(text), &ms))
        return json_string(s);
    clock_format(ms, iso);
    return json_string(iso);
}

static json_t *value(const PGresult *r, int row, int col)
{
    const char *s = PQgetvalue(r, row, col);
    int64_t number;
    if (PQgetisnull(r, row, col))
        return json_null();
    switch (PQftype(r, col)) {
    case TYPE_BOOL:
        return json_boolean(*s == 't');
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
        return number_parse(s, &number) ? json_integer(number) : json_string(s);
    case TYPE_NUMERIC:
    case TYPE_FLOAT8:
        return json_real(strtod(s, NULL));
    case TYPE_JSON:
    case TYPE_JSONB:
        return json_loads(s, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    case TYPE_TIMESTAMPTZ:
        return time_value(s);
    default:
        return json_string(s);
    }
}

static json_t *row_object(const PGresult *r, int row)
{
    auto_json json_t *object = json_object();
    for (int col = 0; col < PQnfields(r); col++)
        if (json_object_set_new(object, PQfname(r, col), value(r, row, col)))
            return NULL;
    return take(object);
}

json_t *db_rows(struct db *db, enum sql_id id, const char *const *params, struct err *err)
{
    auto_result PGresult *r = query(db, id, params, err);
    auto_json json_t *rows = r ? json_array() : NULL;
    for (int i = 0; r && i < PQntuples(r); i++)
        if (json_array_append_new(rows, row_object(r, i))) {
            (void)err_set(err, ERR_NO_MEMORY, "rows of %s", sql_queries[id].name);
            return NULL;
        }
    return take(rows);
}

json_t *db_row(struct db *db, enum sql_id id, const char *const *params, struct err *err)
{
    auto_json json_t *rows = db_rows(db, id, params, err);
    if (!rows)
        return NULL;
    json_t *first = json_array_get(rows, 0);
    return first ? json_incref(first) : json_null();
}

bool db_do(struct db *db, enum sql_id id, const char *const *params, struct err *err)
{
    auto_result PGresult *r = query(db, id, params, err);
    return r != NULL;
}

/* ---- forms ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool db_bytes(const char *text, struct buf *out)
{
    size_t n = strlen(text);
    if (n < 2 || n % 2 || text[0] != '\\' || text[1] != 'x')
        return false;
    for (size_t i = 2; i < n; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        uint8_t byte = (uint8_t)(high << 4 | low);
        buf_put(out, &byte, 1);
    }
    return buf_ok(out);
}

void db_array_item(struct buf *out, const char *item)
{
    buf_str(out, "\"");
    for (const char *s = item; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_str(out, "\\");
        buf_put(out, s, 1);
    }
    buf_str(out, "\"");
}

void db_array(struct buf *out, const char *const *items, size_t n)
{
    buf_str(out, "{");
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? "," : "");
        if (items[i])
            db_array_item(out, items[i]);
        else
            buf_str(out, "NULL");
    }
    buf_str(out, "}");
}
