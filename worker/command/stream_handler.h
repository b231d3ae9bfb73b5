/* stream_handler.h - what the handlers of stream commands (cmd_stream*.c) share: ids as arguments and
 * in replies, streams and groups looked up, entries in replies, what the log is told. As in handler.h,
 * a function that returns bool and gets the ctx has written the error reply when it returns false. */
#ifndef REMUDA_COMMAND_STREAM_HANDLER_H
#define REMUDA_COMMAND_STREAM_HANDLER_H
#include "worker/command/handler.h"
#include "worker/types/stream_group.h"

extern const char stream_err_id[]; /* ERR Invalid stream ID specified as stream command argument */

/* ---- ids ---- */
/* "ms-seq", or "ms" and missing_seq. No reply. */
bool stream_id_of(struct bytes text, uint64_t missing_seq, struct stream_id *id_r);
/* The same of argument `index`. */
bool stream_id_argument(struct command_ctx *ctx, uint32_t index, uint64_t missing_seq,
                        struct stream_id *id_r);
/* Arguments from `first` on, all of them ids. The array is the caller's to free. NULL: replied. */
struct stream_id *stream_id_arguments(struct command_ctx *ctx, uint32_t first);
/* An end of a range: an id, "-", "+", or "(" and an id, which is then not in the range. */
bool stream_start_argument(struct command_ctx *ctx, uint32_t index, struct stream_id *id_r);
bool stream_end_argument(struct command_ctx *ctx, uint32_t index, struct stream_id *id_r);

enum { STREAM_ID_TEXT_MAX = 2 * BYTES_I64_MAX };
/* text: STREAM_ID_TEXT_MAX bytes. */
struct bytes stream_id_text(char *text, struct stream_id id);
void stream_reply_id(struct reply *r, struct stream_id id);

/* ---- streams and groups ---- */
/* Argument `index` as a stream; *stream_r NULL if the key is absent. False: another type. */
bool stream_find(struct command_ctx *ctx, uint32_t index, enum key_access access,
                 struct keyref *ref_r, struct stream **stream_r);
/* Arguments `index` and `index + 1` as key and group. False: another type, or NOGROUP with `suffix`
 * at its end. */
bool stream_find_group(struct command_ctx *ctx, uint32_t index, const char *suffix,
                       struct keyref *ref_r, struct stream_group **group_r);
/* The consumer of a name, made and logged if it is new. It is seen now. */
struct stream_consumer *stream_consumer_seen(struct command_ctx *ctx, struct bytes key,
                                             struct stream_group *group, struct bytes name);
struct stream_limits stream_limits_of(const struct command_ctx *ctx);

/* ---- replies ---- */
/* [ id, [ field, value ... ] ] */
void stream_reply_entry(struct reply *r, struct stream_entry *entry);
/* The entry of an id as above; false, and nothing written, if it is not in the stream. */
bool stream_reply_entry_of(struct reply *r, const struct stream *s, struct stream_id id);

/* ---- the log ---- */
/* XGROUP SETID key group last ENTRIESREAD n */
void stream_log_group(struct command_ctx *ctx, struct bytes key, const struct stream_group *group);
/* Entries that went to a consumer, as XCLAIM: those that were delivered alike are one command. */
struct stream_claims {
    struct command_ctx *ctx;
    struct bytes key;
    const struct stream_group *group;
    const struct stream_consumer *consumer;
    struct stream_id *ids;
    uint32_t count, room;
    int64_t delivered_ms;
    uint64_t deliveries;
};
void stream_claims_add(struct stream_claims *claims, struct stream_id id,
                       const struct stream_pending *pending);
/* Log what is left, and free. */
void stream_claims_end(struct stream_claims *claims);

#endif
