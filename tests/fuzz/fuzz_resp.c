/* fuzz_resp.c - any bytes from a client: parsed whole and in two parts with the same outcome, every
 * argument inside the buffer or the parser's own, and read as a reply without harm. */
#include "worker/resp/parse.h"
#include "worker/resp/reply.h"

#include "shared/base/crc.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    uint64_t digest; /* of all arguments of all commands */
    size_t consumed;
    enum resp_result end;
};

static void digest_command(const struct resp_parser *parser, struct outcome *outcome) {
    for (uint32_t i = 0; i < parser->argc; i++) {
        uint64_t len = parser->argv[i].len;
        outcome->digest = crc64(outcome->digest, &len, sizeof len);
        outcome->digest = crc64(outcome->digest, parser->argv[i].ptr, parser->argv[i].len);
    }
    outcome->digest = crc64(outcome->digest, &parser->argc, sizeof parser->argc);
}

/* The stream, of which at first only `cut` bytes are there. Each call gets a buffer of its own size,
 * so that a byte read too far is found. */
static struct outcome run(const char *data, size_t size, size_t cut) {
    struct outcome outcome = {.end = RESP_MORE};
    struct resp_parser parser;
    resp_parser_init(&parser);
    parser.bulk_max = 1024 * 1024;
    for (size_t have = cut;;) {
        size_t len = have - outcome.consumed, consumed;
        char *copy = mem_alloc(len + 1);
        copy = mem_realloc(copy, len > 0 ? len : 1);
        memcpy(copy, data + outcome.consumed, len);
        outcome.end = resp_parse(&parser, copy, len, &consumed);
        ASSERT(consumed <= len);
        ASSERT(outcome.end != RESP_COMMAND || consumed > 0);
        if (outcome.end == RESP_COMMAND)
            digest_command(&parser, &outcome);
        mem_free(copy);
        outcome.consumed += consumed;
        if (outcome.end == RESP_PROTOCOL_ERROR || (outcome.end == RESP_MORE && have == size))
            break;
        if (outcome.end == RESP_MORE)
            have = size;
    }
    resp_parser_free(&parser);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size == 0)
        return 0;
    const char *data = (const char *)bytes + 1;
    size--;
    struct outcome whole = run(data, size, size);
    struct outcome parts = run(data, size, size * bytes[0] / 255);
    ASSERT(whole.digest == parts.digest && whole.consumed == parts.consumed &&
           whole.end == parts.end);
    char type;
    int64_t number;
    ASSERT(resp_value_length(data, size) <= size);
    ASSERT(resp_header(data, size, &type, &number) <= size);
    return 0;
}
