/* merge.c - one reply out of those of several shards, by the span of the command's row.
 *
 * The parts' replies come from our own handlers, but over shared memory: they are parsed as anything
 * else from outside, and a reply that cannot be is answered with an error. */
#include "worker/command/slowlog.h"
#include "worker/route/router_private.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <stdlib.h>

enum { INTEGERS_MAX = 4 };

typedef void merge_function(struct router *r, struct call *call, struct buf *out);

static struct bytes part_reply(const struct call *call, uint32_t i) {
    return buf_bytes(&call->parts[i].reply);
}

static bool is_error(struct bytes reply) {
    return reply.len > 0 && reply.ptr[0] == '-';
}

static void malformed(struct buf *out) {
    buf_append_text(out, "-ERR a shard's reply could not be merged\r\n");
}

static bool first_error(const struct call *call, struct buf *out) {
    for (uint32_t i = 0; i < call->parts_count; i++) {
        if (is_error(part_reply(call, i))) {
            buf_append_bytes(out, part_reply(call, i));
            return true;
        }
    }
    return false;
}

static bool part_integer(const struct call *call, uint32_t i, int64_t *value_r) {
    struct bytes reply = part_reply(call, i);
    char type;
    return resp_header(reply.ptr, reply.len, &type, value_r) > 0 && type == ':';
}

/* ---- one function a span ---- */

static void merge_one(struct router *r, struct call *call, struct buf *out) {
    buf_append_bytes(out, part_reply(call, 0));
}

static void merge_first(struct router *r, struct call *call, struct buf *out) {
    if (!first_error(call, out))
        buf_append_bytes(out, part_reply(call, 0));
}

/* Integers add up. If there is a reply that is none and no error, it is the answer (one shard did what
 * was asked of all: CLIENT KILL address); else the first error. */
static void merge_sum(struct router *r, struct call *call, struct buf *out) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < call->parts_count; i++) {
        int64_t value;
        if (part_integer(call, i, &value)) {
            sum = (int64_t)((uint64_t)sum + (uint64_t)value);
        } else if (!is_error(part_reply(call, i))) {
            buf_append_bytes(out, part_reply(call, i));
            return;
        }
    }
    if (first_error(call, out))
        return;
    struct reply reply = {.out = out, .version = call->resp};
    reply_integer(&reply, sum);
}

/* An integer, or an array of them, out of a reply. The count, 0: it is neither. */
static uint32_t part_integers(const struct call *call, uint32_t i, int64_t values[INTEGERS_MAX],
                              bool *array_r) {
    struct bytes reply = part_reply(call, i);
    char type;
    int64_t count = 1;
    size_t at = resp_header(reply.ptr, reply.len, &type, &count);
    *array_r = at > 0 && type == '*';
    if (!*array_r)
        return part_integer(call, i, &values[0]) ? 1 : 0;
    for (int64_t k = 0; k < count; k++) {
        size_t used = count > INTEGERS_MAX
                          ? 0
                          : resp_header(reply.ptr + at, reply.len - at, &type, &values[k]);
        if (used == 0 || type != ':')
            return 0;
        at += used;
    }
    return (uint32_t)count;
}

/* The largest or smallest of each place. */
static void merge_extreme(struct call *call, struct buf *out, bool largest) {
    int64_t best[INTEGERS_MAX], values[INTEGERS_MAX];
    uint32_t count = 0;
    bool array = false;
    if (first_error(call, out))
        return;
    for (uint32_t i = 0; i < call->parts_count; i++) {
        uint32_t found = part_integers(call, i, values, &array);
        if (found == 0 || (i > 0 && found != count)) {
            malformed(out);
            return;
        }
        count = found;
        for (uint32_t k = 0; k < count; k++)
            if (i == 0 || (largest ? values[k] > best[k] : values[k] < best[k]))
                best[k] = values[k];
    }
    struct reply reply = {.out = out, .version = call->resp};
    if (array)
        reply_array(&reply, count);
    for (uint32_t k = 0; k < count; k++)
        reply_integer(&reply, best[k]);
}

static void merge_max(struct router *r, struct call *call, struct buf *out) {
    merge_extreme(call, out, true);
}

static void merge_min(struct router *r, struct call *call, struct buf *out) {
    merge_extreme(call, out, false);
}

/* What follows the header of each part's array, all the headers' counts added up; *type_r: array or set.
 * false: an error was written. */
static bool open_arrays(const struct call *call, struct buf *out, struct bytes rest[SHARD_MAX],
                        char *type_r, uint64_t *total_r) {
    if (first_error(call, out))
        return false;
    *total_r = 0;
    for (uint32_t i = 0; i < call->parts_count; i++) {
        struct bytes reply = part_reply(call, i);
        int64_t count;
        size_t header = resp_header(reply.ptr, reply.len, type_r, &count);
        if (header == 0 || (*type_r != '*' && *type_r != '~') || count < 0 ||
            (uint64_t)count > reply.len) {
            malformed(out);
            return false;
        }
        rest[i] = bytes_of(reply.ptr + header, reply.len - header);
        *total_r += (uint64_t)count;
    }
    return true;
}

/* Move one whole element from the front of `from` to out; false: there is none. */
static bool move_element(struct buf *out, struct bytes *from) {
    size_t len = resp_value_length(from->ptr, from->len);
    buf_append(out, from->ptr, len);
    from->ptr += len;
    from->len -= len;
    return len > 0;
}

static void merge_concat(struct router *r, struct call *call, struct buf *out) {
    struct bytes rest[SHARD_MAX];
    uint64_t total;
    char type = 0;
    if (!open_arrays(call, out, rest, &type, &total))
        return;
    struct reply reply = {.out = out, .version = call->resp};
    if (type == '~')
        reply_set(&reply, total);
    else
        reply_array(&reply, total);
    for (uint32_t i = 0; i < call->parts_count; i++)
        buf_append_bytes(out, rest[i]);
}

/* The text of a bulk or verbatim string. */
static bool text_of(struct bytes reply, struct bytes *text_r, bool *verbatim_r) {
    char type;
    int64_t len;
    size_t header = resp_header(reply.ptr, reply.len, &type, &len);
    if (header == 0 || (type != '$' && type != '=') || len < 0 ||
        (uint64_t)len > reply.len - header)
        return false;
    *text_r = bytes_of(reply.ptr + header, (size_t)len);
    *verbatim_r = type == '=';
    if (*verbatim_r) { /* "txt:" */
        if (len < 4)
            return false;
        text_r->ptr += 4;
        text_r->len -= 4;
    }
    return true;
}

static void merge_text(struct router *r, struct call *call, struct buf *out) {
    if (first_error(call, out))
        return;
    struct buf joined = {0};
    bool verbatim = false;
    for (uint32_t i = 0; i < call->parts_count; i++) {
        struct bytes text;
        if (!text_of(part_reply(call, i), &text, &verbatim)) {
            buf_free(&joined);
            malformed(out);
            return;
        }
        buf_append_bytes(&joined, text);
    }
    struct reply reply = {.out = out, .version = call->resp};
    if (verbatim)
        reply_verbatim(&reply, "txt", buf_bytes(&joined));
    else
        reply_bulk(&reply, buf_bytes(&joined));
    buf_free(&joined);
}

/* Of arrays that begin with an id, the one with the highest; NULL if there is none. */
static struct bytes *newest_of(struct bytes *rest, uint32_t count) {
    int64_t best_id = -1;
    struct bytes *best = NULL;
    for (uint32_t i = 0; i < count; i++) {
        int64_t fields, id;
        char type;
        size_t header = resp_header(rest[i].ptr, rest[i].len, &type, &fields);
        if (header > 0 && resp_header(rest[i].ptr + header, rest[i].len - header, &type, &id) > 0 &&
            id > best_id) {
            best_id = id;
            best = &rest[i];
        }
    }
    return best;
}

/* SLOWLOG GET: each shard's entries have the newest first, and begin with their id. */
static void merge_newest(struct router *r, struct call *call, struct buf *out) {
    struct bytes rest[SHARD_MAX];
    uint64_t wanted, total;
    char type = 0;
    if (!open_arrays(call, out, rest, &type, &total))
        return;
    const struct bytes *argv = frame_arguments(r, call->argc, buf_bytes(&call->args));
    if (slowlog_count(argv, call->argc, &wanted) && total > wanted)
        total = wanted;
    size_t start = out->len;
    struct reply reply = {.out = out, .version = call->resp};
    reply_array(&reply, total);
    for (uint64_t n = 0; n < total; n++) {
        struct bytes *newest = newest_of(rest, call->parts_count);
        if (newest && move_element(out, newest))
            continue;
        out->len = start;
        malformed(out);
        return;
    }
}

/* MGET: element i is the next one of its owner's array. */
static void merge_mget(struct router *r, struct call *call, struct buf *out) {
    struct bytes rest[SHARD_MAX];
    uint64_t total;
    char type = 0;
    if (!open_arrays(call, out, rest, &type, &total))
        return;
    if (total != call->argc) {
        malformed(out);
        return;
    }
    size_t start = out->len;
    struct reply reply = {.out = out, .version = call->resp};
    reply_array(&reply, total);
    for (uint64_t i = 0; i < total; i++) {
        if (move_element(out, &rest[call->owners[i]]))
            continue;
        out->len = start;
        malformed(out);
        return;
    }
}

/* The elements of a part of a SPAN_STREAMS: pairs of a key and what was found there; none if nothing
 * was. false: it is no such reply. */
static bool stream_pairs(struct bytes reply, uint8_t resp, struct bytes *pairs_r,
                         int64_t *count_r) {
    char type;
    size_t header = resp_header(reply.ptr, reply.len, &type, count_r);
    bool none = header > 0 ? *count_r < 0 : reply.len > 0 && reply.ptr[0] == '_';
    if (none) {
        *count_r = 0;
        *pairs_r = (struct bytes){0};
        return true;
    }
    *pairs_r = bytes_of(reply.ptr + header, reply.len - header);
    return header > 0 && type == (resp == 3 ? '%' : '*') && (uint64_t)*count_r <= reply.len;
}

/* The next pair if it is that of this key, taken off the rest. RESP2 has an array around each. */
static bool take_pair(struct bytes *rest, uint8_t resp, struct bytes key, struct bytes *pair_r) {
    char type;
    int64_t len;
    size_t around =
        resp == 3 || rest->len == 0 ? 0 : resp_header(rest->ptr, rest->len, &type, &len);
    size_t head =
        rest->len == around ? 0 : resp_header(rest->ptr + around, rest->len - around, &type, &len);
    size_t at = around + head;
    if (head == 0 || type != '$' || len != (int64_t)key.len || rest->len - at < key.len + 2 ||
        memcmp(rest->ptr + at, key.ptr, key.len) != 0)
        return false;
    at += key.len + 2;
    size_t found = resp_value_length(rest->ptr + at, rest->len - at);
    *pair_r = bytes_of(rest->ptr, at + found);
    rest->ptr += at + found;
    rest->len -= at + found;
    return found > 0;
}

/* XREAD: pairs of key and entries, in the order of the keys; a key without entries has none. */
static void merge_streams(struct router *r, struct call *call, struct buf *out) {
    if (first_error(call, out))
        return;
    struct bytes rest[SHARD_MAX], pair;
    int64_t total = 0;
    for (uint32_t i = 0; i < call->parts_count; i++) {
        int64_t count;
        if (!stream_pairs(part_reply(call, i), call->resp, &rest[i], &count)) {
            malformed(out);
            return;
        }
        total += count;
    }
    struct reply reply = {.out = out, .version = call->resp};
    if (total == 0) {
        reply_null_array(&reply);
        return;
    }
    size_t start = out->len;
    if (call->resp == 3)
        reply_map(&reply, (size_t)total);
    else
        reply_array(&reply, (size_t)total);
    const struct bytes *keys = frame_arguments(r, call->argc, buf_bytes(&call->args));
    for (uint32_t i = 0; i < call->argc; i++) {
        if (!take_pair(&rest[call->owners[i]], call->resp, keys[i], &pair))
            continue;
        buf_append_bytes(out, pair);
        total--;
    }
    if (total != 0) {
        out->len = start;
        malformed(out);
    }
}

/* RANDOMKEY: each shard offered a key or none; draw by how many keys each has. */
static void merge_random(struct router *r, struct call *call, struct buf *out) {
    if (first_error(call, out))
        return;
    uint64_t seen = 0;
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < call->parts_count; i++) {
        struct bytes reply = part_reply(call, i);
        if (reply.len < 2 || reply.ptr[0] != '$' || reply.ptr[1] == '-')
            continue;
        uint64_t keys = status_get(segment_status(r->env->segment, i), METRIC_keys);
        keys = keys ? keys : 1;
        seen += keys;
        if ((uint64_t)random() % seen < keys)
            chosen = i;
    }
    buf_append_bytes(out, part_reply(call, chosen));
}

static void merge_scan(struct router *r, struct call *call, struct buf *out) {
    scan_cursor_rewrite(r, part_reply(call, 0), call->parts[0].peer, out);
}

/* All status pages are fresh: now the handler, here. */
static void merge_refresh(struct router *r, struct call *call, struct buf *out) {
    if (!call->session)
        return;
    r->env->refresh_status(r->env->upper);
    const struct bytes *argv = frame_arguments(r, call->argc, buf_bytes(&call->args));
    struct command_ctx ctx = router_context(r, call->session, call->cmd, argv, call->argc, out);
    execute(&ctx);
}

static merge_function *const merge_by_span[] = {
    [SPAN_KEYED] = merge_one,       [SPAN_SUM] = merge_sum,
    [SPAN_MGET] = merge_mget,       [SPAN_MSET] = merge_first,
    [SPAN_STREAMS] = merge_streams, [SPAN_LOCAL] = merge_one,
    [SPAN_ALL_SUM] = merge_sum,     [SPAN_ALL_OK] = merge_first,
    [SPAN_ALL_FIRST] = merge_first, [SPAN_ALL_MAX] = merge_max,
    [SPAN_ALL_MIN] = merge_min,     [SPAN_ALL_CONCAT] = merge_concat,
    [SPAN_ALL_TEXT] = merge_text,   [SPAN_ALL_NEWEST] = merge_newest,
    [SPAN_REFRESH] = merge_refresh, [SPAN_SCAN] = merge_scan,
    [SPAN_RANDOM] = merge_random,
};

void merge_parts(struct router *r, struct call *call) {
    struct buf out = {0};
    bool whole = call->parts_count == 1 && call->cmd->span < SPAN_LOCAL;
    (whole ? merge_one : merge_by_span[call->cmd->span])(r, call, &out);
    call_finish(r, call, buf_bytes(&out));
    buf_free(&out);
}

/* ---- SCAN's cursor ---- */

bool scan_cursor_split(struct bytes text, uint64_t *local_r, uint32_t *shard_r) {
    uint64_t cursor;
    if (!bytes_to_u64(text, &cursor))
        return false;
    *local_r = cursor >> SCAN_SHARD_BITS;
    *shard_r = cursor & ((1u << SCAN_SHARD_BITS) - 1);
    return true;
}

/* The reply is *2, the shard's next cursor as a bulk string, the elements. A shard at its end hands
 * over to the next one. */
void scan_cursor_rewrite(struct router *r, struct bytes reply, uint32_t shard, struct buf *out) {
    char type;
    int64_t count, len;
    if (is_error(reply)) {
        buf_append_bytes(out, reply);
        return;
    }
    size_t at = resp_header(reply.ptr, reply.len, &type, &count);
    size_t header = at ? resp_header(reply.ptr + at, reply.len - at, &type, &len) : 0;
    uint64_t next;
    if (header == 0 || count != 2 || type != '$' || len < 1 ||
        (uint64_t)len + 2 > reply.len - at - header ||
        !bytes_to_u64(bytes_of(reply.ptr + at + header, (size_t)len), &next)) {
        malformed(out);
        return;
    }
    if (next != 0)
        next = next << SCAN_SHARD_BITS | shard;
    else if (shard + 1 < r->shards)
        next = shard + 1;
    struct reply writer = {.out = out, .version = 2};
    char digits[BYTES_I64_MAX];
    reply_array(&writer, 2);
    reply_bulk(&writer, bytes_of(digits, bytes_from_i64(digits, (int64_t)next)));
    size_t rest = at + header + (size_t)len + 2;
    buf_append(out, reply.ptr + rest, reply.len - rest);
}
