/* test_replication_page.c - a reader gets a table of one moment, with ended texts, whatever lies there. */
#include "shared/base/mem.h"
#include "shared/ipc/replication_page.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state) {
    *state = mem_calloc(1, sizeof(struct replication_page));
    return 0;
}

static int tear_down(void **state) {
    mem_free(*state);
    return 0;
}

static void what_is_written_is_read(void **state) {
    static struct replication_table in, out;
    in = (struct replication_table){.replicas = 1, .primaries = LINKS_SHOWN + 5};
    snprintf(in.replica[0].address, LINK_ADDRESS_BYTES, "10.0.0.7");
    in.replica[0].behind_bytes = 77;
    snprintf(in.primary[LINKS_SHOWN - 1].trouble, LINK_TROUBLE_BYTES, "no route");
    replication_page_write(*state, &in);
    assert_true(replication_page_read(*state, &out));
    assert_int_equal(out.replicas, 1);
    assert_int_equal(out.primaries, LINKS_SHOWN + 5);
    assert_string_equal(out.replica[0].address, "10.0.0.7");
    assert_int_equal(out.replica[0].behind_bytes, 77);
    assert_string_equal(out.primary[LINKS_SHOWN - 1].trouble, "no route");
    replication_page_reset(*state);
    assert_true(replication_page_read(*state, &out));
    assert_int_equal(out.replicas + out.primaries, 0);
}

static void texts_always_end(void **state) {
    static struct replication_table in, out;
    memset(&in, 'x', sizeof in);
    replication_page_write(*state, &in);
    assert_true(replication_page_read(*state, &out));
    assert_int_equal(links_shown(out.replicas), LINKS_SHOWN);
    for (uint32_t i = 0; i < LINKS_SHOWN; i++) {
        assert_int_equal(strlen(out.replica[i].address), LINK_ADDRESS_BYTES - 1);
        assert_int_equal(strlen(out.replica[i].state), LINK_STATE_BYTES - 1);
        assert_int_equal(strlen(out.primary[i].address), LINK_ADDRESS_BYTES - 1);
        assert_int_equal(strlen(out.primary[i].state), LINK_STATE_BYTES - 1);
        assert_int_equal(strlen(out.primary[i].trouble), LINK_TROUBLE_BYTES - 1);
    }
}

static void a_dead_writers_table_is_not_shown(void **state) {
    static struct replication_table table = {.replicas = 3}, out;
    struct replication_page *page = *state;
    replication_page_write(page, &table);
    atomic_fetch_add(&page->sequence, 1);
    assert_false(replication_page_read(page, &out));
    assert_int_equal(out.replicas, 0);
    table.replicas = 4; /* the next process writes over it */
    replication_page_write(page, &table);
    assert_true(replication_page_read(page, &out));
    assert_int_equal(out.replicas, 4);
}

enum { ROUNDS = 20000 };

/* Every field of a table says the same number. */
static void *write_rounds(void *arg) {
    static struct replication_table table = {.replicas = LINKS_SHOWN};
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        for (uint32_t i = 0; i < LINKS_SHOWN; i++)
            table.replica[i].offset = n;
        replication_page_write(arg, &table);
    }
    return NULL;
}

static void no_table_is_torn(void **state) {
    static struct replication_table out;
    pthread_t writer;
    uint64_t last = 0;
    assert_int_equal(pthread_create(&writer, NULL, write_rounds, *state), 0);
    while (last < ROUNDS) {
        if (!replication_page_read(*state, &out) || out.replicas == 0)
            continue;
        assert_true(out.replica[0].offset >= last);
        last = out.replica[0].offset;
        for (uint32_t i = 1; i < LINKS_SHOWN; i++)
            assert_int_equal(out.replica[i].offset, last);
    }
    pthread_join(writer, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(texts_always_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dead_writers_table_is_not_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_table_is_torn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
