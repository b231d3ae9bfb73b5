/* copy.c - every key of a shard's files to the targets: a snapshot's one by one as they are read, a
 * log's from memory, once it has been replayed. */
#include "worker/offline/offline_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { PROGRESS_KEYS = 1024 };

/* ---- one key ---- */
/* The file for strays, made when the first is found; NULL with a text. */
static struct rdb_part *strays_part(struct copy *c, char *error_r, size_t error_bytes) {
    char name[64];
    if (c->strays_part != NULL)
        return c->strays_part;
    if (mkdir(c->strays_dir, 0755) != 0 && errno != EEXIST) {
        snprintf(error_r, error_bytes, "cannot create %s: %s", c->strays_dir, strerror(errno));
        return NULL;
    }
    snprintf(name, sizeof name, "stray-keys-of-shard-%04u.rdb", c->shard);
    c->strays_part = rdb_part_begin(c->strays_dir, name, c->offline->config, error_r, error_bytes);
    return c->strays_part;
}

static int put(struct copy *c, const struct rdb_entry *entry, char *error_r, size_t error_bytes) {
    bool stray = c->owners != NULL && c->owners->owner[slot_of_key(entry->key)] != c->shard;
    c->strays += stray;
    if (stray && c->strays_dir == NULL)
        return 0;
    struct rdb_part *part = stray ? strays_part(c, error_r, error_bytes)
                                  : targets_part(c->targets, entry->db, entry->key);
    if (part == NULL)
        return -1;
    c->offline->keys++;
    return rdb_part_put(part, entry, error_r, error_bytes);
}

static int on_entry(void *arg, const struct rdb_entry *entry, char *error_r, size_t error_bytes) {
    return put(arg, entry, error_r, error_bytes);
}

/* Of the work that writing a log's keys is, in bytes of the log. */
static void told_written(struct copy *c) {
    uint64_t before = c->offline->writing_done;
    double part = (double)c->log_written / (double)c->log_keys;
    c->offline->writing_done += (uint64_t)((double)c->log_bytes * part);
    offline_progress(c->offline, 0);
    c->offline->writing_done = before;
}

static bool on_key(void *arg, const struct keyref *ref) {
    struct copy *c = arg;
    if (++c->log_written % PROGRESS_KEYS == 0)
        told_written(c);
    struct value value = keyref_value(ref);
    struct rdb_entry entry = rdb_entry_of(ref, &value, c->offline->config);
    if (entry.expire_ms != KEY_NO_EXPIRY && entry.expire_ms <= keyspace_now_ms(c->replayer.ks)) {
        c->expired++;
        return true;
    }
    return put(c, &entry, c->offline->error, sizeof c->offline->error) == 0;
}

/* ---- the files of a shard ---- */
static int on_command(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                      size_t error_bytes) {
    struct copy *c = arg;
    return replayer_command(&c->replayer, argc, argv, error_r, error_bytes);
}

static void on_progress(void *arg, uint64_t offset) {
    struct copy *c = arg;
    offline_progress(c->offline, offset);
}

static void add_up(struct copy *c, const struct shard_file_found *found) {
    c->expired += found->expired;
    c->empty += found->empty;
    c->functions += found->functions;
    c->module_parts += found->module_parts;
    c->cut_bytes += found->cut_bytes;
}

static int read_files(struct copy *c, const struct shard_files *files) {
    struct offline *o = c->offline;
    struct shard_reader reader = {.config = o->config,
                                  .ks = c->replayer.ks,
                                  .apply = on_command,
                                  .entry = on_entry,
                                  .progress = on_progress,
                                  .arg = c};
    for (uint32_t i = 0; i < files->count; i++) {
        struct shard_file_found found;
        const struct shard_file *file = &files->files[i];
        if (shard_file_read(file, &reader, &found, o->error, sizeof o->error) != 0)
            return -1;
        if (found.cut_bytes > 0 && !o->config->aof_load_truncated) {
            snprintf(o->error, sizeof o->error,
                     "%s: at byte %" PRIu64 ": the last %" PRIu64
                     " bytes are cut short, and aof-load-truncated is no",
                     file->path, found.end, found.cut_bytes);
            return -1;
        }
        add_up(c, &found);
        o->before_bytes += file->bytes;
        offline_progress(o, 0);
    }
    return 0;
}

static int write_keys(struct copy *c, uint64_t log_bytes) {
    c->log_bytes = log_bytes;
    c->log_keys = c->log_written = 0;
    for (uint32_t db = 0; db < keyspace_databases(c->replayer.ks); db++)
        c->log_keys += keyspace_count(c->replayer.ks, db);
    for (uint32_t db = 0; db < keyspace_databases(c->replayer.ks); db++) {
        if (!keyspace_each(c->replayer.ks, db, on_key, c))
            return -1;
    }
    c->offline->writing_done += log_bytes;
    return 0;
}

static int finish_strays(struct copy *c) {
    struct rdb_saved saved;
    if (c->strays_part == NULL)
        return 0;
    return rdb_part_commit(&c->strays_part, true, &saved, c->offline->error,
                           sizeof c->offline->error);
}

int copy_files(struct copy *c, const struct shard_files *files) {
    replayer_open(&c->replayer, c->offline->config);
    int result = read_files(c, files);
    if (result == 0 && files->source >= SHARD_SINGLE_LOG)
        result = write_keys(c, files->bytes);
    if (result == 0)
        result = finish_strays(c);
    rdb_part_abort(&c->strays_part);
    c->functions += c->replayer.functions;
    replayer_close(&c->replayer);
    return result;
}

/* ---- words ---- */
void copy_say_skipped(const struct copy *c) {
    const struct {
        uint64_t count;
        const char *what;
    } rows[] = {
        {c->expired, "keys whose time was over"},
        {c->empty, "collections without elements"},
        {c->functions, "function libraries, which are not supported"},
        {c->module_parts, "data of modules that is no key's"},
        {c->strays, "keys in the folder of a shard that does not own them"},
        {c->cut_bytes, "bytes of an incomplete command at the end of the log"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].count > 0)
            offline_say(c->offline, "  skipped: %" PRIu64 " %s", rows[i].count, rows[i].what);
    }
}

/* How much a log comes down to is not known beforehand: only its first part, the base, counts. */
int copy_check_room(const struct shard_files *files, uint32_t count, const char *dir, char *error_r,
                    size_t error_bytes) {
    struct statvfs fs;
    uint64_t needed = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (files[i].count > 0 && files[i].source != SHARD_SINGLE_LOG)
            needed += files[i].files[0].bytes;
    }
    if (statvfs(dir, &fs) != 0) {
        snprintf(error_r, error_bytes, "cannot look at the file system of %s: %s", dir,
                 strerror(errno));
        return -1;
    }
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (needed <= left)
        return 0;
    snprintf(error_r, error_bytes,
             "not enough room in %s: about %" PRIu64 " MB are needed, %" PRIu64 " MB are free", dir,
             needed >> 20, left >> 20);
    return -1;
}
