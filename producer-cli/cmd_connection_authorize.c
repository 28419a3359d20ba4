/* drawbridge connection authorize — the URL that a person opens (O-03), or a code that a person
 * enters at another device (O-13). */
#include "commands.h"
#include "connection_advice.h"
#include "connection_command.h"

#include <string.h>

#include <sodium.h>

#include "core/clock.h"
#include "drivers/oauth_begin.h"
#include "drivers/provider_table.h"

#include "account.h"
#include "signals.h"

enum { DEVICE_LIFE_MS = 900000, DEVICE_LATE_MS = 30000, LOOK_MS = 1000 };

static const char *text_of(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static json_t *command_data(const char *id, int64_t until_ms)
{
    char until[25];
    clock_format(until_ms, until);
    return json_pack("{s:s, s:s}", "connectionId", id, "until", until);
}

/* ---- by the browser ---- */

struct browser {
    struct cli *cli;
    const struct oauth_begun *begun;
};

static void add_url(json_t *event, void *arg)
{
    const struct browser *b = arg;
    const char *url = (const char *)b->begun->url.p;
    json_object_set_new(event, "authorization_url", json_string(url));
    if (b->cli->json)
        return;
    out_line(&b->cli->out, STYLE_PLAIN, "Open this in a browser, within ten minutes, once:");
    out_line(&b->cli->out, STYLE_BOLD, "%s", url);
}

static const struct provider *provider_of(const json_t *row, struct err *err)
{
    const char *id = text_of(row, "provider");
    const struct provider_list *all = provider_table(err);
    const struct provider *p = all && id ? provider_by_id(all, id) : NULL;
    if (all && !p)
        p = provider_find(all, text_of(row, "token_url"), text_of(row, "authorization_url"));
    if (all && !p)
        (void)err_set(err, ERR_NOT_FOUND, "nothing is known of its provider");
    return p;
}

static bool check_row(const json_t *row, const struct org_name *who, struct err *err)
{
    const char *flow = text_of(row, "oauth_flow_type");
    if (!flow || strcmp(flow, "authorization_code") != 0)
        return usage_error(err, "%s gets its tokens by %s: nobody authorizes it", who->id,
                           flow ? flow : "?");
    if (!text_of(row, "authorization_url"))
        return usage_error(err,
                           "%s has no authorization URL: connection update %s "
                           "--authorization-url URL",
                           who->id, who->id);
    if (!text_of(row, "redirect_uri"))
        return usage_error(err, "%s has no redirect URI: connection update %s --redirect-uri URL",
                           who->id, who->id);
    return true;
}

static bool begin(struct cli *cli, const json_t *row, struct oauth_begun *out, struct err *err)
{
    const struct provider *p = provider_of(row, err);
    struct sealer *s = p ? sealer_open(cli->conf.master_key_file, err) : NULL;
    const struct oauth_authorize at = {
        .authorization_url = text_of(row, "authorization_url"),
        .client_id = text_of(row, "client_id"),
        .redirect_uri = text_of(row, "redirect_uri"),
        .scopes = text_of(row, "scopes"),
    };
    bool ok = s && oauth_begin(s, p, &at, clock_wall_ms(), out, err);
    sealer_free(&s);
    return ok;
}

static bool hex_of(const uint8_t *p, size_t n, char **out, struct err *err)
{
    *out = malloc(2 * n + 3);
    if (!*out)
        return err_set(err, ERR_NO_MEMORY, "an authorization");
    memcpy(*out, "\\x", 2); /* bytea's text form */
    sodium_bin2hex(*out + 2, 2 * n + 1, p, n);
    return true;
}

/* Nobody's cookie is bound to it: the URL is shown here, and opened who knows where. */
static bool put_state(struct db *db, const json_t *row, const struct oauth_begun *b,
                      struct err *err)
{
    char now[25], until[25], version[24], who[128];
    auto_free char *digest = NULL, *verifier = NULL;
    clock_format(clock_wall_ms(), now);
    clock_format(b->until_ms, until);
    account_name(who, sizeof who);
    snprintf(version, sizeof version, "%lld",
             (long long)json_integer_value(json_object_get(row, "config_version")));
    return hex_of(b->digest, sizeof b->digest, &digest, err) &&
           hex_of(b->verifier.p, b->verifier.n, &verifier, err) &&
           db_do(db, SQL_OAUTH_STATE_ADD,
                 DB_PARAMS(b->id, digest, text_of(row, "connection_id"), version, who, NULL,
                           verifier, text_of(row, "redirect_uri"), text_of(row, "issuer"), now,
                           until),
                 err);
}

/* ---- what becomes of it ---- */

static bool still_waits(const json_t *row)
{
    return json_is_string(json_object_get(row, "waiting_until"));
}

static void ended_people(struct cli *cli, const json_t *row)
{
    const char *message = text_of(row, "status_message");
    auto_free char *text = message ? text_clean(message, 0) : NULL;
    if (text)
        out_line(&cli->out, STYLE_PLAIN, "%s", text);
    connection_advice_people(&cli->out, row);
}

static int tell_end(struct cli *cli, json_t *row)
{
    const char *status = text_of(row, "status");
    bool good = status && !strcmp(status, "completed");
    int code = cli_done(cli, json_incref(row), ended_people);
    return code == EXIT_DONE && !good ? EXIT_FAILED : code;
}

/* Until the person has been there, or time is up, or somebody stops us: the authorization itself
 * goes on. */
static int follow(struct cli *cli, struct db *db, const struct org_name *who, int64_t until_ms)
{
    struct err err = {0};
    if (!cli->json)
        out_line(&cli->say, STYLE_DIM, "Waiting for the person (Ctrl-C: it goes on without us) …");
    signals_watch();
    while (clock_wall_ms() < until_ms + LOOK_MS && !signals_wait(LOOK_MS)) {
        auto_json json_t *row = connection_row(db, who, false, &err);
        const char *status = row ? text_of(row, "status") : NULL;
        if (!row)
            return cli_fail(cli, &err);
        if (!still_waits(row) && status && strcmp(status, "testing") != 0)
            return tell_end(cli, row);
    }
    out_line(&cli->say, STYLE_WARN, "Nobody was there yet. See: drawbridge connection show %s",
             who->id);
    return EXIT_UNKNOWN;
}

static int authorize_here(struct cli *cli, struct db *db, const struct org_name *who, json_t *row,
                          struct err *err)
{
    auto_oauth_begun struct oauth_begun b = {0};
    if (!check_row(row, who, err) || !begin(cli, row, &b, err) || !put_state(db, row, &b, err))
        return cli_fail(cli, err);
    const struct browser browser = {cli, &b};
    auto_json json_t *data = command_data(who->id, b.until_ms);
    struct composition in = {
        .type = "connection.authorize", .data = data, .id = line_text(&cli->line, "command-id")};
    int code = send_command_then(cli, &in, line_int(&cli->line, "wait", WAIT_DEFAULT_MS), add_url,
                                 (void *)&browser);
    fflush(cli->out.to);
    return code == EXIT_DONE && line_has(&cli->line, "follow") ? follow(cli, db, who, b.until_ms)
                                                               : code;
}

/* ---- at another device ---- */

struct device {
    struct cli *cli;
    struct db *db;
    const struct org_name *who;
};

/* The event says that there is a code, and the row, which fewer may read, has it. */
static void tell_code(const json_t *event, void *arg)
{
    const struct device *d = arg;
    struct cli *cli = d->cli;
    struct err err = {0};
    const char *type = text_of(event, "type");
    if (!type || strcmp(type, "drawbridge.connection.waiting") != 0)
        return;
    auto_json json_t *row = connection_row(d->db, d->who, false, &err);
    const char *code = row ? text_of(row, "user_code") : NULL;
    const char *uri = row ? text_of(row, "verification_uri") : NULL;
    if (!code) {
        out_line(&cli->say, STYLE_WARN, "The code is not to be seen: drawbridge connection show %s",
                 d->who->id);
        return;
    }
    if (cli->json) {
        auto_json json_t *whole = json_deep_copy(event);
        json_object_set(json_object_get(whole, "data"), "userCode",
                        json_object_get(row, "user_code"));
        out_json_line(&cli->out, whole);
    } else {
        auto_free char *clean_code = text_clean(code, 0),
                       *clean_uri = text_clean(uri ? uri : "", 0);
        out_text(&cli->out, STYLE_PLAIN, "Open %s and enter ", clean_uri ? clean_uri : "");
        out_line(&cli->out, STYLE_BOLD, "%s", clean_code ? clean_code : "");
        out_line(&cli->say, STYLE_DIM, "Waiting for the person (Ctrl-C: it goes on without us) …");
    }
    fflush(cli->out.to);
}

static int authorize_elsewhere(struct cli *cli, struct db *db, const struct org_name *who)
{
    struct device device = {cli, db, who};
    const struct send_hooks hooks = {tell_code, NULL, &device};
    auto_json json_t *data = command_data(who->id, clock_wall_ms() + DEVICE_LIFE_MS);
    json_object_set_new(data, "device", json_true());
    return connection_send_hooked(cli, "connection.authorize", data,
                                  line_int(&cli->line, "wait", DEVICE_LIFE_MS + DEVICE_LATE_MS),
                                  &hooks);
}

static int run_authorize(struct cli *cli)
{
    struct err err = {0};
    struct org_name who;
    bool named = org_name_of(cli, cli->line.words[0], &who, &err) && secret_init(&err);
    auto_db struct db *db = named ? db_open(cli, &err) : NULL;
    auto_json json_t *row = db ? connection_row(db, &who, false, &err) : NULL;
    if (!row)
        return cli_fail(cli, &err);
    return line_has(&cli->line, "device") ? authorize_elsewhere(cli, db, &who)
                                          : authorize_here(cli, db, &who, row, &err);
}

static const struct option authorize_options[] = {
    OPTION_ORG,
    {"device", NULL, "by a code that a person enters at another device", OPT_FLAG, 0, 0, false},
    {"follow", NULL, "waits until the person has been there", OPT_FLAG, 0, 0, false},
    OPTION_COMMAND_ID,
    {"wait", "S", "how long to wait for the outcome (default 30 s; with --device 15 min)",
     OPT_DURATION, 0, 3600000, false},
    {0},
};
static const struct example authorize_examples[] = {
    {"connection authorize acme/github --follow", "prints the URL, then how it went"},
    {"connection authorize acme/github --device", "where no browser can reach the gateway"},
    {0},
};

const struct action connection_authorize_actions[] = {
    {"connection", "authorize", "NAME", 1, 1, "Lets a person authorize a connection",
     "Prints a URL, good once and for ten minutes: the provider asks the person there, and sends "
     "the "
     "browser back to the gateway. With --device it prints a code instead, and waits. A completed "
     "connection goes on being served meanwhile.",
     authorize_options, authorize_examples, run_authorize},
    {0},
};
