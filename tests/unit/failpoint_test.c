#include "core/failpoint.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#ifdef DRAWBRIDGE_FAILPOINTS

/* Runs body in a child with the setting, so that each reads it afresh; returns wait's status and
 * what it said on stderr. */
static int in_child(const char *setting, void (*body)(void), char *said, size_t bytes_max)
{
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        (void)dup2(ends[1], STDERR_FILENO);
        (void)setenv("DRAWBRIDGE_FAILPOINT", setting, 1);
        body();
        _exit(0);
    }
    (void)close(ends[1]);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    if (WIFSTOPPED(status)) {
        (void)kill(child, SIGKILL);
        int gone;
        assert_int_equal(waitpid(child, &gone, 0), child);
    }
    ssize_t n = read(ends[0], said, bytes_max - 1);
    said[n > 0 ? n : 0] = '\0';
    (void)close(ends[0]);
    return status;
}

static void pass_three_times(void)
{
    FAILPOINT("other");
    for (int i = 0; i < 3; i++)
        FAILPOINT("here");
}

static void a_failpoint_kills_at_the_pass_it_was_told(void **state)
{
    char said[200];
    int status = in_child("here:3=kill", pass_three_times, said, sizeof said);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_string_equal(said, "failpoint here pass 3: kill\n");
    status = in_child("here", pass_three_times, said, sizeof said);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_string_equal(said, "failpoint here pass 1: kill\n");
}

static void a_failpoint_not_reached_does_nothing(void **state)
{
    static const char *const settings[] = {"", "here:4", "elsewhere=kill", "her", "here2=kill"};
    char said[200];
    for (size_t i = 0; i < LEN(settings); i++) {
        assert_int_equal(in_child(settings[i], pass_three_times, said, sizeof said), 0);
        assert_string_equal(said, "");
    }
}

static void a_failpoint_can_freeze_the_process(void **state)
{
    char said[200];
    int status = in_child("other=sleep-1,here:2=stop", pass_three_times, said, sizeof said);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    assert_string_equal(said, "failpoint other pass 1: sleep\nfailpoint here pass 2: stop\n");
}

static void nothing_here(void)
{
}

static void wait_at_here(void)
{
    struct timespec a, b;
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    FAILPOINT("here");
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    long ms = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
    _exit(ms >= 59 ? 7 : 1);
}

static void a_failpoint_can_delay(void **state)
{
    char said[200];
    int status = in_child("here=sleep-60", wait_at_here, said, sizeof said);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void pass_conditions(void)
{
    FAILPOINT_IF(false, "here");
    if (failpoint_due("here"))
        _exit(1);
    FAILPOINT_IF(true, "here");
    FAILPOINT_AFTER(_exit(9), "here");
}

static void a_condition_counts_and_the_step_before_runs_only_when_it_acts(void **state)
{
    char said[200];
    assert_int_equal(WEXITSTATUS(in_child("here:2", pass_conditions, said, sizeof said)), 9);
    assert_int_equal(in_child("here:3", pass_conditions, said, sizeof said), 0);
    assert_int_equal(in_child("", nothing_here, said, sizeof said), 0);
}

static void a_setting_that_cannot_be_read_ends_the_process(void **state)
{
    static const char *const settings[] = {
        "here:0",
        "here:=kill",
        "here=die",
        "here=sleep-",
        "here:x",
        ":1",
        "=kill",
        "here=",
        "a,b,,c",
        "here:1x",
        "a,b,c,d,e,f,g,h,i",
        "a-name-that-is-longer-than-any-place-in-the-engine-has"};
    char said[200];
    for (size_t i = 0; i < LEN(settings); i++) {
        int status = in_child(settings[i], pass_three_times, said, sizeof said);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 78)
            fail_msg("%s: %x", settings[i], (unsigned)status);
        assert_non_null(strstr(said, "cannot be read"));
    }
}

#else

static int passed;

static void outside_testable_builds_a_failpoint_is_nothing(void **state)
{
    assert_int_equal(setenv("DRAWBRIDGE_FAILPOINT", "here=kill", 1), 0);
    FAILPOINT("here");
    FAILPOINT_IF(passed++, "here");
    FAILPOINT_AFTER(passed++, "here");
    assert_int_equal(passed, 0);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef DRAWBRIDGE_FAILPOINTS
        cmocka_unit_test(a_failpoint_kills_at_the_pass_it_was_told),
        cmocka_unit_test(a_failpoint_not_reached_does_nothing),
        cmocka_unit_test(a_failpoint_can_freeze_the_process),
        cmocka_unit_test(a_failpoint_can_delay),
        cmocka_unit_test(a_condition_counts_and_the_step_before_runs_only_when_it_acts),
        cmocka_unit_test(a_setting_that_cannot_be_read_ends_the_process),
#else
        cmocka_unit_test(outside_testable_builds_a_failpoint_is_nothing),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
