/* test_snapshot_check.c - snapshots that come in pieces of any size: whole ones are known, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/crc.h"
#include "worker/persist/snapshot_check.h"

enum { LEN = 60 };

/* "REDIS0011", bytes of all kinds, 0xff, the checksum. */
static void make(unsigned char bytes[LEN]) {
    memcpy(bytes, "REDIS0011", 9);
    for (unsigned i = 9; i < LEN - 9; i++)
        bytes[i] = (unsigned char)(i * 37);
    bytes[LEN - 9] = 0xff;
    uint64_t crc = crc64(0, bytes, LEN - 8);
    for (unsigned i = 0; i < 8; i++)
        bytes[LEN - 8 + i] = (unsigned char)(crc >> (8 * i));
}

static bool is_whole(const unsigned char *bytes, size_t len, size_t piece) {
    struct snapshot_check check = {0};
    for (size_t at = 0; at < len; at += piece)
        snapshot_check_add(&check, bytes + at, len - at < piece ? len - at : piece);
    return snapshot_check_is_whole(&check);
}

static void test_pieces(void **state) {
    unsigned char bytes[LEN];
    make(bytes);
    for (size_t piece = 1; piece <= LEN; piece++) {
        assert_true(is_whole(bytes, LEN, piece));
        for (size_t len = 0; len < LEN; len++)
            assert_false(is_whole(bytes, len, piece));
    }
}

static void test_every_bit(void **state) {
    unsigned char bytes[LEN];
    make(bytes);
    for (unsigned bit = 0; bit < LEN * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(is_whole(bytes, LEN, 7));
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}

/* rdbchecksum no: only the end can be seen. */
static void test_no_checksum(void **state) {
    unsigned char bytes[LEN];
    make(bytes);
    memset(bytes + LEN - 8, 0, 8);
    assert_true(is_whole(bytes, LEN, 10));
    assert_false(is_whole(bytes, LEN - 1, 10));
    bytes[LEN - 9] = 0xfe;
    assert_false(is_whole(bytes, LEN, 10));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_no_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
