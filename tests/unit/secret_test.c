#include "core/secret.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static int start(void **state)
{
    (void)state;
    return secret_init(NULL) ? 0 : -1;
}

/* Runs `what` in a child, because it gives up rights; its status is the answer. */
static int in_a_child(int (*what)(void))
{
    int status = -1;

    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(what());
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void the_process_leaves_no_core_dump_and_cannot_be_traced(void **state)
{
    struct rlimit limit;

    (void)state;
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
    assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
    assert_int_equal(limit.rlim_cur, 0);
    assert_int_equal(limit.rlim_max, 0);
}

static void a_secret_is_zeroed_and_keeps_its_bytes(void **state)
{
    auto_secret struct secret *a = secret_new(33, NULL);
    auto_secret struct secret *b = secret_copy("hunter2", 7, NULL);
    const uint8_t zero[33] = {0};

    (void)state;
    assert_int_equal(secret_size(a), 33);
    assert_memory_equal(secret_view(a), zero, 33);
    memset(secret_bytes(a), 7, 33);
    assert_int_equal(secret_view(a)[32], 7);
    assert_int_equal(secret_size(b), 7);
    assert_memory_equal(secret_view(b), "hunter2", 7);
}

static void secrets_are_equal_by_size_and_bytes(void **state)
{
    auto_secret struct secret *a = secret_copy("hunter2", 7, NULL);
    auto_secret struct secret *same = secret_copy("hunter2", 7, NULL);
    auto_secret struct secret *other = secret_copy("hunter3", 7, NULL);
    auto_secret struct secret *shorter = secret_copy("hunter", 6, NULL);
    auto_secret struct secret *empty = secret_new(0, NULL);

    (void)state;
    assert_true(secret_equal(a, same));
    assert_false(secret_equal(a, other));
    assert_false(secret_equal(a, shorter));
    assert_false(secret_equal(a, empty));
    assert_true(secret_equal(empty, empty));
}

static void freeing_leaves_null_and_takes_null(void **state)
{
    struct secret *s = secret_new(1, NULL);

    (void)state;
    secret_free(&s);
    assert_null(s);
    secret_free(&s);
}

static void more_than_there_is_memory_is_an_error_value(void **state)
{
    struct err err = {0};

    (void)state;
    assert_null(secret_new(SIZE_MAX / 2, &err));
    assert_int_equal(err.code, ERR_NO_MEMORY);
}

static int read_past_the_end(void)
{
    struct secret *s = secret_new(16, NULL);

    if (signal(SIGSEGV, SIG_DFL) == SIG_ERR) /* cmocka catches it */
        return 0;
    return s ? ((volatile uint8_t *)secret_bytes(s))[16] : 0;
}

static void the_byte_behind_a_secret_is_guarded(void **state)
{
    int status = in_a_child(read_past_the_end);

    (void)state;
    /* A signal, or the status with which a sanitizer reports it. */
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* AddressSanitizer replaces mlock by a function that does nothing; the other builds show these. */
#ifndef __SANITIZE_ADDRESS__
static bool give_up_locking(void)
{
    const struct rlimit none = {0, 0};

    /* Root may lock beyond every limit. */
    return setrlimit(RLIMIT_MEMLOCK, &none) == 0 && (geteuid() != 0 || setuid(65534) == 0);
}

static int ask_without_locked_memory(void)
{
    struct err err = {0};

    if (!give_up_locking())
        return 2;
    if (secret_new(32, &err))
        return 3;
    return err.code == ERR_NO_MEMORY && strstr(err.message, "RLIMIT_MEMLOCK") ? 0 : 4;
}

static void a_secret_that_cannot_be_locked_is_refused(void **state)
{
    int status = in_a_child(ask_without_locked_memory);

    (void)state;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* What the kernel says about the mapping that holds p: "lo" locked, "dd" left out of dumps. */
static bool mapping_has_flags(const void *p, const char *const flags[2])
{
    unsigned long long from, to;
    char line[512];
    bool here = false, found = false;
    FILE *f = fopen("/proc/self/smaps", "re");

    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            here = (uintptr_t)p >= from && (uintptr_t)p < to;
        if (here && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flags[0]) && strstr(line, flags[1]);
    }
    assert_int_equal(fclose(f), 0);
    return found;
}

static void secrets_are_locked_and_left_out_of_dumps(void **state)
{
    auto_secret struct secret *s = secret_copy("hunter2", 7, NULL);

    (void)state;
    assert_true(mapping_has_flags(secret_view(s), (const char *const[]){" lo", " dd"}));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_leaves_no_core_dump_and_cannot_be_traced),
        cmocka_unit_test(a_secret_is_zeroed_and_keeps_its_bytes),
        cmocka_unit_test(secrets_are_equal_by_size_and_bytes),
        cmocka_unit_test(freeing_leaves_null_and_takes_null),
        cmocka_unit_test(more_than_there_is_memory_is_an_error_value),
        cmocka_unit_test(the_byte_behind_a_secret_is_guarded),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(a_secret_that_cannot_be_locked_is_refused),
        cmocka_unit_test(secrets_are_locked_and_left_out_of_dumps),
#endif
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
