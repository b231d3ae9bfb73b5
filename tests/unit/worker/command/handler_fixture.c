/* handler_fixture.c - see handler_fixture.h. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/command/slowlog.h"
#include "worker/resp/parse.h"

/* What waited is of no client that could be told of. */
static void slow_elsewhere(void *upper, const struct session *session, struct bytes body) {
}

struct fixture *fixture_create(void) {
    static const uint64_t seed[2] = {0x0123456789abcdef, 0xfedcba9876543210};
    static const struct keyspace_hooks no_hooks;
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->config = config_create();
    f->ks = keyspace_create((uint32_t)f->config->databases, seed, &no_hooks);
    keyspace_configure(f->ks, f->config);
    f->now_ms = FIXTURE_NOW_MS;
    keyspace_set_now(f->ks, f->now_ms);
    list_init(&f->sessions);
    list_init(&f->primaries);
    session_init(&f->session, SESSION_PUBLIC);
    f->session.authenticated = true;
    f->env.config = f->config;
    f->env.sessions = &f->sessions;
    f->env.primaries = &f->primaries;
    f->env.slowlog = slowlog_create(NULL);
    f->env.slow = slow_elsewhere;
    return f;
}

void fixture_free(struct fixture **f) {
    session_free(&(*f)->session);
    slowlog_free(&(*f)->env.slowlog);
    keyspace_free(&(*f)->ks);
    config_free(&(*f)->config);
    buf_free(&(*f)->reply);
    buf_free(&(*f)->logged);
    mem_free(*f);
    *f = NULL;
}

void fixture_advance(struct fixture *f, int64_t ms) {
    f->now_ms += ms;
    keyspace_set_now(f->ks, f->now_ms);
}

void fixture_configure(struct fixture *f, const char *name, const char *value) {
    char error[CONFIG_ERROR_BYTES];
    const struct option_row *row = option_find(bytes_of_text(name));
    if (row == NULL || config_set(f->config, row, bytes_of_text(value), error) != 0)
        PANIC("cannot set %s to %s", name, value);
    keyspace_configure(f->ks, f->config);
}

static void note_words(struct buf *out, uint32_t argc, const struct bytes *argv) {
    for (uint32_t i = 0; i < argc; i++) {
        if (out->len > 0 && i > 0)
            buf_append_text(out, " ");
        buf_append_bytes(out, argv[i]);
    }
}

static void note_log(struct fixture *f, const struct command_ctx *ctx) {
    struct resp_parser parser;
    size_t at = 0, consumed;
    buf_clear(&f->logged);
    if (ctx->dirty == 0 || !(ctx->cmd->flags & CMD_WRITE) || ctx->propagate_never)
        return;
    if (ctx->instead == NULL) {
        note_words(&f->logged, ctx->argc, ctx->argv);
        return;
    }
    resp_parser_init(&parser);
    parser.bulk_max = (uint64_t)f->config->proto_max_bulk_len;
    while (resp_parse(&parser, ctx->instead->data + at, ctx->instead->len - at, &consumed) ==
           RESP_COMMAND) {
        if (at > 0)
            buf_append_text(&f->logged, " | ");
        note_words(&f->logged, parser.argc, parser.argv);
        at += consumed;
    }
    resp_parser_free(&parser);
}

void fixture_run(struct fixture *f, uint32_t argc, const struct bytes *argv) {
    struct command_ctx ctx = {
        .ks = f->ks, .session = &f->session, .env = &f->env, .argv = argv, .argc = argc};
    ctx.reply.out = &f->reply;
    ctx.reply.version = f->session.resp;
    buf_clear(&f->reply);
    buf_clear(&f->logged);
    f->dirty = 0;
    if (f->env.loading) /* as the loader of a log runs it: not admitted, but looked up */
        ctx.cmd = command_lookup(argv, argc, NULL);
    else if (admit(&ctx) != ADMIT_OK)
        return;
    ctx.may_block = f->may_wait_as != 0;
    execute(&ctx);
    if (ctx.waiter != NULL)
        blocked_add(f->env.blocked, &ctx, (struct waiter_id){0, f->may_wait_as});
    f->dirty = ctx.dirty;
    note_log(f, &ctx);
}

const char *fixture_inline(struct fixture *f, const char *text) {
    struct resp_parser parser;
    struct buf line = {0};
    size_t consumed;
    buf_append_text(&line, text);
    buf_append_text(&line, "\r\n");
    resp_parser_init(&parser);
    parser.bulk_max = (uint64_t)f->config->proto_max_bulk_len;
    if (resp_parse(&parser, line.data, line.len, &consumed) != RESP_COMMAND)
        fail_msg("cannot parse: %s", text);
    fixture_run(f, parser.argc, parser.argv);
    resp_parser_free(&parser);
    buf_free(&line);
    *buf_reserve(&f->reply, 1) = '\0';
    return f->reply.data;
}

/* Bytes as a C literal shows them. */
static char *shown(const char *data, size_t len) {
    struct buf out = {0};
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c == '\r' || c == '\n')
            buf_append_text(&out, c == '\r' ? "\\r" : "\\n");
        else if (c < ' ' || c > '~')
            buf_printf(&out, "\\x%02x", c);
        else
            buf_append(&out, data + i, 1);
    }
    buf_append(&out, "", 1);
    return out.data;
}

static void fail_with(const char *what, struct bytes got, struct bytes want, const char *file,
                      int line) {
    char *shown_got = shown(got.ptr, got.len), *shown_want = shown(want.ptr, want.len);
    print_error("%s:%d: %s\n  got  %s\n  want %s\n", file, line, what, shown_got, shown_want);
    mem_free(shown_got);
    mem_free(shown_want);
    fail();
}

void expect_at(struct fixture *f, const char *text, const char *want, const char *file, int line) {
    fixture_inline(f, text);
    if (!bytes_equal(buf_bytes(&f->reply), bytes_of_text(want)))
        fail_with(text, buf_bytes(&f->reply), bytes_of_text(want), file, line);
}

void expect_log_at(struct fixture *f, const char *want, const char *file, int line) {
    if (!bytes_equal(buf_bytes(&f->logged), bytes_of_text(want)))
        fail_with("logged", buf_bytes(&f->logged), bytes_of_text(want), file, line);
}

int fixture_set_up(void **state) {
    *state = fixture_create();
    return 0;
}

int fixture_tear_down(void **state) {
    fixture_free((struct fixture **)state);
    return 0;
}
