/* What a provider said becomes the answer that a decision is made of; its tokens are sealed here.
 */
#include "refresh/asking.h"
#include "store/answer_block.h"

#include <stdio.h>
#include <string.h>

#define SEALED_MAX ((size_t)128 << 10)
#define SLOWER_MS 5000 /* RFC 8628 §3.5 */

static struct connection_answer *block_of(const struct connection_answer *a)
{
    struct connection_answer *copy = malloc(answer_bytes(a));
    if (copy)
        answer_copy(copy, a);
    return copy;
}

static struct connection_answer blank(const struct asking *a, enum answer_kind kind)
{
    const struct connection_intent *in = &a->connection.intent;
    return (struct connection_answer){.kind = kind,
                                      .intent = in->id,
                                      .generation = in->generation,
                                      .config_version = in->config_version,
                                      .endpoints = a->discovered};
}

struct connection_answer *asking_unsent(const struct asking *a, bool never, const char *why)
{
    struct connection_answer x = blank(a, never ? ANSWER_INVALID : ANSWER_NOT_SENT);
    x.code = never ? "unsendable" : "unsent";
    x.message = why;
    return block_of(&x);
}

struct connection_answer *asking_unknown(const struct asking *a, const char *why)
{
    struct connection_answer x = blank(a, ANSWER_SILENT);
    x.code = "no_answer";
    x.message = why;
    return block_of(&x);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static enum answer_kind kind_of(const struct asking *a, const struct oauth_fault *f)
{
    bool waits = f->error == OAUTH_AUTHORIZATION_PENDING || f->error == OAUTH_SLOW_DOWN;
    switch (oauth_consequence(f->error)) {
    case OAUTH_IS_GRANT:
        return f->error == OAUTH_ACCESS_DENIED ? ANSWER_DENIED : ANSWER_REFUSED;
    case OAUTH_IS_SETTINGS:
        return ANSWER_INVALID;
    case OAUTH_IS_WAIT:
        return waits && a->ask == ASK_DEVICE_POLL ? ANSWER_PENDING : ANSWER_LATER;
    case OAUTH_IS_TRANSIENT:
        return f->status ? ANSWER_LATER : ANSWER_NOT_SENT;
    case OAUTH_IS_UNCERTAIN:
    case OAUTH_IS_FINE:
        break;
    }
    return ANSWER_SILENT;
}

static struct connection_answer *fault_of(const struct asking *a, const struct oauth_fault *f,
                                          int64_t now_ms)
{
    char message[2 * OAUTH_TEXT];
    const char *help = oauth_error_help(f->error);
    struct connection_answer x = blank(a, kind_of(a, f));
    snprintf(message, sizeof message, "%s: %s%s%s", a->party.provider->name, help,
             *f->text ? ": " : "", f->text);
    x.message = message;
    x.code = *f->word ? f->word : oauth_error_name(f->error);
    x.retry_ms = f->retry_after_ms > 0 ? now_ms + f->retry_after_ms : 0;
    if (f->error == OAUTH_SLOW_DOWN)
        x.poll_ms = a->connection.poll_every_ms + SLOWER_MS;
    return block_of(&x);
}

/* Silence, and a server that is out of order, say nothing about the question. */
static enum effect_sign sign_of(const struct oauth_told *t)
{
    enum oauth_consequence means = oauth_consequence(t->fault.error);
    bool out = means == OAUTH_IS_TRANSIENT || means == OAUTH_IS_UNCERTAIN;
    return !t->fine && out && (!t->fault.status || t->fault.status >= 500) ? EFFECT_NO_ANSWER
                                                                           : EFFECT_ANSWERED;
}

/* ---- what was given -------------------------------------------------------------------------- */

static bool seal_token(const struct asking *a, const struct sealer *sealer, const struct secret *s,
                       struct buf *bytes, struct sealed *out)
{
    char place[SEALED_PLACE_MAX];
    if (!s)
        return true;
    sealed_place(PLACE_CONNECTION_TOKEN, a->connection.id, place);
    if (!seal(sealer, place, secret_view(s), secret_size(s), bytes, NULL))
        return false;
    *out = (struct sealed){bytes->p, bytes->n};
    return true;
}

static const char *if_any(const char *text)
{
    return *text ? text : NULL;
}

static struct connection_answer *tokens_of(const struct asking *a, const struct sealer *sealer,
                                           const struct oauth_tokens *t)
{
    auto_buf struct buf access, refresh;
    struct connection_answer x = blank(a, ANSWER_TOKENS);
    buf_init(&access, SEALED_MAX);
    buf_init(&refresh, SEALED_MAX);
    x.expires_ms = t->expires_ms;
    x.refresh_in_ms = t->refresh_in_ms;
    x.token_type = t->type;
    x.scopes = if_any(t->scopes);
    x.instance_url = if_any(t->instance_url);
    bool fine = seal_token(a, sealer, t->access, &access, &x.access) &&
                seal_token(a, sealer, t->refresh, &refresh, &x.refresh);
    return fine ? block_of(&x) : NULL;
}

static struct connection_answer *device_of(const struct asking *a, const struct sealer *sealer,
                                           const struct oauth_device *d)
{
    auto_buf struct buf code;
    struct connection_answer x = blank(a, ANSWER_DEVICE);
    buf_init(&code, SEALED_MAX);
    x.user_code = d->user_code;
    x.verification_uri = d->uri;
    x.until_ms = d->expires_ms;
    x.poll_ms = d->interval_ms;
    return seal_token(a, sealer, d->code, &code, &x.device) ? block_of(&x) : NULL;
}

struct connection_answer *asking_told(const struct asking *a, const struct sealer *sealer,
                                      const struct oauth_told *t, int64_t now_ms,
                                      enum effect_sign *out_sign)
{
    *out_sign = sign_of(t);
    if (!t->fine)
        return fault_of(a, &t->fault, now_ms);
    struct connection_answer x = blank(a, ANSWER_GOOD);
    switch (a->ask) {
    case ASK_EXCHANGE:
    case ASK_REFRESH:
    case ASK_CLIENT_CREDENTIALS:
    case ASK_DEVICE_POLL:
        return tokens_of(a, sealer, &t->tokens);
    case ASK_DEVICE:
        return device_of(a, sealer, &t->device);
    case ASK_INTROSPECT:
        x.kind = t->introspection.active ? ANSWER_GOOD : ANSWER_BAD;
        break;
    case ASK_TEST:
    case ASK_REVOKE:
    case ASK_NONE:
    case ASK_KINDS:
        break;
    }
    return block_of(&x);
}

struct connection_answer *asking_pretend(const struct connection_call *call, bool done)
{
    static const char made_up[] = "rehearsal";
    const struct asking a = {.connection = call->connection};
    struct connection_answer x = blank(&a, ANSWER_GOOD);
    bool tokens = call->ask == ASK_EXCHANGE || call->ask == ASK_REFRESH ||
                  call->ask == ASK_CLIENT_CREDENTIALS || call->ask == ASK_DEVICE_POLL;
    if (!done) {
        x.kind = ANSWER_INVALID;
        x.code = "provider.refused";
        x.message = "made up by the rehearsal: the provider refuses for good";
    } else if (tokens) {
        x.kind = ANSWER_TOKENS;
        x.access = (struct sealed){made_up, sizeof made_up};
    } else if (call->ask == ASK_DEVICE) {
        x.kind = ANSWER_DEVICE;
        x.user_code = made_up;
        x.device = (struct sealed){made_up, sizeof made_up};
    }
    return block_of(&x);
}
