/* config_text.c - a config as `name "value"` lines: how it crosses from process to process. */
#include "config/config.h"

#include "config/config_private.h"

void config_line(struct buf *out, struct bytes name, struct bytes value) {
    buf_append_bytes(out, name);
    buf_append(out, " ", 1);
    config_quote(out, value);
    buf_append(out, "\n", 1);
}

void config_to_text(const struct config *config, struct buf *out) {
    struct buf value = {0};
    for (uint32_t i = 0; i < option_count; i++) {
        buf_clear(&value);
        config_get(config, &option_rows[i], &value);
        config_line(out, bytes_of_text(option_rows[i].name), buf_bytes(&value));
    }
    buf_free(&value);
}

static int apply_line(struct config *config, struct bytes line, struct buf *value, char *error_r) {
    struct bytes name;
    if (!config_next_word(&line, &name))
        return 0;
    const struct option_row *row = option_find(name);
    if (row == NULL)
        return config_error(error_r, "unknown option '%.*s'", (int)(name.len < 64 ? name.len : 64),
                            name.ptr);
    buf_clear(value);
    if (config_unquote(line, value, NULL) != 0)
        return config_error(error_r, "%s: unbalanced quotes", row->name);
    char reason[CONFIG_ERROR_BYTES];
    if (config_set(config, row, buf_bytes(value), reason) == 0)
        return 0;
    return config_error(error_r, "%s: %.900s", row->name, reason);
}

int config_from_text(struct config *config, struct bytes text, char *error_r) {
    struct buf value = {0};
    int result = 0;
    while (text.len > 0 && result == 0) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        result = apply_line(config, bytes_of(text.ptr, len), &value, error_r);
        len += end != NULL;
        text = bytes_of(text.ptr + len, text.len - len);
    }
    buf_free(&value);
    return result;
}
