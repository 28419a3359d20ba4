#include "store/token_commands.h"

#include "core/clock.h"
#include "core/token_text.h"
#include "core/uuid.h"

#include <string.h>

static const char *text(const struct item *it, const char *key)
{
    return json_string_value(json_object_get(it->cmd.json, key));
}

static int64_t number(const struct item *it, const char *key)
{
    return json_integer_value(json_object_get(it->cmd.json, key));
}

/* The schema has seen that it is a time. */
static int64_t time_of(const struct item *it, const char *key)
{
    int64_t ms = 0;
    const char *s = text(it, key);
    return s && clock_parse(s, strlen(s), &ms) ? ms : 0;
}

bool is_token_command(const struct item *it)
{
    return it->type && !strcmp(it->type->subject_noun, "token");
}

void token_command_want(struct working_set *ws, const struct item *it)
{
    const char *id = text(it, "tokenId"), *owner = text(it, "owner");
    if (!id || !owner)
        return;
    if (text(it, "name"))
        want_token_name(ws, owner, text(it, "name"));
    if (text(it, "secretId"))
        want_secret(ws, text(it, "secretId"), id);
}

/* ---- the command as the domain reads it -------------------------------------------------------
 */

/* ["a","b"] as "a b"; NULL when absent. */
static const char *scopes_of(struct batch *b, const struct item *it, const char *key)
{
    const json_t *list = json_object_get(it->cmd.json, key);
    auto_buf struct buf out;
    buf_init(&out, 4096);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        buf_printf(&out, "%s%s", i ? " " : "", s ? s : "");
    }
    const char *copy = !list ? NULL : arena_strn(batch_arena(b), (const char *)out.p, out.n);
    if (list && (!copy || !buf_ok(&out)))
        batch_fail(b, ERR_NO_MEMORY, "command");
    return copy;
}

static struct token_asker asker_of(struct batch *b, const struct item *it)
{
    const char *scopes = scopes_of(b, it, "grantorScopes");
    return (struct token_asker){
        .id =
            json_string_value(json_object_get(json_object_get(it->cmd.json, "requestedBy"), "id")),
        .admin = carry_by_admin(it),
        .bounded = scopes != NULL,
        .scopes = scopes ? scope_parse_list(scopes) : 0,
    };
}

static const char *prefix_of(struct batch *b, const char *id)
{
    uint8_t bytes[UUID_BYTES];
    char shown[TOKEN_TEXT_SHOWN] = "";
    if (uuid_parse(id, strlen(id), bytes))
        token_text_shown(bytes, shown);
    const char *copy = arena_str(batch_arena(b), shown);
    if (!copy)
        batch_fail(b, ERR_NO_MEMORY, "command");
    return copy;
}

static struct token_world world_of(struct batch *b, const struct item *it)
{
    struct working_set *ws = resources_of(b);
    const char *id = text(it, "tokenId"), *owner = text(it, "owner");
    struct token_row *row = token_row_get(ws, id);
    struct user_row *u = user_row_get(ws, owner);
    bool user = u && (u->exists || u->dirty);
    return (struct token_world){
        .token = row && (row->exists || row->dirty) ? &row->token : NULL,
        .owner_unfit = user && (!u->user.is_active || u->user.removing || u->user.removed),
        .name_taken = working_set_token_name_taken(ws, owner, text(it, "name"), id),
        .secret_there = working_set_secret(ws, text(it, "secretId"), id) != NULL,
        .now_ms = batch_now_ms(b),
    };
}

/* ---- decisions --------------------------------------------------------------------------------
 */

/* Nobody takes it twice. */
static void secret_taken(struct batch *b, const struct item *it, const struct plan *plan)
{
    struct token_secret *s =
        working_set_secret(resources_of(b), text(it, "secretId"), text(it, "tokenId"));
    if (s && plan->kind == PLAN_DONE)
        s->waits = false;
}

static void create(struct batch *b, struct item *it, struct plan *plan)
{
    const char *id = text(it, "tokenId");
    struct token_row *row = token_row_get(resources_of(b), id);
    struct token_world w = world_of(b, it);
    struct token_create cmd = {
        .id = id,
        .owner = text(it, "owner"),
        .name = text(it, "name"),
        .description = text(it, "description"),
        .scopes = scopes_of(b, it, "scopes"),
        .prefix = prefix_of(b, id),
        .secret = text(it, "secretId"),
        .expires_ms = time_of(it, "expiresAt"),
        .seeded = json_is_true(json_object_get(it->cmd.json, "seeded")),
        .by = asker_of(b, it),
    };
    if (!row || !cmd.scopes || !cmd.prefix)
        return; /* no memory: the batch has failed */
    struct token fresh;
    token_create(&w, &cmd, &fresh, plan);
    if (plan->kind != PLAN_DONE)
        return;
    const struct stream *stray = batch_stray(b, it->cmd.subject);
    if (stray)
        row->stream = *stray;
    row->token = fresh;
    row->shard = shard_number(it->shard);
    plan->events[0].token = &row->token;
}

static void update(struct batch *b, struct item *it, struct plan *plan)
{
    struct token_world w = world_of(b, it);
    struct token_update cmd = {
        .name = text(it, "name"),
        .description = text(it, "description"),
        .clear_description = json_is_null(json_object_get(it->cmd.json, "description")),
        .scopes = scopes_of(b, it, "scopes"),
        .expires_ms = time_of(it, "expiresAt"),
        .clear_expiry = json_is_null(json_object_get(it->cmd.json, "expiresAt")),
        .activate = text(it, "status") != NULL,
        .if_revision = number(it, "ifRevision"),
        .by = asker_of(b, it),
    };
    token_update(&w, &cmd, plan);
}

static void rotate(struct batch *b, struct item *it, struct plan *plan)
{
    struct token_world w = world_of(b, it);
    struct token_rotate cmd = {
        .secret = text(it, "secretId"),
        .grace_s = number(it, "graceSeconds"),
        .expires_ms = time_of(it, "expiresAt"),
        .by = asker_of(b, it),
    };
    token_rotate(&w, &cmd, plan);
}

static void withdraw(struct batch *b, struct item *it, struct plan *plan)
{
    struct token_world w = world_of(b, it);
    struct token_asker by = asker_of(b, it);
    token_revoke(&w, &by, plan);
}

static void expire(struct batch *b, struct item *it, struct plan *plan)
{
    const char *id = it->cmd.subject + strlen("token/");
    struct token_row *row = token_row_get(resources_of(b), id);
    struct token_world w = {.token = row && row->exists ? &row->token : NULL,
                            .now_ms = batch_now_ms(b)};
    token_expire(&w, plan);
}

static const struct {
    const char *type;
    void (*decide)(struct batch *b, struct item *it, struct plan *plan);
} rows[] = {
    {"token.create", create}, {"token.update", update}, {"token.rotate", rotate},
    {"token.revoke", withdraw}, {"token.expire", expire},
};

void token_command_decide(struct batch *b, struct item *it)
{
    struct plan plan;
    plan_clear(&plan);
    for (size_t i = 0; i < LEN(rows); i++)
        if (!strcmp(rows[i].type, it->type->name))
            rows[i].decide(b, it, &plan);
    secret_taken(b, it, &plan);
    carry_plan(resources_of(b), it, &plan);
}
