/* fuzz_config.c - any bytes as pool.ini and as `name value` lines: refused with a text, or taken; and
 * what was taken crosses as text, and is written and read back, unchanged. */
#include "config/config_private.h"

#include "shared/base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char error[CONFIG_ERROR_BYTES];

static void assert_same(const struct config *a, const struct config *b) {
    struct buf text_a = {0}, text_b = {0};
    config_to_text(a, &text_a);
    config_to_text(b, &text_b);
    ASSERT(bytes_equal(buf_bytes(&text_a), buf_bytes(&text_b)));
    buf_free(&text_a);
    buf_free(&text_b);
}

/* Written into `file`, the text reads back as this config. */
static void assert_rewrites(const struct config *config, struct bytes file) {
    struct buf written = {0};
    struct config *read_back = config_create();
    config_rewrite_text(config, file, &written);
    if (config_load_bytes(read_back, "fuzz", buf_bytes(&written), error) != 0)
        PANIC("%s in:\n%.*s", error, (int)written.len, written.data);
    assert_same(config, read_back);
    config_free(&read_back);
    buf_free(&written);
}

static void assert_crosses(const struct config *config) {
    struct buf text = {0};
    struct config *other = config_create();
    config_to_text(config, &text);
    ASSERT(config_from_text(other, buf_bytes(&text), error) == 0);
    assert_same(config, other);
    config_free(&other);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes text = bytes_of((const char *)data, size);
    struct config *from_file = config_create(), *from_lines = config_create();
    bool file_taken = config_load_bytes(from_file, "fuzz", text, error) == 0;
    if (config_from_text(from_lines, text, error) == 0)
        assert_crosses(from_lines);
    if (file_taken) {
        config_check(from_file, error);
        assert_crosses(from_file);
        assert_rewrites(from_file, text);
        assert_rewrites(from_lines, text);
    }
    config_free(&from_file);
    config_free(&from_lines);
    return 0;
}
