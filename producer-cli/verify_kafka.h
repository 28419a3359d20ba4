/* verify_kafka — the rules of store/verify.h that Kafka has to be asked for. */
#pragma once

#include "cli.h"
#include "db.h"

/* Rows {subject, identity, detail}; NULL and err. All take their cut first. */
json_t *verify_positions(struct cli *cli, struct db *db, struct err *err);
json_t *verify_events(struct cli *cli, struct db *db, struct err *err);
json_t *verify_letters(struct cli *cli, struct db *db, struct err *err);
