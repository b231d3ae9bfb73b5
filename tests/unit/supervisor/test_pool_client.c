/* test_pool_client.c - what the operator's subcommands make of replies, and of their arguments. */
#include "supervisor/cli_private.h"
#include "supervisor/pool_client.h"
#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Ask a server that has said this already; what it is asked is in asked_r. */
static int ask(const char *said, char **reply_r, char error_r[200], char asked_r[200]) {
    static const char *const words[] = {"PING", "a b"};
    struct pool_client client;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    client.stream = fdopen(pair[0], "r+");
    assert_int_equal(write(pair[1], said, strlen(said)), (ssize_t)strlen(said));
    shutdown(pair[1], SHUT_WR);
    int result = pool_client_ask(&client, 2, words, reply_r, error_r, 200);
    ssize_t got = recv(pair[1], asked_r, 199, MSG_DONTWAIT);
    asked_r[got > 0 ? got : 0] = 0;
    pool_client_close(&client);
    close(pair[1]);
    return result;
}

static void replies_are_texts(void **state) {
    static const char *const pairs[][2] = {{"+OK\r\n", "OK"},
                                           {":12\r\n", "12"},
                                           {"$0\r\n\r\n", ""},
                                           {"$5\r\na\r\nb\n\r\n", "a\r\nb\n"}};
    char error[200], asked[200], *reply;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        assert_int_equal(ask(pairs[i][0], &reply, error, asked), 0);
        assert_string_equal(reply, pairs[i][1]);
        assert_string_equal(asked, "*2\r\n$4\r\nPING\r\n$3\r\na b\r\n");
        mem_free(reply);
    }
}

static void errors_and_nonsense_are_told(void **state) {
    static const char *const pairs[][2] = {
        {"-ERR no way\r\n", "ERR no way"},
        {"", "the pool closed the connection without an answer"},
        {"$5\r\nabc", "the pool closed the connection without an answer"},
        {"$-1\r\n", "the pool sent a reply that is none: $-1"},
        {"$99999999999\r\n", "the pool sent a reply that is none: $99999999999"},
        {"HTTP/1.1 400\r\n", "the pool sent a reply that is none: HTTP/1.1 400"}};
    char error[200], asked[200], *reply;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        assert_int_equal(ask(pairs[i][0], &reply, error, asked), -1);
        assert_string_equal(error, pairs[i][1]);
    }
}

static void arguments_are_taken_apart(void **state) {
    char words[][16] = {"pool.ini", "--as", "x", "--port", "7", "--keep"};
    char *argv[6];
    for (int i = 0; i < 6; i++)
        argv[i] = words[i];
    struct arguments arguments = cli_split_arguments(6, argv);
    assert_string_equal(arguments.path, "pool.ini");
    assert_null(cli_take_option(&arguments, "--dir"));
    assert_string_equal(cli_take_option(&arguments, "--as"), "x");
    assert_string_equal(cli_take_option(&arguments, "--keep"), "");
    assert_int_equal(arguments.option_count, 2);
    assert_string_equal(arguments.options[0], "--port");
    assert_string_equal(arguments.options[1], "7");
    arguments = cli_split_arguments(2, argv + 3);
    assert_null(arguments.path);
    assert_int_equal(arguments.option_count, 2);
    assert_null(cli_split_arguments(0, argv).path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_texts),
        cmocka_unit_test(errors_and_nonsense_are_told),
        cmocka_unit_test(arguments_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
