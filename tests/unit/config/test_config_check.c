/* test_config_check.c - options that need or exclude each other. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static char error[CONFIG_ERROR_BYTES];

/* Lines over the defaults (two workers), and the complaint, or NULL if they are fine. */
static const struct {
    const char *lines, *complaint;
} cases[] = {
    {"", NULL},
    {"port 0\n", NULL},
    {"port 0\nworker-port-base 0\nunixsocket /tmp/s\n", NULL},
    {"port 0\nworker-port-base 0\nstatus-port 0\n",
     "port and worker-port-base are 0 and unixsocket is empty: no client could connect"},
    {"workers AUTO\n", NULL},
    {"workers 128\n", NULL},
    {"workers 0\n", "workers = '0': must be auto or 1..128"},
    {"workers 129\n", "workers = '129': must be auto or 1..128"},
    {"workers all\n", "workers = 'all': must be auto or 1..128"},
    {"dir \"\"\n", "dir must not be empty"},
    {"port 8379\n", "port and status-port are both 8379"},
    {"port 8379\nstatus-port 0\n", NULL},
    {"port 6400\n", "port 6400 is one of the workers' ports 6400..6401 (worker-port-base)"},
    {"port 6401\n", "port 6401 is one of the workers' ports 6400..6401 (worker-port-base)"},
    {"port 6402\n", NULL},
    {"port 6399\n", NULL},
    {"status-port 6400\n",
     "status-port 6400 is one of the workers' ports 6400..6401 (worker-port-base)"},
    {"worker-port-base 65534\n", NULL},
    {"worker-port-base 65535\n",
     "worker-port-base 65535 and 2 workers need ports up to 65536, and 65535 is the last"},
    {"bind \"\"\n", "bind is empty, but a port is set"},
    {"bind \"\"\nport 0\nworker-port-base 0\nunixsocket /tmp/s\n", NULL},
    {"bind \"1 2 3 4 5 6 7 8 9 a b c d e f g\"\n", "bind names 16 addresses; at most 15"},
    {"status-bind \"\"\n", "status-bind is empty, but a port is set"},
    {"status-bind \"\"\nstatus-port 0\n", NULL},
    {"status-bind \"1 2 3 4 5 6 7 8 9\"\n", "status-bind names 9 addresses; at most 8"},
    {"cluster-announce-ip \"a b\"\n", "cluster-announce-ip = 'a b': must be one host"},
    {"unixsocketperm 700\n", NULL},
    {"unixsocketperm 888\n", "unixsocketperm = '888': must be octal, 0..777"},
    {"unixsocketperm 1777\n", "unixsocketperm = '1777': must be octal, 0..777"},
    {"unixsocketperm \"\"\n", "unixsocketperm = '': must be octal, 0..777"},
    {"relay-ring-size 64kb\n", NULL},
    {"relay-ring-size 100000\n", "relay-ring-size 100000 is not a power of two"},
    {"restart-delay-min 200\nrestart-delay-max 100\n",
     "restart-delay-min 200 is more than restart-delay-max 100"},
    {"restart-delay-min 100\nrestart-delay-max 100\n", NULL},
    {"dbfilename a/b\n", "dbfilename can't be a path, just a filename"},
    {"dbfilename ..\n", "dbfilename = '..': must be a filename"},
    {"appendfilename a/b\n", "appendfilename can't be a path, just a filename"},
    {"appenddirname a/b\n", "appenddirname can't be a path, just a dirname"},
    {"appenddirname \"\"\n", "appenddirname = '': must be a dirname"},
    {"appenddirname dump.rdb\n", "dbfilename and appenddirname are both 'dump.rdb'"},
};

static void test_cases(void **state) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config *config = config_create();
        assert_int_equal(config_from_text(config, BYTES_LITERAL("workers 2\n"), error), 0);
        assert_int_equal(config_from_text(config, bytes_of_text(cases[i].lines), error), 0);
        int expected = cases[i].complaint ? -1 : 0;
        if (config_check(config, error) != expected)
            fail_msg("%s: %s", cases[i].lines, expected ? "was accepted" : error);
        if (expected != 0)
            assert_string_equal(error, cases[i].complaint);
        config_free(&config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
