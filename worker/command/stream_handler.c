/* stream_handler.c - see stream_handler.h. */
#include "worker/command/stream_handler.h"

#include "shared/base/mem.h"
#include "worker/command/server_private.h"

#include <errno.h>
#include <stdlib.h>

const char stream_err_id[] = "ERR Invalid stream ID specified as stream command argument";

/* ---- ids ---- */

/* Redis reads with strtoull what is no plain number: blanks and a sign may stand before it. */
static bool half_of_id(const char *text, uint64_t *half_r) {
    int64_t number;
    if (bytes_to_i64(bytes_of_text(text), &number)) {
        *half_r = (uint64_t)number;
        return number >= 0;
    }
    char *end;
    errno = 0;
    *half_r = strtoull(text, &end, 10);
    return errno == 0 && *text != '\0' && *end == '\0';
}

bool stream_id_of(struct bytes text, uint64_t missing_seq, struct stream_id *id_r) {
    enum { TEXT_MAX = 127 };
    char copy[TEXT_MAX + 1];
    if (text.len > TEXT_MAX)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    char *dash = strchr(copy, '-');
    id_r->seq = missing_seq;
    if (dash != NULL)
        *dash = '\0';
    return half_of_id(copy, &id_r->ms) && (dash == NULL || half_of_id(dash + 1, &id_r->seq));
}

bool stream_id_argument(struct command_ctx *ctx, uint32_t index, uint64_t missing_seq,
                        struct stream_id *id_r) {
    if (stream_id_of(ctx->argv[index], missing_seq, id_r))
        return true;
    reply_error(&ctx->reply, stream_err_id);
    return false;
}

struct stream_id *stream_id_arguments(struct command_ctx *ctx, uint32_t first) {
    struct stream_id *ids = mem_alloc((ctx->argc - first) * sizeof(*ids));
    for (uint32_t i = first; i < ctx->argc; i++) {
        if (!stream_id_argument(ctx, i, 0, &ids[i - first])) {
            mem_free(ids);
            return NULL;
        }
    }
    return ids;
}

/* exclusive_r: "(" stood before it. */
static bool range_argument(struct command_ctx *ctx, uint32_t index, uint64_t missing_seq,
                           struct stream_id *id_r, bool *exclusive_r) {
    struct bytes text = ctx->argv[index];
    *exclusive_r = text.len > 1 && text.ptr[0] == '(';
    if (*exclusive_r)
        text = bytes_of(text.ptr + 1, text.len - 1);
    bool edge = !*exclusive_r && text.len == 1;
    if (edge && text.ptr[0] == '-')
        *id_r = stream_id_min;
    else if (edge && text.ptr[0] == '+')
        *id_r = stream_id_max;
    else if (!stream_id_of(text, missing_seq, id_r)) {
        reply_error(&ctx->reply, stream_err_id);
        return false;
    }
    return true;
}

bool stream_start_argument(struct command_ctx *ctx, uint32_t index, struct stream_id *id_r) {
    bool exclusive;
    if (!range_argument(ctx, index, 0, id_r, &exclusive))
        return false;
    if (!exclusive || stream_id_up(id_r))
        return true;
    reply_error(&ctx->reply, "ERR invalid start ID for the interval");
    return false;
}

bool stream_end_argument(struct command_ctx *ctx, uint32_t index, struct stream_id *id_r) {
    bool exclusive;
    if (!range_argument(ctx, index, UINT64_MAX, id_r, &exclusive))
        return false;
    if (!exclusive || stream_id_down(id_r))
        return true;
    reply_error(&ctx->reply, "ERR invalid end ID for the interval");
    return false;
}

struct bytes stream_id_text(char *text, struct stream_id id) {
    size_t len = bytes_from_u64(text, id.ms);
    text[len++] = '-';
    return bytes_of(text, len + bytes_from_u64(text + len, id.seq));
}

void stream_reply_id(struct reply *r, struct stream_id id) {
    char text[STREAM_ID_TEXT_MAX];
    reply_bulk(r, stream_id_text(text, id));
}

/* ---- streams and groups ---- */

bool stream_find(struct command_ctx *ctx, uint32_t index, enum key_access access,
                 struct keyref *ref_r, struct stream **stream_r) {
    *stream_r = NULL;
    if (!handler_find(ctx, index, access, VALUE_STREAM, ref_r))
        return false;
    if (keyref_found(ref_r)) {
        struct value value = keyref_value(ref_r);
        *stream_r = stream_of(&value);
    }
    return true;
}

bool stream_find_group(struct command_ctx *ctx, uint32_t index, const char *suffix,
                       struct keyref *ref_r, struct stream_group **group_r) {
    struct stream *s;
    if (!stream_find(ctx, index, KEY_READ, ref_r, &s))
        return false;
    *group_r = s != NULL ? stream_group_find(s, ctx->argv[index + 1]) : NULL;
    if (*group_r != NULL)
        return true;
    reply_error_format(&ctx->reply, "NOGROUP No such key '%.*s' or consumer group '%.*s'%s",
                       SHOWN(ctx->argv[index]), SHOWN(ctx->argv[index + 1]), suffix);
    return false;
}

struct stream_consumer *stream_consumer_seen(struct command_ctx *ctx, struct bytes key,
                                             struct stream_group *group, struct bytes name) {
    struct stream_consumer *consumer = stream_consumer_find(group, name);
    if (consumer == NULL) {
        consumer = stream_consumer_create(group, name, ctx_now_ms(ctx));
        handler_log(ctx, BYTES_LITERAL("XGROUP"), BYTES_LITERAL("CREATECONSUMER"), key,
                    stream_group_name(group), name);
        ctx->dirty++;
    }
    consumer->seen_ms = ctx_now_ms(ctx);
    return consumer;
}

struct stream_limits stream_limits_of(const struct command_ctx *ctx) {
    const struct config *config = ctx_config(ctx);
    return (struct stream_limits){.block_bytes = (uint64_t)config->stream_node_max_bytes,
                                  .block_entries = (uint64_t)config->stream_node_max_entries};
}

/* ---- replies ---- */

void stream_reply_entry(struct reply *r, struct stream_entry *entry) {
    struct bytes field, value;
    reply_array(r, 2);
    stream_reply_id(r, entry->id);
    reply_array(r, 2 * (size_t)entry->pairs);
    for (uint32_t i = 0; i < entry->pairs; i++) {
        stream_entry_pair(entry, &field, &value);
        reply_bulk(r, field);
        reply_bulk(r, value);
    }
}

bool stream_reply_entry_of(struct reply *r, const struct stream *s, struct stream_id id) {
    struct stream_iterator it;
    struct stream_entry entry;
    stream_iterate(s, id, id, false, &it);
    bool found = stream_next(&it, &entry);
    if (found)
        stream_reply_entry(r, &entry);
    return found;
}

/* ---- the log ---- */

void stream_log_group(struct command_ctx *ctx, struct bytes key, const struct stream_group *group) {
    char id[STREAM_ID_TEXT_MAX], digits[BYTES_I64_MAX];
    handler_log(ctx, BYTES_LITERAL("XGROUP"), BYTES_LITERAL("SETID"), key, stream_group_name(group),
                stream_id_text(id, group->last_id), BYTES_LITERAL("ENTRIESREAD"),
                bytes_of(digits, bytes_from_i64(digits, group->entries_read)));
}

/* XCLAIM key group consumer 0 id ... TIME ms RETRYCOUNT n FORCE JUSTID LASTID last */
static void log_claims(struct stream_claims *c) {
    enum { BEFORE = 5, BEHIND = 8 };
    struct bytes *argv = mem_alloc((BEFORE + c->count + BEHIND) * sizeof(*argv));
    char *texts = mem_alloc((size_t)c->count * STREAM_ID_TEXT_MAX);
    char last[STREAM_ID_TEXT_MAX], time[BYTES_I64_MAX], deliveries[BYTES_I64_MAX];
    const struct bytes before[BEFORE] = {BYTES_LITERAL("XCLAIM"), c->key,
                                         stream_group_name(c->group),
                                         stream_consumer_name(c->consumer), BYTES_LITERAL("0")};
    const struct bytes behind[BEHIND] = {
        BYTES_LITERAL("TIME"),
        bytes_of(time, bytes_from_i64(time, c->delivered_ms)),
        BYTES_LITERAL("RETRYCOUNT"),
        bytes_of(deliveries, bytes_from_u64(deliveries, c->deliveries)),
        BYTES_LITERAL("FORCE"),
        BYTES_LITERAL("JUSTID"),
        BYTES_LITERAL("LASTID"),
        stream_id_text(last, c->group->last_id)};
    memcpy(argv, before, sizeof before);
    for (uint32_t i = 0; i < c->count; i++)
        argv[BEFORE + i] = stream_id_text(texts + (size_t)i * STREAM_ID_TEXT_MAX, c->ids[i]);
    memcpy(argv + BEFORE + c->count, behind, sizeof behind);
    propagate_instead(c->ctx, BEFORE + c->count + BEHIND, argv);
    mem_free(texts);
    mem_free(argv);
    c->count = 0;
}

void stream_claims_add(struct stream_claims *c, struct stream_id id,
                       const struct stream_pending *pending) {
    if (c->count > 0 &&
        (pending->delivered_ms != c->delivered_ms || pending->deliveries != c->deliveries))
        log_claims(c);
    if (c->count == c->room) {
        c->room = c->room > 0 ? c->room * 2 : 16;
        c->ids = mem_realloc(c->ids, c->room * sizeof(*c->ids));
    }
    c->delivered_ms = pending->delivered_ms;
    c->deliveries = pending->deliveries;
    c->ids[c->count++] = id;
}

void stream_claims_end(struct stream_claims *c) {
    if (c->count > 0)
        log_claims(c);
    mem_free(c->ids);
    *c = (struct stream_claims){0};
}
