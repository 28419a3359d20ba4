/* verify_kafka — the rules of store/verify.h that Kafka has to be asked for. */
#pragma once

#include "cli.h"
#include "db.h"

#include "store/topic_walk.h"

/* Rows {subject, identity, detail}; NULL and err. All take their cut first. */
json_t *verify_positions(struct cli *cli, struct db *db, struct err *err);
json_t *verify_topics(struct cli *cli, struct db *db, enum walk_topics which, struct err *err);
