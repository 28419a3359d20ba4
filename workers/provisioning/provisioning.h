/* provisioning — makes what was asked for: users, and sessions up to active. */
#pragma once

#include "core/seal.h"
#include "drivers/run.h"
#include "store/resources.h"

struct provisioning {
    struct resources resources; /* first */
    struct sealer *sealer;
    struct drivers *drivers;
};

extern const struct command_type provisioning_commands[];
extern const size_t provisioning_ncommands;

/* The decision of one command, by its row in the table (commands.c). */
void provisioning_decide(struct provisioning *p, struct batch *b, struct item *it);

/* V-24: live sessions' peers are applied again when their shard comes to this worker. */
void provisioning_reconcile(struct provisioning *p, int shard);

/* Keys and configuration of an accepted start (V-02); sealed at rest. */
must_check bool provisioning_make_config(struct provisioning *p, struct working_set *ws,
                                         struct session_row *row, struct err *err);
