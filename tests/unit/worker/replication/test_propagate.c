/* test_propagate.c - what reaches the log's file: the commands, and SELECT where the database
 * changes. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "worker/replication/backlog.h"
#include "worker/resp/parse.h"

static int begin(void **state) {
    struct shard *s = shard_create();
    shard_configure(s, "appendonly", "yes");
    assert_int_equal(shard_open(s), 0);
    *state = s;
    return 0;
}

static int end(void **state) {
    shard_free((struct shard **)state);
    return 0;
}

/* The commands of the log but for its checksums, words by spaces, commands by '|'. */
static void expect_logged(struct shard *s, const char *want) {
    shard_turn(s);
    struct buf log = shard_read_file(s, "appendonlydir/appendonly.aof.1.incr.aof");
    struct buf text = {0};
    struct resp_parser parser;
    size_t at = 0, used;
    resp_parser_init(&parser);
    parser.bulk_max = 1024 * 1024;
    while (at < log.len &&
           resp_parse(&parser, log.data + at, log.len - at, &used) == RESP_COMMAND) {
        at += used;
        if (parser.argc == 0 || bytes_equal_nocase(parser.argv[0], "PING"))
            continue;
        if (text.len > 0)
            buf_append_text(&text, "|");
        for (uint32_t i = 0; i < parser.argc; i++) {
            if (i > 0)
                buf_append_text(&text, " ");
            buf_append_bytes(&text, parser.argv[i]);
        }
    }
    assert_int_equal(at, log.len);
    buf_append(&text, "", 1);
    assert_string_equal(text.data, want);
    resp_parser_free(&parser);
    buf_free(&text);
    buf_free(&log);
}

static void the_first_command_selects_its_database(void **state) {
    struct shard *s = *state;
    const struct bytes set[] = {BYTES_LITERAL("SET"), BYTES_LITERAL("a"), BYTES_LITERAL("1")};
    propagate_command(s->propagate, 0, 3, set);
    propagate_command(s->propagate, 0, 3, set);
    expect_logged(s, "SELECT 0|SET a 1|SET a 1");
}

static void select_is_put_in_where_the_database_changes(void **state) {
    struct shard *s = *state;
    const struct bytes set[] = {BYTES_LITERAL("SET"), BYTES_LITERAL("a"), BYTES_LITERAL("1")};
    propagate_command(s->propagate, 0, 3, set);
    propagate_delete(s->propagate, 12, BYTES_LITERAL("k"));
    propagate_raw(s->propagate, 12, BYTES_LITERAL("*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n"));
    propagate_raw(s->propagate, 3, (struct bytes){0});
    propagate_command(s->propagate, 0, 3, set);
    expect_logged(s, "SELECT 0|SET a 1|SELECT 12|DEL k|A|B|SELECT 0|SET a 1");
}

static void a_new_file_begins_with_select(void **state) {
    struct shard *s = *state;
    propagate_delete(s->propagate, 0, BYTES_LITERAL("a"));
    propagate_to(s->propagate, persist_aof(s->persist));
    propagate_delete(s->propagate, 0, BYTES_LITERAL("b"));
    expect_logged(s, "SELECT 0|DEL a|SELECT 0|DEL b");
}

static void executed_commands_are_logged_as_their_handlers_say(void **state) {
    struct shard *s = *state;
    shard_expect(s, "SET a 1", "+OK\r\n");
    shard_expect(s, "GET a", "$1\r\n1\r\n");
    shard_expect(s, "INCRBYFLOAT a 0.5", "$3\r\n1.5\r\n");
    shard_expect(s, "DEL nosuch", ":0\r\n");
    shard_expect(s, "SELECT 2", "+OK\r\n");
    shard_expect(s, "SET b 2", "+OK\r\n");
    shard_expect(s, "SWAPDB 2 3", "+OK\r\n");
    shard_expect(s, "FLUSHDB", "+OK\r\n");
    expect_logged(s, "SELECT 0|SET a 1|SET a 1.5 KEEPTTL|SELECT 2|SET b 2|SWAPDB 2 3|FLUSHDB");
    assert_int_equal(persist_dirty(s->persist), 5);
}

static void without_a_log_nothing_is_done(void **state) {
    struct propagate *p = propagate_create(NULL, NULL);
    propagate_delete(p, 0, BYTES_LITERAL("a"));
    propagate_raw(p, 1, BYTES_LITERAL("*1\r\n$1\r\nA\r\n"));
    propagate_free(&p);
    assert_null(p);
}

static bool parse_part(const char *name, const char *text, struct propagate_part *part_r) {
    const struct bytes argv[] = {bytes_of_text(name), bytes_of_text(text)};
    return propagate_part_parse(2, argv, part_r);
}

static void parts_are_framed_for_replicas(void **state) {
    struct backlog backlog;
    struct propagate_part part = {.number = 0xab00000000000012, .more = true};
    backlog_init(&backlog);
    backlog_keep(&backlog);
    struct propagate *p = propagate_create(NULL, &backlog);
    propagate_part_add(&part, 0);
    propagate_part_add(&part, 5);
    propagate_part_add(&part, 127);
    propagate_part(p, &part);
    propagate_part_end(p);
    struct backlog_cursor cursor = {0};
    backlog_cursor_open(&cursor, &backlog, 0);
    struct bytes said = backlog_cursor_peek(&cursor);
    static const char want[] =
        "*2\r\n$4\r\nPING\r\n$43\r\npart:ab00000000000012:21:8000000000000000:1\r\n"
        "*2\r\n$4\r\nPING\r\n$12\r\npart:0:0:0:0\r\n";
    assert_int_equal(said.len, sizeof want - 1);
    assert_memory_equal(said.ptr, want, said.len);
    backlog_cursor_close(&cursor);
    propagate_free(&p);
    backlog_free(&backlog);
    assert_true(parse_part("PING", "part:ab00000000000012:21:8000000000000000:1", &part));
    assert_true(part.number == 0xab00000000000012 && part.more);
    assert_true(propagate_part_has(&part, 0) && propagate_part_has(&part, 5) &&
                propagate_part_has(&part, 127));
    assert_false(propagate_part_has(&part, 1) || propagate_part_has(&part, 64));
    assert_true(parse_part("ping", "part:0:0:0:0", &part));
    assert_false(propagate_part_is_any(&part));
    assert_false(parse_part("ECHO", "part:1:2:0:0", &part));
    assert_false(parse_part("PING", "part:", &part));
    assert_false(parse_part("PING", "part:1", &part));
    assert_false(parse_part("PING", "part:1:2:0:", &part));
    assert_false(parse_part("PING", "part:1:2:0:0:0", &part));
    assert_false(parse_part("PING", "part:1::0:0", &part));
    assert_false(parse_part("PING", "part:1:/:0:0", &part));
    assert_false(parse_part("PING", "part:1:A:0:0", &part));
    assert_false(parse_part("PING", "part:1:g:0:0", &part));
    assert_false(parse_part("PING", "part:11111111111111111:1:0:0", &part));
    assert_false(parse_part("PING", "repl:1:2:0:0", &part));
}

static bool names_a_place(const char *text, struct propagate_mark *mark_r) {
    const struct bytes argv[] = {BYTES_LITERAL("PING"), bytes_of_text(text)};
    assert_true(propagate_mark_parse(2, argv, mark_r));
    return mark_r->origin.id[0] != '\0';
}

static void marks_that_make_no_sense_name_no_place(void **state) {
#define ID "0123456789abcdef0123456789abcdef01234567"
    struct propagate_mark mark;
    const struct bytes other[] = {BYTES_LITERAL("PING"), BYTES_LITERAL("rept:" ID ":1:0")};
    assert_false(propagate_mark_parse(2, other, &mark));
    assert_true(names_a_place("repl:" ID ":17:3:00000000000000ab", &mark));
    assert_string_equal(mark.origin.id, ID);
    assert_true(mark.origin.offset == 17 && mark.origin.db == 3 && mark.has_crc &&
                mark.crc == 0xab);
    assert_true(names_a_place("repl:" ID ":4611686018427387903:0", &mark));
    assert_false(mark.has_crc);
    assert_false(names_a_place("repl:" ID ":4611686018427387904:0", &mark));
    assert_false(names_a_place("repl:" ID ":18446744073709551615:0:00000000000000ab", &mark));
    assert_false(names_a_place("repl:" ID ":-1:0", &mark));
    assert_false(names_a_place("repl:" ID ":1", &mark));
    assert_false(names_a_place("repl:0123:1:0", &mark));
    assert_false(names_a_place("repl:", &mark));
#undef ID
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_command_selects_its_database, begin, end),
        cmocka_unit_test_setup_teardown(select_is_put_in_where_the_database_changes, begin, end),
        cmocka_unit_test_setup_teardown(a_new_file_begins_with_select, begin, end),
        cmocka_unit_test_setup_teardown(executed_commands_are_logged_as_their_handlers_say, begin,
                                        end),
        cmocka_unit_test(without_a_log_nothing_is_done),
        cmocka_unit_test(parts_are_framed_for_replicas),
        cmocka_unit_test(marks_that_make_no_sense_name_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
