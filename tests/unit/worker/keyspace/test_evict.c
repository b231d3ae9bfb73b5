/* test_evict.c - each policy takes from the right set, and the right ones first. */
#include "tests/unit/worker/keyspace/keyspace_fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

enum { PLAIN = 500, VOLATILE = 500, LONG_ENOUGH_US = 10000000, ALL_BYTES = 1 << 30 };

static void configure(struct fixture *f, enum maxmemory_policy policy) {
    struct config config = {.maxmemory_policy = policy, .lfu_decay_time = 1, .lfu_log_factor = 0};
    keyspace_configure(f->ks, &config);
}

/* Keys p0.. without expiry, v0.. with: the higher the number, the longer to live, the later used and
 * the oftener. */
static void fill(struct fixture *f, enum maxmemory_policy policy) {
    char key[32];
    struct keyref ref;
    fixture_begin(f);
    configure(f, policy);
    for (uint32_t i = 0; i < PLAIN + VOLATILE; i++) {
        uint32_t number = i / 2;
        snprintf(key, sizeof key, "%c%u", i % 2 ? 'p' : 'v', number);
        fixture_set(f, i % 3, key, key);
        fixture_find(f, i % 3, key, &ref);
        if (i % 2 == 0)
            keyspace_set_expire(&ref, FIXTURE_NOW_MS + 1000000 + number);
        keyspace_set_access(&ref, (int64_t)(PLAIN - number) * 1000, (int32_t)(number / 2));
    }
}

static uint64_t volatile_left(const struct fixture *f) {
    uint64_t left = 0;
    for (uint32_t db = 0; db < FIXTURE_DATABASES; db++)
        left += keyspace_expires_count(f->ks, db);
    return left;
}
static uint64_t left(const struct fixture *f) {
    uint64_t keys = 0;
    for (uint32_t db = 0; db < FIXTURE_DATABASES; db++)
        keys += keyspace_count(f->ks, db);
    return keys;
}

static bool is_volatile_policy(enum maxmemory_policy policy) {
    return policy <= MAXMEMORY_VOLATILE_TTL;
}

static void test_right_set(void **state) {
    for (int i = MAXMEMORY_VOLATILE_LRU; i <= MAXMEMORY_NOEVICTION; i++) {
        enum maxmemory_policy policy = (enum maxmemory_policy)i;
        struct fixture f;
        fill(&f, policy);
        assert_false(keyspace_evict(f.ks, policy, 5, ALL_BYTES, LONG_ENOUGH_US));
        if (policy == MAXMEMORY_NOEVICTION) {
            assert_int_equal(left(&f), PLAIN + VOLATILE);
        } else if (is_volatile_policy(policy)) {
            assert_int_equal(volatile_left(&f), 0);
            assert_int_equal(left(&f), PLAIN);
        } else {
            assert_int_equal(left(&f), 0);
        }
        assert_int_equal(keyspace_stats(f.ks)->evicted, PLAIN + VOLATILE - left(&f));
        assert_int_equal(f.evicted, keyspace_stats(f.ks)->evicted);
        assert_int_equal(f.expired, 0);
        fixture_end(&f);
    }
}

struct numbers {
    uint64_t sum, count;
};
static bool add_number(void *arg, const struct keyref *ref) {
    struct numbers *numbers = arg;
    int64_t number;
    if (keyref_expire_ms(ref) == KEY_NO_EXPIRY)
        return true;
    bytes_to_i64(bytes_of(ref->key.ptr + 1, ref->key.len - 1), &number);
    numbers->sum += (uint64_t)number;
    numbers->count++;
    return true;
}

/* After about half of the volatile keys went, the mean number of those that stay tells whether the
 * low ones went first: 249.5 if by chance, 374.5 if exactly. */
static void test_right_order(void **state) {
    static const struct {
        enum maxmemory_policy policy;
        double at_least, at_most;
    } rows[] = {
        {MAXMEMORY_VOLATILE_LRU, 330, 375}, {MAXMEMORY_VOLATILE_LFU, 330, 375},
        {MAXMEMORY_VOLATILE_TTL, 330, 375}, {MAXMEMORY_VOLATILE_RANDOM, 210, 290},
        {MAXMEMORY_ALLKEYS_LRU, 330, 499},  {MAXMEMORY_ALLKEYS_LFU, 330, 499},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f;
        struct numbers numbers = {0};
        fill(&f, rows[i].policy);
        while (volatile_left(&f) > VOLATILE / 2)
            assert_true(keyspace_evict(f.ks, rows[i].policy, 10, 1, LONG_ENOUGH_US));
        for (uint32_t db = 0; db < FIXTURE_DATABASES; db++)
            keyspace_each(f.ks, db, add_number, &numbers);
        assert_int_equal(numbers.count, VOLATILE / 2);
        double mean = (double)numbers.sum / (double)numbers.count;
        print_message("policy %d: mean %.1f\n", (int)rows[i].policy, mean);
        assert_true(mean >= rows[i].at_least && mean <= rows[i].at_most);
        fixture_end(&f);
    }
}

/* It stops at the bytes asked for, near enough, and at once when there is no time. */
static void test_amount(void **state) {
    struct fixture f;
    fill(&f, MAXMEMORY_ALLKEYS_LRU);
    assert_true(keyspace_evict(f.ks, MAXMEMORY_ALLKEYS_LRU, 5, 1, LONG_ENOUGH_US));
    assert_int_equal(left(&f), PLAIN + VOLATILE - 1);
    assert_true(keyspace_evict(f.ks, MAXMEMORY_ALLKEYS_LRU, 5, 5000, LONG_ENOUGH_US));
    assert_in_range(PLAIN + VOLATILE - 1 - left(&f), 30, 200);
    uint64_t before = left(&f);
    assert_true(keyspace_evict(f.ks, MAXMEMORY_ALLKEYS_LRU, 5, ALL_BYTES, 0));
    assert_in_range(before - left(&f), 1, 64);
    fixture_end(&f);
}

/* Candidates remembered from before that were deleted, moved or flushed do no harm. */
static void test_stale_candidates(void **state) {
    struct fixture f;
    struct keyref ref;
    char key[32];
    fill(&f, MAXMEMORY_ALLKEYS_LRU);
    for (uint32_t i = 0; i < PLAIN; i++) {
        keyspace_evict(f.ks, MAXMEMORY_ALLKEYS_LRU, 10, 1, LONG_ENOUGH_US);
        for (uint32_t db = 0; db < 3; db++) {
            snprintf(key, sizeof key, "p%u", i);
            if (fixture_find(&f, db, key, &ref))
                keyspace_delete(&ref, false);
            snprintf(key, sizeof key, "v%u", i);
            if (fixture_find(&f, db, key, &ref))
                keyspace_set_expire(&ref, KEY_NO_EXPIRY);
        }
        fixture_set(&f, 1, "new", key);
    }
    keyspace_flush_all(f.ks, false);
    assert_false(keyspace_evict(f.ks, MAXMEMORY_ALLKEYS_LRU, 10, 1, LONG_ENOUGH_US));
    fixture_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_set),
        cmocka_unit_test(test_right_order),
        cmocka_unit_test(test_amount),
        cmocka_unit_test(test_stale_candidates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
