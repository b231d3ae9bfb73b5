/* test_rdb_hash.c - hashes some of whose fields expire, in RDB form: round trips, the forms of 7.4 and of
 * its release candidates, refusals. */
#include "worker/persist/rdb_private.h"
#include "worker/persist/rdb_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "worker/types/hash.h"

static struct config *config;

static int setup(void **state) {
    config = config_create();
    return 0;
}
static int teardown(void **state) {
    config_free(&config);
    return 0;
}

static struct hash_limits limits(void) {
    return (struct hash_limits){.packed_entries = (uint64_t)config->hash_max_listpack_entries,
                                .packed_bytes = (uint64_t)config->hash_max_listpack_value};
}

static void round_trip(unsigned fields, enum value_encoding encoding) {
    struct value hash = hash_create(), back;
    struct hash_limits l = limits();
    struct buf out = {0};
    char text[24], error[256], digits[BYTES_I64_MAX];
    for (unsigned i = 0; i < fields; i++) {
        struct bytes field = bytes_of(text, (size_t)sprintf(text, "field:%u", i));
        hash_set(&hash, field, BYTES_LITERAL("value"), &l);
        if (i % 3 != 1)
            hash_set_field_expiry(&hash, field, 33000000000000 + i * 1000, &l);
    }
    assert_int_equal(hash.encoding, encoding);
    rdb_dump(&out, &hash);
    hash_free(&hash);
    assert_int_equal((uint8_t)out.data[0], RDB_TYPE_HASH_METADATA);
    assert_int_equal(out.data[out.len - 10], RDB_VERSION_FIELD_EXPIRY);
    if (rdb_restore(buf_bytes(&out), config, &back, error, sizeof(error)) != 0)
        fail_msg("%s", error);
    assert_int_equal(back.encoding, encoding);
    assert_int_equal(hash_count(&back), fields);
    for (unsigned i = 0; i < fields; i++) {
        struct bytes field = bytes_of(text, (size_t)sprintf(text, "field:%u", i)), value;
        assert_true(hash_get(&back, field, digits, &value));
        assert_int_equal(hash_field_expiry(&back, field),
                         i % 3 != 1 ? 33000000000000 + i * 1000 : HASH_NO_EXPIRY);
    }
    hash_free(&back);
    buf_free(&out);
}

static void round_trips(void **state) {
    round_trip(1, ENCODING_LISTPACK_EX);
    round_trip(512, ENCODING_LISTPACK_EX);
    round_trip(513, ENCODING_HASHTABLE);
    round_trip(20000, ENCODING_HASHTABLE);
}

/* What no field expires in stays readable by version 10, also if one did once. */
static void plain_stays_plain(void **state) {
    struct value hash = hash_create();
    struct hash_limits l = limits();
    struct buf out = {0};
    hash_set(&hash, BYTES_LITERAL("f"), BYTES_LITERAL("v"), &l);
    hash_set_field_expiry(&hash, BYTES_LITERAL("f"), 1000, &l);
    hash_set_field_expiry(&hash, BYTES_LITERAL("f"), HASH_NO_EXPIRY, &l);
    rdb_dump(&out, &hash);
    assert_int_equal((uint8_t)out.data[0], RDB_TYPE_HASH);
    assert_int_equal(out.data[out.len - 10], RDB_VERSION_WRITTEN);
    hash_free(&hash);
    buf_free(&out);
}

static int read_hash(const char *data, size_t len, struct value *hash_r) {
    char error[256];
    return rdb_value_read(bytes_of(data, len), config, hash_r, error, sizeof(error));
}

/* Two fields, "a" until 1000 and "b" for ever. */
static void expect_two(const char *data, size_t len) {
    struct value hash;
    assert_int_equal(read_hash(data, len, &hash), 0);
    assert_int_equal(hash_count(&hash), 2);
    assert_int_equal(hash_field_expiry(&hash, BYTES_LITERAL("a")), 1000);
    assert_int_equal(hash_field_expiry(&hash, BYTES_LITERAL("b")), HASH_NO_EXPIRY);
    hash_free(&hash);
}
#define EXPECT_TWO(bytes) expect_two(bytes, sizeof(bytes) - 1)
#define EXPECT_BAD(bytes)                                                                          \
    do {                                                                                           \
        struct value hash;                                                                         \
        assert_int_equal(read_hash(bytes, sizeof(bytes) - 1, &hash), -1);                          \
    } while (0)

/* A listpack is length, count, { 0x80 | n, n bytes, their length } or an integer, 0xff. */
static void forms(void **state) {
    EXPECT_TWO("\x18\xe8\3\0\0\0\0\0\0\2\1\1a\1x\0\1b\1y");
    EXPECT_TWO("\x18\xf4\1\0\0\0\0\0\0\2\x41\xf5\1a\1x\0\1b\1y");
    EXPECT_TWO("\x16\2\x43\xe8\1a\1x\0\1b\1y");
    static const char run[] = "\x18\x18\0\0\0\6\0\x81"
                              "a\2\x81"
                              "x\2\xc3\xe8\2\x81"
                              "b\2\x81"
                              "y\2\0\1\xff";
    char data[64];
    data[0] = 25;
    memcpy(data + 1, "\xe8\3\0\0\0\0\0\0", 8);
    memcpy(data + 9, run, sizeof(run) - 1);
    expect_two(data, 9 + sizeof(run) - 1);
    data[0] = 23;
    memcpy(data + 1, run, sizeof(run) - 1);
    expect_two(data, 1 + sizeof(run) - 1);
}

static void refusals(void **state) {
    EXPECT_BAD("\x18\xe8\3\0\0\0\0\0\xff\2\1\1a\1x\0\1b\1y");         /* first */
    EXPECT_BAD("\x18\xe8\3\0\0\0\0\0\0\1\x81\0\1\0\0\0\0\0\0\1a\1x"); /* when */
    EXPECT_BAD("\x18\xe8\3\0\0\0\0\0\0\2\1\1a\1x\0\1a\1y");           /* twice */
    EXPECT_BAD("\x18\xe8\3\0\0\0\0\0\0\2\1\1a\1x");                   /* cut short */
    EXPECT_BAD("\x18\xe8\3\0\0");
    EXPECT_BAD("\x18\xe8\3\0\0\0\0\0\0\x80\xff\xff\xff\xff\1\1a\1x"); /* count */
    EXPECT_BAD("\x17\x10\x10\0\0\0\2\0\x81"
               "a\2\x81"
               "x\2\xff"); /* no time */
    EXPECT_BAD("\x17\x13\x13\0\0\0\3\0\x81"
               "a\2\x81"
               "x\2\x81"
               "t\2\xff"); /* no number */
}

/* Damage of any kind is refused or makes another hash: nothing worse. */
static void damaged(void **state) {
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    struct buf whole[2] = {{0}};
    struct hash_limits l = limits();
    struct value hash = hash_create();
    for (char c = 'a'; c < 'k'; c++) {
        hash_set(&hash, bytes_of(&c, 1), BYTES_LITERAL("content"), &l);
        if (c % 2)
            hash_set_field_expiry(&hash, bytes_of(&c, 1), 33000000000000 + c, &l);
    }
    rdb_value_write(&whole[0], &hash, true);
    hash_free(&hash);
    buf_append(&whole[1],
               "\x19\xe8\3\0\0\0\0\0\0\x18\x18\0\0\0\6\0\x81"
               "a\2\x81x\2\xc3\xe8\2\x81"
               "b\2\x81y\2\0\1\xff",
               34);
    for (int round = 0; round < 40000; round++) {
        struct buf data = {0};
        buf_append_bytes(&data, buf_bytes(&whole[round % 2]));
        for (int n = rand_r(&seed) % 4; n >= 0; n--)
            data.data[1 + (size_t)rand_r(&seed) % (data.len - 1)] = (char)rand_r(&seed);
        if (rand_r(&seed) % 4 == 0)
            data.len = (size_t)rand_r(&seed) % data.len;
        if (read_hash(data.data, data.len, &hash) == 0)
            hash_free(&hash);
        buf_free(&data);
    }
    buf_free(&whole[0]);
    buf_free(&whole[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips), cmocka_unit_test(plain_stays_plain), cmocka_unit_test(forms),
        cmocka_unit_test(refusals),    cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
