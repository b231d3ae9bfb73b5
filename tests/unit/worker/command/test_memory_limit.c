/* test_memory_limit.c - maxmemory of the pool: who gives room, and how much. */
#include "worker/command/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { MB = 1024 * 1024 };

static enum memory_verdict decide(uint64_t limit, uint64_t own, uint64_t total, uint64_t excess,
                                  uint32_t workers, bool may_evict, uint64_t *bytes_r) {
    const struct memory_view view = {.limit_bytes = limit,
                                     .own_bytes = own,
                                     .total_bytes = total,
                                     .excess_bytes = excess,
                                     .workers = workers,
                                     .may_evict = may_evict};
    return memory_decide(&view, bytes_r);
}

static void within_the_limit_all_goes(void **state) {
    uint64_t bytes;
    assert_int_equal(decide(0, 5, UINT64_MAX, 0, 1, false, &bytes), MEMORY_GO);
    assert_int_equal(decide(100, 100, 100, 50, 2, false, &bytes), MEMORY_GO);
    assert_int_equal(bytes, 0);
}

static void noeviction_refuses(void **state) {
    uint64_t bytes;
    assert_int_equal(decide(100, 10, 101, 0, 2, false, &bytes), MEMORY_REFUSE);
    assert_int_equal(decide(100, 90, 101, 40, 2, false, &bytes), MEMORY_REFUSE);
}

static void alone_a_shard_frees_what_is_over(void **state) {
    uint64_t bytes;
    assert_int_equal(decide(100, 130, 130, 30, 1, true, &bytes), MEMORY_EVICT);
    assert_int_equal(bytes, 30);
}

static void only_the_greedy_shard_gives_room(void **state) {
    uint64_t bytes;
    /* Shares of 50: one has 90, the other 12. */
    assert_int_equal(decide(100, 90, 102, 40, 2, true, &bytes), MEMORY_EVICT);
    assert_int_equal(bytes, 2);
    assert_int_equal(decide(100, 12, 102, 40, 2, true, &bytes), MEMORY_GO);
    assert_int_equal(bytes, 0);
}

static void credit_ends(void **state) {
    uint64_t bytes;
    assert_int_equal(decide(1000, 100, 1050, 450, 2, true, &bytes), MEMORY_GO);
    assert_int_equal(decide(1000, 100, 1051, 451, 2, true, &bytes), MEMORY_REFUSE);
    /* At its share a shard has nothing too much: it is on credit too. */
    assert_int_equal(decide(1000, 500, 1050, 50, 2, true, &bytes), MEMORY_GO);
}

/* Whatever the distribution: together the shards free what is over, none more than it has above its
 * share, and hardly more than needed. */
static void together_they_free_what_is_needed(void **state) {
    unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : (unsigned)time(NULL);
    print_message("SEED=%u\n", seed);
    srand(seed);
    for (int round = 0; round < 20000; round++) {
        uint32_t workers = 1 + (uint32_t)rand() % 128;
        uint64_t used[128], total = 0, excess = 0, freed = 0;
        uint64_t limit = 1 + (uint64_t)rand() % (1000 * (uint64_t)MB), share = limit / workers;
        for (uint32_t i = 0; i < workers; i++) {
            used[i] = (uint64_t)rand() % (2 * share + 2);
            if (rand() % 8 == 0)
                used[i] = 0;
            total += used[i];
            excess += used[i] > share ? used[i] - share : 0;
        }
        for (uint32_t i = 0; i < workers; i++) {
            uint64_t bytes;
            enum memory_verdict v = decide(limit, used[i], total, excess, workers, true, &bytes);
            assert_int_equal(v == MEMORY_EVICT, total > limit && used[i] > share);
            if (v != MEMORY_EVICT)
                continue;
            assert_true(bytes > 0 && bytes <= used[i] - share);
            freed += bytes;
        }
        if (total <= limit)
            continue;
        /* A remainder of the division into shares may be left for the next round. */
        assert_true(freed + workers >= total - limit);
        assert_true(freed <= total - limit + 2 * workers);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(within_the_limit_all_goes),
        cmocka_unit_test(noeviction_refuses),
        cmocka_unit_test(alone_a_shard_frees_what_is_over),
        cmocka_unit_test(only_the_greedy_shard_gives_room),
        cmocka_unit_test(credit_ends),
        cmocka_unit_test(together_they_free_what_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
