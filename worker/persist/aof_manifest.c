/* aof_manifest.c - the manifest's text, read as strictly as Redis reads it and written as it writes it,
 * with a checksum.
 *
 * Hostile input: names without folders, numbers in range, at most one base, increments without a gap,
 * a bound on files. Fails with the line's number and what is wrong with it. */
#include "worker/persist/aof_manifest.h"

#include "shared/base/crc.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char checksum_head[] = "#crc64 ";
enum {
    LINE_MAX_BYTES = 1024,
    CHECKSUM_HEAD_BYTES = sizeof checksum_head - 1,
    CHECKSUM_LINE_BYTES = CHECKSUM_HEAD_BYTES + 16 + 1 /* NUL */
};

struct line {
    struct bytes rest;
    uint32_t number;
    char *error;
    size_t error_bytes;
};

__attribute__((format(printf, 2, 3))) static int line_error(struct line *line, const char *format,
                                                            ...) {
    int used = snprintf(line->error, line->error_bytes, "manifest line %u: ", line->number);
    va_list args;
    va_start(args, format);
    if (used > 0 && (size_t)used < line->error_bytes)
        vsnprintf(line->error + used, line->error_bytes - (size_t)used, format, args);
    va_end(args);
    return -1;
}

static void format_checksum(char line_r[CHECKSUM_LINE_BYTES], struct bytes text) {
    snprintf(line_r, CHECKSUM_LINE_BYTES, "%s%016" PRIx64, checksum_head,
             crc64(0, text.ptr, text.len));
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character an escape inside quotes stands for; how many bytes it took, 0 if it is none. */
static size_t unescape(struct bytes at, char *char_r) {
    static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
    if (at.len >= 4 && at.ptr[1] == 'x' && hex_digit(at.ptr[2]) >= 0 && hex_digit(at.ptr[3]) >= 0) {
        *char_r = (char)(hex_digit(at.ptr[2]) << 4 | hex_digit(at.ptr[3]));
        return 4;
    }
    if (at.len < 2)
        return 0;
    const char *found = memchr(from, at.ptr[1], sizeof from - 1);
    *char_r = found != NULL ? to[found - from] : at.ptr[1];
    return 2;
}

static bool quoted_word(struct line *line, char *word, size_t room, size_t *len_r) {
    struct bytes at = bytes_of(line->rest.ptr + 1, line->rest.len - 1);
    size_t len = 0;
    while (at.len > 0 && at.ptr[0] != '"' && len < room) {
        size_t used = 1;
        word[len] = at.ptr[0];
        if (at.ptr[0] == '\\' && (used = unescape(at, &word[len])) == 0)
            return false;
        len++;
        at = bytes_of(at.ptr + used, at.len - used);
    }
    if (at.len == 0 || at.ptr[0] != '"' || (at.len > 1 && at.ptr[1] != ' '))
        return false;
    line->rest = bytes_of(at.ptr + 1, at.len - 1);
    *len_r = len;
    return true;
}

static bool plain_word(struct line *line, char *word, size_t room, size_t *len_r) {
    size_t len = 0;
    while (len < line->rest.len && line->rest.ptr[len] != ' ')
        len++;
    if (len > room)
        return false;
    memcpy(word, line->rest.ptr, len);
    line->rest = bytes_of(line->rest.ptr + len, line->rest.len - len);
    *len_r = len;
    return true;
}

static void skip_spaces(struct line *line) {
    while (line->rest.len > 0 && (line->rest.ptr[0] == ' ' || line->rest.ptr[0] == '\r'))
        line->rest = bytes_of(line->rest.ptr + 1, line->rest.len - 1);
}

static int next_word(struct line *line, char *word, size_t room) {
    size_t len = 0;
    skip_spaces(line);
    if (line->rest.len == 0)
        return line_error(line, "a word is missing");
    bool ok = line->rest.ptr[0] == '"' ? quoted_word(line, word, room - 1, &len)
                                       : plain_word(line, word, room - 1, &len);
    if (!ok || memchr(word, '\0', len) != NULL)
        return line_error(line, "a word is malformed or longer than %zu bytes", room - 1);
    word[len] = '\0';
    return 0;
}

static int set_seq(struct line *line, struct aof_file *file, const char *word) {
    uint64_t seq;
    if (!bytes_to_u64(bytes_of_text(word), &seq) || seq == 0 || seq >= INT64_MAX)
        return line_error(line, "'%s' is no sequence number", word);
    file->seq = seq;
    return 0;
}

static int set_type(struct line *line, struct aof_file *file, const char *word) {
    if (strlen(word) != 1 || strchr("bhi", word[0]) == NULL)
        return line_error(line, "'%s' is no type (b, h or i)", word);
    file->type = (enum aof_file_type)word[0];
    return 0;
}

static int set_name(struct line *line, struct aof_file *file, const char *word) {
    if (word[0] == '\0' || strchr(word, '/') != NULL || strcmp(word, ".") == 0 ||
        strcmp(word, "..") == 0)
        return line_error(line, "'%s' is no file name", word);
    strcpy(file->name, word);
    return 0;
}

/* `name value` pairs; those of names that a later version may add are passed over. */
static int parse_line(struct line *line, struct aof_file *file) {
    static const struct {
        const char *name;
        int (*set)(struct line *line, struct aof_file *file, const char *word);
    } parts[] = {{"file", set_name}, {"seq", set_seq}, {"type", set_type}};
    char name[AOF_NAME_MAX + 1], word[AOF_NAME_MAX + 1];
    for (skip_spaces(line); line->rest.len > 0; skip_spaces(line)) {
        if (next_word(line, name, sizeof name) != 0 || next_word(line, word, sizeof word) != 0)
            return -1;
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (strcmp(name, parts[i].name) == 0 && parts[i].set(line, file, word) != 0)
                return -1;
    }
    if (file->name[0] == '\0' || file->seq == 0 || file->type == 0)
        return line_error(line, "file, seq and type must be given");
    return 0;
}

static int check_against_others(struct line *line, const struct aof_manifest *m,
                                const struct aof_file *file) {
    if (m->count == AOF_FILES_MAX)
        return line_error(line, "more than %d files", AOF_FILES_MAX);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct aof_file *other = &m->files[i];
        if (strcmp(other->name, file->name) == 0)
            return line_error(line, "file '%s' is named twice", file->name);
        if (other->type != file->type)
            continue;
        if (file->type == AOF_BASE)
            return line_error(line, "a second base file");
        if (file->type == AOF_INCR && other->seq >= file->seq)
            return line_error(line, "increment %" PRIu64 " stands behind %" PRIu64, file->seq,
                              other->seq);
    }
    const struct aof_file *last = file->type == AOF_INCR ? aof_manifest_last_incr(m) : NULL;
    if (last != NULL && last->seq + 1 != file->seq)
        return line_error(line, "increments are missing between '%s' and '%s'", last->name,
                          file->name);
    return 0;
}

static int take_line(struct aof_manifest *m, struct line *line) {
    struct aof_file file = {0};
    if (line->rest.len > LINE_MAX_BYTES)
        return line_error(line, "longer than %d bytes", LINE_MAX_BYTES);
    if (line->rest.len == 0)
        return line_error(line, "empty");
    if (parse_line(line, &file) != 0 || check_against_others(line, m, &file) != 0)
        return -1;
    aof_manifest_add(m, file.type, file.seq, file.name);
    return 0;
}

/* A comment: anybody's, unless it is our checksum, which ends the text. */
static int check_comment(struct line *line, struct bytes before, bool last) {
    char expected[CHECKSUM_LINE_BYTES];
    if (line->rest.len < CHECKSUM_HEAD_BYTES ||
        memcmp(line->rest.ptr, checksum_head, CHECKSUM_HEAD_BYTES) != 0)
        return 0;
    format_checksum(expected, before);
    if (last && bytes_equal(line->rest, bytes_of(expected, CHECKSUM_LINE_BYTES - 1)))
        return 0;
    return line_error(line, "wrong checksum: the manifest is damaged, or was edited without "
                            "taking this line out");
}

int aof_manifest_parse(struct aof_manifest *manifest, struct bytes text, char *error_r,
                       size_t error_bytes) {
    struct line line = {.error = error_r, .error_bytes = error_bytes};
    const char *begin = text.ptr;
    int result = 0;
    while (text.len > 0 && result == 0) {
        struct bytes before = bytes_of(begin, (size_t)(text.ptr - begin));
        const char *end = memchr(text.ptr, '\n', text.len);
        line.number++;
        if (end == NULL) {
            result = line_error(&line, "cut short");
            break;
        }
        size_t len = (size_t)(end - text.ptr);
        line.rest = bytes_of(text.ptr, len);
        text = bytes_of(end + 1, text.len - len - 1);
        result = len > 0 && line.rest.ptr[0] == '#' ? check_comment(&line, before, text.len == 0)
                                                    : take_line(manifest, &line);
    }
    if (result == 0 && manifest->count == 0) {
        line.number++;
        result = line_error(&line, "no file is named");
    }
    if (result != 0)
        aof_manifest_free(manifest);
    return result;
}

static bool needs_quotes(const char *name) {
    for (; *name != '\0'; name++)
        if (!isprint((unsigned char)*name) || isspace((unsigned char)*name) || *name == '"' ||
            *name == '\\' || *name == '\'')
            return true;
    return false;
}

static void put_name(struct buf *out, const char *name) {
    if (!needs_quotes(name)) {
        buf_append_text(out, name);
        return;
    }
    buf_append_text(out, "\"");
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\')
            buf_printf(out, "\\%c", *name);
        else if (isprint((unsigned char)*name))
            buf_append(out, name, 1);
        else
            buf_printf(out, "\\x%02x", (unsigned char)*name);
    }
    buf_append_text(out, "\"");
}

void aof_manifest_format(const struct aof_manifest *manifest, struct buf *out) {
    static const enum aof_file_type order[] = {AOF_BASE, AOF_HISTORY, AOF_INCR};
    size_t begin = out->len;
    for (size_t t = 0; t < sizeof order / sizeof *order; t++)
        for (uint32_t i = 0; i < manifest->count; i++) {
            const struct aof_file *file = &manifest->files[i];
            if (file->type != order[t])
                continue;
            buf_append_text(out, "file ");
            put_name(out, file->name);
            buf_printf(out, " seq %" PRIu64 " type %c\n", file->seq, (char)file->type);
        }
    char checksum[CHECKSUM_LINE_BYTES];
    format_checksum(checksum, bytes_of(out->data + begin, out->len - begin));
    buf_append_text(out, checksum);
    buf_append_text(out, "\n");
}

void aof_manifest_add(struct aof_manifest *manifest, enum aof_file_type type, uint64_t seq,
                      const char *name) {
    ASSERT(strlen(name) <= AOF_NAME_MAX);
    manifest->files = mem_realloc(manifest->files, (manifest->count + 1) * sizeof *manifest->files);
    uint32_t at = manifest->count++;
    if (type == AOF_BASE) {
        memmove(manifest->files + 1, manifest->files, at * sizeof *manifest->files);
        at = 0;
    }
    struct aof_file *file = &manifest->files[at];
    *file = (struct aof_file){.seq = seq, .type = type};
    strcpy(file->name, name);
}

void aof_manifest_remove(struct aof_manifest *manifest, uint32_t index) {
    ASSERT(index < manifest->count);
    manifest->count--;
    memmove(manifest->files + index, manifest->files + index + 1,
            (manifest->count - index) * sizeof *manifest->files);
}

void aof_manifest_copy(struct aof_manifest *to, const struct aof_manifest *from) {
    *to = (struct aof_manifest){.count = from->count};
    to->files = mem_alloc((from->count + 1) * sizeof *to->files);
    if (from->count > 0)
        memcpy(to->files, from->files, from->count * sizeof *to->files);
}

void aof_manifest_free(struct aof_manifest *manifest) {
    mem_free(manifest->files);
    *manifest = (struct aof_manifest){0};
}

const struct aof_file *aof_manifest_base(const struct aof_manifest *manifest) {
    bool there = manifest->count > 0 && manifest->files[0].type == AOF_BASE;
    return there ? &manifest->files[0] : NULL;
}

const struct aof_file *aof_manifest_last_incr(const struct aof_manifest *manifest) {
    const struct aof_file *last = NULL;
    for (uint32_t i = 0; i < manifest->count; i++)
        if (manifest->files[i].type == AOF_INCR)
            last = &manifest->files[i];
    return last;
}

uint64_t aof_manifest_next_seq(const struct aof_manifest *manifest, enum aof_file_type type) {
    uint64_t highest = 0;
    for (uint32_t i = 0; i < manifest->count; i++) {
        const struct aof_file *file = &manifest->files[i];
        if ((file->type == type || file->type == AOF_HISTORY) && file->seq > highest)
            highest = file->seq;
    }
    return highest + 1;
}
