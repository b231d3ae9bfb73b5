/* test_reply.c - every reply in RESP2 and RESP3, byte for byte, and reading them back. */
#include "worker/resp/reply.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

static struct buf out;
static struct reply reply_2 = {.out = &out, .version = 2}, reply_3 = {.out = &out, .version = 3};

static void assert_out(const char *text, size_t len, const char *expected, int line) {
    if (out.len != len || memcmp(out.data, expected, len) != 0) {
        print_error("%s: got '%.*s'\n", text, (int)out.len, out.data);
        _fail(__FILE__, line);
    }
    buf_clear(&out);
}

/* The call, with r as RESP2 and as RESP3, writes these bytes. */
#define WRITES(call, expected_2, expected_3)                                                       \
    do {                                                                                           \
        struct reply *r = &reply_2;                                                                \
        call;                                                                                      \
        assert_out(#call " in RESP2", sizeof(expected_2) - 1, expected_2, __LINE__);               \
        r = &reply_3;                                                                              \
        call;                                                                                      \
        assert_out(#call " in RESP3", sizeof(expected_3) - 1, expected_3, __LINE__);               \
    } while (0)
#define WRITES_ALIKE(call, expected) WRITES(call, expected, expected)

static void test_scalars(void **state) {
    WRITES_ALIKE(reply_ok(r), "+OK\r\n");
    WRITES_ALIKE(reply_status(r, "PONG"), "+PONG\r\n");
    WRITES_ALIKE(reply_integer(r, 0), ":0\r\n");
    WRITES_ALIKE(reply_integer(r, 9), ":9\r\n");
    WRITES_ALIKE(reply_integer(r, 10), ":10\r\n");
    WRITES_ALIKE(reply_integer(r, 99), ":99\r\n");
    WRITES_ALIKE(reply_integer(r, 100), ":100\r\n");
    WRITES_ALIKE(reply_integer(r, -1), ":-1\r\n");
    WRITES_ALIKE(reply_integer(r, INT64_MAX), ":9223372036854775807\r\n");
    WRITES_ALIKE(reply_integer(r, INT64_MIN), ":-9223372036854775808\r\n");
    WRITES(reply_null(r), "$-1\r\n", "_\r\n");
    WRITES(reply_null_array(r), "*-1\r\n", "_\r\n");
    WRITES(reply_bool(r, true), ":1\r\n", "#t\r\n");
    WRITES(reply_bool(r, false), ":0\r\n", "#f\r\n");
}

static void test_texts(void **state) {
    WRITES_ALIKE(reply_bulk(r, BYTES_LITERAL("hello")), "$5\r\nhello\r\n");
    WRITES_ALIKE(reply_bulk(r, BYTES_LITERAL("")), "$0\r\n\r\n");
    WRITES_ALIKE(reply_bulk(r, bytes_of(NULL, 0)), "$0\r\n\r\n");
    WRITES_ALIKE(reply_bulk(r, BYTES_LITERAL("a\0b\r\n")), "$5\r\na\0b\r\n\r\n");
    WRITES_ALIKE(reply_bulk_text(r, "0123456789"), "$10\r\n0123456789\r\n");
    WRITES_ALIKE(reply_bulk_integer(r, -42), "$3\r\n-42\r\n");
    WRITES(reply_big_number(r, BYTES_LITERAL("1234567999999999999999999999999999999")),
           "$37\r\n1234567999999999999999999999999999999\r\n",
           "(1234567999999999999999999999999999999\r\n");
    WRITES(reply_verbatim(r, "txt", BYTES_LITERAL("abc")), "$3\r\nabc\r\n", "=7\r\ntxt:abc\r\n");
    WRITES(reply_verbatim(r, "md", BYTES_LITERAL("")), "$0\r\n\r\n", "=4\r\nmd :\r\n");
    WRITES_ALIKE(reply_raw(r, BYTES_LITERAL("*1\r\n:1\r\n")), "*1\r\n:1\r\n");
}

static void test_doubles(void **state) {
    WRITES(reply_double(r, 0.1), "$3\r\n0.1\r\n", ",0.1\r\n");
    WRITES(reply_double(r, 3), "$1\r\n3\r\n", ",3\r\n");
    WRITES(reply_double(r, INFINITY), "$3\r\ninf\r\n", ",inf\r\n");
    WRITES(reply_double(r, -INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
    WRITES(reply_double(r, (double)NAN), "$3\r\nnan\r\n", ",nan\r\n");
}

static void test_aggregates(void **state) {
    WRITES_ALIKE(reply_array(r, 0), "*0\r\n");
    WRITES_ALIKE(reply_array(r, 123456), "*123456\r\n");
    WRITES(reply_map(r, 5), "*10\r\n", "%5\r\n");
    WRITES(reply_set(r, 3), "*3\r\n", "~3\r\n");
    WRITES(reply_push(r, 2), "*2\r\n", ">2\r\n");
    WRITES(reply_attribute(r, 1), "", "|1\r\n");
}

static void write_nested(struct reply *r) {
    size_t array = reply_mark(r);
    reply_integer(r, 1);
    size_t map = reply_mark(r);
    reply_bulk_text(r, "k");
    reply_ok(r);
    reply_close_map(r, map, 1);
    size_t set = reply_mark(r);
    reply_close_set(r, set, 0);
    reply_close_array(r, array, 3);
}

static void test_counts_known_at_the_end(void **state) {
    WRITES(write_nested(r), "*3\r\n:1\r\n*2\r\n$1\r\nk\r\n+OK\r\n*0\r\n",
           "*3\r\n:1\r\n%1\r\n$1\r\nk\r\n+OK\r\n~0\r\n");
}

static void test_error_forms(void **state) {
    char longer[700];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    reply_3.errors = 0;
    WRITES_ALIKE(reply_error(r, reply_err_syntax), "-ERR syntax error\r\n");
    WRITES_ALIKE(reply_error_format(r, "ERR %s '%d'\r\n", "no", 7), "-ERR no '7'\r\n");
    WRITES_ALIKE(reply_error_format(r, "ERR a\nb"), "-ERR a b\r\n");
    assert_int_equal(reply_3.errors, 3);
    reply_error_format(&reply_3, "ERR %s\n", longer);
    assert_int_equal(out.len, 5 + 699 + 2);
    assert_memory_equal(out.data, "-ERR xxx", 8);
    assert_memory_equal(out.data + out.len - 3, "x\r\n", 3);
    buf_clear(&out);
}

/* ---- reading ---- */

#define LENGTH(text) resp_value_length(text, sizeof(text) - 1)

static void test_value_length_by_type(void **state) {
    static const char *const whole[] = {
        "+OK\r\n",
        "-ERR no\r\n",
        ":-5\r\n",
        "_\r\n",
        ",1.5\r\n",
        "#t\r\n",
        "(123\r\n",
        "$-1\r\n",
        "$0\r\n\r\n",
        "$4\r\na\r\nb\r\n",
        "!3\r\nERR\r\n",
        "=7\r\ntxt:abc\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*2\r\n:1\r\n$1\r\nx\r\n",
        "%1\r\n+a\r\n*1\r\n:1\r\n",
        "~1\r\n_\r\n",
        ">2\r\n+a\r\n+b\r\n",
        "|1\r\n+ttl\r\n:3\r\n*1\r\n+x\r\n",
        "*2\r\n*2\r\n*0\r\n:1\r\n%1\r\n+k\r\n~2\r\n:1\r\n:2\r\n",
    };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        struct buf text = {0};
        size_t len = strlen(whole[i]);
        buf_printf(&text, "%s:99\r\n", whole[i]);
        assert_int_equal(resp_value_length(text.data, text.len), len);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(resp_value_length(whole[i], cut), 0);
        buf_free(&text);
    }
}

static void test_value_length_of_bad_values(void **state) {
    assert_int_equal(LENGTH("x\r\n"), 0);
    assert_int_equal(LENGTH("$5\r\nab\r\n"), 0);
    assert_int_equal(LENGTH("$2\r\nabXX"), 0);
    assert_int_equal(LENGTH("$-2\r\n"), 0);
    assert_int_equal(LENGTH("$x\r\n"), 0);
    assert_int_equal(LENGTH("*99999999999\r\n:1\r\n"), 0);
    assert_int_equal(LENGTH("*9223372036854775807\r\n:1\r\n"), 0);
    assert_int_equal(LENGTH("%9223372036854775807\r\n:1\r\n"), 0);
    assert_int_equal(LENGTH("+a\rb\r\n"), 0);
    assert_int_equal(resp_value_length(NULL, 0), 0);
}

static void test_value_length_of_deep_nesting(void **state) {
    enum { DEPTH = 100000 };
    struct buf text = {0};
    for (int i = 0; i < DEPTH; i++)
        buf_append(&text, "*1\r\n", 4);
    assert_int_equal(resp_value_length(text.data, text.len), 0);
    buf_append(&text, ":1\r\n", 4);
    assert_int_equal(resp_value_length(text.data, text.len), text.len);
    buf_free(&text);
}

static void test_header(void **state) {
    char type;
    int64_t number;
    assert_int_equal(resp_header("*12\r\n:1", 7, &type, &number), 5);
    assert_int_equal(type, '*');
    assert_int_equal(number, 12);
    assert_int_equal(resp_header(":-7\r\n", 5, &type, &number), 5);
    assert_int_equal(type, ':');
    assert_int_equal(number, -7);
    assert_int_equal(resp_header(":-7\r", 4, &type, &number), 0);
    assert_int_equal(resp_header("+OK\r\n", 5, &type, &number), 0);
}

static void write_random(struct reply *r, int depth) {
    int children = rand() % 4;
    switch (rand() % (depth > 3 ? 6 : 9)) {
    case 0: reply_integer(r, rand() - rand()); break;
    case 1: reply_null(r); break;
    case 2: reply_double(r, rand() / 7.0); break;
    case 3: reply_bool(r, rand() % 2); break;
    case 4: reply_error(r, reply_err_no_key); break;
    case 5: reply_bulk(r, bytes_of("\r\n*3\r\nx", (size_t)(rand() % 8))); break;
    case 6:
        reply_map(r, (size_t)children);
        for (int i = 0; i < 2 * children; i++)
            write_random(r, depth + 1);
        break;
    case 7:
        reply_array(r, (size_t)children);
        for (int i = 0; i < children; i++)
            write_random(r, depth + 1);
        break;
    case 8:
        reply_attribute(r, 1);
        if (r->version >= 3) {
            reply_ok(r);
            reply_ok(r);
        }
        write_random(r, depth + 1);
        break;
    }
}

static void test_random_values_have_their_length(void **state) {
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 5000; round++) {
        write_random(round % 2 ? &reply_2 : &reply_3, 0);
        assert_int_equal(resp_value_length(out.data, out.len), out.len);
        size_t cut = (size_t)rand() % out.len;
        assert_int_equal(resp_value_length(out.data, cut), 0);
        buf_clear(&out);
    }
}

static int free_out(void **state) {
    buf_free(&out);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_aggregates),
        cmocka_unit_test(test_counts_known_at_the_end),
        cmocka_unit_test(test_error_forms),
        cmocka_unit_test(test_value_length_by_type),
        cmocka_unit_test(test_value_length_of_bad_values),
        cmocka_unit_test(test_value_length_of_deep_nesting),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_random_values_have_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, free_out);
}
