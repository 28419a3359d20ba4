/* drawbridge trace ID — the biography of one command. */
#include "biography.h"
#include "commands.h"

#include <string.h>

enum { SUBJECT_COMMANDS_MAX = 20 };

static const struct column found_columns[] = {
    {"commandId", "COMMAND", FORMAT_TEXT, 36},
    {"type", "TYPE", FORMAT_TEXT, 40},
    {"subject", "SUBJECT", FORMAT_TEXT, 48},
    {0},
};

static void trace_people(struct cli *cli, const json_t *doc)
{
    const json_t *found = json_object_get(doc, "found");
    out_table(&cli->out, found, found_columns);
    fputc('\n', cli->out.to);
    biography_people(&cli->out, json_object_get(doc, "biography"));
}

static int none(struct cli *cli, const char *word)
{
    struct err err = {0};
    (void)err_set(&err, ERR_NOT_FOUND,
                  "nothing is known of %.128s: neither a command of that id, nor a subject, nor a "
                  "dead letter. The ledger keeps %lld days; a command that ended well and was sent "
                  "by another program is found with --source (its ce_source)",
                  word, (long long)cli->conf.ledger_days);
    return cli_fail(cli, &err);
}

/* What edits made of a command (<id>~e1) is the same command to whoever asks. */
static bool same_command(const char *a, const char *b)
{
    size_t n = strcspn(a, "~");
    return n == strcspn(b, "~") && !strncmp(a, b, n);
}

/* A beginning that several commands share is no name; a subject's commands belong together. */
static bool ambiguous(const char *word, const json_t *found)
{
    const char *first = json_string_value(json_object_get(json_array_get(found, 0), "commandId"));
    size_t i;
    json_t *row;
    json_array_foreach(found, i, row)
    {
        const char *id = json_string_value(json_object_get(row, "commandId"));
        if (!id || !first || same_command(first, id))
            continue;
        const char *subject = json_string_value(json_object_get(row, "subject"));
        const char *slash = subject ? strchr(subject, '/') : NULL;
        bool about = subject && (!strcmp(subject, word) || (slash && !strcmp(slash + 1, word)));
        if (!about && !strncmp(id, word, strlen(word)))
            return true;
    }
    return false;
}

static int tell_ambiguous(struct cli *cli, const json_t *found, const char *word)
{
    struct err err = {0};
    out_table(&cli->say, found, found_columns);
    (void)err_set(&err, ERR_BAD_INPUT, "%.64s is the beginning of %zu commands: give more of it",
                  word, json_array_size(found));
    return cli_fail(cli, &err);
}

static int run_trace(struct cli *cli)
{
    const char *word = cli->line.words[0];
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *found =
        db ? biography_find(db, word, line_text(&cli->line, "source"), &err) : NULL;
    if (!found)
        return cli_fail(cli, &err);
    if (!json_array_size(found))
        return none(cli, word);
    if (ambiguous(word, found))
        return tell_ambiguous(cli, found, word);
    while (json_array_size(found) > SUBJECT_COMMANDS_MAX) /* of a subject: the newest */
        json_array_remove(found, json_array_size(found) - 1);
    int64_t letter;
    bool by_number = number_parse(word, &letter);
    auto_json json_t *told =
        by_number ? biography_of_letter(db, letter, &err) : biography(db, found, &err);
    if (!told)
        return cli_fail(cli, &err);
    return cli_done(cli, json_pack("{s:O, s:O}", "found", found, "biography", told), trace_people);
}

static const struct option trace_options[] = {
    {"source", "URI", "ce_source of the command, for one that only the ledger remembers", OPT_TEXT,
     0, 0, false},
    {0},
};
static const struct example trace_examples[] = {
    {"trace 0b6f3c1e", "by how the id of a command begins"},
    {"trace session/7d1f7a52-8c53-4f0e-9b07-3a1a4b3f6f0e", "everything about a session"},
    {"trace 17", "the command of dead letter 17, with its edits and replays"},
    {0},
};

const struct action trace_actions[] = {
    {"trace", NULL, "ID", 1, 1, "Tells the biography of a command",
     "Every hop, try, tier, error, event, death, edit and replay in the order of time, with the "
     "time between them. ID is a command's id or its beginning, a subject (whole, or what is "
     "behind the slash), or the number of a dead letter. A command that was edited or replayed is "
     "told as one story.",
     trace_options, trace_examples, run_trace},
    {0},
};
