/* stream_trim.c - see stream_trim.h. */
#include "worker/command/stream_trim.h"

enum { LIMIT_BLOCKS = 100, LIMIT_DEFAULT = 10000, LIMIT_MAX = 1000000 };

struct parser {
    struct command_ctx *ctx;
    struct trim_options *options;
    uint32_t at;
    int64_t limit;
    bool limit_given;
};

static bool fails(struct parser *p, const char *error) {
    reply_error(&p->ctx->reply, error);
    return false;
}

static uint32_t left(const struct parser *p) {
    return p->ctx->argc - 1 - p->at;
}

/* MAXLEN or MINID [= | ~] threshold */
static bool parse_strategy(struct parser *p, bool by_id) {
    struct trim_options *options = p->options;
    if (options->given)
        return fails(p, "ERR syntax error, MAXLEN and MINID options at the same time are not "
                        "compatible");
    options->given = true;
    options->trim.by_id = by_id;
    p->at++;
    bool approximate = handler_arg_is(p->ctx, p->at, "~");
    if (left(p) > 0 && (approximate || handler_arg_is(p->ctx, p->at, "="))) {
        options->trim.approximate = approximate;
        p->at++;
    }
    if (by_id)
        return stream_id_argument(p->ctx, p->at, 0, &options->trim.min_id);
    int64_t length;
    if (!handler_i64(p->ctx, p->at, &length))
        return false;
    options->trim.max_length = (uint64_t)length;
    return length >= 0 || fails(p, "ERR The MAXLEN argument must be >= 0.");
}

static bool parse_limit(struct parser *p) {
    p->limit_given = true;
    p->at++;
    if (!handler_i64(p->ctx, p->at, &p->limit))
        return false;
    return p->limit >= 0 || fails(p, "ERR The LIMIT argument must be >= 0.");
}

/* What the options mean together. */
static bool settle(struct parser *p, bool adding) {
    struct stream_trim *trim = &p->options->trim;
    if (p->limit > 0 && !p->options->given)
        return fails(p, "ERR syntax error, LIMIT cannot be used without specifying a trimming "
                        "strategy");
    if (!adding && !p->options->given)
        return fails(p, "ERR syntax error, XTRIM must be called with a trimming strategy");
    if (p->limit_given) {
        trim->limit = (uint64_t)p->limit;
        return trim->approximate ||
               fails(p, "ERR syntax error, LIMIT cannot be used without the special ~ option");
    }
    if (!trim->approximate)
        return true;
    int64_t block = ctx_config(p->ctx)->stream_node_max_entries;
    trim->limit = block <= 0                         ? LIMIT_DEFAULT
                  : block > LIMIT_MAX / LIMIT_BLOCKS ? LIMIT_MAX
                                                     : (uint64_t)block * LIMIT_BLOCKS;
    return true;
}

bool trim_options_parse(struct command_ctx *ctx, bool adding, struct trim_options *options) {
    struct parser p = {.ctx = ctx, .options = options, .at = 2};
    *options = (struct trim_options){0};
    for (; p.at < ctx->argc; p.at++) {
        bool more = left(&p) > 0, ok = true;
        if (adding && handler_arg_is(ctx, p.at, "*"))
            break;
        if (more && (handler_arg_is(ctx, p.at, "MAXLEN") || handler_arg_is(ctx, p.at, "MINID")))
            ok = parse_strategy(&p, handler_arg_is(ctx, p.at, "MINID"));
        else if (more && handler_arg_is(ctx, p.at, "LIMIT"))
            ok = parse_limit(&p);
        else if (adding && handler_arg_is(ctx, p.at, "NOMKSTREAM"))
            options->no_make = true;
        else if (adding)
            break;
        else
            ok = fails(&p, reply_err_syntax);
        if (!ok)
            return false;
    }
    options->next = p.at;
    return settle(&p, adding);
}

uint64_t trim_options_apply(struct stream *s, const struct trim_options *options) {
    return options->given ? stream_trim(s, &options->trim) : 0;
}

void trim_options_words(const struct stream *s, const struct trim_options *options, char *text,
                        struct bytes argv_r[3]) {
    bool by_id = options->trim.by_id;
    argv_r[0] = by_id ? BYTES_LITERAL("MINID") : BYTES_LITERAL("MAXLEN");
    argv_r[1] = BYTES_LITERAL("=");
    argv_r[2] = options->trim.approximate && by_id ? stream_id_text(text, s->first_id)
                : by_id                            ? stream_id_text(text, options->trim.min_id)
                        : bytes_of(text, bytes_from_u64(text, s->length));
}
