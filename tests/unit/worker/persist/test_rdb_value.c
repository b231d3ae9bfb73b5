/* test_rdb_value.c - values in RDB form: round trips, the bytes real servers write, hostile bytes. */
#include "worker/persist/rdb_value.h"
#include "worker/persist/rdb_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared/base/clock.h"
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

static void expect_text(struct bytes data, struct bytes want) {
    struct value value;
    char error[256], digits[BYTES_I64_MAX];
    if (rdb_value_read(data, config, &value, error, sizeof error) != 0)
        fail_msg("%s", error);
    assert_int_equal(value.type, VALUE_STRING);
    struct bytes got = value_string_bytes(&value, digits);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.ptr, want.ptr, want.len);
}

static void expect_written(struct bytes text, const char *bytes, size_t len) {
    struct buf out = {0};
    struct value value = value_string(text);
    rdb_value_write(&out, &value, true);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, bytes, len);
    expect_text(buf_bytes(&out), text);
    buf_free(&out);
}
#define EXPECT_WRITTEN(text, bytes) expect_written(BYTES_LITERAL(text), bytes, sizeof(bytes) - 1)

/* The same bytes as redis-server 7.0.15 writes for these values. */
static void strings_are_written_as_redis_does(void **state) {
    EXPECT_WRITTEN("", "\x00\x00");
    EXPECT_WRITTEN("0", "\x00\xc0\x00");
    EXPECT_WRITTEN("-128", "\x00\xc0\x80");
    EXPECT_WRITTEN("127", "\x00\xc0\x7f");
    EXPECT_WRITTEN("128", "\x00\xc1\x80\x00");
    EXPECT_WRITTEN("-32768", "\x00\xc1\x00\x80");
    EXPECT_WRITTEN("32768", "\x00\xc2\x00\x80\x00\x00");
    EXPECT_WRITTEN("2147483647", "\x00\xc2\xff\xff\xff\x7f");
    EXPECT_WRITTEN("-2147483648", "\x00\xc2\x00\x00\x00\x80");
    EXPECT_WRITTEN("2147483648", "\x00\x0a"
                                 "2147483648");
    EXPECT_WRITTEN("007", "\x00\x03"
                          "007");
    EXPECT_WRITTEN("-0", "\x00\x02-0");
    EXPECT_WRITTEN("\x00\xff\r\n", "\x00\x04\x00\xff\r\n");
}

static void lengths_round_trip(void **state) {
    static const size_t lengths[] = {1, 63, 64, 65, 16383, 16384, 70000, 300000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int compress = 0; compress < 2; compress++) {
            char *text = malloc(lengths[i]);
            for (size_t j = 0; j < lengths[i]; j++)
                text[j] = (char)(j * j >> 3);
            struct buf out = {0};
            struct value value = value_string(bytes_of(text, lengths[i]));
            rdb_value_write(&out, &value, compress);
            expect_text(buf_bytes(&out), bytes_of(text, lengths[i]));
            buf_free(&out);
            free(text);
        }
}

static void long_repetition_is_compressed(void **state) {
    char text[5000];
    memset(text, 'x', sizeof text);
    struct buf out = {0};
    struct value value = value_string(bytes_of(text, sizeof text));
    rdb_value_write(&out, &value, true);
    assert_true(out.len < 200);
    assert_int_equal((unsigned char)out.data[1], 0xC3);
    expect_text(buf_bytes(&out), bytes_of(text, sizeof text));
    buf_free(&out);
}

/* ---- hashes ---- */
static void expect_field(const struct value *hash, const char *field, const char *want) {
    struct bytes got;
    char digits[BYTES_I64_MAX];
    if (!hash_get(hash, bytes_of_text(field), digits, &got))
        fail_msg("no field %s", field);
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void read_hash(struct bytes data, struct value *value_r) {
    char error[256];
    if (rdb_value_read(data, config, value_r, error, sizeof error) != 0)
        fail_msg("%s", error);
    assert_int_equal(value_r->type, VALUE_HASH);
}

static void hash_round_trip(uint32_t fields) {
    struct hash_limits limits = {.packed_entries = (uint64_t)config->hash_max_listpack_entries,
                                 .packed_bytes = (uint64_t)config->hash_max_listpack_value};
    struct value hash = hash_create(), back;
    char field[32], content[32];
    for (uint32_t i = 0; i < fields; i++) {
        snprintf(field, sizeof field, "field%u", i);
        snprintf(content, sizeof content, i % 2 ? "%d" : "v%d", (int)i * 1000 - 500);
        hash_set(&hash, bytes_of_text(field), bytes_of_text(content), &limits);
    }
    struct buf out = {0};
    rdb_value_write(&out, &hash, true);
    enum value_encoding encoding = hash.encoding;
    hash_free(&hash);
    read_hash(buf_bytes(&out), &back);
    assert_int_equal(hash_count(&back), fields);
    assert_int_equal(back.encoding, encoding);
    for (uint32_t i = 0; i < fields; i++) {
        snprintf(field, sizeof field, "field%u", i);
        snprintf(content, sizeof content, i % 2 ? "%d" : "v%d", (int)i * 1000 - 500);
        expect_field(&back, field, content);
    }
    hash_free(&back);
    buf_free(&out);
}
static void hashes_round_trip(void **state) {
    hash_round_trip(1);
    hash_round_trip((uint32_t)config->hash_max_listpack_entries);
    hash_round_trip((uint32_t)config->hash_max_listpack_entries + 1);
    hash_round_trip(5000);
}

/* DUMP of HSET small field value number 12 negative -1 n13 -4096 n16 -32768 n24 8388607 n32 2147483647
 * n64 -9223372036854775808 by redis-server 7.0.15. */
static const char listpack[] =
    "\x10\x40\x61\x61\x00\x00\x00\x10\x00\x85"
    "field\x06\x85value\x06\x86number\x07\x0c\x01\x88negative\x09\xdf\xff\x02\x83n13\x04\xd0\x00"
    "\x02\x83n16\x04\xf1\x00\x80\x03\x83n24\x04\xf2\xff\xff\x7f\x04\x83n32\x04\xf3\xff\xff\xff"
    "\x7f\x05\x83n64\x04\xf4\x00\x00\x00\x00\x00\x00\x00\x80\x09\xff";
static void expect_all_integers(struct bytes data) {
    struct value hash;
    read_hash(data, &hash);
    assert_int_equal(hash_count(&hash), 8);
    expect_field(&hash, "field", "value");
    expect_field(&hash, "number", "12");
    expect_field(&hash, "negative", "-1");
    expect_field(&hash, "n13", "-4096");
    expect_field(&hash, "n16", "-32768");
    expect_field(&hash, "n24", "8388607");
    expect_field(&hash, "n32", "2147483647");
    expect_field(&hash, "n64", "-9223372036854775808");
    hash_free(&hash);
}
static void listpack_is_read(void **state) {
    expect_all_integers(bytes_of(listpack, sizeof listpack - 1));
}

/* Builds the same hash in the forms that no server of today writes any more. */
static void put_ziplist(struct buf *run, const char *bytes, size_t len, size_t *previous) {
    uint8_t before = (uint8_t)*previous;
    buf_append(run, &before, 1);
    buf_append(run, bytes, len);
    *previous = len + 1;
}
#define ZIP(bytes) put_ziplist(&run, bytes, sizeof(bytes) - 1, &previous)
static void ziplist_is_read(void **state) {
    struct buf run = {0}, out = {0};
    size_t previous = 0;
    buf_append(&run, "\0\0\0\0\0\0\0\0\x10\0", 10);
    ZIP("\x05"
        "field");
    ZIP("\x05value");
    ZIP("\x06number");
    ZIP("\xfd"); /* 12 */
    ZIP("\x40\x08negative");
    ZIP("\xfe\xff");
    ZIP("\x80\x00\x00\x00\x03n13");
    ZIP("\xc0\x00\xf0");
    ZIP("\x03n16");
    ZIP("\xc0\x00\x80");
    ZIP("\x03n24");
    ZIP("\xf0\xff\xff\x7f");
    ZIP("\x03n32");
    ZIP("\xd0\xff\xff\xff\x7f");
    ZIP("\x03n64");
    size_t tail = run.len;
    ZIP("\xe0\x00\x00\x00\x00\x00\x00\x00\x80");
    buf_append(&run, "\xff", 1);
    run.data[0] = (char)run.len;
    run.data[4] = (char)tail;
    buf_append(&out, "\x0d\x40", 2);
    buf_append(&out, &(char){(char)run.len}, 1);
    buf_append_bytes(&out, buf_bytes(&run));
    expect_all_integers(buf_bytes(&out));
    buf_free(&run);
    buf_free(&out);
}

static void zipmap_is_read(void **state) {
    static const char zipmap[] = "\x09\x16\x02\x05"
                                 "field\x03\x01val!\xfe\x04\x00\x00\x00name\x02\x00\x34\x32\xff";
    struct buf out = {0};
    struct value hash;
    buf_append(&out, zipmap, sizeof zipmap - 1);
    out.data[1] = (char)(out.len - 2);
    read_hash(buf_bytes(&out), &hash);
    assert_int_equal(hash_count(&hash), 2);
    expect_field(&hash, "field", "val");
    expect_field(&hash, "name", "42");
    hash_free(&hash);
    buf_free(&out);
}

/* ---- refusals ---- */
static void expect_refused(const char *bytes, size_t len, const char *words) {
    struct value value;
    char error[256] = "";
    assert_int_equal(rdb_value_read(bytes_of(bytes, len), config, &value, error, sizeof error), -1);
    if (strstr(error, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, error);
}
#define EXPECT_REFUSED(bytes, words) expect_refused(bytes, sizeof(bytes) - 1, words)
static void what_is_wrong_is_said(void **state) {
    EXPECT_REFUSED("", "1 bytes are announced, 0 are left");
    EXPECT_REFUSED("\x00\x05"
                   "abc",
                   "at byte 2: 5 bytes are announced, 3 are left");
    EXPECT_REFUSED("\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff", "are left");
    EXPECT_REFUSED("\x00\x82\x00", "does not begin a length");
    EXPECT_REFUSED("\x00\xc4", "unknown string form");
    EXPECT_REFUSED("\x00\x01zz", "1 bytes too many");
    EXPECT_REFUSED("\x00\xc3\x02\x80\x7f\xff\xff\xff\x00\x61", "claims to hold");
    EXPECT_REFUSED("\x00\xc3\x02\x0a\x20\xff", "does not unpack");
    EXPECT_REFUSED("\x07\x00", "values of type module value are not supported");
    EXPECT_REFUSED("\x08\x00", "0x08 is no type");
    EXPECT_REFUSED("\x04\x00", "without elements");
    EXPECT_REFUSED("\x04\x80\xff\xff\xff\xff", "does not fit what is left");
    EXPECT_REFUSED("\x04\xc0\x01", "where a length belongs");
    EXPECT_REFUSED("\x04\x02\x01"
                   "a\x01"
                   "b\x01"
                   "a\x01"
                   "c",
                   "a field twice");
    EXPECT_REFUSED("\x10\x07\x08\x00\x00\x00\x00\x00\xff", "wrong frame");
    EXPECT_REFUSED("\x10\x07\x07\x00\x00\x00\x00\x00\xff", "without elements");
    EXPECT_REFUSED("\x10\x09\x09\x00\x00\x00\x01\x00\x01\x01\xff", "damaged");
}

static void every_truncation_is_refused(void **state) {
    struct value value;
    char error[256];
    for (size_t len = 0; len < sizeof listpack - 1; len++) {
        char *exact = malloc(len + 1); /* so that a sanitizer sees a read past the end */
        memcpy(exact, listpack, len);
        char *shrunk = realloc(exact, len > 0 ? len : 1);
        assert_int_equal(rdb_value_read(bytes_of(shrunk, len), config, &value, error, sizeof error),
                         -1);
        free(shrunk);
    }
}

/* No outcome is wrong but a crash or a read outside. */
static void noise_does_no_harm(void **state) {
    const char *given = getenv("SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)clock_mono_us();
    print_message("seed %u\n", seed);
    struct value value;
    char error[256];
    for (int round = 0; round < 200000; round++) {
        size_t len = sizeof listpack - 1;
        char *noisy = malloc(len);
        memcpy(noisy, listpack, len);
        static const char types[] = {0x10, 0x0d, 0x09, 0x04};
        noisy[0] = types[rand_r(&seed) % 4];
        for (int i = rand_r(&seed) % 4; i >= 0; i--)
            noisy[rand_r(&seed) % len] = (char)rand_r(&seed);
        if (rdb_value_read(bytes_of(noisy, len), config, &value, error, sizeof error) == 0)
            value_free(&value);
        free(noisy);
    }
}

/* ---- DUMP and RESTORE ---- */
static void dump_is_what_redis_gives(void **state) {
    static const char want[] = "\x00\xc0\x0a\x0a\x00\x6e\x9f\x57\x45\x0e\xae\x63\xbb";
    struct buf out = {0};
    struct value value = value_string(BYTES_LITERAL("10")), back;
    char error[256];
    rdb_dump(&out, &value);
    assert_int_equal(out.len, sizeof want - 1);
    assert_memory_equal(out.data, want, out.len);
    assert_int_equal(rdb_restore(buf_bytes(&out), config, &back, error, sizeof error), 0);
    assert_int_equal(back.number, 10);
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        out.data[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(rdb_restore(buf_bytes(&out), config, &back, error, sizeof error),
                         RDB_RESTORE_BAD_PAYLOAD);
        out.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_written_as_redis_does),
        cmocka_unit_test(lengths_round_trip),
        cmocka_unit_test(long_repetition_is_compressed),
        cmocka_unit_test(hashes_round_trip),
        cmocka_unit_test(listpack_is_read),
        cmocka_unit_test(ziplist_is_read),
        cmocka_unit_test(zipmap_is_read),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(noise_does_no_harm),
        cmocka_unit_test(dump_is_what_redis_gives),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
