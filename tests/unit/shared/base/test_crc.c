/* test_crc.c - both checksums: the published check values, and random input against bit-by-bit
 * definitions. */
#include "tests/unit/shared/support.h"

#include "shared/base/crc.h"

static uint16_t crc16_by_bits(const uint8_t *data, size_t len) {
    uint16_t crc = 0;
    for (size_t i = 0; i < len; i++)
        for (int bit = 7; bit >= 0; bit--) {
            int out = crc >> 15 ^ (data[i] >> bit & 1);
            crc = (uint16_t)(crc << 1 ^ (out ? 0x1021 : 0));
        }
    return crc;
}

static uint64_t crc64_by_bits(uint64_t crc, const uint8_t *data, size_t len) {
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ UINT64_C(0x95ac9329ac4bc9b5) : crc >> 1;
    }
    return crc;
}

static void check_values(void **state) {
    assert_int_equal(crc16("123456789", 9), 0x31c3);
    assert_int_equal(crc16("", 0), 0);
    assert_true(crc64(0, "123456789", 9) == UINT64_C(0xe9c6d914c4b8d9ca));
    assert_true(crc64(77, NULL, 0) == 77);
}

static void random_input_agrees_with_definition(void **state) {
    uint64_t random = support_seed();
    uint8_t data[300];
    for (int round = 0; round < 3000; round++) {
        size_t at = support_random(&random) % 16, len = support_random(&random) % 280;
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = (uint8_t)support_random(&random);
        assert_int_equal(crc16(data + at, len), crc16_by_bits(data + at, len));
        uint64_t start = support_random(&random);
        assert_true(crc64(start, data + at, len) == crc64_by_bits(start, data + at, len));
        size_t cut = len ? support_random(&random) % len : 0;
        assert_true(crc64(crc64(start, data + at, cut), data + at + cut, len - cut) ==
                    crc64(start, data + at, len));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_values),
        cmocka_unit_test(random_input_agrees_with_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
