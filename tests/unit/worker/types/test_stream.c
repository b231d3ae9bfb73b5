/* Streams: against an array of the same entries, both ways, deleted, trimmed, copied; what blocks and
 * memory are like. */
#include "worker/types/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "shared/base/mem.h"

/* ---- the model ---- */

enum { MODEL_MAX = 4000, PAIRS_MAX = 4 };
struct model_entry {
    struct stream_id id;
    uint32_t pairs;
    char text[PAIRS_MAX * 2][64];
    uint32_t len[PAIRS_MAX * 2];
};
static struct model_entry *model;
static uint32_t model_count;
static unsigned seed;

static void draw_text(char *text, uint32_t *len) {
    static const char *const some[] = {"",    "7",          "-12345", "9223372036854775807",
                                       "007", "temperature"};
    unsigned kind = (unsigned)rand() % 8;
    if (kind < 6) {
        *len = (uint32_t)sprintf(text, "%s", some[kind]);
        return;
    }
    *len = (unsigned)rand() % 64;
    for (uint32_t i = 0; i < *len; i++)
        text[i] = (char)rand();
}

static void arguments_of(const struct model_entry *e, struct bytes argv[PAIRS_MAX * 2]) {
    for (uint32_t i = 0; i < 2 * e->pairs; i++)
        argv[i] = bytes_of(e->text[i], e->len[i]);
}

static void model_add(struct stream *s, const struct stream_limits *limits) {
    struct bytes argv[PAIRS_MAX * 2];
    struct model_entry *e = &model[model_count], *before = model_count > 0 ? e - 1 : NULL;
    unsigned step = (unsigned)rand() % 4;
    e->id = s->last_id;
    e->id.ms += step == 0 ? 0 : step == 1 ? 1 : (uint64_t)rand() * (step == 2 ? 1 : 1 << 20);
    e->id.seq = e->id.ms == s->last_id.ms ? e->id.seq + 1 + (rand() % 3 ? 0 : (unsigned)rand())
                : rand() % 3              ? 0
                                          : (uint64_t)rand() << 30;
    e->pairs = 1 + (unsigned)rand() % PAIRS_MAX;
    for (uint32_t i = 0; i < 2 * e->pairs; i++)
        draw_text(e->text[i], &e->len[i]);
    if (before != NULL && rand() % 3) { /* the same fields */
        e->pairs = before->pairs;
        for (uint32_t i = 0; i < e->pairs; i++) {
            memcpy(e->text[2 * i], before->text[2 * i], before->len[2 * i]);
            e->len[2 * i] = before->len[2 * i];
            draw_text(e->text[2 * i + 1], &e->len[2 * i + 1]);
        }
    }
    arguments_of(e, argv);
    stream_append(s, e->id, argv, e->pairs, limits);
    model_count++;
}

static void model_drop(uint32_t at, uint32_t count) {
    model_count -= count;
    memmove(model + at, model + at + count, (model_count - at) * sizeof(*model));
}

static void expect_entry(struct stream_entry *got, const struct model_entry *want) {
    struct bytes argv[PAIRS_MAX * 2], field, value;
    arguments_of(want, argv);
    if (!stream_id_equal(got->id, want->id) || got->pairs != want->pairs)
        fail_msg("seed %u: %lu-%lu, not %lu-%lu", seed, got->id.ms, got->id.seq, want->id.ms,
                 want->id.seq);
    for (uint32_t i = 0; i < want->pairs; i++) {
        stream_entry_pair(got, &field, &value);
        if (!bytes_equal(field, argv[2 * i]) || !bytes_equal(value, argv[2 * i + 1]))
            fail_msg("seed %u: pair %u of %lu-%lu differs", seed, i, want->id.ms, want->id.seq);
    }
}

static void compare_range(const struct stream *s, uint32_t from, uint32_t to, bool reverse) {
    struct stream_iterator it;
    struct stream_entry e;
    struct stream_id start = from < model_count ? model[from].id : stream_id_max;
    struct stream_id end = to > 0 ? model[to - 1].id : stream_id_min;
    if (from == 0)
        start = stream_id_min;
    stream_iterate(s, from < to ? start : end, from < to ? end : stream_id_min, reverse, &it);
    for (uint32_t i = from; i < to; i++) {
        if (!stream_next(&it, &e))
            fail_msg("seed %u: the walk ends at %u", seed, i);
        expect_entry(&e, &model[reverse ? to - 1 - (i - from) : i]);
    }
    assert_true(from >= to || !stream_next(&it, &e));
}

static void compare(const struct stream *s) {
    struct stream_id last;
    if (s->length != model_count)
        fail_msg("seed %u: %lu entries, not %u", seed, s->length, model_count);
    compare_range(s, 0, model_count, false);
    compare_range(s, 0, model_count, true);
    for (int i = 0; i < 20 && model_count > 0; i++) {
        uint32_t from = (unsigned)rand() % model_count;
        uint32_t to = from + (unsigned)rand() % (model_count - from);
        compare_range(s, from, to, rand() % 2);
        assert_true(stream_has(s, model[from].id));
    }
    assert_int_equal(stream_last_entry_id(s, &last), model_count > 0);
    struct stream_id first = model_count > 0 ? model[0].id : stream_id_min;
    assert_true(stream_id_equal(s->first_id, first));
    assert_true(model_count == 0 || stream_id_equal(last, model[model_count - 1].id));
}

/* ---- random changes ---- */

static void change(struct stream *s, const struct stream_limits *limits) {
    struct stream_trim trim = {0};
    uint32_t at = model_count > 0 ? (unsigned)rand() % model_count : 0;
    switch (rand() % 12) {
    case 0:
    case 1:
    case 2:
        if (model_count == 0)
            return;
        assert_true(stream_delete(s, model[at].id));
        assert_false(stream_delete(s, model[at].id));
        assert_false(stream_has(s, model[at].id));
        model_drop(at, 1);
        return;
    case 3:
        trim.max_length = model_count > 20 ? model_count - (unsigned)rand() % 20 : 5;
        at = trim.max_length < model_count ? model_count - (uint32_t)trim.max_length : 0;
        break;
    case 4:
        at /= 20;
        trim.by_id = true;
        trim.min_id = model_count > 0 ? model[at].id : stream_id_max;
        break;
    default:
        if (model_count < MODEL_MAX)
            model_add(s, limits);
        return;
    }
    assert_int_equal(stream_trim(s, &trim), at);
    model_drop(0, at);
}

static void random_changes(const struct stream_limits *limits) {
    uint64_t used = mem_used();
    struct value value = stream_create();
    model_count = 0;
    for (int round = 0; round < 25; round++) {
        for (int i = 0; i < 120; i++)
            change(stream_of(&value), limits);
        compare(stream_of(&value));
    }
    struct value copy = stream_copy(&value);
    stream_free(&value);
    compare(stream_of(&copy));
    stream_free(&copy);
    assert_int_equal(mem_used(), used);
}

static void any_changes(void **state) {
    static const struct stream_limits limits[] = {{4096, 100}, {0, 0}, {0, 1},
                                                  {200, 0},    {1, 1}, {0, 7}};
    model = calloc(MODEL_MAX, sizeof(*model));
    seed = (unsigned)time(NULL);
    srand(seed);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        random_changes(&limits[i]);
    free(model);
}

/* ---- blocks ---- */

static const struct stream_limits usual = {4096, 100};

static void add(struct stream *s, uint64_t ms, const char *field, const char *text) {
    struct bytes argv[2] = {bytes_of_text(field), bytes_of_text(text)};
    stream_append(s, (struct stream_id){ms, 0}, argv, 1, &usual);
}

static void blocks_end_where_redis_ends_them(void **state) {
    struct value value = stream_create();
    struct stream *s = stream_of(&value);
    for (uint64_t i = 1; i <= 250; i++)
        add(s, i, "f", "v");
    assert_int_equal(s->blocks.count, 3);
    /* Deleted entries count until the block is full. */
    for (uint64_t i = 240; i < 250; i++)
        stream_delete(s, (struct stream_id){i, 0});
    for (uint64_t i = 251; i <= 300; i++)
        add(s, i, "f", "v");
    assert_int_equal(s->blocks.count, 3);
    add(s, 301, "f", "v");
    assert_int_equal(s->blocks.count, 4);
    for (uint64_t i = 101; i <= 200; i++)
        assert_true(stream_delete(s, (struct stream_id){i, 0}));
    assert_int_equal(s->blocks.count, 3);
    struct stream_trim trim = {.max_length = 150, .approximate = true};
    assert_int_equal(stream_trim(s, &trim), 0);
    trim.max_length = 91;
    assert_int_equal(stream_trim(s, &trim), 100);
    assert_int_equal(s->length, 91);
    trim.limit = 5;
    trim.max_length = 0;
    assert_int_equal(stream_trim(s, &trim), 0);
    trim.limit = 90;
    assert_int_equal(stream_trim(s, &trim), 90);
    assert_int_equal(s->blocks.count, 1);
    stream_free(&value);
}

static void counters(void **state) {
    struct value value = stream_create();
    struct stream *s = stream_of(&value);
    assert_int_equal(stream_entries_before(s, (struct stream_id){5, 0}), 0);
    for (uint64_t i = 1; i <= 4; i++)
        add(s, i, "f", "v");
    assert_int_equal(stream_entries_before(s, stream_id_min), 0);
    assert_int_equal(stream_entries_before(s, (struct stream_id){1, 0}), 1);
    assert_int_equal(stream_entries_before(s, (struct stream_id){2, 0}), -1);
    assert_int_equal(stream_entries_before(s, (struct stream_id){4, 0}), 4);
    assert_int_equal(stream_entries_before(s, (struct stream_id){5, 0}), -1);
    assert_false(stream_has_gap(s, stream_id_min));
    stream_delete(s, (struct stream_id){3, 0});
    assert_true(stream_has_gap(s, (struct stream_id){3, 0}));
    assert_false(stream_has_gap(s, (struct stream_id){3, 1}));
    assert_int_equal(stream_entries_before(s, (struct stream_id){1, 0}), -1);
    struct stream_trim trim = {.max_length = 1};
    assert_int_equal(stream_trim(s, &trim), 2);
    assert_false(stream_has_gap(s, stream_id_min));
    assert_int_equal(stream_entries_before(s, stream_id_min), 3);
    stream_delete(s, (struct stream_id){4, 0});
    assert_int_equal(stream_entries_before(s, (struct stream_id){2, 0}), 4);
    assert_int_equal(s->entries_added, 4);
    assert_true(stream_id_equal(s->max_deleted_id, (struct stream_id){4, 0}));
    stream_free(&value);
}

/* An entry of two short values whose fields are known takes little more than they do. */
static void entries_are_small(void **state) {
    enum { ENTRIES = 100000 };
    struct value value = stream_create();
    struct stream *s = stream_of(&value);
    uint64_t used = mem_used();
    char a[16], b[16];
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        struct bytes argv[4] = {bytes_of_text("name"), bytes_of(a, (size_t)sprintf(a, "n%07lu", i)),
                                bytes_of_text("text"),
                                bytes_of(b, (size_t)sprintf(b, "t%07lu", i))};
        stream_append(s, (struct stream_id){1700000000000 + i / 10, i % 10}, argv, 2, &usual);
    }
    double each = (double)(mem_used() - used) / ENTRIES;
    if (each > 27)
        fail_msg("%.1f bytes an entry", each);
    uint64_t told = stream_object_bytes(&value, 0);
    assert_true(told >= mem_used() - used && told < (mem_used() - used) * 11 / 10);
    stream_free(&value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_changes),
        cmocka_unit_test(blocks_end_where_redis_ends_them),
        cmocka_unit_test(counters),
        cmocka_unit_test(entries_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
