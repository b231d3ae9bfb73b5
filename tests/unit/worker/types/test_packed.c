/* Packed collections against a plain array of texts, and against damaged bytes. */
#include "worker/types/packed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct bytes text_at(struct buf *packed, int64_t index, char *digits) {
    size_t at = packed_index(buf_bytes(packed), index);
    assert_true(at < packed->len);
    return packed_text(buf_bytes(packed), at, digits);
}

static void assert_text(struct bytes got, const char *want) {
    if (!bytes_equal(got, bytes_of_text(want)))
        fail_msg("got \"%.*s\", want \"%s\"", (int)got.len, got.ptr, want);
}

static void append_text(struct buf *packed, const char *text) {
    packed_append(packed, bytes_of_text(text));
}

static void test_empty(void **state) {
    struct buf packed = {0};
    uint64_t count = 99;
    packed_init(&packed);
    assert_int_equal(packed_count(buf_bytes(&packed)), 0);
    assert_int_equal(packed_first(buf_bytes(&packed)), packed.len);
    assert_int_equal(packed_prev(buf_bytes(&packed), packed.len), 0);
    assert_int_equal(packed_index(buf_bytes(&packed), 0), packed.len);
    assert_int_equal(packed_index(buf_bytes(&packed), -1), packed.len);
    assert_true(packed_valid(buf_bytes(&packed), &count));
    assert_int_equal(count, 0);
    buf_free(&packed);
}

/* Every integer width at its edges comes back as the text that went in, in the fewest bytes. */
static void test_integers(void **state) {
    static const struct {
        int64_t number;
        size_t bytes; /* with the back length */
    } cases[] = {
        {0, 2},          {-1, 2},           {110, 2},
        {111, 3},        {-2, 3},           {INT8_MIN, 3},
        {INT8_MAX, 3},   {INT8_MAX + 1, 4}, {INT8_MIN - 1, 4},
        {INT16_MIN, 4},  {INT16_MAX, 4},    {INT16_MAX + 1, 6},
        {INT32_MIN, 6},  {INT32_MAX, 6},    {INT32_MAX + 1L, 10},
        {INT64_MIN, 10}, {INT64_MAX, 10},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char want[32], digits[BYTES_I64_MAX];
        struct buf packed = {0};
        snprintf(want, sizeof(want), "%lld", (long long)cases[i].number);
        packed_init(&packed);
        append_text(&packed, want);
        assert_int_equal(packed.len, PACKED_HEADER + cases[i].bytes);
        assert_text(text_at(&packed, 0, digits), want);
        struct packed_element element;
        packed_get(buf_bytes(&packed), packed_first(buf_bytes(&packed)), &element);
        assert_true(element.is_integer);
        assert_true(element.number == cases[i].number);
        assert_true(packed_valid(buf_bytes(&packed), NULL));
        buf_free(&packed);
    }
}

/* What only looks like a number must come back as it was. */
static void test_not_canonical(void **state) {
    static const char *const texts[] = {
        "-0", "007", "+1", " 1", "1 ", "9223372036854775808", "-9223372036854775809",
        "",   "1.0", "-",  "00"};
    char digits[BYTES_I64_MAX];
    struct buf packed = {0};
    packed_init(&packed);
    size_t count = sizeof(texts) / sizeof(texts[0]);
    for (size_t i = 0; i < count; i++)
        append_text(&packed, texts[i]);
    for (size_t i = 0; i < count; i++)
        assert_text(text_at(&packed, (int64_t)i, digits), texts[i]);
    buf_free(&packed);
}

/* Texts at every border of head and back length, walked both ways. */
static void test_text_sizes(void **state) {
    static const size_t sizes[] = {0,     1,     62,    63,      64,      125,     126,    127,
                                   128,   129,   255,   16379,   16380,   16381,   16382,  16383,
                                   16384, 16385, 70000, 2097146, 2097147, 2097148, 2097152};
    size_t count = sizeof(sizes) / sizeof(sizes[0]);
    struct buf packed = {0};
    char *text = malloc(sizes[count - 1]);
    memset(text, 'x', sizes[count - 1]);
    packed_init(&packed);
    for (size_t i = 0; i < count; i++)
        packed_append(&packed, bytes_of(text, sizes[i]));
    assert_true(packed_valid(buf_bytes(&packed), NULL));
    struct bytes all = buf_bytes(&packed);
    size_t at = packed_first(all);
    for (size_t i = 0; i < count; i++, at = packed_next(all, at))
        assert_true(bytes_equal(packed_text(all, at, NULL), bytes_of(text, sizes[i])));
    assert_int_equal(at, all.len);
    for (size_t i = count; i-- > 0;) {
        at = packed_prev(all, at);
        assert_int_equal(packed_text(all, at, NULL).len, sizes[i]);
    }
    assert_int_equal(packed_prev(all, at), 0);
    free(text);
    buf_free(&packed);
}

static void test_find_by_stride(void **state) {
    struct buf packed = {0};
    packed_init(&packed);
    static const char *const texts[] = {"a", "b", "b", "c", "12", "a"};
    for (size_t i = 0; i < 6; i++)
        append_text(&packed, texts[i]);
    struct bytes all = buf_bytes(&packed);
    size_t first = packed_first(all);
    assert_int_equal(packed_find(all, first, BYTES_LITERAL("b"), 1), packed_index(all, 1));
    assert_int_equal(packed_find(all, first, BYTES_LITERAL("b"), 2), packed_index(all, 2));
    assert_int_equal(packed_find(all, first, BYTES_LITERAL("12"), 2), packed_index(all, 4));
    assert_int_equal(packed_find(all, first, BYTES_LITERAL("c"), 2), all.len);
    assert_int_equal(packed_find(all, first, BYTES_LITERAL("012"), 1), all.len);
    assert_int_equal(packed_find(all, packed_index(all, 1), BYTES_LITERAL("a"), 2),
                     packed_index(all, 5));
    buf_free(&packed);
}

/* ---- against a model ---- */

enum { MODEL_MAX = 200, MODEL_STEPS = 20000 };
static struct {
    char text[MODEL_MAX][256];
    size_t len[MODEL_MAX];
    size_t count;
} model;

static size_t random_text(char *out) {
    if (rand() % 3 == 0)
        return (size_t)snprintf(
            out, 256, "%lld",
            (long long)(((uint64_t)rand() << (rand() % 40)) - (uint64_t)(rand() % 3)));
    size_t len = (size_t)rand() % (rand() % 4 == 0 ? 200 : 20);
    for (size_t i = 0; i < len; i++)
        out[i] = (char)rand();
    return len;
}

static void model_insert(size_t at, const char *text, size_t len) {
    memmove(model.text[at + 1], model.text[at], (model.count - at) * sizeof(model.text[0]));
    memmove(model.len + at + 1, model.len + at, (model.count - at) * sizeof(model.len[0]));
    memcpy(model.text[at], text, len);
    model.len[at] = len;
    model.count++;
}

static void model_delete(size_t at, size_t count) {
    size_t end = at + count > model.count ? model.count : at + count;
    memmove(model.text[at], model.text[end], (model.count - end) * sizeof(model.text[0]));
    memmove(model.len + at, model.len + end, (model.count - end) * sizeof(model.len[0]));
    model.count -= end - at;
}

static void model_compare(struct bytes packed, unsigned seed, int step) {
    char digits[BYTES_I64_MAX];
    size_t at = packed_first(packed);
    for (size_t i = 0; i < model.count; i++, at = packed_next(packed, at)) {
        struct bytes got = packed_text(packed, at, digits);
        if (!bytes_equal(got, bytes_of(model.text[i], model.len[i])))
            fail_msg("seed %u, step %d: element %zu differs", seed, step, i);
    }
    if (at != packed.len || packed_count(packed) != model.count || !packed_valid(packed, NULL))
        fail_msg("seed %u, step %d: count %zu or bytes wrong", seed, step, model.count);
}

static void test_model(void **state) {
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    struct buf packed = {0};
    packed_init(&packed);
    model.count = 0;
    for (int step = 0; step < MODEL_STEPS; step++) {
        char text[256];
        size_t len = random_text(text);
        size_t index = model.count > 0 ? (size_t)rand() % model.count : 0;
        size_t at = packed_index(buf_bytes(&packed), (int64_t)index);
        int what = rand() % 4;
        if (model.count + 1 < MODEL_MAX && (what < 2 || model.count == 0)) {
            packed_insert(&packed, at, bytes_of(text, len));
            model_insert(index, text, len);
        } else if (what == 2) {
            packed_replace(&packed, at, bytes_of(text, len));
            memcpy(model.text[index], text, len);
            model.len[index] = len;
        } else {
            size_t count = (size_t)rand() % 3;
            packed_delete(&packed, at, count);
            model_delete(index, count);
        }
        if (step % 16 == 0)
            model_compare(buf_bytes(&packed), seed, step);
    }
    model_compare(buf_bytes(&packed), seed, MODEL_STEPS);
    buf_free(&packed);
}

/* More elements than the count can say. */
static void test_many(void **state) {
    struct buf packed = {0};
    char digits[BYTES_I64_MAX], want[16];
    enum { MANY = 70000 };
    packed_init(&packed);
    for (int i = 0; i < MANY; i++) {
        snprintf(want, sizeof(want), "%d", i);
        append_text(&packed, want);
    }
    assert_int_equal(packed_count(buf_bytes(&packed)), MANY);
    uint64_t count;
    assert_true(packed_valid(buf_bytes(&packed), &count));
    assert_int_equal(count, MANY);
    assert_text(text_at(&packed, -1, digits), "69999");
    packed_delete(&packed, packed_first(buf_bytes(&packed)), MANY - 3);
    assert_int_equal(packed_count(buf_bytes(&packed)), 3);
    assert_text(text_at(&packed, 0, digits), "69997");
    buf_free(&packed);
}

/* Cut anywhere, or with any byte changed: packed_valid() says no, or all of it can be walked. The copy
 * has no byte to spare, so that a sanitizer sees a step outside. */
static void walk_if_valid(const char *data, size_t len) {
    char digits[BYTES_I64_MAX];
    char *copy = malloc(len + 1);
    memcpy(copy + 1, data, len);
    struct bytes packed = bytes_of(copy + 1, len);
    uint64_t count, walked = 0;
    if (packed_valid(packed, &count)) {
        for (size_t at = packed_first(packed); at < len; at = packed_next(packed, at), walked++)
            packed_text(packed, at, digits);
        assert_int_equal(walked, count);
        for (size_t at = packed_prev(packed, len); at != 0; at = packed_prev(packed, at))
            walked--;
        assert_int_equal(walked, 0);
    }
    free(copy);
}

static void test_hostile(void **state) {
    struct buf packed = {0};
    char text[300];
    memset(text, 'y', sizeof(text));
    packed_init(&packed);
    append_text(&packed, "12345");
    append_text(&packed, "hello");
    packed_append(&packed, bytes_of(text, 300));
    append_text(&packed, "-7000000000");
    append_text(&packed, "5");
    for (size_t len = 0; len < packed.len; len++) {
        assert_false(packed_valid(bytes_of(packed.data, len), NULL));
        walk_if_valid(packed.data, len);
    }
    for (size_t at = 0; at < packed.len; at++) {
        char old = packed.data[at];
        for (int byte = 0; byte < 256; byte++) {
            packed.data[at] = (char)byte;
            walk_if_valid(packed.data, packed.len);
        }
        packed.data[at] = old;
    }
    packed.data[0]++; /* the count */
    assert_false(packed_valid(buf_bytes(&packed), NULL));
    assert_false(packed_valid(BYTES_LITERAL(""), NULL));
    assert_false(packed_valid(BYTES_LITERAL("\0"), NULL));
    assert_false(packed_valid(BYTES_LITERAL("\1\0\x80\xff\xff\xff\xff\x05"), NULL));
    buf_free(&packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),          cmocka_unit_test(test_integers),
        cmocka_unit_test(test_not_canonical),  cmocka_unit_test(test_text_sizes),
        cmocka_unit_test(test_find_by_stride), cmocka_unit_test(test_model),
        cmocka_unit_test(test_many),           cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
