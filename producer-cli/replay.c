#include "replay.h"

#include <inttypes.h>
#include <string.h>

#include "core/clock.h"

#include "broker.h"
#include "letter.h"
#include "replay_send.h"
#include "signals.h"

enum {
    WINDOW = 500, /* letters read ahead, and sent without an outcome */
    CHUNK = 100,  /* decided on in one statement */
    TURN_MS = 50,
    LOOK_MS = 300,  /* between two looks at the outcomes */
    TOLD_MS = 5000, /* between two lines of progress where there is no terminal */
    TEXT_BYTES = 256,
};

/* ---- small parsers ---- */

bool replay_rate_parse(const char *s, double *out)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"", 1}, {"/s", 1}, {"/m", 60}, {"/min", 60}, {"/h", 3600}};
    char *end;
    double n = strtod(s, &end);
    if (end == s || *s < '0' || *s > '9' || !(n > 0) || n > 1e6)
        return false;
    for (size_t i = 0; i < LEN(units); i++)
        if (!strcmp(end, units[i].unit)) {
            *out = n / units[i].seconds;
            return true;
        }
    return false;
}

bool replay_limit_parse(const char *s, int64_t *out_count, int64_t *out_percent)
{
    char digits[24];
    size_t n = strlen(s);
    bool percent = n && s[n - 1] == '%';
    int64_t value;
    if (n - percent >= sizeof digits)
        return false;
    snprintf(digits, sizeof digits, "%.*s", (int)(n - percent), s);
    if (!number_parse(digits, &value) || value < 0 || (percent && value > 100))
        return false;
    *out_count = percent ? -1 : value;
    *out_percent = percent ? value : -1;
    return true;
}

/* ---- options ---- */

json_t *replay_options_json(const struct replay_options *o)
{
    return json_pack("{s:f, s:f, s:I, s:I, s:I, s:I}", "ratePerSecond", o->rate, "keyRatePerSecond",
                     o->key_rate, "canary", (json_int_t)o->canary, "maxFailures",
                     (json_int_t)o->max_failures, "maxFailurePercent", (json_int_t)o->max_percent,
                     "waitMs", (json_int_t)o->wait_ms);
}

static int64_t integer(const json_t *doc, const char *name)
{
    return json_integer_value(json_object_get(doc, name));
}

void replay_options_read(const json_t *doc, struct replay_options *out)
{
    *out = (struct replay_options){
        .rate = json_number_value(json_object_get(doc, "ratePerSecond")),
        .key_rate = json_number_value(json_object_get(doc, "keyRatePerSecond")),
        .canary = integer(doc, "canary"),
        .max_failures = integer(doc, "maxFailures"),
        .max_percent = integer(doc, "maxFailurePercent"),
        .wait_ms = integer(doc, "waitMs"),
    };
}

static int64_t outcomes(const json_t *c)
{
    return integer(c, "done") + integer(c, "refused") + integer(c, "cancelled") +
           integer(c, "dead");
}

const char *replay_stop_reason(const struct replay_options *o, const json_t *counts,
                               const json_t *since, char *why, size_t bytes)
{
    int64_t dead = integer(counts, "dead") - integer(since, "dead");
    int64_t ended = outcomes(counts) - outcomes(since);
    if (dead && o->canary && ended <= o->canary) {
        snprintf(why, bytes, "%" PRId64 " of the canaries died again", dead);
        return why;
    }
    if (o->max_failures >= 0 && dead > o->max_failures) {
        snprintf(why, bytes, "%" PRId64 " died again, more than %" PRId64, dead, o->max_failures);
        return why;
    }
    if (o->max_percent >= 0 && ended >= REPLAY_SHARE_FROM && dead * 100 > o->max_percent * ended) {
        snprintf(why, bytes, "%" PRId64 " of %" PRId64 " died again, more than %" PRId64 " %%",
                 dead, ended, o->max_percent);
        return why;
    }
    return NULL;
}

/* ---- making one ---- */

static bool make(struct db *db, const char *filter, const char *options, const char *author,
                 const char *reason, int64_t *out_job, int64_t *out_total, struct err *err)
{
    char now[25], id[24];
    clock_format(clock_wall_ms(), now);
    if (!db_begin(db, err))
        return false;
    auto_json json_t *made =
        db_row(db, SQL_REPLAY_JOB_MAKE, DB_PARAMS(filter, options, author, reason, now), err);
    *out_job = integer(made, "id");
    snprintf(id, sizeof id, "%" PRId64, *out_job);
    auto_json json_t *chosen =
        made ? db_row(db, SQL_REPLAY_JOB_CHOOSE, DB_PARAMS(id, filter), err) : NULL;
    *out_total = integer(chosen, "total");
    return chosen && *out_total && db_commit(db, err);
}

int64_t replay_make(struct db *db, const json_t *filter, const struct replay_options *o,
                    const char *author, const char *reason, int64_t *out_total, struct err *err)
{
    auto_json json_t *options = replay_options_json(o);
    auto_free char *f = json_dumps(filter, JSON_COMPACT);
    auto_free char *options_text = options ? json_dumps(options, JSON_COMPACT) : NULL;
    int64_t job = 0;
    if (f && options_text && make(db, f, options_text, author, reason, &job, out_total, err))
        return job;
    db_rollback(db);
    return 0;
}

json_t *replay_job(struct db *db, int64_t job, struct err *err)
{
    char id[24];
    snprintf(id, sizeof id, "%" PRId64, job);
    json_t *row = db_row(db, SQL_REPLAY_JOB_LIST, DB_PARAMS(id, "1"), err);
    if (!json_is_null(row))
        return row;
    json_decref(row);
    (void)err_set(err, ERR_NOT_FOUND, "there is no job %s", id);
    return NULL;
}

/* ---- running one ---- */

struct run {
    struct cli *cli;
    struct db *db;
    struct broker *broker;
    char job[24];
    const char *author, *reason;
    struct replay_options o;
    json_t *window;     /* letters that have to be sent, in order */
    int64_t read_up_to; /* n of the last one read */
    bool all_read;
    json_t *keys;   /* key -> when its next one may go, monotonic ms */
    double allowed; /* tokens of the rate */
    int64_t filled_ms, looked_ms, told_ms, started_ms, last_sent_ms;
    int64_t sent_here;
    json_t *counts;  /* of replay_job_list, as last seen */
    json_t *since;   /* the same when it was resumed after a stop; else NULL */
    int64_t told[4]; /* what the last line of progress said */
    char why[TEXT_BYTES];
};

static int64_t mono_ms(void)
{
    return clock_mono_now_us() / 1000;
}

static void run_done(struct run *r)
{
    json_decref(r->window);
    json_decref(r->keys);
    json_decref(r->counts);
    json_decref(r->since);
    broker_free(&r->broker);
}
#define auto_run auto_with(run_done)

static bool read_ahead(struct run *r, struct err *err)
{
    char after[24], most[24];
    size_t have = json_array_size(r->window);
    if (r->all_read || have >= WINDOW / 2)
        return true;
    snprintf(after, sizeof after, "%" PRId64, r->read_up_to);
    snprintf(most, sizeof most, "%d", WINDOW - (int)have);
    auto_json json_t *rows =
        db_rows(r->db, SQL_REPLAY_JOB_NEXT, DB_PARAMS(r->job, after, most), err);
    if (!rows)
        return false;
    r->all_read = json_array_size(rows) < (size_t)WINDOW - have;
    if (json_array_size(rows))
        r->read_up_to = integer(json_array_get(rows, json_array_size(rows) - 1), "n");
    json_array_extend(r->window, rows);
    return true;
}

static void refill(struct run *r)
{
    int64_t now = mono_ms();
    r->allowed += (double)(now - r->filled_ms) / 1000 * r->o.rate;
    r->filled_ms = now;
    double most = r->o.rate < CHUNK ? (r->o.rate > 1 ? r->o.rate : 1) : CHUNK;
    if (r->allowed > most)
        r->allowed = most;
}

static const char *key_of(const json_t *letter)
{
    const char *key = json_string_value(json_object_get(letter, "key"));
    return key ? key : "";
}

/* Its turn, by the rate of its key. Who is not, holds back everything of that key behind it. */
static bool key_ready(struct run *r, const json_t *letter, int64_t now)
{
    if (r->o.key_rate <= 0)
        return true;
    if (now < json_integer_value(json_object_get(r->keys, key_of(letter))))
        return false;
    json_object_set_new(r->keys, key_of(letter),
                        json_integer(now + (int64_t)(1000 / r->o.key_rate)));
    return true;
}

/* How many may be under way: the canaries alone first, then the window. */
static int64_t room(const struct run *r)
{
    int64_t sent = integer(r->counts, "sent") - integer(r->since, "sent");
    int64_t ended = outcomes(r->counts) - outcomes(r->since);
    int64_t most = WINDOW - integer(r->counts, "open");
    if (r->o.canary && ended < r->o.canary && most > r->o.canary - sent)
        most = r->o.canary - sent;
    return most < 0 ? 0 : most;
}

/* Takes what may be sent now out of the window. */
static json_t *choose(struct run *r)
{
    json_t *chosen = json_array();
    int64_t now = mono_ms(), most = room(r);
    refill(r);
    for (size_t i = 0; i < json_array_size(r->window) && json_array_size(chosen) < CHUNK;) {
        json_t *letter = json_array_get(r->window, i);
        bool limited = r->o.rate > 0 && r->allowed < 1;
        /* What was cut off counts among those that are under way already. */
        bool again = json_is_string(json_object_get(letter, "token"));
        if ((!again && (int64_t)json_array_size(chosen) >= most) || limited)
            break;
        if (!key_ready(r, letter, now)) {
            i++;
            continue;
        }
        r->allowed -= 1;
        json_array_append(chosen, letter);
        json_array_remove(r->window, i);
    }
    return chosen;
}

static bool send_some(struct run *r, struct err *err)
{
    auto_json json_t *chosen = choose(r);
    size_t sent = 0;
    if (!json_array_size(chosen))
        return true;
    bool ok = replay_send(r->db, r->broker, r->job, chosen, r->author, r->reason, &sent, err);
    r->sent_here += (int64_t)sent;
    r->last_sent_ms = mono_ms();
    r->looked_ms = 0; /* room is counted from what the database says */
    return ok;
}

static bool look(struct run *r, struct err *err)
{
    if (mono_ms() - r->looked_ms < LOOK_MS)
        return true;
    json_t *row = db_row(r->db, SQL_REPLAY_JOB_LIST, DB_PARAMS(r->job, "1"), err);
    if (!row)
        return false;
    json_decref(r->counts);
    r->counts = row;
    r->looked_ms = mono_ms();
    return true;
}

/* ---- progress ---- */

static void put_eta(const struct run *r, char *out, size_t bytes)
{
    int64_t left = integer(r->counts, "waiting"), spent = mono_ms() - r->started_ms;
    double rate = spent > 0 ? (double)r->sent_here * 1000 / (double)spent : 0;
    if (left && rate > 0)
        snprintf(out, bytes, ", %.1f/s, %.0f s to go", rate, (double)left / rate);
    else
        snprintf(out, bytes, "%s", left ? "" : ", waiting for outcomes");
}

/* Where there is no terminal a line comes only when there is something new. */
static bool is_news(struct run *r)
{
    const int64_t now[] = {integer(r->counts, "sent"), integer(r->counts, "done"),
                           integer(r->counts, "dead"), integer(r->counts, "open")};
    bool news = memcmp(now, r->told, sizeof now) != 0;
    memcpy(r->told, now, sizeof now);
    return news;
}

static void tell(struct run *r, bool last)
{
    struct out *o = &r->cli->say;
    char eta[64];
    int64_t now = mono_ms();
    bool terminal = o->width > 0 && o->color;
    if (r->cli->json || (!last && now - r->told_ms < (terminal ? LOOK_MS : TOLD_MS)))
        return;
    if (!is_news(r) && !terminal)
        return;
    r->told_ms = now;
    put_eta(r, eta, sizeof eta);
    out_text(o, STYLE_PLAIN,
             "%s%" PRId64 " of %" PRId64 " sent, %" PRId64 " done, %" PRId64 " died again, %" PRId64
             " open%s%s",
             terminal ? "\r\033[K" : "", integer(r->counts, "sent"), integer(r->counts, "total"),
             integer(r->counts, "done"), integer(r->counts, "dead"), integer(r->counts, "open"),
             last ? "" : eta, terminal && !last ? "" : "\n");
    fflush(o->to);
}

/* ---- the loop ---- */

static bool over(struct run *r, const char **out_state)
{
    bool sent_all = r->all_read && !json_array_size(r->window);
    *out_state = "interrupted";
    if (signals_stopped()) {
        snprintf(r->why, sizeof r->why, "interrupted");
        return true;
    }
    if (replay_stop_reason(&r->o, r->counts, r->since, r->why, sizeof r->why)) {
        *out_state = "stopped";
        return true;
    }
    if (sent_all && !integer(r->counts, "open")) {
        *out_state = "done";
        return true;
    }
    if (!sent_all && room(r))
        return false;
    if (mono_ms() - r->last_sent_ms < r->o.wait_ms)
        return false;
    snprintf(r->why, sizeof r->why, "%" PRId64 " had no outcome after %" PRId64 " s",
             integer(r->counts, "open"), r->o.wait_ms / 1000);
    return true;
}

static bool touch(struct run *r, const char *state, struct err *err)
{
    char now[25];
    clock_format(clock_wall_ms(), now);
    return db_do(r->db, SQL_REPLAY_JOB_TOUCH,
                 DB_PARAMS(r->job, state, *r->why ? r->why : NULL, now), err);
}

static bool loop(struct run *r, const char **out_state, struct err *err)
{
    while (look(r, err) && read_ahead(r, err)) {
        if (over(r, out_state))
            return true;
        tell(r, false);
        if (!send_some(r, err))
            return false;
        if (r->looked_ms)
            (void)signals_wait(TURN_MS);
    }
    return false;
}

static bool take_lock(struct run *r, struct err *err)
{
    auto_json json_t *row = db_row(r->db, SQL_REPLAY_JOB_LOCK, DB_PARAMS(r->job), err);
    if (!row)
        return false;
    return json_is_true(json_object_get(row, "locked")) ||
           err_set(err, ERR_BAD_INPUT, "job %s is running in another terminal", r->job);
}

static bool begin(struct run *r, const json_t *row, const struct replay_options *o, struct err *err)
{
    const char *state = json_string_value(json_object_get(row, "state"));
    r->author = json_string_value(json_object_get(row, "author"));
    r->reason = json_string_value(json_object_get(row, "reason"));
    replay_options_read(json_object_get(row, "options"), &r->o);
    if (o)
        r->o = *o;
    if (state && !strcmp(state, "stopped")) /* who resumes it knows what had happened */
        r->since = json_incref((json_t *)row);
    r->window = json_array();
    r->keys = json_object();
    r->allowed = 1;
    r->filled_ms = r->started_ms = r->last_sent_ms = mono_ms();
    if (!r->window || !r->keys)
        return err_set(err, ERR_NO_MEMORY, "the job");
    if (!take_lock(r, err) || !(r->broker = broker_open(r->cli, err)))
        return false;
    const struct rd_kafka_metadata *md = broker_metadata(r->broker, err);
    if (md)
        rd_kafka_metadata_destroy(md);
    return md && touch(r, "open", err);
}

bool replay_run(struct cli *cli, struct db *db, int64_t job, const struct replay_options *o,
                struct err *err)
{
    auto_run struct run r = {.cli = cli, .db = db};
    const char *state = "interrupted";
    auto_json json_t *row = replay_job(db, job, err);
    snprintf(r.job, sizeof r.job, "%" PRId64, job);
    if (!row || !begin(&r, row, o, err))
        return false;
    signals_watch();
    bool ok = loop(&r, &state, err);
    if (!ok)
        snprintf(r.why, sizeof r.why, "%.200s", err->message);
    if (r.counts)
        tell(&r, true);
    struct err lost = {0};
    return touch(&r, state, ok ? err : &lost) && ok;
}
