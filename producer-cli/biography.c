#include "biography.h"

#include <inttypes.h>
#include <string.h>

#include "core/clock.h"
#include "core/digest.h"

#include "core/compose.h"
#include "event.h"
#include "letter.h"

enum { FOUND_MAX = 50, ID_BYTES = 512, DETAIL_BYTES = 4096 };

static const char *text(const json_t *row, const char *name)
{
    const char *s = json_string_value(json_object_get(row, name));
    return s ? s : "";
}

static int64_t number(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

/* ---- finding ---- */

static void digest_of(const char *source, const char *id, char out[static DIGEST_HEX])
{
    const struct bytes parts[] = {{(const uint8_t *)source, strlen(source)},
                                  {(const uint8_t *)id, strlen(id)}};
    uint8_t digest[DIGEST_BYTES];
    digest16(digest, parts, LEN(parts));
    digest_hex(digest, out);
}

/* Nobody but the ledger knows of it: its digest is made of its source, which has to be guessed. */
static json_t *guess(struct db *db, const char *id, const char *source, struct err *err)
{
    const char *const sources[] = {source ? source : COMPOSE_SOURCE, "/drawbridge/provisioning",
                                   "/drawbridge/teardown", "/drawbridge/refresh"};
    auto_json json_t *list = json_array();
    for (size_t i = 0; i < LEN(sources); i++) {
        char hex[DIGEST_HEX];
        digest_of(sources[i], id, hex);
        auto_json json_t *row = db_row(db, SQL_COMMAND_OUTCOME, DB_PARAMS(hex), err);
        if (!row)
            return NULL;
        if (json_is_object(row))
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:O*, s:O*}", "digest", hex,
                                                  "commandId", id, "source", sources[i], "subject",
                                                  json_object_get(row, "subject"), "at",
                                                  json_object_get(row, "time")));
    }
    return take(list);
}

/* Events whose ledger is gone bring no digest; another row of the same command may. */
static json_t *without_doubles(const json_t *rows)
{
    auto_json json_t *ids = json_object(), *list = json_array();
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) if (*text(row, "digest"))
    {
        json_array_append(list, row);
        json_object_set_new(ids, text(row, "commandId"), json_true());
    }
    json_array_foreach(rows, i, row) if (!json_object_get(ids, text(row, "commandId")))
    {
        json_array_append(list, row);
        json_object_set_new(ids, text(row, "commandId"), json_true());
    }
    return take(list);
}

json_t *biography_find(struct db *db, const char *word, const char *source, struct err *err)
{
    int64_t letter;
    char most[16];
    snprintf(most, sizeof most, "%d", FOUND_MAX);
    bool is_number = number_parse(word, &letter);
    const char *const params[] = {word, is_number ? word : NULL, most};
    auto_json json_t *rows = db_rows(db, SQL_BIOGRAPHY_FIND, params, err);
    if (!rows)
        return NULL;
    if (is_number || json_array_size(rows))
        return without_doubles(rows);
    return guess(db, word, source, err);
}

/* ---- steps ---- */

struct story {
    json_t *steps;
    json_t *told;    /* ids of events that are steps already */
    json_t *digests; /* digest -> command id */
};

/* Takes more over; members of it are added to the step. */
static void step(struct story *s, const json_t *at, const char *what, const char *digest,
                 const char *detail, json_t *more)
{
    auto_json json_t *extra = more;
    const json_t *command = digest ? json_object_get(s->digests, digest) : NULL;
    auto_json json_t *row = json_pack("{s:O*, s:s, s:s, s:O*}", "at", at, "what", what, "detail",
                                      detail, "command", command);
    if (extra)
        json_object_update(row, extra);
    json_array_append(s->steps, row);
}

static void step_text(struct story *s, const json_t *at, const char *what, const char *digest,
                      json_t *more, const char *format, ...) printf_like(6, 7);
static void step_text(struct story *s, const json_t *at, const char *what, const char *digest,
                      json_t *more, const char *format, ...)
{
    char detail[DETAIL_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    step(s, at, what, digest, detail, more);
}

static const char *header_text(const json_t *headers, const char *name)
{
    size_t i;
    json_t *h;
    json_array_foreach(headers, i, h) if (!strcmp(text(h, "name"), name)) return text(h, "value");
    return "";
}

static const char *short_topic(const char *topic)
{
    return strncmp(topic, "drawbridge.", 11) != 0 ? topic : topic + 11;
}

static void event_step(struct story *s, const json_t *row)
{
    char sentence[DETAIL_BYTES];
    struct buf b;
    const char *type = event_type(row), *outcome = text(row, "outcome");
    buf_init_fixed(&b, sentence, sizeof sentence);
    event_text(row, &b);
    json_object_set_new(s->told, text(row, "eventId"), json_true());
    json_t *more =
        json_pack("{s:s, s:s, s:s, s:O*, s:O*, s:O*, s:O*}", "event", type, "subject",
                  text(row, "subject"), "worker", text(row, "worker"), "sequence",
                  json_object_get(row, "sequence"), "outcome", json_object_get(row, "outcome"),
                  "data", json_object_get(row, "data"), "eventId", json_object_get(row, "eventId"));
    if (!*outcome)
        json_object_del(more, "outcome");
    const char *what = !strcmp(type, "command.retrying") ? "failed" : *outcome ? outcome : "event";
    if (!strcmp(type, "command.retrying")) {
        const json_t *error = json_object_get(json_object_get(row, "data"), "error");
        const json_t *data = json_object_get(row, "data");
        step_text(s, json_object_get(row, "at"), what, text(row, "digest"), more,
                  "try %" PRId64 " of %" PRId64 ": %s", number(data, "attempt"),
                  number(data, "attemptsMax"), text(error, "message"));
        return;
    }
    step_text(s, json_object_get(row, "at"), what, text(row, "digest"), more, "%s: %s", type,
              sentence);
}

/* A row of the ledger that is no event: a ticket, a dead letter's copy, a command for a worker. */
static void hop_step(struct story *s, const json_t *row)
{
    const char *type = text(row, "type"), *topic = short_topic(text(row, "topic"));
    auto_json json_t *headers = letter_headers(text(row, "headers"));
    json_t *more =
        json_pack("{s:s, s:s}", "topic", text(row, "topic"), "worker", text(row, "worker"));
    const json_t *at = json_object_get(row, "at");
    if (!strcmp(type, "ticket"))
        step_text(s, at, "waits", text(row, "digest"), more, "in %s for try %s, not before %.19s",
                  topic, header_text(headers, "drawbridge-attempt"),
                  header_text(headers, "drawbridge-not-before"));
    else if (!strcmp(type, "dead_letter"))
        step_text(s, at, "hop", text(row, "digest"), more, "to %s", topic);
    else if (!strcmp(type, "reroute"))
        step_text(s, at, "hop", text(row, "digest"), more, "to the partition of its key");
    else
        step_text(s, at, "sends", text(row, "digest"), more, "%s about %s to %s", short_topic(type),
                  text(row, "subject"), topic);
}

static bool message_steps(struct story *s, struct db *db, const char *digests, struct err *err)
{
    auto_json json_t *rows = db_rows(db, SQL_BIOGRAPHY_MESSAGES, DB_PARAMS(digests), err);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (!strcmp(text(row, "topic"), "drawbridge.events"))
            event_step(s, row);
        else
            hop_step(s, row);
    }
    return rows != NULL;
}

/* When the publisher's clock says that it came in; not later than what then became of it (`then`),
 * by the worker's clock. */
static void arrival_step(struct story *s, const json_t *row, const char *then)
{
    const json_t *sent = json_object_get(row, "recordAt"), *known = json_object_get(row, then);
    if (!json_is_string(sent))
        return;
    bool ahead = strcmp(text(row, "recordAt"), text(row, then)) > 0;
    step_text(s, ahead ? known : sent, "came in", text(row, "digest"),
              json_pack("{s:s, s:s}", "topic", text(row, "topic"), "worker", text(row, "worker")),
              "on %s [%" PRId64 "] at %" PRId64, short_topic(text(row, "topic")),
              number(row, "partition"), number(row, "offset"));
}

/* Before everything else: of what has one time, the arrival is first. */
static void letter_arrivals(struct story *s, const json_t *letters)
{
    size_t i;
    json_t *l;
    json_array_foreach(letters, i, l) arrival_step(s, l, "diedAt");
}

static void letter_steps(struct story *s, const json_t *letters)
{
    size_t i;
    json_t *l;
    json_array_foreach(letters, i, l)
    {
        int64_t id = number(l, "id");
        const char *digest = text(l, "digest"), *state = text(l, "state");
        step_text(s, json_object_get(l, "diedAt"), "dead letter", digest,
                  json_pack("{s:I, s:s, s:s, s:s}", "letter", (json_int_t)id, "code",
                            text(l, "code"), "class", text(l, "class"), "workerVersion",
                            text(l, "workerVersion")),
                  "%" PRId64 " (%s): %s; tries: %" PRId64 ", worker %s", id, text(l, "code"),
                  text(l, "message"), number(l, "attempts"), text(l, "workerVersion"));
        if (number(l, "edits"))
            step_text(s, json_object_get(l, "editedAt"), "edited", digest,
                      json_pack("{s:I, s:s}", "letter", (json_int_t)id, "by", text(l, "editedBy")),
                      "dead letter %" PRId64 " by %s: %s", id, text(l, "editedBy"),
                      *text(l, "editReason") ? text(l, "editReason") : "no reason given");
        if (!strcmp(state, "resolved"))
            step_text(s, json_object_get(l, "resolvedAt"), "resolved", digest,
                      json_pack("{s:I, s:s}", "letter", (json_int_t)id, "replayOutcome",
                                text(l, "replayOutcome")),
                      "dead letter %" PRId64 ": its replay ended %s", id, text(l, "replayOutcome"));
    }
}

static bool open_steps(struct story *s, struct db *db, const char *digests, struct err *err)
{
    auto_json json_t *rows = db_rows(db, SQL_BIOGRAPHY_OPEN, DB_PARAMS(digests), err);
    size_t i;
    json_t *row;
    char now[25];
    clock_format(clock_wall_ms(), now);
    auto_json json_t *at = json_string(now);
    json_array_foreach(rows, i, row)
    {
        const char *due = text(row, "dueAt"), *held = text(row, "heldBy");
        arrival_step(s, row, "acceptedAt");
        step_text(s, at, "open", text(row, "digest"),
                  json_pack("{s:s, s:O}", "state", text(row, "state"), "attempt",
                            json_object_get(row, "attempt")),
                  "%s, try %" PRId64 "%s%.19s%s%s%s%s", text(row, "state"), number(row, "attempt"),
                  *due ? ", due " : "", due, *held ? ", held by " : "", held,
                  *text(row, "errorMessage") ? ": " : "", text(row, "errorMessage"));
    }
    return rows != NULL;
}

static bool audit_steps(struct story *s, struct db *db, const json_t *letters, struct err *err)
{
    auto_buf struct buf ids, subjects;
    auto_json json_t *names = json_array();
    const char *texts[FOUND_MAX * 8], *abouts[FOUND_MAX * 8];
    size_t n = 0, m = 0, i;
    const char *digest;
    json_t *v;
    buf_init(&ids, 1 << 20);
    buf_init(&subjects, 1 << 20);
    json_object_foreach(s->digests, digest, v) if (n < LEN(texts)) texts[n++] =
        json_string_value(v);
    json_array_foreach(letters, i, v)
        json_array_append_new(names, json_sprintf("deadletter/%" PRId64, number(v, "id")));
    json_array_foreach(names, i, v) if (m < LEN(abouts)) abouts[m++] = json_string_value(v);
    db_array(&ids, texts, n);
    db_array(&subjects, abouts, m);
    const char *const params[] = {(const char *)ids.p, (const char *)subjects.p};
    auto_json json_t *rows = db_rows(db, SQL_BIOGRAPHY_AUDIT, params, err);
    json_array_foreach(rows, i, v) if (!json_object_get(s->told, text(v, "eventId")))
        step_text(s, json_object_get(v, "at"), "event", NULL,
                  json_pack("{s:s, s:s, s:s, s:b, s:O}", "event", event_type(v), "subject",
                            text(v, "subject"), "commandId", text(v, "commandId"), "audit", 1,
                            "metadata", json_object_get(v, "metadata")),
                  "%s: %s", event_type(v), text(v, "message"));
    return rows != NULL;
}

/* ---- the whole ---- */

/* Stable, so that what the ledger wrote in one transaction stays in its order. */
static json_t *by_time(const json_t *steps)
{
    size_t n = json_array_size(steps);
    auto_json json_t *sorted = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *row = json_array_get(steps, i);
        size_t k = json_array_size(sorted);
        while (k && strcmp(text(json_array_get(sorted, k - 1), "at"), text(row, "at")) > 0)
            k--;
        json_array_insert(sorted, k, row);
    }
    return take(sorted);
}

/* The same arrival is told by the row and by each letter of it. */
static bool same_step(const json_t *a, const json_t *b)
{
    return a && !strcmp(text(a, "what"), "came in") && !strcmp(text(a, "at"), text(b, "at")) &&
           !strcmp(text(a, "detail"), text(b, "detail"));
}

static json_t *with_gaps(const json_t *sorted)
{
    auto_json json_t *list = json_array();
    int64_t before = 0, at;
    size_t i;
    json_t *row;
    json_array_foreach(sorted, i, row)
    {
        const char *when = text(row, "at");
        if (same_step(json_array_get(list, json_array_size(list) - 1), row) ||
            !clock_parse(when, strlen(when), &at))
            continue;
        if (before)
            json_object_set_new(row, "gapMs", json_integer(at - before));
        before = at;
        json_array_append(list, row);
    }
    return take(list);
}

static void note_digest(struct story *s, const char *digest, const char *id)
{
    if (*digest && !json_object_get(s->digests, digest))
        json_object_set_new(s->digests, digest, json_string(id));
}

/* An edited letter's command goes out under a new id; nothing but the ledger may know it. */
static void note_edited(struct story *s, const json_t *letter)
{
    const char *id = text(letter, "commandId"), *source = text(letter, "source");
    for (int64_t n = 1; *id && n <= number(letter, "edits") && n <= FOUND_MAX; n++) {
        char hex[DIGEST_HEX], name[ID_BYTES];
        snprintf(name, sizeof name, "%s~e%" PRId64, id, n);
        digest_of(source, name, hex);
        note_digest(s, hex, name);
    }
}

static bool digests_param(const struct story *s, struct buf *out)
{
    const char *list[FOUND_MAX * 8], *digest;
    size_t n = 0;
    json_t *v;
    buf_init(out, 1 << 20);
    json_object_foreach(s->digests, digest, v) if (n < LEN(list)) list[n++] = digest;
    db_array(out, list, n);
    return buf_ok(out);
}

static json_t *command_list(const struct story *s)
{
    auto_json json_t *list = json_array();
    const char *digest;
    json_t *id;
    json_object_foreach(s->digests, digest, id)
        json_array_append_new(list, json_pack("{s:O, s:s}", "commandId", id, "digest", digest));
    return take(list);
}

static json_t *tell(struct db *db, const json_t *commands, const char *letter, struct err *err)
{
    auto_json json_t *steps = json_array(), *told = json_object(), *digests = json_object();
    struct story s = {steps, told, digests};
    size_t i;
    json_t *row;
    json_array_foreach(commands, i, row)
        note_digest(&s, text(row, "digest"), text(row, "commandId"));
    auto_buf struct buf seeds, all;
    buf_init(&all, 1);
    bool ok = digests_param(&s, &seeds);
    const char *const params[] = {(const char *)seeds.p, letter};
    auto_json json_t *letters = ok ? db_rows(db, SQL_BIOGRAPHY_LETTERS, params, err) : NULL;
    if (!letters)
        return NULL;
    json_array_foreach(letters, i, row)
    {
        note_digest(&s, text(row, "digest"), text(row, "commandId"));
        note_edited(&s, row);
    }
    letter_arrivals(&s, letters);
    if (!digests_param(&s, &all) || !message_steps(&s, db, (const char *)all.p, err))
        return NULL;
    letter_steps(&s, letters);
    if (!open_steps(&s, db, (const char *)all.p, err) || !audit_steps(&s, db, letters, err))
        return NULL;
    auto_json json_t *sorted = by_time(steps);
    return json_pack("{s:o, s:o}", "commands", command_list(&s), "steps", with_gaps(sorted));
}

json_t *biography(struct db *db, const json_t *commands, struct err *err)
{
    return tell(db, commands, NULL, err);
}

json_t *biography_of_letter(struct db *db, int64_t letter, struct err *err)
{
    char id[24];
    snprintf(id, sizeof id, "%" PRId64, letter);
    return tell(db, NULL, id, err);
}

/* ---- for people ---- */

/* "12:30:01.123     15 ms  failed       " */
enum { TIME_WIDTH = 12, GAP_WIDTH = 9, WHAT_WIDTH = 11, COMMAND_WIDTH = 12 };

static enum out_style what_style(const char *what)
{
    static const struct {
        const char *what;
        enum out_style style;
    } rows[] = {
        {"done", STYLE_GOOD},       {"resolved", STYLE_GOOD}, {"failed", STYLE_WARN},
        {"edited", STYLE_WARN},     {"refused", STYLE_WARN},  {"cancelled", STYLE_WARN},
        {"dead letter", STYLE_BAD}, {"dead", STYLE_BAD},      {"open", STYLE_BOLD},
    };
    for (size_t i = 0; i < LEN(rows); i++)
        if (!strcmp(rows[i].what, what))
            return rows[i].style;
    return STYLE_PLAIN;
}

/* The beginning, and what an edit put behind it: "c2e52e58~e1". */
static char *short_id(const char *id)
{
    const char *edit = strchr(id, '~');
    char shown[COMMAND_WIDTH * 2];
    snprintf(shown, sizeof shown, "%.8s%.12s", id, edit ? edit : "");
    return text_clean(shown, COMMAND_WIDTH);
}

static void put_step(struct out *o, const json_t *row, bool several)
{
    char gap[32] = "";
    struct buf b;
    size_t indent = TIME_WIDTH + 2 + GAP_WIDTH + 2 + WHAT_WIDTH + 2;
    buf_init_fixed(&b, gap, sizeof gap);
    out_ms_text(&b, json_object_get(row, "gapMs"));
    auto_free char *command = short_id(text(row, "command"));
    out_text(o, STYLE_PLAIN, "%.12s  ", text(row, "at") + 11);
    out_text(o, STYLE_DIM, "%*s  ", GAP_WIDTH, gap);
    out_text(o, what_style(text(row, "what")), "%-*s  ", WHAT_WIDTH, text(row, "what"));
    if (several) {
        int pad = COMMAND_WIDTH - (int)text_width(command ? command : "");
        out_text(o, STYLE_DIM, "%s%*s  ", command ? command : "", pad > 0 ? pad : 0, "");
        indent += COMMAND_WIDTH + 2;
    }
    out_wrapped(o, STYLE_PLAIN, text(row, "detail"), indent);
}

void biography_people(struct out *o, const json_t *doc)
{
    bool several = json_array_size(json_object_get(doc, "commands")) > 1;
    char day[11] = "";
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(doc, "steps"), i, row)
    {
        const char *at = text(row, "at");
        if (strlen(at) < 24)
            continue;
        if (strncmp(day, at, 10) != 0)
            out_line(o, STYLE_BOLD, "%.10s (UTC)", at);
        snprintf(day, sizeof day, "%.10s", at);
        put_step(o, row, several);
    }
}
