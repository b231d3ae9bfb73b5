/* rdb_load.c - an RDB file, version 1 to 12, into a keyspace. One row an opcode; anything that is none
 * is a type byte, and a key follows.
 *
 * Hostile input: every length is checked against the file's size, the CRC-64 at the end is verified.
 * Fails with a text that begins with the offset; keys read before stay in the keyspace. */
#include "worker/persist/rdb_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/ipc/slot_map.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 9,
    VERSION_WITH_CHECKSUM = 5,
    KEY_BYTES_MIN = 3, /* type, an empty key, an empty value */
    KEY_SHOWN_MAX = 64
};

struct loader {
    const struct rdb_load_job *job;
    struct rdb_in in;
    struct rdb_loaded *loaded;
    uint32_t version, db;
    bool ended;
    struct buf key;
    int64_t now_ms;
    /* Attributes that stand before the key they belong to. */
    int64_t expire_ms, idle_ms;
    int32_t frequency;
};

static void forget_attributes(struct loader *l) {
    l->expire_ms = KEY_NO_EXPIRY;
    l->idle_ms = l->frequency = -1;
}

static int read_expire_s(struct loader *l) {
    const char *at = rdb_get(&l->in, 4);
    if (at == NULL)
        return -1;
    const unsigned char *b = (const unsigned char *)at;
    l->expire_ms = 1000 * (int64_t)(int32_t)(b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
                                             (uint32_t)b[3] << 24);
    return 0;
}

static int read_expire_ms(struct loader *l) {
    uint64_t value;
    if (rdb_get_u64le(&l->in, &value) != 0)
        return -1;
    l->expire_ms = (int64_t)value;
    /* A time before 1970 is past; the one value that means "none" to us must not be read as such. */
    if (l->expire_ms < 0)
        l->expire_ms = 0;
    return 0;
}

static int read_idle(struct loader *l) {
    uint64_t seconds;
    if (rdb_get_length(&l->in, &seconds) != 0)
        return -1;
    l->idle_ms = seconds > INT32_MAX ? (int64_t)INT32_MAX * 1000 : (int64_t)seconds * 1000;
    return 0;
}

static int read_frequency(struct loader *l) {
    uint8_t frequency;
    if (rdb_get_byte(&l->in, &frequency) != 0)
        return -1;
    l->frequency = frequency;
    return 0;
}

static int read_select(struct loader *l) {
    uint64_t db;
    if (rdb_get_length(&l->in, &db) != 0)
        return -1;
    if (db >= keyspace_databases(l->job->ks))
        return rdb_fail(&l->in, "database %" PRIu64 " is beyond the %u configured", db,
                        keyspace_databases(l->job->ks));
    l->db = (uint32_t)db;
    return 0;
}

static int read_resize(struct loader *l) {
    uint64_t keys, expires;
    if (rdb_get_length(&l->in, &keys) != 0 || rdb_get_length(&l->in, &expires) != 0)
        return -1;
    uint64_t possible = rdb_left(&l->in) / KEY_BYTES_MIN;
    keyspace_reserve(l->job->ks, l->db, keys < possible ? keys : possible);
    return 0;
}

static int read_slot_info(struct loader *l) {
    uint64_t ignored;
    for (int i = 0; i < 3; i++)
        if (rdb_get_length(&l->in, &ignored) != 0)
            return -1;
    return 0;
}

static void take_origin(struct rdb_origin *origin, struct bytes name, struct bytes value) {
    uint64_t number;
    bool is_number = bytes_to_u64(value, &number);
    if (bytes_equal(name, BYTES_LITERAL("repl-id")) && value.len == sizeof origin->id - 1)
        snprintf(origin->id, sizeof origin->id, "%.*s", (int)value.len, value.ptr);
    else if (bytes_equal(name, BYTES_LITERAL("repl-offset")) && is_number)
        origin->offset = number;
    else if (bytes_equal(name, BYTES_LITERAL("repl-stream-db")) && is_number)
        origin->db = number < UINT32_MAX ? (uint32_t)number : 0;
}

/* One that is damaged names no place. */
static void judge_origin(struct rdb_origin *origin) {
    size_t digits = strspn(origin->id, "0123456789abcdefABCDEF");
    if (digits != sizeof origin->id - 1 || origin->offset > RDB_ORIGIN_OFFSET_MAX)
        origin->id[0] = '\0';
}

static int read_aux(struct loader *l) {
    struct bytes name, value;
    if (rdb_get_kept_string(&l->in, &name) != 0 || rdb_get_string(&l->in, 1, &value) != 0)
        return -1;
    take_origin(&l->loaded->origin, name, value);
    return 0;
}

static int read_function(struct loader *l) {
    log_warning("RDB at byte %" PRIu64 ": a function library is not supported, skipped",
                rdb_offset(&l->in));
    l->loaded->functions++;
    return rdb_skip_string(&l->in);
}

static int read_old_function(struct loader *l) {
    return rdb_fail(&l->in, "function of a Redis 7.0 release candidate");
}

/* What a module stored beside the keys: a sequence of typed items up to a 0. */
static int read_module_aux(struct loader *l) {
    enum { ITEM_END, ITEM_SIGNED, ITEM_UNSIGNED, ITEM_FLOAT, ITEM_DOUBLE, ITEM_STRING };
    uint64_t item, ignored;
    if (rdb_get_length(&l->in, &ignored) != 0) /* the module */
        return -1;
    l->loaded->module_parts++;
    for (;;) {
        if (rdb_get_length(&l->in, &item) != 0)
            return -1;
        int error = 0;
        switch (item) {
        case ITEM_END: return 0;
        case ITEM_SIGNED:
        case ITEM_UNSIGNED: error = rdb_get_length(&l->in, &ignored); break;
        case ITEM_FLOAT: error = rdb_get(&l->in, 4) == NULL; break;
        case ITEM_DOUBLE: error = rdb_get(&l->in, 8) == NULL; break;
        case ITEM_STRING: error = rdb_skip_string(&l->in); break;
        default: return rdb_fail(&l->in, "unknown item %" PRIu64 " of a module", item);
        }
        if (error != 0)
            return -1;
    }
}

static int read_end(struct loader *l) {
    uint64_t expected = rdb_in_crc(&l->in), found;
    l->ended = true;
    if (l->version < VERSION_WITH_CHECKSUM)
        return 0;
    if (rdb_get_u64le(&l->in, &found) != 0)
        return -1;
    /* 0 is what a writer leaves that was told not to compute one. */
    l->loaded->checksum = found == expected;
    if (found == 0 || found == expected || !l->job->config->rdbchecksum)
        return 0;
    return rdb_fail(&l->in,
                    "wrong checksum: the file says %016" PRIx64 ", its bytes give %016" PRIx64,
                    found, expected);
}

static int (*const opcodes[256])(struct loader *l) = {
    [RDB_SLOT_INFO] = read_slot_info,
    [RDB_FUNCTION2] = read_function,
    [RDB_FUNCTION_OLD] = read_old_function,
    [RDB_MODULE_AUX] = read_module_aux,
    [RDB_IDLE] = read_idle,
    [RDB_FREQ] = read_frequency,
    [RDB_AUX] = read_aux,
    [RDB_RESIZEDB] = read_resize,
    [RDB_EXPIRETIME_MS] = read_expire_ms,
    [RDB_EXPIRETIME] = read_expire_s,
    [RDB_SELECTDB] = read_select,
    [RDB_EOF] = read_end,
};

/* The key, readable, for messages. */
static void show_key(struct bytes key, char shown[KEY_SHOWN_MAX + 4]) {
    size_t n = key.len < KEY_SHOWN_MAX ? key.len : KEY_SHOWN_MAX;
    for (size_t i = 0; i < n; i++)
        shown[i] = key.ptr[i] >= ' ' && key.ptr[i] < 0x7F ? key.ptr[i] : '?';
    strcpy(shown + n, key.len > n ? "..." : "");
}

static void name_the_key(struct loader *l) {
    char shown[KEY_SHOWN_MAX + 4];
    show_key(buf_bytes(&l->key), shown);
    size_t used = strlen(l->in.error);
    snprintf(l->in.error + used, l->in.error_bytes - used, " (key \"%s\")", shown);
}

/* The name stays in the keyspace: no key may stand there twice. */
static int hand_out(struct loader *l, struct keyref *ref, struct value *value) {
    char text[256];
    struct value name_only = value_integer(0);
    struct rdb_entry entry = {.db = l->db,
                              .key = buf_bytes(&l->key),
                              .value = value,
                              .expire_ms = l->expire_ms,
                              .idle_ms = l->idle_ms,
                              .frequency = l->frequency};
    if (l->job->entry(l->job->entry_arg, &entry, text, sizeof text) != 0)
        return rdb_fail(&l->in, "%s", text);
    value_free(value);
    keyspace_store(ref, &name_only);
    l->loaded->keys++;
    return 0;
}

static int store_key(struct loader *l, struct value *value) {
    struct keyref ref;
    if (keyspace_find(l->job->ks, l->db, buf_bytes(&l->key), KEY_PEEK, &ref))
        return rdb_fail(&l->in, "a key stands there twice");
    if (l->job->owns != NULL && !l->job->owns(l->job->arg, buf_bytes(&l->key)))
        return rdb_fail(&l->in, "slot %u is not this shard's: the file is another's, or damaged",
                        slot_of_key(buf_bytes(&l->key)));
    if (l->job->entry != NULL)
        return hand_out(l, &ref, value);
    keyspace_store(&ref, value);
    if (l->expire_ms != KEY_NO_EXPIRY)
        keyspace_set_expire(&ref, l->expire_ms);
    if (l->idle_ms >= 0 || l->frequency >= 0)
        keyspace_set_access(&ref, l->idle_ms, l->frequency);
    l->loaded->keys++;
    return 0;
}

/* A stream goes on behind this file: who reads it has the key, too, and is told when it goes. */
static bool bears_a_stream(const struct loader *l) {
    return l->job->entry == NULL && l->loaded->origin.id[0] != '\0';
}

static int read_value(struct loader *l, uint8_t type) {
    struct value value;
    enum rdb_value_result result = rdb_get_value(&l->in, type, l->job->config, &value);
    if (result == RDB_VALUE_BAD)
        return -1;
    bool past = l->expire_ms != KEY_NO_EXPIRY && l->expire_ms <= l->now_ms;
    if (result == RDB_VALUE_EMPTY) {
        l->loaded->empty++;
        return 0;
    }
    if (past && !l->job->keep_expired && !bears_a_stream(l)) {
        l->loaded->expired++;
        value_free(&value);
        return 0;
    }
    if (store_key(l, &value) == 0)
        return 0;
    value_free(&value);
    return -1;
}

static int read_key(struct loader *l, uint8_t type) {
    struct bytes key;
    if (rdb_type_name(type) == NULL)
        return rdb_fail(&l->in, "0x%02x is neither a type of value nor an opcode", type);
    if (rdb_get_string(&l->in, 0, &key) != 0)
        return -1;
    buf_clear(&l->key);
    buf_append_bytes(&l->key, key);
    int result = read_value(l, type);
    if (result != 0)
        name_the_key(l);
    forget_attributes(l);
    return result;
}

static int read_header(struct loader *l) {
    const char *at = rdb_get(&l->in, HEADER_BYTES);
    if (at == NULL)
        return -1;
    if (memcmp(at, "REDIS", 5) != 0)
        return rdb_fail(&l->in, "this is no RDB file");
    for (int i = 5; i < HEADER_BYTES; i++) {
        if (at[i] < '0' || at[i] > '9')
            return rdb_fail(&l->in, "this is no RDB file");
        l->version = l->version * 10 + (uint32_t)(at[i] - '0');
    }
    l->loaded->version = l->version;
    if (l->version < 1 || l->version > RDB_VERSION_MAX)
        return rdb_fail(&l->in, "RDB version %u cannot be read (1 to %d can)", l->version,
                        RDB_VERSION_MAX);
    return 0;
}

static int read_all(struct loader *l) {
    if (read_header(l) != 0)
        return -1;
    while (!l->ended) {
        uint8_t byte;
        if (rdb_get_byte(&l->in, &byte) != 0)
            return -1;
        if (opcodes[byte] != NULL ? opcodes[byte](l) : read_key(l, byte))
            return -1;
    }
    return 0;
}

/* Up to the first that is no such field. */
static void read_fields(struct loader *l) {
    uint8_t byte = RDB_AUX;
    if (read_header(l) != 0)
        return;
    while (rdb_get_byte(&l->in, &byte) == 0 && byte == RDB_AUX && read_aux(l) == 0) {
    }
}

uint32_t rdb_stream_db(const char *path) {
    char why[256];
    struct stat st;
    struct rdb_loaded loaded = {0};
    struct loader l = {.loaded = &loaded};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (fstat(fd, &st) == 0) {
        rdb_in_file(&l.in, fd, (uint64_t)st.st_size, why, sizeof why);
        read_fields(&l);
        rdb_in_free(&l.in);
    }
    close(fd);
    return loaded.origin.db;
}

int rdb_load_fd(int fd, uint64_t total, const struct rdb_load_job *job, struct rdb_loaded *loaded_r,
                char *error_r, size_t error_bytes) {
    *loaded_r = (struct rdb_loaded){0};
    struct loader l = {.job = job, .loaded = loaded_r, .now_ms = clock_wall_ms()};
    forget_attributes(&l);
    rdb_in_file(&l.in, fd, total, error_r, error_bytes);
    l.in.refilled = job->progress;
    l.in.arg = job->arg;
    int result = read_all(&l);
    judge_origin(&loaded_r->origin);
    loaded_r->end = rdb_offset(&l.in);
    rdb_in_free(&l.in);
    buf_free(&l.key);
    return result;
}
