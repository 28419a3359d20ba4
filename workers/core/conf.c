#include "core/conf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <ini.h>

#include "core/conf_row.h"

#define ETC_PATH "/etc/drawbridge/drawbridge.ini"
#define FILE_BYTES_MAX (1 << 20)

/* The sections there may be; conf_load's own is accepted too. */
static const char *const sections[] = {"provisioning", "teardown", "refresh",
                                       "audit",        "gateway",  NULL};

struct load {
    struct conf *c;
    const char *section; /* ours; may be NULL */
    struct buf *errors;
    bool failed;
};

static void problem(struct load *l, const char *key, const char *format, ...) printf_like(3, 4);

static void problem(struct load *l, const char *key, const char *format, ...)
{
    char text[1024];
    va_list args;

    l->failed = true;
    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    buf_printf(l->errors, "%s: %s\n", key, text);
}

/* --- one value --- */

static void *value_at(struct conf *c, const struct conf_row *row)
{
    return (char *)c + row->offset;
}

static bool store_text(struct load *l, const struct conf_row *row, const char *text)
{
    char **at = value_at(l->c, row);
    char *copy = strdup(text);

    if (!copy) {
        problem(l, row->key, "memory exhausted; %s", err_hint(ERR_NO_MEMORY));
        return false;
    }
    free(*at);
    *at = copy;
    return true;
}

static void store_number(struct load *l, const struct conf_row *row, int64_t v)
{
    if (row->type == CONF_BOOL)
        *(bool *)value_at(l->c, row) = v != 0;
    else
        *(int64_t *)value_at(l->c, row) = v;
}

static void bad_value(struct load *l, const struct conf_row *row, const char *text,
                      struct conf_place place)
{
    char where[300], range[100];
    struct buf w, r;

    buf_init_fixed(&w, where, sizeof(where));
    conf_put_place(&w, l->c->private_, (enum conf_id)(row - conf_rows), place);
    buf_init_fixed(&r, range, sizeof(range));
    conf_put_range(&r, row);
    problem(l, row->key, "\"%.80s\" (%s) is not a %s%s%s; %s",
            row->flags & CONF_SECRET ? "********" : text, where, conf_type_name(row->type),
            r.n ? " from " : "", range, conf_type_hint(row->type));
}

static bool check(const struct conf_row *row, const char *text, int64_t *out)
{
    if (row->type == CONF_STR)
        return true;
    return conf_parse(row->type, text, out) &&
           (row->type == CONF_BOOL || (*out >= row->min && *out <= row->max));
}

/* Every value is checked, also one that a stronger source hides; the strongest is kept. */
static void offer(struct load *l, const struct conf_row *row, const char *text,
                  struct conf_place place)
{
    struct conf_place *kept = &l->c->private_->places[row - conf_rows];
    int64_t v = 0;

    if (!check(row, text, &v)) {
        bad_value(l, row, text, place);
        return;
    }
    if (place.source < kept->source)
        return;
    if (row->type != CONF_STR)
        store_number(l, row, v);
    else if (!store_text(l, row, text))
        return;
    *kept = place;
}

static void offer_defaults(struct load *l)
{
    for (size_t i = 0; i < CONF_ROWS; i++)
        offer(l, &conf_rows[i], conf_rows[i].text, (struct conf_place){CONF_DEFAULT, 0});
}

/* --- files --- */

struct file {
    struct load *load;
    const char *path;
    enum conf_source source; /* of its global part */
    unsigned line;
    char section[CONF_LINE_MAX + 1];
    unsigned seen[2][CONF_ROWS]; /* line of each key, in the global part and in our section */
    bool met;                    /* the handler was called for this line */
};

static void file_problem(struct file *f, const char *what, const char *about)
{
    f->load->failed = true;
    buf_printf(f->load->errors, "%s:%u: %s", f->path, f->line, what);
    if (about)
        buf_printf(f->load->errors, " \"%s\"?", about);
    buf_str(f->load->errors, "\n");
}

static void unknown_key(struct file *f, const char *key)
{
    const char *meant = conf_row_nearest(key);

    if (meant)
        problem(f->load, key, "unknown key (%s:%u); did you mean %s?", f->path, f->line, meant);
    else
        problem(f->load, key, "unknown key (%s:%u); see --help for every key", f->path, f->line);
}

static void offer_from_file(struct file *f, const struct conf_row *row, const char *value)
{
    bool global = f->section[0] == '\0';
    bool ours = f->load->section && strcmp(f->section, f->load->section) == 0;
    int64_t ignored;

    if (!global && !ours) { /* checked only; a worker of that name will use it */
        if (!check(row, value, &ignored))
            bad_value(f->load, row, value, (struct conf_place){f->source, f->line});
        return;
    }
    unsigned *seen = &f->seen[ours][row - conf_rows];
    if (*seen)
        problem(f->load, row->key, "given twice (%s:%u and %u); remove one", f->path, *seen,
                f->line);
    *seen = f->line;
    offer(f->load, row, value, (struct conf_place){f->source + (ours ? 1 : 0), f->line});
}

/* inih's handler for a line `key = value`. */
static int on_pair(void *arg, const char *section, const char *name, const char *value)
{
    struct file *f = arg;
    const struct conf_row *row = conf_row_find(name, strlen(name), false);

    (void)section;
    f->met = true;
    if (row)
        offer_from_file(f, row, value);
    else
        unknown_key(f, name);
    return 1;
}

/* inih's handler for the line that is put behind `[section]` to learn its name. */
static int on_section(void *arg, const char *section, const char *name, const char *value)
{
    struct file *f = arg;

    (void)name;
    (void)value;
    f->met = true;
    (void)snprintf(f->section, sizeof(f->section), "%s", section);
    return 1;
}

static bool known_section(const struct file *f)
{
    if (f->load->section && strcmp(f->section, f->load->section) == 0)
        return true;
    for (const char *const *s = sections; *s; s++)
        if (strcmp(f->section, *s) == 0)
            return true;
    return false;
}

static void read_section(struct file *f, const char *line)
{
    char text[CONF_LINE_MAX + 8];

    (void)snprintf(text, sizeof(text), "%s\nx=x\n", line);
    if (ini_parse_string(text, on_section, f) != 0 || !f->met) {
        file_problem(f, "a section is written [name]", NULL);
        return;
    }
    if (f->section[0] == '\0' || known_section(f))
        return;
    const char *meant = conf_nearest(f->section, sections);
    file_problem(
        f, meant ? "unknown section; did you mean" : "unknown section; use a worker's name", meant);
}

/* Line by line, because inih tells only the first line it does not understand, and takes an
 * indented line for more of the value before it. */
static void read_line(struct file *f, const char *line, size_t n)
{
    char text[CONF_LINE_MAX + 1];

    f->line++;
    f->met = false;
    for (; n > 0 && (*line == ' ' || *line == '\t'); n--)
        line++;
    if (n > 0 && line[n - 1] == '\r')
        n--;
    if (memchr(line, '\0', n)) {
        file_problem(f, "a NUL byte; is this a text file?", NULL);
        return;
    }
    if (n == 0 || *line == ';' || *line == '#')
        return;
    if (n > CONF_LINE_MAX) {
        file_problem(f, "line too long; use the environment for such a value", NULL);
        return;
    }
    memcpy(text, line, n);
    text[n] = '\0';
    if (*text == '[')
        read_section(f, text);
    else if (ini_parse_string(text, on_pair, f) != 0 || !f->met)
        file_problem(f, "not understood; write key = value", NULL);
}

static void read_text(struct load *l, const char *path, enum conf_source source, const char *text,
                      size_t n)
{
    struct file f = {.load = l, .path = path, .source = source};
    static const char bom[] = "\xef\xbb\xbf";

    if (n >= 3 && memcmp(text, bom, 3) == 0) {
        text += 3;
        n -= 3;
    }
    while (n > 0) {
        const char *end = memchr(text, '\n', n);
        size_t length = end ? (size_t)(end - text) : n;

        read_line(&f, text, length);
        length += end != NULL;
        text += length;
        n -= length;
    }
}

static bool slurp(const char *path, struct buf *out)
{
    char part[4096];
    size_t n;
    FILE *f = fopen(path, "re");

    if (!f)
        return false;
    errno = 0;
    while (buf_ok(out) && (n = fread(part, 1, sizeof(part), f)) > 0)
        buf_put(out, part, n);
    int failed = ferror(f) ? errno : 0; /* a folder opens, and fails here */
    (void)fclose(f);
    errno = failed;
    return failed == 0;
}

/* may_miss: nobody asked for this file. */
static void read_file(struct load *l, const char *path, enum conf_source source, bool may_miss)
{
    auto_buf struct buf text;

    buf_init(&text, FILE_BYTES_MAX);
    if (!slurp(path, &text)) {
        if (!may_miss || errno != ENOENT)
            problem(l, "config", "%s: %m; name a readable file", path);
        return;
    }
    if (!buf_ok(&text)) {
        problem(l, "config", "%s: larger than %d bytes; is this the right file?", path,
                FILE_BYTES_MAX);
        return;
    }
    if (text.n > 0)
        read_text(l, path, source, (const char *)text.p, text.n);
}

/* --- environment --- */

static void read_environment(struct load *l)
{
    for (size_t i = 0; i < CONF_ROWS; i++) {
        const struct conf_place place = {CONF_ENVIRONMENT, 0};
        char name[100];
        struct buf b;

        buf_init_fixed(&b, name, sizeof(name));
        conf_put_place(&b, l->c->private_, (enum conf_id)i, place);
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
        const char *value = getenv(name);
        if (value)
            offer(l, &conf_rows[i], value, place);
    }
}

/* --- flags --- */

static void take_flag(struct load *l, const struct conf_row *row, const char *value)
{
    if (conf_flag_leaks(row, value))
        problem(l, row->key,
                "a secret given as a flag is seen by everybody who lists processes; use the "
                "environment or a file");
    else
        offer(l, row, value, (struct conf_place){CONF_ARGUMENT, 0});
}

/* Looks at argv[i]: how many arguments belong to a flag of ours (0: none), and its value, NULL
 * when it is missing. */
static int match_flag(int argc, char **argv, int i, const struct conf_row **out_row,
                      bool *out_is_file, const char **out_value)
{
    const char *name = argv[i] + 2, *equals;

    if (strncmp(argv[i], "--", 2) != 0)
        return 0;
    equals = strchrnul(name, '=');
    size_t n = (size_t)(equals - name);
    *out_is_file = n == 6 && memcmp(name, "config", 6) == 0;
    *out_row = *out_is_file ? NULL : conf_row_find(name, n, true);
    if (!*out_is_file && !*out_row)
        return 0;
    if (*equals) {
        *out_value = equals + 1;
        return 1;
    }
    if (*out_row && (*out_row)->type == CONF_BOOL) {
        *out_value = "yes";
        return 1;
    }
    *out_value = i + 1 < argc ? argv[i + 1] : NULL;
    return *out_value ? 2 : 1;
}

/* Two rounds over the same arguments: files are weaker, but named among the flags. The last file
 * counts. With `take_out` the flags are used and removed. */
static const char *read_flags(struct load *l, int *argc, char **argv, bool take_out)
{
    const char *file = NULL;
    int kept = *argc > 0 ? 1 : 0, i = kept;

    while (i < *argc && strcmp(argv[i], "--") != 0) {
        const struct conf_row *row = NULL;
        const char *value = NULL;
        bool is_file = false;
        int n = match_flag(*argc, argv, i, &row, &is_file, &value);

        if (n == 0) {
            if (take_out)
                argv[kept++] = argv[i];
            i++;
            continue;
        }
        if (is_file && value)
            file = value;
        else if (take_out && value)
            take_flag(l, row, value);
        else if (take_out)
            problem(l, row ? row->key : "config", "--%.60s needs a value; --%.60s=…", argv[i] + 2,
                    argv[i] + 2);
        i += n;
    }
    if (!take_out)
        return file;
    while (i < *argc)
        argv[kept++] = argv[i++];
    argv[kept] = NULL;
    *argc = kept;
    return file;
}

/* --- all of it --- */

static void check_required(struct load *l)
{
    for (size_t i = 0; i < CONF_ROWS; i++) {
        const struct conf_row *row = &conf_rows[i];

        if (!(row->flags & CONF_REQUIRED) || row->type != CONF_STR)
            continue;
        const char *text = *(char **)value_at(l->c, row);
        if (!text || !*text)
            problem(l, row->key, "is empty, but required; %s", err_hint(ERR_CONF_MISSING));
    }
}

static const char *etc_path(void)
{
#ifdef DRAWBRIDGE_TESTABLE
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    const char *path = getenv("DRAWBRIDGE_TEST_ETC");

    if (path)
        return path;
#endif
    return ETC_PATH;
}

bool conf_load(struct conf *c, const char *section, int *argc, char **argv, struct buf *errors)
{
    struct load l = {.c = c, .section = section, .errors = errors};

    *c = (struct conf){.private_ = calloc(1, sizeof(*c->private_))};
    const char *file = read_flags(&l, argc, argv, false);
    if (c->private_) {
        c->private_->etc_path = strdup(etc_path());
        c->private_->file_path = strdup(file ? file : "");
    }
    if (!c->private_ || !c->private_->etc_path || !c->private_->file_path) {
        problem(&l, "config", "memory exhausted; %s", err_hint(ERR_NO_MEMORY));
        return false;
    }
    offer_defaults(&l);
    read_file(&l, c->private_->etc_path, CONF_ETC, true);
    if (file)
        read_file(&l, c->private_->file_path, CONF_FILE, false);
    read_environment(&l);
    (void)read_flags(&l, argc, argv, true);
    check_required(&l);
    return !l.failed;
}

void conf_done(struct conf *c)
{
    for (size_t i = 0; i < CONF_ROWS; i++)
        if (conf_rows[i].type == CONF_STR)
            free(*(char **)value_at(c, &conf_rows[i]));
    if (c->private_) {
        free(c->private_->etc_path);
        free(c->private_->file_path);
        free(c->private_);
    }
    *c = (struct conf){0};
}
