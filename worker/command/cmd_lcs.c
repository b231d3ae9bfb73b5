/* cmd_lcs.c - LCS: the longest common subsequence of two string keys, its length, or where it is. */
#include "worker/command/handler.h"
#include "worker/command/lcs.h"

struct lcs_options {
    bool length, runs, with_match_length;
    int64_t min_match_length;
};

static bool parse(struct command_ctx *ctx, struct lcs_options *options_r) {
    *options_r = (struct lcs_options){0};
    for (uint32_t i = 3; i < ctx->argc; i++) {
        if (handler_arg_is(ctx, i, "IDX")) {
            options_r->runs = true;
        } else if (handler_arg_is(ctx, i, "LEN")) {
            options_r->length = true;
        } else if (handler_arg_is(ctx, i, "WITHMATCHLEN")) {
            options_r->with_match_length = true;
        } else if (handler_arg_is(ctx, i, "MINMATCHLEN") && i + 1 < ctx->argc) {
            if (!handler_i64(ctx, ++i, &options_r->min_match_length))
                return false;
        } else {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
    }
    if (!options_r->length || !options_r->runs)
        return true;
    reply_error(&ctx->reply, "ERR If you want both the length and indexes, please just use IDX.");
    return false;
}

static bool find_text(struct command_ctx *ctx, uint32_t index, enum key_access access, char *digits,
                      struct bytes *text_r) {
    struct keyref ref;
    *text_r = BYTES_LITERAL("");
    if (!ctx_find(ctx, ctx->argv[index], access, &ref))
        return true;
    if (keyref_value(&ref).type == VALUE_STRING) {
        *text_r = handler_string(&ref, digits);
        return true;
    }
    reply_error(&ctx->reply, "ERR The specified keys must contain string values");
    return false;
}

/* The bound a real server puts on its table of four bytes a cell. */
static bool size_ok(struct command_ctx *ctx, struct bytes a, struct bytes b) {
    if (a.len >= UINT32_MAX - 1 || b.len >= UINT32_MAX - 1) {
        reply_error(&ctx->reply, "ERR String too long for LCS");
        return false;
    }
    uint64_t cells = ((uint64_t)a.len + 1) * ((uint64_t)b.len + 1);
    if (cells <= (uint64_t)ctx_config(ctx)->proto_max_bulk_len / sizeof(uint32_t))
        return true;
    reply_error(&ctx->reply,
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
    return false;
}

struct run_writer {
    struct reply *reply;
    const struct lcs_options *options;
    size_t count;
};

static void write_run(void *arg, const struct lcs_run *run) {
    struct run_writer *w = arg;
    int64_t length = (int64_t)(run->a_last - run->a_first + 1);
    if (w->options->min_match_length > 0 && length < w->options->min_match_length)
        return;
    reply_array(w->reply, w->options->with_match_length ? 3 : 2);
    reply_array(w->reply, 2);
    reply_integer(w->reply, (int64_t)run->a_first);
    reply_integer(w->reply, (int64_t)run->a_last);
    reply_array(w->reply, 2);
    reply_integer(w->reply, (int64_t)run->b_first);
    reply_integer(w->reply, (int64_t)run->b_last);
    if (w->options->with_match_length)
        reply_integer(w->reply, length);
    w->count++;
}

static void reply_runs(struct command_ctx *ctx, const struct lcs *lcs,
                       const struct lcs_options *options) {
    struct run_writer w = {.reply = &ctx->reply, .options = options};
    reply_map(&ctx->reply, 2);
    reply_bulk_text(&ctx->reply, "matches");
    size_t mark = reply_mark(&ctx->reply);
    lcs_runs(lcs, write_run, &w);
    reply_close_array(&ctx->reply, mark, w.count);
    reply_bulk_text(&ctx->reply, "len");
    reply_integer(&ctx->reply, (int64_t)lcs_length(lcs));
}

static void reply_text(struct command_ctx *ctx, const struct lcs *lcs) {
    struct buf text = {0};
    size_t len = lcs_length(lcs);
    char *to = buf_reserve(&text, len + 1);
    lcs_text(lcs, to);
    reply_bulk(&ctx->reply, bytes_of(to, len));
    buf_free(&text);
}

void cmd_lcs(struct command_ctx *ctx) {
    char digits[2][BYTES_I64_MAX];
    struct bytes a, b;
    struct lcs_options options;
    /* Looking up the second key may delete it and so move the first, which is then found again. */
    if (!find_text(ctx, 1, KEY_READ, digits[0], &a) ||
        !find_text(ctx, 2, KEY_READ, digits[1], &b) || !parse(ctx, &options) ||
        !find_text(ctx, 1, KEY_PEEK, digits[0], &a) || !size_ok(ctx, a, b))
        return;
    struct lcs *lcs = lcs_create(a, b);
    if (lcs == NULL) {
        reply_error(&ctx->reply,
                    "ERR Insufficient memory, failed allocating transient memory for LCS");
        return;
    }
    if (options.runs)
        reply_runs(ctx, lcs, &options);
    else if (options.length)
        reply_integer(&ctx->reply, (int64_t)lcs_length(lcs));
    else
        reply_text(ctx, lcs);
    lcs_free(&lcs);
}
