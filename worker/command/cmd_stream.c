/* cmd_stream.c - commands on the entries of streams: adding, ranges, deleting, trimming.
 *
 * A stream is an object that is changed where it is; one without entries stays a key. The log gets the
 * ids that entries were given, and what a trim has left. */
#include "worker/command/stream_trim.h"

#include "shared/base/mem.h"

/* ---- XADD ---- */

/* The id argument: '*', "ms-*", or a whole one. */
struct new_id {
    bool auto_ms, auto_seq;
    struct stream_id id;
};

static bool parse_new_id(struct command_ctx *ctx, uint32_t index, struct new_id *new_r) {
    struct bytes text = ctx->argv[index];
    *new_r = (struct new_id){0};
    if (bytes_equal(text, BYTES_LITERAL("*"))) {
        new_r->auto_ms = new_r->auto_seq = true;
        return true;
    }
    new_r->auto_seq = text.len > 2 && memcmp(text.ptr + text.len - 2, "-*", 2) == 0;
    if (new_r->auto_seq)
        text.len -= 2;
    bool right = stream_id_of(text, 0, &new_r->id) &&
                 !(new_r->auto_seq && memchr(text.ptr, '-', text.len) != NULL);
    if (!right)
        reply_error(&ctx->reply, stream_err_id);
    return right;
}

/* The id of the next entry; false: it would not be after the last one. */
static bool make_id(const struct stream *s, const struct new_id *new, int64_t now_ms,
                    struct stream_id *id_r) {
    *id_r = new->id;
    if (new->auto_ms)
        *id_r = (struct stream_id){(uint64_t)now_ms, 0};
    bool later = id_r->ms > s->last_id.ms;
    if (new->auto_ms && !later) {
        *id_r = s->last_id;
        return stream_id_up(id_r);
    }
    if (new->auto_seq && !later) {
        if (id_r->ms < s->last_id.ms || s->last_id.seq == UINT64_MAX)
            return false;
        id_r->seq = s->last_id.seq + 1;
    }
    return stream_id_before(s->last_id, *id_r);
}

static bool entry_is_small_enough(struct command_ctx *ctx, uint32_t first) {
    uint64_t bytes = 0;
    for (uint32_t i = first; i < ctx->argc; i++)
        bytes += ctx->argv[i].len;
    if (bytes <= STREAM_ENTRY_BYTES_MAX)
        return true;
    reply_error(&ctx->reply, "ERR Elements are too large to be stored");
    return false;
}

/* XADD key [MAXLEN = n | MINID = id] id field value ... */
static void log_addition(struct command_ctx *ctx, const struct stream *s,
                         const struct trim_options *options, struct stream_id id, bool trimmed) {
    char id_text[STREAM_ID_TEXT_MAX], trim_text[STREAM_ID_TEXT_MAX];
    uint32_t fields = ctx->argc - options->next - 1, argc = 0;
    struct bytes *argv = mem_alloc((6 + (size_t)fields) * sizeof(*argv));
    argv[argc++] = ctx->argv[0];
    argv[argc++] = ctx->argv[1];
    if (trimmed) {
        trim_options_words(s, options, trim_text, argv + argc);
        argc += 3;
    }
    argv[argc++] = stream_id_text(id_text, id);
    memcpy(argv + argc, ctx->argv + options->next + 1, fields * sizeof(*argv));
    propagate_instead(ctx, argc + fields, argv);
    mem_free(argv);
}

static void add(struct command_ctx *ctx, const struct trim_options *options,
                const struct new_id *new, struct keyref *ref, struct stream *s) {
    struct stream_id id;
    uint32_t first = options->next + 1;
    if (stream_id_equal(s->last_id, stream_id_max)) {
        reply_error(&ctx->reply, "ERR The stream has exhausted the last possible ID, unable to add "
                                 "more items");
    } else if (!make_id(s, new, ctx_now_ms(ctx), &id)) {
        reply_error(&ctx->reply, "ERR The ID specified in XADD is equal or smaller than the target "
                                 "stream top item");
    } else if (entry_is_small_enough(ctx, first)) {
        struct stream_limits limits = stream_limits_of(ctx);
        stream_append(s, id, ctx->argv + first, (ctx->argc - first) / 2, &limits);
        stream_reply_id(&ctx->reply, id);
        uint64_t trimmed = trim_options_apply(s, options);
        log_addition(ctx, s, options, id, trimmed > 0);
        ctx->dirty++;
    }
}

void cmd_xadd(struct command_ctx *ctx) {
    struct trim_options options;
    struct new_id new;
    struct keyref ref;
    struct stream *s;
    if (!trim_options_parse(ctx, true, &options))
        return;
    if (options.next < ctx->argc && !parse_new_id(ctx, options.next, &new))
        return;
    uint32_t fields = ctx->argc > options.next ? ctx->argc - options.next - 1 : 0;
    if (fields < 2 || fields % 2 != 0) {
        reply_error(&ctx->reply, "ERR wrong number of arguments for 'xadd' command");
        return;
    }
    if (!new.auto_seq && stream_id_is_zero(new.id)) {
        reply_error(&ctx->reply, "ERR The ID specified in XADD must be greater than 0-0");
        return;
    }
    if (!stream_find(ctx, 1, KEY_WRITE, &ref, &s))
        return;
    if (s == NULL && options.no_make) {
        reply_null(&ctx->reply);
        return;
    }
    struct value made = {0};
    if (s == NULL) {
        made = stream_create();
        s = stream_of(&made);
    }
    add(ctx, &options, &new, &ref, s);
    if (ctx->dirty > 0 && made.object != NULL)
        keyspace_store(&ref, &made);
    else if (ctx->dirty > 0)
        keyspace_touch_changed(&ref);
    else if (made.object != NULL)
        stream_free(&made);
}

/* ---- XTRIM, XDEL, XSETID ---- */

void cmd_xtrim(struct command_ctx *ctx) {
    struct trim_options options;
    struct keyref ref;
    struct stream *s;
    if (!trim_options_parse(ctx, false, &options) || !stream_find(ctx, 1, KEY_WRITE, &ref, &s))
        return;
    uint64_t removed = s != NULL ? trim_options_apply(s, &options) : 0;
    if (removed > 0) {
        char text[STREAM_ID_TEXT_MAX];
        struct bytes argv[5] = {BYTES_LITERAL("XTRIM"), ctx->argv[1]};
        trim_options_words(s, &options, text, argv + 2);
        propagate_instead(ctx, 5, argv);
        keyspace_touch_inside(&ref);
        ctx->dirty += removed;
    }
    reply_integer(&ctx->reply, (int64_t)removed);
}

void cmd_xdel(struct command_ctx *ctx) {
    struct keyref ref;
    struct stream *s;
    if (!stream_find(ctx, 1, KEY_WRITE, &ref, &s))
        return;
    if (s != NULL) {
        struct stream_id *ids = stream_id_arguments(ctx, 2);
        if (ids == NULL)
            return;
        for (uint32_t i = 0; i < ctx->argc - 2; i++)
            ctx->dirty += stream_delete(s, ids[i]);
        mem_free(ids);
        if (ctx->dirty > 0)
            keyspace_touch_inside(&ref);
    }
    reply_integer(&ctx->reply, (int64_t)ctx->dirty);
}

struct new_state {
    struct stream_id last_id, max_deleted_id;
    int64_t entries_added; /* -1: not given */
};

static bool parse_state(struct command_ctx *ctx, struct new_state *state) {
    *state = (struct new_state){.entries_added = -1};
    if (!stream_id_argument(ctx, 2, 0, &state->last_id))
        return false;
    for (uint32_t i = 3; i < ctx->argc; i++) {
        bool more = i + 1 < ctx->argc;
        const char *error = NULL;
        if (more && handler_arg_is(ctx, i, "ENTRIESADDED")) {
            if (!handler_i64(ctx, ++i, &state->entries_added))
                return false;
            if (state->entries_added < 0)
                error = "ERR entries_added must be positive";
        } else if (more && handler_arg_is(ctx, i, "MAXDELETEDID")) {
            if (!stream_id_argument(ctx, ++i, 0, &state->max_deleted_id))
                return false;
            if (stream_id_before(state->last_id, state->max_deleted_id))
                error = "ERR The ID specified in XSETID is smaller than the provided "
                        "max_deleted_entry_id";
        } else {
            error = reply_err_syntax;
        }
        if (error != NULL) {
            reply_error(&ctx->reply, error);
            return false;
        }
    }
    return true;
}

static const char *state_error(const struct stream *s, const struct new_state *state) {
    struct stream_id last;
    if (s == NULL)
        return reply_err_no_key;
    if (stream_id_before(state->last_id, s->max_deleted_id))
        return "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
    if (!stream_last_entry_id(s, &last))
        return NULL;
    if (stream_id_before(state->last_id, last))
        return "ERR The ID specified in XSETID is smaller than the target stream top item";
    if (state->entries_added >= 0 && s->length > (uint64_t)state->entries_added)
        return "ERR The entries_added specified in XSETID is smaller than the target stream length";
    return NULL;
}

void cmd_xsetid(struct command_ctx *ctx) {
    struct new_state state;
    struct keyref ref;
    struct stream *s;
    if (!parse_state(ctx, &state) || !stream_find(ctx, 1, KEY_WRITE, &ref, &s))
        return;
    const char *error = state_error(s, &state);
    if (error != NULL) {
        reply_error(&ctx->reply, error);
        return;
    }
    s->last_id = state.last_id;
    if (state.entries_added >= 0)
        s->entries_added = (uint64_t)state.entries_added;
    if (!stream_id_is_zero(state.max_deleted_id))
        s->max_deleted_id = state.max_deleted_id;
    keyspace_touch_inside(&ref);
    ctx->dirty++;
    reply_ok(&ctx->reply);
}

/* ---- reading ---- */

void cmd_xlen(struct command_ctx *ctx) {
    struct keyref ref;
    struct stream *s;
    if (stream_find(ctx, 1, KEY_READ, &ref, &s))
        reply_integer(&ctx->reply, s != NULL ? (int64_t)s->length : 0);
}

/* COUNT n behind the range; -1: not given. */
static bool parse_count(struct command_ctx *ctx, int64_t *count_r) {
    *count_r = -1;
    for (uint32_t i = 4; i < ctx->argc; i++) {
        if (i + 1 == ctx->argc || !handler_arg_is(ctx, i, "COUNT")) {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
        if (!handler_i64(ctx, ++i, count_r))
            return false;
        if (*count_r < 0)
            *count_r = 0;
    }
    return true;
}

static void reply_range(struct command_ctx *ctx, bool reverse) {
    struct stream_id start, end;
    struct keyref ref;
    struct stream *s;
    int64_t count;
    if (!stream_start_argument(ctx, reverse ? 3 : 2, &start) ||
        !stream_end_argument(ctx, reverse ? 2 : 3, &end) || !parse_count(ctx, &count) ||
        !stream_find(ctx, 1, KEY_READ, &ref, &s))
        return;
    if (s == NULL) {
        reply_array(&ctx->reply, 0);
        return;
    }
    if (count == 0) {
        reply_null_array(&ctx->reply);
        return;
    }
    struct stream_iterator it;
    struct stream_entry entry;
    size_t mark = reply_mark(&ctx->reply), found = 0;
    stream_iterate(s, start, end, reverse, &it);
    for (; found != (size_t)count && stream_next(&it, &entry); found++)
        stream_reply_entry(&ctx->reply, &entry);
    reply_close_array(&ctx->reply, mark, found);
}

void cmd_xrange(struct command_ctx *ctx) {
    reply_range(ctx, false);
}

void cmd_xrevrange(struct command_ctx *ctx) {
    reply_range(ctx, true);
}
