/* test_commands.c - the table, lookup, key positions, and what COMMAND tells about them. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "worker/command/server_private.h"

static struct bytes text(const char *s) {
    return bytes_of_text(s);
}

static void every_row_is_found_by_its_name_in_any_case(void **state) {
    for (uint32_t i = 0; i < command_count; i++) {
        char upper[64];
        size_t len = strlen(command_rows[i].name);
        assert_true(len < sizeof(upper));
        for (size_t c = 0; c <= len; c++) {
            char letter = command_rows[i].name[c];
            upper[c] = letter >= 'a' && letter <= 'z' ? (char)(letter - 32) : letter;
        }
        assert_ptr_equal(command_by_name(text(command_rows[i].name)), &command_rows[i]);
        assert_ptr_equal(command_by_name(text(upper)), &command_rows[i]);
        assert_int_equal(command_index(&command_rows[i]), i);
    }
}

static void rows_are_sound(void **state) {
    for (uint32_t i = 0; i < command_count; i++) {
        const struct command *c = &command_rows[i], *container = command_container(c);
        const char *bar = strchr(c->name, '|');
        assert_int_equal(bar != NULL, container != NULL);
        if (container != NULL) {
            assert_true(container->flags & CMD_CONTAINER);
            assert_int_equal(strncmp(container->name, c->name, (size_t)(bar - c->name)), 0);
            assert_int_equal(container->flags & CMD_PROTECTED, c->flags & CMD_PROTECTED);
        }
        assert_true(c->handler != NULL || (c->flags & CMD_CONTAINER));
        assert_false((c->flags & CMD_WRITE) && (c->flags & CMD_READONLY));
        assert_true(c->arity != 0);
        assert_true((c->first_key == 0) == (c->key_step == 0));
        assert_true(c->summary[0] != '\0' && c->since[0] != '\0' && c->group[0] != '\0');
    }
}

static void subcommands_are_found_through_argv_only(void **state) {
    const struct command *container;
    struct bytes id[] = {text("ClIeNt"), text("ID")};
    assert_string_equal(command_lookup(id, 2, &container)->name, "client|id");
    assert_null(container);
    struct bytes joined[] = {text("client|id")};
    assert_null(command_lookup(joined, 1, &container));
    assert_null(container);
    struct bytes unknown[] = {text("client"), text("nosuch")};
    assert_null(command_lookup(unknown, 2, &container));
    assert_string_equal(container->name, "client");
    /* The container alone is itself, for its arity to be refused. */
    assert_string_equal(command_lookup(id, 1, &container)->name, "client");
    /* A subcommand's word is not looked for in another container. */
    struct bytes wrong[] = {text("config"), text("kill")};
    assert_null(command_lookup(wrong, 2, &container));
    assert_string_equal(container->name, "config");
}

static void unknown_names_are_not_found(void **state) {
    static char huge[100000];
    memset(huge, 'g', sizeof(huge));
    assert_null(command_by_name(bytes_of(huge, sizeof(huge))));
    const char *const names[] = {"",     "ge",   "gett",    "get ",
                                 "get|", "|get", "client|", "client|id|x"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_null(command_by_name(text(names[i])));
    assert_null(command_by_name(bytes_of("get\0", 4)));
}

static void arity_is_exact_or_a_minimum(void **state) {
    const struct command exact = {.arity = 3}, least = {.arity = -3};
    assert_false(command_arity_ok(&exact, 2));
    assert_true(command_arity_ok(&exact, 3));
    assert_false(command_arity_ok(&exact, 4));
    assert_false(command_arity_ok(&least, 2));
    assert_true(command_arity_ok(&least, 3));
    assert_true(command_arity_ok(&least, 1000));
}

static void expect_keys(const struct command *c, uint32_t argc, const struct bytes *argv,
                        int32_t count, const uint32_t *want) {
    uint32_t positions[16];
    assert_int_equal(command_key_positions(c, argv, argc, positions, 16), count);
    for (int32_t i = 0; i < count; i++)
        assert_int_equal(positions[i], want[i]);
}

static void key_positions_follow_the_row(void **state) {
    struct bytes argv[] = {text("x"), text("2"), text("c"), text("d"), text("e"), text("f")};
    const struct command one = {.first_key = 1, .last_key = 1, .key_step = 1};
    expect_keys(&one, 6, argv, 1, (uint32_t[]){1});
    const struct command all = {.first_key = 1, .last_key = -1, .key_step = 1};
    expect_keys(&all, 4, argv, 3, (uint32_t[]){1, 2, 3});
    const struct command pairs = {.first_key = 1, .last_key = -1, .key_step = 2};
    expect_keys(&pairs, 5, argv, 2, (uint32_t[]){1, 3});
    const struct command but_last = {.first_key = 1, .last_key = -2, .key_step = 1};
    expect_keys(&but_last, 4, argv, 2, (uint32_t[]){1, 2});
    const struct command counted = {.numkeys_at = 1};
    expect_keys(&counted, 6, argv, 2, (uint32_t[]){2, 3});
    const struct command both = {.first_key = 5, .last_key = 5, .key_step = 1, .numkeys_at = 1};
    expect_keys(&both, 6, argv, 3, (uint32_t[]){5, 2, 3});
    const struct command none = {0};
    expect_keys(&none, 6, argv, 0, NULL);
}

static void malformed_numbers_of_keys_are_refused(void **state) {
    const struct command counted = {.numkeys_at = 1};
    const char *const bad[] = {"0", "-1", "4", "x", "", "9223372036854775807", "1e1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct bytes argv[] = {text("x"), text(bad[i]), text("a"), text("b"), text("c")};
        assert_int_equal(command_key_positions(&counted, argv, 5, NULL, 0), -1);
    }
    struct bytes argv[] = {text("x"), text("3"), text("a"), text("b"), text("c")};
    assert_int_equal(command_key_positions(&counted, argv, 5, NULL, 0), 3);
    assert_int_equal(command_key_positions(&counted, argv, 1, NULL, 0), -1);
    const struct command fixed = {.first_key = 1, .last_key = 5, .key_step = 1};
    assert_int_equal(command_key_positions(&fixed, argv, 5, NULL, 0), -1);
}

static void positions_are_counted_past_the_room_for_them(void **state) {
    const struct command all = {.first_key = 1, .last_key = -1, .key_step = 1};
    struct bytes argv[] = {text("x"), text("a"), text("b"), text("c")};
    uint32_t positions[3] = {0, 0, 77};
    assert_int_equal(command_key_positions(&all, argv, 4, positions, 2), 3);
    assert_int_equal(positions[1], 2);
    assert_int_equal(positions[2], 77);
}

/* ---- specifications ---- */

static void expect_spec(const struct key_spec *spec, int32_t index, int32_t last, int32_t step,
                        const char *flags) {
    assert_int_equal(spec->index, index);
    assert_int_equal(spec->last, last);
    assert_int_equal(spec->step, step);
    assert_true(bytes_equal(spec->flags, text(flags)));
}

static void specifications_come_from_the_syntax(void **state) {
    struct key_spec specs[KEY_SPECS_MAX];
    const struct command rename = {.first_key = 1,
                                   .last_key = 2,
                                   .key_step = 1,
                                   .flags = CMD_WRITE,
                                   .syntax = "key:key=RW,delete newkey:key=OW,update"};
    assert_int_equal(command_key_specs(&rename, specs), 2);
    expect_spec(&specs[0], 1, 0, 1, "RW,delete");
    expect_spec(&specs[1], 2, 0, 1, "OW,update");
    const struct command lcs = {
        .first_key = 1, .last_key = 2, .key_step = 1, .syntax = "key1:key key2:key [LEN@len]"};
    assert_int_equal(command_key_specs(&lcs, specs), 1);
    expect_spec(&specs[0], 1, 1, 1, "RO,access");
    const struct command bitop = {.first_key = 2,
                                  .last_key = -1,
                                  .key_step = 1,
                                  .flags = CMD_WRITE,
                                  .syntax = "op:string dest:key=OW,update key:key=RO,access..."};
    assert_int_equal(command_key_specs(&bitop, specs), 2);
    expect_spec(&specs[0], 2, 0, 1, "OW,update");
    expect_spec(&specs[1], 3, -1, 1, "RO,access");
    assert_true(bytes_equal(command_key_flags(&bitop, 6, 2), text("OW,update")));
    assert_true(bytes_equal(command_key_flags(&bitop, 6, 5), text("RO,access")));
    const struct command store = {.first_key = 1,
                                  .last_key = 1,
                                  .key_step = 1,
                                  .numkeys_at = 2,
                                  .flags = CMD_WRITE,
                                  .syntax =
                                      "destination:key=OW,update numkeys:integer key:key=RO..."};
    assert_int_equal(command_key_specs(&store, specs), 2);
    expect_spec(&specs[0], 1, 0, 1, "OW,update");
    assert_true(specs[1].counted);
    expect_spec(&specs[1], 2, 0, 1, "RO");
}

static void keys_stand_behind_a_word(void **state) {
    const struct command *xread = command_by_name(text("xread"));
    const struct command *xreadgroup = command_by_name(text("xreadgroup"));
    struct key_spec specs[KEY_SPECS_MAX];
    uint32_t at[8];
    assert_true(bytes_equal(command_keys_word(xread), text("STREAMS")));
    assert_int_equal(command_key_specs(xreadgroup, specs), 1);
    expect_spec(&specs[0], 4, -1, 1, "RO,access");
    assert_true(bytes_equal(specs[0].word, text("STREAMS")));
    const struct bytes call[] = {text("XREAD"),   text("COUNT"), text("1"),
                                 text("streams"), text("a"),     text("b"),
                                 text("0"),       text("1"),     text("2")};
    assert_int_equal(command_key_positions(xread, call, 8, at, 8), 2);
    assert_int_equal(at[0], 4);
    assert_int_equal(at[1], 5);
    assert_int_equal(command_key_positions(xread, call, 9, at, 8), 2);
    assert_int_equal(command_key_positions(xread, call, 5, at, 8), -1);
    assert_int_equal(command_key_positions(xread, call, 3, at, 8), -1);
    const struct bytes grouped[] = {text("XREADGROUP"), text("GROUP"), text("STREAMS"), text("c"),
                                    text("STREAMS"),    text("a"),     text(">")};
    assert_int_equal(command_key_positions(xreadgroup, grouped, 7, at, 8), 1);
    assert_int_equal(at[0], 5);
}

static void every_position_of_a_row_is_in_a_specification(void **state) {
    for (uint32_t i = 0; i < command_count; i++) {
        struct key_spec specs[KEY_SPECS_MAX];
        const struct command *c = &command_rows[i];
        uint32_t count = command_key_specs(c, specs);
        assert_int_equal(count > 0, c->first_key > 0 || c->numkeys_at != 0);
        if (c->first_key > 0)
            assert_int_equal(specs[0].index, c->first_key);
    }
}

/* ---- COMMAND ---- */

static void every_row_is_described_in_whole_values(void **state) {
    struct fixture *f = fixture_create();
    for (uint8_t version = 2; version <= 3; version++) {
        f->session.resp = version;
        for (uint32_t i = 0; i < command_count; i++) {
            const char *const what[] = {"INFO", "DOCS"};
            for (int w = 0; w < 2; w++) {
                struct bytes argv[] = {text("COMMAND"), text(what[w]), text(command_rows[i].name)};
                fixture_run(f, 3, argv);
                assert_true(f->reply.len > 16);
                assert_int_equal(resp_value_length(f->reply.data, f->reply.len), f->reply.len);
            }
        }
    }
    fixture_inline(f, "COMMAND");
    assert_int_equal(resp_value_length(f->reply.data, f->reply.len), f->reply.len);
    fixture_inline(f, "COMMAND DOCS");
    assert_int_equal(resp_value_length(f->reply.data, f->reply.len), f->reply.len);
    fixture_free(&f);
}

static void command_info_has_the_structure_of_redis_7(void **state) {
    struct fixture *f = fixture_create();
    expect(
        f, "COMMAND INFO nosuch ping",
        "*2\r\n$-1\r\n*10\r\n$4\r\nping\r\n:-1\r\n*1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n*2\r\n+@fast\r\n"
        "+@connection\r\n*0\r\n*0\r\n*0\r\n");
    expect(f, "COMMAND INFO dbsize",
           "*1\r\n*10\r\n$6\r\ndbsize\r\n:1\r\n*2\r\n+readonly\r\n+fast\r\n:0\r\n:0\r\n:0\r\n*3\r\n"
           "+@keyspace\r\n+@read\r\n+@fast\r\n*0\r\n*0\r\n*0\r\n");
    expect(
        f, "COMMAND INFO debug|object",
        "*1\r\n*10\r\n$12\r\ndebug|object\r\n:3\r\n*4\r\n+admin\r\n+noscript\r\n+loading\r\n+stale"
        "\r\n:2\r\n:2\r\n:1\r\n*3\r\n+@admin\r\n+@slow\r\n+@dangerous\r\n*0\r\n*1\r\n*6\r\n$5\r\n"
        "flags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$"
        "5\r\nindex\r\n"
        "$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:2\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$"
        "5\r\nrange"
        "\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:"
        "0\r\n"
        "*0\r\n");
    fixture_free(&f);
}

static void command_docs_spells_out_the_syntax(void **state) {
    struct fixture *f = fixture_create();
    f->session.resp = 3;
    expect(f, "COMMAND DOCS nosuch", "%0\r\n");
    expect(
        f, "COMMAND DOCS bgsave",
        "%1\r\n$6\r\nbgsave\r\n%5\r\n$7\r\nsummary\r\n$45\r\nAsynchronously saves the database(s) "
        "to disk.\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$6\r\nserver\r\n$10\r\ncomplexity"
        "\r\n$4\r\nO(1)\r\n$9\r\narguments\r\n*1\r\n%5\r\n$4\r\nname\r\n$8\r\nschedule\r\n$"
        "4\r\ntype"
        "\r\n$10\r\npure-token\r\n$12\r\ndisplay_text\r\n$8\r\nschedule\r\n$5\r\ntoken\r\n$8\r\n"
        "SCHEDULE\r\n$5\r\nflags\r\n~1\r\n+optional\r\n");
    fixture_free(&f);
}

static void docs_read_every_form_of_the_notation(void **state) {
    struct buf out = {0};
    struct reply reply = {.out = &out, .version = 2};
    const struct command c = {.syntax = "[T@{a:key [<X@x|Y@y:integer>z]...T}b] c:string..."};
    docs_reply_arguments(&reply, &c);
    buf_append(&out, "", 1);
    assert_string_equal(out.data, "*2\r\n*10\r\n$4\r\nname\r\n$1\r\nb\r\n$4\r\ntype\r\n$"
                                  "5\r\nblock\r\n$5\r\ntoken\r\n$1\r\nT\r\n"
                                  "$5\r\nflags\r\n*1\r\n+optional\r\n$9\r\narguments\r\n*2\r\n"
                                  "*8\r\n$4\r\nname\r\n$1\r\na\r\n$4\r\ntype\r\n$3\r\nkey\r\n$"
                                  "12\r\ndisplay_text\r\n$1\r\na\r\n"
                                  "$14\r\nkey_spec_index\r\n:0\r\n"
                                  "*8\r\n$4\r\nname\r\n$1\r\nz\r\n$4\r\ntype\r\n$5\r\noneof\r\n$"
                                  "5\r\nflags\r\n*3\r\n+optional\r\n"
                                  "+multiple\r\n+multiple_token\r\n$9\r\narguments\r\n*2\r\n"
                                  "*8\r\n$4\r\nname\r\n$1\r\nx\r\n$4\r\ntype\r\n$10\r\npure-"
                                  "token\r\n$12\r\ndisplay_text\r\n$1\r\n"
                                  "x\r\n$5\r\ntoken\r\n$1\r\nX\r\n"
                                  "*8\r\n$4\r\nname\r\n$1\r\ny\r\n$4\r\ntype\r\n$7\r\ninteger\r\n$"
                                  "12\r\ndisplay_text\r\n$1\r\ny\r\n"
                                  "$5\r\ntoken\r\n$1\r\nY\r\n"
                                  "*8\r\n$4\r\nname\r\n$1\r\nc\r\n$4\r\ntype\r\n$6\r\nstring\r\n$"
                                  "12\r\ndisplay_text\r\n$1\r\nc\r\n"
                                  "$5\r\nflags\r\n*1\r\n+multiple\r\n");
    buf_free(&out);
}

static void command_list_and_getkeys(void **state) {
    struct fixture *f = fixture_create();
    expect(f, "COMMAND LIST FILTERBY PATTERN PI*", "*1\r\n$4\r\nping\r\n");
    expect(f, "COMMAND LIST FILTERBY PATTERN *|kill", "*1\r\n$11\r\nclient|kill\r\n");
    expect(f, "COMMAND LIST FILTERBY MODULE x", "*0\r\n");
    expect(f, "COMMAND LIST FILTERBY ACLCAT nosuch", "*0\r\n");
    expect(f, "COMMAND LIST FILTERBY ACLCAT", "-ERR syntax error\r\n");
    expect(f, "COMMAND LIST x", "-ERR syntax error\r\n");
    expect(f, "COMMAND GETKEYS MSET a b c d", "*2\r\n$1\r\na\r\n$1\r\nc\r\n");
    expect(f, "COMMAND GETKEYS DEBUG OBJECT k", "*1\r\n$1\r\nk\r\n");
    expect(f, "COMMAND GETKEYS nosuch a", "-ERR Invalid command specified\r\n");
    expect(f, "COMMAND GETKEYS PING", "-ERR The command has no key arguments\r\n");
    expect(f, "COMMAND GETKEYS GET", "-ERR Invalid number of arguments specified for command\r\n");
    expect(f, "COMMAND GETKEYSANDFLAGS GET k", "*1\r\n*2\r\n$1\r\nk\r\n*2\r\n+RO\r\n+access\r\n");
    fixture_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found_by_its_name_in_any_case),
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(subcommands_are_found_through_argv_only),
        cmocka_unit_test(unknown_names_are_not_found),
        cmocka_unit_test(arity_is_exact_or_a_minimum),
        cmocka_unit_test(key_positions_follow_the_row),
        cmocka_unit_test(malformed_numbers_of_keys_are_refused),
        cmocka_unit_test(positions_are_counted_past_the_room_for_them),
        cmocka_unit_test(specifications_come_from_the_syntax),
        cmocka_unit_test(keys_stand_behind_a_word),
        cmocka_unit_test(every_position_of_a_row_is_in_a_specification),
        cmocka_unit_test(every_row_is_described_in_whole_values),
        cmocka_unit_test(command_info_has_the_structure_of_redis_7),
        cmocka_unit_test(command_docs_spells_out_the_syntax),
        cmocka_unit_test(docs_read_every_form_of_the_notation),
        cmocka_unit_test(command_list_and_getkeys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
