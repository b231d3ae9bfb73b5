/* HyperLogLog: the bytes of the sparse form, both forms against each other, the estimate, hostile strings. */
#include "shared/base/mem.h"
#include "worker/types/hyperloglog.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { SPARSE_MAX = 3000 };

static void expect_runs(const struct buf *hll, const char *want) {
    struct buf text = {0};
    assert_true(hll_describe(buf_bytes(hll), &text));
    buf_append(&text, "", 1);
    assert_string_equal(text.data, want);
    buf_free(&text);
}

static void test_sparse_runs(void **state) {
    struct buf hll = {0};
    hll_create(&hll);
    assert_true(hll_is_valid(buf_bytes(&hll)));
    expect_runs(&hll, "Z:16384");
    /* As a real redis-server 7.0.15 has it after PFADD h a b c. */
    assert_int_equal(hll_add(&hll, BYTES_LITERAL("a"), SPARSE_MAX), HLL_CHANGED);
    assert_int_equal(hll_add(&hll, BYTES_LITERAL("b"), SPARSE_MAX), HLL_CHANGED);
    assert_int_equal(hll_add(&hll, BYTES_LITERAL("c"), SPARSE_MAX), HLL_CHANGED);
    assert_int_equal(hll_add(&hll, BYTES_LITERAL("a"), SPARSE_MAX), HLL_SAME);
    expect_runs(&hll, "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603");
    buf_free(&hll);
}

static void test_neighbours(void **state) {
    struct buf hll = {0};
    hll_create(&hll);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(hll_raise(&hll, i, 3, SPARSE_MAX), HLL_CHANGED);
    expect_runs(&hll, "v:3,4 Z:16380");
    assert_int_equal(hll_raise(&hll, 4, 3, SPARSE_MAX), HLL_CHANGED);
    expect_runs(&hll, "v:3,4 v:3,1 Z:16379");
    assert_int_equal(hll_raise(&hll, 1, 7, SPARSE_MAX), HLL_CHANGED);
    expect_runs(&hll, "v:3,1 v:7,1 v:3,3 Z:16379");
    assert_int_equal(hll_raise(&hll, 16383, 32, SPARSE_MAX), HLL_CHANGED);
    expect_runs(&hll, "v:3,1 v:7,1 v:3,3 Z:16378 v:32,1");
    assert_int_equal(hll_raise(&hll, 16382, 33, SPARSE_MAX), HLL_CHANGED);
    assert_false(hll_is_sparse(buf_bytes(&hll)));
    assert_int_equal(hll.len, HLL_DENSE_BYTES);
    buf_free(&hll);
}

/* The same elements into a sparse, a dense and a growing one: the same registers throughout. */
static void test_forms_agree(void **state) {
    enum { ELEMENTS = 30000 };
    struct buf sparse = {0}, dense = {0}, growing = {0};
    hll_create(&sparse);
    hll_create(&dense);
    hll_create(&growing);
    assert_int_equal(hll_make_dense(&dense), HLL_CHANGED);
    assert_int_equal(hll_make_dense(&dense), HLL_SAME);
    for (uint64_t n = 1; n <= ELEMENTS; n++) {
        struct bytes element = bytes_of((const char *)&n, sizeof(n));
        enum hll_outcome outcome = hll_add(&dense, element, SPARSE_MAX);
        assert_int_equal(hll_add(&sparse, element, 2 * HLL_DENSE_BYTES), outcome);
        assert_int_equal(hll_add(&growing, element, SPARSE_MAX), outcome);
        if (n % 3000 != 0)
            continue;
        uint8_t registers[3][HLL_REGISTERS] = {{0}};
        assert_true(hll_merge(registers[0], buf_bytes(&dense)));
        assert_true(hll_merge(registers[1], buf_bytes(&sparse)));
        assert_true(hll_merge(registers[2], buf_bytes(&growing)));
        assert_memory_equal(registers[0], registers[1], HLL_REGISTERS);
        assert_memory_equal(registers[0], registers[2], HLL_REGISTERS);
        double error = fabs((double)hll_estimate(registers[0]) / (double)n - 1);
        assert_true(error < 0.04);
    }
    assert_true(hll_is_sparse(buf_bytes(&sparse)));
    assert_false(hll_is_sparse(buf_bytes(&growing)));
    buf_free(&sparse);
    buf_free(&dense);
    buf_free(&growing);
}

static void test_cached(void **state) {
    struct buf hll = {0};
    uint64_t count;
    hll_create(&hll);
    assert_true(hll_cached(buf_bytes(&hll), &count));
    assert_int_equal(count, 0);
    hll_set_cached(hll.data, 12345);
    assert_true(hll_cached(buf_bytes(&hll), &count));
    assert_int_equal(count, 12345);
    hll_forget_cached(hll.data);
    assert_false(hll_cached(buf_bytes(&hll), &count));
    buf_free(&hll);
}

static void expect_corrupt(const char *ops, size_t len) {
    struct buf hll = {0}, text = {0};
    uint8_t registers[HLL_REGISTERS] = {0};
    hll_create(&hll);
    hll.len = HLL_HEADER_BYTES;
    buf_append(&hll, ops, len);
    assert_true(hll_is_valid(buf_bytes(&hll)));
    assert_false(hll_merge(registers, buf_bytes(&hll)));
    assert_false(hll_describe(buf_bytes(&hll), &text));
    assert_int_equal(hll_raise(&hll, 16383, 40, SPARSE_MAX), HLL_CORRUPT);
    assert_int_equal(hll_raise(&hll, 16383, 1, SPARSE_MAX), HLL_CORRUPT);
    buf_free(&text);
    buf_free(&hll);
}

static void test_hostile(void **state) {
    expect_corrupt("", 0);
    expect_corrupt("\x7f", 1);         /* an XZERO cut short */
    expect_corrupt("\x7f\xfe", 2);     /* too few registers */
    expect_corrupt("\x7f\xfe\x01", 3); /* too many */
    expect_corrupt("\x80\x7f\xff", 3);
    assert_false(hll_is_valid(BYTES_LITERAL("HYLL")));
    assert_false(hll_is_valid(BYTES_LITERAL("HYLL\2\0\0\0\0\0\0\0\0\0\0\0\x7f\xff")));
    assert_false(hll_is_valid(BYTES_LITERAL("HYLL\0\0\0\0\0\0\0\0\0\0\0\0\x7f\xff")));
}

/* Runs at random: read, raised, merged, made dense, never beyond their bytes. */
static void test_any_runs(void **state) {
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    for (int round = 0; round < 20000; round++) {
        uint8_t registers[HLL_REGISTERS] = {0};
        struct buf hll = {0}, text = {0};
        hll_create(&hll);
        if (rand_r(&seed) % 2)
            hll.len = HLL_HEADER_BYTES;
        for (int n = rand_r(&seed) % 12; n > 0; n--) {
            char op = (char)rand_r(&seed);
            buf_append(&hll, &op, 1);
        }
        char *exact = mem_alloc(hll.len); /* so that a sanitizer sees what is read behind it */
        memcpy(exact, hll.data, hll.len);
        bool whole = hll_merge(registers, bytes_of(exact, hll.len));
        assert_int_equal(hll_describe(bytes_of(exact, hll.len), &text), whole);
        mem_free(exact);
        for (int n = 0; n < 8; n++)
            hll_raise(&hll, (uint32_t)rand_r(&seed) % HLL_REGISTERS,
                      (uint8_t)(1 + rand_r(&seed) % 40), (uint64_t)rand_r(&seed) % 40);
        hll_make_dense(&hll);
        buf_free(&hll);
        buf_free(&text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sparse_runs), cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_forms_agree), cmocka_unit_test(test_cached),
        cmocka_unit_test(test_hostile),     cmocka_unit_test(test_any_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
