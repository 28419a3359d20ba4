#include "letter_filter.h"

#include <string.h>

#include "core/clock.h"

static const char *const workers[] = {"provisioning", "teardown", "refresh", "audit", NULL};
static const char *const states[] = {"parked", "replaying", "resolved", "discarded", "all", NULL};
static const char *const classes[] = {"transient", "throttled", "uncertain", "permanent",
                                      "invalid",   "fatal",     NULL};

enum value_kind { VALUE_TEXT, VALUE_NUMBER, VALUE_TYPE, VALUE_TIME };

/* A row per option that is a member. */
static const struct member {
    const char *name;
    enum value_kind kind;
    const char *const *known; /* NULL: anything */
} members[] = {
    {"id", VALUE_NUMBER, NULL},        {"worker", VALUE_TEXT, workers},
    {"type", VALUE_TYPE, NULL},        {"tenant", VALUE_TEXT, NULL},
    {"subject", VALUE_TEXT, NULL},     {"command", VALUE_TEXT, NULL},
    {"class", VALUE_TEXT, classes},    {"code", VALUE_TEXT, NULL},
    {"place", VALUE_TEXT, NULL},       {"text", VALUE_TEXT, NULL},
    {"since", VALUE_TIME, NULL},       {"until", VALUE_TIME, NULL},
    {"state", VALUE_TEXT, states},     {"job", VALUE_NUMBER, NULL},
    {"fingerprint", VALUE_TEXT, NULL},
};

static bool is_known(const struct member *m, const char *value, struct err *err)
{
    for (const char *const *k = m->known; k && *k; k++)
        if (!strcmp(*k, value))
            return true;
    if (!m->known)
        return true;
    const char *near = nearest(value, m->known);
    if (near)
        return usage_error(err, "--%s: there is no %.64s. Did you mean %s?", m->name, value, near);
    return usage_error(err, "--%s: there is no %.64s", m->name, value);
}

/* "2h" ago, or a time. */
static json_t *time_member(const struct cli *cli, const struct member *m, const char *value,
                           struct err *err)
{
    int64_t ms;
    char text[25];
    if (duration_parse(value, &ms))
        ms = cli->now_ms - ms;
    else if (!time_parse(value, cli->now_ms, &ms)) {
        (void)usage_error(err,
                          "--%s: %.64s is neither a duration like 2h nor a time like "
                          "2026-11-20T22:00:00Z",
                          m->name, value);
        return NULL;
    }
    clock_format(ms, text);
    return json_string(text);
}

static json_t *number_member(const struct member *m, const char *value, struct err *err)
{
    int64_t number;
    if (number_parse(value, &number) && number > 0)
        return json_sprintf("%lld", (long long)number);
    (void)err_set(err, ERR_BAD_INPUT, "%.64s is no %s: a number is, `drawbridge dlq %s` shows them",
                  value, !strcmp(m->name, "id") ? "dead letter" : "job",
                  !strcmp(m->name, "id") ? "list" : "jobs");
    return NULL;
}

static json_t *member_value(const struct cli *cli, const struct member *m, const char *value,
                            struct err *err)
{
    if (!is_known(m, value, err))
        return NULL;
    if (m->kind == VALUE_NUMBER)
        return number_member(m, value, err);
    if (m->kind == VALUE_TIME)
        return time_member(cli, m, value, err);
    bool prefix = m->kind == VALUE_TYPE && strncmp(value, "drawbridge.", 11) != 0;
    json_t *text = json_sprintf("%s%s", prefix ? "drawbridge." : "", value);
    if (!text)
        (void)err_set(err, ERR_BAD_INPUT, "--%s: not UTF-8", m->name);
    return text;
}

static bool add(json_t *filter, const char *name, json_t *value)
{
    if (!json_object_get(filter, name))
        json_object_set_new(filter, name, json_array());
    return value && !json_array_append_new(json_object_get(filter, name), value);
}

static bool add_options(const struct cli *cli, json_t *filter, const struct member *m,
                        struct err *err)
{
    const char *value;
    for (size_t i = 0; (value = line_many(&cli->line, m->name, i)); i++)
        if (!add(filter, m->name, member_value(cli, m, value, err)))
            return false;
    return true;
}

json_t *letter_filter(const struct cli *cli, const char *state, struct err *err)
{
    auto_json json_t *filter = json_object();
    for (size_t i = 0; i < cli->line.nwords; i++)
        if (!add(filter, "id", number_member(&members[0], cli->line.words[i], err)))
            return NULL;
    for (size_t i = 0; i < LEN(members); i++)
        if (!add_options(cli, filter, &members[i], err))
            return NULL;
    json_t *given = json_object_get(filter, "state"), *v;
    size_t i;
    json_array_foreach(given, i, v) if (!strcmp(json_string_value(v), "all"))
    {
        json_object_del(filter, "state");
        return take(filter);
    }
    if (!given && state && !add(filter, "state", json_string(state)))
        return NULL;
    return take(filter);
}

bool letter_filter_says_something(const json_t *filter)
{
    return json_object_size(filter) > (json_object_get(filter, "state") ? 1 : 0);
}

void letter_filter_text(const json_t *filter, struct buf *out)
{
    const char *between = "";
    for (size_t i = 0; i < LEN(members); i++) {
        const json_t *values = json_object_get(filter, members[i].name);
        const char *only = json_string_value(json_array_get(values, 0));
        if (only && !strcmp(members[i].name, "state") && !strcmp(only, "parked"))
            continue; /* what is meant when nothing is said */
        json_t *v;
        size_t k;
        json_array_foreach(values, k, v)
        {
            const char *text = json_string_value(v);
            if (members[i].kind == VALUE_TYPE && !strncmp(text, "drawbridge.", 11))
                text += 11;
            if (k)
                buf_printf(out, " or %s", text);
            else
                buf_printf(out, "%s%s %s", between, members[i].name, text);
            between = ", ";
        }
    }
    if (!*between)
        buf_str(out, "all");
}

char *letter_filter_param(const json_t *filter)
{
    return json_dumps(filter, JSON_COMPACT);
}
