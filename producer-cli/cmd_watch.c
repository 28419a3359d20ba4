/* drawbridge watch — the event stream, live, one line each. */
#include "broker.h"
#include "commands.h"
#include "event.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "core/clock.h"

enum { TURN_MS = 200, TEXT_BYTES = 4096 };

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

struct watch {
    struct cli *cli;
    const char *type;    /* glob, or NULL */
    const char *subject; /* whole ("session/…"), or the part after the slash; or NULL */
    int64_t count, seen;
    int64_t until_ms; /* monotonic; 0: no end */
};

static bool wanted(const struct watch *w, const json_t *event)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    const char *subject = json_string_value(json_object_get(event, "subject"));
    const char *slash = subject ? strchr(subject, '/') : NULL;
    bool type_fits =
        !w->type ||
        (type && (!fnmatch(w->type, type, 0) || !fnmatch(w->type, event_type(event), 0)));
    bool subject_fits =
        !w->subject ||
        (subject && (!strcmp(subject, w->subject) || (slash && !strcmp(slash + 1, w->subject))));
    return type_fits && subject_fits;
}

static enum out_style event_style(const json_t *event)
{
    const char *outcome = json_string_value(json_object_get(event, "outcome"));
    return !outcome                   ? STYLE_PLAIN
           : !strcmp(outcome, "done") ? STYLE_GOOD
           : !strcmp(outcome, "dead") ? STYLE_BAD
                                      : STYLE_WARN;
}

static void put_people(struct out *o, const json_t *event)
{
    char memory[TEXT_BYTES];
    struct buf b;
    const char *time = json_string_value(json_object_get(event, "time"));
    const char *about = json_string_value(json_object_get(event, "subject"));
    buf_init_fixed(&b, memory, sizeof memory);
    event_text(event, &b);
    auto_free char *at = text_clean(time && strlen(time) >= 23 ? time + 11 : "", 0);
    auto_free char *type = text_clean(event_type(event), 24);
    auto_free char *subject = text_clean(about ? about : "–", 0);
    auto_free char *text = text_clean(memory, 0);
    out_text(o, STYLE_DIM, "%-12.12s  ", at ? at : "");
    out_text(o, event_style(event), "%-24s", type ? type : "");
    out_text(o, STYLE_PLAIN, "  %-44s", subject ? subject : "");
    out_text(o, STYLE_DIM, "  #%-4" PRId64,
             (int64_t)json_integer_value(json_object_get(event, "sequence")));
    out_line(o, STYLE_PLAIN, "  %s", text ? text : "");
    fflush(o->to);
}

static void show(struct watch *w, const rd_kafka_message_t *m)
{
    auto_json json_t *event = event_json(m);
    if (!event || !wanted(w, event))
        return;
    w->seen++;
    if (w->cli->json)
        out_json_line(&w->cli->out, event);
    else
        put_people(&w->cli->out, event);
}

static bool over(const struct watch *w)
{
    return interrupted || (w->count && w->seen >= w->count) ||
           (w->until_ms && clock_mono_now_us() / 1000 >= w->until_ms);
}

static int follow(struct watch *w, struct follower *stream)
{
    while (!over(w)) {
        struct err err = {0};
        rd_kafka_message_t *m = follower_next(stream, TURN_MS, &err);
        if (m) {
            show(w, m);
            rd_kafka_message_destroy(m);
        } else if (err.code) {
            return cli_fail(w->cli, &err);
        }
        if (ferror(w->cli->out.to))
            break;
    }
    return EXIT_DONE;
}

static int run_watch(struct cli *cli)
{
    const struct line *l = &cli->line;
    struct err err = {0};
    const char *topic = line_text(l, "topic");
    int64_t for_ms = line_int(l, "for", 0), since_ms = line_int(l, "since", -1);
    if (topic && strcmp(topic, "events") != 0 && strcmp(topic, "audit") != 0) {
        (void)usage_error(&err, "--topic: %.32s is neither events nor audit", topic);
        return cli_fail(cli, &err);
    }
    const char *name = topic && !strcmp(topic, "audit") ? "drawbridge.audit" : "drawbridge.events";
    struct watch w = {cli,
                      line_text(l, "type"),
                      line_text(l, "subject"),
                      line_int(l, "count", 0),
                      0,
                      for_ms ? clock_mono_now_us() / 1000 + for_ms : 0};
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    auto_follower struct follower *stream =
        follower_open(cli, name, since_ms < 0 ? RD_KAFKA_OFFSET_END : cli->now_ms - since_ms, &err);
    if (!stream)
        return cli_fail(cli, &err);
    if (!cli->json)
        out_line(&cli->say, STYLE_DIM, "watching %s; Ctrl-C ends it", name);
    return follow(&w, stream);
}

static const struct option watch_options[] = {
    {"type", "GLOB", "only these types, such as 'session.*'", OPT_TEXT, 0, 0, false},
    {"subject", "ID", "only this subject: session/<uuid>, or the id alone", OPT_TEXT, 0, 0, false},
    {"since", "DURATION", "begin so long ago (default: now)", OPT_DURATION, 0, 0, false},
    {"topic", "NAME", "events (default) or audit", OPT_TEXT, 0, 0, false},
    {"count", "N", "end after so many", OPT_INT, 1, 1000000000, false},
    {"for", "DURATION", "end after so long", OPT_DURATION, 0, 0, false},
    {0},
};
static const struct example watch_examples[] = {
    {"watch --type 'session.*' --since 1h", "sessions of the last hour, and what comes"},
    {"watch --json | jq .data", "one JSON document per line"},
    {0},
};

const struct action watch_actions[] = {
    {"watch", NULL, NULL, 0, 0, "Follows the events",
     "One line each: time (UTC), type, subject, sequence, what happened. With --json one document "
     "per line. Reads from numeric offsets and joins no group, so that nothing is left behind.",
     watch_options, watch_examples, run_watch},
    {0},
};
