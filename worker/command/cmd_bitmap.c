/* cmd_bitmap.c - single bits and runs of bits of string keys. BITFIELD is in cmd_bitfield.c. */
#include "worker/command/bit_offset.h"
#include "worker/command/bits.h"
#include "worker/command/handler.h"

/* ---- SETBIT, GETBIT ---- */

bool bit_offset_parse(struct command_ctx *ctx, uint32_t index, uint32_t width, uint64_t *offset_r) {
    struct bytes text = ctx->argv[index];
    bool counted = width > 0 && text.len > 0 && text.ptr[0] == '#';
    int64_t offset;
    if (counted)
        text = bytes_of(text.ptr + 1, text.len - 1);
    bool ok = bytes_to_i64(text, &offset) && offset >= 0 &&
              (!counted || !__builtin_mul_overflow(offset, (int64_t)width, &offset));
    ok = ok && (uint64_t)offset / BITS_PER_BYTE < handler_length_max(ctx);
    if (ok)
        *offset_r = (uint64_t)offset;
    else
        reply_error(&ctx->reply, "ERR bit offset is not an integer or out of range");
    return ok;
}

void cmd_setbit(struct command_ctx *ctx) {
    static const char not_a_bit[] = "ERR bit is not an integer or out of range";
    char digits[BYTES_I64_MAX];
    uint64_t offset;
    int64_t bit;
    struct keyref ref;
    if (!bit_offset_parse(ctx, 2, 0, &offset) || !handler_i64_or(ctx, 3, not_a_bit, &bit))
        return;
    if (bit != 0 && bit != 1) {
        reply_error(&ctx->reply, not_a_bit);
        return;
    }
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_STRING, &ref))
        return;
    bool found = keyref_found(&ref);
    size_t len = found ? handler_string(&ref, digits).len : 0;
    size_t new_len = offset / BITS_PER_BYTE < len ? len : offset / BITS_PER_BYTE + 1;
    char *text = keyspace_string_resize(&ref, new_len);
    bool old = bits_get(bytes_of(text, new_len), offset);
    if (!found || new_len != len || old != bit) {
        bits_write(text, offset, 1, (uint64_t)bit);
        keyspace_touch_changed(&ref);
        ctx->dirty++;
    }
    reply_integer(&ctx->reply, old);
}

void cmd_getbit(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    uint64_t offset;
    struct keyref ref;
    if (!bit_offset_parse(ctx, 2, 0, &offset) ||
        !handler_find(ctx, 1, KEY_READ, VALUE_STRING, &ref))
        return;
    reply_integer(&ctx->reply,
                  keyref_found(&ref) && bits_get(handler_string(&ref, digits), offset));
}

/* ---- BITCOUNT, BITPOS ---- */

struct bit_range {
    int64_t start, end;
    bool by_bit, end_given;
};

static bool unit_parse(struct command_ctx *ctx, uint32_t index, struct bit_range *range) {
    range->by_bit = handler_arg_is(ctx, index, "BIT");
    if (range->by_bit || handler_arg_is(ctx, index, "BYTE"))
        return true;
    reply_error(&ctx->reply, reply_err_syntax);
    return false;
}

/* [start [end [BYTE|BIT]]] from argument `first` on; the whole where nothing is said. BITPOS looks at
 * the unit before the end, BITCOUNT after it: which error is told depends on it. */
static bool range_parse(struct command_ctx *ctx, uint32_t first, bool unit_before_end,
                        struct bit_range *range_r) {
    *range_r = (struct bit_range){.start = 0, .end = -1, .end_given = ctx->argc > first + 1};
    bool unit_given = ctx->argc == first + 3;
    if (ctx->argc > first + 3) {
        reply_error(&ctx->reply, reply_err_syntax);
        return false;
    }
    if (ctx->argc > first && !handler_i64(ctx, first, &range_r->start))
        return false;
    if (unit_given && unit_before_end && !unit_parse(ctx, first + 2, range_r))
        return false;
    if (range_r->end_given && !handler_i64(ctx, first + 1, &range_r->end))
        return false;
    return !unit_given || unit_before_end || unit_parse(ctx, first + 2, range_r);
}

/* The range as first and last bit within the text. False: empty. */
static bool range_resolve(const struct bit_range *range, struct bytes text, uint64_t *first_r,
                          uint64_t *last_r) {
    int64_t start = range->start, end = range->end;
    int64_t unit_bits = range->by_bit ? 1 : BITS_PER_BYTE;
    if (!handler_range(&start, &end, (int64_t)text.len * BITS_PER_BYTE / unit_bits))
        return false;
    *first_r = (uint64_t)(start * unit_bits);
    *last_r = (uint64_t)(end * unit_bits + unit_bits - 1);
    return true;
}

void cmd_bitcount(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct bit_range range;
    struct keyref ref;
    uint64_t first, last, count = 0;
    if (ctx->argc == 3) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    if (!range_parse(ctx, 2, false, &range) || !handler_find(ctx, 1, KEY_READ, VALUE_STRING, &ref))
        return;
    if (keyref_found(&ref) && !handler_range_backward(range.start, range.end)) {
        struct bytes text = handler_string(&ref, digits);
        if (range_resolve(&range, text, &first, &last))
            count = bits_count(text, first, last);
    }
    reply_integer(&ctx->reply, (int64_t)count);
}

/* Past the end of a string there are zeros without end, unless the client gave an end. */
static int64_t find_bit(const struct bit_range *range, struct bytes text, bool bit) {
    uint64_t first, last;
    if (!range_resolve(range, text, &first, &last))
        return -1;
    uint64_t at = bits_find(text, bit, first, last);
    if (at <= last)
        return (int64_t)at;
    return bit || range->end_given ? -1 : (int64_t)at;
}

void cmd_bitpos(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct bit_range range;
    struct keyref ref;
    int64_t bit;
    if (!handler_i64(ctx, 2, &bit))
        return;
    if (bit != 0 && bit != 1) {
        reply_error(&ctx->reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (!range_parse(ctx, 3, true, &range) || !handler_find(ctx, 1, KEY_READ, VALUE_STRING, &ref))
        return;
    if (keyref_found(&ref))
        reply_integer(&ctx->reply, find_bit(&range, handler_string(&ref, digits), bit));
    else
        reply_integer(&ctx->reply, bit ? -1 : 0);
}

/* ---- BITOP ---- */

enum bitop { BITOP_AND, BITOP_OR, BITOP_XOR, BITOP_NOT, BITOP_COUNT };
static const char *const bitop_names[BITOP_COUNT] = {"AND", "OR", "XOR", "NOT"};

static bool bitop_parse(struct command_ctx *ctx, enum bitop *op_r) {
    uint32_t op = 0;
    while (op < BITOP_COUNT && !handler_arg_is(ctx, 1, bitop_names[op]))
        op++;
    *op_r = op;
    if (op == BITOP_COUNT)
        reply_error(&ctx->reply, reply_err_syntax);
    else if (op == BITOP_NOT && ctx->argc != 4)
        reply_error(&ctx->reply, "ERR BITOP NOT must be called with a single source key.");
    else
        return true;
    return false;
}

/* result op= text, where what either lacks at its end counts as zeros. */
static void combine(enum bitop op, struct buf *result, struct bytes text) {
    size_t len = text.len;
    if (len > result->len) {
        memset(buf_reserve(result, len - result->len), 0, len - result->len);
        result->len = len;
    }
    char *to = result->data;
    const char *from = text.ptr;
    switch (op) {
    case BITOP_AND:
        for (size_t i = 0; i < len; i++)
            to[i] &= from[i];
        if (result->len > len)
            memset(to + len, 0, result->len - len);
        break;
    case BITOP_OR:
        for (size_t i = 0; i < len; i++)
            to[i] |= from[i];
        break;
    case BITOP_XOR:
        for (size_t i = 0; i < len; i++)
            to[i] ^= from[i];
        break;
    default:
        for (size_t i = 0; i < len; i++)
            to[i] = (char)~from[i];
    }
}

static bool bitop_sources(struct command_ctx *ctx, enum bitop op, struct buf *result) {
    char digits[BYTES_I64_MAX];
    for (uint32_t i = 3; i < ctx->argc; i++) {
        struct keyref ref;
        if (!handler_find(ctx, i, KEY_READ, VALUE_STRING, &ref))
            return false;
        struct bytes text = keyref_found(&ref) ? handler_string(&ref, digits) : BYTES_LITERAL("");
        if (i == 3 && op != BITOP_NOT)
            buf_append_bytes(result, text);
        else
            combine(op, result, text);
    }
    return true;
}

static void bitop_store(struct command_ctx *ctx, struct bytes result) {
    struct keyref target;
    ctx_find(ctx, ctx->argv[2], KEY_WRITE, &target);
    if (result.len > 0) {
        struct value value = {.type = VALUE_STRING, .encoding = ENCODING_RAW, .packed = result};
        handler_overwrite(&target, &value);
        ctx->dirty++;
    } else if (keyspace_delete(&target, false)) {
        ctx->dirty++;
    }
}

void cmd_bitop(struct command_ctx *ctx) {
    enum bitop op;
    struct buf result = {0};
    if (!bitop_parse(ctx, &op))
        return;
    if (bitop_sources(ctx, op, &result)) {
        bitop_store(ctx, buf_bytes(&result));
        reply_integer(&ctx->reply, (int64_t)result.len);
    }
    buf_free(&result);
}
