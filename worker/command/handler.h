/* handler.h - what the handlers of data commands share: lookups that check the type, arguments that
 * answer for themselves, expiry times, and what is logged instead of the command given.
 *
 * A function that returns bool and gets the ctx has written the error reply when it returns false;
 * the handler then only returns. */
#ifndef REMUDA_COMMAND_HANDLER_H
#define REMUDA_COMMAND_HANDLER_H
#include "worker/command/command.h"

/* ---- keys ---- */
/* Find argument `index` as a key that holds `type` or nothing. False: it holds another type. */
bool handler_find(struct command_ctx *ctx, uint32_t index, enum key_access access,
                  enum value_type type, struct keyref *ref_r);
/* The same for a value already in hand. */
bool handler_check_type(struct command_ctx *ctx, const struct keyref *ref, enum value_type type);
/* The characters of a string key, which must be there. digits: BYTES_I64_MAX bytes. */
struct bytes handler_string(const struct keyref *ref, char *digits);
/* Store a value and take away the key's expiry, as SET and its like do. */
void handler_overwrite(struct keyref *ref, const struct value *value);

/* ---- arguments ---- */
bool handler_i64(struct command_ctx *ctx, uint32_t index, int64_t *value_r);
/* As above, with an error text of its own. */
bool handler_i64_or(struct command_ctx *ctx, uint32_t index, const char *error, int64_t *value_r);
/* A number of at least `least`; `error` is the answer to anything else. */
bool handler_i64_least(struct command_ctx *ctx, uint32_t index, int64_t least, const char *error,
                       int64_t *value_r);
/* Any number but the one that cannot be negated. */
bool handler_i64_negatable(struct command_ctx *ctx, uint32_t index, int64_t *value_r);
bool handler_long_double(struct command_ctx *ctx, uint32_t index, long double *value_r);
static inline bool handler_arg_is(const struct command_ctx *ctx, uint32_t index, const char *word) {
    return bytes_equal_nocase(ctx->argv[index], word);
}
/* The longest string that may be made: proto-max-bulk-len, or more if a log is replayed. */
uint64_t handler_length_max(const struct command_ctx *ctx);
/* A string of `len` bytes may be made. */
bool handler_length_ok(struct command_ctx *ctx, uint64_t len);
/* Argument `index` as the other database of MOVE or COPY: one that exists. On a node port there is
 * only database 0: cluster_error is the answer to another. */
bool handler_db(struct command_ctx *ctx, uint32_t index, const char *cluster_error, uint32_t *db_r);

/* Turn a range as commands give it (both ends included, negative from the end) into one within
 * 0..len-1. False: it is empty; nothing has been written. What lies before the beginning counts as
 * the beginning, so that -5 -9 of a short string is its first byte; where a command sees nothing in
 * a range that runs backward it asks handler_range_backward() first. */
bool handler_range(int64_t *start, int64_t *end, int64_t len);
static inline bool handler_range_backward(int64_t start, int64_t end) {
    return start < 0 && end < 0 && start > end;
}

/* ---- expiry ---- */
enum handler_unit { UNIT_SECONDS, UNIT_MILLISECONDS };
/* An amount of time from the client -> absolute milliseconds. False: it overflows. */
bool handler_expire_at(int64_t amount, enum handler_unit unit, bool relative, int64_t now_ms,
                       int64_t *at_ms_r);
/* Argument `index` as the positive time of SET, SETEX, GETEX. */
bool handler_expire_argument(struct command_ctx *ctx, uint32_t index, enum handler_unit unit,
                             bool relative, int64_t *at_ms_r);
/* A key given this time goes at once rather than being given it. Never while loading: the log says
 * itself when a key went. */
bool handler_expire_is_past(const struct command_ctx *ctx, int64_t at_ms);
/* Delete a key because its new expiry is past, and log the deletion in place of the command. */
void handler_expire_now(struct command_ctx *ctx, struct keyref *ref);

/* ---- the log ---- */
/* propagate_instead() with its arguments listed; a word is given as BYTES_LITERAL. */
#define handler_log(ctx, ...)                                                                      \
    propagate_instead(ctx, sizeof((struct bytes[]){__VA_ARGS__}) / sizeof(struct bytes),           \
                      (const struct bytes[]){__VA_ARGS__})
/* SET key value [PXAT at_ms | KEEPTTL] */
enum handler_set_log { SET_LOG_PLAIN, SET_LOG_EXPIRY, SET_LOG_KEEPTTL };
void handler_log_set(struct command_ctx *ctx, struct bytes key, struct bytes value,
                     enum handler_set_log how, int64_t at_ms);
/* PEXPIREAT key at_ms */
void handler_log_expiry(struct command_ctx *ctx, struct bytes key, int64_t at_ms);

#endif
