/* config_load.c - pool.ini -> config, read with inih, refused at the first line that is not right.
 *
 * inih splits sections, names and values. What it would pass over in silence is refused by the
 * reader that hands it the lines: lines too long for its buffer, NUL bytes, text behind a section's
 * name, unknown sections without options. Comments behind a value and quotes are ours
 * (config_quote.c), so that a password may hold ; and #. */
#include "config/config.h"

#include "config/config_private.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <strings.h>
#include <unistd.h>

enum { SHOWN_BYTES = 60 };
/* One number an option, known at compile time. */
enum {
#define OPTION(field, ...) INDEX_##field,
#include "config/options.def"
#undef OPTION
    OPTIONS
};

struct loader {
    struct config *config;
    const char *path;
    struct bytes rest;          /* lines not yet handed out */
    struct bytes line;          /* the one handed out last */
    uint32_t line_number;       /* its number, from 1 */
    uint32_t given_on[OPTIONS]; /* the line that gave option i, 0 if none did */
    struct buf value;
    char *error_r;
    bool failed;
};

/* "path:line: text"; the first error stays. Returns 0, inih's word for failure. */
static int __attribute__((format(printf, 2, 3)))
fail(struct loader *loader, const char *format, ...) {
    if (loader->failed)
        return 0;
    char text[CONFIG_ERROR_BYTES - 256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    config_error(loader->error_r, "%.200s:%u: %s", loader->path, loader->line_number, text);
    loader->failed = true;
    return 0;
}

struct shown {
    char text[SHOWN_BYTES + 4];
};

/* Foreign text for an error message: short, no control bytes. */
static struct shown show(struct bytes text) {
    struct shown shown;
    size_t len = text.len < SHOWN_BYTES ? text.len : SHOWN_BYTES;
    for (size_t i = 0; i < len; i++)
        shown.text[i] = (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f ? '?' : text.ptr[i];
    strcpy(shown.text + len, text.len > len ? "..." : "");
    return shown;
}

static bool section_exists(struct bytes name) {
    for (uint32_t i = 0; i < option_count; i++)
        if (bytes_equal_nocase(name, option_rows[i].section))
            return true;
    return false;
}

static void sections_append(struct buf *out) {
    for (uint32_t i = 0; i < option_count; i++)
        if (i == 0 || strcmp(option_rows[i].section, option_rows[i - 1].section) != 0)
            buf_printf(out, "%s[%s]", i ? " " : "", option_rows[i].section);
}

/* line: trimmed, begins with '['. A missing ']' is left to inih. */
static bool section_line_ok(struct loader *loader, struct bytes line) {
    const char *end = memchr(line.ptr, ']', line.len);
    if (end == NULL)
        return true;
    struct bytes name = bytes_of(line.ptr + 1, (size_t)(end - line.ptr) - 1);
    struct bytes after = config_trim(bytes_of(end + 1, line.len - name.len - 2));
    if (!section_exists(name)) {
        struct buf sections = {0};
        sections_append(&sections);
        fail(loader, "unknown section [%s]; there are %.*s", show(name).text, (int)sections.len,
             sections.data);
        buf_free(&sections);
        return false;
    }
    if (after.len > 0 && after.ptr[0] != ';' && after.ptr[0] != '#') {
        fail(loader, "'%s' stands behind [%s]; options begin on a line of their own",
             show(after).text, show(name).text);
        return false;
    }
    return true;
}

/* An ini_reader: the next line into out, or NULL at the end and after an error. */
static char *next_line(char *out, int out_bytes, void *stream) {
    struct loader *loader = stream;
    if (loader->rest.len == 0 || loader->failed)
        return NULL;
    const char *end = memchr(loader->rest.ptr, '\n', loader->rest.len);
    size_t len = end ? (size_t)(end - loader->rest.ptr) + 1 : loader->rest.len;
    loader->line = bytes_of(loader->rest.ptr, len);
    loader->rest = bytes_of(loader->rest.ptr + len, loader->rest.len - len);
    loader->line_number++;
    if (len >= (size_t)out_bytes || len > CONFIG_LINE_MAX_BYTES) {
        fail(loader, "line of %zu bytes, longer than %d", len, CONFIG_LINE_MAX_BYTES);
        return NULL;
    }
    if (memchr(loader->line.ptr, '\0', len)) {
        fail(loader, "NUL byte in the line");
        return NULL;
    }
    struct bytes trimmed = config_trim(loader->line);
    if (trimmed.len > 0 && trimmed.ptr[0] == '[' && !section_line_ok(loader, trimmed))
        return NULL;
    memcpy(out, loader->line.ptr, len);
    out[len] = '\0';
    return out;
}

static int fail_unknown(struct loader *loader, const char *section, const char *name) {
    const char *nearest = option_nearest(bytes_of_text(name));
    if (nearest)
        return fail(loader, "unknown option '%s' in [%s]; did you mean '%s'?",
                    show(bytes_of_text(name)).text, section, nearest);
    return fail(loader, "unknown option '%s' in [%s]; remuda --options lists them all",
                show(bytes_of_text(name)).text, section);
}

static int fail_value(struct loader *loader, const struct option_row *row, const char *reason) {
    struct buf allowed = {0};
    config_allowed(row, &allowed);
    if (row->when == OPTION_SECRET)
        fail(loader, "%s: %.400s", row->name, reason);
    else
        fail(loader, "%s = '%s': %.400s; allowed: %.*s", row->name,
             show(buf_bytes(&loader->value)).text, reason, (int)allowed.len, allowed.data);
    buf_free(&allowed);
    return 0;
}

/* The written value -> loader->value. */
static int read_value(struct loader *loader, const struct option_row *row, const char *written) {
    struct bytes rest;
    buf_clear(&loader->value);
    if (config_unquote(bytes_of_text(written), &loader->value, &rest) != 0)
        return fail(loader,
                    "%s: the quotes do not fit; a value that begins with a quote must end "
                    "with it",
                    row->name);
    bool quoted = written[0] == '"' || written[0] == '\'';
    if (row->when == OPTION_SECRET && !quoted && config_trim(rest).len > 0)
        return fail(loader,
                    "%s: write it in double quotes: ; or # behind a blank would begin a "
                    "comment",
                    row->name);
    return 1;
}

/* An ini_handler: 1 if the option is fine. */
static int take_option(void *user, const char *section, const char *name, const char *value) {
    struct loader *loader = user;
    if (loader->failed)
        return 0;
    const struct option_row *row = option_find(bytes_of_text(name));
    if (row == NULL)
        return fail_unknown(loader, section, name);
    if (section[0] == '\0')
        return fail(loader, "option '%s' stands before any section; it belongs into [%s]",
                    row->name, row->section);
    if (strcasecmp(section, row->section) != 0)
        return fail(loader, "option '%s' does not belong into [%s] but into [%s]", row->name,
                    section, row->section);
    uint32_t *given_on = &loader->given_on[row - option_rows];
    if (*given_on != 0)
        return fail(loader, "option '%s' is given twice, first on line %u", row->name, *given_on);
    *given_on = loader->line_number;
    if (!read_value(loader, row, value))
        return 0;
    char reason[CONFIG_ERROR_BYTES];
    if (config_set(loader->config, row, buf_bytes(&loader->value), reason) != 0)
        return fail_value(loader, row, reason);
    return 1;
}

/* inih's settings are process-wide; nobody else uses it. */
static void set_up_inih(void) {
    ini_use_stack = false;
    ini_allow_realloc = false;
    ini_max_line = CONFIG_LINE_MAX_BYTES + 3;
    ini_initial_alloc = CONFIG_LINE_MAX_BYTES + 3;
    ini_allow_multiline = false;
    ini_allow_inline_comments = false;
    ini_allow_no_value = false;
    ini_stop_on_first_error = true;
}

struct bytes config_skip_mark(struct bytes text) {
    static const char mark[] = "\xef\xbb\xbf";
    bool marked = text.len >= 3 && memcmp(text.ptr, mark, 3) == 0;
    return marked ? bytes_of(text.ptr + 3, text.len - 3) : text;
}

int config_load_bytes(struct config *config, const char *path, struct bytes text, char *error_r) {
    struct loader loader = {
        .config = config, .path = path, .rest = config_skip_mark(text), .error_r = error_r};
    set_up_inih();
    int result = ini_parse_stream(next_line, &loader, take_option, &loader);
    buf_free(&loader.value);
    if (result < 0 && !loader.failed)
        fail(&loader, "out of memory");
    else if (result > 0)
        fail(&loader, "'%s' is neither [section] nor name = value nor a comment",
             show(config_trim(loader.line)).text);
    return loader.failed ? -1 : 0;
}

int config_read_file(const char *path, struct buf *out, char *error_r) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return config_error(error_r, "%.300s: cannot be opened: %s", path, strerror(errno));
    size_t start = out->len;
    int result = 0;
    for (;;) {
        ssize_t got = read(fd, buf_reserve(out, 16384), 16384);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = config_error(error_r, "%.300s: cannot be read: %s", path, strerror(errno));
        if (got <= 0)
            break;
        out->len += (size_t)got;
        if (out->len - start > CONFIG_FILE_MAX_BYTES) {
            result =
                config_error(error_r, "%.300s: longer than %d bytes", path, CONFIG_FILE_MAX_BYTES);
            break;
        }
    }
    close(fd);
    return result;
}

int config_load_file(struct config *config, const char *path, char *error_r) {
    struct buf text = {0};
    int result = config_read_file(path, &text, error_r);
    if (result == 0)
        result = config_load_bytes(config, path, buf_bytes(&text), error_r);
    buf_free(&text);
    return result;
}

/* ---- the line behind an error that is only seen with all options together ---- */

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static bool names_option(const char *text, const char *name) {
    size_t len = strlen(name);
    for (const char *at = text; (at = strstr(at, name)) != NULL; at += len)
        if ((at == text || !is_name_char(at[-1])) && !is_name_char(at[len]))
            return true;
    return false;
}

static bool is_argument(const char *name, int argc, char **argv) {
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "--", 2) == 0 && strcasecmp(argv[i] + 2, name) == 0)
            return true;
    return false;
}

void config_locate_error(const char *path, int argc, char **argv, char *error_r) {
    struct buf text = {0};
    char ignored[CONFIG_ERROR_BYTES], said[CONFIG_ERROR_BYTES];
    uint32_t number = 0, found = 0;
    bool readable = config_read_file(path, &text, ignored) == 0;
    struct bytes rest = config_skip_mark(buf_bytes(&text));
    while (readable && rest.len > 0) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        struct bytes line = bytes_of(rest.ptr, end ? (size_t)(end - rest.ptr) : rest.len);
        const char *equals = memchr(line.ptr, '=', line.len);
        rest = bytes_of(line.ptr + line.len + (end != NULL), rest.len - line.len - (end != NULL));
        number++;
        if (equals == NULL)
            continue;
        struct bytes name = config_trim(bytes_of(line.ptr, (size_t)(equals - line.ptr)));
        const struct option_row *row = option_find(name);
        if (row && names_option(error_r, row->name) && !is_argument(row->name, argc, argv))
            found = number;
    }
    buf_free(&text);
    if (found == 0)
        return;
    snprintf(said, sizeof said, "%s", error_r);
    config_error(error_r, "%.200s:%u: %.700s", path, found, said);
}
