#include "drivers/simulated_profile.h"

#include <limits.h>
#include <string.h>

#define POLL_MS 250
#define PROFILES "ok, slow-<ms>, flaky-<n>, throttled-<s>, broken, polled-<ms>, stuck, stuck-<n>"

enum number { NUMBER_NONE, NUMBER_MS, NUMBER_SECONDS, NUMBER_ATTEMPTS, NUMBER_ATTEMPTS_OPTIONAL };

static const struct row {
    const char *name;
    enum simulated_kind kind;
    enum number number;
    int64_t max; /* in the unit of the struct: milliseconds or attempts */
} rows[] = {
    {"ok", SIMULATED_OK, NUMBER_NONE, 0},
    {"slow", SIMULATED_SLOW, NUMBER_MS, 9999999},
    {"flaky", SIMULATED_FLAKY, NUMBER_ATTEMPTS, 999},
    {"throttled", SIMULATED_THROTTLED, NUMBER_SECONDS, 99999000},
    {"broken", SIMULATED_BROKEN, NUMBER_NONE, 0},
    {"polled", SIMULATED_POLLED, NUMBER_MS, 9999999},
    {"stuck", SIMULATED_STUCK, NUMBER_ATTEMPTS_OPTIONAL, 999},
};

/* Digits, and with decimals up to three more behind a point: the value in thousandths. */
static bool number_parse(const char *s, bool decimals, int64_t *out_thousandths)
{
    int64_t value = 0;
    int digits = 0, behind = -1;
    for (; *s; s++) {
        if (*s == '.' && decimals && behind < 0 && digits) {
            behind = 0;
            continue;
        }
        if (*s < '0' || *s > '9' || digits == 9 || behind == 3)
            return false;
        value = value * 10 + (*s - '0');
        digits++;
        behind += behind >= 0;
    }
    if (!digits || behind == 0)
        return false;
    for (int i = behind < 0 ? 0 : behind; i < 3; i++)
        value *= 10;
    *out_thousandths = value;
    return true;
}

static bool row_parse(const struct row *row, const char *number, struct simulated_profile *out)
{
    int64_t thousandths = 0;
    bool bare = row->number == NUMBER_NONE;
    *out = (struct simulated_profile){.kind = row->kind};
    if (!number && row->number == NUMBER_ATTEMPTS_OPTIONAL)
        out->attempts = INT_MAX;
    if (!number)
        return bare || row->number == NUMBER_ATTEMPTS_OPTIONAL;
    if (bare || !number_parse(number, row->number == NUMBER_SECONDS, &thousandths))
        return false;
    /* Seconds in thousandths are the milliseconds asked for. */
    int64_t value = row->number == NUMBER_SECONDS ? thousandths : thousandths / 1000;
    if (value > row->max)
        return false;
    if (row->number == NUMBER_MS || row->number == NUMBER_SECONDS)
        out->ms = value;
    else
        out->attempts = (int)value;
    return true;
}

bool simulated_profile_parse(const char *text, struct simulated_profile *out, struct err *err)
{
    struct simulated_profile p = {0};
    if (!text)
        text = "ok";
    const char *dash = strchr(text, '-');
    size_t n = dash ? (size_t)(dash - text) : strlen(text);
    for (size_t i = 0; i < LEN(rows); i++) {
        if (strlen(rows[i].name) != n || memcmp(rows[i].name, text, n) != 0)
            continue;
        if (!row_parse(&rows[i], dash ? dash + 1 : NULL, &p))
            break;
        *out = p;
        return true;
    }
    return err_set(err, ERR_PROVIDER_REFUSED, "profile \"%.64s\" is none of: " PROFILES, text);
}

bool simulated_makes(const struct simulated_profile *p, int attempt)
{
    return !((p->kind == SIMULATED_FLAKY && attempt <= p->attempts) ||
             (p->kind == SIMULATED_THROTTLED && attempt <= 1) || p->kind == SIMULATED_BROKEN);
}

static struct simulated_answer failure(enum outcome_kind kind, const char *result,
                                       enum err_code code, const char *message)
{
    return (struct simulated_answer){
        .kind = kind, .result = result, .code = err_name(code), .message = message};
}

static struct simulated_answer there(const struct simulated_seen *seen, int64_t now_ms)
{
    if (seen->ready_ms > now_ms)
        return (struct simulated_answer){
            .kind = OUTCOME_PENDING, .result = seen->made ? "made" : "pending", .poll_ms = POLL_MS};
    return (struct simulated_answer){.kind = OUTCOME_OK, .result = seen->made ? "made" : "exists"};
}

struct simulated_answer simulated_created(const struct simulated_profile *p, int attempt,
                                          const struct simulated_seen *seen, int64_t now_ms)
{
    if (seen->present)
        return there(seen, now_ms);
    if (seen->full)
        return failure(OUTCOME_TRANSIENT, "quota", ERR_PROVIDER_QUOTA,
                       "the simulated provider is at its capacity");
    if (p->kind == SIMULATED_BROKEN)
        return failure(OUTCOME_PERMANENT, "refused", ERR_PROVIDER_REFUSED,
                       "profile broken: refused, as asked");
    if (p->kind == SIMULATED_THROTTLED && attempt <= 1) {
        struct simulated_answer a = failure(OUTCOME_THROTTLED, "throttled", ERR_PROVIDER_THROTTLED,
                                            "profile throttled: come back later, as asked");
        a.retry_ms = p->ms;
        return a;
    }
    if (p->kind == SIMULATED_FLAKY)
        return failure(OUTCOME_TRANSIENT, "failed", ERR_PROVIDER_FAILED,
                       "profile flaky: failed, as asked");
    return failure(OUTCOME_TRANSIENT, "failed", ERR_PROVIDER_FAILED,
                   "the simulated provider did not make the instance");
}

struct simulated_answer simulated_observed(const struct simulated_seen *seen, int64_t now_ms)
{
    if (seen->present)
        return there(seen, now_ms);
    return failure(OUTCOME_TRANSIENT, "absent", ERR_PROVIDER_FAILED,
                   "the simulated provider has no such instance");
}

struct simulated_answer simulated_deleted(bool removed, bool stuck)
{
    if (stuck)
        return failure(OUTCOME_TRANSIENT, "stuck", ERR_PROVIDER_FAILED,
                       "profile stuck: not removed, as asked");
    return (struct simulated_answer){.kind = OUTCOME_OK, .result = removed ? "removed" : "absent"};
}

struct simulated_answer simulated_down(void)
{
    struct simulated_answer a = failure(OUTCOME_TRANSIENT, "down", ERR_PROVIDER_FAILED,
                                        "the simulated provider is down, as asked");
    a.silent = true;
    return a;
}
