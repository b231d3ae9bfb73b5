/* test_aof_load.c - one file of a log, cut and damaged at every place. Commands go to a list here, so
 * that what was applied can be compared with what was written. */
#include "worker/persist/aof_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/crc.h"

enum { BEHIND = 1000 };
static struct config *config;
static struct keyspace *ks;
static struct buf applied; /* words by spaces, commands by newlines */
static struct buf seen;    /* the bytes of all commands, as they were read */

static int setup(void **state) {
    static const uint64_t seed[2] = {1, 2};
    static const struct keyspace_hooks no_hooks;
    config = config_create();
    ks = keyspace_create(16, seed, &no_hooks);
    return 0;
}
static int teardown(void **state) {
    keyspace_free(&ks);
    config_free(&config);
    buf_free(&applied);
    buf_free(&seen);
    return 0;
}

static int on_apply(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                    size_t error_bytes) {
    static const char *const known[] = {"SET", "INCR", "SELECT", "DEL"};
    bool ok = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        ok |= bytes_equal_nocase(argv[0], known[i]) && argc == (uint32_t)(i == 0 ? 3 : 2);
    if (!ok) {
        snprintf(error_r, error_bytes, "unknown");
        return -1;
    }
    for (uint32_t i = 0; i < argc; i++) {
        buf_append_bytes(&applied, argv[i]);
        buf_append_text(&applied, i + 1 < argc ? " " : "\n");
    }
    return 0;
}

static size_t whole; /* bytes of the file */

static void on_read(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw,
                    uint64_t left) {
    assert_in_range(left - BEHIND, 1, whole - seen.len);
    buf_append_bytes(&seen, raw);
}

static struct aof_loaded loaded;
static char error[512];

static int load(struct bytes content, bool may_be_cut) {
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(write(fileno(file), content.ptr, content.len), content.len);
    lseek(fileno(file), 0, SEEK_SET);
    struct aof_load_job job = {.ks = ks,
                               .config = config,
                               .apply = on_apply,
                               .read = on_read,
                               .behind = BEHIND,
                               .may_be_cut = may_be_cut};
    whole = content.len;
    buf_clear(&applied);
    buf_clear(&seen);
    error[0] = '\0';
    keyspace_flush_all(ks, false);
    int result = aof_load_fd(fileno(file), content.len, &job, &loaded, error, sizeof error);
    fclose(file);
    return result;
}

/* ---- building a log ---- */
static void add_command(struct buf *log, const char *words) {
    struct bytes argv[8];
    uint32_t argc = 0;
    for (const char *at = words; *at != '\0'; argc++) {
        size_t len = strcspn(at, " ");
        argv[argc] = bytes_of(at, len);
        at += len + (at[len] == ' ');
    }
    aof_format_command(log, argc, argv);
}
static void add_checksum(struct buf *log) {
    char command[AOF_CHECKSUM_BYTES];
    aof_checksum_format(command, crc64(0, log->data, log->len));
    buf_append(log, command, sizeof command);
}

/* What must have been applied when the file ends at an offset. */
struct expectation {
    size_t end;
    size_t applied; /* bytes of the whole list */
};
static struct buf build(struct expectation *at, uint32_t *count_r) {
    static const char *const batches[3][4] = {
        {"SELECT 0", "SET a 1", "SET key some-longer-value"},
        {"INCR a", "SET PING *2"},
        {"SELECT 3", "SET b xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "DEL b", "INCR c"}};
    struct buf log = {0};
    size_t list = 0;
    *count_r = 0;
    at[(*count_r)++] = (struct expectation){0, 0};
    for (int b = 0; b < 3; b++) {
        for (int i = 0; i < 4 && batches[b][i] != NULL; i++) {
            add_command(&log, batches[b][i]);
            list += strlen(batches[b][i]) + 1;
            at[(*count_r)++] = (struct expectation){log.len, list};
        }
        add_checksum(&log);
        at[(*count_r)++] = (struct expectation){log.len, list};
    }
    return log;
}

static void a_whole_log_is_read(void **state) {
    struct expectation at[32];
    uint32_t count;
    struct buf log = build(at, &count);
    assert_int_equal(load(buf_bytes(&log), false), 0);
    assert_int_equal(loaded.commands, 9);
    assert_int_equal(loaded.checksums, 3);
    assert_int_equal(loaded.end, log.len);
    assert_int_equal(loaded.cut_bytes, 0);
    assert_true(loaded.crc == crc64(0, log.data, log.len));
    assert_int_equal(applied.len, at[count - 1].applied);
    buf_free(&log);
}

static void a_cut_anywhere_keeps_what_is_before_it(void **state) {
    struct expectation at[32];
    uint32_t count, last = 0;
    struct buf log = build(at, &count);
    assert_int_equal(load(buf_bytes(&log), true), 0);
    char *all = strndup(applied.data, applied.len);
    for (size_t len = 0; len <= log.len; len++) {
        while (last + 1 < count && at[last + 1].end <= len)
            last++;
        if (load(bytes_of(log.data, len), true) != 0)
            fail_msg("cut at %zu: %s", len, error);
        assert_int_equal(loaded.end, at[last].end);
        assert_int_equal(loaded.cut_bytes, len - at[last].end);
        assert_int_equal(applied.len, at[last].applied);
        assert_memory_equal(applied.len ? applied.data : "", all, applied.len);
        assert_true(loaded.crc == crc64(0, log.data, loaded.end));
        assert_int_equal(load(bytes_of(log.data, len), false), len == at[last].end ? 0 : -1);
    }
    free(all);
    buf_free(&log);
}

/* Zeros where the file system had promised space but not written. */
static void zeros_at_the_end_are_a_cut(void **state) {
    struct expectation at[32];
    uint32_t count, last = 0;
    struct buf log = build(at, &count);
    char *copy = malloc(log.len + 8192);
    for (size_t len = 0; len <= log.len; len += 7) {
        while (last + 1 < count && at[last + 1].end <= len)
            last++;
        memcpy(copy, log.data, len);
        memset(copy + len, 0, 8192);
        assert_int_equal(load(bytes_of(copy, len + 8192), true), 0);
        assert_int_equal(loaded.end, at[last].end);
        assert_int_equal(load(bytes_of(copy, len + 8192), false), -1);
    }
    free(copy);
    buf_free(&log);
}

/* Either it is refused, or the same commands were applied and none is lost. */
static void every_flipped_bit_is_found_or_harmless(void **state) {
    struct expectation at[32];
    uint32_t count;
    struct buf log = build(at, &count);
    assert_int_equal(load(buf_bytes(&log), true), 0);
    char *all = strndup(applied.data, applied.len);
    for (size_t bit = 0; bit < log.len * 8; bit++) {
        log.data[bit / 8] ^= (char)(1 << bit % 8);
        if (load(buf_bytes(&log), true) == 0) {
            /* Only the last checksum command can be spoilt without harm: its framing, its name. */
            if (bit / 8 + AOF_CHECKSUM_BYTES < log.len)
                fail_msg("bit %zu of byte %zu was not seen", bit % 8, bit / 8);
            if (applied.len != at[count - 1].applied || memcmp(applied.data, all, applied.len) != 0)
                fail_msg("bit %zu of byte %zu changed what was applied", bit % 8, bit / 8);
        }
        log.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    free(all);
    buf_free(&log);
}

static void a_hole_and_a_swap_are_found(void **state) {
    struct buf log = {0}, bad = {0};
    size_t ends[4] = {0};
    for (int i = 1; i <= 3; i++) {
        add_command(&log, i == 2 ? "SET k 2" : "SET k 1");
        add_checksum(&log);
        ends[i] = log.len;
    }
    /* The second batch is missing. */
    buf_append(&bad, log.data, ends[1]);
    buf_append(&bad, log.data + ends[2], ends[3] - ends[2]);
    assert_int_equal(load(buf_bytes(&bad), true), -1);
    assert_non_null(strstr(error, "wrong checksum"));
    /* The second and third have changed places. */
    buf_clear(&bad);
    buf_append(&bad, log.data, ends[1]);
    buf_append(&bad, log.data + ends[2], ends[3] - ends[2]);
    buf_append(&bad, log.data + ends[1], ends[2] - ends[1]);
    assert_int_equal(load(buf_bytes(&bad), true), -1);
    /* The first is there twice. */
    buf_clear(&bad);
    buf_append(&bad, log.data, ends[1]);
    buf_append(&bad, log.data, ends[1]);
    assert_int_equal(load(buf_bytes(&bad), true), -1);
    buf_free(&log);
    buf_free(&bad);
}

/* A length that swallows the rest of the file looks like a cut end. */
static void damage_is_not_taken_for_a_cut(void **state) {
    struct buf log = {0};
    add_command(&log, "SET a 1");
    add_checksum(&log);
    size_t length_at = log.len + 5; /* of the second command's name */
    add_command(&log, "SET b 2");
    add_checksum(&log);
    add_command(&log, "SET c 3");
    add_checksum(&log);
    add_command(&log, "SET d 4");
    assert_int_equal(log.data[length_at], '3');
    buf_insert(&log, length_at + 1, "000", 3);
    assert_int_equal(load(buf_bytes(&log), true), -1);
    if (strstr(error, "damaged") == NULL)
        fail_msg("%s", error);
    buf_free(&log);
}

/* A client may store such bytes; cut within them, the tail is a tail. */
static void stored_checksum_commands_mean_nothing(void **state) {
    struct buf log = {0}, inner = {0};
    add_command(&inner, "SET x y");
    add_checksum(&inner);
    struct bytes argv[3] = {BYTES_LITERAL("SET"), BYTES_LITERAL("k"), buf_bytes(&inner)};
    aof_format_command(&log, 3, argv);
    add_checksum(&log);
    assert_int_equal(load(buf_bytes(&log), true), 0);
    assert_int_equal(loaded.checksums, 1);
    size_t cut = log.len - AOF_CHECKSUM_BYTES - 2; /* before the value's CR LF */
    assert_int_equal(load(bytes_of(log.data, cut - 1), true), 0);
    assert_int_equal(loaded.end, 0);
    buf_free(&log);
    buf_free(&inner);
}

static void a_foreign_tail_is_covered_by_the_next_checksum(void **state) {
    struct buf log = {0};
    add_command(&log, "SET a 1");
    add_checksum(&log);
    add_command(&log, "SET by another-server");
    assert_int_equal(load(buf_bytes(&log), false), 0);
    assert_true(loaded.crc == crc64(0, log.data, log.len));
    add_command(&log, "SET by us");
    add_checksum(&log);
    assert_int_equal(load(buf_bytes(&log), false), 0);
    assert_int_equal(loaded.checksums, 2);
    buf_free(&log);
}

static void transactions_are_whole_or_not_there(void **state) {
    struct buf log = {0};
    add_command(&log, "SET a 1");
    size_t before = log.len;
    add_command(&log, "MULTI");
    add_command(&log, "INCR a");
    add_command(&log, "INCR b");
    size_t inside = log.len;
    add_command(&log, "EXEC");
    for (size_t len = before + 1; len < log.len; len++) {
        assert_int_equal(load(bytes_of(log.data, len), true), 0);
        assert_int_equal(loaded.end, before);
        assert_int_equal(loaded.commands, 1);
        assert_true(loaded.crc == crc64(0, log.data, before));
        assert_true(bytes_equal(buf_bytes(&seen), bytes_of(log.data, before)));
    }
    assert_int_equal(load(buf_bytes(&log), false), 0);
    assert_int_equal(loaded.commands, 3);
    assert_true(bytes_equal(buf_bytes(&seen), buf_bytes(&log))); /* MULTI and EXEC, too */
    assert_int_equal(load(bytes_of(log.data, inside), false), -1);
    assert_non_null(strstr(error, "incomplete transaction"));
    buf_free(&log);
}

static void annotations_are_passed_over(void **state) {
    struct buf log = {0};
    buf_append_text(&log, "#TS:1700000000\r\n");
    add_command(&log, "SET a 1");
    buf_append_text(&log, "#TS:1700000001\r\n");
    assert_int_equal(load(buf_bytes(&log), false), 0);
    assert_int_equal(loaded.commands, 1);
    buf_free(&log);
}

static void nonsense_is_refused_with_its_place(void **state) {
    static const struct {
        const char *text, *words;
    } bad[] = {{"SET a 1\r\n", "at byte 0: 0x53 does not begin a command"},
               {"*1\r\n$4\r\nQUUX\r\n", "at byte 0: command 'QUUX' was refused: unknown"},
               {"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n:1\r\n", "at byte 21: Protocol error"},
               {"*0\r\n", "an empty command"},
               {"*1\r\n$4\r\nEXEC\r\n", "EXEC without MULTI"},
               {"*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n", "MULTI within MULTI"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(load(bytes_of_text(bad[i].text), true), -1);
        if (strstr(error, bad[i].words) == NULL)
            fail_msg("'%s' is not in '%s'", bad[i].words, error);
    }
}

/* Commands that cross the reader's blocks. */
static void long_logs_are_read_in_blocks(void **state) {
    struct buf log = {0};
    char *value = malloc(700001);
    memset(value, 'v', 700000);
    for (int i = 0; i < 40; i++) {
        value[700000 - i * 17003] = '\0';
        struct bytes argv[3] = {BYTES_LITERAL("SET"), BYTES_LITERAL("k"), bytes_of_text(value)};
        aof_format_command(&log, 3, argv);
        for (int j = 0; j < 100; j++)
            add_command(&log, "INCR counter");
        add_checksum(&log);
    }
    assert_int_equal(load(buf_bytes(&log), false), 0);
    assert_int_equal(loaded.commands, 40 * 101);
    assert_int_equal(loaded.checksums, 40);
    /* Cut within a value that is longer than what is left of the file. */
    size_t first = log.len;
    buf_append_text(&log, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$99999999999\r\nvalue");
    assert_int_equal(load(buf_bytes(&log), true), 0);
    assert_int_equal(loaded.end, first);
    free(value);
    buf_free(&log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_log_is_read),
        cmocka_unit_test(a_cut_anywhere_keeps_what_is_before_it),
        cmocka_unit_test(zeros_at_the_end_are_a_cut),
        cmocka_unit_test(every_flipped_bit_is_found_or_harmless),
        cmocka_unit_test(a_hole_and_a_swap_are_found),
        cmocka_unit_test(damage_is_not_taken_for_a_cut),
        cmocka_unit_test(stored_checksum_commands_mean_nothing),
        cmocka_unit_test(a_foreign_tail_is_covered_by_the_next_checksum),
        cmocka_unit_test(transactions_are_whole_or_not_there),
        cmocka_unit_test(annotations_are_passed_over),
        cmocka_unit_test(nonsense_is_refused_with_its_place),
        cmocka_unit_test(long_logs_are_read_in_blocks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
