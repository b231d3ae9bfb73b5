/* test_cut.c - the machine of a consistent cut: the good way, every way out, and what must be ignored. */
#include "supervisor/cut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { SHARDS = 3 };

/* Take it to a phase, of its first try. */
static struct cut cut_in(enum cut_phase phase) {
    struct cut cut = {0};
    assert_int_equal(cut_begin(&cut, SHARDS), CUT_MAKE);
    if (cut.phase != phase)
        assert_int_equal(cut_process_ended(&cut, ""), CUT_PREPARE);
    for (uint32_t i = 0; i < SHARDS && cut.phase < phase; i++)
        assert_int_equal(cut_prepared(&cut, 1, 1, i, ""), i < SHARDS - 1 ? CUT_STAY : CUT_LOCK);
    if (cut.phase < phase)
        assert_int_equal(cut_barrier_ended(&cut, 1, 1, ""), CUT_STAY);
    for (uint32_t i = 0; i < SHARDS && cut.phase < phase; i++)
        assert_int_equal(cut_linked(&cut, 1, 1, i, ""), i < SHARDS - 1 ? CUT_STAY : CUT_PUBLISH);
    if (cut.phase < phase)
        assert_int_equal(cut_timed_out(&cut), CUT_REMOVE);
    assert_int_equal(cut.phase, phase);
    return cut;
}

static void the_good_way(void **state) {
    struct cut cut = cut_in(CUT_PUBLISHING);
    assert_int_equal(cut_process_ended(&cut, ""), CUT_FINISH);
    assert_int_equal(cut.phase, CUT_IDLE);
    assert_string_equal(cut.error, "");
    assert_int_equal(cut_begin(&cut, SHARDS), CUT_MAKE);
    assert_int_equal(cut.id, 2);
}

/* Their own sockets: who linked may be heard before who ran the barrier. */
static void links_may_come_before_the_barrier_is_told(void **state) {
    struct cut cut = cut_in(CUT_BARRIER);
    for (uint32_t i = 0; i < SHARDS; i++)
        assert_int_equal(cut_linked(&cut, 1, 1, i, ""), CUT_STAY);
    assert_int_equal(cut_barrier_ended(&cut, 1, 1, ""), CUT_PUBLISH);
}

static void every_failure_removes_and_tells(void **state) {
    struct cut cut = cut_in(CUT_MAKING);
    assert_int_equal(cut_process_ended(&cut, "no room"), CUT_REMOVE);
    assert_string_equal(cut.error, "no room");
    assert_int_equal(cut_process_ended(&cut, "not even that"), CUT_FINISH);
    assert_string_equal(cut.error, "no room");
    cut = cut_in(CUT_PREPARING);
    assert_int_equal(cut_prepared(&cut, 1, 1, 2, "no log"), CUT_REMOVE);
    assert_string_equal(cut.error, "shard 2: no log");
    cut = cut_in(CUT_BARRIER);
    assert_int_equal(cut_linked(&cut, 1, 1, 0, "disk full"), CUT_REMOVE);
    cut = cut_in(CUT_LINKING);
    assert_int_equal(cut_linked(&cut, 1, 1, 0, "disk full"), CUT_REMOVE);
    assert_string_equal(cut.error, "shard 0: disk full");
    cut = cut_in(CUT_PUBLISHING);
    assert_int_equal(cut_process_ended(&cut, "disk full"), CUT_REMOVE);
}

static void a_barrier_is_tried_again_but_not_for_ever(void **state) {
    struct cut cut = cut_in(CUT_BARRIER);
    for (uint64_t try = 1; try < CUT_TRIES_MAX; try++) {
        assert_int_equal(cut_linked(&cut, 1, try, 0, ""), CUT_STAY);
        assert_int_equal(cut_barrier_ended(&cut, 1, try, "busy"), CUT_PREPARE_SOON);
        /* Words about the last try count no more, nor do its links. */
        assert_int_equal(cut_linked(&cut, 1, try, 1, "late"), CUT_STAY);
        assert_int_equal(cut_prepared(&cut, 1, try, 1, ""), CUT_STAY);
        assert_true(cut.unlinked[0]);
        for (uint32_t i = 0; i < SHARDS; i++)
            assert_int_equal(cut_prepared(&cut, 1, try + 1, i, ""),
                             i < SHARDS - 1 ? CUT_STAY : CUT_LOCK);
    }
    assert_int_equal(cut_barrier_ended(&cut, 1, CUT_TRIES_MAX, "busy"), CUT_REMOVE);
    assert_string_equal(cut.error, "busy (tried 20 times)");
}

static void a_lost_shard_matters_until_all_have_linked(void **state) {
    static const enum cut_phase before_all_have[] = {CUT_PREPARING, CUT_BARRIER, CUT_LINKING};
    static const enum cut_phase after[] = {CUT_PUBLISHING, CUT_REMOVING};
    struct cut cut = {0};
    assert_int_equal(cut_shard_lost(&cut, 0), CUT_STAY);
    for (size_t i = 0; i < 3; i++) {
        cut = cut_in(before_all_have[i]);
        assert_int_equal(cut_shard_lost(&cut, SHARDS), CUT_STAY); /* the front */
        assert_int_equal(cut_shard_lost(&cut, 1), CUT_REMOVE);
        assert_string_equal(cut.error, "shard 1 went down while the snapshot was taken");
    }
    for (size_t i = 0; i < 2; i++) {
        cut = cut_in(after[i]);
        assert_int_equal(cut_shard_lost(&cut, 1), CUT_STAY);
    }
}

/* Whoever takes its place knows of no cut; but the process of MAKING ends first. */
static void a_shard_lost_while_the_folder_is_made(void **state) {
    static const char *const ends[] = {"", "no room"};
    for (size_t i = 0; i < 2; i++) {
        struct cut cut = cut_in(CUT_MAKING);
        assert_int_equal(cut_shard_lost(&cut, 1), CUT_STAY);
        assert_int_equal(cut_shard_lost(&cut, 2), CUT_STAY);
        assert_int_equal(cut.phase, CUT_MAKING);
        assert_int_equal(cut_process_ended(&cut, ends[i]), CUT_REMOVE);
        assert_string_equal(cut.error,
                            i ? "no room" : "shard 1 went down while the snapshot was taken");
        assert_int_equal(cut_process_ended(&cut, ""), CUT_FINISH);
        assert_int_equal(cut_begin(&cut, SHARDS), CUT_MAKE);
        assert_int_equal(cut_process_ended(&cut, ""), CUT_PREPARE);
    }
}

static void no_phase_lasts_for_ever(void **state) {
    for (enum cut_phase phase = CUT_MAKING; phase < CUT_REMOVING; phase++) {
        struct cut cut = cut_in(phase);
        assert_true(cut_phase_limit_s(phase) > 0);
        assert_int_equal(cut_timed_out(&cut), CUT_REMOVE);
        assert_non_null(strstr(cut.error, cut_phase_words(phase)));
        assert_int_equal(cut_timed_out(&cut), CUT_FINISH);
    }
    struct cut idle = {0};
    assert_int_equal(cut_timed_out(&idle), CUT_STAY);
}

/* Any events in any order: it never hangs between phases, and a good end had every word it needs. */
static void nonsense_does_no_harm(void **state) {
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    struct cut cut = {0};
    unsigned good = 0;
    for (int i = 0; i < 200000; i++) {
        uint64_t id = cut.id - (rand() % 4 == 0), try = cut.tries - (rand() % 4 == 0);
        uint32_t shard = (uint32_t)rand() % (SHARDS + 2);
        const char *error = rand() % 50 ? "" : "bad";
        enum cut_phase before = cut.phase;
        enum cut_step step = CUT_STAY;
        switch (rand() % 6) {
        case 0: step = cut_process_ended(&cut, error); break;
        case 1: step = cut_prepared(&cut, id, try, shard, error); break;
        case 2: step = cut_barrier_ended(&cut, id, try, error); break;
        case 3: step = cut_linked(&cut, id, try, shard, error); break;
        case 4: step = rand() % 50 ? CUT_STAY : cut_shard_lost(&cut, shard); break;
        case 5:
            if (cut.phase == CUT_IDLE)
                step = cut_begin(&cut, SHARDS);
        }
        if (step == CUT_STAY && cut.phase != before)
            assert_true(before == CUT_BARRIER && cut.phase == CUT_LINKING);
        if (step == CUT_FINISH && cut.error[0] == 0) {
            good++;
            for (uint32_t s = 0; s < SHARDS; s++)
                assert_false(cut.unprepared[s] || cut.unlinked[s]);
        }
    }
    assert_true(good > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_good_way),
        cmocka_unit_test(links_may_come_before_the_barrier_is_told),
        cmocka_unit_test(every_failure_removes_and_tells),
        cmocka_unit_test(a_barrier_is_tried_again_but_not_for_ever),
        cmocka_unit_test(a_lost_shard_matters_until_all_have_linked),
        cmocka_unit_test(a_shard_lost_while_the_folder_is_made),
        cmocka_unit_test(no_phase_lasts_for_ever),
        cmocka_unit_test(nonsense_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
