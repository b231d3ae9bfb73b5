/* test_listeners.c - bind lists as text, and the Unix socket's file. */
#include "supervisor/listeners.h"
#include "shared/base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char error[256];

static void set(struct config *config, const char *name, const char *value) {
    char reason[CONFIG_ERROR_BYTES];
    const struct option_row *row = option_find(bytes_of_text(name));
    assert_non_null(row);
    assert_int_equal(config_set(config, row, bytes_of_text(value), reason), 0);
}

/* Only what the test asks for listens. */
static struct config *quiet_config(void) {
    struct config *config = config_create();
    set(config, "port", "0");
    set(config, "worker-port-base", "0");
    set(config, "status-port", "0");
    return config;
}

static void test_words_of_a_list(void **state) {
    struct listen_address a[LISTEN_FDS_MAX];
    assert_int_equal(
        listen_addresses_parse("  127.0.0.1 -::1\t* -::* ", a, LISTEN_FDS_MAX, error, 256), 4);
    assert_string_equal(a[0].host, "127.0.0.1");
    assert_false(a[0].optional || a[0].ipv6);
    assert_string_equal(a[1].host, "::1");
    assert_true(a[1].optional && a[1].ipv6);
    assert_string_equal(a[2].host, "");
    assert_false(a[2].optional || a[2].ipv6);
    assert_string_equal(a[3].host, "");
    assert_true(a[3].optional && a[3].ipv6);
}

static void test_empty_list(void **state) {
    struct listen_address a[2];
    assert_int_equal(listen_addresses_parse("", a, 2, error, 256), 0);
    assert_int_equal(listen_addresses_parse(" \t ", a, 2, error, 256), 0);
}

static void test_refused_lists(void **state) {
    struct listen_address a[2];
    char longest[LISTEN_HOST_BYTES + 1];
    memset(longest, 'x', LISTEN_HOST_BYTES);
    longest[LISTEN_HOST_BYTES] = 0;
    assert_int_equal(listen_addresses_parse("a b c", a, 2, error, 256), -1);
    assert_non_null(strstr(error, "more than 2"));
    assert_int_equal(listen_addresses_parse("-", a, 2, error, 256), -1);
    assert_int_equal(listen_addresses_parse(longest, a, 2, error, 256), -1);
    longest[LISTEN_HOST_BYTES - 1] = 0;
    assert_int_equal(listen_addresses_parse(longest, a, 2, error, 256), 1);
}

static void test_announced_host(void **state) {
    static struct listeners listeners;
    static const struct {
        const char *announce, *first, *told;
    } rows[] = {
        {"", "10.0.0.1", "10.0.0.1"},
        {"", "*", "127.0.0.1"},
        {"", "0.0.0.0", "127.0.0.1"},
        {"", "::*", "::1"},
        {"", "::", "::1"},
        {"", "", "127.0.0.1"},
        {"example.org", "*", "example.org"},
    };
    char told[64];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config *config = quiet_config();
        set(config, "cluster-announce-ip", rows[i].announce);
        strcpy(listeners.worker[0].first_host, rows[i].first);
        listeners_announce_host(&listeners, config, told);
        assert_string_equal(told, rows[i].told);
        config_free(&config);
    }
}

/* A port that somebody else holds is told with its number and option. */
static void test_port_taken(void **state) {
    static struct listeners listeners;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    char port[16];
    int holder = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(holder, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(holder, 1), 0);
    assert_int_equal(getsockname(holder, (struct sockaddr *)&address, &bytes), 0);
    snprintf(port, sizeof(port), "%d", ntohs(address.sin_port));
    struct config *config = quiet_config();
    set(config, "bind", "127.0.0.1");
    set(config, "port", port);
    assert_int_equal(listeners_open(&listeners, config, 1, error, sizeof(error)), -1);
    assert_non_null(strstr(error, port));
    assert_non_null(strstr(error, "Address already in use"));
    close(holder);
    assert_int_equal(listeners_open(&listeners, config, 1, error, sizeof(error)), 0);
    assert_int_equal(listeners.front.count, 1);
    listeners_close(&listeners);
    config_free(&config);
}

static void test_optional_address_is_skipped(void **state) {
    static struct listeners listeners;
    struct config *config = quiet_config();
    set(config, "status-bind", "-192.0.2.1");
    set(config, "status-port", "1024");
    assert_int_equal(listeners_open(&listeners, config, 1, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "no address to listen on for status-port"));
    set(config, "status-bind", "192.0.2.1");
    assert_int_equal(listeners_open(&listeners, config, 1, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "192.0.2.1 port 1024"));
    config_free(&config);
}

static void test_unix_socket(void **state) {
    static struct listeners first, second;
    char dir[] = "/tmp/remuda-listeners-XXXXXX", path[64];
    struct stat status;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    struct config *config = quiet_config();
    set(config, "unixsocket", path);
    set(config, "unixsocketperm", "640");
    assert_int_equal(listeners_open(&first, config, 1, error, sizeof(error)), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_int_equal(listeners_open(&second, config, 1, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "a server answers there"));

    /* The server is gone, its file stays: taken over. */
    close(first.front.fds[0]);
    assert_int_equal(listeners_open(&second, config, 1, error, sizeof(error)), 0);
    listeners_close(&second);
    assert_int_equal(stat(path, &status), -1);

    /* A file that is no socket is not touched. */
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(listeners_open(&second, config, 1, error, sizeof(error)), -1);
    assert_int_equal(stat(path, &status), 0);
    unlink(path);
    rmdir(dir);
    config_free(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_of_a_list), cmocka_unit_test(test_empty_list),
        cmocka_unit_test(test_refused_lists),   cmocka_unit_test(test_announced_host),
        cmocka_unit_test(test_port_taken),      cmocka_unit_test(test_optional_address_is_skipped),
        cmocka_unit_test(test_unix_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
