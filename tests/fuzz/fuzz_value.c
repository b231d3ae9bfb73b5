/* fuzz_value.c - any bytes as the body of a RESTORE: refused with a text, or a value that is written and
 * read again as the same; what lies in tables may have another order then. The first byte is the type, as in
 * a DUMP; a checksum would only keep the fuzzer out. */
#include "worker/persist/rdb_value.h"

#include "config/config.h"
#include "shared/base/panic.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_BYTES = 256 };

static bool is_in_tables(const struct value *value) {
    return value->type == VALUE_SET || value->type == VALUE_HASH || value->type == VALUE_STREAM;
}

static bool has_same_bytes_in_any_order(struct bytes a, struct bytes b) {
    static const size_t none[256];
    size_t surplus[256] = {0};
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        surplus[(unsigned char)a.ptr[i]]++;
        surplus[(unsigned char)b.ptr[i]]--;
    }
    return memcmp(surplus, none, sizeof surplus) == 0;
}

static void expect_same_again(const struct config *config, const struct value *value) {
    struct buf first = {0}, second = {0};
    struct value again;
    char error[TEXT_BYTES];
    rdb_value_write(&first, value, true);
    if (rdb_value_read(buf_bytes(&first), config, &again, error, sizeof error) != 0)
        PANIC("what was written is not read: %s", error);
    rdb_value_write(&second, &again, true);
    ASSERT(is_in_tables(value) ? has_same_bytes_in_any_order(buf_bytes(&first), buf_bytes(&second))
                               : bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    value_free(&again);
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct config *config;
    struct value value;
    char error[TEXT_BYTES] = "";
    if (config == NULL)
        config = config_create();
    /* A buffer of just this size, so that a byte read too far is found. */
    char *copy = malloc(size > 0 ? size : 1);
    if (size > 0)
        memcpy(copy, data, size);
    if (rdb_value_read(bytes_of(copy, size), config, &value, error, sizeof error) == 0) {
        /* A string's bytes may lie in the scratch that the next read uses. */
        if (value.type != VALUE_STRING)
            expect_same_again(config, &value);
        value_free(&value);
    } else {
        ASSERT(error[0] != '\0');
    }
    free(copy);
    return 0;
}
