/* test_backlog.c - the stream's bytes, its cursors and what is kept, against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/replication/backlog.h"

enum { BYTES = 400000, PIECE_MAX = 3000 };

static char expected_at(uint64_t offset) {
    return (char)(offset * 31 + offset / 256);
}

static void append(struct backlog *s, size_t len) {
    char piece[PIECE_MAX];
    for (size_t i = 0; i < len; i++)
        piece[i] = expected_at(s->end + i);
    backlog_append(s, bytes_of(piece, len));
}

static void read_all(struct backlog_cursor *c) {
    struct bytes piece;
    while ((piece = backlog_cursor_peek(c)).len > 0) {
        for (size_t i = 0; i < piece.len; i++)
            assert_int_equal(piece.ptr[i], expected_at(c->offset + i));
        backlog_cursor_advance(c, piece.len > 7 ? piece.len - 3 : piece.len);
    }
}

static void test_nothing_is_counted_without_a_backlog(void **state) {
    struct backlog s;
    backlog_init(&s);
    assert_int_equal(strlen(s.id), REPLICATION_ID_BYTES - 1);
    append(&s, 100);
    assert_int_equal(s.end, 0);
    assert_false(backlog_continues(&s, bytes_of_text(s.id), 0));
    backlog_free(&s);
}

/* A cursor keeps what it has not read; the rest goes when it is older than the backlog. */
static void test_cursors_and_trim(void **state) {
    enum { KEEP = 100000 };
    struct backlog s;
    struct backlog_cursor slow = {0}, fast = {0};
    backlog_init(&s);
    backlog_keep(&s);
    backlog_cursor_open(&slow, &s, 0);
    backlog_cursor_open(&fast, &s, 0);
    for (unsigned i = 0; s.end < BYTES; i++) {
        append(&s, 1 + i * 37 % PIECE_MAX);
        read_all(&fast);
        backlog_trim(&s, KEEP);
        assert_int_equal(backlog_begin(&s), 0);
    }
    assert_int_equal(fast.offset, s.end);
    read_all(&slow);
    assert_int_equal(slow.offset, s.end);
    backlog_trim(&s, KEEP);
    assert_in_range(s.end - backlog_begin(&s), KEEP, KEEP + 65536);
    backlog_cursor_close(&slow);
    backlog_cursor_open(&slow, &s, backlog_begin(&s));
    read_all(&slow);
    backlog_cursor_close(&slow);
    backlog_cursor_close(&slow);
    backlog_cursor_close(&fast);
    backlog_free(&s);
}

static void test_who_may_continue(void **state) {
    static const char theirs[] = "0123456789abcdef0123456789abcdef01234567";
    struct backlog s;
    backlog_init(&s);
    backlog_become(&s, theirs, 1000);
    backlog_keep(&s);
    append(&s, 500);
    struct bytes id = bytes_of_text(theirs);
    assert_true(backlog_continues(&s, id, 1000));
    assert_true(backlog_continues(&s, id, 1500));
    assert_false(backlog_continues(&s, id, 999));
    assert_false(backlog_continues(&s, id, 1501));
    assert_false(backlog_continues(&s, bytes_of(theirs, 39), 1200));
    backlog_branch_off(&s);
    append(&s, 100);
    assert_string_not_equal(s.id, theirs);
    assert_true(backlog_continues(&s, id, 1500));
    assert_false(backlog_continues(&s, id, 1501)); /* ours, not theirs */
    assert_true(backlog_continues(&s, bytes_of_text(s.id), 1600));
    assert_false(backlog_continues(&s, (struct bytes){0}, 1500));
    backlog_forget(&s);
    assert_int_equal(backlog_begin(&s), 1600);
    assert_false(backlog_continues(&s, bytes_of_text(s.id), 1600));
    /* What changes now is not counted: no one who was here before may take it for the same. */
    assert_string_equal(s.previous_id, "");
    backlog_become(&s, theirs, 1600);
    backlog_keep(&s);
    backlog_forget(&s);
    backlog_keep(&s);
    assert_false(backlog_continues(&s, id, 1600));
    backlog_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_counted_without_a_backlog),
        cmocka_unit_test(test_cursors_and_trim),
        cmocka_unit_test(test_who_may_continue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
