#include "connection_advice.h"

#include <string.h>

struct row {
    const char *status, *reason, *flow; /* NULL: any */
    struct connection_advice advice;
};

/* The first that fits. Only a flow that asks a person is sent to one. */
static const struct row rows[] = {
    {"not_connected",
     NULL,
     "authorization_code",
     {"Nobody has authorized it yet.", "connection authorize"}},
    {"not_connected", NULL, NULL, {"It gets its first token by itself, in a moment.", NULL}},
    {"waiting_callback", NULL, NULL, {"It waits for a person to authorize it.", NULL}},
    {"testing", NULL, NULL, {"It has got tokens, and tries them.", NULL}},
    {"completed",
     "reconnect_required",
     "refresh_token",
     {"Its token is served to its end; its refresh token may be used up: bring a new one before.",
      "connection update"}},
    {"completed",
     "reconnect_required",
     NULL,
     {"Its token is served to its end; then a person has to authorize it anew, because its refresh "
      "token may be used up.",
      "connection authorize"}},
    {"completed",
     "misconfigured",
     NULL,
     {"Its token is served to its end, and cannot be renewed: the provider does not take the "
      "client, "
      "or what is asked.",
      "connection update"}},
    {"completed",
     "test_unanswered",
     NULL,
     {"Workflows get its token; the provider did not answer the last test, which comes again.",
      NULL}},
    {"completed", NULL, NULL, {"Workflows get its token, and it renews itself.", NULL}},
    {"failed",
     "reconnect_required",
     "refresh_token",
     {"Its refresh token is not sent any more: it may be used up, or the connection was changed. "
      "Bring a new one.",
      "connection update"}},
    {"failed",
     "reconnect_required",
     NULL,
     {"What was granted is not used any more: its refresh token may be used up, or the connection "
      "was changed. A person has to authorize it anew.",
      "connection authorize"}},
    {"failed",
     "denied",
     "authorization_code",
     {"The person said no at the provider. Ask them again.", "connection authorize"}},
    {"failed",
     "misconfigured",
     NULL,
     {"The provider does not take the client, or what is asked: compare client id, secret, URLs "
      "and scopes with what the provider has.",
      "connection update"}},
    {"failed",
     "test_failed",
     NULL,
     {"It got a token, and the provider's test call does not take it: are its scopes enough?",
      "connection test"}},
    {"failed",
     "test_unanswered",
     NULL,
     {"It got a token, and the provider does not answer the test: it is tried again by itself.",
      "connection test"}},
    {"failed",
     "ended",
     "authorization_code",
     {"Its access token is over, and the provider gave nothing to renew it with.",
      "connection authorize"}},
    {"failed",
     NULL,
     "client_credentials",
     {"The provider does not give it a token: compare client id and secret with what the provider "
      "has.",
      "connection update"}},
    {"failed",
     NULL,
     "refresh_token",
     {"The provider does not take its refresh token any more: bring a new one.",
      "connection update"}},
    {"failed",
     NULL,
     NULL,
     {"The provider does not take what was granted any more: a person has to authorize it anew.",
      "connection authorize"}},
};

static bool fits(const char *wanted, const json_t *row, const char *member)
{
    const char *is = json_string_value(json_object_get(row, member));
    return !wanted || (is && !strcmp(is, wanted));
}

struct connection_advice connection_advice(const json_t *row)
{
    for (size_t i = 0; i < LEN(rows); i++)
        if (fits(rows[i].status, row, "status") && fits(rows[i].reason, row, "reason") &&
            fits(rows[i].flow, row, "oauth_flow_type"))
            return rows[i].advice;
    return (struct connection_advice){"This program does not know its status.", NULL};
}

void connection_advice_people(struct out *o, const json_t *row)
{
    struct connection_advice a = connection_advice(row);
    const char *id = json_string_value(json_object_get(row, "connection_id"));
    out_wrapped(o, STYLE_PLAIN, a.means, 0);
    if (a.next && id)
        out_line(o, STYLE_DIM, "Next: drawbridge %s %s", a.next, id);
}
