/* cmd_hyperloglog.c - PFADD, PFCOUNT, PFMERGE: HyperLogLogs kept in strings (worker/types/hyperloglog.h).
 *
 * A dense one is changed where it lies; a sparse one in a buffer and written back, as it may grow. */
#include "worker/command/handler.h"
#include "worker/types/hyperloglog.h"

#include <math.h>

static const char corrupt[] = "INVALIDOBJ Corrupted HLL object detected";

/* ---- keys ---- */

/* Argument `index` as a HyperLogLog or nothing. *hll_r is borrowed from the key. */
static bool hll_find(struct command_ctx *ctx, uint32_t index, enum key_access access,
                     struct keyref *ref, struct bytes *hll_r) {
    if (!handler_find(ctx, index, access, VALUE_STRING, ref))
        return false;
    if (!keyref_found(ref))
        return true;
    struct value value = keyref_value(ref);
    if (value.encoding != ENCODING_INT && hll_is_valid(value.packed)) {
        *hll_r = value.packed;
        return true;
    }
    reply_error(&ctx->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
    return false;
}

/* A HyperLogLog about to be changed: of a key, or a new one. */
struct editor {
    struct keyref ref;
    struct buf hll; /* dense from the start: the key's own bytes */
    bool in_place;
};

static bool editor_open(struct command_ctx *ctx, uint32_t index, struct editor *e) {
    struct bytes hll;
    *e = (struct editor){0};
    if (!hll_find(ctx, index, KEY_WRITE, &e->ref, &hll))
        return false;
    if (!keyref_found(&e->ref)) {
        hll_create(&e->hll);
    } else if (hll_is_sparse(hll)) {
        buf_append_bytes(&e->hll, hll);
    } else {
        e->in_place = true;
        e->hll.data = keyspace_string_resize(&e->ref, hll.len);
        e->hll.len = e->hll.cap = hll.len;
    }
    return true;
}

/* Write back what has changed; its cardinality is not known any more. */
static void editor_keep(struct editor *e) {
    hll_forget_cached(e->hll.data);
    if (!e->in_place)
        memcpy(keyspace_string_resize(&e->ref, e->hll.len), e->hll.data, e->hll.len);
    keyspace_touch_changed(&e->ref);
}

static void editor_close(struct editor *e) {
    if (!e->in_place)
        buf_free(&e->hll);
}

static uint64_t sparse_max(const struct command_ctx *ctx) {
    return (uint64_t)ctx_config(ctx)->hll_sparse_max_bytes;
}

/* ---- PFADD ---- */

void cmd_pfadd(struct command_ctx *ctx) {
    struct editor e;
    enum hll_outcome outcome = HLL_SAME;
    if (!editor_open(ctx, 1, &e))
        return;
    uint64_t changes = !keyref_found(&e.ref);
    for (uint32_t i = 2; i < ctx->argc && outcome != HLL_CORRUPT; i++) {
        outcome = hll_add(&e.hll, ctx->argv[i], sparse_max(ctx));
        changes += outcome == HLL_CHANGED;
    }
    if (outcome != HLL_CORRUPT && changes > 0) {
        editor_keep(&e);
        ctx->dirty += changes;
    }
    editor_close(&e);
    if (outcome == HLL_CORRUPT)
        reply_error(&ctx->reply, corrupt);
    else
        reply_integer(&ctx->reply, changes > 0);
}

/* ---- PFCOUNT ---- */

/* Raise the registers by the HyperLogLogs of the arguments from `first` on. */
static bool merge_keys(struct command_ctx *ctx, uint32_t first, uint8_t *registers,
                       bool *any_dense_r) {
    struct keyref ref;
    struct bytes hll;
    *any_dense_r = false;
    for (uint32_t i = first; i < ctx->argc; i++) {
        if (!hll_find(ctx, i, KEY_READ, &ref, &hll))
            return false;
        if (!keyref_found(&ref))
            continue;
        *any_dense_r |= !hll_is_sparse(hll);
        if (!hll_merge(registers, hll)) {
            reply_error(&ctx->reply, corrupt);
            return false;
        }
    }
    return true;
}

/* The count of one key is kept in it. Nothing is logged: whoever replays the log counts again. */
static void count_one(struct command_ctx *ctx, uint8_t *registers) {
    struct keyref ref;
    struct bytes hll;
    uint64_t count = 0;
    if (!hll_find(ctx, 1, KEY_READ, &ref, &hll))
        return;
    if (keyref_found(&ref) && !hll_cached(hll, &count)) {
        if (!hll_merge(registers, hll)) {
            reply_error(&ctx->reply, corrupt);
            return;
        }
        count = hll_estimate(registers);
        hll_set_cached(keyspace_string_resize(&ref, hll.len), count);
        keyspace_touch_changed(&ref);
    }
    reply_integer(&ctx->reply, (int64_t)count);
}

void cmd_pfcount(struct command_ctx *ctx) {
    uint8_t registers[HLL_REGISTERS] = {0};
    bool any_dense;
    if (ctx->argc == 2)
        count_one(ctx, registers);
    else if (merge_keys(ctx, 1, registers, &any_dense))
        reply_integer(&ctx->reply, (int64_t)hll_estimate(registers));
}

/* ---- PFMERGE ---- */

void cmd_pfmerge(struct command_ctx *ctx) {
    uint8_t registers[HLL_REGISTERS] = {0};
    struct editor e;
    bool dense;
    if (!merge_keys(ctx, 1, registers, &dense) || !editor_open(ctx, 1, &e))
        return;
    enum hll_outcome outcome = dense ? hll_make_dense(&e.hll) : HLL_SAME;
    for (uint32_t i = 0; i < HLL_REGISTERS && outcome != HLL_CORRUPT; i++)
        if (registers[i] > 0)
            outcome = hll_raise(&e.hll, i, registers[i], sparse_max(ctx));
    if (outcome != HLL_CORRUPT) {
        editor_keep(&e);
        ctx->dirty++;
    }
    editor_close(&e);
    if (outcome == HLL_CORRUPT)
        reply_error(&ctx->reply, corrupt);
    else
        reply_ok(&ctx->reply);
}

/* ---- PFDEBUG ---- */

static bool debug_make_dense(struct command_ctx *ctx, bool *changed_r) {
    struct editor e;
    if (!editor_open(ctx, 2, &e))
        return false;
    enum hll_outcome outcome = hll_make_dense(&e.hll);
    *changed_r = outcome == HLL_CHANGED;
    if (outcome == HLL_CHANGED) {
        memcpy(keyspace_string_resize(&e.ref, e.hll.len), e.hll.data, e.hll.len);
        keyspace_touch_changed(&e.ref);
        ctx->dirty++;
    }
    editor_close(&e);
    if (outcome == HLL_CORRUPT)
        reply_error(&ctx->reply, corrupt);
    return outcome != HLL_CORRUPT;
}

/* Also makes it dense, as in Redis. */
static void debug_registers(struct command_ctx *ctx) {
    uint8_t registers[HLL_REGISTERS] = {0};
    struct keyref ref;
    struct bytes hll;
    bool changed;
    if (!debug_make_dense(ctx, &changed) || !hll_find(ctx, 2, KEY_PEEK, &ref, &hll))
        return;
    hll_merge(registers, hll);
    reply_array(&ctx->reply, HLL_REGISTERS);
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        reply_integer(&ctx->reply, registers[i]);
}

static void debug_decode(struct command_ctx *ctx, struct bytes hll) {
    struct buf text = {0};
    if (!hll_is_sparse(hll))
        reply_error(&ctx->reply, "ERR HLL encoding is not sparse");
    else if (!hll_describe(hll, &text))
        reply_error(&ctx->reply, corrupt);
    else
        reply_bulk(&ctx->reply, buf_bytes(&text));
    buf_free(&text);
}

void cmd_pfdebug(struct command_ctx *ctx) {
    struct keyref ref;
    struct bytes hll;
    bool changed;
    if (!ctx_find(ctx, ctx->argv[2], KEY_WRITE, &ref)) {
        reply_error(&ctx->reply, "ERR The specified key does not exist");
        return;
    }
    if (!hll_find(ctx, 2, KEY_PEEK, &ref, &hll))
        return;
    if (handler_arg_is(ctx, 1, "GETREG"))
        debug_registers(ctx);
    else if (handler_arg_is(ctx, 1, "DECODE"))
        debug_decode(ctx, hll);
    else if (handler_arg_is(ctx, 1, "ENCODING"))
        reply_status(&ctx->reply, hll_is_sparse(hll) ? "sparse" : "dense");
    else if (!handler_arg_is(ctx, 1, "TODENSE"))
        reply_error_format(&ctx->reply, "ERR Unknown PFDEBUG subcommand '%.*s'",
                           (int)strnlen(ctx->argv[1].ptr, ctx->argv[1].len), ctx->argv[1].ptr);
    else if (debug_make_dense(ctx, &changed))
        reply_integer(&ctx->reply, changed);
}

/* ---- PFSELFTEST ---- */

/* Sparse and dense hold the same registers, and both estimate within a few times the standard error. */
static const char *self_test(struct buf *sparse, struct buf *dense) {
    enum { ELEMENTS = 100000, LOOK_EVERY = 5000, SPARSE_MAX = 3000 };
    const double tolerance = 4 * 1.04 / sqrt(HLL_REGISTERS);
    for (uint64_t n = 1; n <= ELEMENTS; n++) {
        struct bytes element = bytes_of((const char *)&n, sizeof(n));
        if (hll_add(sparse, element, SPARSE_MAX) != hll_add(dense, element, 0))
            return "sparse and dense change at different elements";
        if (n % LOOK_EVERY != 0)
            continue;
        uint8_t registers[2][HLL_REGISTERS] = {0};
        if (!hll_merge(registers[0], buf_bytes(sparse)) ||
            !hll_merge(registers[1], buf_bytes(dense)) ||
            memcmp(registers[0], registers[1], HLL_REGISTERS) != 0)
            return "sparse and dense registers differ";
        double error = fabs((double)hll_estimate(registers[0]) - (double)n) / (double)n;
        if (error > tolerance)
            return "the estimate is too far off";
    }
    return NULL;
}

void cmd_pfselftest(struct command_ctx *ctx) {
    struct buf sparse = {0}, dense = {0};
    hll_create(&sparse);
    hll_create(&dense);
    hll_make_dense(&dense);
    const char *failure = self_test(&sparse, &dense);
    if (failure != NULL)
        reply_error_format(&ctx->reply, "TESTFAILED %s", failure);
    else
        reply_ok(&ctx->reply);
    buf_free(&sparse);
    buf_free(&dense);
}
