/* pool_file.c - see the header. Reading happens once, before any child starts, so it may block. */
#include "supervisor/pool_file.h"
#include "shared/base/panic.h"
#include "shared/base/publish.h"
#include "supervisor/json_file.h"
#include "supervisor/restore.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void pool_file_make(struct pool_file *file, uint32_t shards) {
    static struct slot_map even; /* only its ranges are wanted; too big for the stack */
    ASSERT(shards >= 1 && shards <= SHARD_MAX);
    memset(file, 0, sizeof(*file));
    slot_map_deal(&even, shards);
    random_id(file->pool_id);
    file->shards = shards;
    memcpy(file->first, even.first, sizeof(file->first));
    for (uint32_t i = 0; i < shards; i++)
        random_id(file->node_id[i]);
}

void pool_file_deal(const struct pool_file *from, uint32_t shards, struct pool_file *file_r) {
    uint32_t stay = shards < from->shards ? shards : from->shards;
    pool_file_make(file_r, shards);
    memcpy(file_r->pool_id, from->pool_id, sizeof(file_r->pool_id));
    memcpy(file_r->node_id, from->node_id, stay * sizeof(file_r->node_id[0]));
}

void pool_file_slots_text(const struct pool_file *file, char text_r[POOL_SLOTS_TEXT_BYTES]) {
    size_t len = 0;
    for (uint32_t i = 0; i < file->shards; i++)
        len += (size_t)snprintf(text_r + len, POOL_SLOTS_TEXT_BYTES - len, "%s%u", i ? "," : "",
                                file->first[i]);
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

static int parse_id(struct parse *parse, json_t *object, const char *field,
                    char id_r[POOL_ID_BYTES]) {
    const char *text = json_string_value(json_object_get(object, field));
    if (!text || strlen(text) != POOL_ID_BYTES - 1 ||
        strspn(text, "0123456789abcdef") != POOL_ID_BYTES - 1)
        return refuse(parse, "\"%s\" is not 40 hexadecimal digits", field);
    memcpy(id_r, text, POOL_ID_BYTES);
    return 0;
}

static int parse_number(struct parse *parse, json_t *object, const char *field, int64_t min,
                        int64_t max, int64_t *value_r) {
    json_t *value = json_object_get(object, field);
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max)
        return refuse(parse, "\"%s\" is not a number from %lld to %lld", field, (long long)min,
                      (long long)max);
    *value_r = json_integer_value(value);
    return 0;
}

static int parse_shard(struct parse *parse, json_t *entry, uint32_t shard, struct pool_file *file) {
    int64_t number, first, last;
    if (parse_number(parse, entry, "shard", shard, shard, &number) != 0 ||
        parse_number(parse, entry, "first", file->first[shard], file->first[shard], &first) != 0 ||
        parse_number(parse, entry, "last", first, SLOT_COUNT - 1, &last) != 0 ||
        parse_id(parse, entry, "node_id", file->node_id[shard]) != 0)
        return -1;
    for (uint32_t other = 0; other < shard; other++) {
        if (strcmp(file->node_id[other], file->node_id[shard]) == 0)
            return refuse(parse, "shards %u and %u have the same \"node_id\"", other, shard);
    }
    file->first[shard + 1] = (uint16_t)(last + 1);
    return 0;
}

static int parse_root(struct parse *parse, json_t *root, struct pool_file *file) {
    int64_t format, shards, from = 0;
    if (!json_is_object(root))
        return refuse(parse, "it is not a JSON object");
    if (!json_is_integer(json_object_get(root, "format")))
        return refuse(parse, "it has no \"format\" number");
    format = json_integer_value(json_object_get(root, "format"));
    if (format != POOL_FILE_FORMAT)
        return refuse(parse, "its format is %lld, this program knows format %d", (long long)format,
                      POOL_FILE_FORMAT);
    if (parse_id(parse, root, "pool_id", file->pool_id) != 0 ||
        parse_number(parse, root, "shards", 1, SHARD_MAX, &shards) != 0)
        return -1;
    file->moving = json_object_get(root, "moving_from") != NULL;
    if (file->moving && parse_number(parse, root, "moving_from", 0, SHARD_MAX, &from) != 0)
        return -1;
    file->moving_from = (uint32_t)from;
    json_t *slots = json_object_get(root, "slots");
    if (!json_is_array(slots) || json_array_size(slots) != (size_t)shards)
        return refuse(parse, "\"slots\" does not have %lld entries", (long long)shards);
    file->shards = (uint32_t)shards;
    for (uint32_t i = 0; i < file->shards; i++) {
        if (parse_shard(parse, json_array_get(slots, i), i, file) != 0)
            return -1;
    }
    if (file->first[file->shards] != SLOT_COUNT)
        return refuse(parse, "its slots end at %d, not at %d", file->first[file->shards] - 1,
                      SLOT_COUNT - 1);
    return 0;
}

int pool_file_parse(struct bytes text, struct pool_file *file_r, char *error_r,
                    size_t error_bytes) {
    struct parse parse = {error_r, error_bytes};
    memset(file_r, 0, sizeof(*file_r));
    json_t *root = json_file_parse(text, error_r, error_bytes);
    if (!root)
        return -1;
    int result = parse_root(&parse, root, file_r);
    json_decref(root);
    return result;
}

/* ---- JSON out ---- */

char *pool_file_text(const struct pool_file *file) {
    json_t *slots = json_array();
    for (uint32_t i = 0; i < file->shards; i++) {
        json_t *entry =
            json_pack("{s:i, s:i, s:i, s:s}", "shard", (int)i, "first", (int)file->first[i], "last",
                      (int)file->first[i + 1] - 1, "node_id", file->node_id[i]);
        json_array_append_new(slots, entry);
    }
    json_t *root = json_pack("{s:i, s:s, s:i, s:o}", "format", POOL_FILE_FORMAT, "pool_id",
                             file->pool_id, "shards", (int)file->shards, "slots", slots);
    ASSERT(root != NULL);
    if (file->moving)
        json_object_set_new(root, "moving_from", json_integer(file->moving_from));
    char *text = json_file_text(root);
    json_decref(root);
    return text;
}

/* ---- the file ---- */

bool pool_file_has_shards(const char *dir) {
    bool found = false;
    DIR *stream = opendir(dir);
    for (struct dirent *entry; stream && !found && (entry = readdir(stream));)
        found = strncmp(entry->d_name, "shard-", 6) == 0;
    if (stream)
        closedir(stream);
    return found;
}

int pool_file_publish(const char *dir, const struct pool_file *file, char *error_r,
                      size_t error_bytes) {
    char *text = pool_file_text(file);
    int result = publish(dir, POOL_FILE_NAME, bytes_of_text(text), error_r, error_bytes);
    free(text);
    return result;
}

static int make_new(const char *dir, uint32_t shards, struct pool_file *file_r, char *error_r,
                    size_t error_bytes) {
    char path[1024];
    if (pool_file_has_shards(dir)) {
        snprintf(error_r, error_bytes,
                 "%s holds shard folders but no " POOL_FILE_NAME
                 "; put that file back, or choose another dir",
                 dir);
        return -1;
    }
    snprintf(path, sizeof(path), "%s/" RESTORE_MARK, dir);
    if (access(path, F_OK) == 0) {
        snprintf(error_r, error_bytes, "%s is of a restore that was cut off: run it again", dir);
        return -1;
    }
    pool_file_make(file_r, shards);
    return pool_file_publish(dir, file_r, error_r, error_bytes);
}

int pool_file_read(const char *dir, struct pool_file *file_r, char *error_r, size_t error_bytes) {
    static char text[POOL_FILE_BYTES_MAX];
    char why[256];
    size_t length;
    int found =
        json_file_read(dir, POOL_FILE_NAME, text, sizeof(text), &length, error_r, error_bytes);
    if (found != 0)
        return found;
    if (pool_file_parse(bytes_of(text, length), file_r, why, sizeof(why)) != 0) {
        snprintf(error_r, error_bytes, "%s/" POOL_FILE_NAME " is not usable: %s", dir, why);
        return -1;
    }
    return 0;
}

int pool_file_open(const char *dir, uint32_t shards, struct pool_file *file_r, char *error_r,
                   size_t error_bytes) {
    int result = pool_file_read(dir, file_r, error_r, error_bytes);
    return result == 1 ? make_new(dir, shards, file_r, error_r, error_bytes) : result;
}

void pool_file_to_slot_map(const struct pool_file *file, struct slot_map *map) {
    map->shards = file->shards;
    memcpy(map->first, file->first, sizeof(map->first));
    memcpy(map->node_id, file->node_id, sizeof(map->node_id));
    for (uint32_t shard = 0; shard < file->shards; shard++) {
        for (uint32_t slot = file->first[shard]; slot < file->first[shard + 1]; slot++)
            map->owner[slot] = (uint16_t)shard;
    }
}
