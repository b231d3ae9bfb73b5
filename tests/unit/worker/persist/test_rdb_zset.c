/* test_rdb_zset.c - sorted sets in RDB form: round trips, every form real servers write, refusals. */
#include "worker/persist/rdb_private.h"
#include "worker/persist/rdb_value.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/types/zset.h"

static struct config *config;

static int setup(void **state) {
    config = config_create();
    return 0;
}
static int teardown(void **state) {
    config_free(&config);
    return 0;
}

static void read_zset(const char *bytes, size_t len, struct value *value_r) {
    char error[256];
    if (rdb_value_read(bytes_of(bytes, len), config, value_r, error, sizeof error) != 0)
        fail_msg("%s", error);
    assert_int_equal(value_r->type, VALUE_ZSET);
}

static void expect_pairs(const char *bytes, size_t len, uint32_t count, const char *const *members,
                         const double *scores) {
    struct value zset;
    struct zset_iterator it;
    struct bytes member;
    double score;
    read_zset(bytes, len, &zset);
    assert_int_equal(zset_count(&zset), count);
    zset_iterate(&zset, 0, false, &it);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(zset_next(&it, &member, &score));
        assert_true(bytes_equal(member, bytes_of_text(members[i])));
        assert_true(score == scores[i]);
    }
    zset_free(&zset);
}

static void round_trip(int members, enum value_encoding encoding) {
    struct zset_limits limits = {.packed_entries = (uint64_t)config->zset_max_listpack_entries,
                                 .packed_bytes = (uint64_t)config->zset_max_listpack_value};
    struct value zset = zset_create(), back;
    struct buf out = {0};
    char text[24];
    for (int i = 0; i < members; i++) {
        double score = i % 5 == 0 ? i / 7.0 : i % 7 == 0 ? -INFINITY : i % 11 == 0 ? INFINITY : i;
        zset_add(&zset, bytes_of(text, (size_t)sprintf(text, "%d", i * 31)), &score, 0, &limits);
    }
    rdb_value_write(&out, &zset, true);
    uint64_t count = zset_count(&zset);
    assert_int_equal(zset.encoding, encoding);
    zset_free(&zset);
    read_zset(out.data, out.len, &back);
    assert_int_equal(back.encoding, encoding);
    assert_int_equal(zset_count(&back), count);
    for (int i = 0; i < members; i++) {
        double score, want = i % 5 == 0    ? i / 7.0
                             : i % 7 == 0  ? -INFINITY
                             : i % 11 == 0 ? INFINITY
                                           : i;
        assert_true(zset_score(&back, bytes_of(text, (size_t)sprintf(text, "%d", i * 31)), &score));
        assert_true(score == want);
    }
    zset_free(&back);
    buf_free(&out);
}

static void round_trips(void **state) {
    round_trip(1, ENCODING_LISTPACK);
    round_trip(128, ENCODING_LISTPACK);
    round_trip(129, ENCODING_SKIPLIST);
    round_trip(5000, ENCODING_SKIPLIST);
}

#define EXPECT(bytes, count, members, scores)                                                      \
    expect_pairs(bytes, sizeof(bytes) - 1, count, members, scores)

static void every_form_is_read(void **state) {
    static const char *const members[] = {"c", "a", "7"};
    static const double scores[] = {-INFINITY, 1.5, INFINITY};
    EXPECT("\x05\x03\xc0\x07\x00\x00\x00\x00\x00\x00\xf0\x7f"
           "\x01"
           "a\x00\x00\x00\x00\x00\x00\xf8\x3f"
           "\x01"
           "c\x00\x00\x00\x00\x00\x00\xf0\xff",
           3, members, scores);
    EXPECT("\x03\x03\xc0\x07\xfe\x01"
           "a\x03"
           "1.5\x01"
           "c\xff",
           3, members, scores);
    EXPECT("\x11\x1f\x1f\x00\x00\x00\x06\x00"
           "\x81"
           "c\x02"
           "\x84"
           "-inf\x05"
           "\x81"
           "a\x02"
           "\x83"
           "1.5\x04"
           "\x07\x01"
           "\x83"
           "inf\x04\xff",
           3, members, scores);
    EXPECT("\x0c\x23\x23\x00\x00\x00\x1d\x00\x00\x00\x06\x00"
           "\x00\x01"
           "c\x03\x04"
           "-inf\x06\x01"
           "a\x03\x03"
           "1.5\x05\xf8"
           "\x02\x03"
           "inf\xff",
           3, members, scores);
}

static void expect_refused(const char *bytes, size_t len, const char *words) {
    struct value value;
    char error[256] = "";
    assert_int_equal(rdb_value_read(bytes_of(bytes, len), config, &value, error, sizeof error), -1);
    if (strstr(error, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error, words);
}
#define REFUSED(bytes, words) expect_refused(bytes, sizeof(bytes) - 1, words)

static void what_is_wrong_is_said(void **state) {
    REFUSED("\x05\x00", "without elements");
    REFUSED("\x05\x02\x01"
            "a\x00\x00\x00\x00\x00\x00\xf8\x3f",
            "does not fit");
    REFUSED("\x05\x01\x01"
            "a\x00\x00\x00\x00\x00\x00\xf8\x7f",
            "not a number");
    REFUSED("\x05\x02\x01"
            "a\x00\x00\x00\x00\x00\x00\xf8\x3f\x01"
            "a\x00\x00\x00\x00\x00\x00\xf0\x3f",
            "member twice");
    REFUSED("\x03\x01\x01"
            "a\xfd",
            "not a number");
    REFUSED("\x03\x01\x01"
            "a\x02"
            "1x",
            "not a number");
    REFUSED("\x11\x0a\x0a\x00\x00\x00\x01\x00\x81"
            "c\x02\xff",
            "damaged");
    REFUSED("\x11\x0d\x0d\x00\x00\x00\x02\x00\x81"
            "c\x02\x81"
            "x\x02\xff",
            "not a number");
}

static void truncations_are_refused(void **state) {
    static const char whole[] = "\x05\x02\x01"
                                "b\x00\x00\x00\x00\x00\x00\xf8\x3f\x01"
                                "a\x00\x00\x00\x00\x00\x00\xf0\x3f";
    for (size_t len = 0; len < sizeof(whole) - 1; len++)
        expect_refused(whole, len, "");
    struct value value;
    read_zset(whole, sizeof(whole) - 1, &value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(truncations_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
