#include "store/log_positions.h"

#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#define ASK_MS 5000 /* for an answer of the brokers */
#define UNKNOWN INT64_C(-1001)

typedef rd_kafka_topic_partition_list_t part_list;

static void list_cleanup(part_list **l)
{
    if (*l)
        rd_kafka_topic_partition_list_destroy(*l);
    *l = NULL;
}
#define auto_list auto_with(list_cleanup)

struct past {
    part_list *low, *told; /* told: of the main topics */
};

struct log_positions {
    struct topics *declared;
    struct past asked, compared;
    part_list *high;
};

bool shard_position_parse(struct shard_position *p, const char *consumer, int n,
                          const char *next_offset)
{
    json_t *next = json_loads(next_offset ? next_offset : "", 0, NULL);
    *p = (struct shard_position){.n = n};
    snprintf(p->consumer, sizeof p->consumer, "%s", consumer);
    for (size_t i = 0; i < TOPIC_SLOTS; i++) {
        const json_t *at = json_array_get(next, i);
        p->next[i] = json_is_integer(at) ? json_integer_value(at) : -1;
    }
    bool ok = json_is_array(next);
    json_decref(next);
    return ok;
}

struct log_positions *log_positions_new(struct err *err)
{
    struct log_positions *l = calloc(1, sizeof *l);
    if (!l)
        (void)err_set(err, ERR_NO_MEMORY, "positions");
    else if (!(l->declared = topics_load(err)))
        free(take(l));
    return l;
}

static void past_clear(struct past *p)
{
    list_cleanup(&p->low);
    list_cleanup(&p->told);
}

void log_positions_free(struct log_positions **pl)
{
    struct log_positions *l = take(*pl);
    if (!l)
        return;
    past_clear(&l->asked);
    past_clear(&l->compared);
    list_cleanup(&l->high);
    topics_free(&l->declared);
    free(l);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static part_list *partitions_of(const struct log_positions *l, const struct shard_position *shards,
                                size_t n)
{
    part_list *list = rd_kafka_topic_partition_list_new(64);
    for (size_t i = 0; i < n; i++) {
        const struct topic *slots[TOPIC_SLOTS];
        if (!topics_of(l->declared, shards[i].consumer, slots))
            continue;
        for (int s = 0; s < TOPIC_SLOTS; s++)
            if (slots[s] && shards[i].next[s] >= 0)
                rd_kafka_topic_partition_list_add(list, slots[s]->name, shards[i].n);
    }
    return list;
}

static bool failed(const char *what, rd_kafka_resp_err_t code, struct err *err)
{
    return err_set(err, ERR_KAFKA_FAILED, "%s: %s", what, rd_kafka_err2str(code));
}

/* ListOffsets takes -1 and -2 for end and beginning where a time would stand. A partition that is
 * not there, or has no leader now, stays unknown. */
static bool offsets(rd_kafka_t *rk, part_list *list, int64_t what, struct err *err)
{
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = what;
    rd_kafka_resp_err_t code =
        list->cnt ? rd_kafka_offsets_for_times(rk, list, ASK_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; !code && i < list->cnt; i++)
        if (list->elems[i].err || list->elems[i].offset < 0)
            list->elems[i].offset = UNKNOWN;
    return !code || failed("offsets", code, err);
}

/* What the group was told, by partition of the main topic. */
static bool committed(rd_kafka_t *rk, const char *consumer, const char *topic, part_list *into,
                      struct err *err)
{
    char group[96];
    snprintf(group, sizeof group, "drawbridge.%s", consumer);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ListConsumerGroupOffsets_t *ask = rd_kafka_ListConsumerGroupOffsets_new(group, NULL);
    rd_kafka_ListConsumerGroupOffsets(rk, &ask, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ASK_MS);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    size_t n = 0;
    const rd_kafka_group_result_t **groups =
        !code ? rd_kafka_ListConsumerGroupOffsets_result_groups(
                    rd_kafka_event_ListConsumerGroupOffsets_result(event), &n)
              : NULL;
    const part_list *said = n ? rd_kafka_group_result_partitions(groups[0]) : NULL;
    for (int i = 0; said && i < said->cnt; i++)
        if (!strcmp(said->elems[i].topic, topic))
            rd_kafka_topic_partition_list_add(into, topic, said->elems[i].partition)->offset =
                said->elems[i].offset;
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_ListConsumerGroupOffsets_destroy(ask);
    rd_kafka_queue_destroy(queue);
    return !code || failed(group, code, err);
}

static bool all_committed(const struct log_positions *l, rd_kafka_t *rk,
                          const struct shard_position *shards, size_t n, part_list *into,
                          struct err *err)
{
    const char *last = "";
    for (size_t i = 0; i < n; i++) { /* ordered by consumer */
        const struct topic *slots[TOPIC_SLOTS];
        if (!strcmp(shards[i].consumer, last) ||
            !topics_of(l->declared, shards[i].consumer, slots) || !slots[0])
            continue;
        last = shards[i].consumer;
        if (!committed(rk, last, slots[0]->name, into, err))
            return false;
    }
    return true;
}

bool log_positions_past(struct log_positions *l, rd_kafka_t *rk,
                        const struct shard_position *shards, size_t n, struct err *err)
{
    auto_list part_list *low = partitions_of(l, shards, n);
    auto_list part_list *told = rd_kafka_topic_partition_list_new(64);
    if (!offsets(rk, low, RD_KAFKA_OFFSET_BEGINNING, err) ||
        !all_committed(l, rk, shards, n, told, err))
        return false;
    past_clear(&l->asked);
    l->asked = (struct past){.low = take(low), .told = take(told)};
    return true;
}

bool log_positions_ends(struct log_positions *l, rd_kafka_t *rk, struct err *err)
{
    list_cleanup(&l->high);
    past_clear(&l->compared);
    if (!l->asked.low)
        return true;
    auto_list part_list *high = rd_kafka_topic_partition_list_copy(l->asked.low);
    if (!offsets(rk, high, RD_KAFKA_OFFSET_END, err))
        return false;
    l->high = take(high);
    l->compared = l->asked;
    l->asked = (struct past){0};
    return true;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int64_t offset_in(const part_list *list, const char *topic, int n)
{
    const rd_kafka_topic_partition_t *p =
        rd_kafka_topic_partition_list_find((part_list *)(uintptr_t)list, topic, n);
    return p ? p->offset : UNKNOWN;
}

static void check(const struct log_positions *l, const struct shard_position *s, int slot,
                  const char *topic, position_wrong *wrong, void *arg)
{
    int64_t next = s->next[slot], low = offset_in(l->compared.low, topic, s->n),
            high = offset_in(l->high, topic, s->n),
            told = slot ? UNKNOWN : offset_in(l->compared.told, topic, s->n);
    char identity[300], detail[400];
    snprintf(identity, sizeof identity, "%s at %" PRId64, topic, next);
    if (low != UNKNOWN && next < low) {
        snprintf(detail, sizeof detail,
                 "%s goes on at %" PRId64 ", and the log begins at %" PRId64 ": commands are lost",
                 topic, next, low);
        wrong(arg, s, identity, detail);
    }
    if (high != UNKNOWN && next > high) {
        snprintf(detail, sizeof detail, "%s goes on at %" PRId64 ", and the log ends at %" PRId64,
                 topic, next, high);
        wrong(arg, s, identity, detail);
    }
    if (told >= 0 && told > next) {
        snprintf(detail, sizeof detail,
                 "%s was committed to Kafka up to %" PRId64 ", the shard is at %" PRId64, topic,
                 told, next);
        wrong(arg, s, identity, detail);
    }
}

void log_positions_compare(const struct log_positions *l, const struct shard_position *shards,
                           size_t n, position_wrong *wrong, void *arg)
{
    for (size_t i = 0; l->high && i < n; i++) {
        const struct topic *slots[TOPIC_SLOTS];
        if (!topics_of(l->declared, shards[i].consumer, slots))
            continue;
        for (int s = 0; s < TOPIC_SLOTS; s++)
            if (slots[s] && shards[i].next[s] >= 0)
                check(l, &shards[i], s, slots[s]->name, wrong, arg);
    }
}
