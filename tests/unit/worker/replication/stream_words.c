/* stream_words.c - see stream_words.h. */
#include "tests/unit/worker/replication/stream_words.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "worker/resp/parse.h"

static void read_all(struct backlog *stream, struct buf *out) {
    struct backlog_cursor cursor = {0};
    backlog_cursor_open(&cursor, stream, backlog_begin(stream));
    for (struct bytes piece; (piece = backlog_cursor_peek(&cursor)).len > 0;) {
        buf_append_bytes(out, piece);
        backlog_cursor_advance(&cursor, piece.len);
    }
    backlog_cursor_close(&cursor);
}

const char *stream_words(struct backlog *stream, struct buf *text) {
    struct resp_parser parser;
    struct buf all = {0};
    size_t used;
    read_all(stream, &all);
    resp_parser_init(&parser);
    parser.bulk_max = 1024 * 1024;
    buf_clear(text);
    for (size_t at = 0; at < all.len; at += used) {
        assert_int_equal(resp_parse(&parser, all.data + at, all.len - at, &used), RESP_COMMAND);
        if (bytes_equal(parser.argv[0], BYTES_LITERAL("SELECT")))
            continue;
        if (text->len > 0)
            buf_append_text(text, "|");
        for (uint32_t i = 0; i < parser.argc; i++) {
            if (i > 0)
                buf_append_text(text, " ");
            buf_append_bytes(text, parser.argv[i]);
        }
    }
    resp_parser_free(&parser);
    buf_free(&all);
    buf_append(text, "", 1);
    return text->data;
}
