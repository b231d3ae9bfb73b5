/* write_back.c - commands that come from a lock's holder, or as a batch: run at the keys' owner, and logged there. */
#include "worker/route/gather.h"

void write_back_command(struct buf *out, uint32_t db, uint32_t argc, const struct bytes *argv) {
    if (out->len == 0)
        buf_append(out, &(struct propagate_part){0}, sizeof(struct propagate_part));
    buf_append(out, &db, sizeof(db));
    buf_append(out, &argc, sizeof(argc));
    frame_append(out, argc, argv);
}

/* Length of argc length-prefixed arguments at the front of body, or 0 if they are not whole. */
static size_t arguments_length(struct bytes body, uint32_t argc) {
    size_t at = 0;
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t len;
        if (body.len - at < sizeof(len))
            return 0;
        memcpy(&len, body.ptr + at, sizeof(len));
        at += sizeof(len);
        if (len > body.len - at)
            return 0;
        at += len;
    }
    return at;
}

/* One command of a WRITE_BACK, through execute() like any other. */
static bool write_back_one(struct router *r, struct bytes *body, struct buf *out) {
    uint32_t db, argc;
    if (body->len < 8)
        return false;
    memcpy(&db, body->ptr, 4);
    memcpy(&argc, body->ptr + 4, 4);
    struct bytes rest = bytes_of(body->ptr + 8, body->len - 8);
    size_t len = arguments_length(rest, argc);
    if (len == 0 || db >= keyspace_databases(r->ks))
        return false;
    const struct bytes *argv = frame_arguments(r, argc, bytes_of(rest.ptr, len));
    const struct command *cmd = argv ? command_lookup(argv, argc, NULL) : NULL;
    if (!cmd || !cmd->handler || !command_arity_ok(cmd, argc))
        return false;
    r->internal.db = db;
    r->internal.resp = 2;
    size_t mark = out->len;
    struct command_ctx ctx = router_context(r, &r->internal, cmd, argv, argc, out);
    ctx.accepted = true;
    execute(&ctx);
    if (ctx.reply.errors == 0)
        out->len = mark;
    *body = bytes_of(rest.ptr + len, rest.len - len);
    return ctx.reply.errors == 0;
}

bool write_back_run(struct router *r, struct bytes body, uint32_t count, bool batch,
                    struct buf *out) {
    const struct bytes multi = BYTES_LITERAL("MULTI"), exec = BYTES_LITERAL("EXEC");
    struct propagate_part head = {0};
    if (body.len < sizeof(head))
        return false;
    memcpy(&head, body.ptr, sizeof(head));
    struct bytes rest = bytes_of(body.ptr + sizeof(head), body.len - sizeof(head));
    uint32_t db = 0;
    if (rest.len >= sizeof(db))
        memcpy(&db, rest.ptr, sizeof(db)); /* of the first command */
    bool is_part = propagate_part_is_any(&head) && r->env->propagate != NULL, ok = true;
    bool is_framed = batch && r->env->propagate != NULL;
    if (is_part)
        propagate_part(r->env->propagate, &head);
    if (is_framed)
        propagate_command(r->env->propagate, db, 1, &multi);
    r->internal.upstream = batch;
    for (uint32_t i = 0; i < count && (ok || batch); i++)
        ok = write_back_one(r, &rest, out) && ok;
    r->internal.upstream = false;
    if (is_framed)
        propagate_command(r->env->propagate, r->internal.db, 1, &exec);
    if (is_part)
        propagate_part_end(r->env->propagate);
    return ok;
}

void gather_serve_write_back(struct router *r, uint32_t peer, const struct relay_frame *frame,
                             struct bytes body) {
    struct buf out = {0};
    bool ok = write_back_run(r, body, frame->argc, frame->flags & RELAY_UPSTREAM, &out);
    if (!ok && out.len == 0)
        buf_append_text(&out, "-ERR malformed relay frame\r\n");
    serve_answer(r, peer, frame, frame->type == RELAY_BATCH ? RELAY_REPLY : RELAY_WRITTEN,
                 ok ? 0 : RELAY_ERROR, buf_bytes(&out));
    buf_free(&out);
}
