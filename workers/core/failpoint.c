/* The setting is read at the first pass; names are compared by their bytes, because a pass costs
 * nothing worth saving in a build that has failpoints. */
#include "core/failpoint.h"

#ifdef DRAWBRIDGE_FAILPOINTS

#include "core/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { POINTS_MAX = 8, NAME_MAX_BYTES = 48, EXIT_CONFIGURATION = 78 };
enum action { ACTION_KILL, ACTION_STOP, ACTION_SLEEP };

struct point {
    char name[NAME_MAX_BYTES];
    unsigned long at, passes; /* acts when passes becomes `at` */
    enum action action;
    int sleep_ms;
};

static struct point points[POINTS_MAX];
static size_t npoints;
static bool read_already;

static bool number(const char *text, size_t n, unsigned long max, unsigned long *out)
{
    char digits[12], *end;
    if (!n || n >= sizeof digits || strspn(text, "0123456789") < n)
        return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    errno = 0;
    unsigned long v = strtoul(digits, &end, 10);
    if (errno || *end || v > max)
        return false;
    *out = v;
    return true;
}

static bool action_read(const char *text, size_t n, struct point *p)
{
    static const char sleep_word[] = "sleep-";
    unsigned long ms;
    if (n == 4 && !memcmp(text, "kill", n)) {
        p->action = ACTION_KILL;
    } else if (n == 4 && !memcmp(text, "stop", n)) {
        p->action = ACTION_STOP;
    } else if (n > 6 && !memcmp(text, sleep_word, 6) && number(text + 6, n - 6, 600000, &ms)) {
        p->action = ACTION_SLEEP;
        p->sleep_ms = (int)ms;
    } else {
        return false;
    }
    return true;
}

/* name[:hit][=action] */
static bool point_read(const char *text, size_t n, struct point *p)
{
    size_t name = 0;
    while (name < n && text[name] != ':' && text[name] != '=')
        name++;
    *p = (struct point){.at = 1, .action = ACTION_KILL};
    if (!name || name >= sizeof p->name)
        return false;
    memcpy(p->name, text, name);
    text += name;
    n -= name;
    if (n && *text == ':') {
        const char *equals = memchr(text, '=', n);
        size_t digits = (equals ? (size_t)(equals - text) : n) - 1;
        if (!number(text + 1, digits, 1000000000, &p->at) || !p->at)
            return false;
        text += digits + 1;
        n -= digits + 1;
    }
    return !n || action_read(text + 1, n - 1, p);
}

static void setting_read(void)
{
    read_already = true;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    const char *text = getenv("DRAWBRIDGE_FAILPOINT");
    while (text && *text) {
        size_t n = strcspn(text, ",");
        if (npoints == LEN(points) || !point_read(text, n, &points[npoints++])) {
            (void)dprintf(STDERR_FILENO, "DRAWBRIDGE_FAILPOINT cannot be read at: %s\n", text);
            _exit(EXIT_CONFIGURATION);
        }
        text += n + (text[n] == ',');
    }
}

static struct point *find(const char *name)
{
    if (!read_already)
        setting_read();
    for (size_t i = 0; i < npoints; i++)
        if (!strcmp(points[i].name, name))
            return &points[i];
    return NULL;
}

bool failpoint_due(const char *name)
{
    const struct point *p = find(name);
    return p && p->passes + 1 == p->at;
}

/* To the end, whatever signals come. */
static void block(int ms)
{
    int64_t until = clock_mono_now_us() + (int64_t)ms * 1000;
    for (int64_t now; (now = clock_mono_now_us()) < until;)
        (void)poll(NULL, 0, (int)((until - now + 999) / 1000));
}

void failpoint_pass(const char *name)
{
    struct point *p = find(name);
    if (!p || ++p->passes != p->at)
        return;
    static const char *const told[] = {
        [ACTION_KILL] = "kill", [ACTION_STOP] = "stop", [ACTION_SLEEP] = "sleep"};
    (void)dprintf(STDERR_FILENO, "failpoint %s pass %lu: %s\n", name, p->at, told[p->action]);
    if (p->action == ACTION_SLEEP)
        block(p->sleep_ms);
    else
        (void)raise(p->action == ACTION_KILL ? SIGKILL : SIGSTOP);
}

#endif
