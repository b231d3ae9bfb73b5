/* Lists and sets in RDB form: round trips around every threshold, the bytes real servers of all ages
 * write, and hostile bytes. */
#include "worker/persist/rdb_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared/base/clock.h"
#include "worker/types/list.h"
#include "worker/types/set.h"

static struct config *config;

static int setup(void **state) {
    config = config_create();
    return 0;
}
static int teardown(void **state) {
    config_free(&config);
    return 0;
}

static struct value read_value(struct bytes data) {
    struct value value;
    char error[256];
    if (rdb_value_read(data, config, &value, error, sizeof(error)) != 0)
        fail_msg("%s", error);
    return value;
}

/* ---- round trips ---- */

static void list_round_trip(uint32_t count, size_t len) {
    char text[9000];
    int64_t fill = config->list_max_listpack_size;
    struct value list = list_create();
    memset(text, 'x', sizeof(text));
    for (uint32_t i = 0; i < count; i++) {
        size_t digits = (size_t)sprintf(text, "%d", (int)i - 3);
        struct bytes element = bytes_of(text, i % 2 ? digits : digits + len);
        text[digits] = 'x';
        list_expect(&list, 1, element.len, fill);
        list_push(&list, LIST_BACK, element, fill);
    }
    struct buf out = {0};
    struct list_iterator it;
    struct bytes got;
    enum value_encoding encoding = list.encoding;
    rdb_value_write(&out, &list, true);
    list_free(&list);
    list = read_value(buf_bytes(&out));
    assert_int_equal(list.type, VALUE_LIST);
    assert_int_equal(list.encoding, encoding);
    assert_int_equal(list_count(&list), count);
    list_iterate(&list, 0, false, &it);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(list_next(&it, &got));
        size_t digits = (size_t)sprintf(text, "%d", (int)i - 3);
        assert_int_equal(got.len, i % 2 ? digits : digits + len);
        assert_memory_equal(got.ptr, text, digits);
        text[digits] = 'x';
    }
    list_free(&list);
    buf_free(&out);
}

static void lists_round_trip(void **state) {
    static const uint32_t counts[] = {1, 2, 429, 430, 431, 432, 1000, 20000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        list_round_trip(counts[i], 0);
        list_round_trip(counts[i], 17);
    }
    list_round_trip(5, 8190);
    list_round_trip(1, 8185);
}

static void set_round_trip(uint32_t count, const char *prefix) {
    struct set_limits limits = {.intset_entries = (uint64_t)config->set_max_intset_entries,
                                .packed_entries = (uint64_t)config->set_max_listpack_entries,
                                .packed_bytes = (uint64_t)config->set_max_listpack_value};
    char text[128];
    struct value set = set_create(ENCODING_INTSET);
    for (uint32_t i = 0; i < count; i++) {
        sprintf(text, "%s%d", prefix, (int)i * 500 - 9);
        set_add(&set, bytes_of_text(text), &limits);
    }
    struct buf out = {0};
    enum value_encoding encoding = set.encoding;
    rdb_value_write(&out, &set, true);
    set_free(&set);
    set = read_value(buf_bytes(&out));
    assert_int_equal(set.type, VALUE_SET);
    assert_int_equal(set.encoding, encoding);
    assert_int_equal(set_count(&set), count);
    for (uint32_t i = 0; i < count; i++) {
        sprintf(text, "%s%d", prefix, (int)i * 500 - 9);
        assert_true(set_has(&set, bytes_of_text(text)));
    }
    set_free(&set);
    buf_free(&out);
}

static void sets_round_trip(void **state) {
    static const uint32_t counts[] = {1, 127, 128, 129, 511, 512, 513, 20000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        set_round_trip(counts[i], "");
        set_round_trip(counts[i], "m");
        set_round_trip(counts[i],
                       "a member that is too long to be packed, of more than sixty-four bytes: ");
    }
}

/* ---- what real servers write ---- */

#define BYTES(text) bytes_of(text, sizeof(text) - 1)
/* By redis-server 7.0.15: RPUSH l a 5 -1 300 70000 "" 8388608; SADD i 1 -5 70000; SADD h a b 5; and
 * RPUSH l a b 5 6 with list-max-listpack-size 2. */
#define LISTPACK_RUN                                                                               \
    "\x1f\x1f\x00\x00\x00\x07\x00\x81\x61\x02\x05\x01\xdf\xff\x02\xc1\x2c\x02\xf2\x70\x11\x01\x04" \
    "\x80\x01\xf3\x00\x00\x80\x00\x05\xff"
static const char nodes[] = "\x12\x01\x02" LISTPACK_RUN;
static const char two_nodes[] = "\x12\x02\x02\x0d\x0d\x00\x00\x00\x02\x00\x81\x61\x02\x81\x62\x02"
                                "\xff\x02\x0b\x0b\x00\x00\x00\x02\x00\x05\x01\x06\x01\xff";
static const char intset[] =
    "\x0b\x14\x04\x00\x00\x00\x03\x00\x00\x00\xfb\xff\xff\xff\x01\x00\x00\x00\x70\x11\x01\x00";
static const char plain_set[] = "\x02\x03\xc0\x05\x01\x62\x01\x61";
/* The forms of other versions. */
static const char plain_node[] = "\x12\x02\x01\x05plain\x02" LISTPACK_RUN;
static const char packed_set[] = "\x14" LISTPACK_RUN;
static const char plain_list[] = "\x01\x03\x01"
                                 "a\xc0\x05\x00";
#define ZIPLIST_RUN                                                                                \
    "\x10\x10\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01"                                         \
    "a\x03\xf6\xff"
static const char ziplist[] = "\x0a" ZIPLIST_RUN;
static const char ziplists[] = "\x0e\x02" ZIPLIST_RUN ZIPLIST_RUN;

static void expect_list(struct bytes data, const char *want) {
    struct value list = read_value(data);
    struct list_iterator it;
    struct bytes text;
    struct buf joined = {0};
    assert_int_equal(list.type, VALUE_LIST);
    list_iterate(&list, 0, false, &it);
    while (list_next(&it, &text)) {
        buf_append_bytes(&joined, text);
        buf_append_text(&joined, ",");
    }
    buf_append(&joined, "", 1);
    assert_string_equal(joined.data, want);
    list_free(&list);
    buf_free(&joined);
}

static void lists_of_real_servers(void **state) {
    expect_list(BYTES(nodes), "a,5,-1,300,70000,,8388608,");
    expect_list(BYTES(two_nodes), "a,b,5,6,");
    expect_list(BYTES(plain_node), "plain,a,5,-1,300,70000,,8388608,");
    expect_list(BYTES(plain_list), "a,5,,");
    expect_list(BYTES(ziplist), "a,5,");
    expect_list(BYTES(ziplists), "a,5,a,5,");
}

static void expect_set(struct bytes data, enum value_encoding encoding, uint64_t count,
                       const char *member) {
    struct value set = read_value(data);
    assert_int_equal(set.type, VALUE_SET);
    assert_int_equal(set.encoding, encoding);
    assert_int_equal(set_count(&set), count);
    assert_true(set_has(&set, bytes_of_text(member)));
    set_free(&set);
}

static void sets_of_real_servers(void **state) {
    expect_set(BYTES(intset), ENCODING_INTSET, 3, "-5");
    expect_set(BYTES(intset), ENCODING_INTSET, 3, "70000");
    expect_set(BYTES(plain_set), ENCODING_LISTPACK, 3, "5");
    expect_set(BYTES(plain_set), ENCODING_LISTPACK, 3, "b");
    expect_set(BYTES(packed_set), ENCODING_LISTPACK, 7, "8388608");
    expect_set(BYTES(packed_set), ENCODING_LISTPACK, 7, "");
}

/* ---- refusals ---- */

static void expect_refused(struct bytes data, const char *words) {
    struct value value;
    char error[256] = "";
    assert_int_equal(rdb_value_read(data, config, &value, error, sizeof(error)), -1);
    if (strstr(error, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, error);
}

static void what_is_wrong_is_said(void **state) {
    expect_refused(BYTES("\x01\x00"), "without elements");
    expect_refused(BYTES("\x02\x00"), "without elements");
    expect_refused(BYTES("\x12\x00"), "without elements");
    expect_refused(BYTES("\x01\x80\xff\xff\xff\xff"), "does not fit what is left");
    expect_refused(BYTES("\x02\x80\xff\xff\xff\xff"), "does not fit what is left");
    expect_refused(BYTES("\x0e\x80\xff\xff\xff\xff"), "does not fit what is left");
    expect_refused(BYTES("\x02\x02\x01"
                         "a\x01"
                         "a"),
                   "a member twice");
    expect_refused(BYTES("\x12\x01\x03\x01"
                         "a"),
                   "unknown kind 3");
    expect_refused(BYTES("\x12\x01\x02\x01"
                         "a"),
                   "wrong frame");
    expect_refused(BYTES("\x14\x01"
                         "a"),
                   "wrong frame");
    expect_refused(BYTES("\x0b\x04\x02\x00\x00\x00"), "wrong frame");
    expect_refused(BYTES("\x0b\x0a\x03\x00\x00\x00\x01\x00\x00\x00\x01\x00"), "wrong frame");
    expect_refused(BYTES("\x0b\x0a\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00"), "wrong frame");
    expect_refused(BYTES("\x0b\x08\x02\x00\x00\x00\x00\x00\x00\x00"), "without elements");
    expect_refused(BYTES("\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x01\x00"), "in order");
    expect_refused(BYTES("\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x02\x00"), "in order");
    expect_refused(BYTES("\x14\x09\x09\x00\x00\x00\x02\x00\x01\x01\xff"), "damaged");
    expect_refused(BYTES("\x12\x01\x02\x09\x09\x00\x00\x00\x02\x00\x01\x01\xff"), "damaged");
}

#define SAMPLE(text)                                                                               \
    { text, sizeof(text) - 1 }
static const struct bytes samples[] = {
    SAMPLE(nodes),      SAMPLE(two_nodes),  SAMPLE(intset),  SAMPLE(plain_set), SAMPLE(plain_node),
    SAMPLE(packed_set), SAMPLE(plain_list), SAMPLE(ziplist), SAMPLE(ziplists),
};
enum { SAMPLES = sizeof(samples) / sizeof(*samples) };

static char *exact_copy(struct bytes sample, size_t len) {
    char *copy = malloc(len > 0 ? len : 1); /* so that a sanitizer sees a read past the end */
    assert_non_null(copy);
    memcpy(copy, sample.ptr, len);
    return copy;
}

static void every_truncation_is_refused(void **state) {
    struct value value;
    char error[256];
    for (size_t i = 0; i < SAMPLES; i++) {
        for (size_t len = 0; len < samples[i].len; len++) {
            char *cut = exact_copy(samples[i], len);
            assert_int_equal(
                rdb_value_read(bytes_of(cut, len), config, &value, error, sizeof(error)), -1);
            free(cut);
        }
    }
}

/* No outcome is wrong but a crash or a read outside; what is taken for a value can be written. */
static void noise_does_no_harm(void **state) {
    const char *given = getenv("SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)clock_mono_us();
    print_message("seed %u\n", seed);
    struct value value;
    struct buf out = {0};
    char error[256];
    for (int round = 0; round < 100000; round++) {
        struct bytes sample = samples[(unsigned)rand_r(&seed) % SAMPLES];
        char *noisy = exact_copy(sample, sample.len);
        for (int i = rand_r(&seed) % 4; i >= 0; i--)
            noisy[1 + (unsigned)rand_r(&seed) % (sample.len - 1)] = (char)rand_r(&seed);
        if (rdb_value_read(bytes_of(noisy, sample.len), config, &value, error, sizeof(error)) ==
            0) {
            buf_clear(&out);
            rdb_value_write(&out, &value, true);
            value_free(&value);
            value = read_value(buf_bytes(&out));
            value_free(&value);
        }
        free(noisy);
    }
    buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_round_trip),      cmocka_unit_test(sets_round_trip),
        cmocka_unit_test(lists_of_real_servers), cmocka_unit_test(sets_of_real_servers),
        cmocka_unit_test(what_is_wrong_is_said), cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(noise_does_no_harm),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
