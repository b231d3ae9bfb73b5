/* test_lives.c - a shard that dies again and again, and replicas that come back: who goes on in the middle of the
 * stream has what the shard has, always. Random: the log loses its end, is written anew in the middle of a turn,
 * is off for a while; the backlog is freed; the shard is a primary, follows one that loses its own end, is promoted,
 * comes back behind a replica that was promoted instead. SEED=n has the same again.
 *
 * Data are a checksum over the values written, in their order: a replica that lacks one, or has one too many, shows
 * it at once. */
#include "tests/unit/shared/support.h"
#include "tests/unit/worker/persist/shard_fixture.h"

#include "shared/base/clock.h"
#include "shared/base/crc.h"
#include "shared/base/mem.h"
#include "worker/replication/primary_private.h"
#include "worker/replication/refill.h"
#include "worker/resp/parse.h"

enum { WORLDS = 10, LIVES = 300, TURNS = 12, HOLDERS = 5, DATABASES = 16, LOST_MAX = 3000 };

/* Where somebody stands in a stream, and the data there. */
struct place {
    char id[REPLICATION_ID_BYTES]; /* "": nowhere */
    uint64_t offset, data;
    uint32_t db;
};

struct world {
    struct shard *shard; /* has the log's file, of all lives */
    struct primary *primary;
    struct propagate *propagate;
    uint64_t data, random;
    uint32_t db;
    bool follows, logs;
    struct place base; /* what the log begins with */
    struct buf log;    /* what it holds behind that */
    size_t collected;  /* bytes of the file */
    struct backlog up; /* whom it follows, */
    struct place floor;
    uint64_t up_data;
    uint32_t up_db;
    struct place holders[HOLDERS];
    unsigned continued, full, up_continued;
};

static uint32_t draw(struct world *w, uint32_t below) {
    return (uint32_t)(support_random(&w->random) % below);
}

static struct backlog *stream_of(struct world *w) {
    return primary_backlog(w->primary);
}

/* ---- commands ---- */
static bool is(struct bytes name, const char *word) {
    return bytes_equal_nocase(name, word);
}

/* "SET <db> value", by whatever name and in whatever parts. */
static void apply(struct place *place, uint32_t argc, const struct bytes *argv) {
    uint64_t number;
    if (is(argv[0], "ping") || is(argv[0], "replconf") || argc < 2)
        return;
    assert_true(bytes_to_u64(argv[1], &number));
    if (is(argv[0], "select"))
        place->db = (uint32_t)number;
    else {
        assert_int_equal(number, place->db);
        place->data = crc64(place->data, argv[2].ptr, argv[2].len);
    }
}

/* Calls `found` for each whole command, until it says no; returns the bytes that they have. */
static size_t each_command(struct bytes text, void *arg,
                           bool (*found)(void *arg, uint32_t argc, const struct bytes *argv,
                                         struct bytes raw)) {
    struct resp_parser parser;
    size_t at = 0, used;
    resp_parser_init(&parser);
    parser.bulk_max = 1 << 20;
    while (at < text.len &&
           resp_parse(&parser, text.ptr + at, text.len - at, &used) == RESP_COMMAND) {
        bool more = found(arg, parser.argc, parser.argv, bytes_of(text.ptr + at, used));
        at += used;
        if (!more)
            break;
    }
    resp_parser_free(&parser);
    return at;
}

static struct buf bytes_since(struct backlog *s, uint64_t offset) {
    struct buf all = {0};
    struct backlog_cursor cursor = {0};
    backlog_cursor_open(&cursor, s, offset);
    while (cursor.offset < s->end) {
        struct bytes piece = backlog_cursor_peek(&cursor);
        buf_append_bytes(&all, piece);
        backlog_cursor_advance(&cursor, piece.len);
    }
    backlog_cursor_close(&cursor);
    return all;
}

/* ---- replicas ---- */
struct walk {
    struct place *place;
    uint32_t left;
};

static bool walk_on(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw) {
    struct walk *walk = arg;
    apply(walk->place, argc, argv);
    walk->place->offset += raw.len;
    return --walk->left > 0;
}

static void read_on(struct place *place, struct backlog *s, uint32_t commands) {
    struct buf rest = bytes_since(s, place->offset);
    each_command(buf_bytes(&rest), &(struct walk){place, commands}, walk_on);
    buf_free(&rest);
}

/* May it go on here? Then it comes to have `data`. */
static bool goes_on(struct place place, struct backlog *s, uint64_t data) {
    if (!backlog_continues(s, bytes_of_text(place.id), place.offset))
        return false;
    read_on(&place, s, UINT32_MAX);
    assert_int_equal(place.offset, s->end);
    if (place.data != data)
        fail_msg("a replica went on from %s:%llu and has other data then", place.id,
                 (unsigned long long)place.offset);
    return true;
}

static struct place here(struct world *w) {
    const struct backlog *s = stream_of(w);
    struct place place = {.offset = s->end, .data = w->data, .db = s->db > 0 ? (uint32_t)s->db : 0};
    memcpy(place.id, s->id, sizeof place.id);
    return place;
}

/* It comes, goes on or takes a snapshot, and reads a bit of what there is. */
static void visit(struct world *w, struct place *holder) {
    struct backlog *s = stream_of(w);
    if (goes_on(*holder, s, w->data)) {
        w->continued++;
        memcpy(holder->id, s->id, sizeof holder->id);
    } else {
        if (w->follows && !s->kept)
            return;
        w->full++;
        backlog_keep(s);
        primary_begin_here(w->primary);
        *holder = here(w);
    }
    read_on(holder, s, 1 + draw(w, 20));
}

/* ---- the log ---- */
static void collect(struct world *w) {
    shard_turn(w->shard);
    struct buf file = shard_read_file(w->shard, "appendonlydir/appendonly.aof.1.incr.aof");
    buf_append(&w->log, file.data + w->collected, file.len - w->collected);
    w->collected = file.len;
    buf_free(&file);
}

/* A base from memory, in the middle of a turn. */
static void begin_log(struct world *w) {
    collect(w);
    buf_clear(&w->log);
    w->base = here(w);
    if (!stream_of(w)->kept)
        w->base.id[0] = '\0';
    w->logs = true;
    propagate_to(w->propagate, persist_aof(w->shard->persist));
}

static void switch_log(struct world *w) {
    if (!w->logs) {
        begin_log(w);
        return;
    }
    w->logs = false;
    propagate_to(w->propagate, NULL);
}

/* ---- writes ---- */
static struct bytes value_of(struct world *w) {
    static char value[200];
    size_t len = 1 + draw(w, sizeof value);
    for (size_t i = 0; i < len; i++)
        value[i] = (char)draw(w, 256);
    return bytes_of(value, len);
}

static void write_one(struct world *w) {
    char digits[BYTES_I64_MAX];
    w->db = draw(w, 4) == 0 ? draw(w, DATABASES) : w->db;
    const struct bytes set[] = {
        BYTES_LITERAL("SET"), {digits, bytes_from_i64(digits, w->db)}, value_of(w)};
    const struct bytes getack[] = {BYTES_LITERAL("REPLCONF"), BYTES_LITERAL("GETACK"),
                                   BYTES_LITERAL("*")};
    if (draw(w, 6) == 0)
        propagate_to_replicas(w->propagate, 3, getack);
    struct place place = {.data = w->data, .db = w->db};
    apply(&place, 3, set);
    w->data = place.data;
    if (draw(w, 6) == 0) {
        struct buf raw = {0};
        aof_format_command(&raw, 3, set);
        propagate_part(w->propagate,
                       &(struct propagate_part){.number = draw(w, 1000), .shards = {3}});
        propagate_raw(w->propagate, w->db, buf_bytes(&raw));
        propagate_part_end(w->propagate);
        buf_free(&raw);
    } else {
        propagate_command(w->propagate, w->db, 3, set);
    }
}

/* ---- the one that is followed ---- */
static void up_write(struct world *w) {
    char digits[BYTES_I64_MAX];
    uint32_t db = draw(w, 4) == 0 ? draw(w, DATABASES) : w->up_db;
    const struct bytes number = {digits, bytes_from_i64(digits, db)}, ping = BYTES_LITERAL("PING"),
                       select[] = {BYTES_LITERAL("SELECT"), number},
                       set[] = {BYTES_LITERAL("SET"), number, value_of(w)};
    struct buf raw = {0};
    if (draw(w, 6) == 0)
        aof_format_command(&raw, 1, &ping);
    if (db != w->up_db || draw(w, 10) == 0 || w->up.db == BACKLOG_NO_DB)
        aof_format_command(&raw, 2, select);
    aof_format_command(&raw, 3, set);
    backlog_append(&w->up, buf_bytes(&raw));
    buf_free(&raw);
    w->up_data = crc64(w->up_data, set[2].ptr, set[2].len);
    w->up.db = w->up_db = db;
}

/* It dies, too, and what it has said last is lost. */
static void up_die(struct world *w) {
    char id[REPLICATION_ID_BYTES];
    struct buf all = bytes_since(&w->up, backlog_begin(&w->up));
    uint64_t begin = backlog_begin(&w->up), own = w->up.end - w->floor.offset;
    struct place place = w->floor;
    if (own > 0)
        read_on(&place, &w->up, 1 + draw(w, 60));
    memcpy(id, w->up.id, sizeof id);
    backlog_become(&w->up, id, begin);
    backlog_keep(&w->up);
    backlog_append(&w->up, bytes_of(all.data, (size_t)(place.offset - begin)));
    backlog_branch_off(&w->up);
    w->up_data = place.data;
    w->up_db = place.db;
    buf_free(&all);
}

/* A replica is promoted in the shard's place, which is to follow it. */
static void up_is(struct world *w, struct place *holder) {
    struct backlog *s = stream_of(w);
    if (strcmp(holder->id, s->id) != 0 || !s->kept || holder->offset < backlog_begin(s) ||
        holder->offset > s->end)
        return; /* what it has is not known here any more */
    struct buf all = bytes_since(s, backlog_begin(s));
    uint64_t begin = backlog_begin(s);
    backlog_become(&w->up, holder->id, begin);
    backlog_keep(&w->up);
    backlog_append(&w->up, bytes_of(all.data, (size_t)(holder->offset - begin)));
    backlog_branch_off(&w->up);
    w->floor = *holder;
    memcpy(w->floor.id, w->up.id, sizeof w->floor.id);
    w->up_data = holder->data;
    w->up_db = holder->db;
    w->follows = true;
    buf_free(&all);
}

/* As follow_shard.c does it. */
static void meet_up(struct world *w) {
    struct backlog *s = stream_of(w);
    struct place place = here(w);
    propagate_follow(w->propagate, true);
    if (s->kept && goes_on(place, &w->up, w->up_data)) {
        w->up_continued++;
        w->db = place.db;
        primary_rename(w->primary, w->up.id);
        backlog_keep(s);
        return;
    }
    w->data = w->up_data;
    w->db = w->up_db;
    primary_become(w->primary, w->up.id, w->up.end);
    s->db = w->up_db;
    begin_log(w);
}

/* What is executed is what came, or the same in other words. */
static void execute_received(struct world *w, uint32_t argc, const struct bytes *argv) {
    struct place place = {.data = w->data, .db = w->db};
    struct bytes head = argv[2], tail = {0};
    head.len -= draw(w, 3) == 0 ? draw(w, (uint32_t)head.len + 1) : 0;
    tail = bytes_of(head.ptr + head.len, argv[2].len - head.len);
    const struct bytes first[] = {draw(w, 3) == 0 ? BYTES_LITERAL("set") : argv[0], argv[1], head},
                       second[] = {argv[0], argv[1], tail};
    apply(&place, 3, argv);
    w->data = place.data;
    propagate_command(w->propagate, w->db, 3, first);
    if (tail.len > 0)
        propagate_command(w->propagate, w->db, 3, second);
}

static bool on_received(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw) {
    struct world *w = arg;
    struct place place = {.db = w->db};
    propagate_receive(w->propagate, raw);
    if (is(argv[0], "set"))
        execute_received(w, argc, argv);
    else
        apply(&place, argc, argv);
    propagate_received(w->propagate, place.db != w->db, place.db);
    w->db = place.db;
    return draw(w, 8) > 0;
}

static void receive_some(struct world *w) {
    for (uint32_t i = draw(w, 4); i > 0; i--)
        up_write(w);
    struct buf rest = bytes_since(&w->up, stream_of(w)->end);
    each_command(buf_bytes(&rest), w, on_received);
    buf_free(&rest);
}

static void be_promoted(struct world *w) {
    w->follows = false;
    primary_branch_off(w->primary);
    propagate_follow(w->propagate, false);
}

/* ---- a life ---- */
static bool on_logged(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw) {
    apply(arg, argc, argv);
    return true;
}

static bool on_read(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw) {
    uint64_t crc;
    if (!aof_checksum_parse(argc, argv, &crc))
        refill_command(arg, argc, argv, raw, 0);
    return true;
}

/* What the files give. */
static struct refill *load(struct world *w) {
    struct place place = {.data = w->base.data};
    struct refill *r = refill_create(1 << 20, DATABASES);
    struct rdb_origin origin = {.offset = w->base.offset, .db = w->base.db};
    memcpy(origin.id, w->base.id, sizeof origin.id);
    if (origin.id[0] != '\0')
        refill_begin(r, &origin);
    w->log.len = each_command(buf_bytes(&w->log), &place, on_logged);
    each_command(buf_bytes(&w->log), r, on_read);
    w->data = place.data;
    return r;
}

static void die(struct world *w) {
    collect(w);
    uint32_t most = w->log.len < LOST_MAX ? (uint32_t)w->log.len : LOST_MAX;
    if (draw(w, 3) > 0)
        w->log.len -= draw(w, most + 1);
    propagate_free(&w->propagate);
    primary_free(&w->primary);
}

static void be_born(struct world *w) {
    static const struct primary_hooks no_hooks;
    struct refill *loaded = load(w);
    w->logs = true;
    w->primary = primary_create(w->shard->loop, w->shard->config, NULL, &no_hooks);
    w->propagate = propagate_create(persist_aof(w->shard->persist), stream_of(w));
    primary_open(w->primary, w->propagate);
    propagate_follow(w->propagate, w->follows);
    primary_restore(w->primary, loaded, !w->follows);
    refill_free(&loaded);
    w->db = 0;
}

/* An hour without replicas. */
static void be_alone(struct world *w) {
    w->primary->alone_since_ms = clock_mono_ms() - 2000;
    primary_cron(w->primary);
}

static void turn(struct world *w, bool connected) {
    for (uint32_t i = draw(w, 6); i > 0 && !w->follows; i--)
        write_one(w);
    if (w->follows && connected)
        receive_some(w);
    if (draw(w, 10) == 0)
        visit(w, &w->holders[draw(w, HOLDERS)]);
    if (draw(w, 60) == 0)
        begin_log(w);
    if (draw(w, 100) == 0)
        switch_log(w);
    if (draw(w, 100) == 0)
        be_alone(w);
    primary_mark(w->primary);
    shard_turn(w->shard);
}

static void live(struct world *w) {
    be_born(w);
    for (uint32_t i = draw(w, HOLDERS); i > 0; i--)
        visit(w, &w->holders[draw(w, HOLDERS)]);
    bool connected = w->follows && draw(w, 4) > 0;
    if (connected)
        meet_up(w);
    else if (w->follows && draw(w, 2) == 0)
        be_promoted(w);
    for (uint32_t i = draw(w, TURNS); i > 0; i--)
        turn(w, connected);
    if (w->follows && draw(w, 4) == 0)
        be_promoted(w);
    for (uint32_t i = draw(w, TURNS); i > 0; i--)
        turn(w, connected);
    if (draw(w, 3) == 0)
        up_die(w);
    if (draw(w, 3) == 0)
        up_is(w, &w->holders[draw(w, HOLDERS)]);
    die(w);
}

static void run_world(uint64_t *random, unsigned figures[3]) {
    struct world *w = mem_calloc(1, sizeof *w);
    w->random = support_random(random);
    w->shard = shard_create();
    shard_configure(w->shard, "appendonly", "yes");
    shard_configure(w->shard, "repl-backlog-ttl", "1");
    assert_int_equal(shard_open(w->shard), 0);
    backlog_init(&w->up);
    backlog_keep(&w->up);
    for (unsigned i = 0; i < LIVES; i++)
        live(w);
    figures[0] += w->continued;
    figures[1] += w->up_continued;
    figures[2] += w->full;
    backlog_free(&w->up);
    buf_free(&w->log);
    shard_free(&w->shard);
    mem_free(w);
}

static void test_who_goes_on_has_the_same(void **state) {
    uint64_t random = support_seed();
    unsigned figures[3] = {0};
    for (unsigned i = 0; i < WORLDS; i++)
        run_world(&random, figures);
    print_message("went on: %u of the shard's, %u times itself; snapshots: %u\n", figures[0],
                  figures[1], figures[2]);
    assert_true(figures[0] > WORLDS * LIVES / 4);
    assert_true(figures[1] > WORLDS * LIVES / 60);
    assert_true(figures[2] > WORLDS * LIVES / 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_goes_on_has_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
