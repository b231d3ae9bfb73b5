/* test_peek.c - a glance agrees with the parser on whole commands, and ends where it cannot know. */
#include "worker/resp/peek.h"
#include "worker/resp/parse.h"

#include "shared/base/buf.h"
#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

enum { MAX = 16, ROUNDS = 3000 };

/* From a block of the very length, so that a sanitizer sees a byte read too many. */
static uint32_t peek(const char *text, size_t len, char *copy, struct bytes *words) {
    memcpy(copy, text, len);
    return resp_peek_words(copy, len, words, MAX);
}

static void second_words(void **state) {
    static const char text[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
                               "*1\r\n$4\r\nPING\r\n"
                               "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$2\r\n\r\n\r\n"
                               "*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n"
                               "GET inline\r\n";
    struct bytes words[MAX];
    assert_int_equal(resp_peek_words(text, sizeof(text) - 1, words, MAX), 4);
    assert_true(bytes_equal(words[0], bytes_of_text("k")));
    assert_int_equal(words[1].len, 0);
    assert_int_equal(words[2].len, 0);
    assert_true(bytes_equal(words[3], bytes_of_text("a\r\n")));
    assert_int_equal(resp_peek_words(text, sizeof(text) - 1, words, 2), 2);
}

static void strange_commands_end_it(void **state) {
    static const char *const texts[] = {"",
                                        "*",
                                        "*2",
                                        "*2\r",
                                        "*x\r\n",
                                        "*-1\r\n",
                                        "*1\r\n$-1\r\n",
                                        "*1\r\n$5000000000\r\nx\r\n",
                                        "*1\r\n$999999999\r\nx",
                                        "*1\r\n:1\r\n",
                                        "*1\r\n$1\r\nx",
                                        "*999999999\r\n$1\r\nx\r\n"};
    struct bytes words[MAX];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t len = strlen(texts[i]);
        char *copy = mem_alloc(len);
        assert_int_equal(peek(texts[i], len, copy, words), 0);
        mem_free(copy);
    }
}

static void random_command(struct buf *out) {
    uint32_t count = 1 + (uint32_t)rand() % 4;
    buf_printf(out, "*%u\r\n", count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len = (uint32_t)rand() % 12;
        buf_printf(out, "$%u\r\n", len);
        for (uint32_t k = 0; k < len; k++)
            buf_append(out, "*$\r\n1a" + rand() % 6, 1);
        buf_append_text(out, "\r\n");
    }
}

/* Streams of commands, cut anywhere: as many as the parser finds whole, and the same words. */
static void agrees_with_the_parser(void **state) {
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < ROUNDS; round++) {
        struct buf stream = {0};
        struct bytes words[MAX];
        for (int i = rand() % 6; i >= 0; i--)
            random_command(&stream);
        size_t len = (size_t)rand() % (stream.len + 1), at = 0, used;
        char *copy = mem_alloc(len);
        uint32_t count = peek(stream.data, len, copy, words), found = 0;
        struct resp_parser parser;
        resp_parser_init(&parser);
        while (at < len && resp_parse(&parser, copy + at, len - at, &used) == RESP_COMMAND) {
            struct bytes word = parser.argc > 1 ? parser.argv[1] : (struct bytes){0};
            assert_true(found < count && bytes_equal(words[found], word));
            found++;
            at += used;
        }
        assert_int_equal(found, count);
        resp_parser_free(&parser);
        mem_free(copy);
        buf_free(&stream);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_words),
        cmocka_unit_test(strange_commands_end_it),
        cmocka_unit_test(agrees_with_the_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
