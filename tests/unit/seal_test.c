#include "core/seal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "test.h"

#define auto_sealer auto_with(sealer_free)

static char folder[] = "/tmp/drawbridge-seal-XXXXXX";
static char key_path[64], other_path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!secret_init(NULL) || !mkdtemp(folder))
        return -1;
    (void)snprintf(key_path, sizeof(key_path), "%s/master.key", folder);
    (void)snprintf(other_path, sizeof(other_path), "%s/other.key", folder);
    return sealer_create_key(key_path, NULL) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(other_path);
    return unlink(key_path) || rmdir(folder); /* which also shows that nothing else is left */
}

static void write_file(const char *path, size_t n, mode_t mode)
{
    const uint8_t bytes[64] = {1, 2, 3};

    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void a_new_key_is_private_whole_and_made_once(void **state)
{
    struct stat st;
    struct err err = {0};

    (void)state;
    assert_int_equal(stat(key_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 32);
    assert_int_equal(st.st_nlink, 1);
    assert_false(sealer_create_key(key_path, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.message, key_path));
    assert_false(sealer_create_key("/nowhere/at/all", &err));
}

static void a_key_file_that_is_not_private_or_not_whole_is_refused(void **state)
{
    static const struct {
        size_t n;
        mode_t mode;
    } rows[] = {{32, 0640}, {32, 0604}, {31, 0600}, {33, 0600}, {0, 0600}};

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err err = {0};

        write_file(other_path, rows[i].n, rows[i].mode);
        assert_null(sealer_open(other_path, &err));
        assert_int_equal(err.code, ERR_KEY_INVALID);
    }
    write_file(other_path, 32, 0400);
    auto_sealer struct sealer *fine = sealer_open(other_path, NULL);
    assert_non_null(fine);
}

static void what_is_no_file_is_refused_without_waiting(void **state)
{
    struct err err = {0};

    (void)state;
    assert_null(sealer_open(folder, &err));
    assert_int_equal(err.code, ERR_KEY_INVALID);
    (void)unlink(other_path);
    assert_null(sealer_open(other_path, &err));
    assert_int_equal(err.code, ERR_KEY_MISSING);
    assert_int_equal(mkfifo(other_path, 0600), 0);
    assert_null(sealer_open(other_path, &err));
    assert_int_equal(err.code, ERR_KEY_INVALID);
}

/* HAZARDS S8 */
static void what_was_sealed_opens_at_its_place(void **state)
{
    static const size_t sizes[] = {0, 1, 32, 5000};
    uint8_t plain[5000];
    auto_sealer struct sealer *s = sealer_open(key_path, NULL);

    (void)state;
    memset(plain, 'k', sizeof(plain));
    for (size_t i = 0; i < LEN(sizes); i++) {
        auto_buf struct buf out;

        buf_init(&out, 10000);
        buf_str(&out, "before");
        assert_true(seal(s, "session/7/private_key", plain, sizes[i], &out, NULL));
        assert_int_equal(out.n, 6 + sizes[i] + SEAL_OVERHEAD);
        assert_null(sizes[i] < 32 ? NULL : memmem(out.p, out.n, plain, 16));
        auto_secret struct secret *back =
            unseal(s, "session/7/private_key", out.p + 6, out.n - 6, NULL);
        assert_non_null(back);
        assert_int_equal(secret_size(back), sizes[i]);
        assert_memory_equal(secret_view(back), plain, sizes[i]);
    }
}

static void assert_broken(const struct sealer *s, const char *place, const void *p, size_t n)
{
    struct err err = {0};

    assert_null(unseal(s, place, p, n, &err));
    assert_int_equal(err.code, ERR_SEAL_BROKEN);
    assert_non_null(strstr(err.message, place));
}

/* HAZARDS S8 */
static void a_value_moved_to_another_row_does_not_open(void **state)
{
    auto_sealer struct sealer *s = sealer_open(key_path, NULL);
    auto_buf struct buf out;

    (void)state;
    buf_init(&out, 1000);
    assert_true(seal(s, "session/7/private_key", "secret", 6, &out, NULL));
    assert_broken(s, "session/8/private_key", out.p, out.n);
    assert_broken(s, "", out.p, out.n);
}

static void every_changed_bit_and_every_cut_is_noticed(void **state)
{
    auto_sealer struct sealer *s = sealer_open(key_path, NULL);
    auto_buf struct buf out;

    (void)state;
    buf_init(&out, 1000);
    assert_true(seal(s, "a", "secret", 6, &out, NULL));
    for (size_t bit = 0; bit < out.n * 8; bit += 3) {
        out.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_broken(s, "a", out.p, out.n);
        out.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < out.n; n++)
        assert_broken(s, "a", out.p, n);
}

static void another_master_key_does_not_open_and_says_so(void **state)
{
    struct err err = {0};
    auto_buf struct buf out;

    (void)state;
    (void)unlink(other_path);
    assert_true(sealer_create_key(other_path, NULL));
    auto_sealer struct sealer *s = sealer_open(key_path, NULL);
    auto_sealer struct sealer *other = sealer_open(other_path, NULL);
    buf_init(&out, 1000);
    assert_true(seal(s, "a", "secret", 6, &out, NULL));
    assert_null(unseal(other, "a", out.p, out.n, &err));
    assert_int_equal(err.code, ERR_SEAL_BROKEN);
    assert_non_null(strstr(err.message, "another master key"));
}

static void read_master(uint8_t out[static 32])
{
    int fd = open(key_path, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, out, 32), 32);
    assert_int_equal(close(fd), 0);
}

/* HAZARDS S8, P-02: though the place where it is made is used again. */
static void each_value_has_a_data_key_of_its_own(void **state)
{
    enum { VALUES = 4, WRAP_NONCE = 1 + 4, WRAPPED = WRAP_NONCE + 24 };
    auto_sealer struct sealer *s = sealer_open(key_path, NULL);
    uint8_t master[32], keys[VALUES + 1][32] = {0}; /* the last is what nobody has made */

    (void)state;
    read_master(master);
    for (size_t i = 0; i < VALUES; i++) {
        auto_buf struct buf out;

        buf_init(&out, 1000);
        assert_true(seal(s, "a", "secret", 6, &out, NULL));
        if (i == 1) /* one that does not open leaves nothing behind, either */
            assert_broken(s, "b", out.p, out.n);
        assert_int_equal(crypto_aead_xchacha20poly1305_ietf_decrypt(
                             keys[i], NULL, NULL, out.p + WRAPPED, 32 + 16, (const uint8_t *)"a", 1,
                             out.p + WRAP_NONCE, master),
                         0);
    }
    for (size_t i = 0; i < VALUES; i++)
        for (size_t j = i + 1; j <= VALUES; j++)
            assert_memory_not_equal(keys[i], keys[j], 32);
}

static void the_same_value_is_sealed_differently_each_time(void **state)
{
    auto_sealer struct sealer *s = sealer_open(key_path, NULL);
    auto_buf struct buf a, b;

    (void)state;
    buf_init(&a, 1000);
    buf_init(&b, 1000);
    assert_true(seal(s, "a", "secret", 6, &a, NULL));
    assert_true(seal(s, "a", "secret", 6, &b, NULL));
    for (size_t i = 5; i + 8 < a.n; i++)
        assert_memory_not_equal(a.p + i, b.p + i, 8);
}

static void a_result_without_room_is_an_error(void **state)
{
    auto_sealer struct sealer *s = sealer_open(key_path, NULL);
    struct err err = {0};
    auto_buf struct buf out;

    (void)state;
    buf_init(&out, SEAL_OVERHEAD);
    assert_false(seal(s, "a", "secret", 6, &out, &err));
    assert_int_equal(err.code, ERR_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_key_is_private_whole_and_made_once),
        cmocka_unit_test(a_key_file_that_is_not_private_or_not_whole_is_refused),
        cmocka_unit_test(what_is_no_file_is_refused_without_waiting),
        cmocka_unit_test(what_was_sealed_opens_at_its_place),
        cmocka_unit_test(a_value_moved_to_another_row_does_not_open),
        cmocka_unit_test(every_changed_bit_and_every_cut_is_noticed),
        cmocka_unit_test(another_master_key_does_not_open_and_says_so),
        cmocka_unit_test(each_value_has_a_data_key_of_its_own),
        cmocka_unit_test(the_same_value_is_sealed_differently_each_time),
        cmocka_unit_test(a_result_without_room_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
