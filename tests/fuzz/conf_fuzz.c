/* Configuration from hostile text: the first line of the input is a flag, the rest a file. What is
 * accepted lies within its range; what is refused is told; nothing leaks. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/conf_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_ranges(const struct conf *c)
{
    for (size_t i = 0; i < CONF_ROWS; i++) {
        const struct conf_row *row = &conf_rows[i];
        const void *at = (const char *)c + row->offset;

        if (row->type == CONF_STR)
            assert(*(char *const *)at != NULL);
        else if (row->type != CONF_BOOL)
            assert(*(const int64_t *)at >= row->min && *(const int64_t *)at <= row->max);
    }
}

static void load(int fd, char *flag)
{
    auto_buf struct buf errors, shown;
    char config[40];
    char *argv[] = {(char *)"worker", config, flag, NULL};
    int argc = 3;
    struct conf c;

    (void)snprintf(config, sizeof(config), "--config=/proc/self/fd/%d", fd);
    buf_init(&errors, 16 << 20);
    buf_init(&shown, 16 << 20);
    bool fine = conf_load(&c, "audit", &argc, argv, &errors);
    assert(fine == (errors.n == 0));
    assert(argc >= 1 && argc <= 2 && argv[argc] == NULL);
    check_ranges(&c);
    conf_show(&c, &shown);
    assert(buf_ok(&shown));
    conf_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
    size_t length = end ? (size_t)(end - data) : n;
    auto_free char *flag = strndup((const char *)data, length);
    int fd = memfd_create("conf", MFD_CLOEXEC);

    assert(flag && fd >= 0);
    if (strcmp(flag, "--config") == 0 || strncmp(flag, "--config=", 9) == 0)
        flag[2] = 'k'; /* no other files than ours */
    ssize_t rest = end ? (ssize_t)(n - length - 1) : 0;
    ssize_t written = write(fd, data + length + (end != NULL), (size_t)rest);
    assert(written == rest);
    int failed = setenv("DRAWBRIDGE_TEST_ETC", "/dev/null", 1);
    assert(!failed);
    load(fd, flag);
    (void)close(fd);
    return 0;
}
