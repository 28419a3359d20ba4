#include "shadow.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/json_value.h"

#include "db.h"
#include "event.h"
#include "letter.h"
#include "pointer.h"

enum { ANSWER_BYTES = 16 << 20 };

static const char *text(const json_t *row, const char *name)
{
    const char *s = json_string_value(json_object_get(row, name));
    return s ? s : "";
}

/* ---- the program ---- */

static bool program_of(const char *worker, char *out, size_t bytes, struct err *err)
{
    char self[PATH_MAX];
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    const char *folder = getenv("DRAWBRIDGE_LIBEXEC");
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (!folder && n > 0) {
        self[n] = 0;
        folder = dirname(self);
    }
    int wrote = folder ? snprintf(out, bytes, "%s/drawbridge-%s", folder, worker) : -1;
    if (wrote > 0 && (size_t)wrote < bytes && !access(out, X_OK))
        return true;
    return err_set(err, ERR_BAD_INPUT,
                   "there is no drawbridge-%s in %.256s: say where with DRAWBRIDGE_LIBEXEC", worker,
                   folder ? folder : "?");
}

/* The worker with our settings; the read end of what it says. */
static pid_t start(const struct cli *cli, const char *program, const char *letter, int *out_fd)
{
    const char *argv[LINE_WORDS_MAX + 4] = {program, "--shadow", letter};
    int fds[2];
    for (int i = 1; i < cli->line.nrest; i++)
        argv[2 + i] = cli->line.rest[i];
    if (pipe2(fds, O_CLOEXEC))
        return -1;
    pid_t child = fork();
    if (child == 0) {
        dup2(fds[1], STDOUT_FILENO);
        execv(program, (char *const *)argv);
        _exit(127);
    }
    close(fds[1]);
    if (child < 0)
        close(fds[0]);
    else
        *out_fd = fds[0];
    return child;
}

static bool read_all(int fd, struct buf *out)
{
    char block[65536];
    ssize_t n;
    while ((n = read(fd, block, sizeof block)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            buf_put(out, block, (size_t)n);
    return n == 0 && buf_ok(out);
}

static json_t *ask(const struct cli *cli, const char *program, const char *letter, struct err *err)
{
    auto_buf struct buf answer;
    int fd = -1, status = 0;
    buf_init(&answer, ANSWER_BYTES);
    pid_t child = start(cli, program, letter, &fd);
    if (child < 0) {
        (void)err_set(err, ERR_IO, "cannot run %.256s: %s", program, strerrordesc_np(errno));
        return NULL;
    }
    bool whole = read_all(fd, &answer);
    close(fd);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    json_t *doc = whole && answer.n ? json_loadb((const char *)answer.p, answer.n, 0, NULL) : NULL;
    if (!doc)
        (void)err_set(err, ERR_BAD_INPUT, "%.256s did not say what it would do (status %d)",
                      program, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return doc;
}

/* ---- before and after ---- */

/* {"table id": row} */
static json_t *by_name(const json_t *rows)
{
    json_t *named = json_object(), *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        auto_json json_t *name = json_sprintf("%s %s", text(row, "table"), text(row, "id"));
        json_object_set(named, json_string_value(name), row);
    }
    return named;
}

static void add_change(json_t *list, const json_t *before, const json_t *after)
{
    const json_t *row = before ? before : after;
    json_t *from = json_object_get(before, "row"), *to = json_object_get(after, "row");
    if (from && to && json_equal(from, to))
        return;
    json_array_append_new(list,
                          json_pack("{s:s, s:O, s:O, s:O*, s:O*, s:o*}", "change",
                                    !from ? "insert"
                                    : !to ? "delete"
                                          : "update",
                                    "table", json_object_get(row, "table"), "id",
                                    json_object_get(row, "id"), "before", from, "after", to,
                                    "difference", from && to ? json_difference(from, to) : NULL));
}

static json_t *changes(const json_t *rows_before, const json_t *rows_after)
{
    auto_json json_t *before = by_name(rows_before), *after = by_name(rows_after);
    json_t *list = json_array(), *row;
    const char *name;
    json_object_foreach(before, name, row) add_change(list, row, json_object_get(after, name));
    json_object_foreach(after, name, row) if (!json_object_get(before, name))
        add_change(list, NULL, row);
    return list;
}

/* ---- for people ---- */

/* A row that comes or goes, as a difference to nothing: what is null in it says nothing. */
static json_t *whole_row(const json_t *before, const json_t *after)
{
    auto_json json_t *said = json_object(), *none = json_object();
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(before ? before : after), name, v) if (!json_is_null(v))
        json_object_set(said, name, v);
    return json_difference(before ? said : none, before ? none : said);
}

static void put_rows(struct out *o, const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *difference = json_object_get(row, "difference");
        const json_t *before = json_object_get(row, "before");
        const json_t *after = json_object_get(row, "after");
        auto_json json_t *whole = difference ? NULL : whole_row(before, after);
        out_line(o, STYLE_BOLD, "%s %s %s", text(row, "change"), text(row, "table"),
                 text(row, "id"));
        difference_people(o, difference ? difference : whole);
    }
    if (!i)
        out_line(o, STYLE_PLAIN, "no row would change");
}

static const struct column message_columns[] = {{"topic", "TOPIC", FORMAT_TEXT, 32},
                                                {"type", "TYPE", FORMAT_TEXT, 32},
                                                {"subject", "SUBJECT", FORMAT_TEXT, 48},
                                                {"outcome", "ENDS IT", FORMAT_STATUS, 0},
                                                {0}};

static void put_messages(struct out *o, const json_t *messages)
{
    auto_json json_t *rows = json_deep_copy(messages);
    size_t i;
    json_t *row;
    if (!json_array_size(messages))
        return;
    json_array_foreach(rows, i, row)
    {
        char sentence[1024];
        struct buf b;
        buf_init_fixed(&b, sentence, sizeof sentence);
        if (json_object_get(row, "data")) {
            event_text(row, &b);
            json_object_set_new(row, "said", json_string(sentence));
        }
    }
    fputc('\n', o->to);
    out_table_notes(o, rows, message_columns, "said");
}

static void put_answer(struct out *o, const json_t *then)
{
    bool done = !strcmp(text(then, "answer"), "done");
    out_line(o, done ? STYLE_GOOD : STYLE_BAD, "\n%s",
             done ? "IF THE PROVIDER DOES IT" : "IF THE PROVIDER REFUSES FOR GOOD");
    put_rows(o, json_object_get(then, "rows"));
    put_messages(o, json_object_get(then, "messages"));
}

static void shadow_people(struct cli *cli, const json_t *doc)
{
    struct out *o = &cli->out;
    size_t i;
    json_t *e;
    out_line(o, STYLE_DIM,
             "What drawbridge-%s %s would do with dead letter %lld now. Nothing was changed.\n",
             text(doc, "worker"), text(doc, "version"),
             (long long)json_integer_value(json_object_get(doc, "deadLetterId")));
    put_rows(o, json_object_get(doc, "rows"));
    put_messages(o, json_object_get(doc, "messages"));
    json_array_foreach(json_object_get(doc, "effects"), i, e)
        out_line(o, STYLE_WARN,
                 "\nThen it would call the provider for %s. What each answer leads to (both are "
                 "made up):",
                 text(e, "subject"));
    json_array_foreach(json_object_get(doc, "then"), i, e) put_answer(o, e);
}

static bool refused(const json_t *doc, struct err *err)
{
    const json_t *error = json_object_get(doc, "error");
    return !error || err_set(err, err_by_name(text(error, "code")), "%s", text(error, "message"));
}

/* Rows as they were and are become changes, of what follows an answer since the decision. */
static void compare(json_t *doc)
{
    const json_t *decided = json_object_get(doc, "after");
    size_t i;
    json_t *then;
    json_object_set_new(doc, "rows", changes(json_object_get(doc, "before"), decided));
    json_array_foreach(json_object_get(doc, "then"), i, then)
    {
        json_object_set_new(then, "rows", changes(decided, json_object_get(then, "after")));
        json_object_del(then, "after");
    }
    json_object_del(doc, "before");
    json_object_del(doc, "after");
}

int shadow_letter(struct cli *cli, const char *letter)
{
    char program[PATH_MAX];
    struct err err = {0};
    auto_db struct db *db = db_open(cli, &err);
    auto_json json_t *row = db ? letter_row(db, letter, &err) : NULL;
    if (row && strcmp(text(row, "state"), "parked") != 0)
        (void)err_set(&err, ERR_BAD_INPUT,
                      "dead letter %s is %s: only parked ones can be rehearsed", letter,
                      text(row, "state"));
    if (!row || err.code || !program_of(text(row, "worker"), program, sizeof program, &err))
        return cli_fail(cli, &err);
    db_free(&db);
    auto_json json_t *doc = ask(cli, program, letter, &err);
    if (!doc || !refused(doc, &err))
        return cli_fail(cli, &err);
    compare(doc);
    return cli_done(cli, json_incref(doc), shadow_people);
}
