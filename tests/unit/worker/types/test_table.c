/* test_table.c - the hash table against a naive model, under resizing, collisions and scans. */
#include "worker/types/table.h"
#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

struct item {
    uint32_t id;
    uint32_t seen;
    char key[12];
};

static struct bytes item_key(const void *entry) {
    const struct item *item = entry;
    return bytes_of(item->key, sizeof item->key);
}
/* Three hashes for everything: all chains, no order. */
static uint64_t item_bad_hash(const void *entry) {
    const struct item *item = entry;
    return (uint64_t)(item->id % 3) << 40 | 5;
}
/* All at the very end of the hash space. */
static uint64_t item_last_hash(const void *entry) {
    const struct item *item = entry;
    return ~(uint64_t)(item->id % 64) << 3;
}
static const struct table_type good_type = {.key = item_key};
static const struct table_type bad_type = {.key = item_key, .hash = item_bad_hash};
static const struct table_type last_type = {.key = item_key, .hash = item_last_hash};

static uint64_t hash_of(const struct table *t, const struct item *item) {
    return t->type->hash ? t->type->hash(item) : table_hash(item_key(item));
}

static struct item *items_make(uint32_t count) {
    struct item *items = mem_calloc(count, sizeof *items);
    for (uint32_t i = 0; i < count; i++) {
        items[i].id = i;
        snprintf(items[i].key, sizeof items[i].key, "k%010u", i);
    }
    return items;
}

static unsigned random_seed(void) {
    const char *given = getenv("SEED");
    unsigned seed = given ? (unsigned)atoi(given) : (unsigned)clock_mono_us();
    print_message("seed %u\n", seed);
    srandom(seed);
    return seed;
}

static uint64_t each_count(const struct table *t, const bool *present) {
    struct table_iterator it = table_iterate(t);
    uint64_t count = 0;
    for (struct item *item; (item = table_next(&it)) != NULL; count++)
        assert_true(present[item->id]);
    return count;
}

static void toggle(struct table *t, struct item *item, bool *present) {
    uint64_t hash = hash_of(t, item);
    assert_ptr_equal(table_find(t, hash, item_key(item)), *present ? item : NULL);
    assert_int_equal(table_holds(t, hash, item), *present);
    if (!*present)
        table_insert(t, hash, item);
    else if (random() & 1)
        assert_ptr_equal(table_remove(t, hash, item_key(item)), item);
    else
        assert_true(table_remove_entry(t, hash, item));
    *present = !*present;
    assert_null(table_remove(t, hash, bytes_of("no such key", 11)));
}

/* Waves of mostly inserts and mostly removals over `universe` keys. */
static void run_model(const struct table_type *type, uint32_t universe, uint32_t operations) {
    struct item *items = items_make(universe);
    bool *present = mem_calloc(universe, sizeof *present);
    struct table t;
    uint64_t count = 0;
    random_seed();
    table_init(&t, type);
    for (uint32_t i = 0; i < operations; i++) {
        uint32_t pick = (uint32_t)random() % universe;
        bool filling = (i / (universe * 2)) % 2 == 0;
        if (present[pick] == filling && random() % 8)
            continue;
        if (random() % 1000 == 0)
            table_set_paused(&t, random() & 1);
        toggle(&t, &items[pick], &present[pick]);
        count += present[pick] ? 1 : (uint64_t)-1;
        assert_int_equal(table_count(&t), count);
        if (i % (operations / 20) == 0)
            assert_int_equal(each_count(&t, present), count);
    }
    for (uint32_t i = 0; i < universe; i++)
        assert_ptr_equal(table_find(&t, hash_of(&t, &items[i]), item_key(&items[i])),
                         present[i] ? &items[i] : NULL);
    table_clear(&t);
    assert_int_equal(table_bytes(&t), 0);
    mem_free(present);
    mem_free(items);
}

static void test_model(void **state) {
    run_model(&good_type, 30000, 1000000);
    run_model(&good_type, 60, 100000);
    run_model(&good_type, 2, 1000);
}
static void test_model_collisions(void **state) {
    run_model(&bad_type, 300, 100000);
    run_model(&last_type, 2000, 100000);
}

static void test_replace(void **state) {
    enum { COUNT = 5000 };
    struct item *items = items_make(COUNT), *others = items_make(COUNT);
    struct table t;
    table_init(&t, &good_type);
    for (uint32_t i = 0; i < COUNT; i++) {
        table_insert(&t, hash_of(&t, &items[i]), &items[i]);
        table_replace(&t, hash_of(&t, &items[i / 2]), i & 1 ? &others[i / 2] : &items[i / 2],
                      i & 1 ? &items[i / 2] : &others[i / 2]);
    }
    for (uint32_t i = 0; i < COUNT; i++)
        assert_ptr_equal(table_find(&t, hash_of(&t, &items[i]), item_key(&items[i])), &items[i]);
    table_clear(&t);
    mem_free(items);
    mem_free(others);
}

struct scan_run {
    struct table *table;
    struct item *items;
    bool delete;
    uint64_t reported;
};

static void scan_found(void *arg, void *entry) {
    struct scan_run *run = arg;
    struct item *item = entry;
    item->seen++;
    run->reported++;
    if (run->delete)
        assert_true(table_remove_entry(run->table, hash_of(run->table, item), item));
}

/* Keys below `stay` are there all the while; the others come and go between the steps. */
static void run_scan(uint32_t first_others, uint32_t last_others, uint32_t steps_between) {
    enum { STAY = 20000, ALL = 200000 };
    struct item *items = items_make(ALL);
    struct table t;
    table_init(&t, &good_type);
    for (uint32_t i = 0; i < STAY + first_others; i++)
        table_insert(&t, hash_of(&t, &items[i]), &items[i]);
    struct scan_run run = {.table = &t, .items = items};
    uint32_t others = first_others;
    uint64_t cursor = 0, steps = 0;
    do {
        cursor = table_scan(&t, cursor, scan_found, &run);
        assert_true(cursor < (uint64_t)1 << 48);
        for (uint32_t i = 0; i < steps_between && others != last_others; i++) {
            struct item *item = &items[STAY + (others < last_others ? others : others - 1)];
            if (others < last_others) {
                table_insert(&t, hash_of(&t, item), item);
                others++;
            } else {
                assert_true(table_remove_entry(&t, hash_of(&t, item), item));
                others--;
            }
        }
        steps++;
    } while (cursor);
    for (uint32_t i = 0; i < STAY; i++)
        assert_int_equal(items[i].seen, 1);
    table_clear(&t);
    mem_free(items);
}

static void test_scan(void **state) {
    run_scan(0, 0, 0);
    run_scan(0, 150000, 17);
    run_scan(0, 150000, 97);
    run_scan(150000, 0, 5);
    run_scan(150000, 0, 11);
}

static void test_scan_removing(void **state) {
    enum { COUNT = 10000 };
    struct item *items = items_make(COUNT);
    for (uint32_t round = 0; round < 2; round++) {
        struct table t;
        table_init(&t, round ? &bad_type : &good_type);
        uint32_t count = round ? 1000 : COUNT;
        for (uint32_t i = 0; i < count; i++)
            table_insert(&t, hash_of(&t, &items[i]), &items[i]);
        struct scan_run run = {.table = &t, .items = items, .delete = true};
        uint64_t cursor = 0;
        do {
            cursor = table_scan(&t, cursor, scan_found, &run);
        } while (cursor);
        assert_int_equal(run.reported, count);
        assert_int_equal(table_count(&t), 0);
        assert_int_equal(table_bytes(&t), 0);
    }
    mem_free(items);
}

static void test_random(void **state) {
    enum { COUNT = 1000, DRAWS = 400 * COUNT };
    struct item *items = items_make(COUNT);
    struct table t;
    random_seed();
    table_init(&t, &good_type);
    assert_null(table_random(&t));
    for (uint32_t i = 0; i < COUNT; i++)
        table_insert(&t, hash_of(&t, &items[i]), &items[i]);
    for (uint32_t i = 0; i < DRAWS; i++)
        ((struct item *)table_random(&t))->seen++;
    uint32_t fair = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(items[i].seen > 20);
        assert_true(items[i].seen < 1200);
        fair += items[i].seen > 300 && items[i].seen < 520;
    }
    assert_true(fair > COUNT * 80 / 100);
    /* A table that was big and is nearly empty still answers. */
    for (uint32_t i = 1; i < COUNT; i++)
        table_remove_entry(&t, hash_of(&t, &items[i]), &items[i]);
    assert_ptr_equal(table_random(&t), &items[0]);
    void *sample[10];
    assert_int_equal(table_sample(&t, sample, 10), 1);
    table_clear(&t);
    mem_free(items);
}

/* While paused nothing moves up to a high load; afterwards the table catches up. */
static void test_paused(void **state) {
    enum { COUNT = 60000 };
    struct item *items = items_make(COUNT);
    struct table t;
    table_init(&t, &good_type);
    table_reserve(&t, 20000);
    uint64_t buckets = t.part[0].buckets;
    table_set_paused(&t, true);
    for (uint32_t i = 0; i < 25000; i++)
        table_insert(&t, hash_of(&t, &items[i]), &items[i]);
    assert_int_equal(t.part[0].buckets, buckets);
    assert_int_equal(t.part[1].buckets, 0);
    assert_false(table_step(&t, 100));
    for (uint32_t i = 25000; i < COUNT; i++)
        table_insert(&t, hash_of(&t, &items[i]), &items[i]);
    assert_true(t.part[0].buckets + t.part[1].buckets > buckets);
    table_set_paused(&t, false);
    while (table_step(&t, 100))
        ;
    assert_int_equal(t.part[1].buckets, 0);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_ptr_equal(table_find(&t, hash_of(&t, &items[i]), item_key(&items[i])), &items[i]);
    table_clear(&t);
    mem_free(items);
}

/* Bytes a key at any size, and what they become when the keys go. */
static void test_memory(void **state) {
    enum { COUNT = 1500000 };
    struct item *items = items_make(COUNT);
    struct table t;
    double worst = 0, sum = 0;
    uint32_t samples = 0;
    table_init(&t, &good_type);
    for (uint32_t i = 0; i < COUNT; i++) {
        table_insert(&t, hash_of(&t, &items[i]), &items[i]);
        if (i < 100000 || i % 1000)
            continue;
        double each = (double)table_bytes(&t) / (double)table_count(&t);
        worst = each > worst ? each : worst;
        sum += each;
        samples++;
        if (i == 1000000)
            print_message("at 1 M: %.2f bytes a key\n", each);
    }
    print_message("100 k to 1.5 M: mean %.2f, worst %.2f bytes a key\n", sum / samples, worst);
    assert_true(sum / samples < 12.0 * 1.05);
    assert_true(worst < 14.0);
    for (uint32_t i = 1000; i < COUNT; i++)
        table_remove_entry(&t, hash_of(&t, &items[i]), &items[i]);
    while (table_step(&t, 1000))
        ;
    assert_true(table_bytes(&t) < 64 * 1000);
    table_clear(&t);
    mem_free(items);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),         cmocka_unit_test(test_model_collisions),
        cmocka_unit_test(test_replace),       cmocka_unit_test(test_scan),
        cmocka_unit_test(test_scan_removing), cmocka_unit_test(test_random),
        cmocka_unit_test(test_paused),        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
