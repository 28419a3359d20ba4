#include "core/metric.h"

#include <assert.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"

enum { LABELS_MAX = 64, LABEL_BYTES = 64 };

enum kind { COUNTER, GAUGE, HISTOGRAM };

static const struct {
    enum kind kind;
    const char *name, *label, *help;
} rows[] = {
#define METRIC(id, type, name, label, help) [METRIC_##id] = {type, name, label, help},
#include "core/metric.def"
#undef METRIC
};

/* Seconds. From a database commit to a provider that is slow; the last is beyond them all. */
static const double bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,     0.25,
                                0.5,    1,     2.5,    5,     10,   30,    60,   INFINITY};

/* Tables are as large as they may become, but only pages that were written to are resident. */
static struct series {
    char label[LABEL_BYTES];
    double value; /* of a histogram: the sum */
    uint64_t count;
} series[METRIC_IDS][LABELS_MAX + 1];
static uint64_t buckets[METRIC_IDS][LABELS_MAX + 1][LEN(bounds)];
static size_t used[METRIC_IDS]; /* series of each, "other" included */

static size_t find(enum metric_id id, const char *label)
{
    size_t i = 0;

    while (i < used[id] && strncmp(series[id][i].label, label, LABEL_BYTES - 1) != 0)
        i++;
    return i;
}

static size_t find_or_add(enum metric_id id, const char *label)
{
    if (!rows[id].label || !label)
        label = "";
    size_t i = find(id, label);
    if (i < used[id])
        return i;
    if (i >= LABELS_MAX) {
        label = "other";
        i = find(id, label);
    }
    if (i == used[id]) {
        size_t n = strnlen(label, LABEL_BYTES - 1);

        memcpy(series[id][i].label, label, n);
        used[id]++;
    }
    return i;
}

void metric_add(enum metric_id id, const char *label, double v)
{
    assert(rows[id].kind == COUNTER);
    if (!(v >= 0)) /* a counter never falls; NaN is no number of anything */
        return;
    series[id][find_or_add(id, label)].value += v;
}

void metric_set(enum metric_id id, const char *label, double v)
{
    assert(rows[id].kind == GAUGE);
    series[id][find_or_add(id, label)].value = v;
}

void metric_observe(enum metric_id id, const char *label, double v)
{
    assert(rows[id].kind == HISTOGRAM);
    if (isnan(v))
        return;
    size_t at = find_or_add(id, label), b = 0;

    while (v > bounds[b])
        b++;
    buckets[id][at][b]++;
    series[id][at].value += v;
    series[id][at].count++;
}

double metric_get(enum metric_id id, const char *label)
{
    size_t i = find(id, rows[id].label && label ? label : "");

    return i < used[id] ? series[id][i].value : 0;
}

void metric_reset(void)
{
    memset(series, 0, sizeof(series));
    memset(buckets, 0, sizeof(buckets));
    memset(used, 0, sizeof(used));
}

/* The shortest of the two that reads back as the same number. */
static void put_number(struct buf *out, double v)
{
    char text[32];

    if (isinf(v)) {
        buf_str(out, v > 0 ? "+Inf" : "-Inf");
        return;
    }
    (void)snprintf(text, sizeof(text), "%.15g", v);
    if (strtod(text, NULL) != v)
        (void)snprintf(text, sizeof(text), "%.17g", v);
    buf_str(out, text);
}

/* Escapes as the text format asks for inside label values. */
static void put_label(struct buf *out, const char *name, const char *value, const char *before)
{
    buf_printf(out, "%s%s=\"", before, name);
    for (; *value; value++) {
        if (*value == '\n')
            buf_str(out, "\\n");
        else if (*value == '"' || *value == '\\')
            buf_put(out, (char[]){'\\', *value}, 2);
        else
            buf_put(out, value, 1);
    }
    buf_str(out, "\"");
}

static void put_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One sample up to and with the space before its value; le NULL: no such label. */
static void put_sample(struct buf *out, enum metric_id id, const char *suffix, const char *worker,
                       const char *label, const double *le)
{
    buf_printf(out, "%s%s", rows[id].name, suffix);
    put_label(out, "worker", worker, "{");
    if (rows[id].label)
        put_label(out, rows[id].label, label, ",");
    if (le) {
        buf_str(out, ",le=\"");
        put_number(out, *le);
        buf_str(out, "\"");
    }
    buf_str(out, "} ");
}

static void put_histogram(struct buf *out, enum metric_id id, size_t at, const char *worker)
{
    const struct series *s = &series[id][at];
    uint64_t below = 0;

    for (size_t b = 0; b < LEN(bounds); b++) {
        below += buckets[id][at][b];
        put_sample(out, id, "_bucket", worker, s->label, &bounds[b]);
        buf_printf(out, "%llu\n", (unsigned long long)below);
    }
    put_sample(out, id, "_sum", worker, s->label, NULL);
    put_number(out, s->value);
    buf_str(out, "\n");
    put_sample(out, id, "_count", worker, s->label, NULL);
    buf_printf(out, "%llu\n", (unsigned long long)s->count);
}

static void put_metric(struct buf *out, enum metric_id id, const char *worker)
{
    static const char *const types[] = {
        [COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};

    put_head(out, rows[id].name, types[rows[id].kind], rows[id].help);
    /* A number that was never touched is 0, not absent: rates then start at the first event. */
    if (!rows[id].label && used[id] == 0)
        (void)find_or_add(id, "");
    for (size_t at = 0; at < used[id]; at++) {
        if (rows[id].kind == HISTOGRAM) {
            put_histogram(out, id, at, worker);
            continue;
        }
        put_sample(out, id, "", worker, series[id][at].label, NULL);
        put_number(out, series[id][at].value);
        buf_str(out, "\n");
    }
}

static size_t read_proc(const char *path, char *text, size_t size)
{
    FILE *f = fopen(path, "re");

    if (!f)
        return 0;
    size_t n = fread(text, 1, size - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    return n;
}

static bool resident_bytes(double *out)
{
    char text[256];
    unsigned long long pages;

    if (!read_proc("/proc/self/statm", text, sizeof(text)) || sscanf(text, "%*s %llu", &pages) != 1)
        return false;
    *out = (double)pages * (double)sysconf(_SC_PAGESIZE);
    return true;
}

static bool cpu_seconds(double *out)
{
    struct rusage u;

    if (getrusage(RUSAGE_SELF, &u) != 0)
        return false;
    *out = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    return true;
}

/* Field 22 of proc_pid_stat(5), in ticks since boot. The name before it may hold anything, so
 * fields are counted from its closing parenthesis. */
static bool start_seconds(double *out)
{
    char text[1024];
    struct timespec boot;

    if (!read_proc("/proc/self/stat", text, sizeof(text)) ||
        clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
        return false;
    const char *p = strrchr(text, ')');
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    if (!p)
        return false;
    double age = (double)boot.tv_sec + (double)boot.tv_nsec / 1e9 -
                 strtod(p, NULL) / (double)sysconf(_SC_CLK_TCK);
    *out = (double)clock_wall_ms() / 1000 - age;
    return true;
}

static bool open_files(double *out)
{
    DIR *d = opendir("/proc/self/fd");
    double n = 0;

    if (!d)
        return false;
    const struct dirent *e;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the folder is ours alone */
    while ((e = readdir(d)))
        n += e->d_name[0] != '.';
    (void)closedir(d);
    *out = n - 1; /* without the folder's own */
    return true;
}

static const struct {
    const char *name, *type, *help;
    bool (*read)(double *out);
} process_rows[] = {
    {"process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident_bytes},
    {"process_cpu_seconds_total", "counter", "User and system CPU time spent.", cpu_seconds},
    {"process_start_time_seconds", "gauge", "Start of the process, Unix time.", start_seconds},
    {"process_open_fds", "gauge", "Open file descriptors.", open_files},
};

static void put_process(struct buf *out, const char *worker)
{
    for (size_t i = 0; i < LEN(process_rows); i++) {
        double v;

        if (!process_rows[i].read(&v))
            continue;
        put_head(out, process_rows[i].name, process_rows[i].type, process_rows[i].help);
        buf_str(out, process_rows[i].name);
        put_label(out, "worker", worker, "{");
        buf_str(out, "} ");
        put_number(out, v);
        buf_str(out, "\n");
    }
}

void metric_render(struct buf *out, const char *worker)
{
    for (enum metric_id id = 0; id < METRIC_IDS; id++)
        put_metric(out, id, worker);
    put_process(out, worker);
}
