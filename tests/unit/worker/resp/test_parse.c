/* test_parse.c - the request parser: what Redis accepts and refuses, whole and in every split. */
#include "worker/resp/parse.h"

#include "shared/base/buf.h"
#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

enum { ANSWER_MAX = 4096, ROUNDS = 2000 };

/* All commands of a stream as text: arguments by '|', commands by '\n', then how it ended. */
static void describe(struct resp_parser *parser, enum resp_result result, struct buf *out) {
    if (result == RESP_PROTOCOL_ERROR) {
        buf_printf(out, "!%s\n", parser->error);
        return;
    }
    for (uint32_t i = 0; i < parser->argc; i++) {
        buf_append(out, i ? "|" : "", i != 0);
        buf_append_bytes(out, parser->argv[i]);
    }
    buf_append_text(out, parser->argc ? "\n" : "(none)\n");
}

/* Feed the stream in two parts, cut at `cut`, from a buffer that moves between the calls. */
static void feed(struct bytes stream, size_t cut, bool unauthenticated, struct buf *out) {
    struct resp_parser parser;
    resp_parser_init(&parser);
    parser.unauthenticated = unauthenticated;
    size_t at = 0, have = cut;
    while (at < stream.len) {
        char *copy = mem_alloc(have - at + 1);
        memcpy(copy, stream.ptr + at, have - at);
        size_t consumed;
        enum resp_result result = resp_parse(&parser, copy, have - at, &consumed);
        assert_true(result == RESP_COMMAND ? consumed > 0 && consumed <= have - at : consumed == 0);
        if (result != RESP_MORE)
            describe(&parser, result, out);
        mem_free(copy);
        at += consumed;
        if (result == RESP_PROTOCOL_ERROR || (result == RESP_MORE && have == stream.len))
            break;
        if (result == RESP_MORE || at == have)
            have = stream.len;
    }
    buf_printf(out, "%zu", at);
    resp_parser_free(&parser);
}

static void assert_stream(struct bytes stream, bool unauthenticated, const char *expected) {
    size_t step = stream.len > 1000 ? stream.len / 50 : 1;
    for (size_t cut = 0; cut <= stream.len; cut += step) {
        struct buf out = {0};
        feed(stream, cut, unauthenticated, &out);
        buf_append(&out, "", 1);
        assert_string_equal(out.data, expected);
        buf_free(&out);
    }
}

struct example {
    struct bytes stream;
    const char *expected;
};
#define EXAMPLE(stream, expected)                                                                  \
    { BYTES_LITERAL(stream), expected }

static void run_examples(const struct example *examples, size_t count, bool unauthenticated) {
    for (size_t i = 0; i < count; i++)
        assert_stream(examples[i].stream, unauthenticated, examples[i].expected);
}
#define RUN(examples, unauthenticated)                                                             \
    run_examples(examples, sizeof examples / sizeof *examples, unauthenticated)

static void test_multibulk(void **state) {
    static const struct example examples[] = {
        EXAMPLE("*1\r\n$4\r\nPING\r\n", "PING\n14"),
        EXAMPLE("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", "SET|k|\n26"),
        EXAMPLE("*2\r\n$3\r\nGET\r\n$12\r\nabcdefghijkl\r\n*1\r\n$4\r\nPING\r\n",
                "GET|abcdefghijkl\nPING\n46"),
        EXAMPLE("*0\r\n*1\r\n$1\r\nA\r\n", "(none)\nA\n15"),
        EXAMPLE("*-5\r\n*1\r\n$1\r\nA\r\n", "(none)\nA\n16"),
        EXAMPLE("*1\r\n$4\r\nPINGxx*1\r\n$1\r\nA\r\n", "PING\nA\n25"),
        EXAMPLE("*1\rX$4\rYPING\r\n", "PING\n14"),
        EXAMPLE("*1\r\n$4\r\nPI", "0"),
        EXAMPLE("*2\r\n$4\r\nECHO\r\n$5\r\na\r\nb\n\r\n", "ECHO|a\r\nb\n\n25"),
        EXAMPLE("*1", "0"),
        EXAMPLE("*2147483647\r\n", "0"),
    };
    RUN(examples, false);
}

static void test_protocol_errors(void **state) {
    static const struct example examples[] = {
        EXAMPLE("*abc\r\n", "!Protocol error: invalid multibulk length\n0"),
        EXAMPLE("*\r\n", "!Protocol error: invalid multibulk length\n0"),
        EXAMPLE("*+1\r\n", "!Protocol error: invalid multibulk length\n0"),
        EXAMPLE("*01\r\n", "!Protocol error: invalid multibulk length\n0"),
        EXAMPLE("*-0\r\n", "!Protocol error: invalid multibulk length\n0"),
        EXAMPLE("*1 \r\n", "!Protocol error: invalid multibulk length\n0"),
        EXAMPLE("*2147483648\r\n", "!Protocol error: invalid multibulk length\n0"),
        EXAMPLE("*99999999999999999999\r\n", "!Protocol error: invalid multibulk length\n0"),
        EXAMPLE("*1\n$4\r\nPING\r\n", "!Protocol error: invalid multibulk length\n0"),
        EXAMPLE("*1\r\n+PING\r\n", "!Protocol error: expected '$', got '+'\n0"),
        EXAMPLE("*1\r\n\r\n", "!Protocol error: expected '$', got '\r'\n0"),
        EXAMPLE("*1\r*1\r\n$4\r\nPING\r\n", "!Protocol error: expected '$', got '1'\n0"),
        EXAMPLE("*1\r\n+PING", "0"),
        EXAMPLE("*1\r\n$abc\r\n", "!Protocol error: invalid bulk length\n0"),
        EXAMPLE("*1\r\n$\r\n", "!Protocol error: invalid bulk length\n0"),
        EXAMPLE("*1\r\n$-1\r\n", "!Protocol error: invalid bulk length\n0"),
        EXAMPLE("*1\r\n$-0\r\n", "!Protocol error: invalid bulk length\n0"),
        EXAMPLE("*1\r\n$00\r\n", "!Protocol error: invalid bulk length\n0"),
        EXAMPLE("*1\r\n$4\nPING\r\n", "!Protocol error: invalid bulk length\n0"),
        EXAMPLE("*1\r\n$536870913\r\n", "!Protocol error: invalid bulk length\n0"),
        EXAMPLE("*1\r\n$99999999999999999999\r\n", "!Protocol error: invalid bulk length\n0"),
        EXAMPLE("PING\r\n*2\r\n$1\r\nA\r\n$x\r\n", "PING\n!Protocol error: invalid bulk length\n6"),
    };
    RUN(examples, false);
}

static void test_inline(void **state) {
    static const struct example examples[] = {
        EXAMPLE("PING\r\n", "PING\n6"),
        EXAMPLE("PING\nECHO x\n", "PING\nECHO|x\n12"),
        EXAMPLE("\r\nPING\r\n", "(none)\nPING\n8"),
        EXAMPLE("  SET   a\tb  \r\n", "SET|a|b\n15"),
        EXAMPLE("ECHO \"a b\\x41\\n\\\"\\q\"\r\n", "ECHO|a bA\n\"q\n22"),
        EXAMPLE("ECHO 'a\\'b\\n'\r\n", "ECHO|a'b\\n\n15"),
        EXAMPLE("ECHO a\"b c\"\r\n", "ECHO|ab c\n13"),
        EXAMPLE("ECHO a''\r\n", "ECHO|a\n10"),
        EXAMPLE("ECHO \"\" ''\r\n", "ECHO||\n12"),
        EXAMPLE("ECHO \"\\xZZ\" \"\\x4\"\r\n", "ECHO|xZZ|x4\n19"),
        EXAMPLE("ECHO \"\\r\\t\\b\\a\"\n", "ECHO|\r\t\b\a\n16"),
        EXAMPLE("ECHO a\\b a\rb\r\n", "ECHO|a\\b|a|b\n14"),
        EXAMPLE("ECHO \va\vb\r\n", "ECHO|a\vb\n11"),
        EXAMPLE("ECHO \"a b\" \"c d\" e\r\n", "ECHO|a b|c d|e\n20"),
        EXAMPLE("ECHO \"abc\r\n", "!Protocol error: unbalanced quotes in request\n0"),
        EXAMPLE("ECHO 'abc\r\n", "!Protocol error: unbalanced quotes in request\n0"),
        EXAMPLE("ECHO \"a\"b\r\n", "!Protocol error: unbalanced quotes in request\n0"),
        EXAMPLE("ECHO 'a'b\r\n", "!Protocol error: unbalanced quotes in request\n0"),
        EXAMPLE("ECHO ab\"c d\"e\r\n", "!Protocol error: unbalanced quotes in request\n0"),
        EXAMPLE("ECHO \"a\\\r\n", "!Protocol error: unbalanced quotes in request\n0"),
        EXAMPLE("ECHO a'b\r\n", "!Protocol error: unbalanced quotes in request\n0"),
        EXAMPLE("PING", "0"),
    };
    RUN(examples, false);
}

static void test_limits_before_auth(void **state) {
    static const struct example examples[] = {
        EXAMPLE("*11\r\n", "!Protocol error: unauthenticated multibulk length\n0"),
        EXAMPLE("*10\r\n$4\r\n", "0"),
        EXAMPLE("*1\r\n$16385\r\n", "!Protocol error: unauthenticated bulk length\n0"),
        EXAMPLE("*1\r\n$16384\r\n", "0"),
        EXAMPLE("*1\r\n$99999999999\r\n", "!Protocol error: invalid bulk length\n0"),
    };
    RUN(examples, true);
}

/* prefix, then `count` times c, then suffix */
static void assert_long(const char *prefix, char c, size_t count, const char *suffix,
                        const char *expected) {
    struct buf stream = {0};
    buf_append_text(&stream, prefix);
    memset(buf_reserve(&stream, count), c, count);
    stream.len += count;
    buf_append_text(&stream, suffix);
    assert_stream(buf_bytes(&stream), false, expected);
    buf_free(&stream);
}

static void test_long_lines(void **state) {
    assert_long("", 'x', RESP_INLINE_MAX, "", "0");
    assert_long("", 'x', RESP_INLINE_MAX + 1, "", "!Protocol error: too big inline request\n0");
    assert_long("", 'x', 70000, "\r\n", "!Protocol error: too big inline request\n0");
    assert_long("*", '1', RESP_INLINE_MAX - 1, "", "0");
    assert_long("*", '1', RESP_INLINE_MAX, "", "!Protocol error: too big mbulk count string\n0");
    assert_long("*1\r\n$", '1', RESP_INLINE_MAX - 1, "", "0");
    assert_long("*1\r\n$", '1', RESP_INLINE_MAX, "",
                "!Protocol error: too big bulk count string\n0");
}

static void test_bulk_max(void **state) {
    struct resp_parser parser;
    size_t consumed;
    resp_parser_init(&parser);
    parser.bulk_max = 3;
    assert_int_equal(resp_parse(&parser, "*1\r\n$3\r\nabc\r\n", 13, &consumed), RESP_COMMAND);
    assert_int_equal(resp_parse(&parser, "*1\r\n$4\r\nabcd\r\n", 14, &consumed),
                     RESP_PROTOCOL_ERROR);
    resp_parser_free(&parser);
}

static void test_need_of_a_big_argument(void **state) {
    static const char stream[] = "*2\r\n$3\r\nSET\r\n$100000\r\nxx";
    struct resp_parser parser;
    size_t consumed;
    resp_parser_init(&parser);
    assert_int_equal(resp_parse(&parser, stream, 3, &consumed), RESP_MORE);
    assert_int_equal(resp_parser_need(&parser), 0);
    assert_int_equal(resp_parse(&parser, stream, sizeof stream - 1, &consumed), RESP_MORE);
    assert_int_equal(resp_parser_need(&parser), 13 + 9 + 100000 + 2);
    resp_parser_free(&parser);
}

static void test_many_arguments_and_trim(void **state) {
    enum { MANY = 100000 };
    struct buf stream = {0};
    buf_printf(&stream, "*%d\r\n", MANY);
    for (int i = 0; i < MANY; i++)
        buf_append(&stream, "$1\r\nx\r\n", 7);
    struct resp_parser parser;
    size_t consumed = 0;
    resp_parser_init(&parser);
    assert_int_equal(resp_parse(&parser, stream.data, stream.len / 2, &consumed), RESP_MORE);
    resp_parser_trim(&parser);
    assert_int_equal(resp_parse(&parser, stream.data, stream.len, &consumed), RESP_COMMAND);
    assert_int_equal(parser.argc, MANY);
    assert_true(consumed == stream.len);
    for (int i = 0; i < MANY; i++)
        assert_true(parser.argv[i].len == 1 && parser.argv[i].ptr[0] == 'x');
    resp_parser_trim(&parser);
    assert_null(parser.argv);
    assert_int_equal(resp_parse(&parser, "*1\r\n$1\r\nA\r\n", 11, &consumed), RESP_COMMAND);
    assert_int_equal(parser.argc, 1);
    resp_parser_free(&parser);
    buf_free(&stream);
}

/* Believing the announced count would ask for gigabytes. */
static void test_announced_count_is_not_believed(void **state) {
    struct resp_parser parser;
    size_t consumed;
    resp_parser_init(&parser);
    assert_int_equal(resp_parse(&parser, "*2000000000\r\n$1\r\nx\r\n", 20, &consumed), RESP_MORE);
    assert_in_range(parser.argv_cap, 1, 65536);
    resp_parser_free(&parser);
}

/* A random command to stream, and what describe() must make of it to expected. */
static void random_command(struct buf *stream, struct buf *expected) {
    bool is_inline = rand() % 4 == 0;
    int argc = rand() % (is_inline ? 4 : 6);
    if (!is_inline)
        buf_printf(stream, "*%d\r\n", argc);
    for (int i = 0; i < argc; i++) {
        char text[40];
        int len = is_inline ? 1 + rand() % 8 : rand() % 40;
        for (int k = 0; k < len; k++)
            text[k] = (char)(is_inline ? 'a' + rand() % 26 : rand() % 256);
        if (is_inline)
            buf_append(stream, "  ", 1 + (size_t)(rand() % 2));
        else
            buf_printf(stream, "$%d\r\n", len);
        buf_append(stream, text, (size_t)len);
        if (!is_inline)
            buf_append_text(stream, "\r\n");
        buf_append(expected, i ? "|" : "", i != 0);
        buf_append(expected, text, (size_t)len);
    }
    if (is_inline)
        buf_append_text(stream, rand() % 2 ? "\r\n" : "\n");
    buf_append_text(expected, argc ? "\n" : "(none)\n");
}

static void test_random_streams(void **state) {
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < ROUNDS; round++) {
        struct buf stream = {0}, expected = {0}, got = {0};
        for (int commands = rand() % 8; commands >= 0; commands--)
            random_command(&stream, &expected);
        buf_printf(&expected, "%zu", stream.len);
        feed(buf_bytes(&stream), (size_t)rand() % (stream.len + 1), false, &got);
        assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&expected)));
        buf_free(&stream);
        buf_free(&expected);
        buf_free(&got);
    }
}

/* One byte more each call, the buffer elsewhere each time. */
static void test_byte_by_byte(void **state) {
    static const char stream[] = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$11\r\nhello world\r\n";
    struct resp_parser parser;
    size_t consumed;
    resp_parser_init(&parser);
    char *last = NULL;
    for (size_t len = 1; len < sizeof stream; len++) {
        char *copy = mem_alloc(len);
        memcpy(copy, stream, len);
        mem_free(last);
        last = copy;
        enum resp_result result = resp_parse(&parser, copy, len, &consumed);
        assert_int_equal(result, len == sizeof stream - 1 ? RESP_COMMAND : RESP_MORE);
    }
    assert_int_equal(parser.argc, 3);
    assert_true(bytes_equal(parser.argv[0], BYTES_LITERAL("SET")));
    assert_true(bytes_equal(parser.argv[1], BYTES_LITERAL("key")));
    assert_true(bytes_equal(parser.argv[2], BYTES_LITERAL("hello world")));
    mem_free(last);
    resp_parser_free(&parser);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multibulk),
        cmocka_unit_test(test_protocol_errors),
        cmocka_unit_test(test_inline),
        cmocka_unit_test(test_limits_before_auth),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_bulk_max),
        cmocka_unit_test(test_need_of_a_big_argument),
        cmocka_unit_test(test_many_arguments_and_trim),
        cmocka_unit_test(test_announced_count_is_not_believed),
        cmocka_unit_test(test_random_streams),
        cmocka_unit_test(test_byte_by_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
