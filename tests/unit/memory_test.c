/* Every allocation of the small parts fails once, one after the other: each call then reports it
 * or does without, leaves nothing half done behind, and works again afterwards. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/seal.h"
#include "core/table.h"
#include "test.h"

#ifndef __SANITIZE_ADDRESS__ /* which has an allocator of its own */
static long countdown;       /* 0: never; 1: the next allocation fails */

static bool refused(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    errno = ENOMEM;
    return true;
}

/* glibc's own, under the names that stay when malloc is replaced. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    return refused() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return refused() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return refused() ? NULL : __libc_realloc(p, n);
}
#endif

static char folder[] = "/tmp/drawbridge-memory-XXXXXX";
static char key_path[64], new_path[64], config_flag[64];

static bool use_arena_and_table(struct err *err)
{
    auto_arena struct arena *a = arena_new(256, 1 << 20);
    struct table *t = a ? table_new(a, 2) : NULL;

    for (uint32_t i = 0; t && i < 100; i++)
        if (!table_put(t, &i, sizeof(i), a))
            t = NULL;
    return t || err_set(err, ERR_NO_MEMORY, "table");
}

static bool use_buf(struct err *err)
{
    auto_buf struct buf b;

    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d", i);
    return (buf_ok(&b) && b.n == 2890) || err_set(err, ERR_NO_MEMORY, "buf");
}

static bool use_clock(struct err *err)
{
    auto_with(clock_free) struct clock *c = clock_new();

    return c || err_set(err, ERR_NO_MEMORY, "clock");
}

static bool use_seal(struct err *err)
{
    auto_with(sealer_free) struct sealer *s = sealer_open(key_path, err);
    auto_buf struct buf out;

    buf_init(&out, 1000);
    if (!s || !seal(s, "a", "secret", 6, &out, err))
        return false;
    auto_secret struct secret *back = unseal(s, "a", out.p, out.n, err);
    return back && secret_size(back) == 6;
}

static bool use_new_key(struct err *err)
{
    bool made = sealer_create_key(new_path, err);

    assert_int_equal(unlink(new_path) == 0, made);
    return made;
}

static bool use_conf(struct err *err)
{
    auto_buf struct buf errors;
    char *argv[] = {(char *)"worker", config_flag, (char *)"--log-level=warn", (char *)"x", NULL};
    int argc = 4;
    struct conf c;

    buf_init(&errors, 1 << 16);
    bool fine = conf_load(&c, "audit", &argc, argv, &errors);
    if (fine)
        assert_string_equal(c.log_level, "warn");
    conf_done(&c);
    return fine || err_set(err, ERR_NO_MEMORY, "conf");
}

static bool (*const uses[])(struct err *) = {
    use_arena_and_table, use_buf, use_clock, use_seal, use_new_key, use_conf,
};

static int set_up(void **state)
{
    (void)state;
    if (!secret_init(NULL) || !mkdtemp(folder))
        return -1;
    (void)snprintf(key_path, sizeof(key_path), "%s/key", folder);
    (void)snprintf(new_path, sizeof(new_path), "%s/new", folder);
    (void)snprintf(config_flag, sizeof(config_flag), "--config=/dev/null");
    return setenv("DRAWBRIDGE_TEST_ETC", "/dev/null", 1) || !sealer_create_key(key_path, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(key_path) || rmdir(folder);
}

static void with_memory_every_call_succeeds(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(uses); i++)
        assert_true(uses[i](NULL));
}

#ifndef __SANITIZE_ADDRESS__
static void each_allocation_that_fails_is_reported_and_nothing_else_breaks(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(uses); i++) {
        long failures = 0;

        for (long at = 1;; at++) {
            struct err err = {0};

            countdown = at;
            bool fine = uses[i](&err);
            bool was_reached = countdown == 0;
            countdown = 0;
            if (!fine)
                assert_true(err.code != ERR_NONE && err.message[0] != '\0');
            failures += !fine;
            assert_true(uses[i](NULL));
            if (!was_reached)
                break;
        }
        assert_true(failures > 0);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_memory_every_call_succeeds),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(each_allocation_that_fails_is_reported_and_nothing_else_breaks),
#endif
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
