/* snapshot_file.c - see the header. */
#include "supervisor/snapshot_file.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void snapshot_file_free(struct snapshot_file *file) {
    for (uint32_t i = 0; i < file->count; i++)
        mem_free(file->entries[i].name);
    mem_free(file->entries);
    *file = (struct snapshot_file){0};
}

static bool part_ok(struct bytes part) {
    if (part.len == 0 || part.len > 255 || part.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < part.len; i++) {
        if ((unsigned char)part.ptr[i] < ' ' || part.ptr[i] == '/' || part.ptr[i] == 127)
            return false;
    }
    return true;
}

bool snapshot_path_ok(struct bytes name) {
    const char *slash = name.len > 0 ? memchr(name.ptr, '/', name.len) : NULL;
    if (!slash)
        return false;
    size_t folder = (size_t)(slash - name.ptr);
    return part_ok(bytes_of(name.ptr, folder)) &&
           part_ok(bytes_of(slash + 1, name.len - folder - 1));
}

static bool add_entry(struct snapshot_file *file, uint32_t shard, uint64_t bytes,
                      struct bytes name) {
    if (!snapshot_path_ok(name) || file->count >= SNAPSHOT_FILES_MAX || bytes > INT64_MAX)
        return false;
    if (file->count == file->cap) {
        file->cap = file->cap ? file->cap * 2 : 16;
        file->entries = mem_realloc(file->entries, file->cap * sizeof(*file->entries));
    }
    file->entries[file->count++] =
        (struct snapshot_entry){shard, bytes, mem_strndup(name.ptr, name.len)};
    return true;
}

/* ---- what workers report ---- */

static bool next_line(struct bytes *rest, struct bytes *line_r) {
    const char *end = rest->len > 0 ? memchr(rest->ptr, '\n', rest->len) : NULL;
    if (!end)
        return false;
    *line_r = bytes_of(rest->ptr, (size_t)(end - rest->ptr));
    *rest = bytes_of(end + 1, rest->len - line_r->len - 1);
    return true;
}

/* "FIRST SECOND" */
static bool split(struct bytes line, struct bytes *first_r, struct bytes *second_r) {
    const char *space = memchr(line.ptr, ' ', line.len);
    if (!space)
        return false;
    *first_r = bytes_of(line.ptr, (size_t)(space - line.ptr));
    *second_r = bytes_of(space + 1, line.len - first_r->len - 1);
    return true;
}

bool snapshot_file_add(struct snapshot_file *file, uint32_t shard, struct bytes lines) {
    struct bytes line, first, second;
    uint64_t bytes;
    if (shard >= SHARD_MAX || !next_line(&lines, &line) || !split(line, &first, &second) ||
        !bytes_equal_nocase(first, "keys") || !bytes_to_u64(second, &file->keys[shard]) ||
        file->keys[shard] > INT64_MAX)
        return false;
    while (next_line(&lines, &line)) {
        if (!split(line, &first, &second) || !bytes_to_u64(first, &bytes) ||
            !add_entry(file, shard, bytes, second))
            return false;
    }
    return lines.len == 0;
}

/* ---- JSON out ---- */

static json_t *files_of(const struct snapshot_file *file, uint32_t shard) {
    json_t *files = json_array();
    for (uint32_t i = 0; i < file->count; i++) {
        const struct snapshot_entry *entry = &file->entries[i];
        if (entry->shard == shard)
            json_array_append_new(files,
                                  json_pack("{s:s%, s:I}", "name", entry->name, strlen(entry->name),
                                            "bytes", (json_int_t)entry->bytes));
    }
    return files;
}

char *snapshot_file_text(struct snapshot_file *file) {
    json_t *shards = json_array();
    for (uint32_t i = 0; i < file->shards; i++)
        json_array_append_new(shards,
                              json_pack("{s:i, s:I, s:o}", "shard", (int)i, "keys",
                                        (json_int_t)file->keys[i], "files", files_of(file, i)));
    json_t *root = json_pack("{s:i, s:s, s:I, s:I, s:o}", "format", SNAPSHOT_FILE_FORMAT, "pool_id",
                             file->pool_id, "taken_ms", (json_int_t)file->taken_ms, "barrier_us",
                             (json_int_t)file->barrier_us, "shards", shards);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    ASSERT(text != NULL);
    json_decref(root);
    return text;
}

/* ---- JSON in ---- */

struct parse {
    char *error;
    size_t error_bytes;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct parse *parse, const char *format,
                                                        ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parse->error, parse->error_bytes, format, arguments);
    va_end(arguments);
    return -1;
}

static int parse_number(struct parse *parse, json_t *object, const char *field, int64_t max,
                        int64_t *value_r) {
    json_t *value = json_object_get(object, field);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > max)
        return refuse(parse, "\"%s\" is not a number from 0 to %lld", field, (long long)max);
    *value_r = json_integer_value(value);
    return 0;
}

static int parse_entry(struct parse *parse, json_t *entry, uint32_t shard,
                       struct snapshot_file *file) {
    int64_t bytes;
    json_t *name = json_object_get(entry, "name");
    if (parse_number(parse, entry, "bytes", INT64_MAX, &bytes) != 0)
        return -1;
    if (!json_is_string(name) ||
        !add_entry(file, shard, (uint64_t)bytes,
                   bytes_of(json_string_value(name), json_string_length(name))))
        return refuse(parse, "shard %u: the name of a file is not FOLDER/FILE", shard);
    return 0;
}

static int parse_shard(struct parse *parse, json_t *object, uint32_t shard,
                       struct snapshot_file *file) {
    int64_t number, keys;
    size_t i;
    json_t *entry, *files = json_object_get(object, "files");
    if (parse_number(parse, object, "shard", SHARD_MAX, &number) != 0 ||
        parse_number(parse, object, "keys", INT64_MAX, &keys) != 0)
        return -1;
    if (number != shard || json_array_size(files) == 0)
        return refuse(parse, "the entry of shard %u is not its own, or has no files", shard);
    file->keys[shard] = (uint64_t)keys;
    json_array_foreach(files, i, entry) {
        if (parse_entry(parse, entry, shard, file) != 0)
            return -1;
    }
    return 0;
}

static int parse_root(struct parse *parse, json_t *root, struct snapshot_file *file) {
    int64_t format, barrier_us;
    json_t *shards = json_object_get(root, "shards");
    const char *pool_id = json_string_value(json_object_get(root, "pool_id"));
    if (parse_number(parse, root, "format", INT64_MAX, &format) != 0)
        return -1;
    if (format != SNAPSHOT_FILE_FORMAT)
        return refuse(parse, "its format is %lld, this program knows format %d", (long long)format,
                      SNAPSHOT_FILE_FORMAT);
    if (!pool_id || strlen(pool_id) != POOL_ID_BYTES - 1)
        return refuse(parse, "\"pool_id\" is not 40 hexadecimal digits");
    memcpy(file->pool_id, pool_id, POOL_ID_BYTES);
    if (parse_number(parse, root, "taken_ms", INT64_MAX, &file->taken_ms) != 0 ||
        parse_number(parse, root, "barrier_us", INT64_MAX, &barrier_us) != 0)
        return -1;
    file->barrier_us = (uint64_t)barrier_us;
    if (json_array_size(shards) < 1 || json_array_size(shards) > SHARD_MAX)
        return refuse(parse, "\"shards\" does not have 1 to %d entries", SHARD_MAX);
    file->shards = (uint32_t)json_array_size(shards);
    for (uint32_t i = 0; i < file->shards; i++) {
        if (parse_shard(parse, json_array_get(shards, i), i, file) != 0)
            return -1;
    }
    return 0;
}

int snapshot_file_parse(struct bytes text, struct snapshot_file *file_r, char *error_r,
                        size_t error_bytes) {
    struct parse parse = {error_r, error_bytes};
    json_error_t where;
    *file_r = (struct snapshot_file){0};
    json_t *root = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return refuse(&parse, "line %d: %s", where.line, where.text);
    int result = parse_root(&parse, root, file_r);
    json_decref(root);
    if (result != 0)
        snapshot_file_free(file_r);
    return result;
}
