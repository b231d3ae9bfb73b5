/* test_refill.c - a log read again gives the stream it was written with: random commands, databases, service
 * words and marks, made here or received from a primary; cut anywhere, damaged, and of older versions. SEED=n
 * has the same again. */
#include "tests/unit/shared/support.h"
#include "tests/unit/worker/persist/shard_fixture.h"

#include "shared/base/mem.h"
#include "worker/replication/backlog.h"
#include "worker/replication/refill.h"
#include "worker/resp/parse.h"

enum { KEEP_BYTES = 64 * 1024 * 1024, DATABASES = 16, VALUE_MAX = 300 };

/* A log and a stream that are written side by side. */
struct scene {
    struct shard *shard;
    struct backlog backlog;
    struct propagate *propagate;
    uint64_t marked;
    uint32_t db;
    uint64_t random;
};

static int begin(void **state) {
    struct scene *s = mem_calloc(1, sizeof *s);
    s->shard = shard_create();
    shard_configure(s->shard, "appendonly", "yes");
    assert_int_equal(shard_open(s->shard), 0);
    backlog_init(&s->backlog);
    backlog_keep(&s->backlog);
    s->propagate = propagate_create(persist_aof(s->shard->persist), &s->backlog);
    s->random = support_seed();
    *state = s;
    return 0;
}

static int end(void **state) {
    struct scene *s = *state;
    propagate_free(&s->propagate);
    backlog_free(&s->backlog);
    shard_free(&s->shard);
    mem_free(s);
    return 0;
}

static uint32_t draw(struct scene *s, uint32_t below) {
    return (uint32_t)(support_random(&s->random) % below);
}

static void mark(struct scene *s) {
    propagate_mark(s->propagate, &s->backlog, s->marked);
    s->marked = s->backlog.end;
    shard_turn(s->shard);
}

/* ---- what is written ---- */
static struct bytes value_of(struct scene *s) {
    static char value[VALUE_MAX];
    size_t len = draw(s, VALUE_MAX);
    for (size_t i = 0; i < len; i++)
        value[i] = (char)draw(s, 256);
    return bytes_of(value, len);
}

static void make(struct scene *s) {
    const struct bytes set[] = {BYTES_LITERAL("SET"), BYTES_LITERAL("key"), value_of(s)};
    const struct bytes getack[] = {BYTES_LITERAL("REPLCONF"), BYTES_LITERAL("GETACK"),
                                   BYTES_LITERAL("*")};
    uint32_t db = draw(s, 4) == 0 ? draw(s, DATABASES) : s->db;
    s->db = db;
    switch (draw(s, 8)) {
    case 0: propagate_to_replicas(s->propagate, 3, getack); break;
    case 1: propagate_delete(s->propagate, db, BYTES_LITERAL("key")); break;
    case 2:
        propagate_part(s->propagate,
                       &(struct propagate_part){.number = draw(s, 1000), .shards = {3}});
        propagate_raw(s->propagate, db, BYTES_LITERAL("*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n"));
        propagate_part_end(s->propagate);
        break;
    case 3:
        if (draw(s, 4) == 0)
            s->backlog.db = BACKLOG_NO_DB; /* a snapshot has forked */
        else if (draw(s, 4) == 0)
            propagate_to(s->propagate, persist_aof(s->shard->persist)); /* another file */
        break;
    default: propagate_command(s->propagate, db, 3, set);
    }
}

/* Of what is received something like it is executed, or something else, or nothing. */
static void receive(struct scene *s) {
    struct buf raw = {0};
    char digits[BYTES_I64_MAX];
    uint32_t db = draw(s, 4) == 0 ? draw(s, DATABASES) : s->db;
    const struct bytes select[] = {BYTES_LITERAL("SELECT"), {digits, bytes_from_i64(digits, db)}};
    const struct bytes set[] = {BYTES_LITERAL("SET"), BYTES_LITERAL("key"), value_of(s)};
    if (db != s->db)
        aof_format_command(&raw, 2, select);
    else
        aof_format_command(&raw, 3, set);
    propagate_receive(s->propagate, buf_bytes(&raw));
    uint32_t how = draw(s, 8);
    if (db == s->db && how > 1)
        propagate_command(s->propagate, db, 3, set);
    if (db == s->db && (how == 1 || how == 2))
        propagate_delete(s->propagate, db, BYTES_LITERAL("other"));
    propagate_received(s->propagate, db != s->db, db);
    s->db = db;
    buf_free(&raw);
    if (draw(s, 50) == 0)
        propagate_to(s->propagate, persist_aof(s->shard->persist));
}

static void write_turns(struct scene *s, void (*write)(struct scene *s), uint32_t turns) {
    while (turns-- > 0) {
        for (uint32_t i = draw(s, 6); i > 0; i--)
            write(s);
        mark(s);
    }
}

/* ---- what is read ---- */
/* All commands of the log but its checksums. False: it ends within one. */
static bool read_log(struct bytes log, struct refill *refill) {
    struct resp_parser parser;
    size_t at = 0, used;
    uint64_t crc;
    resp_parser_init(&parser);
    parser.bulk_max = KEEP_BYTES;
    while (at < log.len && resp_parse(&parser, log.ptr + at, log.len - at, &used) == RESP_COMMAND) {
        if (!aof_checksum_parse(parser.argc, parser.argv, &crc))
            refill_command(refill, parser.argc, parser.argv, bytes_of(log.ptr + at, used),
                           log.len - at);
        at += used;
    }
    resp_parser_free(&parser);
    return at == log.len;
}

static struct buf log_of(struct scene *s) {
    return shard_read_file(s->shard, "appendonlydir/appendonly.aof.1.incr.aof");
}

static void expect_same_bytes(struct backlog *got, struct backlog *want) {
    struct backlog_cursor a = {0}, b = {0};
    assert_true(got->end <= want->end);
    backlog_cursor_open(&a, got, backlog_begin(got));
    backlog_cursor_open(&b, want, backlog_begin(got));
    while (a.offset < got->end) {
        struct bytes x = backlog_cursor_peek(&a), y = backlog_cursor_peek(&b);
        size_t len = x.len < y.len ? x.len : y.len;
        assert_true(len > 0);
        assert_memory_equal(x.ptr, y.ptr, len);
        backlog_cursor_advance(&a, len);
        backlog_cursor_advance(&b, len);
    }
    backlog_cursor_close(&a);
    backlog_cursor_close(&b);
}

/* The place is known, and all bytes since `since` are there and the right ones. */
static void expect_refilled(struct scene *s, struct bytes log, uint64_t since) {
    struct refill *r = refill_create(KEEP_BYTES, DATABASES);
    struct backlog got;
    backlog_init(&got);
    assert_true(read_log(log, r));
    assert_true(refill_end(r, &got));
    assert_string_equal(got.id, s->backlog.id);
    assert_int_equal(got.end, s->backlog.end);
    assert_int_equal(backlog_begin(&got), since);
    assert_int_equal(got.db, s->backlog.db > 0 ? s->backlog.db : 0);
    expect_same_bytes(&got, &s->backlog);
    backlog_free(&got);
    refill_free(&r);
}

static void expect_all_refilled(struct scene *s) {
    struct buf log = log_of(s);
    expect_refilled(s, buf_bytes(&log), 0);
    buf_free(&log);
}

static void test_what_is_made(void **state) {
    struct scene *s = *state;
    mark(s);
    write_turns(s, make, 1500);
    expect_all_refilled(s);
}

static void test_what_is_received(void **state) {
    struct scene *s = *state;
    propagate_follow(s->propagate, true);
    s->backlog.db = 0;
    mark(s);
    write_turns(s, receive, 1500);
    /* Promoted, under another name. */
    backlog_branch_off(&s->backlog);
    s->backlog.db = BACKLOG_NO_DB;
    propagate_follow(s->propagate, false);
    mark(s);
    write_turns(s, make, 200);
    expect_all_refilled(s);
}

/* Wherever a log ends: what is believed is right, and ends at the last mark. */
static void test_cut_anywhere(void **state) {
    struct scene *s = *state;
    mark(s);
    write_turns(s, make, 60);
    struct buf log = log_of(s);
    uint64_t known = 0;
    for (size_t len = 0; len <= log.len; len++) {
        struct refill *r = refill_create(KEEP_BYTES, DATABASES);
        struct backlog got;
        backlog_init(&got);
        bool whole = read_log(bytes_of(log.data, len), r);
        if (refill_end(r, &got)) {
            known += whole;
            assert_int_equal(backlog_begin(&got), 0);
            expect_same_bytes(&got, &s->backlog);
        }
        backlog_free(&got);
        refill_free(&r);
    }
    assert_true(known >= 60);
    buf_free(&log);
}

/* A byte that is another between two marks: the backlog begins behind it. */
static void test_what_is_not_the_stream(void **state) {
    struct scene *s = *state;
    mark(s);
    write_turns(s, make, 20);
    const struct bytes set[] = {BYTES_LITERAL("SET"), BYTES_LITERAL("key"),
                                BYTES_LITERAL("unique-value")};
    propagate_command(s->propagate, s->db, 3, set);
    mark(s);
    uint64_t since = s->backlog.end;
    write_turns(s, make, 20);
    struct buf log = log_of(s);
    char *at = memmem(log.data, log.len, "unique-value", 12);
    assert_non_null(at);
    *at = 'U';
    expect_refilled(s, buf_bytes(&log), since);
    buf_free(&log);
}

/* Marks without a checksum, as they were once, name the place and no more. */
static void test_old_marks(void **state) {
    struct scene *s = *state;
    mark(s);
    write_turns(s, make, 20);
    s->marked = s->backlog.end + 1;
    mark(s);
    uint64_t since = s->backlog.end;
    write_turns(s, make, 20);
    struct buf log = log_of(s);
    expect_refilled(s, buf_bytes(&log), since);
    buf_free(&log);
}

static void add_mark(struct buf *log, const struct scene *s, uint64_t offset) {
    char text[100];
    snprintf(text, sizeof text, "repl:%s:%llu:0:0000000000000000", s->backlog.id,
             (unsigned long long)offset);
    aof_format_command(log, 2, (const struct bytes[]){BYTES_LITERAL("PING"), bytes_of_text(text)});
}

static bool knows_its_place(struct bytes log, struct backlog *got) {
    struct refill *r = refill_create(KEEP_BYTES, DATABASES);
    assert_true(read_log(log, r));
    bool knows = refill_end(r, got);
    refill_free(&r);
    return knows;
}

/* An offset that no stream can have names no place, also if what comes behind it would lead round to 0. A mark
 * that makes sense counts again. */
static void test_damaged_mark(void **state) {
    static const uint64_t offsets[] = {RDB_ORIGIN_OFFSET_MAX + 1, UINT64_MAX - 10, UINT64_MAX};
    struct scene *s = *state;
    struct backlog got;
    backlog_init(&got);
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct buf log = {0};
        add_mark(&log, s, offsets[i]);
        assert_false(knows_its_place(buf_bytes(&log), &got));
        buf_append_text(&log, "*2\r\n$4\r\nPING\r\n$1\r\nx\r\n");
        add_mark(&log, s, offsets[i] + 21);
        assert_int_equal(knows_its_place(buf_bytes(&log), &got), i > 0);
        add_mark(&log, s, 100);
        assert_true(knows_its_place(buf_bytes(&log), &got));
        assert_int_equal(got.end, 100);
        assert_int_equal(backlog_begin(&got), 100);
        buf_free(&log);
    }
    backlog_free(&got);
}

/* A command behind the last mark may be of a time without replicas: nobody knows the place. */
static void test_unmarked_end(void **state) {
    struct scene *s = *state;
    mark(s);
    make(s);
    propagate_delete(s->propagate, 0, BYTES_LITERAL("key"));
    shard_turn(s->shard);
    struct buf log = log_of(s);
    struct refill *r = refill_create(KEEP_BYTES, DATABASES);
    struct backlog got;
    backlog_init(&got);
    assert_true(read_log(buf_bytes(&log), r));
    assert_false(refill_end(r, &got));
    refill_free(&r);
    backlog_free(&got);
    buf_free(&log);
}

/* Of a long log the end is kept, in whole blocks. */
static void test_bounded(void **state) {
    enum { KEEP = 100000, BLOCK = 65536 };
    struct scene *s = *state;
    mark(s);
    write_turns(s, make, 3000);
    struct buf log = log_of(s);
    struct refill *r = refill_create(KEEP, DATABASES);
    struct backlog got;
    backlog_init(&got);
    assert_true(s->backlog.end > 3 * KEEP);
    assert_true(read_log(buf_bytes(&log), r));
    assert_true(refill_end(r, &got));
    assert_in_range(got.end - backlog_begin(&got), KEEP, KEEP + BLOCK);
    expect_same_bytes(&got, &s->backlog);
    backlog_free(&got);
    refill_free(&r);
    buf_free(&log);
}

/* A snapshot says where it stands; the commands behind it go on from there. A database that is not here is
 * nowhere to go on from. */
static void test_behind_a_snapshot(void **state) {
    struct scene *s = *state;
    write_turns(s, make, 20);
    struct rdb_origin origin = {.offset = s->backlog.end, .db = DATABASES};
    memcpy(origin.id, s->backlog.id, sizeof origin.id);
    struct refill *r = refill_create(KEEP_BYTES, DATABASES);
    struct backlog got;
    backlog_init(&got);
    refill_begin(r, &origin);
    assert_false(refill_end(r, &got));
    origin.db = 3;
    refill_begin(r, &origin);
    assert_true(refill_end(r, &got));
    assert_int_equal(got.end, s->backlog.end);
    assert_int_equal(got.db, 3);
    assert_true(got.kept);
    backlog_free(&got);
    refill_free(&r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_what_is_made),      CASE(test_what_is_received),
        CASE(test_cut_anywhere),      CASE(test_what_is_not_the_stream),
        CASE(test_old_marks),         CASE(test_damaged_mark),
        CASE(test_unmarked_end),      CASE(test_bounded),
        CASE(test_behind_a_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
