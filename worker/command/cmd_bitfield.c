/* cmd_bitfield.c - BITFIELD: integers of any width at any bit of a string.
 *
 * All operations are parsed before the first is run, so that a bad one changes nothing, and the string
 * is made long enough once. */
#include "worker/command/bit_offset.h"
#include "worker/command/bits.h"
#include "worker/command/handler.h"

enum field_verb { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum field_overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL, OVERFLOW_COUNT };
static const char *const overflow_names[OVERFLOW_COUNT] = {"WRAP", "SAT", "FAIL"};

struct field_op {
    enum field_verb verb;
    enum field_overflow overflow;
    bool is_signed;
    uint32_t width;
    uint64_t at;
    int64_t operand;
};

struct program {
    struct buf ops; /* of struct field_op */
    bool writes;
    uint64_t write_end; /* bytes the string must have */
};

/* ---- parsing ---- */

/* i1..i64 or u1..u63 */
static bool parse_width(struct command_ctx *ctx, uint32_t index, struct field_op *op) {
    struct bytes text = ctx->argv[index];
    int64_t width;
    op->is_signed = text.len > 0 && text.ptr[0] == 'i';
    if (text.len > 1 && (op->is_signed || text.ptr[0] == 'u') &&
        bytes_to_i64(bytes_of(text.ptr + 1, text.len - 1), &width) && width >= 1 &&
        width <= (op->is_signed ? 64 : 63)) {
        op->width = (uint32_t)width;
        return true;
    }
    reply_error(&ctx->reply,
                "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is "
                "not supported but i64 is.");
    return false;
}

static bool parse_overflow(struct command_ctx *ctx, uint32_t index, enum field_overflow *overflow) {
    for (uint32_t i = 0; i < OVERFLOW_COUNT; i++) {
        if (handler_arg_is(ctx, index, overflow_names[i])) {
            *overflow = i;
            return true;
        }
    }
    reply_error(&ctx->reply, "ERR Invalid OVERFLOW type specified");
    return false;
}

static const struct {
    const char *word;
    enum field_verb verb;
    uint32_t arguments;
} verbs[] = {{"GET", FIELD_GET, 2}, {"SET", FIELD_SET, 3}, {"INCRBY", FIELD_INCRBY, 3}};

/* One operation from argument `at` on; returns how many arguments it takes, 0 after an error. */
static uint32_t parse_op(struct command_ctx *ctx, uint32_t at, struct field_op *op) {
    uint32_t left = ctx->argc - at - 1;
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (left < verbs[i].arguments || !handler_arg_is(ctx, at, verbs[i].word))
            continue;
        op->verb = verbs[i].verb;
        if (!parse_width(ctx, at + 1, op) || !bit_offset_parse(ctx, at + 2, op->width, &op->at))
            return 0;
        if (op->verb != FIELD_GET && !handler_i64(ctx, at + 3, &op->operand))
            return 0;
        return 1 + verbs[i].arguments;
    }
    reply_error(&ctx->reply, reply_err_syntax);
    return 0;
}

static void program_add(struct program *program, const struct field_op *op) {
    buf_append(&program->ops, op, sizeof(*op));
    if (op->verb == FIELD_GET)
        return;
    uint64_t end = (op->at + op->width + BITS_PER_BYTE - 1) / BITS_PER_BYTE;
    program->writes = true;
    if (end > program->write_end)
        program->write_end = end;
}

static bool program_parse(struct command_ctx *ctx, struct program *program) {
    enum field_overflow overflow = OVERFLOW_WRAP;
    for (uint32_t at = 2; at < ctx->argc;) {
        if (handler_arg_is(ctx, at, "OVERFLOW") && at + 1 < ctx->argc) {
            if (!parse_overflow(ctx, at + 1, &overflow))
                return false;
            at += 2;
            continue;
        }
        struct field_op op = {.overflow = overflow};
        uint32_t taken = parse_op(ctx, at, &op);
        if (taken == 0)
            return false;
        program_add(program, &op);
        at += taken;
    }
    return true;
}

/* ---- running ---- */

static int64_t field_min(const struct field_op *op) {
    return op->is_signed ? (int64_t)(UINT64_MAX << (op->width - 1)) : 0;
}

static int64_t field_max(const struct field_op *op) {
    return op->is_signed ? ~field_min(op) : (int64_t)(UINT64_MAX >> (64 - op->width));
}

/* The low bits of a number as this field's value. */
static int64_t field_wrap(const struct field_op *op, uint64_t number) {
    uint32_t unused = 64 - op->width;
    return op->is_signed ? (int64_t)(number << unused) >> unused
                         : (int64_t)(number << unused >> unused);
}

/* base + add as the field can hold it; false: OVERFLOW FAIL forbids it. A SET of an unsigned field
 * takes its operand as unsigned: a negative one is far above the range. */
static bool field_fit(const struct field_op *op, int64_t base, int64_t add, int64_t *value_r) {
    int64_t sum;
    bool above, below;
    if (__builtin_add_overflow(base, add, &sum)) {
        above = add > 0;
        below = !above;
    } else {
        above = sum > field_max(op) || (op->verb == FIELD_SET && !op->is_signed && sum < 0);
        below = !above && sum < field_min(op);
    }
    *value_r = sum;
    if (!above && !below)
        return true;
    if (op->overflow == OVERFLOW_SAT)
        *value_r = above ? field_max(op) : field_min(op);
    else
        *value_r = field_wrap(op, (uint64_t)base + (uint64_t)add);
    return op->overflow != OVERFLOW_FAIL;
}

static int64_t field_read(const struct field_op *op, struct bytes text) {
    return field_wrap(op, bits_read(text, op->at, op->width));
}

/* Returns whether the string changed. */
static bool run_write(struct command_ctx *ctx, const struct field_op *op, char *text, size_t len) {
    int64_t old = field_read(op, bytes_of(text, len)), value;
    bool set = op->verb == FIELD_SET;
    if (!field_fit(op, set ? 0 : old, op->operand, &value)) {
        reply_null(&ctx->reply);
        return false;
    }
    reply_integer(&ctx->reply, set ? old : value);
    bits_write(text, op->at, op->width, (uint64_t)value);
    return value != old;
}

static void run_program(struct command_ctx *ctx, const struct program *program, char *writable,
                        struct bytes text) {
    size_t count = program->ops.len / sizeof(struct field_op);
    reply_array(&ctx->reply, count);
    for (size_t i = 0; i < count; i++) {
        struct field_op op;
        memcpy(&op, program->ops.data + i * sizeof(op), sizeof(op));
        if (op.verb == FIELD_GET)
            reply_integer(&ctx->reply, field_read(&op, text));
        else
            ctx->dirty += run_write(ctx, &op, writable, text.len);
    }
}

static void run_on_key(struct command_ctx *ctx, const struct program *program) {
    char digits[BYTES_I64_MAX];
    struct keyref ref;
    if (!handler_find(ctx, 1, program->writes ? KEY_WRITE : KEY_READ, VALUE_STRING, &ref))
        return;
    bool found = keyref_found(&ref);
    struct bytes text = found ? handler_string(&ref, digits) : BYTES_LITERAL("");
    if (!program->writes) {
        run_program(ctx, program, NULL, text);
        return;
    }
    bool grown = !found || program->write_end > text.len;
    size_t len = program->write_end > text.len ? program->write_end : text.len;
    char *writable = keyspace_string_resize(&ref, len);
    run_program(ctx, program, writable, bytes_of(writable, len));
    if (grown && ctx->dirty == 0)
        ctx->dirty = 1;
    if (ctx->dirty > 0)
        keyspace_touch_changed(&ref);
}

void cmd_bitfield(struct command_ctx *ctx) {
    struct program program = {0};
    if (program_parse(ctx, &program))
        run_on_key(ctx, &program);
    buf_free(&program.ops);
}

void cmd_bitfield_ro(struct command_ctx *ctx) {
    struct program program = {0};
    bool parsed = program_parse(ctx, &program);
    if (parsed && program.writes)
        reply_error(&ctx->reply, "ERR BITFIELD_RO only supports the GET subcommand");
    else if (parsed)
        run_on_key(ctx, &program);
    buf_free(&program.ops);
}
