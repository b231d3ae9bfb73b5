/* Streams in RDB form: round trips, what a real server of 7.0 has written, all three generations,
 * refusals, and bytes changed at random. */
#include "worker/persist/rdb_private.h"
#include "worker/persist/rdb_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/worker/persist/shard_fixture.h"
#include "worker/types/listpack.h"
#include "worker/types/stream_group.h"

static struct config *config;

static int setup(void **state) {
    config = config_create();
    return 0;
}
static int teardown(void **state) {
    config_free(&config);
    return 0;
}

static struct stream *read_stream(struct bytes data, struct value *value_r) {
    char error[256];
    if (rdb_value_read(data, config, value_r, error, sizeof(error)) != 0)
        fail_msg("%s", error);
    assert_int_equal(value_r->type, VALUE_STREAM);
    return stream_of(value_r);
}

/* ---- round trips ---- */

static struct value make_stream(uint64_t entries, uint64_t block_entries) {
    struct value value = stream_create();
    struct stream *s = stream_of(&value);
    struct stream_limits limits = {.block_bytes = 4096, .block_entries = block_entries};
    char text[40];
    for (uint64_t i = 1; i <= entries; i++) {
        struct bytes argv[4] = {bytes_of_text("field"),
                                bytes_of(text, (size_t)sprintf(text, "%ld", (long)i * 91 - 50)),
                                bytes_of_text(i % 9 ? "other" : "else"), bytes_of_text("")};
        stream_append(s, (struct stream_id){i / 3, i % 3 * 5}, argv, 1 + i % 2, &limits);
    }
    for (uint64_t i = 2; i <= entries; i += 4)
        stream_delete(s, (struct stream_id){i / 3, i % 3 * 5});
    return value;
}

static void make_groups(struct stream *s, uint64_t pending) {
    struct stream_group *g =
        stream_group_create(s, bytes_of_text("group"), (struct stream_id){5, 6}, 11);
    struct stream_consumer *c[2] = {stream_consumer_create(g, bytes_of_text("one"), 1000),
                                    stream_consumer_create(g, bytes_of("", 0), 2000)};
    stream_consumer_create(g, bytes_of_text("idle"), 3000);
    stream_group_create(s, bytes_of_text("unread"), stream_id_max, STREAM_UNKNOWN);
    for (uint64_t i = 1; i <= pending; i++) {
        struct stream_pending *p = stream_pending_give(g, (struct stream_id){i, i}, c[i % 2]);
        p->delivered_ms = (int64_t)i;
        p->deliveries = i * i;
    }
}

/* Everything as bytes: two streams are equal if what is written of them is. */
static void expect_same(const struct value *a, const struct value *b) {
    struct buf x = {0}, y = {0};
    rdb_value_write(&x, a, false);
    rdb_value_write(&y, b, false);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    buf_free(&x);
    buf_free(&y);
}

static void round_trips(void **state) {
    static const uint64_t sizes[][3] = {{0, 100, 0},   {1, 100, 1},   {1, 1, 0},       {99, 100, 3},
                                        {500, 100, 9}, {500, 7, 200}, {3000, 0, 1000}, {200, 1, 2}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct value value = make_stream(sizes[i][0], sizes[i][1]), back;
        make_groups(stream_of(&value), sizes[i][2]);
        struct buf out = {0};
        rdb_value_write(&out, &value, i % 2);
        struct stream *s = read_stream(buf_bytes(&out), &back);
        const struct stream *was = stream_of(&value);
        assert_int_equal(s->length, was->length);
        assert_int_equal(s->blocks.count, was->blocks.count);
        assert_int_equal(s->entries_added, sizes[i][0]);
        assert_true(stream_id_equal(s->first_id, was->first_id));
        assert_true(stream_id_equal(s->max_deleted_id, was->max_deleted_id));
        expect_same(&value, &back);
        /* What is added next goes to the same block. */
        struct bytes argv[2] = {bytes_of_text("field"), bytes_of_text("x")};
        struct stream_limits limits = {.block_bytes = 4096, .block_entries = sizes[i][1]};
        stream_append(stream_of(&value), (struct stream_id){9000, 0}, argv, 1, &limits);
        stream_append(s, (struct stream_id){9000, 0}, argv, 1, &limits);
        expect_same(&value, &back);
        stream_free(&value);
        stream_free(&back);
        buf_free(&out);
    }
}

/* ---- files of a real server ---- */

static void real_snapshot_is_loaded(void **state) {
    struct shard *s = shard_create();
    shard_copy_fixture(s, "redis-7.0-stream.rdb", "dump.rdb");
    if (shard_open(s) != 0)
        fail_msg("%s", s->error);
    shard_expect(s, "XRANGE \"a stream\" - +",
                 "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    shard_expect(s, "XLEN long", ":247\r\n");
    shard_expect(
        s, "XRANGE long 300 + COUNT 1",
        "*1\r\n*2\r\n$5\r\n300-0\r\n*4\r\n$1\r\na\r\n$3\r\n300\r\n$1\r\nb\r\n$5\r\nv-300\r\n");
    shard_expect(
        s, "XPENDING long g",
        "*4\r\n:4\r\n$4\r\n54-0\r\n$4\r\n61-0\r\n*2\r\n*2\r\n$5\r\nalice\r\n$1\r\n3\r\n*2\r\n"
        "$3\r\nbob\r\n$1\r\n1\r\n");
    shard_expect(
        s, "XINFO GROUPS long",
        "*2\r\n*12\r\n$4\r\nname\r\n$1\r\ng\r\n$9\r\nconsumers\r\n:3\r\n$7\r\npending\r\n:4\r\n"
        "$17\r\nlast-delivered-id\r\n$4\r\n61-0\r\n$12\r\nentries-read\r\n:61\r\n"
        "$3\r\nlag\r\n:239\r\n*12\r\n$4\r\nname\r\n$4\r\nlate\r\n$9\r\nconsumers\r\n:0\r\n"
        "$7\r\npending\r\n:0\r\n$17\r\nlast-delivered-id\r\n$5\r\n300-0\r\n$12\r\nentries-read"
        "\r\n:300\r\n$3\r\nlag\r\n:0\r\n");
    shard_expect(s, "XLEN empty", ":0\r\n");
    shard_expect(
        s, "XADD empty 1-1 f v",
        "-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n");
    shard_free(&s);
}

/* ---- by hand ---- */

/* What may be wrong with it. */
struct form {
    uint8_t type;
    int64_t live, deleted, names, ends;       /* of the master entry */
    int64_t flags, ms, seq, fields, elements; /* of its second entry */
    uint64_t nodes, length, last_ms, key_bytes;
    uint64_t consumer_pending, group_pending, second_consumer;
    uint64_t pending_ms, consumer_ms, entries_read, active;
    int64_t seen;
    bool no_second, text_seq;
};

static struct form right(uint8_t type) {
    return (struct form){.type = type,
                         .live = 1,
                         .deleted = 1,
                         .names = 1,
                         .flags = 1,
                         .ms = 2,
                         .fields = 2,
                         .elements = 8,
                         .nodes = 1,
                         .length = 1,
                         .last_ms = 9,
                         .key_bytes = 16,
                         .consumer_pending = 1,
                         .group_pending = 1,
                         .pending_ms = 7,
                         .consumer_ms = 7,
                         .entries_read = 2,
                         .seen = 50,
                         .active = 40};
}

static void put_listpack(struct rdb_out *out, const struct form *f) {
    struct buf lp = {0};
    size_t begin = listpack_begin(&lp);
    uint64_t elements = 10;
    listpack_put_integer(&lp, f->live);
    listpack_put_integer(&lp, f->deleted);
    listpack_put_integer(&lp, f->names);
    listpack_put(&lp, bytes_of_text("a"));
    listpack_put_integer(&lp, f->ends);
    listpack_put_integer(&lp, 2);
    listpack_put_integer(&lp, 0);
    listpack_put_integer(&lp, 0);
    listpack_put(&lp, bytes_of_text("b"));
    listpack_put_integer(&lp, 4);
    if (!f->no_second) {
        elements += 9;
        listpack_put_integer(&lp, f->flags);
        listpack_put_integer(&lp, f->ms);
        if (f->text_seq)
            listpack_put(&lp, bytes_of_text("x"));
        else
            listpack_put_integer(&lp, f->seq);
        listpack_put_integer(&lp, f->fields);
        for (int i = 0; i < 4; i++)
            listpack_put(&lp, bytes_of_text("x"));
        listpack_put_integer(&lp, f->elements);
    }
    listpack_end(&lp, begin, elements);
    rdb_put_string(out, buf_bytes(&lp));
    buf_free(&lp);
}

static void put_raw_id(struct rdb_out *out, uint64_t ms) {
    char raw[16] = {0};
    raw[7] = (char)ms;
    buf_append(out->buf, raw, sizeof raw);
}

static void put_group(struct rdb_out *out, const struct form *f) {
    rdb_put_string(out, bytes_of_text("g"));
    rdb_put_length(out, 7);
    rdb_put_length(out, 0);
    if (f->type > 15)
        rdb_put_length(out, f->entries_read);
    rdb_put_length(out, f->group_pending);
    for (uint64_t i = 0; i < f->group_pending; i++) {
        put_raw_id(out, f->pending_ms);
        rdb_put_u64le(out, 123);
        rdb_put_length(out, 3);
    }
    rdb_put_length(out, 1 + f->second_consumer);
    for (uint64_t i = 0; i <= f->second_consumer; i++) {
        rdb_put_string(out, bytes_of_text(f->second_consumer == 2 && i > 0 ? "d" : "c"));
        rdb_put_u64le(out, (uint64_t)f->seen);
        if (f->type == 21)
            rdb_put_u64le(out, f->active);
        rdb_put_length(out, f->consumer_pending);
        for (uint64_t k = 0; k < f->consumer_pending; k++)
            put_raw_id(out, f->consumer_ms);
    }
}

static struct buf build(const struct form *f) {
    struct buf bytes = {0};
    struct rdb_out out = {.buf = &bytes, .fd = -1};
    rdb_put_byte(&out, f->type);
    rdb_put_length(&out, f->nodes);
    for (uint64_t i = 0; i < f->nodes; i++) {
        rdb_put_string(&out, bytes_of("\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\0z", f->key_bytes));
        put_listpack(&out, f);
    }
    rdb_put_length(&out, f->length);
    rdb_put_length(&out, f->last_ms);
    rdb_put_length(&out, 0);
    if (f->type > 15)
        for (uint64_t i = 0; i < 5; i++)
            rdb_put_length(&out, i == 0 ? 5 : i == 2 ? 7 : i == 4 ? 2 : 0);
    rdb_put_length(&out, 1);
    put_group(&out, f);
    return bytes;
}

static void every_generation_is_read(void **state) {
    static const uint8_t types[] = {15, 19, 21};
    for (int i = 0; i < 3; i++) {
        struct form f = right(types[i]);
        struct buf bytes = build(&f);
        struct value value;
        struct stream *s = read_stream(buf_bytes(&bytes), &value);
        struct stream_group *g = stream_group_find(s, bytes_of_text("g"));
        struct stream_consumer *c = stream_consumer_find(g, bytes_of_text("c"));
        assert_int_equal(s->length, 1);
        assert_int_equal(s->first_id.ms, 5);
        assert_int_equal(s->last_id.ms, 9);
        assert_int_equal(s->max_deleted_id.ms, types[i] == 15 ? 0 : 7);
        assert_int_equal(s->entries_added, types[i] == 15 ? 1 : 2);
        assert_int_equal(g->entries_read, types[i] == 15 ? STREAM_UNKNOWN : 2);
        assert_int_equal(g->pending.count, 1);
        assert_int_equal(stream_pending_find(g, (struct stream_id){7, 0})->deliveries, 3);
        assert_int_equal(c->pending.count, 1);
        assert_int_equal(c->seen_ms, 50);
        assert_int_equal(c->active_ms, types[i] == 21 ? 40 : 50);
        stream_free(&value);
        buf_free(&bytes);
    }
}

static void expect_refused(const struct form *f, const char *words) {
    struct buf bytes = build(f);
    struct value value;
    char error[256] = "";
    assert_int_equal(rdb_value_read(buf_bytes(&bytes), config, &value, error, sizeof error), -1);
    if (strstr(error, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, error);
    buf_free(&bytes);
}
#define REFUSED(field, value, words)                                                               \
    do {                                                                                           \
        struct form f = right(19);                                                                 \
        f.field = value;                                                                           \
        expect_refused(&f, words);                                                                 \
    } while (0)

static void what_is_wrong_is_said(void **state) {
    REFUSED(live, 2, "fewer entries than it says");
    REFUSED(live, 0, "wrong master entry");
    REFUSED(deleted, 0, "more entries than it says");
    REFUSED(deleted, -1, "wrong master entry");
    REFUSED(names, 100000, "fewer fields than it says");
    REFUSED(names, -1, "fewer fields than it says");
    REFUSED(names, 2, "wrong master entry");
    REFUSED(ends, 1, "wrong master entry");
    REFUSED(flags, 4, "of a kind unknown");
    REFUSED(flags, 0, "more entries than it says");
    REFUSED(ms, 0, "out of order");
    REFUSED(ms, -1, "out of order");
    REFUSED(ms, 5, "behind its last id");
    REFUSED(fields, 1, "no number where one belongs");
    REFUSED(fields, INT64_MAX, "fewer fields than it says");
    REFUSED(elements, 7, "a wrong size");
    REFUSED(text_seq, true, "no number where one belongs");
    REFUSED(no_second, true, "fewer entries than it says");
    REFUSED(nodes, 2, "out of order");
    REFUSED(nodes, 0, "says it has 1");
    REFUSED(length, 2, "says it has 2");
    REFUSED(key_bytes, 15, "no id");
    REFUSED(key_bytes, 17, "no id");
    REFUSED(consumer_ms, 6, "not so in its group");
    REFUSED(consumer_pending, 0, "at no consumer");
    REFUSED(consumer_pending, 2, "not so in its group");
    REFUSED(group_pending, 2, "pending twice");
    REFUSED(second_consumer, 1, "twice in a group");
    REFUSED(second_consumer, 2, "not so in its group");
    REFUSED(seen, -1, "negative");
    struct form f = right(21);
    f.active = (uint64_t)-2;
    expect_refused(&f, "negative");
}

/* Any bytes either give a stream that can be written again, or an error. */
static void changed_bytes_do_no_harm(void **state) {
    unsigned seed = (unsigned)time(NULL);
    srand(seed);
    print_message("seed %u\n", seed);
    struct value value = make_stream(40, 10);
    make_groups(stream_of(&value), 6);
    struct buf whole = {0};
    rdb_value_write(&whole, &value, false);
    stream_free(&value);
    for (int i = 0; i < 20000; i++) {
        char *copy = malloc(whole.len), error[256];
        size_t len = rand() % 4 ? whole.len : (size_t)rand() % whole.len;
        memcpy(copy, whole.data, len);
        for (int k = rand() % 4; k >= 0 && len > 1; k--)
            copy[1 + (size_t)rand() % (len - 1)] = (char)rand();
        if (rdb_value_read(bytes_of(copy, len), config, &value, error, sizeof error) == 0) {
            struct buf again = {0};
            rdb_value_write(&again, &value, false);
            buf_free(&again);
            value_free(&value);
        }
        free(copy);
    }
    buf_free(&whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(real_snapshot_is_loaded),
        cmocka_unit_test(every_generation_is_read),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(changed_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
