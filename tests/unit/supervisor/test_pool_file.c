/* test_pool_file.c - pool.json: round trip, and every way to be refused. */
#include "supervisor/pool_file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_A    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""
#define ID_B    "\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\""
#define ID_C    "\"cccccccccccccccccccccccccccccccccccccccc\""
#define HEAD    "{\"format\":1,\"pool_id\":" ID_A ",\"shards\":2,\"slots\":["
#define SHARD_0 "{\"shard\":0,\"first\":0,\"last\":99,\"node_id\":" ID_B "}"
#define SHARD_1 "{\"shard\":1,\"first\":100,\"last\":16383,\"node_id\":" ID_C "}"

static struct pool_file file;
static char error[256];

static int parse(const char *text) {
    error[0] = 0;
    return pool_file_parse(bytes_of_text(text), &file, error, sizeof(error));
}

static void test_round_trip(void **state) {
    static struct pool_file made;
    for (uint32_t shards = 1; shards <= SHARD_MAX; shards++) {
        pool_file_make(&made, shards);
        char *text = pool_file_text(&made);
        assert_true(strlen(text) < POOL_FILE_BYTES_MAX);
        assert_int_equal(parse(text), 0);
        assert_string_equal(file.pool_id, made.pool_id);
        assert_int_equal(file.shards, shards);
        for (uint32_t i = 0; i < shards; i++) {
            assert_int_equal(file.first[i], made.first[i]);
            assert_string_equal(file.node_id[i], made.node_id[i]);
        }
        free(text);
    }
}

static void test_slot_map_follows_the_file(void **state) {
    static struct slot_map map;
    assert_int_equal(parse(HEAD SHARD_0 "," SHARD_1 "]}"), 0);
    pool_file_to_slot_map(&file, &map);
    assert_int_equal(map.shards, 2);
    assert_int_equal(map.owner[0], 0);
    assert_int_equal(map.owner[99], 0);
    assert_int_equal(map.owner[100], 1);
    assert_int_equal(map.owner[SLOT_COUNT - 1], 1);
    assert_int_equal(map.first[1], 100);
    assert_string_equal(map.node_id[1], "cccccccccccccccccccccccccccccccccccccccc");
}

struct refusal {
    const char *text, *words; /* words that the error must hold */
};

static const struct refusal refusals[] = {
    {"", "line 1"},
    {"{", "line 1"},
    {"[]", "not a JSON object"},
    {"{}", "\"format\""},
    {"{\"format\":\"1\"}", "\"format\""},
    {"{\"format\":2}", "format is 2"},
    {"{\"format\":1}", "\"pool_id\""},
    {"{\"format\":1,\"pool_id\":\"xyz\"}", "\"pool_id\""},
    {"{\"format\":1,\"pool_id\":" ID_A "}", "\"shards\""},
    {"{\"format\":1,\"pool_id\":" ID_A ",\"shards\":0}", "\"shards\""},
    {"{\"format\":1,\"pool_id\":" ID_A ",\"shards\":129}", "\"shards\""},
    {"{\"format\":1,\"pool_id\":" ID_A ",\"shards\":2}", "\"slots\""},
    {"{\"format\":1,\"format\":1}", "duplicate"},
    {HEAD SHARD_0 "]}", "\"slots\" does not have 2"},
    {HEAD SHARD_1 "," SHARD_0 "]}", "\"shard\""},
    {HEAD SHARD_0 ",7]}", "\"shard\""},
    {HEAD SHARD_0 ",{\"shard\":1,\"first\":101,\"last\":16383,\"node_id\":" ID_C "}]}",
     "\"first\" is not a number from 100 to 100"},
    {HEAD SHARD_0 ",{\"shard\":1,\"first\":100,\"last\":99,\"node_id\":" ID_C "}]}", "\"last\""},
    {HEAD SHARD_0 ",{\"shard\":1,\"first\":100,\"last\":16384,\"node_id\":" ID_C "}]}", "\"last\""},
    {HEAD SHARD_0 ",{\"shard\":1,\"first\":100,\"last\":16382,\"node_id\":" ID_C "}]}",
     "end at 16382"},
    {HEAD SHARD_0 ",{\"shard\":1,\"first\":100,\"last\":16383,\"node_id\":" ID_B "}]}",
     "same \"node_id\""},
    {HEAD SHARD_0 ",{\"shard\":1,\"first\":100,\"last\":16383}]}", "\"node_id\""},
};

static void test_refusals(void **state) {
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (parse(refusals[i].text) == 0)
            fail_msg("accepted: %s", refusals[i].text);
        if (!strstr(error, refusals[i].words))
            fail_msg("%s: refused with '%s', not for %s", refusals[i].text, error,
                     refusals[i].words);
    }
}

static void test_cut_anywhere_is_refused(void **state) {
    static const char whole[] = HEAD SHARD_0 "," SHARD_1 "]}";
    char text[sizeof(whole)];
    for (size_t length = 0; length < sizeof(whole) - 1; length++) {
        memcpy(text, whole, length);
        text[length] = 0;
        assert_int_equal(parse(text), -1);
    }
    assert_int_equal(parse(whole), 0);
}

/* A flip is refused, or leaves the same pool: white space, or the name of the checksum itself. */
static void test_every_flipped_bit_is_found(void **state) {
    static struct pool_file made;
    pool_file_make(&made, 3);
    char *text = pool_file_text(&made);
    unsigned refused = 0, bits = (unsigned)strlen(text) * 8;
    for (unsigned bit = 0; bit < bits; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        char *found = parse(text) == 0 ? pool_file_text(&file) : NULL;
        text[bit / 8] ^= (char)(1 << bit % 8);
        refused += found == NULL;
        if (found && strcmp(found, text) != 0)
            fail_msg("bit %u of byte %u was not seen", bit % 8, bit / 8);
        free(found);
    }
    print_message("%u of %u flips refused, the others harmless\n", refused, bits);
    assert_true(refused > bits * 9 / 10);
    free(text);
}

/* ---- on disk ---- */

static char dir[64];

static int make_dir(void **state) {
    strcpy(dir, "/tmp/remuda-pool-file-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

static void write_pool_json(const char *text) {
    char path[128];
    snprintf(path, sizeof(path), "%s/pool.json", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void test_made_once_then_read(void **state) {
    static struct pool_file made;
    assert_int_equal(pool_file_open(dir, 3, &made, error, sizeof(error)), 0);
    assert_int_equal(pool_file_open(dir, 3, &file, error, sizeof(error)), 0);
    assert_string_equal(file.pool_id, made.pool_id);
    assert_string_equal(file.node_id[2], made.node_id[2]);
}

static void test_another_number_of_shards(void **state) {
    write_pool_json(HEAD SHARD_0 "," SHARD_1 "]}");
    assert_int_equal(pool_file_open(dir, 3, &file, error, sizeof(error)), 0);
    assert_int_equal(file.shards, 2);
    assert_int_equal(pool_file_read(dir, &file, error, sizeof(error)), 0);
    assert_int_equal(file.shards, 2);
}

static void test_dealt_anew(void **state) {
    static struct pool_file more, fewer;
    char slots[POOL_SLOTS_TEXT_BYTES];
    assert_int_equal(parse(HEAD SHARD_0 "," SHARD_1 "]}"), 0);
    pool_file_deal(&file, 3, &more);
    assert_int_equal(more.shards, 3);
    assert_string_equal(more.pool_id, file.pool_id);
    assert_string_equal(more.node_id[0], file.node_id[0]);
    assert_string_equal(more.node_id[1], file.node_id[1]);
    assert_string_not_equal(more.node_id[2], file.node_id[1]);
    pool_file_slots_text(&more, slots);
    assert_string_equal(slots, "0,5461,10923");
    pool_file_deal(&more, 1, &fewer);
    assert_string_equal(fewer.node_id[0], file.node_id[0]);
    pool_file_slots_text(&fewer, slots);
    assert_string_equal(slots, "0");
    pool_file_deal(&file, SHARD_MAX, &more);
    pool_file_slots_text(&more, slots);
    assert_true(strlen(slots) < sizeof(slots) - 1);
}

static void test_the_mark_of_a_move(void **state) {
    static struct pool_file made;
    assert_int_equal(pool_file_read(dir, &made, error, sizeof(error)), 1);
    pool_file_make(&made, 2);
    made.moving = true;
    made.moving_from = 5;
    assert_int_equal(pool_file_publish(dir, &made, error, sizeof(error)), 0);
    assert_int_equal(pool_file_read(dir, &file, error, sizeof(error)), 0);
    assert_true(file.moving);
    assert_int_equal(file.moving_from, 5);
    made.moving = false;
    assert_int_equal(pool_file_publish(dir, &made, error, sizeof(error)), 0);
    assert_int_equal(pool_file_read(dir, &file, error, sizeof(error)), 0);
    assert_false(file.moving);
    assert_int_equal(parse(HEAD SHARD_0 "," SHARD_1 "],\"moving_from\":129}"), -1);
    assert_non_null(strstr(error, "moving_from"));
}

static void test_foreign_file_stays_as_it_is(void **state) {
    char path[128], text[64] = "";
    write_pool_json("not ours");
    assert_int_equal(pool_file_open(dir, 2, &file, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "pool.json is not usable"));
    snprintf(path, sizeof(path), "%s/pool.json", dir);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof(text)), 8);
    close(fd);
    assert_string_equal(text, "not ours");
}

static void test_shards_without_pool_json(void **state) {
    char path[128];
    snprintf(path, sizeof(path), "%s/shard-0000", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(pool_file_open(dir, 2, &file, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "no pool.json"));
}

static void test_too_long_a_file(void **state) {
    static char text[POOL_FILE_BYTES_MAX + 100];
    memset(text, ' ', sizeof(text) - 1);
    write_pool_json(text);
    assert_int_equal(pool_file_open(dir, 2, &file, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "cannot read"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_slot_map_follows_the_file),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_cut_anywhere_is_refused),
        cmocka_unit_test(test_every_flipped_bit_is_found),
        cmocka_unit_test_setup_teardown(test_made_once_then_read, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_another_number_of_shards, make_dir, remove_dir),
        cmocka_unit_test(test_dealt_anew),
        cmocka_unit_test_setup_teardown(test_the_mark_of_a_move, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_foreign_file_stays_as_it_is, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_shards_without_pool_json, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_too_long_a_file, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
