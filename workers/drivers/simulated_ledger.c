#include "drivers/simulated_ledger.h"

#include "core/buf.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct simulated_ledger {
    int fd;
    int64_t lost;
    struct buf line;
};

struct simulated_ledger *simulated_ledger_open(const char *path, struct err *err)
{
    auto_free struct simulated_ledger *l = calloc(1, sizeof(*l));
    if (!l) {
        err_set(err, ERR_NO_MEMORY, "simulated_ledger");
        return NULL;
    }
    l->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (l->fd < 0) {
        err_set(err, ERR_IO, "simulated_ledger: %s: %s", path, strerrordesc_np(errno));
        return NULL;
    }
    buf_init(&l->line, 1024);
    return take(l);
}

static const char *op_name(enum effect_op op)
{
    static const char *const names[] = {
        [EFFECT_NONE] = "none",
        [EFFECT_CREATE] = "create",
        [EFFECT_DELETE] = "delete",
        [EFFECT_OBSERVE] = "observe",
    };
    return names[op];
}

void simulated_ledger_add(struct simulated_ledger *l, enum effect_op op, const char *session_id,
                          int attempt, const char *result)
{
    if (!l)
        return;
    char time[25];
    clock_format(clock_wall_ms(), time);
    buf_clear(&l->line);
    buf_printf(&l->line, "{\"time\":\"%s\",\"op\":\"%s\",\"session\":", time, op_name(op));
    buf_json_str(&l->line, session_id, strlen(session_id));
    buf_printf(&l->line, ",\"attempt\":%d,\"result\":\"%s\",\"pid\":%ld}\n", attempt, result,
               (long)getpid());
    if (!buf_ok(&l->line) || write(l->fd, l->line.p, l->line.n) != (ssize_t)l->line.n)
        l->lost++;
}

int64_t simulated_ledger_lost(const struct simulated_ledger *l)
{
    return l ? l->lost : 0;
}

void simulated_ledger_close(struct simulated_ledger **l)
{
    if (!*l)
        return;
    close((*l)->fd);
    buf_done(&(*l)->line);
    free(take(*l));
}
