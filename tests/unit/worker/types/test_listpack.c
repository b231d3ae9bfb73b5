/* Listpack elements: the bytes of every encoding, at its edges; sizes without bytes. */
#include "worker/types/listpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_element(struct bytes text, const char *want, size_t want_len) {
    struct buf out = {0};
    listpack_put(&out, text);
    assert_int_equal(out.len, want_len);
    assert_memory_equal(out.data, want, want_len);
    assert_int_equal(listpack_bytes(text), want_len);
    buf_free(&out);
}
#define EXPECT(text, want) expect_element(bytes_of_text(text), want, sizeof(want) - 1)

static void integers(void **state) {
    EXPECT("0", "\x00\x01");
    EXPECT("127", "\x7f\x01");
    EXPECT("128", "\xc0\x80\x02");
    EXPECT("4095", "\xcf\xff\x02");
    EXPECT("-1", "\xdf\xff\x02");
    EXPECT("-4096", "\xd0\x00\x02");
    EXPECT("4096", "\xf1\x00\x10\x03");
    EXPECT("-4097", "\xf1\xff\xef\x03");
    EXPECT("32767", "\xf1\xff\x7f\x03");
    EXPECT("-32768", "\xf1\x00\x80\x03");
    EXPECT("32768", "\xf2\x00\x80\x00\x04");
    EXPECT("-8388608", "\xf2\x00\x00\x80\x04");
    EXPECT("8388608", "\xf3\x00\x00\x80\x00\x05");
    EXPECT("-2147483648", "\xf3\x00\x00\x00\x80\x05");
    EXPECT("2147483648", "\xf4\x00\x00\x00\x80\x00\x00\x00\x00\x09");
    EXPECT("-9223372036854775808", "\xf4\x00\x00\x00\x00\x00\x00\x00\x80\x09");
}

static void texts(void **state) {
    EXPECT("", "\x80\x01");
    EXPECT("hello", "\x85hello\x06");
    EXPECT("007", "\x83\x30\x30\x37\x04");
    EXPECT("9223372036854775808", "\x93\x39\x32\x32\x33\x33\x37\x32\x30\x33\x36\x38\x35\x34\x37\x37"
                                  "\x35\x38\x30\x38\x14");
}

static void long_texts(void **state) {
    static const struct {
        size_t len, head, back;
    } cases[] = {{63, 1, 1},   {64, 2, 1},    {125, 2, 1},   {126, 2, 2},     {4095, 2, 2},
                 {4096, 5, 2}, {16377, 5, 2}, {16378, 5, 3}, {2097145, 5, 3}, {2097146, 5, 4}};
    char *text = malloc(3 << 20);
    memset(text, 'x', 3 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes t = bytes_of(text, cases[i].len);
        struct buf out = {0};
        size_t want = cases[i].head + cases[i].len + cases[i].back;
        listpack_put(&out, t);
        assert_int_equal(out.len, want);
        assert_int_equal(listpack_bytes(t), want);
        assert_int_equal((unsigned char)out.data[out.len - 1],
                         (cases[i].head + cases[i].len) % 128 | (cases[i].back > 1 ? 0x80 : 0));
        buf_free(&out);
    }
    free(text);
}

static void whole(void **state) {
    struct buf out = {0};
    buf_append_text(&out, "before");
    size_t begin = listpack_begin(&out);
    listpack_put_integer(&out, 5);
    listpack_put(&out, bytes_of_text("a"));
    listpack_end(&out, begin, 2);
    assert_int_equal(out.len, 6 + LISTPACK_FRAME_BYTES + listpack_integer_bytes(5) + 3);
    assert_memory_equal(out.data, "before\x0c\x00\x00\x00\x02\x00\x05\x01\x81\x61\x02\xff",
                        out.len);
    listpack_end(&out, 6, 70000);
    assert_memory_equal(out.data + 10, "\xff\xff", 2);
    buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(texts),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
