/* What a gateway saw, as the event of the trail. Nothing is decided here: the inbox makes it one
 * event, the ledger puts it in its place. */
#include "refresh/refresh.h"

#include "core/json_memory.h"

#include <string.h>

/* The command's data is the event's, but for what says which event it is. */
static char *event_data(const struct item *it)
{
    json_t *data = json_copy(it->cmd.json);
    json_object_del(data, "event");
    json_object_del(data, "requestedBy");
    char *text = json_dumps(data, JSON_COMPACT);
    json_decref(data);
    return text;
}

void record_decide(struct batch *b, struct item *it)
{
    const char *event = json_string_value(json_object_get(it->cmd.json, "event"));
    auto_json_text char *data = event_data(it);
    if (!data) {
        batch_fail(b, ERR_NO_MEMORY, "a record");
        return;
    }
    batch_event(b, it,
                &(struct event_out){.type = event,
                                    .subject = it->cmd.subject,
                                    .data = data,
                                    .data_n = strlen(data),
                                    .outcome = "done"});
    it->verdict.kind = VERDICT_DONE;
}
