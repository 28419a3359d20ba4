#include "verify_kafka.h"

#include "broker.h"

#include "store/log_positions.h"

static void finding(void *arg, const struct shard_position *s, const char *identity,
                    const char *detail)
{
    char subject[160];
    snprintf(subject, sizeof subject, "shard/%s/%d", s->consumer, s->n);
    json_array_append_new(arg, json_pack("{s:s, s:s, s:s}", "subject", subject, "identity",
                                         identity, "detail", detail));
}

/* NULL and err. */
static struct shard_position *positions(struct db *db, size_t *n, struct err *err)
{
    auto_json json_t *rows = db_rows(db, SQL_VERIFY_CUT, NULL, err);
    struct shard_position *list = rows ? calloc(json_array_size(rows) + 1, sizeof *list) : NULL;
    size_t i;
    json_t *row;
    *n = 0;
    if (rows && !list)
        (void)err_set(err, ERR_NO_MEMORY, "shards");
    json_array_foreach(rows, i, row)
    {
        const char *consumer = json_string_value(json_object_get(row, "consumer"));
        char *next = json_dumps(json_object_get(row, "next_offset"), JSON_COMPACT);
        *n += list && consumer &&
              shard_position_parse(&list[*n], consumer,
                                   (int)json_integer_value(json_object_get(row, "n")), next);
        free(next);
    }
    return list;
}

json_t *verify_positions(struct cli *cli, struct db *db, struct err *err)
{
    size_t n = 0;
    auto_free struct shard_position *before = positions(db, &n, err);
    auto_broker struct broker *b = before ? broker_open(cli, err) : NULL;
    auto_log_positions struct log_positions *l = b ? log_positions_new(err) : NULL;
    if (!l || !log_positions_past(l, broker_handle(b), before, n, err))
        return NULL;
    auto_free struct shard_position *now = positions(db, &n, err);
    if (!now || !log_positions_ends(l, broker_handle(b), err))
        return NULL;
    json_t *rows = json_array();
    log_positions_compare(l, now, n, finding, rows);
    return rows;
}
