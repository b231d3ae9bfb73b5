/* client.c - expectations of replies, through hiredis. */
#include "tests/integration/pool_fixture.h"
#include <errno.h>
#include <signal.h>

redisContext *client_try_connect(int port) {
    struct timeval limit = {.tv_sec = CLIENT_WAIT_S};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, limit);
    if (c && !c->err) {
        redisSetTimeout(c, limit);
        return c;
    }
    if (c)
        redisFree(c);
    return NULL;
}

redisContext *client_connect(int port) {
    redisContext *c = client_try_connect(port);
    if (!c)
        fail_msg("cannot connect to port %d: %s", port, strerror(errno));
    return c;
}

static void show(const redisReply *r, char *out, size_t room) {
    switch (r->type) {
    case REDIS_REPLY_STRING:
        snprintf(out, room, "\"%.*s\"", (int)(r->len < 200 ? r->len : 200), r->str);
        break;
    case REDIS_REPLY_STATUS: snprintf(out, room, "+%s", r->str); break;
    case REDIS_REPLY_ERROR: snprintf(out, room, "-%s", r->str); break;
    case REDIS_REPLY_INTEGER: snprintf(out, room, ":%lld", r->integer); break;
    case REDIS_REPLY_ARRAY: snprintf(out, room, "array of %zu", r->elements); break;
    default: snprintf(out, room, "nil"); break;
    }
}

/* What was sent, for messages: the format alone, if its arguments make no text. */
static redisReply *send_command(redisContext *c, const char *format, va_list arguments) {
    redisReply *reply = redisvCommand(c, format, arguments);
    if (!reply)
        fail_msg("%s: connection lost: %s", format, c->errstr);
    return reply;
}

static _Noreturn void unexpected(const char *format, redisReply *reply, const char *expected) {
    char shown[256];
    show(reply, shown, sizeof(shown));
    freeReplyObject(reply);
    fail_msg("%s: got %s, expected %s", format, shown, expected);
    abort();
}

#define SEND(c, reply, format)                                                                     \
    va_list arguments_;                                                                            \
    va_start(arguments_, format);                                                                  \
    redisReply *reply = send_command(c, format, arguments_);                                       \
    va_end(arguments_)

void expect_text(redisContext *c, const char *expected, const char *format, ...) {
    SEND(c, reply, format);
    bool text = reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
    if (!text || (size_t)reply->len != strlen(expected) ||
        memcmp(reply->str, expected, strlen(expected)) != 0)
        unexpected(format, reply, expected);
    freeReplyObject(reply);
}

void expect_integer(redisContext *c, int64_t expected, const char *format, ...) {
    char text[32];
    SEND(c, reply, format);
    snprintf(text, sizeof(text), ":%lld", (long long)expected);
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer != expected)
        unexpected(format, reply, text);
    freeReplyObject(reply);
}

void expect_nil(redisContext *c, const char *format, ...) {
    SEND(c, reply, format);
    if (reply->type != REDIS_REPLY_NIL)
        unexpected(format, reply, "nil");
    freeReplyObject(reply);
}

void expect_error(redisContext *c, const char *beginning, const char *format, ...) {
    SEND(c, reply, format);
    if (reply->type != REDIS_REPLY_ERROR || strncmp(reply->str, beginning, strlen(beginning)) != 0)
        unexpected(format, reply, beginning);
    freeReplyObject(reply);
}

redisReply *expect_reply(redisContext *c, const char *format, ...) {
    SEND(c, reply, format);
    if (reply->type == REDIS_REPLY_ERROR)
        unexpected(format, reply, "no error");
    return reply;
}

int64_t ask_integer(redisContext *c, const char *format, ...) {
    SEND(c, reply, format);
    if (reply->type != REDIS_REPLY_INTEGER)
        unexpected(format, reply, "an integer");
    int64_t value = reply->integer;
    freeReplyObject(reply);
    return value;
}

redisReply *ask(redisContext **c, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(*c, format, arguments);
    va_end(arguments);
    if (!reply) {
        redisFree(*c);
        *c = NULL;
    }
    return reply;
}

const char *info_field(redisContext *c, const char *section, const char *field) {
    static char value[512];
    char line[128];
    redisReply *reply = expect_reply(c, "INFO %s", section);
    snprintf(line, sizeof(line), "\n%s:", field);
    const char *at = strstr(reply->str, line);
    value[0] = 0;
    if (at) {
        at += strlen(line);
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r\n"), at);
    }
    freeReplyObject(reply);
    return value;
}

const char *reply_field(const redisReply *array, const char *name) {
    for (size_t i = 0; i + 1 < array->elements; i += 2) {
        if (array->element[i]->str && strcmp(array->element[i]->str, name) == 0)
            return array->element[i + 1]->str ? array->element[i + 1]->str : "";
    }
    return "";
}
