/* config_rewrite.c - pool.ini with the live values: comments and order stay.
 *
 * A line whose value still says the live value stays byte for byte. An option that is not in the
 * file and not at its default goes behind its commented-out line, or to the end of its section, or
 * into a section added at the end. Comments and blank lines are held back until it is known that no
 * option must go before them. */
#include "config/config.h"

#include "config/config_private.h"
#include "shared/base/mem.h"
#include "shared/base/publish.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

struct rewriter {
    const struct config *live;
    struct config *defaults;
    struct config *scratch; /* for reading a line's old value */
    bool *done;             /* option i is in the file, or has been added */
    const char *section;    /* of the rows' texts; NULL before the first */
    struct buf held;        /* comments and blank lines not yet written */
    struct buf *out;
};

struct ini_line {
    const struct option_row *row; /* NULL if the line gives no option */
    bool commented_out;           /* ;name = value */
    struct bytes before, value;   /* up to the value, and from it on, without the line's end */
};

static struct bytes next_line(struct bytes *text) {
    const char *end = memchr(text->ptr, '\n', text->len);
    size_t len = end ? (size_t)(end - text->ptr) + 1 : text->len;
    struct bytes line = bytes_of(text->ptr, len);
    *text = bytes_of(text->ptr + len, text->len - len);
    return line;
}

static struct ini_line split_line(struct bytes line) {
    struct ini_line split = {0};
    struct bytes text = config_trim(line);
    while (text.len > 0 && (text.ptr[0] == ';' || text.ptr[0] == '#')) {
        split.commented_out = true;
        text = config_trim(bytes_of(text.ptr + 1, text.len - 1));
    }
    size_t name_len = 0;
    /* In prose "name: ..." is a sentence, not an option taken out. */
    const char *separators = split.commented_out ? "=" : "=:";
    while (name_len < text.len && !strchr(separators, text.ptr[name_len]))
        name_len++;
    if (name_len == text.len)
        return split;
    split.row = option_find(config_trim(bytes_of(text.ptr, name_len)));
    const char *value = text.ptr + name_len + 1, *end = text.ptr + text.len;
    split.value = config_trim(bytes_of(value, (size_t)(end - value)));
    split.before = bytes_of(line.ptr, (size_t)(split.value.ptr - line.ptr));
    return split;
}

static bool same_value(const struct config *a, const struct config *b,
                       const struct option_row *row) {
    struct buf text_a = {0}, text_b = {0};
    config_get(a, row, &text_a);
    config_get(b, row, &text_b);
    bool same = bytes_equal(buf_bytes(&text_a), buf_bytes(&text_b));
    buf_free(&text_a);
    buf_free(&text_b);
    return same;
}

static void append_value(struct rewriter *rw, const struct option_row *row) {
    struct buf value = {0};
    config_get(rw->live, row, &value);
    config_quote_if_needed(rw->out, buf_bytes(&value));
    buf_free(&value);
}

static void flush_held(struct rewriter *rw) {
    buf_append_bytes(rw->out, buf_bytes(&rw->held));
    buf_clear(&rw->held);
}

/* A last line without an end gets one before anything follows it. */
static void end_line(struct rewriter *rw) {
    if (rw->out->len > 0 && rw->out->data[rw->out->len - 1] != '\n')
        buf_append(rw->out, "\n", 1);
}

static bool to_be_added(const struct rewriter *rw, const struct option_row *row) {
    return !rw->done[row - option_rows] && !same_value(rw->live, rw->defaults, row);
}

static void add_option(struct rewriter *rw, const struct option_row *row) {
    end_line(rw);
    buf_printf(rw->out, "%s = ", row->name);
    append_value(rw, row);
    buf_append(rw->out, "\n", 1);
    rw->done[row - option_rows] = true;
}

static void add_rest_of_section(struct rewriter *rw) {
    for (uint32_t i = 0; rw->section && i < option_count; i++)
        if (strcmp(option_rows[i].section, rw->section) == 0 && to_be_added(rw, &option_rows[i]))
            add_option(rw, &option_rows[i]);
}

static void add_missing_sections(struct rewriter *rw) {
    for (uint32_t i = 0; i < option_count; i++)
        if (to_be_added(rw, &option_rows[i])) {
            end_line(rw);
            rw->section = option_rows[i].section;
            buf_printf(rw->out, "\n[%s]\n", rw->section);
            add_rest_of_section(rw);
        }
}

static void rewrite_option(struct rewriter *rw, struct bytes line, const struct ini_line *split) {
    struct buf old = {0};
    struct bytes comment = {0};
    char ignored[CONFIG_ERROR_BYTES];
    bool readable = config_unquote(split->value, &old, &comment) == 0 &&
                    config_set(rw->scratch, split->row, buf_bytes(&old), ignored) == 0;
    buf_free(&old);
    if (readable && same_value(rw->live, rw->scratch, split->row)) {
        buf_append_bytes(rw->out, line);
        return;
    }
    buf_append_bytes(rw->out, split->before);
    append_value(rw, split->row);
    if (readable && comment.len > 0) {
        if (comment.ptr[0] == ';' || comment.ptr[0] == '#')
            buf_append(rw->out, " ", 1);
        buf_append_bytes(rw->out, comment);
    }
    size_t used = (size_t)(split->value.ptr + split->value.len - line.ptr);
    buf_append(rw->out, line.ptr + used, line.len - used);
}

static const char *section_of(struct bytes line) {
    struct bytes text = config_trim(line);
    if (text.len == 0 || text.ptr[0] != '[')
        return NULL;
    size_t len = 0;
    while (1 + len < text.len && text.ptr[1 + len] != ']')
        len++;
    for (uint32_t i = 0; i < option_count; i++)
        if (bytes_equal_nocase(bytes_of(text.ptr + 1, len), option_rows[i].section))
            return option_rows[i].section;
    return NULL;
}

static void rewrite_line(struct rewriter *rw, struct bytes line) {
    const char *section = section_of(line);
    struct ini_line split = {0};
    if (section) {
        add_rest_of_section(rw);
        rw->section = section;
        flush_held(rw);
        buf_append_bytes(rw->out, line);
        return;
    }
    split = split_line(line);
    if (split.row == NULL) {
        buf_append_bytes(&rw->held, line);
        return;
    }
    flush_held(rw);
    if (!split.commented_out) {
        rewrite_option(rw, line, &split);
        return;
    }
    buf_append_bytes(rw->out, line);
    if (rw->section && strcmp(rw->section, split.row->section) == 0 && to_be_added(rw, split.row))
        add_option(rw, split.row);
}

static void mark_present(struct rewriter *rw, struct bytes text) {
    while (text.len > 0) {
        struct ini_line split = split_line(next_line(&text));
        if (split.row && !split.commented_out)
            rw->done[split.row - option_rows] = true;
    }
}

void config_rewrite_text(const struct config *config, struct bytes old, struct buf *out) {
    struct rewriter rw = {.live = config,
                          .defaults = config_create(),
                          .scratch = config_create(),
                          .done = mem_calloc(option_count, sizeof(bool)),
                          .out = out};
    struct bytes text = config_skip_mark(old);
    buf_append(out, old.ptr, old.len - text.len);
    mark_present(&rw, text);
    while (text.len > 0)
        rewrite_line(&rw, next_line(&text));
    add_rest_of_section(&rw);
    flush_held(&rw);
    add_missing_sections(&rw);
    buf_free(&rw.held);
    mem_free(rw.done);
    config_free(&rw.scratch);
    config_free(&rw.defaults);
}

/* The new text must read back as the live values: a file that does not is never published. */
static int verify(const struct config *config, const char *path, struct bytes text, char *error_r) {
    struct config *read_back = config_create();
    int result = config_load_bytes(read_back, path, text, error_r);
    for (uint32_t i = 0; result == 0 && i < option_count; i++)
        if (!same_value(config, read_back, &option_rows[i]))
            result = config_error(error_r, "%.300s: %s cannot be written so that it reads back",
                                  path, option_rows[i].name);
    config_free(&read_back);
    return result;
}

static int publish_at(const char *path, struct bytes text, char *error_r) {
    char real[PATH_MAX];
    if (realpath(path, real) == NULL)
        return config_error(error_r, "%.300s: %s", path, strerror(errno));
    char *slash = strrchr(real, '/');
    *slash = '\0';
    return publish(slash == real ? "/" : real, slash + 1, text, error_r, CONFIG_ERROR_BYTES);
}

int config_rewrite_file(const struct config *config, const char *path, char *error_r) {
    struct buf old = {0}, text = {0};
    int result = config_read_file(path, &old, error_r);
    if (result == 0) {
        config_rewrite_text(config, buf_bytes(&old), &text);
        result = verify(config, path, buf_bytes(&text), error_r);
    }
    if (result == 0)
        result = publish_at(path, buf_bytes(&text), error_r);
    buf_free(&text);
    buf_free(&old);
    return result;
}
