/* test_slot_map.c - slots of keys as a cluster node tells them, and the ranges shards get. */
#include "tests/unit/shared/support.h"

#include "shared/ipc/slot_map.h"

static uint16_t slot(const char *key) {
    return slot_of_key(bytes_of_text(key));
}

/* Figures of CLUSTER KEYSLOT. */
static void slots_of_known_keys(void **state) {
    assert_int_equal(slot("123456789"), 12739);
    assert_int_equal(slot("foo"), 12182);
    assert_int_equal(slot("bar"), 5061);
    assert_int_equal(slot("somekey"), 11058);
    assert_int_equal(slot("foo{hash_tag}"), 2515);
    assert_int_equal(slot(""), 0);
}

static void only_a_full_first_tag_counts(void **state) {
    assert_int_equal(slot("{user1000}.following"), slot("user1000"));
    assert_int_equal(slot("a{user1000}b{c}"), slot("user1000"));
    assert_int_equal(slot("foo{{bar}}zap"), slot("{bar"));
    assert_int_not_equal(slot("foo{}{bar}"), slot("bar"));
    assert_int_not_equal(slot("foo{bar"), slot("bar"));
    assert_int_equal(slot("}foo{bar}"), slot("bar"));
    char key[] = "x{\0y}z";
    assert_int_equal(slot_of_key(bytes_of(key, 6)), slot_of_key(bytes_of("\0y", 2)));
}

static void dealt_in_even_ranges(void **state) {
    struct slot_map map;
    for (uint32_t shards = 1; shards <= SHARD_MAX; shards++) {
        memset(&map, 0xee, sizeof map);
        slot_map_deal(&map, shards);
        assert_int_equal(map.shards, shards);
        assert_int_equal(map.first[0], 0);
        assert_int_equal(map.first[shards], SLOT_COUNT);
        for (uint32_t shard = 0; shard < shards; shard++) {
            uint32_t count = (uint32_t)map.first[shard + 1] - map.first[shard];
            assert_in_range(count, SLOT_COUNT / shards, SLOT_COUNT / shards + 1);
            for (uint32_t s = map.first[shard]; s < map.first[shard + 1]; s++)
                assert_int_equal(map.owner[s], shard);
        }
    }
}

/* What `redis-cli --cluster create` announces for three nodes. */
static void three_shards_as_redis_cli_deals(void **state) {
    struct slot_map map;
    slot_map_deal(&map, 3);
    assert_int_equal(map.first[1], 5461);
    assert_int_equal(map.first[2], 10923);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_of_known_keys),
        cmocka_unit_test(only_a_full_first_tag_counts),
        cmocka_unit_test(dealt_in_even_ranges),
        cmocka_unit_test(three_shards_as_redis_cli_deals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
