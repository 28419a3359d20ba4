/* connection_data — the JSON of what is said about connections and workflows (schemas/events), and
 * of the commands that a connection's row gives (schemas/commands). Nothing of their secrets. */
#pragma once

#include "core/buf.h"
#include "domain/connection.h"

/* connection.changed … connection.late; the workflows of a plan that deletes it. */
void connection_data(struct buf *out, const struct plan_event *e, const struct plan *plan);
/* The refusal, and the workflows that stand in the way. */
void connection_data_refused(struct buf *out, const char *id, const struct plan *plan);
void workflow_data(struct buf *out, const struct plan_event *e);
/* f: NULL when it is unknown. */
void workflow_data_refused(struct buf *out, const char *id, const struct workflow *f,
                           const struct refusal *r);
/* connection.refresh, with the generation that is to be followed, and connection.test. */
void connection_data_command(struct buf *out, const struct plan_command *c, const char *worker);
