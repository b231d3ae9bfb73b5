/* test_buf.c - growable buffers, against a plain array as the model. */
#include "tests/unit/shared/support.h"

#include "shared/base/buf.h"

#include <signal.h>

static void zero_is_empty_and_valid(void **state) {
    struct buf b = {0};
    buf_append(&b, NULL, 0);
    buf_consume(&b, 0);
    buf_shrink(&b, 0);
    assert_int_equal(buf_bytes(&b).len, 0);
    buf_free(&b);
}

static void printf_of_any_length(void **state) {
    struct buf b = {0};
    buf_append_text(&b, "x");
    for (int width = 0; width < 2000; width += 37) {
        size_t before = b.len;
        buf_printf(&b, "%*d", width, 7);
        assert_int_equal(b.len - before, width ? width : 1);
        assert_int_equal(b.data[b.len - 1], '7');
    }
    assert_int_equal(b.data[0], 'x');
    buf_free(&b);
}

enum { MODEL_BYTES = 8192 };

static void random_step(struct buf *b, char *model, size_t *len, uint64_t *random) {
    char piece[200];
    size_t piece_len = support_random(random) % sizeof piece;
    for (size_t i = 0; i < piece_len; i++)
        piece[i] = (char)support_random(random);
    size_t at = *len ? support_random(random) % (*len + 1) : 0;
    switch (support_random(random) % 4) {
    case 0:
        if (*len + piece_len > MODEL_BYTES)
            break;
        buf_append(b, piece, piece_len);
        memcpy(model + *len, piece, piece_len);
        *len += piece_len;
        break;
    case 1:
        if (*len + piece_len > MODEL_BYTES)
            break;
        buf_insert(b, at, piece, piece_len);
        memmove(model + at + piece_len, model + at, *len - at);
        memcpy(model + at, piece, piece_len);
        *len += piece_len;
        break;
    case 2:
        buf_consume(b, at);
        memmove(model, model + at, *len - at);
        *len -= at;
        break;
    default: buf_shrink(b, support_random(random) % 512);
    }
}

static void random_steps_agree_with_model(void **state) {
    uint64_t random = support_seed();
    struct buf b = {0};
    static char model[MODEL_BYTES];
    size_t len = 0;
    for (int step = 0; step < 50000; step++) {
        random_step(&b, model, &len, &random);
        assert_int_equal(b.len, len);
        assert_true(b.cap >= b.len);
        if (len)
            assert_memory_equal(b.data, model, len);
    }
    buf_free(&b);
}

static void shrink_gives_memory_back(void **state) {
    struct buf b = {0};
    buf_reserve(&b, 1 << 20);
    buf_append_text(&b, "kept");
    buf_shrink(&b, 2 << 20);
    assert_true(b.cap >= 1 << 20);
    buf_shrink(&b, 1024);
    assert_true(b.cap < 8192);
    assert_memory_equal(b.data, "kept", 4);
    buf_free(&b);
    assert_null(b.data);
}

static void grow_without_end(void *context) {
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO);
    struct buf b = {.len = 0};
    buf_append_text(&b, "x");
    buf_reserve(&b, SIZE_MAX);
}

static void overflow_panics(void **state) {
    int status = support_in_child(grow_without_end, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_is_empty_and_valid),
        cmocka_unit_test(printf_of_any_length),
        cmocka_unit_test(random_steps_agree_with_model),
        cmocka_unit_test(shrink_gives_memory_back),
        cmocka_unit_test(overflow_panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
