/* reader — what the gateway asks the database: a few connections in pipeline mode, in the role
 * `drawbridge_gateway`, each statement limited in time. Nobody waits: what is asked while no
 * connection is up fails at once. */
#pragma once

#include "core/pg.h"

#include <jansson.h>

struct gateway;
struct reader;

/* up: called whenever a connection has come up. */
struct reader *reader_new(struct gateway *g, void (*up)(struct gateway *g), struct err *err);
/* A connection that is up, by turns; NULL: none is. */
struct pg *reader_pg(struct reader *r);

/* rows: an array, lives until the function returns; NULL and err: it failed. */
typedef void reader_fn(void *arg, json_t *rows, const struct err *err);
/* One query, committed alone. `done` is called from the loop, or at once when there is no
 * connection or memory. args may be NULL; they are copied by the time this returns. */
void reader_ask(struct reader *r, enum sql_id id, const struct args *args, reader_fn *done,
                void *arg);
