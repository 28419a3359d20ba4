#include "help.h"

#include <string.h>

#include "version.h"

enum { LINE_WIDTH = 96 };

static const struct {
    int code;
    const char *word, *means;
} exit_codes[] = {
    {EXIT_DONE, "done", "done"},
    {EXIT_FAILED, "refused, failed or dead", "refused, failed or dead"},
    {EXIT_USAGE, "usage", "the command line or the configuration is wrong"},
    {EXIT_INPUT, "invalid input", "invalid input: every problem is printed with its place"},
    {EXIT_NOT_FOUND, "not found", "there is no such thing"},
    {EXIT_UNREACHABLE, "unreachable", "brokers or database cannot be reached"},
    {EXIT_UNKNOWN, "outcome unknown", "no answer in time, the outcome is unknown"},
    {EXIT_NOT_ALLOWED, "not allowed", "a right is missing"},
};

/* The same place to print to, with lines that are no longer than people like to read. */
static struct out narrow(const struct out *o)
{
    struct out n = *o;
    if (!n.width || n.width > LINE_WIDTH)
        n.width = LINE_WIDTH;
    return n;
}

/* Breaks a text at blanks, each line after `indent` blanks. */
static void put_wrapped(FILE *to, const char *text, int indent)
{
    int column = 0;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (column && column + 1 + n > LINE_WIDTH) {
            fputc('\n', to);
            column = 0;
        }
        column += fprintf(to, "%*s%.*s", column ? 1 : indent, "", n, text);
        text += n + (text[n] == ' ');
    }
    fputc('\n', to);
}

static const char many[] = " (repeatable)";

static void put_name(FILE *to, const struct action *a)
{
    fprintf(to, "%s%s%s%s%s", a->noun, a->verb ? " " : "", a->verb ? a->verb : "",
            a->words ? " " : "", a->words ? a->words : "");
}

static int name_width(const struct action *a)
{
    return (int)(strlen(a->noun) + (a->verb ? 1 + strlen(a->verb) : 0) +
                 (a->words ? 1 + strlen(a->words) : 0));
}

/* "--wait[=S]", "--data JSON" */
static int option_text(char *out, size_t bytes, const struct option *o)
{
    const char *join = !o->value ? "" : o->type == OPT_SECONDS_MAYBE ? "[=" : " ";
    return snprintf(out, bytes, "--%s%s%s%s", o->name, join, o->value ? o->value : "",
                    o->type == OPT_SECONDS_MAYBE ? "]" : "");
}

/* Two tables under one another, in line with each other; either may be NULL. */
static void put_options(struct out *o, const struct option *first, const struct option *second)
{
    const struct option *const tables[] = {first, second};
    struct out page = narrow(o);
    int width = 0;
    char text[128];
    for (size_t i = 0; i < LEN(tables); i++)
        for (const struct option *p = tables[i]; p && p->name; p++) {
            int n = option_text(text, sizeof text, p);
            width = n > width ? n : width;
        }
    for (size_t i = 0; i < LEN(tables); i++)
        for (const struct option *p = tables[i]; p && p->name; p++) {
            auto_free char *help = NULL;
            option_text(text, sizeof text, p);
            if (asprintf(&help, "%s%s", p->help, p->many ? many : "") < 0)
                help = NULL;
            fprintf(o->to, "  %-*s  ", width, text);
            out_wrapped(&page, STYLE_PLAIN, help ? help : p->help, (size_t)width + 4);
        }
}

void help_all(struct out *o, const struct action *actions)
{
    struct out page = narrow(o);
    int width = 0;
    out_line(o, STYLE_BOLD, "drawbridge COMMAND [OPTIONS]");
    out_line(o, STYLE_PLAIN,
             "Sends commands to the workers, shows what became of them, and keeps "
             "the house.\n");
    for (const struct action *a = actions; a->noun; a++)
        width = name_width(a) > width ? name_width(a) : width;
    for (const struct action *a = actions; a->noun; a++) {
        fputs("  ", o->to);
        put_name(o->to, a);
        fprintf(o->to, "%*s  ", width - name_width(a), "");
        out_wrapped(&page, STYLE_PLAIN, a->summary, (size_t)width + 4);
    }
    out_line(o, STYLE_BOLD, "\nOptions of every command");
    put_options(o, global_options, NULL);
    out_line(o, STYLE_PLAIN,
             "  --KEY=VALUE    any configuration key, see `drawbridge config docs`");
    out_line(o, STYLE_BOLD, "\nExit codes");
    for (size_t i = 0; i < LEN(exit_codes); i++)
        out_line(o, STYLE_PLAIN, "  %d  %s", exit_codes[i].code, exit_codes[i].means);
    out_line(o, STYLE_PLAIN, "\n`drawbridge help COMMAND` tells more about one.");
}

static void put_exit_codes(struct out *page)
{
    char line[512];
    struct buf b;
    buf_init_fixed(&b, line, sizeof line);
    for (size_t i = 0; i < LEN(exit_codes); i++)
        buf_printf(&b, "%s%d\u00a0%s", i ? ", " : "", exit_codes[i].code, exit_codes[i].word);
    out_text(page, STYLE_BOLD, "\nExit codes ");
    out_wrapped(page, STYLE_PLAIN, line, 11);
}

void help_action(struct out *o, const struct action *a)
{
    struct out page = narrow(o);
    out_text(o, STYLE_BOLD, "drawbridge ");
    put_name(o->to, a);
    fputs(a->options ? " [OPTIONS]\n" : "\n", o->to);
    out_line(o, STYLE_PLAIN, "%s.", a->summary);
    if (a->details) {
        fputc('\n', o->to);
        out_wrapped(&page, STYLE_PLAIN, a->details, 0);
    }
    out_line(o, STYLE_BOLD, "\nOptions");
    put_options(o, a->options, global_options);
    if (a->examples)
        out_line(o, STYLE_BOLD, "\nExamples");
    for (const struct example *x = a->examples; x && x->line; x++) {
        out_line(o, STYLE_DIM, "  # %s", x->what);
        out_line(o, STYLE_PLAIN, "  drawbridge %s", x->line);
    }
    put_exit_codes(&page);
}

int help_noun(struct cli *cli, int argc, char **argv)
{
    const char *noun = NULL;
    int found = 0;
    for (int i = 1; i < argc && !noun; i++)
        noun = argv[i][0] == '-' ? NULL : argv[i];
    if (!noun) {
        help_all(&cli->out, cli->actions);
        return 0;
    }
    for (const struct action *a = cli->actions; a->noun; a++) {
        if (strcmp(a->noun, noun) != 0)
            continue;
        if (found++)
            fputc('\n', cli->out.to);
        help_action(&cli->out, a);
    }
    return found ? 0 : -1;
}

/* ---- the reference page ---- */

/* Placeholders in tables: "|" would end the cell. */
static void put_cell_text(FILE *to, const char *s)
{
    for (; *s; s++)
        fprintf(to, *s == '|' ? "\\%c" : "%c", *s);
}

static void markdown_options(FILE *to, const struct option *options)
{
    char text[128];
    if (!options || !options->name)
        return;
    fputs("\n| option | |\n|---|---|\n", to);
    for (const struct option *o = options; o->name; o++) {
        option_text(text, sizeof text, o);
        fputs("| `", to);
        put_cell_text(to, text);
        fputs("` | ", to);
        put_cell_text(to, o->help);
        fprintf(to, "%s |\n", o->many ? many : "");
    }
}

static void markdown_action(FILE *to, const struct action *a)
{
    fputs("\n## `drawbridge ", to);
    put_name(to, a);
    fprintf(to, "`\n\n%s.\n", a->summary);
    if (a->details) {
        fputc('\n', to);
        put_wrapped(to, a->details, 0);
    }
    markdown_options(to, a->options);
    if (a->examples)
        fputs("\n```sh\n", to);
    for (const struct example *x = a->examples; x && x->line; x++)
        fprintf(to, "drawbridge %s   # %s\n", x->line, x->what);
    if (a->examples)
        fputs("```\n", to);
}

void help_markdown(FILE *to, const struct action *actions)
{
    fputs("# `drawbridge`, the command line\n\n"
          "<!-- Written by `drawbridge help --markdown`; do not edit. -->\n\n"
          "Nouns are singular, the plural is an alias. Flags go before environment variables\n"
          "(`DRAWBRIDGE_…`), these before `--config FILE`, then `/etc/drawbridge/drawbridge.ini`,\n"
          "then defaults; every configuration key is a flag too.\n\n## Options of every command\n",
          to);
    markdown_options(to, global_options);
    fputs("\n## Exit codes\n\n| code | means |\n|---|---|\n", to);
    for (size_t i = 0; i < LEN(exit_codes); i++)
        fprintf(to, "| %d | %s |\n", exit_codes[i].code, exit_codes[i].means);
    for (const struct action *a = actions; a->noun; a++)
        markdown_action(to, a);
}

/* ---- completion ---- */

static void completion_options(FILE *to, const struct option *options)
{
    for (const struct option *o = options; o && o->name; o++)
        fprintf(to, " --%s", o->name);
}

void help_completion_bash(FILE *to, const struct action *actions)
{
    const char *before = "";
    fputs("# bash completion for drawbridge:  source <(drawbridge completion bash)\n"
          "_drawbridge()\n{\n"
          "    local at=${COMP_WORDS[COMP_CWORD]} line=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n"
          "    local words=\n    case $COMP_CWORD:$line in\n    1:*) words='",
          to);
    for (const struct action *a = actions; a->noun; before = a->noun, a++)
        if (strcmp(before, a->noun) != 0)
            fprintf(to, "%s ", a->noun);
    fputs("' ;;\n", to);
    before = "";
    for (const struct action *a = actions; a->noun; before = a->noun, a++) {
        if (!a->verb || !strcmp(before, a->noun))
            continue;
        fprintf(to, "    2:%s' '*) words='", a->noun);
        for (const struct action *v = a; v->noun && !strcmp(v->noun, a->noun); v++)
            fprintf(to, "%s ", v->verb);
        fputs("' ;;\n", to);
    }
    for (const struct action *a = actions; a->noun; a++) {
        fprintf(to, "    *:%s' '%s*) words='", a->noun, a->verb ? a->verb : "");
        completion_options(to, a->options);
        completion_options(to, global_options);
        fputs("' ;;\n", to);
    }
    fputs("    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$at\"))\n}\n"
          "complete -o default -F _drawbridge drawbridge\n",
          to);
}

/* ---- the commands ---- */

static int run_help(struct cli *cli)
{
    const struct line *a = &cli->line;
    struct err err = {0};
    if (line_has(a, "markdown")) {
        help_markdown(cli->out.to, cli->actions);
        return EXIT_DONE;
    }
    if (!a->nwords) {
        help_all(&cli->out, cli->actions);
        return EXIT_DONE;
    }
    char *argv[] = {"drawbridge", (char *)a->words[0], (char *)(a->nwords > 1 ? a->words[1] : NULL),
                    NULL};
    int argc = 1 + (int)a->nwords;
    const struct action *action = line_find(cli->actions, argc, argv, &err);
    if (action)
        help_action(&cli->out, action);
    else if (a->nwords > 1 || help_noun(cli, argc, argv))
        return cli_fail(cli, &err);
    return EXIT_DONE;
}

static void version_people(struct cli *cli, const json_t *doc)
{
    out_line(&cli->out, STYLE_PLAIN, "drawbridge %s",
             json_string_value(json_object_get(doc, "version")));
}

static int run_version(struct cli *cli)
{
    return cli_done(cli, json_pack("{s:s}", "version", DRAWBRIDGE_VERSION), version_people);
}

static int run_completion(struct cli *cli)
{
    struct err err = {0};
    if (strcmp(cli->line.words[0], "bash") != 0) {
        (void)usage_error(&err, "there is completion for bash only, not for %.32s",
                          cli->line.words[0]);
        return cli_fail(cli, &err);
    }
    help_completion_bash(cli->out.to, cli->actions);
    return EXIT_DONE;
}

static const struct option help_options[] = {
    {"markdown", NULL, "the whole reference as Markdown (ops/docs/cli.md)", OPT_FLAG, 0, 0, false},
    {0},
};

static const struct example help_examples[] = {
    {"help dlq replay", "what one command does, its options and examples"}, {0}};
static const struct example completion_examples[] = {
    {"completion bash > /etc/bash_completion.d/drawbridge", "for everybody on this machine"},
    {0},
};

const struct action help_actions[] = {
    {"version", NULL, NULL, 0, 0, "Prints the version", NULL, NULL, NULL, run_version},
    {"completion", NULL, "bash", 1, 1, "Prints the completion for a shell", NULL, NULL,
     completion_examples, run_completion},
    {"help", NULL, "[COMMAND]", 0, 2, "Lists the commands, or tells about one", NULL, help_options,
     help_examples, run_help},
    {0},
};
