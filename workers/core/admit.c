/* Admitting: a record that comes in is a repeat, a replay, too late, misplaced, or a command whose
 * turn it is; only then is it decided (settle.c). */
#include "core/engine_internal.h"

#include "core/murmur2.h"

#include <string.h>

#define SKEW_MS 300000               /* how far ahead of us a publisher's clock may be */
#define SCHEDULE_MAX_MS 2592000000LL /* 30 days */

/* ---- what the inbox knows ------------------------------------------------------------------ */

static void again(struct batch *b, const struct inbox_row *row)
{
    if (!row->has_event)
        return;
    struct ledger_row *g = grown(b->again, &b->again_cap, b->nagain + 1, sizeof *g);
    if (!g) {
        batch_fail(b, ERR_NO_MEMORY, "outcomes");
        return;
    }
    b->again = g;
    g[b->nagain++] = row->event;
}

/* Not the command that bore this id before: it dies, and the inbox keeps what it has. */
static void die_of_reuse(struct batch *b, struct item *it)
{
    struct err reuse = {0};
    (void)err_set(&reuse, ERR_ID_REUSED, "id %s of %s came before with other content", it->cmd.id,
                  it->cmd.source);
    it->no_inbox = true;
    message_dead(b, it, &reuse, 0);
}

/* True when the id is known: then it is settled here, as a duplicate or a reuse. */
static bool known_id(struct batch *b, struct item *it)
{
    const struct inbox_write *mine = settle_inbox_write(b, it->cmd.digest);
    const struct inbox_row *row = table_get(b->inbox, it->cmd.digest, 16);
    if (!(mine && mine->insert) && !row)
        return false;
    if (memcmp(mine && mine->insert ? mine->payload : row->payload, it->cmd.payload, 16)) {
        die_of_reuse(b, it);
        return true;
    }
    b->ended[ENDING_DUPLICATE]++;
    if (row)
        again(b, row);
    return true;
}

static bool has_usable_id(const struct item *it)
{
    return it->cmd.id && it->cmd.source && it->cmd.type && it->cmd.time_ms && !it->no_inbox;
}

static void schedule(struct batch *b, struct item *it)
{
    struct pending row = settle_fresh_row(b, it);
    row.state = PENDING_SCHEDULED;
    row.due_ms = row.accepted_ms = it->cmd.not_before_ms; /* its deadline counts from then */
    row.expires_ms = settle_expires_ms(it, row.accepted_ms);
    row.pos = 0;
    lane_write(b, LANE_INSERT, &row);
}

static bool time_is_good(struct batch *b, struct item *it)
{
    const struct conf *conf = b->pipe->e->conf;
    int64_t age = b->now_ms - it->cmd.time_ms;
    if (it->replay_of && age > 0) /* no resend: how old it is does not matter */
        age = 0;
    if (age <= conf->inbox_horizon && age >= -SKEW_MS &&
        it->cmd.not_before_ms - b->now_ms <= SCHEDULE_MAX_MS)
        return true;
    it->no_inbox = true; /* there may be no partition for its day */
    bool schedule = age <= conf->inbox_horizon && age >= -SKEW_MS;
    const char *place = schedule ? "header drawbridge-not-before" : "header ce_time";
    const char *what = schedule  ? "is more than 30 days ahead"
                       : age > 0 ? "is older than the inbox reaches back"
                                 : "is in the future";
    if (!it->problems && (it->problems = arena_get(b->arena, sizeof *it->problems)))
        problems_init(it->problems, b->arena);
    if (it->problems)
        (void)problem_add(it->problems, ERR_TIME_INVALID, place, "%s", what);
    if (!it->invalid.code)
        (void)err_set(&it->invalid, ERR_TIME_INVALID, "%s %s", place, what);
    return false;
}

/* ---- replays ------------------------------------------------------------------------------- */

static const char *outcome_name(char inbox_outcome)
{
    return inbox_outcome == 'a'   ? "done"
           : inbox_outcome == 'r' ? "refused"
           : inbox_outcome == 'd' ? "dead"
                                  : "cancelled";
}

/* Taken in once. The inbox knows the command as dead, or, when it was edited or is old, not at all;
 * one that was settled otherwise meanwhile is not done again. */
static bool take_replay(struct batch *b, struct item *it, bool usable)
{
    if (!letter_take(b, it))
        return false;
    if (!usable)
        return true;
    const struct inbox_row *row = table_get(b->inbox, it->cmd.digest, 16);
    bool seen = settle_inbox_write(b, it->cmd.digest);
    if (!seen && (!row || row->outcome == 'd')) {
        settle_inbox_reopen(b, it);
        return !b->failed;
    }
    it->no_inbox = true;
    if (row && memcmp(row->payload, it->cmd.payload, 16)) {
        die_of_reuse(b, it);
        return false;
    }
    b->ended[ENDING_DUPLICATE]++;
    letter_ended(b, it->replay_of, NULL, outcome_name(row ? row->outcome : 'o'));
    if (row)
        again(b, row);
    return false;
}

/* The row that its death left in its lane, or NULL. */
static struct pending *held_place(struct lane *l, int64_t letter)
{
    char by[32];
    snprintf(by, sizeof by, "dead:%lld", (long long)letter);
    for (size_t i = 0; i < l->nloaded; i++)
        if (l->loaded[i].held_by && !strcmp(l->loaded[i].held_by, by))
            return &l->loaded[i];
    for (struct scheduled *s = l->named; s; s = s->next)
        if (s->row.held_by && !strcmp(s->row.held_by, by))
            return &s->row;
    return NULL;
}

/* Its replay goes where it died. True: it is at the head, and may go. */
static bool take_place(struct batch *b, struct item *it, struct lane *l, struct pending *held)
{
    bool first = lane_head(l) == held;
    lane_write(b, LANE_DELETE, held);
    held->gone = true;
    it->front_pos = held->pos;
    l->rows--;
    if (first) {
        l->blocked = false;
        l->wake = l->rows > 0;
        return true;
    }
    struct pending row = settle_fresh_row(b, it);
    row.state = PENDING_FOLLOWER;
    lane_write(b, LANE_INSERT, &row);
    l->rows++;
    return false;
}

/* ---- records ------------------------------------------------------------------------------- */

/* What cannot even begin. A lane that its first death holds is held by the new letter. */
static void die_early(struct batch *b, struct item *it, const struct err *why)
{
    message_dead(b, it, why, 0);
    bool has_lane = it->replay_of && it->cmd.subject; /* what is no envelope has none */
    struct lane *l = has_lane ? lane_of(b, it->shard, it->cmd.subject) : NULL;
    struct pending *held = l ? held_place(l, it->replay_of) : NULL;
    if (!held)
        return;
    struct pending row = *held;
    row.held_by = "dead:";
    lane_write(b, LANE_UPDATE, &row);
}

static void enter(struct batch *b, struct item *it)
{
    struct lane *l = it->lane;
    struct pending *held = l && it->replay_of ? held_place(l, it->replay_of) : NULL;
    if (!l)
        return;
    if (held) {
        if (take_place(b, it, l, held))
            settle_decide(b, it);
    } else if (it->cmd.not_before_ms > b->now_ms) {
        schedule(b, it);
    } else if (l->rows > 0) {
        settle_follow(b, it, it->cmd.subject);
        settle_nudge(b, l);
    } else {
        settle_decide(b, it);
    }
}

static bool goes_elsewhere(struct batch *b, struct item *it)
{
    const struct engine *e = b->pipe->e;
    const struct record *r = it->cmd.record;
    int32_t right = control_is(it) ? control_shard(it, e->nshards)
                    : r->key.p     ? murmur2_partition(r->key.p, r->key.n, e->nshards)
                                   : r->partition;
    if (right == r->partition || record_bytes(r) > RECORD_BYTES_MAX)
        return false;
    message_reroute(b, it, right);
    return true;
}

static void settle_command(struct batch *b, struct item *it)
{
    if (it->cmd.time_ms)
        (void)time_is_good(b, it);
    bool usable = has_usable_id(it);
    if (it->replay_of ? !take_replay(b, it, usable) : usable && known_id(b, it))
        return;
    if (usable && !it->replay_of)
        settle_inbox_open(b, it);
    else if (!usable)
        it->no_inbox = true;
    struct err expired = {0};
    if (it->cmd.expiry_ms && it->cmd.expiry_ms <= b->now_ms)
        (void)err_set(&expired, ERR_EXPIRED, "its ce_expirytime has passed");
    if (it->invalid.code || expired.code)
        die_early(b, it, it->invalid.code ? &it->invalid : &expired);
    else if (control_is(it))
        control_settle(b, it);
    else
        enter(b, it);
}

void admit_record(struct batch *b, struct item *it)
{
    struct engine *e = b->pipe->e;
    if (e->ops->plain_log) {
        if (it->refused < 3)
            e->ops->decide(e->worker, b, it);
        else
            log_error(&e->cx, "record.refused", KV_INT("partition", it->cmd.record->partition),
                      KV_INT("offset", it->cmd.record->offset), KV_ERR(&it->invalid));
        return;
    }
    if (goes_elsewhere(b, it) || it->nudge)
        return;
    settle_command(b, it);
}
