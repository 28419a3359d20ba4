#include "answer.h"

#include "flat_json.h"
#include "problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- times ---- */

static bool take_digits(const char **p, int n, int64_t *out)
{
    *out = 0;
    for (; n > 0; n--, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        *out = *out * 10 + (**p - '0');
    }
    return true;
}

static bool take_mark(const char **p, char mark)
{
    return *(*p)++ == mark;
}

/* Days since 1970-01-01 in the Gregorian calendar (H. Hinnant, days_from_civil). */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int64_t drawbridge_answer_time_ms(const char *p)
{
    int64_t y, mo, d, h, mi, s, ms = 0;
    if (!take_digits(&p, 4, &y) || !take_mark(&p, '-') || !take_digits(&p, 2, &mo) ||
        !take_mark(&p, '-') || !take_digits(&p, 2, &d) || !take_mark(&p, 'T') ||
        !take_digits(&p, 2, &h) || !take_mark(&p, ':') || !take_digits(&p, 2, &mi) ||
        !take_mark(&p, ':') || !take_digits(&p, 2, &s))
        return 0;
    if (*p == '.' && (p++, !take_digits(&p, 3, &ms)))
        return 0;
    if (strcmp(p, "Z") != 0 || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || s > 60)
        return 0;
    return (((days_of(y, mo, d) * 24 + h) * 60 + mi) * 60 + s) * 1000 + ms;
}

/* ---- problems ---- */

static enum drawbridge_problem_kind kind_of(long status, const char *code)
{
    static const struct {
        long status;
        enum drawbridge_problem_kind kind;
    } rows[] = {
        {400, DRAWBRIDGE_WRONG_CALL},  {401, DRAWBRIDGE_DENIED},      {403, DRAWBRIDGE_DENIED},
        {404, DRAWBRIDGE_NOT_FOUND},   {429, DRAWBRIDGE_THROTTLED},   {503, DRAWBRIDGE_NOT_READY},
        {502, DRAWBRIDGE_UNREACHABLE}, {504, DRAWBRIDGE_UNREACHABLE},
    };
    if (status == 403 && !strcmp(code, "workflow.disabled"))
        return DRAWBRIDGE_DISABLED;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].status == status)
            return rows[i].kind;
    return DRAWBRIDGE_BAD_ANSWER;
}

/* RFC 9457: the detail, or else the title; then what may be done. */
static bool read_problem(const struct fetch_answer *a, struct drawbridge_problem *why)
{
    char *code = drawbridge_json_text(a->body, a->n, "code");
    char *detail = drawbridge_json_text(a->body, a->n, "detail");
    char *title = drawbridge_json_text(a->body, a->n, "title");
    char *hint = drawbridge_json_text(a->body, a->n, "hint");
    const char *what = detail ? detail : title;
    enum drawbridge_problem_kind kind = kind_of(a->status, code ? code : "");
    if (what)
        (void)drawbridge_problem_set(why, kind, "%s%s%s%s", what, hint ? " (" : "",
                                     hint ? hint : "", hint ? ")" : "");
    else
        (void)drawbridge_problem_set(why, kind, "the gateway says %ld", a->status);
    if (why) {
        why->http_status = a->status;
        why->retry_after_s = a->retry_after_s;
        (void)snprintf(why->code, sizeof why->code, "%s", code ? code : "");
    }
    free(code);
    free(detail);
    free(title);
    free(hint);
    return false;
}

/* ---- credentials ---- */

bool drawbridge_answer_read(const struct fetch_answer *a, struct drawbridge_credential *out,
                            struct drawbridge_problem *why)
{
    *out = (struct drawbridge_credential){0};
    if (a->status != 200)
        return read_problem(a, why);
    char *ends = drawbridge_json_text(a->body, a->n, "expires_at");
    out->access_token = drawbridge_json_text(a->body, a->n, "access_token");
    out->token_type = drawbridge_json_text(a->body, a->n, "token_type");
    out->scopes = drawbridge_json_text(a->body, a->n, "scopes");
    out->expires_at_ms = ends ? drawbridge_answer_time_ms(ends) : 0;
    free(ends);
    if (out->access_token && out->access_token[0] && out->token_type)
        return true;
    drawbridge_credential_wipe(out);
    return drawbridge_problem_set(why, DRAWBRIDGE_BAD_ANSWER,
                                  "the gateway's answer has no token in it");
}
