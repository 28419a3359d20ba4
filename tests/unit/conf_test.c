#include "core/conf.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/conf_row.h"
#include "test.h"

extern char **environ;

/* One load: what a test gives, and what comes out. */
static struct {
    struct conf c;
    struct buf errors;
    char etc[64], file[64];
    char *argv[20];
    int argc;
} t;

static void write_file(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    char folder[] = "/tmp/drawbridge-conf-XXXXXX";

    (void)state;
    memset(&t, 0, sizeof(t));
    for (size_t i = 0; environ[i];) /* the caller's settings are not ours */
        if (strncmp(environ[i], "DRAWBRIDGE_", 11) == 0) {
            char name[100] = "";

            (void)sscanf(environ[i], "%99[^=]", name);
            (void)unsetenv(name);
        } else {
            i++;
        }
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(t.etc, sizeof(t.etc), "%s/etc.ini", folder);
    (void)snprintf(t.file, sizeof(t.file), "%s/own.ini", folder);
    t.argv[t.argc++] = (char *)"worker";
    buf_init(&t.errors, 1 << 20);
    return setenv("DRAWBRIDGE_TEST_ETC", t.etc, 1);
}

static int tear_down(void **state)
{
    (void)state;
    conf_done(&t.c);
    buf_done(&t.errors);
    (void)unlink(t.etc);
    (void)unlink(t.file);
    *strrchr(t.etc, '/') = '\0';
    return rmdir(t.etc);
}

static void flag(const char *text)
{
    t.argv[t.argc++] = (char *)text;
}

static bool load(void)
{
    conf_done(&t.c);
    buf_clear(&t.errors);
    bool fine = conf_load(&t.c, "audit", &t.argc, t.argv, &t.errors);
    assert_true(fine == (t.errors.n == 0));
    return fine;
}

static void assert_loads(void)
{
    if (!load())
        fail_msg("refused: %s", (char *)t.errors.p);
}

static void assert_refused(const char *part)
{
    assert_false(load());
    if (!strstr((char *)t.errors.p, part))
        fail_msg("no \"%s\" in: %s", part, (char *)t.errors.p);
}

static void own_file(const char *text)
{
    static char config[80];

    write_file(t.file, text, strlen(text));
    if (t.argc > 1)
        return;
    (void)snprintf(config, sizeof(config), "--config=%s", t.file);
    flag(config);
}

static void assert_file_refused(const char *text, const char *part)
{
    t.argc = 1;
    own_file(text);
    assert_refused(part);
}

static void without_any_source_the_defaults_hold(void **state)
{
    (void)state;
    assert_loads();
    assert_string_equal(t.c.kafka_brokers, "127.0.0.1:9092");
    assert_int_equal(t.c.batch_records, 1000);
    assert_int_equal(t.c.queue_bytes, 24 << 20);
    assert_int_equal(t.c.stop_timeout, 10000);
    assert_int_equal(t.c.inbox_horizon, 7 * 86400000LL);
}

static void every_row_has_a_fitting_default_a_sentence_and_a_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONF_ROWS; i++) {
        const struct conf_row *row = &conf_rows[i];
        int64_t v = 0;

        assert_int_equal(row->help[strlen(row->help) - 1], '.');
        assert_int_equal(strspn(row->key, "abcdefghijklmnopqrstuvwxyz0123456789_"),
                         strlen(row->key));
        if (row->type == CONF_STR)
            continue;
        assert_true(conf_parse(row->type, row->text, &v));
        assert_true(row->type == CONF_BOOL || (v >= row->min && v <= row->max));
    }
}

static void a_stronger_source_wins(void **state)
{
    (void)state;
    const char etc[] = "batch_records = 10\n[audit]\nbatch_records = 20\n";

    write_file(t.etc, etc, strlen("batch_records = 10\n"));
    assert_loads();
    assert_int_equal(t.c.batch_records, 10);
    write_file(t.etc, etc, strlen(etc));
    assert_loads();
    assert_int_equal(t.c.batch_records, 20);
    own_file("batch_records = 30\n");
    assert_loads();
    assert_int_equal(t.c.batch_records, 30);
    t.argc = 1;
    own_file("[audit]\nbatch_records = 40\n[refresh]\nbatch_records = 45\n[]\nbatch_records=30");
    assert_loads();
    assert_int_equal(t.c.batch_records, 40);
    assert_int_equal(setenv("DRAWBRIDGE_BATCH_RECORDS", "50", 1), 0);
    assert_loads();
    assert_int_equal(t.c.batch_records, 50);
    flag("--batch-records=60");
    assert_loads();
    assert_int_equal(t.c.batch_records, 60);
}

static void flags_are_taken_out_and_the_rest_stays_in_order(void **state)
{
    (void)state;
    flag("send");
    flag("--batch_records");
    flag("7");
    flag("--data=@file");
    flag("--log-level=warn");
    flag("-v");
    flag("--log-level=debug");
    flag("--");
    flag("--log-level=error");
    assert_loads();
    assert_int_equal(t.c.batch_records, 7);
    assert_string_equal(t.c.log_level, "debug");
    assert_int_equal(t.argc, 6);
    assert_string_equal(t.argv[1], "send");
    assert_string_equal(t.argv[2], "--data=@file");
    assert_string_equal(t.argv[3], "-v");
    assert_string_equal(t.argv[4], "--");
    assert_string_equal(t.argv[5], "--log-level=error");
    assert_null(t.argv[6]);
}

static void a_flag_without_its_value_is_told(void **state)
{
    (void)state;
    flag("--log-level");
    assert_refused("log_level: --log-level needs a value");
    t.argc = 1;
    flag("--config");
    assert_refused("config: --config needs a value");
}

static void a_named_file_must_be_there(void **state)
{
    (void)state;
    flag("--config");
    flag("/nowhere/drawbridge.ini");
    assert_refused("config: /nowhere/drawbridge.ini: No such file");
    t.argc = 1;
    flag("--config=/");
    assert_refused("config: /: Is a directory");
}

static void all_problems_come_at_once(void **state)
{
    (void)state;
    own_file("kafka_broker = a:1\nbatch_records = 0\nstop_timeout = 10\nnonsense\n"
             "[gateway]\nmetrics_port = 70000\n[auditt]\n");
    assert_int_equal(setenv("DRAWBRIDGE_QUEUE_BYTES", "64KB", 1), 0);
    flag("--keepalive=-1");
    flag("--kafka-brokers=");
    assert_false(load());
    static const char *const parts[] = {
        "kafka_broker: unknown key (",
        "own.ini:1); did you mean kafka_brokers?",
        "batch_records: \"0\" (",
        "own.ini:2) is not a number from 1 to 10000; give a whole number",
        "stop_timeout: \"10\" (",
        "is not a duration from 0 to 5m; give a whole number with ms",
        "own.ini:4: not understood; write key = value",
        "metrics_port: \"70000\" (",
        "own.ini:7: unknown section; did you mean \"audit\"?",
        "queue_bytes: \"64KB\" (DRAWBRIDGE_QUEUE_BYTES) is not a size from 1MiB to 1GiB",
        "keepalive: \"-1\" (--keepalive) is not a number from 0 to 65535",
        "kafka_brokers: is empty, but required",
    };
    for (size_t i = 0; i < LEN(parts); i++)
        if (!strstr((char *)t.errors.p, parts[i]))
            fail_msg("no \"%s\" in: %s", parts[i], (char *)t.errors.p);
}

static void files_that_are_hard_to_read_are_read(void **state)
{
    (void)state;
    own_file("\xef\xbb\xbf# comment\r\n; another\r\n\r\n  batch_records = 5\r\n"
             "\tlog_level = warn ; behind a value\r\n[ audit ]\r\n[audit]\r\nkeepalive: 7");
    assert_false(load()); /* " audit " is no section */
    t.argc = 1;
    own_file("\xef\xbb\xbf# comment\r\n; another\r\n\r\n  batch_records = 5\r\n"
             "\tlog_level = warn ; behind a value\r\n[audit]\r\nkeepalive: 7");
    assert_loads();
    assert_int_equal(t.c.batch_records, 5);
    assert_string_equal(t.c.log_level, "warn");
    assert_int_equal(t.c.keepalive, 7);
}

static void files_that_mean_nothing_are_refused(void **state)
{
    char text[CONF_LINE_MAX + 40] = "dns_servers = ";

    (void)state;
    assert_file_refused("keepalive = 1\n\nkeepalive = 2\n", "own.ini:1 and 3); remove one");
    assert_file_refused("= 1\n", "unknown key");
    assert_file_refused("[audit\n", "own.ini:1: a section is written [name]");
    assert_file_refused("[very_much_else]\n", "unknown section; use a worker's name");
    assert_file_refused("qqqqqqqqqqqqqqq = 1\n", "see --help for every key");
    memset(text + 14, 'x', CONF_LINE_MAX - 14);
    t.argc = 1;
    own_file(text);
    assert_loads();
    assert_int_equal(strlen(t.c.dns_servers), CONF_LINE_MAX - 14);
    text[CONF_LINE_MAX] = 'x';
    assert_file_refused(text, "own.ini:1: line too long");
    t.argc = 1;
    own_file("");
    write_file(t.file, "keepalive = 1\0\n", 15);
    assert_refused("own.ini:1: a NUL byte");
}

static void a_file_without_end_is_refused(void **state)
{
    (void)state;
    flag("--config=/dev/zero");
    assert_refused("config: /dev/zero: larger than 1048576 bytes");
}

static void secrets_are_not_taken_from_flags(void **state)
{
    (void)state;
    flag("--kafka-sasl-password=hunter2");
    assert_refused("kafka_sasl_password: a secret given as a flag is seen by everybody");
    assert_null(strstr((char *)t.errors.p, "hunter2"));
    t.argc = 1;
    flag("--database-url");
    flag("postgresql://bob:hunter2@db/x");
    assert_refused("database_url: a secret");
    assert_null(strstr((char *)t.errors.p, "hunter2"));
    t.argc = 1;
    flag("--database-url=postgresql://bob@db:5432/x");
    assert_loads();
    assert_string_equal(t.c.database_url, "postgresql://bob@db:5432/x");
    t.argc = 1;
    assert_int_equal(setenv("DRAWBRIDGE_KAFKA_SASL_PASSWORD", "hunter2", 1), 0);
    assert_loads();
    assert_string_equal(t.c.kafka_sasl_password, "hunter2");
}

static void a_url_leaks_when_it_has_a_password_in_any_form(void **state)
{
    const struct conf_row *url = &conf_rows[CONF_ID_database_url];
    static const char *const leaks[] = {
        "postgresql://u:p@h/d",
        "postgresql://u:@h/d",
        "postgres://u:p/w@h",
        "host=h password=x",
        "host=h PassWord = x",
        "postgresql:///d?password=x",
        "postgresql://h/d?sslpassword=x",
        "postgresql://h?x://u:p@h",
    };
    static const char *const fine[] = {
        "postgresql:///drawbridge",
        "postgresql://u@h:5432/d",
        "host=/run/x port=5432 user=u",
        "postgresql://[::1]:5432/d",
        "postgresql:///d?host=/run/pg&port=5433",
        "",
    };

    (void)state;
    for (size_t i = 0; i < LEN(leaks); i++)
        assert_true(conf_flag_leaks(url, leaks[i]));
    for (size_t i = 0; i < LEN(fine); i++)
        assert_false(conf_flag_leaks(url, fine[i]));
    assert_true(conf_flag_leaks(&conf_rows[CONF_ID_kafka_sasl_password], ""));
    assert_false(conf_flag_leaks(&conf_rows[CONF_ID_kafka_sasl_username], "u:p@password"));
}

static void values_are_shown_with_their_place_and_secrets_masked(void **state)
{
    auto_buf struct buf out;
    char line[128];

    (void)state;
    own_file("\nkeepalive = 0\ndatabase_url = postgresql://bob:hunter2@db/x\n");
    flag("--idle-timeout=90s");
    assert_int_equal(setenv("DRAWBRIDGE_QUEUE_BYTES", "1048577", 1), 0);
    assert_loads();
    buf_init(&out, 1 << 16);
    conf_show(&t.c, &out);
    (void)snprintf(line, sizeof(line), "\nkeepalive = 0  ; %s:2\n", t.file);
    assert_non_null(strstr((char *)out.p, line));
    assert_non_null(strstr((char *)out.p, "\nidle_timeout = 90s  ; --idle-timeout\n"));
    assert_non_null(strstr((char *)out.p, "\nstop_timeout = 10s  ; default\n"));
    assert_non_null(strstr((char *)out.p, "\nqueue_bytes = 1048577  ; DRAWBRIDGE_QUEUE_BYTES\n"));
    assert_non_null(strstr((char *)out.p, "\ndatabase_url = ********  ; "));
    assert_null(strstr((char *)out.p, "hunter2"));
}

static void help_and_reference_have_every_key(void **state)
{
    auto_buf struct buf help, page;
    char text[128];

    (void)state;
    buf_init(&help, 1 << 20);
    buf_init(&page, 1 << 20);
    conf_help(&help);
    conf_markdown(&page);
    assert_true(buf_ok(&help) && buf_ok(&page));
    for (size_t i = 0; i < CONF_ROWS; i++) {
        assert_non_null(strstr((char *)help.p, conf_rows[i].help));
        (void)snprintf(text, sizeof(text), "\n| `%s` | ", conf_rows[i].key);
        assert_non_null(strstr((char *)page.p, text));
    }
    assert_non_null(
        strstr((char *)help.p, "\n  --metrics-port           number, 0 to 65535, default 0\n"));
    assert_non_null(strstr((char *)page.p,
                           "\n| `stop_timeout` | duration | `10s` | 0 to 5m | workers |"
                           " How long a graceful stop may take. |\n"));
}

static void numbers_with_units_parse_without_overflow(void **state)
{
    static const struct {
        enum conf_type type;
        const char *text;
        int64_t v;
    } rows[] = {
        {CONF_INT, "0", 0},
        {CONF_INT, "-17", -17},
        {CONF_INT, "9223372036854775807", INT64_MAX},
        {CONF_DURATION, "0", 0},
        {CONF_DURATION, "200ms", 200},
        {CONF_DURATION, "10s", 10000},
        {CONF_DURATION, "5m", 300000},
        {CONF_DURATION, "1h", 3600000},
        {CONF_DURATION, "7d", 604800000},
        {CONF_SIZE, "17", 17},
        {CONF_SIZE, "64KiB", 65536},
        {CONF_SIZE, "128MiB", 134217728},
        {CONF_SIZE, "1GiB", 1073741824},
        {CONF_BOOL, "yes", 1},
        {CONF_BOOL, "off", 0},
        {CONF_BOOL, "1", 1},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        int64_t v = 42;

        assert_true(conf_parse(rows[i].type, rows[i].text, &v));
        assert_int_equal(v, rows[i].v);
    }
}

static void numbers_that_are_none_are_refused_and_change_nothing(void **state)
{
    static const struct {
        enum conf_type type;
        const char *text;
    } rows[] = {
        {CONF_INT, ""},
        {CONF_INT, " 1"},
        {CONF_INT, "1 "},
        {CONF_INT, "+1"},
        {CONF_INT, "-"},
        {CONF_INT, "0x10"},
        {CONF_INT, "1.5"},
        {CONF_INT, "9223372036854775808"},
        {CONF_INT, "1s"},
        {CONF_DURATION, "10"},
        {CONF_DURATION, "s"},
        {CONF_DURATION, "1h30m"},
        {CONF_DURATION, "1 s"},
        {CONF_DURATION, "1S"},
        {CONF_DURATION, "106751991168d"},
        {CONF_DURATION, "-106751991168d"},
        {CONF_SIZE, "1KB"},
        {CONF_SIZE, "9007199254740993MiB"},
        {CONF_SIZE, "KiB"},
        {CONF_BOOL, "Yes"},
        {CONF_BOOL, ""},
        {CONF_BOOL, "2"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        int64_t v = 42;

        if (conf_parse(rows[i].type, rows[i].text, &v))
            fail_msg("taken for a %s: %s", conf_type_name(rows[i].type), rows[i].text);
        assert_int_equal(v, 42);
    }
}

static void printed_numbers_come_back(void **state)
{
    static const int64_t numbers[] = {0,     1,        999,     1000,      1024, 90000,
                                      65536, 86400000, 1 << 30, INT64_MAX, -5000};

    (void)state;
    for (enum conf_type type = CONF_INT; type < CONF_TYPES; type++)
        for (size_t i = 0; i < LEN(numbers); i++) {
            int64_t v = 42, want = type == CONF_BOOL ? numbers[i] != 0 : numbers[i];
            char text[64];
            struct buf b;

            buf_init_fixed(&b, text, sizeof(text));
            conf_put_number(&b, type, numbers[i]);
            assert_true(conf_parse(type, text, &v));
            assert_int_equal(v, want);
        }
}

static void suggestions_are_near_or_absent(void **state)
{
    (void)state;
    assert_string_equal(conf_row_nearest("kafka_broker"), "kafka_brokers");
    assert_string_equal(conf_row_nearest("databse_ur"), "database_url");
    assert_string_equal(conf_row_nearest("driver"), "driver");
    assert_null(conf_row_nearest(""));
    assert_null(conf_row_nearest("postgres"));
    assert_null(
        conf_row_nearest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_folder(without_any_source_the_defaults_hold),
        with_folder(every_row_has_a_fitting_default_a_sentence_and_a_type),
        with_folder(a_stronger_source_wins),
        with_folder(flags_are_taken_out_and_the_rest_stays_in_order),
        with_folder(a_flag_without_its_value_is_told),
        with_folder(a_named_file_must_be_there),
        with_folder(all_problems_come_at_once),
        with_folder(files_that_are_hard_to_read_are_read),
        with_folder(files_that_mean_nothing_are_refused),
        with_folder(a_file_without_end_is_refused),
        with_folder(secrets_are_not_taken_from_flags),
        with_folder(a_url_leaks_when_it_has_a_password_in_any_form),
        with_folder(values_are_shown_with_their_place_and_secrets_masked),
        with_folder(help_and_reference_have_every_key),
        with_folder(numbers_with_units_parse_without_overflow),
        with_folder(numbers_that_are_none_are_refused_and_change_nothing),
        with_folder(printed_numbers_come_back),
        with_folder(suggestions_are_near_or_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
