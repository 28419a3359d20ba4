/* V-02 */
#include "test.h"

#include "drivers/qr.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_code_falls_from_level_m_to_l_where_m_has_no_room(void **state)
{
    static char text[QR_BYTES_MAX + 1];
    struct err err = {0};
    memset(text, 'x', sizeof(text));
    auto_qr struct qr *small = qr_new(text, 300, &err);
    auto_qr struct qr *last_m = qr_new(text, 2331, &err);
    auto_qr struct qr *first_l = qr_new(text, 2332, &err);
    auto_qr struct qr *last_l = qr_new(text, QR_BYTES_MAX, &err);
    assert_int_equal(qr_level(small), 'M');
    assert_in_range(qr_width(small), 61, 73); /* versions 11 to 14 */
    assert_int_equal(qr_level(last_m), 'M');
    assert_int_equal(qr_level(first_l), 'L');
    assert_int_equal(qr_level(last_l), 'L');
    assert_int_equal(qr_width(last_l), 177); /* version 40 */
}

static void nothing_and_too_much_are_refused_with_a_hint(void **state)
{
    static char text[QR_BYTES_MAX + 1];
    struct err err = {0};
    assert_null(qr_new(text, sizeof(text), &err));
    assert_int_equal(err.code, ERR_BAD_INPUT);
    assert_non_null(strstr(err.message, "AllowedIPs"));
    assert_null(qr_new(text, 0, &err));
}

/* The code of "drawbridge" is the same on every machine. */
static void the_terminal_rendering_is_as_it_was(void **state)
{
    struct err err = {0};
    char path[] = "tests/golden/qr.txt", want[8192];
    auto_qr struct qr *qr = qr_new("drawbridge", 10, &err);
    auto_buf struct buf plain, coloured;
    buf_init(&plain, 1 << 20);
    buf_init(&coloured, 1 << 20);
    qr_text(qr, false, &plain);
    qr_text(qr, true, &coloured);
    assert_true(buf_ok(&plain) && buf_ok(&coloured));
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s is read from the project's root", path);
    size_t n = fread(want, 1, sizeof(want), f);
    fclose(f);
    if (n != plain.n || memcmp(want, plain.p, n) != 0)
        fail_msg("the rendering differs from %s:\n%s", path, (const char *)plain.p);
    /* The same, each line in white on black. */
    assert_int_equal(strncmp((const char *)coloured.p, "\033[0;97;40m█", 13), 0);
    assert_int_equal(coloured.n, plain.n + (size_t)(10 + 4) * (21 + 2 * QR_QUIET + 1) / 2);
}

static void light_modules_surround_the_code(void **state)
{
    struct err err = {0};
    auto_qr struct qr *qr = qr_new("drawbridge", 10, &err);
    assert_true(qr_dark(qr, 0, 0));
    assert_false(qr_dark(qr, -1, 0));
    assert_false(qr_dark(qr, 0, qr_width(qr)));
}

/* What zbarimg (zbar-tools), which shares no code with us, reads in the PNG. */
static void scanned(const char *png, char *out, size_t size)
{
    int fds[2], status = -1;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        execlp("zbarimg", "zbarimg", "--quiet", "--raw", "--nodbus", "-Sbinary", png, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    size_t n = 0;
    for (ssize_t got; n < size - 1 && (got = read(fds[0], out + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    out[n] = '\0';
    close(fds[0]);
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
        fail_msg("zbarimg is missing: apt install zbar-tools");
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_scanner_reads_the_same_configuration_in_the_png(void **state)
{
    static char text[1500], read_back[4096];
    struct err err = {0};
    char path[] = "/tmp/drawbridge-qr.XXXXXX";
    for (size_t n = 0; n < sizeof(text); n += 250) {
        size_t length = n ? n : 30;
        for (size_t i = 0; i < length; i++)
            text[i] = "[Interface]\nPrivateKey = AbC+/9=\n"[i % 33];
        auto_qr struct qr *qr = qr_new(text, length, &err);
        auto_buf struct buf png;
        buf_init(&png, 1 << 20);
        assert_true(qr_png(qr, &png, &err));
        int fd = mkstemp(path);
        assert_int_equal(write(fd, png.p, png.n), (ssize_t)png.n);
        close(fd);
        scanned(path, read_back, sizeof(read_back));
        unlink(path);
        memcpy(path + strlen(path) - 6, "XXXXXX", 6);
        if (strlen(read_back) != length || memcmp(read_back, text, length) != 0)
            fail_msg("%zu bytes were read as \"%s\"", length, read_back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_falls_from_level_m_to_l_where_m_has_no_room),
        cmocka_unit_test(nothing_and_too_much_are_refused_with_a_hint),
        cmocka_unit_test(the_terminal_rendering_is_as_it_was),
        cmocka_unit_test(light_modules_surround_the_code),
        cmocka_unit_test(a_scanner_reads_the_same_configuration_in_the_png),
    };
    return cmocka_run_group_tests_name("qr", tests, NULL, NULL);
}
