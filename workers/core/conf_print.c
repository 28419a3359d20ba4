#include <string.h>

#include "core/conf.h"
#include "core/conf_row.h"

static void put_default(struct buf *out, const struct conf_row *row)
{
    if (row->flags & CONF_SECRET)
        buf_str(out, "(secret)");
    else
        buf_str(out, *row->text ? row->text : "(empty)");
}

static void put_flag(struct buf *out, const struct conf_row *row)
{
    conf_put_place(out, NULL, (enum conf_id)(row - conf_rows),
                   (struct conf_place){CONF_ARGUMENT, 0});
}

void conf_help(struct buf *out)
{
    buf_str(out,
            "Each key is a flag (--key VALUE), an environment variable (DRAWBRIDGE_KEY) or a\n"
            "line \"key = value\" of --config FILE or /etc/drawbridge/drawbridge.ini; the first\n"
            "of these that has it counts.\n\n");
    for (size_t i = 0; i < CONF_ROWS; i++) {
        const struct conf_row *row = &conf_rows[i];
        size_t start = out->n;

        buf_str(out, "  ");
        put_flag(out, row);
        buf_printf(out, "%*s", out->n - start < 26 ? (int)(26 - (out->n - start)) : 1, "");
        buf_printf(out, " %s, ", conf_type_name(row->type));
        size_t before = out->n;
        conf_put_range(out, row);
        buf_str(out, out->n > before ? ", default " : "default ");
        put_default(out, row);
        buf_printf(out, "\n%27s%s\n", "", row->help);
    }
}

/* A cell of a table: a bar would end it. */
static void put_cell(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            buf_str(out, "\\");
        buf_put(out, text, 1);
    }
    buf_str(out, " | ");
}

static void put_code_default(struct buf *out, const struct conf_row *row)
{
    if (row->flags & CONF_SECRET || !*row->text)
        put_default(out, row);
    else
        buf_printf(out, "`%s`", row->text);
    buf_str(out, " | ");
}

void conf_markdown(struct buf *out)
{
    buf_str(out, "| key | type | default | range | for | meaning |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < CONF_ROWS; i++) {
        const struct conf_row *row = &conf_rows[i];

        buf_printf(out, "| `%s` | %s | ", row->key, conf_type_name(row->type));
        put_code_default(out, row);
        conf_put_range(out, row);
        buf_str(out, " | ");
        put_cell(out, row->flags & CONF_WORKER ? "workers" : "all");
        put_cell(out, row->help);
        out->n -= out->n > 0 && buf_ok(out) ? 1 : 0;
        buf_str(out, "\n");
    }
}

static void put_value(const struct conf *c, struct buf *out, const struct conf_row *row)
{
    const void *at = (const char *)c + row->offset;

    if (row->type == CONF_STR) {
        const char *text = *(char *const *)at;

        buf_str(out, row->flags & CONF_SECRET && text && *text ? "********" : text ? text : "");
    } else if (row->type == CONF_BOOL) {
        conf_put_number(out, row->type, *(const bool *)at);
    } else {
        conf_put_number(out, row->type, *(const int64_t *)at);
    }
}

void conf_show(const struct conf *c, struct buf *out)
{
    for (size_t i = 0; i < CONF_ROWS; i++) {
        const struct conf_row *row = &conf_rows[i];

        buf_printf(out, "%s = ", row->key);
        put_value(c, out, row);
        buf_str(out, "  ; ");
        conf_put_place(out, c->private_, (enum conf_id)i, c->private_->places[i]);
        buf_str(out, "\n");
    }
}
