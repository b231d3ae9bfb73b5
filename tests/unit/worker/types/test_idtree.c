/* The map from ids to records: against a bitmap of what is there, in every order, walks, its memory. */
#include "worker/types/idtree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "shared/base/mem.h"

enum { IDS = 6000 };
static unsigned seed;
static bool there[IDS];
static uint64_t count;

/* Ids that differ in either half. */
static struct stream_id id_of(uint64_t n) {
    return (struct stream_id){n / 3, n % 3};
}

static void insert(struct idtree *t, uint64_t n) {
    uint64_t *record = idtree_insert(t, id_of(n));
    if (t->record_bytes > 0)
        *record = n * 7;
    there[n] = true;
    count++;
}

static void take_out(struct idtree *t, uint64_t n) {
    assert_int_equal(idtree_remove(t, id_of(n)), there[n]);
    count -= there[n];
    there[n] = false;
}

static void expect_record(const struct idtree *t, const void *record, uint64_t n) {
    uint64_t value = 0;
    if (t->record_bytes == 0)
        return;
    memcpy(&value, record, sizeof value);
    if (value != n * 7)
        fail_msg("seed %u: another record at %lu", seed, n);
}

static void compare(const struct idtree *t) {
    struct idtree_cursor up = idtree_seek(t, stream_id_min);
    struct idtree_cursor down = idtree_seek_back(t, stream_id_max);
    struct stream_id id;
    const void *record;
    if (t->count != count)
        fail_msg("seed %u: %lu records, not %lu", seed, t->count, count);
    for (uint64_t n = 0; n < IDS; n++) {
        record = idtree_find(t, id_of(n));
        if ((record != NULL) != there[n])
            fail_msg("seed %u: %lu is %sthere", seed, n, record ? "" : "not ");
        if (!there[n])
            continue;
        expect_record(t, record, n);
        record = idtree_next(&up, &id);
        if (record == NULL || !stream_id_equal(id, id_of(n)))
            fail_msg("seed %u: the walk up does not come to %lu", seed, n);
        expect_record(t, record, n);
    }
    for (uint64_t n = IDS; n-- > 0;)
        if (there[n] && (idtree_prev(&down, &id) == NULL || !stream_id_equal(id, id_of(n))))
            fail_msg("seed %u: the walk down does not come to %lu", seed, n);
    assert_null(idtree_next(&up, NULL));
    assert_null(idtree_prev(&down, NULL));
}

/* Seeks land on the nearest on their side. */
static void compare_seeks(const struct idtree *t) {
    for (int i = 0; i < 200; i++) {
        uint64_t n = (uint64_t)rand() % IDS, up = n, down = n + 1;
        struct idtree_cursor forward = idtree_seek(t, id_of(n));
        struct idtree_cursor back = idtree_seek_back(t, id_of(n));
        struct stream_id id;
        while (up < IDS && !there[up])
            up++;
        while (down > 0 && !there[down - 1])
            down--;
        assert_int_equal(idtree_next(&forward, &id) != NULL, up < IDS);
        if (up < IDS)
            assert_true(stream_id_equal(id, id_of(up)));
        assert_int_equal(idtree_prev(&back, &id) != NULL, down > 0);
        if (down > 0)
            assert_true(stream_id_equal(id, id_of(down - 1)));
    }
}

static void begin(struct idtree *t, uint32_t record_bytes) {
    idtree_init(t, record_bytes);
    memset(there, 0, sizeof there);
    count = 0;
}

static void end(struct idtree *t, uint64_t used_before) {
    idtree_clear(t);
    assert_int_equal(t->bytes, 0);
    assert_int_equal(mem_used(), used_before);
}

static void random_order(uint32_t record_bytes) {
    uint64_t used = mem_used();
    struct idtree t;
    begin(&t, record_bytes);
    for (int round = 0; round < 40; round++) {
        unsigned inserts = (unsigned)rand() % 101; /* of a hundred */
        for (int i = 0; i < 800; i++) {
            uint64_t n = (uint64_t)rand() % IDS;
            if ((unsigned)rand() % 100 >= inserts)
                take_out(&t, n);
            else if (!there[n])
                insert(&t, n);
        }
        compare(&t);
        compare_seeks(&t);
    }
    end(&t, used);
}

static void any_order(void **state) {
    seed = (unsigned)time(NULL);
    srand(seed);
    random_order(8);
    random_order(0);
    random_order(24);
}

static void in_order_and_back(void **state) {
    uint64_t used = mem_used();
    struct idtree t;
    begin(&t, 8);
    for (uint64_t n = 0; n < IDS; n++)
        insert(&t, n);
    compare(&t);
    assert_true(t.bytes < IDS * 27); /* leaves are full */
    for (uint64_t n = 0; n < IDS - 10; n++)
        take_out(&t, n);
    compare(&t);
    assert_true(t.bytes < 2100);
    for (uint64_t n = IDS - 10; n-- > 0;)
        insert(&t, n);
    compare(&t);
    for (uint64_t n = IDS; n-- > 0;)
        take_out(&t, n);
    assert_null(t.root);
    end(&t, used);
}

/* One that is left of every so many does not keep the memory of all. */
static void sparse_is_joined(void **state) {
    uint64_t used = mem_used();
    struct idtree t;
    begin(&t, 24);
    for (uint64_t n = 0; n < IDS; n++)
        insert(&t, n);
    uint64_t full = t.bytes;
    for (uint64_t n = 0; n < IDS; n++)
        if (n % 50 != 0)
            take_out(&t, n);
    compare(&t);
    assert_true(t.bytes * 5 < full);
    end(&t, used);
}

static void small_is_small(void **state) {
    struct idtree t;
    begin(&t, 8);
    insert(&t, 5);
    assert_true(t.bytes <= 80);
    insert(&t, 2);
    insert(&t, 9);
    assert_true(t.bytes <= 160);
    compare(&t);
    assert_false(idtree_remove(&t, id_of(3)));
    idtree_clear(&t);
}

static void ids_up_and_down(void **state) {
    struct stream_id id = {5, UINT64_MAX};
    assert_true(stream_id_up(&id));
    assert_true(stream_id_equal(id, (struct stream_id){6, 0}));
    assert_true(stream_id_down(&id));
    assert_true(stream_id_equal(id, (struct stream_id){5, UINT64_MAX}));
    id = stream_id_max;
    assert_false(stream_id_up(&id));
    id = stream_id_min;
    assert_false(stream_id_down(&id));
    assert_true(stream_id_is_zero(id));
    assert_true(stream_id_before((struct stream_id){1, 9}, (struct stream_id){2, 0}));
    assert_true(stream_id_before((struct stream_id){1, 8}, (struct stream_id){1, 9}));
    assert_false(stream_id_before((struct stream_id){1, 9}, (struct stream_id){1, 9}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order),        cmocka_unit_test(in_order_and_back),
        cmocka_unit_test(sparse_is_joined), cmocka_unit_test(small_is_small),
        cmocka_unit_test(ids_up_and_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
