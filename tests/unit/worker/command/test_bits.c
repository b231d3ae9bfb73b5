/* Bits of a text against the bit by bit way, at every alignment. */
#include "worker/command/bits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { BYTES = 40, ROUNDS = 20000 };

static unsigned seed;

static void random_bytes(char *text) {
    int how = rand() % 3; /* all alike but for a few, or anything */
    for (int i = 0; i < BYTES; i++)
        text[i] = (char)(how == 0 ? 0 : how == 1 ? 0xFF : rand());
    text[rand() % BYTES] ^= (char)(1 << rand() % 8);
}

static void random_range(uint64_t *first, uint64_t *last) {
    uint64_t a = (uint64_t)rand() % (BYTES * 8), b = (uint64_t)rand() % (BYTES * 8);
    *first = a < b ? a : b;
    *last = a < b ? b : a;
}

static void test_count_and_find(void **state) {
    char text[BYTES];
    struct bytes all = bytes_of(text, BYTES);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t first, last, ones = 0, found[2];
        random_bytes(text);
        random_range(&first, &last);
        found[0] = found[1] = last + 1;
        for (uint64_t bit = last + 1; bit-- > first;) {
            ones += bits_get(all, bit);
            found[bits_get(all, bit)] = bit;
        }
        if (bits_count(all, first, last) != ones ||
            bits_find(all, false, first, last) != found[0] ||
            bits_find(all, true, first, last) != found[1])
            fail_msg("seed %u: bits %llu..%llu", seed, (unsigned long long)first,
                     (unsigned long long)last);
    }
}

static void test_read_and_write(void **state) {
    char text[BYTES], before[BYTES];
    for (int round = 0; round < ROUNDS; round++) {
        random_bytes(text);
        memcpy(before, text, BYTES);
        uint32_t width = 1 + (uint32_t)rand() % 64;
        uint64_t at = (uint64_t)rand() % (BYTES * 8 - width + 1);
        uint64_t value = (uint64_t)rand() << 40 ^ (uint64_t)rand() << 20 ^ (uint64_t)rand();
        uint64_t mask = UINT64_MAX >> (64 - width), want = 0;
        for (uint32_t i = 0; i < width; i++)
            want = want << 1 | bits_get(bytes_of(text, BYTES), at + i);
        if (bits_read(bytes_of(text, BYTES), at, width) != want)
            fail_msg("seed %u: read %u bits at %llu", seed, width, (unsigned long long)at);
        bits_write(text, at, width, value);
        if (bits_read(bytes_of(text, BYTES), at, width) != (value & mask))
            fail_msg("seed %u: write %u bits at %llu", seed, width, (unsigned long long)at);
        for (uint64_t bit = 0; bit < BYTES * 8; bit++) {
            if (bit < at || bit >= at + width)
                assert_int_equal(bits_get(bytes_of(text, BYTES), bit),
                                 bits_get(bytes_of(before, BYTES), bit));
        }
    }
}

static void test_past_the_end(void **state) {
    struct bytes text = BYTES_LITERAL("\xff");
    assert_false(bits_get(text, 8));
    assert_false(bits_get(text, UINT64_MAX));
    assert_int_equal(bits_read(text, 4, 8), 0xF0);
    assert_int_equal(bits_read(text, 1000, 64), 0);
    assert_int_equal(bits_read(BYTES_LITERAL(""), 0, 1), 0);
}

int main(void) {
    seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_and_find),
        cmocka_unit_test(test_read_and_write),
        cmocka_unit_test(test_past_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
