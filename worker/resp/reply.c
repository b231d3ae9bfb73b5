/* reply.c - see reply.h. Every command ends here, so lengths and integers are written without
 * printf, and each reply makes room once. */
#include "worker/resp/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

const char reply_err_syntax[] = "ERR syntax error";
const char reply_err_wrong_type[] =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
const char reply_err_not_integer[] = "ERR value is not an integer or out of range";
const char reply_err_not_float[] = "ERR value is not a valid float";
const char reply_err_no_key[] = "ERR no such key";
const char reply_err_out_of_range[] = "ERR index out of range";
const char reply_err_loading[] = "LOADING Redis is loading the dataset in memory";
const char reply_err_oom[] = "OOM command not allowed when used memory > 'maxmemory'.";
const char reply_err_overflow[] = "ERR increment or decrement would overflow";

/* A type byte, a 64-bit number and CRLF. */
enum { LINE_BYTES_MAX = 1 + BYTES_I64_MAX + 2 };

static inline char *put_crlf(char *p) {
    memcpy(p, "\r\n", 2);
    return p + 2;
}

/* `type number CRLF` at p; returns what follows. Lengths and counts are short. */
static inline char *put_line(char *p, char type, int64_t number) {
    *p++ = type;
    if (number >= 0 && number < 10) {
        *p++ = (char)('0' + number);
    } else if (number >= 10 && number < 100) {
        *p++ = (char)('0' + number / 10);
        *p++ = (char)('0' + number % 10);
    } else {
        p += bytes_from_i64(p, number);
    }
    return put_crlf(p);
}

static inline void commit(struct reply *r, const char *end) {
    r->out->len = (size_t)(end - r->out->data);
}

static void append_line(struct reply *r, char type, int64_t number) {
    commit(r, put_line(buf_reserve(r->out, LINE_BYTES_MAX), type, number));
}

void reply_ok(struct reply *r) {
    buf_append(r->out, "+OK\r\n", 5);
}

void reply_status(struct reply *r, const char *text) {
    size_t len = strlen(text);
    char *p = buf_reserve(r->out, len + 3);
    *p = '+';
    memcpy(p + 1, text, len);
    commit(r, put_crlf(p + 1 + len));
}

void reply_integer(struct reply *r, int64_t value) {
    append_line(r, ':', value);
}

void reply_bulk(struct reply *r, struct bytes value) {
    char *p =
        put_line(buf_reserve(r->out, value.len + LINE_BYTES_MAX + 2), '$', (int64_t)value.len);
    if (value.len > 0)
        memcpy(p, value.ptr, value.len);
    commit(r, put_crlf(p + value.len));
}

void reply_bulk_text(struct reply *r, const char *text) {
    reply_bulk(r, bytes_of_text(text));
}

void reply_bulk_integer(struct reply *r, int64_t value) {
    char digits[BYTES_I64_MAX];
    reply_bulk(r, bytes_of(digits, bytes_from_i64(digits, value)));
}

void reply_null(struct reply *r) {
    if (r->version >= 3)
        buf_append(r->out, "_\r\n", 3);
    else
        buf_append(r->out, "$-1\r\n", 5);
}

void reply_null_array(struct reply *r) {
    if (r->version >= 3)
        buf_append(r->out, "_\r\n", 3);
    else
        buf_append(r->out, "*-1\r\n", 5);
}

void reply_bool(struct reply *r, bool value) {
    if (r->version >= 3)
        buf_append(r->out, value ? "#t\r\n" : "#f\r\n", 4);
    else
        append_line(r, ':', value);
}

/* `type text CRLF` */
static void append_text_line(struct reply *r, char type, struct bytes text) {
    char *p = buf_reserve(r->out, text.len + 3);
    *p = type;
    memcpy(p + 1, text.ptr, text.len);
    commit(r, put_crlf(p + 1 + text.len));
}

void reply_double(struct reply *r, double value) {
    char digits[BYTES_DOUBLE_MAX] = "nan";
    size_t len = isnan(value) ? 3 : bytes_from_double(digits, value);
    if (r->version >= 3)
        append_text_line(r, ',', bytes_of(digits, len));
    else
        reply_bulk(r, bytes_of(digits, len));
}

void reply_big_number(struct reply *r, struct bytes digits) {
    if (r->version >= 3)
        append_text_line(r, '(', digits);
    else
        reply_bulk(r, digits);
}

void reply_verbatim(struct reply *r, const char *format3, struct bytes text) {
    if (r->version < 3) {
        reply_bulk(r, text);
        return;
    }
    char *p = buf_reserve(r->out, text.len + LINE_BYTES_MAX + 4 + 2);
    p = put_line(p, '=', (int64_t)text.len + 4);
    for (int i = 0; i < 3; i++)
        *p++ = *format3 ? *format3++ : ' ';
    *p++ = ':';
    if (text.len > 0)
        memcpy(p, text.ptr, text.len);
    commit(r, put_crlf(p + text.len));
}

/* ---- aggregates ---- */

struct aggregate {
    char type;
    int64_t count;
};

static struct aggregate map_of(const struct reply *r, size_t pairs) {
    return r->version >= 3 ? (struct aggregate){'%', (int64_t)pairs}
                           : (struct aggregate){'*', (int64_t)pairs * 2};
}

static struct aggregate set_of(const struct reply *r, size_t count) {
    return (struct aggregate){r->version >= 3 ? '~' : '*', (int64_t)count};
}

void reply_array(struct reply *r, size_t count) {
    append_line(r, '*', (int64_t)count);
}

void reply_map(struct reply *r, size_t pairs) {
    struct aggregate a = map_of(r, pairs);
    append_line(r, a.type, a.count);
}

void reply_set(struct reply *r, size_t count) {
    struct aggregate a = set_of(r, count);
    append_line(r, a.type, a.count);
}

void reply_push(struct reply *r, size_t count) {
    append_line(r, r->version >= 3 ? '>' : '*', (int64_t)count);
}

void reply_attribute(struct reply *r, size_t pairs) {
    if (r->version >= 3)
        append_line(r, '|', (int64_t)pairs);
}

size_t reply_mark(const struct reply *r) {
    return r->out->len;
}

static void insert_header(struct reply *r, size_t mark, struct aggregate a) {
    char line[LINE_BYTES_MAX];
    buf_insert(r->out, mark, line, (size_t)(put_line(line, a.type, a.count) - line));
}

void reply_close_array(struct reply *r, size_t mark, size_t count) {
    insert_header(r, mark, (struct aggregate){'*', (int64_t)count});
}

void reply_close_map(struct reply *r, size_t mark, size_t pairs) {
    insert_header(r, mark, map_of(r, pairs));
}

void reply_close_set(struct reply *r, size_t mark, size_t count) {
    insert_header(r, mark, set_of(r, count));
}

/* ---- errors ---- */

/* The error text from `start` on is in the buffer: end it, as one line. */
static void finish_error(struct reply *r, size_t start) {
    for (size_t i = start; i < r->out->len; i++)
        if (r->out->data[i] == '\r' || r->out->data[i] == '\n')
            r->out->data[i] = ' ';
    buf_append(r->out, "\r\n", 2);
    r->errors++;
}

void reply_error(struct reply *r, const char *text) {
    buf_append(r->out, "-", 1);
    size_t start = r->out->len;
    buf_append_text(r->out, text);
    finish_error(r, start);
}

/* Line ends at the end of a formatted text are dropped, as Redis does. */
void reply_error_format(struct reply *r, const char *format, ...) {
    buf_append(r->out, "-", 1);
    size_t start = r->out->len;
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len >= (int)sizeof text) {
        va_start(args, format);
        vsnprintf(buf_reserve(r->out, (size_t)len + 1), (size_t)len + 1, format, args);
        va_end(args);
        r->out->len += (size_t)len;
    } else {
        buf_append(r->out, text, len > 0 ? (size_t)len : 0);
    }
    while (r->out->len > start &&
           (r->out->data[r->out->len - 1] == '\n' || r->out->data[r->out->len - 1] == '\r'))
        r->out->len--;
    finish_error(r, start);
}

void reply_raw(struct reply *r, struct bytes resp) {
    buf_append_bytes(r->out, resp);
}
