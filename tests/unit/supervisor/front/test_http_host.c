/* test_http_host.c - which Host headers are answered. */
#include "supervisor/front/http_host.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    const char *host, *local, *hosts;
    bool allowed;
} samples[] = {
    {"localhost", NULL, "", true},
    {"LocalHost:8379", NULL, "", true},
    {"127.0.0.1:8379", NULL, "", true},
    {"[::1]", NULL, "", true},
    {"[::1]:8379", NULL, "", true},
    {"10.0.0.7:8379", "10.0.0.7", "", true},
    {"10.0.0.8:8379", "10.0.0.7", "", false},
    {"[fe80::1]:1", "fe80::1", "", true},
    {"evil.example", "127.0.0.1", "", false},
    {"localhost.evil.example", "127.0.0.1", "", false},
    {"evil.example", "127.0.0.1", "pool.example evil.example", true},
    {"Pool.Example:80", NULL, "pool.example", true},
    {"pool.example", NULL, "pool.example.org", false},
    {"pool.example.org", NULL, "pool.example", false},
    {"anything", NULL, "*", true},
    {NULL, "127.0.0.1", "*", false},
    {"", "", "*", false},
    {":80", NULL, "*", false},
    {"[::1", NULL, "*", false},
    {"[::1]x", NULL, "*", false},
    {"[]", NULL, "*", false},
    {"localhost:", NULL, "", true},
    {"localhost:99999", NULL, "", false},
    {"localhost:8x", NULL, "", false},
    {"localhost:80:80", NULL, "", false},
};

static void known_samples(void **state) {
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
        if (http_host_allowed(samples[i].host, samples[i].local, samples[i].hosts) !=
            samples[i].allowed)
            fail_msg("sample %zu (%s) should be %s", i, samples[i].host ? samples[i].host : "-",
                     samples[i].allowed ? "allowed" : "refused");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_samples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
