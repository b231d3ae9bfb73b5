/* read_reply.c - finding where replies of other shards begin and end, for merging them (reply.h).
 *
 * What is read came through shared memory: it may be cut or wrong, and then the answer is 0. Nested
 * values are counted, not recursed into, so depth costs nothing. */
#include "worker/resp/reply.h"

enum shape { SHAPE_NONE, SHAPE_LINE, SHAPE_BLOB, SHAPE_AGGREGATE };

/* What follows the first line of each type of RESP2 and RESP3: nothing, that many bytes and CRLF, or
 * that many times `values` values, and `more` values besides. */
static const struct {
    enum shape shape;
    uint8_t values, more;
} types[256] = {
    ['+'] = {SHAPE_LINE, 0, 0},      ['-'] = {SHAPE_LINE, 0, 0},
    [':'] = {SHAPE_LINE, 0, 0},      ['_'] = {SHAPE_LINE, 0, 0},
    [','] = {SHAPE_LINE, 0, 0},      ['#'] = {SHAPE_LINE, 0, 0},
    ['('] = {SHAPE_LINE, 0, 0},      ['$'] = {SHAPE_BLOB, 0, 0},
    ['!'] = {SHAPE_BLOB, 0, 0},      ['='] = {SHAPE_BLOB, 0, 0},
    ['*'] = {SHAPE_AGGREGATE, 1, 0}, ['~'] = {SHAPE_AGGREGATE, 1, 0},
    ['>'] = {SHAPE_AGGREGATE, 1, 0}, ['%'] = {SHAPE_AGGREGATE, 2, 0},
    ['|'] = {SHAPE_AGGREGATE, 2, 1},
};

/* The text of the first line without type and CRLF. Returns the bytes of the whole line, or 0. */
static size_t first_line(const char *data, size_t len, struct bytes *text_r) {
    if (len < 3)
        return 0;
    const char *cr = memchr(data + 1, '\r', len - 1);
    if (cr == NULL || (size_t)(cr - data) + 2 > len || cr[1] != '\n')
        return 0;
    *text_r = bytes_of(data + 1, (size_t)(cr - data) - 1);
    return (size_t)(cr - data) + 2;
}

size_t resp_header(const char *data, size_t len, char *type_r, int64_t *number_r) {
    struct bytes text;
    size_t line = first_line(data, len, &text);
    if (line == 0 || !bytes_to_i64(text, number_r))
        return 0;
    *type_r = data[0];
    return line;
}

/* The bytes of a value without the values in it, whose number is added to *pending. 0: not whole. */
static size_t flat_length(const char *data, size_t len, uint64_t *pending) {
    if (len == 0)
        return 0;
    enum shape shape = types[(unsigned char)data[0]].shape;
    struct bytes text;
    size_t line = first_line(data, len, &text);
    if (line == 0 || shape == SHAPE_NONE)
        return 0;
    if (shape == SHAPE_LINE)
        return line;
    int64_t number;
    if (!bytes_to_i64(text, &number) || number < -1)
        return 0;
    if (number == -1)
        return line;
    if ((uint64_t)number > len - line)
        return 0;
    if (shape == SHAPE_BLOB) {
        bool whole = len - line - (size_t)number >= 2;
        const char *end = data + line + number;
        return whole && end[0] == '\r' && end[1] == '\n' ? line + (size_t)number + 2 : 0;
    }
    unsigned char type = (unsigned char)data[0];
    *pending += (uint64_t)number * types[type].values + types[type].more;
    return line;
}

size_t resp_value_length(const char *data, size_t len) {
    const char *p = data;
    for (uint64_t pending = 1; pending > 0; pending--) {
        size_t rest = len - (size_t)(p - data);
        size_t bytes = flat_length(p, rest, &pending);
        /* No value is empty: more of them than bytes left cannot all be there. */
        if (bytes == 0 || pending - 1 > rest)
            return 0;
        p += bytes;
    }
    return (size_t)(p - data);
}
