/* Consumer groups: an id is pending at one consumer; counters; order of names; copies and memory. */
#include "worker/types/stream_group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "shared/base/mem.h"

static struct bytes text(const char *t) {
    return bytes_of_text(t);
}
static struct stream_id id(uint64_t ms) {
    return (struct stream_id){ms, 0};
}
static void add(struct stream *s, uint64_t ms) {
    const struct stream_limits limits = {4096, 100};
    struct bytes argv[2] = {text("f"), text("v")};
    stream_append(s, id(ms), argv, 1, &limits);
}

static void groups_come_and_go(void **state) {
    uint64_t used = mem_used();
    struct value value = stream_create();
    struct stream *s = stream_of(&value);
    assert_null(stream_group_find(s, text("g")));
    assert_int_equal(stream_group_count(s), 0);
    struct stream_group *g = stream_group_create(s, text("g"), id(5), STREAM_UNKNOWN);
    assert_non_null(g);
    assert_null(stream_group_create(s, text("g"), id(6), 0));
    assert_ptr_equal(stream_group_find(s, text("g")), g);
    assert_true(stream_group_create(s, bytes_of("", 0), id(6), 0) != NULL);
    stream_group_create(s, text("a"), id(0), 0);
    uint64_t count;
    struct stream_group **sorted = stream_groups_sorted(s, &count);
    assert_int_equal(count, 3);
    assert_int_equal(sorted[0]->name_len, 0);
    assert_true(bytes_equal(stream_group_name(sorted[1]), text("a")));
    assert_ptr_equal(sorted[2], g);
    mem_free(sorted);
    assert_true(stream_group_destroy(s, text("g")));
    assert_false(stream_group_destroy(s, text("g")));
    assert_true(stream_group_destroy(s, text("a")));
    assert_true(stream_group_destroy(s, bytes_of("", 0)));
    assert_null(s->groups);
    stream_free(&value);
    assert_int_equal(mem_used(), used);
}

static void pending_is_at_one_consumer(void **state) {
    uint64_t used = mem_used();
    struct value value = stream_create();
    struct stream *s = stream_of(&value);
    struct stream_group *g = stream_group_create(s, text("g"), id(0), 0);
    struct stream_consumer *a = stream_consumer_create(g, text("a"), 100);
    struct stream_consumer *b = stream_consumer_create(g, text("b"), 100);
    assert_null(stream_consumer_create(g, text("a"), 1));
    assert_int_equal(a->active_ms, STREAM_UNKNOWN);
    struct stream_pending *p = stream_pending_give(g, id(7), a);
    assert_int_equal(p->deliveries, 1);
    p->deliveries = 5;
    p = stream_pending_give(g, id(7), a);
    assert_int_equal(p->deliveries, 5);
    p = stream_pending_give(g, id(7), b);
    assert_int_equal(p->deliveries, 5);
    assert_int_equal(a->pending.count, 0);
    assert_int_equal(b->pending.count, 1);
    assert_int_equal(g->pending.count, 1);
    stream_pending_give(g, id(8), b);
    stream_pending_give(g, id(9), a);
    assert_true(stream_pending_end(g, id(8)));
    assert_false(stream_pending_end(g, id(8)));
    assert_null(stream_pending_find(g, id(8)));
    uint64_t pending;
    assert_true(stream_consumer_delete(g, text("b"), &pending));
    assert_int_equal(pending, 1);
    assert_false(stream_consumer_delete(g, text("b"), &pending));
    assert_int_equal(pending, 0);
    assert_int_equal(g->pending.count, 1);
    assert_ptr_equal(stream_pending_find(g, id(9))->consumer, a);
    stream_free(&value);
    assert_int_equal(mem_used(), used);
}

static void lag_is_known_or_not(void **state) {
    struct value value = stream_create();
    struct stream *s = stream_of(&value);
    struct stream_group *g = stream_group_create(s, text("g"), id(0), STREAM_UNKNOWN);
    int64_t lag;
    assert_true(stream_group_lag(s, g, &lag));
    assert_int_equal(lag, 0);
    for (uint64_t i = 1; i <= 5; i++)
        add(s, i);
    assert_true(stream_group_lag(s, g, &lag));
    assert_int_equal(lag, 5);
    stream_group_advance(s, g, id(1));
    assert_int_equal(g->entries_read, 1);
    stream_group_advance(s, g, id(2));
    assert_int_equal(g->entries_read, 2);
    stream_delete(s, id(4));
    assert_false(stream_group_lag(s, g, &lag));
    stream_group_advance(s, g, id(3));
    assert_int_equal(g->entries_read, STREAM_UNKNOWN);
    stream_group_advance(s, g, id(5));
    assert_int_equal(g->entries_read, 5);
    assert_true(stream_group_lag(s, g, &lag));
    assert_int_equal(lag, 0);
    g->entries_read = 9;
    assert_true(stream_group_lag(s, g, &lag));
    assert_int_equal(lag, -4);
    g->entries_read = INT64_MAX;
    stream_group_advance(s, g, id(6));
    assert_int_equal(g->entries_read, INT64_MAX);
    stream_free(&value);
}

static void copies_are_whole(void **state) {
    enum { ENTRIES = 3000 };
    uint64_t used = mem_used();
    struct value value = stream_create();
    struct stream *s = stream_of(&value);
    struct stream_group *g = stream_group_create(s, text("g"), id(17), 4);
    stream_group_create(s, text("empty"), id(1), STREAM_UNKNOWN);
    struct stream_consumer *consumers[3];
    for (int i = 0; i < 3; i++) {
        const char name[2] = {(char)('a' + i), 0};
        consumers[i] = stream_consumer_create(g, text(name), 100 + i);
        consumers[i]->active_ms = 200 + i;
    }
    for (uint64_t i = 1; i < ENTRIES; i++) {
        struct stream_pending *p = stream_pending_give(g, id(i * 37 % ENTRIES), consumers[i % 3]);
        p->delivered_ms = (int64_t)i;
        p->deliveries = i % 5;
    }
    struct value copy = stream_copy(&value);
    uint64_t bytes = stream_object_bytes(&value, 0);
    assert_true(bytes < ENTRIES * 120);
    assert_true(stream_cost(&value) > ENTRIES / 30);
    stream_free(&value);
    struct stream *t = stream_of(&copy);
    assert_int_equal(stream_group_count(t), 2);
    g = stream_group_find(t, text("g"));
    assert_true(stream_id_equal(g->last_id, id(17)));
    assert_int_equal(g->entries_read, 4);
    assert_int_equal(stream_consumer_find(g, text("c"))->active_ms, 202);
    for (uint64_t i = 1; i < ENTRIES; i++) {
        struct stream_pending *p = stream_pending_find(g, id(i * 37 % ENTRIES));
        assert_int_equal(p->delivered_ms, i);
        assert_int_equal(p->deliveries, i % 5);
        assert_int_equal(p->consumer->name[0], 'a' + i % 3);
        assert_non_null(idtree_find(&p->consumer->pending, id(i * 37 % ENTRIES)));
    }
    stream_free(&copy);
    assert_int_equal(mem_used(), used);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_come_and_go),
        cmocka_unit_test(pending_is_at_one_consumer),
        cmocka_unit_test(lag_is_known_or_not),
        cmocka_unit_test(copies_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
