/* drawbridge config show|docs — the configuration, where each value came from, and its table. */
#include "commands.h"

enum { CONF_BYTES_MAX = 1 << 20 };

static int print(struct cli *cli, struct buf *text)
{
    struct err err = {0};
    if (!buf_ok(text)) {
        (void)err_set(&err, ERR_NO_MEMORY, "configuration");
        return cli_fail(cli, &err);
    }
    if (cli->json) {
        auto_json json_t *doc =
            json_pack("{s:s%}", "text", text->p ? (const char *)text->p : "", text->n);
        out_json(&cli->out, doc);
    } else if (text->p) {
        fwrite(text->p, 1, text->n, cli->out.to);
    }
    return EXIT_DONE;
}

static int run_show(struct cli *cli)
{
    auto_buf struct buf text;
    buf_init(&text, CONF_BYTES_MAX);
    conf_show(&cli->conf, &text);
    return print(cli, &text);
}

static int run_docs(struct cli *cli)
{
    auto_buf struct buf text;
    buf_init(&text, CONF_BYTES_MAX);
    if (line_has(&cli->line, "markdown"))
        conf_markdown(&text);
    else
        conf_help(&text);
    return print(cli, &text);
}

static const struct option docs_options[] = {
    {"markdown", NULL, "as Markdown (ops/docs/configuration.md)", OPT_FLAG, 0, 0, false},
    {0},
};

static const struct example show_examples[] = {
    {"config show --kafka-brokers kafka:9092", "what a flag would change"}, {0}};
static const struct example docs_examples[] = {
    {"config docs", "each key with its default, range and meaning"}, {0}};

const struct action config_actions[] = {
    {"config", "show", NULL, 0, 0, "Shows every value in force and where it came from",
     "Secrets are masked.", NULL, show_examples, run_show},
    {"config", "docs", NULL, 0, 0, "Explains every configuration key", NULL, docs_options,
     docs_examples, run_docs},
    {0},
};
