/* test_parts.c - the parts of commands over several shards in the shards' streams: marked for who merges them, and
 * only while somebody does. */
#include "tests/unit/worker/replication/stream_words.h"
#include "tests/unit/worker/route/route_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/mem.h"

enum { SHARDS = 3 };

struct stage {
    struct pool_fixture *pool;
    struct route_client *client; /* of shard 1 */
    struct backlog stream[SHARDS];
    struct propagate *propagate[SHARDS];
    char key[SHARDS][40];
    struct buf text;
};

static int begin(void **state) {
    struct stage *s = mem_calloc(1, sizeof *s);
    s->pool = pool_create(SHARDS, 64 * 1024);
    for (uint32_t i = 0; i < SHARDS; i++) {
        backlog_init(&s->stream[i]);
        backlog_keep(&s->stream[i]);
        s->propagate[i] = propagate_create(NULL, &s->stream[i]);
        s->pool->shard[i].env.propagate = s->propagate[i];
        key_of_shard(s->pool, i, "k", s->key[i], sizeof s->key[i]);
    }
    s->client = client_create(s->pool, 1, SESSION_PUBLIC);
    *state = s;
    return 0;
}

static int end(void **state) {
    struct stage *s = *state;
    client_free(&s->client);
    pool_free(&s->pool);
    for (uint32_t i = 0; i < SHARDS; i++) {
        propagate_free(&s->propagate[i]);
        backlog_free(&s->stream[i]);
    }
    buf_free(&s->text);
    mem_free(s);
    return 0;
}

static void merge_runs(struct stage *s, uint64_t runs) {
    status_set(segment_status(&s->pool->segment, 0), METRIC_merged_runs, runs);
}

static void say(struct stage *s, const char *reply, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct stage *s, const char *reply, const char *format, ...) {
    char command[300];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_string_equal(client_ask(s->client, command), reply);
}

static const char *stream(struct stage *s, uint32_t shard) {
    return stream_words(&s->stream[shard], &s->text);
}

/* "PING part:NUMBER:SHARDS:0:MORE|RUNS|PING part:0:0:0:0", beginning at *at; returns the number. */
static uint64_t expect_part(const char **at, unsigned shards, unsigned more, const char *runs) {
    uint64_t number;
    char want[300];
    assert_int_equal(sscanf(*at, "PING part:%" SCNx64, &number), 1);
    snprintf(want, sizeof want, "PING part:%" PRIx64 ":%x:0:%x|%s%sPING part:0:0:0:0", number,
             shards, more, runs, *runs != '\0' ? "|" : "");
    assert_memory_equal(*at, want, strlen(want));
    *at += strlen(want) + ((*at)[strlen(want)] == '|');
    return number;
}

static void nobody_merges_nothing_is_marked(void **state) {
    struct stage *s = *state;
    char want[100];
    say(s, "+OK\r\n", "MSET %s 1 %s 2 %s 3", s->key[0], s->key[1], s->key[2]);
    say(s, ":2\r\n", "DEL %s %s", s->key[0], s->key[2]);
    snprintf(want, sizeof want, "MSET %s 1|DEL %s", s->key[0], s->key[0]);
    assert_string_equal(stream(s, 0), want);
    snprintf(want, sizeof want, "MSET %s 2", s->key[1]);
    assert_string_equal(stream(s, 1), want);
}

static void parts_bear_one_number_and_their_shards(void **state) {
    struct stage *s = *state;
    uint64_t set[SHARDS], deleted[SHARDS] = {0};
    merge_runs(s, 1);
    say(s, "+OK\r\n", "MSET %s 1 %s 2 %s 3", s->key[0], s->key[1], s->key[2]);
    say(s, ":2\r\n", "UNLINK %s %s", s->key[0], s->key[1]);
    for (uint32_t i = 0; i < SHARDS; i++) {
        char runs[100];
        const char *at = stream(s, i);
        snprintf(runs, sizeof runs, "MSET %s %u", s->key[i], i + 1);
        set[i] = expect_part(&at, 7, 0, runs);
        snprintf(runs, sizeof runs, "UNLINK %s", s->key[i]);
        if (i < 2)
            deleted[i] = expect_part(&at, 3, 0, runs);
        assert_string_equal(at, "");
    }
    assert_true(set[0] == set[1] && set[1] == set[2]);
    assert_true(deleted[0] == deleted[1] && deleted[0] > set[0]);
    assert_int_equal(set[0] >> 56, 1); /* who coordinated it */
}

static void a_part_that_changes_nothing_is_marked_too(void **state) {
    struct stage *s = *state;
    merge_runs(s, 1);
    say(s, "+OK\r\n", "SET %s 1", s->key[0]);
    say(s, ":1\r\n", "DEL %s %s %s", s->key[0], s->key[1], s->key[2]);
    const char *at = stream(s, 2);
    expect_part(&at, 7, 0, "");
    assert_string_equal(at, "");
}

static void what_one_shard_does_and_what_only_reads_is_not(void **state) {
    struct stage *s = *state;
    merge_runs(s, 1);
    say(s, "+OK\r\n", "MSET %s 1 %s 2", s->key[2], s->key[2]);
    say(s, "*2\r\n$1\r\n2\r\n$-1\r\n", "MGET %s %s", s->key[2], s->key[0]);
    say(s, ":1\r\n", "TOUCH %s %s", s->key[2], s->key[0]);
    assert_null(strstr(stream(s, 2), "part:"));
    assert_string_equal(stream(s, 0), "");
}

/* Of those the follower of a follower may merge the stream: they are few, and always marked. */
static void under_locks_parts_are_marked_always(void **state) {
    struct stage *s = *state;
    char runs[100];
    say(s, "+OK\r\n", "SET %s v", s->key[2]);
    say(s, "+OK\r\n", "RENAME %s %s", s->key[2], s->key[0]);
    const char *at = stream(s, 0);
    snprintf(runs, sizeof runs, "SET %s v", s->key[0]);
    expect_part(&at, 5, 0, runs);
    assert_string_equal(at, "");
    at = strstr(stream(s, 2), "PING");
    assert_non_null(at);
    snprintf(runs, sizeof runs, "DEL %s", s->key[2]);
    expect_part(&at, 5, 0, runs);
    assert_string_equal(at, "");
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(nobody_merges_nothing_is_marked),
        CASE(parts_bear_one_number_and_their_shards),
        CASE(a_part_that_changes_nothing_is_marked_too),
        CASE(what_one_shard_does_and_what_only_reads_is_not),
        CASE(under_locks_parts_are_marked_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
