#include "letter_edit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/envelope.h"
#include "core/json_value.h"
#include "core/schema.h"

#include "core/compose.h"
#include "pointer.h"

enum { BODY_BYTES_MAX = 256 * 1024, HEADERS_MAX = 64 };

void letter_edit_done(struct letter_edit *e)
{
    free(e->value);
    json_decref(e->headers);
    json_decref(e->diff);
    *e = (struct letter_edit){0};
}

/* ---- by options ---- */

bool letter_edit_is_told(const struct line *l)
{
    return line_has(l, "set") || line_has(l, "unset") || line_has(l, "value") ||
           line_has(l, "header") || line_has(l, "drop-header");
}

static bool read_file(const char *path, struct buf *out, struct err *err)
{
    char block[16384];
    size_t n;
    FILE *f = strcmp(path, "-") != 0 ? fopen(path, "re") : stdin;
    if (!f)
        return err_set(err, ERR_BAD_INPUT, "cannot open %.256s: %s", path, strerrordesc_np(errno));
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        buf_put(out, block, n);
    bool ok = !ferror(f);
    if (f != stdin)
        fclose(f);
    if (!ok)
        return err_set(err, ERR_BAD_INPUT, "cannot read %.256s", path);
    return buf_ok(out) || err_set(err, ERR_MESSAGE_TOO_LARGE, "%.256s has more than %d bytes", path,
                                  BODY_BYTES_MAX);
}

/* --value JSON, @FILE or -. */
static char *given_value(const char *given, struct err *err)
{
    auto_buf struct buf text;
    buf_init(&text, BODY_BYTES_MAX);
    buf_str(&text, "");
    if (*given != '@' && strcmp(given, "-") != 0)
        return strdup(given);
    if (!read_file(*given == '@' ? given + 1 : given, &text, err))
        return NULL;
    return strdup(text.p ? (const char *)text.p : "");
}

/* JSON where it is, else a text: --set /userId=ada needs no quotes. */
static json_t *set_value(const char *text)
{
    json_t *v = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    return v ? v : json_string(text);
}

static bool set_one(json_t **doc, const char *pair, struct err *err)
{
    const char *equals = strchr(pair, '=');
    char *pointer = equals ? strndup(pair, (size_t)(equals - pair)) : NULL;
    if (!pointer)
        return err_set(err, ERR_BAD_INPUT, "--set %.64s: write it as /pointer=value", pair);
    json_t *value = set_value(equals + 1);
    bool ok = value ? pointer_set(doc, pointer, value, err)
                    : err_set(err, ERR_BAD_INPUT, "--set %.64s: not UTF-8", pair);
    free(pointer);
    return ok;
}

char *letter_edit_body(const struct line *l, const char *body, struct err *err)
{
    const char *given = line_text(l, "value"), *one;
    auto_free char *text = given ? given_value(given, err) : strdup(body);
    if (!text || (!line_has(l, "set") && !line_has(l, "unset")))
        return take(text);
    struct err why = {0};
    auto_json json_t *doc = json_value_parse(text, strlen(text), &why);
    if (!doc) {
        (void)err_set(
            err, ERR_JSON_MALFORMED,
            "the body %s, so --set and --unset find nothing in it. Replace it as a whole: "
            "--value '{…}', --value @FILE, or without options in $EDITOR",
            why.message);
        return NULL;
    }
    for (size_t i = 0; (one = line_many(l, "set", i)); i++)
        if (!set_one(&doc, one, err))
            return NULL;
    for (size_t i = 0; (one = line_many(l, "unset", i)); i++)
        if (!pointer_unset(doc, one, err))
            return NULL;
    return json_dumps(doc, JSON_COMPACT | JSON_ENCODE_ANY);
}

json_t *letter_edit_headers(const struct line *l, struct err *err)
{
    auto_json json_t *headers = json_object();
    const char *one;
    for (size_t i = 0; (one = line_many(l, "header", i)); i++) {
        const char *equals = strchr(one, '=');
        if (!equals || equals == one ||
            json_object_setn_new(headers, one, (size_t)(equals - one), json_string(equals + 1))) {
            (void)err_set(err, ERR_BAD_INPUT, "--header %.64s: write it as name=value", one);
            return NULL;
        }
    }
    for (size_t i = 0; (one = line_many(l, "drop-header", i)); i++)
        json_object_set_new(headers, one, json_null());
    return take(headers);
}

/* ---- in an editor ---- */

static const char *editor(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): nobody changes the environment */
    const char *visual = getenv("VISUAL"), *plain = getenv("EDITOR");
    /* NOLINTEND(concurrency-mt-unsafe) */
    return visual && *visual ? visual : plain && *plain ? plain : "vi";
}

static bool run_editor(const char *path, struct err *err)
{
    auto_free char *command = NULL;
    int status = 0;
    if (asprintf(&command, "%s \"$1\"", editor()) < 0)
        return err_set(err, ERR_NO_MEMORY, "the editor");
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, "sh", path, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    return err_set(err, ERR_BAD_INPUT, "the editor (%.64s) failed; nothing was changed", editor());
}

static bool write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wxe");
    if (!f)
        return false;
    bool ok = fputs(text, f) >= 0 && fputc('\n', f) != EOF;
    return fclose(f) == 0 && ok;
}

char *letter_edit_in_editor(const char *text, const char *name, struct err *err)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    const char *tmp = getenv("TMPDIR");
    auto_free char *folder = NULL, *path = NULL;
    auto_buf struct buf edited;
    buf_init(&edited, BODY_BYTES_MAX);
    buf_str(&edited, "");
    if (asprintf(&folder, "%s/drawbridge-edit.XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0)
        return NULL;
    if (!mkdtemp(folder) || asprintf(&path, "%s/%s", folder, name) < 0) {
        (void)err_set(err, ERR_IO, "cannot make %.200s", folder);
        return NULL;
    }
    bool ok = write_text(path, text) || err_set(err, ERR_IO, "cannot write %.200s", path);
    ok = ok && run_editor(path, err) && read_file(path, &edited, err);
    unlink(path);
    rmdir(folder);
    while (edited.n && edited.p[edited.n - 1] == '\n')
        edited.p[--edited.n] = 0;
    return ok ? strdup((const char *)edited.p) : NULL;
}

/* ---- checking ---- */

/* The old headers with what is set and without what is dropped. */
static size_t merged_headers(const struct record *old, const json_t *changes,
                             struct header out[static HEADERS_MAX])
{
    const char *name;
    json_t *v;
    size_t n = 0;
    for (size_t i = 0; i < old->nheaders && n < HEADERS_MAX; i++)
        if (!json_object_get(changes, old->headers[i].name))
            out[n++] = old->headers[i];
    json_object_foreach((json_t *)changes, name, v) if (json_is_string(v) && n < HEADERS_MAX)
        out[n++] =
            (struct header){name, {(const uint8_t *)json_string_value(v), json_string_length(v)}};
    return n;
}

static bool same(struct bytes key, const json_t *text)
{
    return json_is_string(text) && key.n == json_string_length(text) &&
           !memcmp(key.p, json_string_value(text), key.n);
}

static bool check_data(const struct command *c, const char *worker, struct problems *problems)
{
    struct routing r = {0};
    struct err err = {0};
    char topic[96];
    snprintf(topic, sizeof topic, "drawbridge.%s", worker);
    if (!routing_of(c->type, &r, &err) || strcmp(r.topic, topic) != 0)
        return problem_add(problems, ERR_TYPE_UNKNOWN, "header ce_type",
                           "is no command of the %s worker", worker);
    const struct schema *schema = schema_find(r.name);
    if (!schema || !schema_validate(schema, c->json, problems))
        return false;
    const char *slash = strchr(c->subject, '/'), *brace = strchr(r.subject, '{');
    char member[80] = "";
    snprintf(member, sizeof member, "%.*s", brace ? (int)strcspn(brace + 1, "}") : 0,
             brace ? brace + 1 : "");
    const char *named = json_string_value(json_object_get(c->json, member));
    if (!slash || !named || strcmp(slash + 1, named) != 0)
        return problem_add(problems, ERR_ENVELOPE_INVALID, "header ce_subject",
                           "names another resource than %s does", member);
    if (!same(c->key, json_object_get(c->json, r.key + 1)))
        return problem_add(problems, ERR_ENVELOPE_INVALID, r.key,
                           "must stay what the record's key is: %.*s", (int)c->key.n,
                           (const char *)c->key.p);
    return true;
}

bool letter_edit_check(struct arena *a, const struct record *old, const char *worker,
                       const char *body, const json_t *headers, struct problems *problems)
{
    struct header merged[HEADERS_MAX + 1];
    struct command c = {0};
    struct record r = *old;
    r.value = (struct bytes){(const uint8_t *)body, strlen(body)};
    r.nheaders = merged_headers(old, headers, merged);
    r.headers = merged;
    if (!record_header(&r, "ce_id")) /* the worker gives it one */
        merged[r.nheaders++] = (struct header){"ce_id", {(const uint8_t *)"new", 3}};
    bool ok = envelope_parse(a, &r, &c, problems) && check_data(&c, worker, problems);
    envelope_done(&c);
    return ok;
}

/* ---- differences ---- */

static json_t *body_json(const char *p, size_t n)
{
    json_t *v = json_loadb(p, n, JSON_DECODE_ANY, NULL);
    if (!v)
        v = json_stringn(p, n);
    return v ? v : json_string("\uFFFD");
}

static void header_difference(json_t *list, const struct record *old, const json_t *headers)
{
    const char *name;
    json_t *to;
    json_object_foreach((json_t *)headers, name, to)
    {
        const struct header *h = record_header(old, name);
        if (json_is_null(to) && !h)
            continue;
        json_t *from = h && h->value.p ? json_stringn((const char *)h->value.p, h->value.n) : NULL;
        json_t *row = json_pack("{s:s, s:o, s:o*, s:O*}", "op",
                                !from              ? "add"
                                : json_is_null(to) ? "remove"
                                                   : "replace",
                                "pointer", json_sprintf("header %s", name), "from", from, "to",
                                json_is_null(to) ? NULL : to);
        json_array_append_new(list, row);
    }
}

json_t *letter_edit_difference(const struct record *old, const char *body, const json_t *headers)
{
    const char *was = old->value.p ? (const char *)old->value.p : "";
    auto_json json_t *from = body_json(was, old->value.n), *to = body_json(body, strlen(body));
    json_t *list = json_difference(from, to);
    if (list)
        header_difference(list, old, headers);
    return list;
}
