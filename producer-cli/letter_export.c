#include "letter_export.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "letter.h"

enum { EXPORT_ARENA_BYTES = 16 << 20 };

/* ---- a record ---- */

/* Numbers in binary may be UTF-8 by accident. */
static bool printable(struct bytes v)
{
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < 0x20 && !strchr("\t\n\r", v.p[i] ? v.p[i] : 1))
            return false;
    return true;
}

static bool put_bytes(json_t *doc, const char *name, const char *binary_name, struct bytes v)
{
    json_t *text = !v.p ? json_null() : printable(v) ? json_stringn((const char *)v.p, v.n) : NULL;
    if (text)
        return !json_object_set_new(doc, name, text);
    size_t n = sodium_base64_encoded_len(v.n, sodium_base64_VARIANT_ORIGINAL);
    auto_free char *base64 = malloc(n);
    if (!base64)
        return false;
    sodium_bin2base64(base64, n, v.p, v.n, sodium_base64_VARIANT_ORIGINAL);
    return !json_object_set_new(doc, binary_name, json_string(base64));
}

static json_t *header_list(const struct header *headers, size_t n)
{
    auto_json json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *h = json_pack("{s:s}", "name", headers[i].name);
        if (!h || !put_bytes(h, "value", "base64", headers[i].value) ||
            json_array_append_new(list, h))
            return NULL;
    }
    return take(list);
}

json_t *letter_export_record(struct arena *a, const json_t *row, const struct convention *c,
                             struct err *err)
{
    struct record r;
    size_t n = 0;
    if (!letter_record(a, row, false, &r, err))
        return NULL;
    auto_json json_t *facts = letter_facts(row);
    struct header *headers = convention_write(a, c, facts, r.headers, r.nheaders, &n);
    json_t *worker = json_object_get(row, "worker");
    auto_json json_t *doc = json_pack(
        "{s:o, s:O, s:O}", "topic", json_sprintf("drawbridge.%s.dlq", json_string_value(worker)),
        "partition", json_object_get(row, "shard"), "diedAt", json_object_get(row, "diedAt"));
    if (headers && put_bytes(doc, "key", "keyBase64", r.key) &&
        !json_object_set_new(doc, "headers", header_list(headers, n)) &&
        put_bytes(doc, "value", "valueBase64", r.value))
        return take(doc);
    (void)err_set(err, ERR_NO_MEMORY, "the record");
    return NULL;
}

/* ---- a file ---- */

static bool write_records(struct db *db, const json_t *ids, const struct convention *c, FILE *to,
                          struct err *err)
{
    auto_arena struct arena *a = arena_new(65536, EXPORT_ARENA_BYTES);
    size_t i;
    json_t *row;
    if (!a)
        return err_set(err, ERR_NO_MEMORY, "the export");
    json_array_foreach(ids, i, row)
    {
        char id[24];
        snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(row, "id")));
        auto_json json_t *whole = letter_row(db, id, err);
        auto_json json_t *record = whole ? letter_export_record(a, whole, c, err) : NULL;
        if (!record)
            return false;
        if (json_dumpf(record, to, JSON_COMPACT) || fputc('\n', to) == EOF)
            return err_set(err, ERR_IO, "cannot write the export: %m");
        arena_reset(a);
    }
    return true;
}

static int told(struct cli *cli, const char *path, size_t n)
{
    const char *headers = line_text(&cli->line, "headers");
    out_line(&cli->say, STYLE_DIM, "%zu dead letter%s written to %s; headers as %s writes them", n,
             n == 1 ? "" : "s", path, headers ? headers : "drawbridge");
    return EXIT_DONE;
}

int letter_export(struct cli *cli, struct db *db, const json_t *ids)
{
    const char *path = line_text(&cli->line, "export");
    const char *system = line_text(&cli->line, "headers");
    const struct convention *c = convention_find(system ? system : "drawbridge");
    struct err err = {0};
    if (!c) {
        const char *near = nearest(system, convention_names);
        (void)usage_error(&err, "--headers: there is no %.32s; drawbridge, spring and connect%s%s",
                          system, near ? ". Did you mean " : "", near ? near : "");
        return cli_fail(cli, &err);
    }
    bool to_stdout = !strcmp(path, "-");
    FILE *to = to_stdout ? cli->out.to : fopen(path, "we");
    if (!to) {
        (void)err_set(&err, ERR_BAD_INPUT, "cannot write %.256s: %s", path, strerrordesc_np(errno));
        return cli_fail(cli, &err);
    }
    bool ok = write_records(db, ids, c, to, &err);
    if (!to_stdout && fclose(to) && ok)
        ok = err_set(&err, ERR_IO, "cannot write %.256s", path);
    return ok ? told(cli, path, json_array_size(ids)) : cli_fail(cli, &err);
}
