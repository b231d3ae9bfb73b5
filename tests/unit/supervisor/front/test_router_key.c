/* test_router_key.c - the first key: every command, both protocols, split anywhere, hostile bytes. */
#include "supervisor/front/router_key.h"
#include "shared/base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

struct sample {
    const char *bytes;
    size_t len;
    enum router_key_result result;
    const char *key;
};
#define SAMPLE(text, result, key)                                                                  \
    { text, sizeof(text) - 1, result, key }

static const struct sample samples[] = {
    SAMPLE("*2\r\n$3\r\nGET\r\n$3\r\nfoo\r\n", ROUTER_KEY, "foo"),
    SAMPLE("*2\r\n$3\r\ngEt\r\n$0\r\n\r\n", ROUTER_KEY, ""),
    SAMPLE("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nonly the beg", ROUTER_KEY, "k"),
    SAMPLE("*1\r\n$4\r\nPING\r\n", ROUTER_NO_KEY, NULL),
    SAMPLE("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n", ROUTER_KEY, "a"),
    SAMPLE("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGE", ROUTER_NO_KEY, NULL),
    SAMPLE("*0\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n", ROUTER_KEY, "a"),
    SAMPLE("*-1\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n", ROUTER_KEY, "a"),
    SAMPLE("*1\r\n$3\r\nGET\r\n", ROUTER_NO_KEY, NULL),
    SAMPLE("*2\r\n$6\r\nnosuch\r\n$1\r\na\r\n", ROUTER_KEY, "a"),
    SAMPLE("get foo\r\n", ROUTER_KEY, "foo"),
    SAMPLE("  GET \t foo bar\n", ROUTER_KEY, "foo"),
    SAMPLE("GET \"a b\"\r\n", ROUTER_KEY, "a b"),
    SAMPLE("GET 'a b'\r\n", ROUTER_KEY, "a b"),
    SAMPLE("PING\r\nGET x\r\n", ROUTER_KEY, "x"),
    SAMPLE("\r\n\r\nGET x\r\n", ROUTER_KEY, "x"),
    SAMPLE("GET \"a\\x20b\"\r\n", ROUTER_OPAQUE, NULL),
    SAMPLE("GET \"open\r\n", ROUTER_OPAQUE, NULL),
    SAMPLE("GET fo", ROUTER_INCOMPLETE, NULL),
    SAMPLE("\r\n", ROUTER_INCOMPLETE, NULL),
    SAMPLE("", ROUTER_INCOMPLETE, NULL),
    SAMPLE("*", ROUTER_INCOMPLETE, NULL),
    SAMPLE("\x16\x03\x01\x02", ROUTER_OPAQUE, NULL),
    SAMPLE("*2\r\n:3\r\n", ROUTER_OPAQUE, NULL),
    SAMPLE("*x\r\n", ROUTER_OPAQUE, NULL),
    SAMPLE("*2\r\n$-1\r\n", ROUTER_OPAQUE, NULL),
    SAMPLE("*99999999999999999999999999\r\n", ROUTER_OPAQUE, NULL),
    SAMPLE("*2\r\n$18446744073709551615\r\nGET\r\n", ROUTER_OPAQUE, NULL),
    SAMPLE("*1000000\r\n$3\r\nGET\r\n$536870912\r\nabc", ROUTER_INCOMPLETE, NULL),
    SAMPLE("*000000000000000000000000000000000000002\r\n", ROUTER_OPAQUE, NULL),
};

/* Bytes at the very end of a block of their own size, so that reading past them is caught. */
static enum router_key_result look(const char *bytes, size_t len, char *key_r, size_t key_bytes) {
    char *exact = malloc(len ? len : 1);
    struct bytes key = {0};
    memcpy(exact, bytes, len);
    enum router_key_result result = router_first_key(exact, len, &key);
    if (result == ROUTER_KEY) {
        assert_true(key.ptr >= exact && key.ptr + key.len <= exact + len);
        assert_true(key.len < key_bytes);
        memcpy(key_r, key.ptr, key.len);
        key_r[key.len] = '\0';
    }
    free(exact);
    return result;
}

static void known_samples(void **state) {
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        char key[256] = "";
        enum router_key_result result = look(samples[i].bytes, samples[i].len, key, sizeof(key));
        if (result != samples[i].result)
            fail_msg("sample %zu (%s): %d, not %d", i, samples[i].bytes, result, samples[i].result);
        if (samples[i].key)
            assert_string_equal(key, samples[i].key);
    }
}

/* A part of a command may leave the key unknown, never yield another one. */
static void split_anywhere(void **state) {
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
        for (size_t len = 0; samples[i].result == ROUTER_KEY && len < samples[i].len; len++) {
            char key[256] = "";
            if (look(samples[i].bytes, len, key, sizeof(key)) == ROUTER_KEY)
                assert_string_equal(key, samples[i].key);
        }
}

static const struct {
    const char *name;
    int first;
} rows[] = {
#define FIRST_KEY(name, first) {name, first},
#include "gen/first_key.def"
#undef FIRST_KEY
};

static void every_command(void **state) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char bytes[512], key[64] = "", expected[16];
        const char *bar = strchr(rows[i].name, '|');
        size_t head = bar ? (size_t)(bar - rows[i].name) : strlen(rows[i].name);
        int len =
            snprintf(bytes, sizeof(bytes), "*9\r\n$%zu\r\n%.*s\r\n", head, (int)head, rows[i].name);
        if (bar)
            len += snprintf(bytes + len, sizeof(bytes) - (size_t)len, "$%zu\r\n%s\r\n",
                            strlen(bar + 1), bar + 1);
        for (int n = bar ? 2 : 1; n < 9; n++)
            len += snprintf(bytes + len, sizeof(bytes) - (size_t)len, "$3\r\n-%d-\r\n", n);
        enum router_key_result result = look(bytes, (size_t)len, key, sizeof(key));
        snprintf(expected, sizeof(expected), "-%d-", rows[i].first);
        if (result != (rows[i].first > 0 ? ROUTER_KEY : ROUTER_NO_KEY))
            fail_msg("%s: result %d", rows[i].name, result);
        if (rows[i].first > 0)
            assert_string_equal(key, expected);
    }
}

static void a_full_buffer_is_not_waited_for(void **state) {
    static char bytes[ROUTER_PEEK_BYTES];
    memset(bytes, 'a', sizeof(bytes));
    struct bytes key;
    assert_int_equal(router_first_key(bytes, sizeof(bytes) - 1, &key), ROUTER_INCOMPLETE);
    assert_int_equal(router_first_key(bytes, sizeof(bytes), &key), ROUTER_OPAQUE);
}

static void bounded_look_past_keyless_commands(void **state) {
    char bytes[ROUTER_COMMANDS_MAX * 6 + 32] = "", key[16];
    for (int i = 0; i < ROUTER_COMMANDS_MAX; i++)
        strcat(bytes, "PING\r\n");
    strcat(bytes, "GET x\r\n");
    assert_int_equal(look(bytes, strlen(bytes), key, sizeof(key)), ROUTER_NO_KEY);
    assert_int_equal(look(bytes + 6, strlen(bytes + 6), key, sizeof(key)), ROUTER_KEY);
}

/* Well-formed commands with bytes changed at random: no crash, no key outside of the input. */
static void mangled_at_random(void **state) {
    static const char odd[] = "*$0123456789\r\n \"'\\\xff-G"; /* and the NUL at its end */
    unsigned seed = (unsigned)time(NULL);
    const char *from_env = getenv("SEED");
    seed = from_env ? (unsigned)strtoul(from_env, NULL, 10) : seed;
    print_message("SEED=%u\n", seed);
    for (int round = 0; round < 20000; round++) {
        const struct sample *s =
            &samples[(size_t)rand_r(&seed) % (sizeof(samples) / sizeof(samples[0]))];
        char bytes[128], key[256];
        size_t len = s->len < sizeof(bytes) ? s->len : sizeof(bytes);
        memcpy(bytes, s->bytes, len);
        for (int n = rand_r(&seed) % 4; n >= 0 && len > 0; n--)
            bytes[(size_t)rand_r(&seed) % len] = odd[(size_t)rand_r(&seed) % sizeof(odd)];
        look(bytes, len, key, sizeof(key));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_samples),
        cmocka_unit_test(split_anywhere),
        cmocka_unit_test(every_command),
        cmocka_unit_test(a_full_buffer_is_not_waited_for),
        cmocka_unit_test(bounded_look_past_keyless_commands),
        cmocka_unit_test(mangled_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
