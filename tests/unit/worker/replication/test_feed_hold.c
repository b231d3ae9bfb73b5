/* test_feed_hold.c - the parts of commands over several shards: what the merged stream says of shards' streams that
 * are given here as words. "<0.7:012" is the mark of a part of coordinator 0's command 7 over the shards 0, 1 and 2,
 * with a '+' behind it if the shard has another part of it, ">" a part's end. */
#include "worker/replication/feed_private.h"

#include "shared/base/mem.h"
#include "worker/persist/aof.h"
#include "worker/replication/propagate.h"
#include "worker/resp/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/worker/replication/stream_words.h"

enum { SHARDS = 4, WORDS_MAX = 8, TENTHS = 10 };

struct stage {
    struct feed feed;
    struct feed_run run;
    struct backlog backlog;
    char *coming[SHARDS]; /* items of a shard's stream, by '|' */
    size_t taken[SHARDS];
    struct buf said;
};

static int begin(void **state) {
    struct stage *s = mem_calloc(1, sizeof *s);
    backlog_init(&s->backlog);
    backlog_keep(&s->backlog);
    s->feed.shards = SHARDS;
    s->run.feed = &s->feed;
    s->run.state = FEED_LIVE;
    s->run.propagate = propagate_create(NULL, &s->backlog);
    s->run.links = mem_calloc(SHARDS, sizeof *s->run.links);
    for (uint32_t i = 0; i < SHARDS; i++)
        s->run.links[i] = (struct feed_link){.run = &s->run, .shard = i, .up = true};
    feed_hold_begin(&s->run);
    *state = s;
    return 0;
}

static int end(void **state) {
    struct stage *s = *state;
    feed_hold_free(&s->run);
    propagate_free(&s->run.propagate);
    backlog_free(&s->backlog);
    for (uint32_t i = 0; i < SHARDS; i++)
        free(s->coming[i]);
    mem_free(s->run.links);
    buf_free(&s->said);
    mem_free(s);
    return 0;
}

/* ---- a shard's stream ---- */
static void say(struct stage *s, uint32_t shard, const char *items) {
    const char *before = s->coming[shard] != NULL ? s->coming[shard] : "";
    char *after = NULL;
    assert_true(asprintf(&after, "%s%s|", before, items) > 0);
    free(s->coming[shard]);
    s->coming[shard] = after;
}

static struct propagate_part part_of(const char *item) {
    unsigned coordinator, number;
    struct propagate_part part = {0};
    if (sscanf(item, "<%u.%u", &coordinator, &number) != 2)
        return part;
    part.number = (uint64_t)coordinator << 56 | number;
    for (const char *digit = strchr(item, ':') + 1; *digit != '\0' && *digit != '+'; digit++)
        propagate_part_add(&part, (uint32_t)(*digit - '0'));
    part.more = strchr(item, '+') != NULL;
    return part;
}

/* As it is in a stream. */
static void format(struct buf *out, char *item) {
    struct bytes argv[WORDS_MAX];
    uint32_t argc = 0;
    if (item[0] == '<' || item[0] == '>') {
        struct backlog stream;
        struct backlog_cursor cursor = {0};
        struct propagate_part part = part_of(item);
        backlog_init(&stream);
        backlog_keep(&stream);
        struct propagate *p = propagate_create(NULL, &stream);
        propagate_part(p, &part);
        backlog_cursor_open(&cursor, &stream, 0);
        buf_append_bytes(out, backlog_cursor_peek(&cursor));
        backlog_cursor_close(&cursor);
        propagate_free(&p);
        backlog_free(&stream);
        return;
    }
    for (char *save, *word = strtok_r(item, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save))
        argv[argc++] = bytes_of_text(word);
    aof_format_command(out, argc, argv);
}

/* Offers the next item; false: there is none, or it must wait. */
static bool offer(struct stage *s, uint32_t shard) {
    char *at = s->coming[shard] != NULL ? s->coming[shard] + s->taken[shard] : NULL;
    struct feed_link *link = &s->run.links[shard];
    struct resp_parser parser;
    struct buf raw = {0};
    size_t used;
    if (at == NULL || *at == '\0')
        return false;
    size_t len = strcspn(at, "|");
    char *item = strndup(at, len);
    format(&raw, item);
    resp_parser_init(&parser);
    parser.bulk_max = 1024 * 1024;
    assert_int_equal(resp_parse(&parser, raw.data, raw.len, &used), RESP_COMMAND);
    enum feed_held held = feed_hold(link, parser.argc, parser.argv, buf_bytes(&raw));
    if (held == FEED_PASS)
        propagate_raw(s->run.propagate, link->db, buf_bytes(&raw));
    if (held != FEED_WAIT)
        s->taken[shard] += len + 1;
    resp_parser_free(&parser);
    buf_free(&raw);
    free(item);
    return held != FEED_WAIT;
}

/* All that can be taken. A link that waits is not offered anything before it is told to go on. */
static void pump(struct stage *s) {
    bool waits[SHARDS] = {false}, any = true;
    while (any) {
        any = false;
        for (uint32_t i = 0; i < SHARDS; i++) {
            waits[i] = waits[i] && !s->run.links[i].go_on;
            s->run.links[i].go_on = false;
            if (waits[i])
                continue;
            waits[i] = !offer(s, i);
            any = any || !waits[i];
        }
        for (uint32_t i = 0; i < SHARDS; i++)
            any = any || s->run.links[i].go_on;
    }
}

/* ---- what is said ---- */
static const char *said(struct stage *s) {
    return stream_words(&s->backlog, &s->said);
}

#define expect_said(s, text) assert_string_equal(said(s), text)

static void expect_nothing_waits(struct stage *s) {
    assert_true(list_empty(&s->run.groups) && list_empty(&s->run.spans));
    for (uint32_t i = 0; i < SHARDS; i++)
        assert_true(s->coming[i] == NULL || s->coming[i][s->taken[i]] == '\0');
}

/* ---- whole ---- */
static void parts_are_said_together(void **state) {
    struct stage *s = *state;
    say(s, 0, "SET a 1|<0.1:01|MSET a 2 b 2|>|SET a 3");
    pump(s);
    expect_said(s, "SET a 1");
    say(s, 1, "SET x 1");
    say(s, 2, "SET z 1");
    pump(s);
    expect_said(s, "SET a 1|SET x 1|SET z 1");
    say(s, 1, "<0.1:01|MSET x 2|>|SET x 3");
    pump(s);
    expect_said(s, "SET a 1|SET x 1|SET z 1|MULTI|MSET a 2 b 2|MSET x 2|EXEC|SET a 3|SET x 3");
    expect_nothing_waits(s);
}

static void a_part_without_changes_is_awaited_and_no_more(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:012|DEL a|>|SET a 1");
    say(s, 1, "<0.1:012|>");
    pump(s);
    expect_said(s, "");
    say(s, 2, "<0.1:012|>|<0.2:12|>");
    say(s, 1, "<0.2:12|>|SET x 1");
    pump(s);
    expect_said(s, "DEL a|SET a 1|SET x 1");
    expect_nothing_waits(s);
}

static void a_shard_may_have_two_parts(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:01+|SET a 1|>|<0.1:01|DEL b|>|SET a 2");
    pump(s);
    expect_said(s, "");
    say(s, 1, "<0.1:01|SET x 1|>");
    pump(s);
    expect_said(s, "MULTI|SET a 1|DEL b|SET x 1|EXEC|SET a 2");
    expect_nothing_waits(s);
}

static void databases_are_kept_apart(void **state) {
    struct stage *s = *state;
    struct backlog_cursor cursor = {0};
    say(s, 0, "SELECT 3|<0.1:01|SET a 1|>|SET b 1");
    pump(s);
    say(s, 1, "<0.1:01|SET x 1|>|SET y 1");
    pump(s);
    static const char want[] = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*1\r\n$5\r\nMULTI\r\n"
                               "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*3\r\n$3\r\nSET\r\n$1\r\na";
    backlog_cursor_open(&cursor, &s->backlog, 0);
    assert_memory_equal(backlog_cursor_peek(&cursor).ptr, want, sizeof want - 1);
    backlog_cursor_close(&cursor);
    expect_said(s, "MULTI|SET a 1|SET x 1|EXEC|SET b 1|SET y 1");
}

/* ---- crossing ---- */
static void two_that_cross_are_said_as_one(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:01|SET a 1|>|SET a between|<1.1:01|SET a 2|>|SET a 3");
    say(s, 1, "<1.1:01|SET x 2|>|<0.1:01|SET x 1|>|SET x 3");
    pump(s);
    expect_said(s, "MULTI|SET x 2|SET a 1|SET a between|SET x 1|SET a 2|EXEC|SET x 3|SET a 3");
    expect_nothing_waits(s);
}

static void three_that_cross_in_a_circle_are_said_as_one(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:01|SET a 1|>|<2.1:02|SET a 3|>");
    say(s, 1, "<1.1:12|SET x 2|>|<0.1:01|SET x 1|>");
    pump(s);
    expect_said(s, "");
    say(s, 2, "<2.1:02|SET k 3|>|<1.1:12|SET k 2|>");
    pump(s);
    const char *text = said(s);
    assert_true(strncmp(text, "MULTI|", 6) == 0);
    assert_ptr_equal(strstr(text, "EXEC"), text + strlen(text) - 4);
    assert_true(strstr(text, "SET a 1") < strstr(text, "SET a 3"));
    assert_true(strstr(text, "SET x 2") < strstr(text, "SET x 1"));
    assert_true(strstr(text, "SET k 3") < strstr(text, "SET k 2"));
    expect_nothing_waits(s);
}

static void what_lies_between_joins_and_plain_transactions_too(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:01|SET a 1|>|SET b 1|<3.1:03|SET a 9|>|<1.1:01|SET a 2|>");
    say(s, 1, "<1.1:01|SET x 2|>|<0.1:01|SET x 1|>");
    pump(s);
    expect_said(s, "");
    say(s, 3, "<3.1:03|SET q 9|>|SET q 10");
    pump(s);
    expect_said(s, "MULTI|SET x 2|SET a 1|SET b 1|SET x 1|SET a 9|SET a 2|SET q 9|EXEC|SET q 10");
    expect_nothing_waits(s);
}

static void one_that_waits_for_a_circle_is_not_part_of_it(void **state) {
    struct stage *s = *state;
    say(s, 2, "<2.1:02|SET k 7|>");
    say(s, 0, "<0.1:01|SET a 1|>|<1.1:01|SET a 2|>|<2.1:02|SET a 7|>");
    say(s, 1, "<1.1:01|SET x 2|>|<0.1:01|SET x 1|>");
    pump(s);
    expect_said(s, "MULTI|SET x 2|SET a 1|SET a 2|SET x 1|EXEC|MULTI|SET k 7|SET a 7|EXEC");
    expect_nothing_waits(s);
}

/* A chain of crossings without end is cut: all is said, in each shard's order. */
static void a_group_does_not_grow_without_end(void **state) {
    struct stage *s = *state;
    enum { CHAIN = 1500 };
    struct buf of[2] = {{0}};
    for (unsigned i = 0; i < CHAIN; i++) {
        /* Shard 0: 0 1 2 3 4 5 ..., shard 1: 1 3 0 5 2 7 4 ... */
        unsigned other = i == 0 ? 1 : i == CHAIN - 1 ? i - 1 : i % 2 == 1 ? i + 2 : i - 2;
        buf_printf(&of[0], "%s<%u.%u:01|SET a %u|>", i > 0 ? "|" : "", i % 2, i / 2 + 1, i);
        buf_printf(&of[1], "%s<%u.%u:01|SET x %u|>", i > 0 ? "|" : "", other % 2, other / 2 + 1,
                   other);
    }
    for (uint32_t i = 0; i < 2; i++) {
        buf_append(&of[i], "", 1);
        say(s, i, of[i].data);
        buf_free(&of[i]);
    }
    pump(s);
    expect_nothing_waits(s);
    unsigned transactions = 0, next = 0;
    for (const char *at = said(s); (at = strstr(at, "MULTI")) != NULL; at++)
        transactions++;
    assert_in_range(transactions, 2, CHAIN / 100);
    for (const char *at = said(s); (at = strstr(at, "SET a ")) != NULL; at++)
        assert_int_equal(atoi(at + 6), next++);
    assert_int_equal(next, CHAIN);
}

/* ---- whole databases ---- */
#define FLUSH "FLUSHALL"
static void a_flush_in_between_is_not_waited_for(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:01|SET a 1|>|" FLUSH "|SET a 2");
    say(s, 1, FLUSH "|<0.1:01|SET x 1|>|SET x 2");
    say(s, 2, FLUSH);
    say(s, 3, FLUSH);
    pump(s);
    expect_said(s, "SET a 1|FLUSHALL|SET a 2|SET x 1|SET x 2");
    expect_nothing_waits(s);
}

static void a_flush_within_a_crossing_ends_it(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:01|SET a 1|>|" FLUSH "|<1.1:01|SET a 2|>");
    say(s, 1, "<1.1:01|SET x 2|>|<0.1:01|SET x 1|>|" FLUSH);
    say(s, 2, FLUSH);
    say(s, 3, FLUSH);
    pump(s);
    expect_said(s, "MULTI|SET x 2|SET a 1|SET x 1|EXEC|FLUSHALL|SET a 2");
    expect_nothing_waits(s);
}

/* ---- what does not come ---- */
static void tick(struct stage *s, unsigned tenths) {
    for (unsigned i = 0; i < tenths; i++)
        feed_hold_cron(&s->run, true);
    pump(s);
}

static void set_up(struct stage *s, uint32_t shard, bool up) {
    s->run.links[shard].up = up;
    if (!up)
        feed_hold_down(&s->run.links[shard]);
}

static void nobody_waits_for_a_shard_that_is_away(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:01|SET a 1|>|<0.2:012|SET a 2|>|SET a 3");
    pump(s);
    expect_said(s, "");
    set_up(s, 1, false);
    pump(s);
    expect_said(s, "SET a 1");
    say(s, 2, "<0.2:012|SET k 2|>");
    pump(s);
    expect_said(s, "SET a 1|MULTI|SET a 2|SET k 2|EXEC|SET a 3");
    /* It comes back: what it says is known to be late. */
    set_up(s, 1, true);
    say(s, 1, "<0.1:01|SET x 1|>|<0.2:012|SET x 2|>|<0.3:01|SET x 3|>");
    pump(s);
    expect_said(s, "SET a 1|MULTI|SET a 2|SET k 2|EXEC|SET a 3|SET x 1|"
                   "SET x 2");
    say(s, 0, "<0.3:01|SET a 4|>");
    pump(s);
    assert_non_null(strstr(said(s), "MULTI|SET x 3|SET a 4|EXEC"));
    expect_nothing_waits(s);
}

static void one_that_goes_away_within_its_part_leaves_it_behind(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:01|SET a 1|>|SET a 2");
    say(s, 1, "<0.1:01|SET x 1");
    pump(s);
    set_up(s, 1, false);
    pump(s);
    expect_said(s, "MULTI|SET a 1|SET x 1|EXEC|SET a 2");
    set_up(s, 1, true);
    say(s, 1, "SET y 1|>|SET x 2");
    pump(s);
    expect_said(s, "MULTI|SET a 1|SET x 1|EXEC|SET a 2|SET y 1|SET x 2");
    expect_nothing_waits(s);
}

/* It was before the snapshot, or never run. */
static void a_newer_part_tells_that_an_older_one_will_not_come(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:01|SET a 1|>|SET a 2|<0.2:01|SET a 3|>");
    say(s, 1, "<1.9:12|SET x 1|>");
    say(s, 2, "<1.9:12|>");
    pump(s);
    expect_said(s, "SET x 1");
    say(s, 1, "<0.2:01|SET x 2|>");
    pump(s);
    expect_said(s, "SET x 1|SET a 1|SET a 2|MULTI|SET x 2|SET a 3|EXEC");
    expect_nothing_waits(s);
}

/* Where nothing tells it, time does, once. */
static void one_that_says_nothing_is_waited_for_once(void **state) {
    struct stage *s = *state;
    say(s, 0, "<0.1:01|SET a 1|>|<0.2:01|SET a 2|>|<0.3:01|SET a 3|>|SET a 4");
    pump(s);
    tick(s, TENTHS);
    expect_said(s, "");
    tick(s, 1);
    expect_said(s, "SET a 1|SET a 2|SET a 3|SET a 4");
    say(s, 1, "<0.2:01|SET x 2|>|<0.3:01|SET x 3|>");
    pump(s);
    say(s, 0, "<0.4:01|SET a 5|>");
    pump(s);
    assert_null(strstr(said(s), "SET a 5"));
    say(s, 1, "<0.4:01|SET x 5|>");
    pump(s);
    assert_non_null(strstr(said(s), "SET x 2|SET x 3|MULTI|SET a 5|SET x 5"));
    expect_nothing_waits(s);
}

static void strange_marks_do_no_harm(void **state) {
    struct stage *s = *state;
    say(s, 0, ">|<200.1:0|SET a 1|>|<1.1:1|SET a 2|>|PING part:1:0:ffffffffffffffff:0|SET a 3|>");
    say(s, 1, "PING part:x|PING part:1:2:3|SET x 1");
    pump(s);
    expect_said(s, "SET x 1|SET a 1");
    tick(s, TENTHS + 1);
    expect_said(s, "SET x 1|SET a 1|SET a 2|SET a 3");
    expect_nothing_waits(s);
}

/* ---- at random ---- */
enum { COMMANDS = 400 };
struct command {
    unsigned coordinator, number;
    bool of[SHARDS];
};

struct drawn {
    struct command commands[COMMANDS];
    unsigned skew;    /* how far the shards' orders are apart: 0 not at all */
    unsigned flushes; /* that all shards say, each between others */
    /* How many of them come before each item of each shard. */
    unsigned before[SHARDS][2 * COMMANDS];
};

static bool has_more(const struct drawn *d, uint32_t shard, unsigned c, unsigned *at) {
    while (*at < COMMANDS && (d->commands[*at].coordinator != c || !d->commands[*at].of[shard]))
        ++*at;
    return *at < COMMANDS;
}

/* The coordinator whose command comes next, SHARDS: none has any. */
static unsigned draw_next(const struct drawn *d, uint32_t shard, unsigned at[SHARDS]) {
    unsigned next = SHARDS, first = COMMANDS;
    for (unsigned i = 0, from = (unsigned)rand() % SHARDS; i < SHARDS; i++) {
        unsigned c = (from + i) % SHARDS;
        if (has_more(d, shard, c, &at[c]) && (d->skew == 0 || first == COMMANDS) && at[c] < first) {
            first = at[c];
            next = c;
        }
    }
    return next;
}

/* Each shard gets the commands of one coordinator in order, those of several in any: as rings bring them. */
static void deal(struct stage *s, struct drawn *d, uint32_t shard) {
    unsigned at[SHARDS] = {0}, serial = 0, flushed = 0, next, steps = 0;
    struct buf text = {0};
    const unsigned skew = d->skew;
    buf_append_text(&text, "PING");
    for (; d->skew = skew > 0 && (unsigned)rand() % 20 < skew,
           (next = draw_next(d, shard, at)) < SHARDS;
         steps++) {
        const struct command *command = &d->commands[at[next]++];
        buf_printf(&text, "|<%u.%u:", next, command->number);
        for (unsigned i = 0; i < SHARDS; i++)
            if (command->of[i])
                buf_printf(&text, "%u", i);
        d->before[shard][serial] = flushed;
        if (rand() % 4 != 0)
            buf_printf(&text, "|ADD %u %u %u.%u", shard, serial++, next, command->number);
        buf_append_text(&text, "|>");
        d->before[shard][serial] = flushed;
        if (rand() % 4 == 0)
            buf_printf(&text, "|ADD %u %u -", shard, serial++);
        if (flushed < d->flushes && rand() % 20 == 0 && ++flushed > 0)
            buf_append_text(&text, "|" FLUSH);
    }
    for (; flushed < d->flushes; flushed++)
        buf_append_text(&text, "|" FLUSH);
    d->skew = skew;
    buf_append(&text, "", 1);
    say(s, shard, text.data);
    buf_free(&text);
}

/* Each shard's order is kept, and no command is in two pieces, unless a FLUSHALL lies between its parts. */
static void check_random(struct stage *s, const struct drawn *d) {
    static unsigned in[SHARDS][COMMANDS + 1];
    unsigned next[SHARDS] = {0}, piece = 0, flushed = 0;
    bool in_transaction = false;
    memset(in, 0, sizeof in);
    char *text = strdup(said(s));
    for (char *save, *item = strtok_r(text, "|", &save); item != NULL;
         item = strtok_r(NULL, "|", &save)) {
        unsigned shard, serial, coordinator, number;
        piece += !in_transaction;
        in_transaction = strcmp(item, "EXEC") != 0 && (in_transaction || !strcmp(item, "MULTI"));
        flushed += strcmp(item, FLUSH) == 0;
        int fields = sscanf(item, "ADD %u %u %u.%u", &shard, &serial, &coordinator, &number);
        if (fields < 2)
            continue;
        assert_int_equal(serial, next[shard]++);
        assert_int_equal(flushed, d->before[shard][serial]);
        if (fields < 4 || d->flushes > 0)
            continue;
        unsigned *where = &in[coordinator][number];
        assert_true(*where == 0 || *where == piece);
        *where = piece;
    }
    assert_int_equal(flushed, d->flushes);
    free(text);
}

static void draw(struct drawn *d, unsigned round) {
    *d = (struct drawn){.skew = round % 7, .flushes = round % 3 == 0 ? 6 : 0};
    for (unsigned i = 0; i < COMMANDS; i++) {
        struct command *c = &d->commands[i];
        *c = (struct command){.coordinator = (unsigned)rand() % SHARDS, .number = i + 1};
        unsigned first = (unsigned)rand() % SHARDS;
        c->of[first] = true;
        c->of[(first + 1 + (unsigned)rand() % (SHARDS - 1)) % SHARDS] = true;
        c->of[(unsigned)rand() % SHARDS] = true;
    }
}

static void any_order_is_put_together(void **state) {
    static struct drawn d;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    end(state);
    for (unsigned round = 0; round < 63; round++) {
        begin(state);
        struct stage *s = *state;
        draw(&d, round);
        for (uint32_t i = 0; i < SHARDS; i++)
            deal(s, &d, i);
        pump(s);
        expect_nothing_waits(s);
        check_random(s, &d);
        end(state);
    }
    begin(state);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(parts_are_said_together),
        CASE(a_part_without_changes_is_awaited_and_no_more),
        CASE(a_shard_may_have_two_parts),
        CASE(databases_are_kept_apart),
        CASE(two_that_cross_are_said_as_one),
        CASE(three_that_cross_in_a_circle_are_said_as_one),
        CASE(what_lies_between_joins_and_plain_transactions_too),
        CASE(one_that_waits_for_a_circle_is_not_part_of_it),
        CASE(a_group_does_not_grow_without_end),
        CASE(a_flush_in_between_is_not_waited_for),
        CASE(a_flush_within_a_crossing_ends_it),
        CASE(nobody_waits_for_a_shard_that_is_away),
        CASE(one_that_goes_away_within_its_part_leaves_it_behind),
        CASE(a_newer_part_tells_that_an_older_one_will_not_come),
        CASE(one_that_says_nothing_is_waited_for_once),
        CASE(strange_marks_do_no_harm),
        CASE(any_order_is_put_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
