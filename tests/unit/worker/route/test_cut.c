/* test_cut.c - the barrier of a consistent cut: three shards in one process, turns in random orders,
 * clients that move things between shards, shards that die. */
#include "tests/unit/worker/route/route_fixture.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { SHARDS = 3, TOKENS = 12 };

static struct pool_fixture *pool;
static char list_key[SHARDS][64], counter_key[SHARDS][64];
static int64_t cut_items[SHARDS], cut_counter[SHARDS]; /* at the mark */

static int64_t count_of(struct route_shard *s, const char *key) {
    struct keyref ref;
    if (!keyspace_find(s->ks, 0, bytes_of_text(key), KEY_PEEK, &ref))
        return 0;
    struct value value = keyref_value(&ref);
    char digits[BYTES_I64_MAX];
    int64_t number = 0;
    bytes_to_i64(value_string_bytes(&value, digits), &number);
    return number;
}

static uint32_t index_of(const struct route_shard *s) {
    return (uint32_t)(s - pool->shard);
}

/* Keys "t<n>" travel by RENAME: how many has this shard, and where does its counter stand? */
static void note_state(struct route_shard *s) {
    cut_items[index_of(s)] = (int64_t)keyspace_count(s->ks, 0) - 1; /* the counter */
    cut_counter[index_of(s)] = count_of(s, counter_key[index_of(s)]);
}

static int set_up(void **state) {
    pool = pool_create(SHARDS, 64 * 1024);
    for (uint32_t i = 0; i < SHARDS; i++) {
        key_of_shard(pool, i, "k", list_key[i], sizeof(list_key[i]));
        key_of_shard(pool, i, "c", counter_key[i], sizeof(counter_key[i]));
        pool->shard[i].on_mark = note_state;
    }
    return 0;
}

static int tear_down(void **state) {
    pool_free(&pool);
    return 0;
}

static void set_counters(void) {
    struct route_client *c = client_create(pool, 0, SESSION_PUBLIC);
    char line[300];
    for (uint32_t i = 0; i < SHARDS; i++) {
        snprintf(line, sizeof(line), "SET %s 0", counter_key[i]);
        assert_string_equal(client_ask(c, line), "+OK\r\n");
    }
    client_free(&c);
}

static uint64_t marks(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < SHARDS; i++)
        sum += pool->shard[i].marks;
    return sum;
}

static void expect_unlocked(void) {
    pool_turns(pool, 3);
    for (uint32_t i = 0; i < SHARDS; i++) {
        if (!pool->shard[i].down)
            assert_true(router_idle(pool->shard[i].router));
    }
}

static void cut(struct router *router, enum cut_kind kind, uint64_t id, uint64_t try) {
    struct cut_mark mark = {.kind = kind, .id = id, .try = try};
    router_cut(router, &mark);
}

static void cut_logs(struct router *router, uint64_t id, uint64_t try) {
    cut(router, CUT_OF_LOGS, id, try);
}

/* ---- by hand ---- */

static void all_mark_and_go_on(void **state) {
    cut_logs(pool->shard[1].router, 7, 2);
    pool_turns(pool, 12);
    for (uint32_t i = 0; i < SHARDS; i++) {
        assert_int_equal(pool->shard[i].marks, 1);
        assert_int_equal(pool->shard[i].marked_cut, 7);
        assert_int_equal(pool->shard[i].marked_try, 2);
    }
    assert_int_equal(pool->shard[1].ends, 1);
    assert_int_equal(pool->shard[1].ended_cut, 7);
    assert_int_equal(pool->shard[1].ended_try, 2);
    assert_string_equal(pool->shard[1].cut_error, "");
    expect_unlocked();
}

static void no_mark_before_all_are_locked(void **state) {
    cut_logs(pool->shard[0].router, 1, 1);
    for (int i = 0; i < 30; i++) {
        pool_turn(pool, 0);
        pool_turn(pool, 1); /* the third does not move */
    }
    assert_int_equal(marks(), 0);
    pool_turns(pool, 12);
    assert_int_equal(marks(), SHARDS);
    expect_unlocked();
}

static void a_locked_shard_runs_no_command(void **state) {
    set_counters();
    struct route_client *c = client_create(pool, 1, SESSION_PUBLIC);
    char line[300];
    cut_logs(pool->shard[0].router, 1, 1);
    for (int i = 0; i < 10; i++) {
        pool_turn(pool, 0);
        pool_turn(pool, 1); /* locked now; the third is not, so that the locks stay */
    }
    snprintf(line, sizeof(line), "INCR %s", counter_key[1]);
    assert_false(client_send(c, line));
    pool_turns(pool, 12);
    assert_int_equal(cut_counter[1], 0);
    assert_string_equal(client_ask(c, line), ":1\r\n");
    client_free(&c);
}

static void one_refusal_fails_the_cut(void **state) {
    pool->shard[2].refuse_mark = "no room";
    cut_logs(pool->shard[0].router, 3, 1);
    pool_turns(pool, 12);
    assert_int_equal(pool->shard[0].ends, 1);
    assert_string_equal(pool->shard[0].cut_error, "shard 2: no room");
    expect_unlocked();
}

static void a_shard_that_dies_fails_the_cut(void **state) {
    for (int turns = 0; turns < 4; turns++) {
        struct route_shard *s = &pool->shard[0];
        uint64_t ends = s->ends;
        cut_logs(s->router, 3, 1);
        for (int i = 0; i < turns; i++) {
            pool_turn(pool, 0);
            pool_turn(pool, 1);
        }
        pool_kill(pool, 2);
        pool_tell_down(pool, 2);
        for (int i = 0; i < 200 && s->ends == ends; i++) {
            pool_turns(pool, 3);
            router_cron(s->router);
            usleep(10000);
        }
        assert_int_equal(s->ends, ends + 1);
        assert_true(s->cut_error[0] != 0);
        expect_unlocked();
        pool_revive(pool, 2);
        pool_turns(pool, 5);
    }
}

static void a_coordinator_that_dies_unlocks_all(void **state) {
    struct route_client *c = client_create(pool, 1, SESSION_PUBLIC);
    set_counters();
    cut_logs(pool->shard[0].router, 3, 1);
    for (int i = 0; i < 10; i++) {
        pool_turn(pool, 0);
        pool_turn(pool, 1);
    }
    pool_kill(pool, 0);
    pool_tell_down(pool, 0);
    pool_turns(pool, 5);
    assert_int_equal(marks(), 0);
    char line[300];
    snprintf(line, sizeof(line), "INCR %s", counter_key[1]);
    assert_string_equal(client_ask(c, line), ":1\r\n");
    snprintf(line, sizeof(line), "INCR %s", counter_key[2]);
    assert_string_equal(client_ask(c, line), ":1\r\n");
    client_free(&c);
}

/* The others must not wait for ever for one that does not turn. */
static void a_shard_that_hangs_is_given_up(void **state) {
    struct route_shard *s = &pool->shard[0];
    uint64_t from_ms = clock_mono_ms();
    cut_logs(s->router, 3, 1);
    while (s->ends == 0 && clock_mono_ms() - from_ms < 20000) {
        pool_turn(pool, 0);
        pool_turn(pool, 1);
        router_cron(s->router);
        usleep(1000);
    }
    assert_int_equal(s->ends, 1);
    assert_non_null(strstr(s->cut_error, "shard 2 is busy"));
    pool_turn(pool, 1);
    struct route_client *c = client_create(pool, 1, SESSION_PUBLIC);
    char line[300];
    snprintf(line, sizeof(line), "SET %s x", list_key[1]);
    assert_string_equal(client_ask(c, line), "+OK\r\n");
    client_free(&c);
    pool_turns(pool, 6); /* what comes late finds nobody waiting */
    assert_int_equal(marks(), 0);
    expect_unlocked();
}

/* A fork may take longer than a lock may be waited for. */
static void forks_have_more_time(void **state) {
    struct route_shard *s = &pool->shard[0];
    cut(s->router, CUT_OF_FORKS, 3, 1);
    for (uint64_t begun_ms = clock_mono_ms(); clock_mono_ms() - begun_ms < 1300;) {
        pool_turn(pool, 0);
        pool_turn(pool, 1);
        if (s->marks == 0)
            pool_turn(pool, 2); /* it does not answer once it is locked */
        router_cron(s->router);
        usleep(1000);
    }
    assert_int_equal(s->ends, 0);
    assert_int_equal(s->marked_kind, CUT_OF_FORKS);
    pool_turns(pool, 6);
    assert_int_equal(marks(), SHARDS);
    assert_int_equal(s->ends, 1);
    assert_string_equal(s->cut_error, "");
    expect_unlocked();
}

/* ---- at random ---- */

struct mover {
    struct route_client *c;
    uint32_t token, place; /* its key "<token>" lies at this shard */
    bool moving;
    uint32_t step; /* of the counters: 0 c1, then 1 c0 */
};

static char token_key[TOKENS][SHARDS][64];

static void name_tokens(void) {
    for (uint32_t t = 0; t < TOKENS; t++) {
        for (uint32_t i = 0; i < SHARDS; i++) {
            char prefix[16];
            snprintf(prefix, sizeof(prefix), "t%u-", t);
            key_of_shard(pool, i, prefix, token_key[t][i], sizeof(token_key[t][i]));
        }
    }
}

/* A client does one thing after the other, and only when it has the answer to the last. */
static void move_on(struct mover *m) {
    char line[400];
    if (m->c->pipeline.in_flight > 0)
        return;
    const char *reply = client_take(m->c);
    if (reply[0] == '-')
        fail_msg("token %u: %s", m->token, reply);
    if (rand() % 2) {
        uint32_t to = (m->place + 1 + (uint32_t)rand() % (SHARDS - 1)) % SHARDS;
        snprintf(line, sizeof(line), "RENAME %s %s", token_key[m->token][m->place],
                 token_key[m->token][to]);
        if (client_send(m->c, line))
            m->place = to;
    } else {
        snprintf(line, sizeof(line), "INCR %s", counter_key[m->step ? 0 : 1]);
        if (client_send(m->c, line))
            m->step = !m->step;
    }
}

/* Whatever the order of turns: no token is twice or nowhere, and no effect without its cause. */
static void nothing_is_torn_and_causes_come_first(void **state) {
    unsigned seed = (unsigned)time(NULL) ^ (unsigned)getpid() << 8;
    print_message("seed %u\n", seed);
    srand(seed);
    struct mover movers[TOKENS];
    char line[400];
    set_counters();
    name_tokens();
    for (uint32_t t = 0; t < TOKENS; t++) {
        movers[t] = (struct mover){.token = t, .place = t % SHARDS};
        movers[t].c = client_create(pool, (uint32_t)rand() % SHARDS, SESSION_PUBLIC);
        snprintf(line, sizeof(line), "SET %s %u", token_key[t][t % SHARDS], t);
        assert_string_equal(client_ask(movers[t].c, line), "+OK\r\n");
    }
    for (uint64_t cut = 1; cut <= 200; cut++) {
        struct route_shard *by = &pool->shard[rand() % SHARDS];
        uint64_t ends = by->ends;
        for (int i = rand() % 20; i > 0; i--) {
            move_on(&movers[rand() % TOKENS]);
            pool_turn(pool, (uint32_t)rand() % SHARDS);
        }
        cut_logs(by->router, cut, 1);
        for (int i = 0; by->ends == ends && i < 100000; i++) {
            move_on(&movers[rand() % TOKENS]);
            pool_turn(pool, (uint32_t)rand() % SHARDS);
        }
        assert_int_equal(by->ends, ends + 1);
        assert_string_equal(by->cut_error, "");
        int64_t items = cut_items[0] + cut_items[1] + cut_items[2];
        if (items != TOKENS || cut_counter[0] > cut_counter[1] ||
            cut_counter[1] > cut_counter[0] + TOKENS)
            fail_msg("cut %d: %d of %d tokens, counters %d after %d", (int)cut, (int)items, TOKENS,
                     (int)cut_counter[0], (int)cut_counter[1]);
    }
    assert_true(cut_counter[0] > 100);
    for (uint32_t t = 0; t < TOKENS; t++)
        client_free(&movers[t].c);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(all_mark_and_go_on),
        T(no_mark_before_all_are_locked),
        T(a_locked_shard_runs_no_command),
        T(one_refusal_fails_the_cut),
        T(a_shard_that_dies_fails_the_cut),
        T(a_coordinator_that_dies_unlocks_all),
        T(a_shard_that_hangs_is_given_up),
        T(forks_have_more_time),
        T(nothing_is_torn_and_causes_come_first),
    };
    log_set_level(LOG_WARNING + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
