/* check_log.c - snapshots and logs, read as a start reads them. */
#include "worker/offline/check_private.h"

#include "shared/base/mem.h"
#include "worker/persist/quarantine.h"
#include "worker/persist/shard_repair.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- whose are the keys? ---- */
static void look_at_key(struct check *c, struct bytes key) {
    if (c->owners == NULL)
        return;
    uint16_t slot = slot_of_key(key), owner = c->owners->owner[slot];
    if (owner == c->shard || c->strays++ > 0)
        return;
    snprintf(c->stray, sizeof c->stray, "\"%.*s\", slot %u, is shard-%04u's",
             key.len < 100 ? (int)key.len : 100, key.ptr, slot, owner);
    for (char *at = c->stray; *at != '\0'; at++)
        *at = *at < ' ' || *at == 0x7F ? '?' : *at;
}

static int on_entry(void *arg, const struct rdb_entry *entry, char *error_r, size_t error_bytes) {
    look_at_key(arg, entry->key);
    return 0;
}

static bool on_key(void *arg, const struct keyref *ref) {
    look_at_key(arg, ref->key);
    return true;
}

static int on_command(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                      size_t error_bytes) {
    struct check *c = arg;
    return c->broken ? 0 : replayer_command(&c->replayer, argc, argv, error_r, error_bytes);
}

static void say_strays(struct check *c, const char *path) {
    if (c->strays > 0)
        check_say(c, CHECK_PROBLEM,
                  "%s: %" PRIu64 " keys belong to other shards (%s), so a start refuses it; export "
                  "leaves them out, a start with another number of workers sets them aside",
                  path, c->strays, c->stray);
}

/* ---- one file ---- */
static void begin(struct check *c) {
    replayer_open(&c->replayer, c->offline->config);
    c->broken = false;
    c->strays = 0;
}

static int read_file(struct check *c, const struct shard_file *file,
                     struct shard_file_found *found) {
    struct shard_reader reader = {.config = c->offline->config,
                                  .ks = c->replayer.ks,
                                  .apply = on_command,
                                  .entry = on_entry,
                                  .arg = c};
    char text[OFFLINE_TEXT_BYTES];
    if (shard_file_read(file, &reader, found, text, sizeof text) == 0)
        return 0;
    c->broken = true;
    check_say(c, CHECK_PROBLEM,
              file->log ? "%s. What stands before it is whole; restore the file from a backup, or "
                          "give up what follows with redis-check-aof --fix on a copy"
                        : "%s. Restore the file from a backup",
              text);
    return -1;
}

static void put_rdb_words(struct buf *words, const struct shard_file_found *found) {
    buf_printf(words, "RDB version %u, %" PRIu64 " keys, %s", found->rdb_version, found->keys,
               found->rdb_checksum ? "checksum verified" : "no checksum");
    if (found->expired > 0)
        buf_printf(words, ", %" PRIu64 " expired", found->expired);
    if (found->functions > 0)
        buf_printf(words, ", %" PRIu64 " function libraries (not supported)", found->functions);
    if (found->module_parts > 0)
        buf_printf(words, ", %" PRIu64 " parts of modules (not supported)", found->module_parts);
}

static void say_whole(struct check *c, const struct shard_file *file,
                      const struct shard_file_found *found) {
    struct buf words = {0};
    if (found->rdb_version > 0)
        put_rdb_words(&words, found);
    if (file->log && (found->rdb_version == 0 || found->commands > 0)) {
        buf_printf(&words, "%slog of %" PRIu64 " commands, ", words.len > 0 ? ", then " : "",
                   found->commands);
        if (found->checksums > 0)
            buf_printf(&words, "%" PRIu64 " checksums verified", found->checksums);
        else
            buf_append_text(&words, "no checksums");
    }
    check_say(c, CHECK_FINE, "%s: %" PRIu64 " bytes, %.*s", file->path, found->end, (int)words.len,
              words.data);
    buf_free(&words);
}

static void repair_tail(struct check *c, const struct shard_file *file,
                        const struct shard_file_found *found) {
    char kept[SHARD_PATH_BYTES], text[OFFLINE_TEXT_BYTES];
    if (shard_repair_tail(c->dir, file, found, kept, sizeof kept, text, sizeof text) == 0)
        check_say(c, CHECK_FIXED, "%s: cut at byte %" PRIu64 ", the end is kept in %s/%s",
                  file->path, found->end, c->dir, kept);
    else
        check_say(c, CHECK_NOTE, "%s", text);
}

static void check_file(struct check *c, const struct shard_file *file) {
    struct shard_file_found found;
    if (read_file(c, file, &found) != 0)
        return;
    say_whole(c, file, &found);
    if (found.cut_bytes == 0)
        return;
    check_say(c, CHECK_PROBLEM,
              "%s: cut short: %" PRIu64 " bytes from byte %" PRIu64 " on are no whole command%s",
              file->path, found.cut_bytes, found.end,
              c->fix ? "" : "; --fix cuts them off, as a start does, and keeps them");
    if (c->fix)
        repair_tail(c, file, &found);
}

static void check_alone(struct check *c, const struct shard_file *file) {
    begin(c);
    check_file(c, file);
    for (uint32_t db = 0; file->log && !c->broken && db < keyspace_databases(c->replayer.ks); db++)
        keyspace_each(c->replayer.ks, db, on_key, c);
    say_strays(c, file->path);
    replayer_close(&c->replayer);
}

void check_snapshot(struct check *c, const char *path, uint64_t bytes) {
    struct shard_file file = {.bytes = bytes};
    snprintf(file.path, sizeof file.path, "%s", path);
    check_alone(c, &file);
}

void check_single_log(struct check *c, const char *path, uint64_t bytes) {
    struct shard_file file = {.bytes = bytes, .log = true, .may_be_cut = true};
    snprintf(file.path, sizeof file.path, "%s", path);
    check_alone(c, &file);
}

/* ---- the files of a manifest ---- */
static bool file_of(const char *aof_dir, const char *name, struct shard_file *file) {
    struct stat st;
    *file = (struct shard_file){.log = true};
    snprintf(file->path, sizeof file->path, "%s/%s", aof_dir, name);
    if (stat(file->path, &st) != 0)
        return false;
    file->bytes = (uint64_t)st.st_size;
    return true;
}

/* The last file with bytes in it: an increment from there on may be cut short. */
static uint32_t last_with_bytes(const struct aof_manifest *manifest, const char *aof_dir) {
    struct shard_file file;
    uint32_t last = 0;
    for (uint32_t i = 0; i < manifest->count; i++) {
        if (file_of(aof_dir, manifest->files[i].name, &file) && file.bytes > 0 &&
            manifest->files[i].type != AOF_HISTORY)
            last = i;
    }
    return last;
}

static void check_named_files(struct check *c, const struct aof_manifest *manifest,
                              const char *aof_dir) {
    uint32_t last = last_with_bytes(manifest, aof_dir);
    for (uint32_t i = 0; i < manifest->count; i++) {
        struct shard_file file;
        const struct aof_file *named = &manifest->files[i];
        if (named->type == AOF_HISTORY)
            continue;
        bool there = file_of(aof_dir, named->name, &file);
        file.may_be_cut = i >= last && named->type == AOF_INCR;
        if (there)
            check_file(c, &file);
        else
            check_say(c, CHECK_PROBLEM,
                      "%s: the manifest names it, but it does not exist; without it the log has a "
                      "hole: restore it from a backup",
                      file.path);
        c->broken |= !there;
    }
}

static void check_history(struct check *c, const struct aof_manifest *manifest, const char *aof_dir,
                          const char *manifest_name) {
    char text[OFFLINE_TEXT_BYTES];
    uint32_t files = 0;
    for (uint32_t i = 0; i < manifest->count; i++)
        files += manifest->files[i].type == AOF_HISTORY;
    if (files == 0)
        return;
    check_say(c, CHECK_PROBLEM, "%s/%s: %u files are history: replaced, but not deleted yet%s",
              aof_dir, manifest_name, files, c->fix ? "" : "; a start or --fix deletes them");
    if (!c->fix)
        return;
    if (shard_repair_history(aof_dir, manifest_name, text, sizeof text) == 0)
        check_say(c, CHECK_FIXED, "%s/%s: its history is gone", aof_dir, manifest_name);
    else
        check_say(c, CHECK_NOTE, "%s", text);
}

static void check_manifest(struct check *c, const char *aof_dir, const char *manifest_name,
                           struct aof_manifest *manifest) {
    char text[OFFLINE_TEXT_BYTES];
    if (shard_manifest_read(manifest, aof_dir, manifest_name, text, sizeof text) != 0) {
        check_say(c, CHECK_PROBLEM,
                  "%s. Restore it from a backup, or write one that names the "
                  "base and the increments in order",
                  text);
        return;
    }
    check_say(c, CHECK_FINE, "%s/%s: manifest of %u files", aof_dir, manifest_name,
              manifest->count);
    begin(c);
    check_named_files(c, manifest, aof_dir);
    for (uint32_t db = 0; !c->broken && db < keyspace_databases(c->replayer.ks); db++)
        keyspace_each(c->replayer.ks, db, on_key, c);
    say_strays(c, aof_dir);
    replayer_close(&c->replayer);
    check_history(c, manifest, aof_dir, manifest_name);
}

/* ---- what else lies there ---- */
static bool is_named(const struct aof_manifest *manifest, const char *name) {
    for (uint32_t i = 0; i < manifest->count; i++) {
        if (strcmp(manifest->files[i].name, name) == 0)
            return true;
    }
    return false;
}

static void set_aside(struct check *c, const char *path, const char *name) {
    char kept[SHARD_PATH_BYTES], text[OFFLINE_TEXT_BYTES];
    if (quarantine_file(c->dir, path, name, kept, sizeof kept, text, sizeof text) == 0)
        check_say(c, CHECK_FIXED, "%s: moved to %s/%s", path, c->dir, kept);
    else
        check_say(c, CHECK_NOTE, "%s", text);
}

/* A file of a rewrite that was cut off, or of somebody: --fix sets it aside. */
static void check_unnamed(struct check *c, const char *path, const char *name) {
    check_say(c, CHECK_PROBLEM, "%s: no manifest names it%s", path,
              c->fix ? "" : "; --fix sets it aside");
    if (c->fix)
        set_aside(c, path, name);
}

static int no_dots(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static bool is_manifest(const char *name) {
    size_t len = strlen(name);
    return len > 9 && strcmp(name + len - 9, ".manifest") == 0 && strncmp(name, "temp-", 5) != 0;
}

void check_log_folder(struct check *c, const char *aof_dir) {
    struct dirent **entries;
    struct aof_manifest manifest = {0};
    uint32_t manifests = 0;
    int count = scandir(aof_dir, &entries, no_dots, alphasort);
    if (count < 0) {
        check_say(c, CHECK_PROBLEM, "%s: %s", aof_dir, strerror(errno));
        return;
    }
    for (int i = 0; i < count; i++) {
        if (is_manifest(entries[i]->d_name) && manifests++ == 0)
            check_manifest(c, aof_dir, entries[i]->d_name, &manifest);
    }
    if (manifests != 1 && count > 0)
        check_say(c, CHECK_PROBLEM, "%s: %u manifests; restore the right one from a backup",
                  aof_dir, manifests);
    for (int i = 0; i < count; i++) {
        char path[SHARD_PATH_BYTES];
        const char *name = entries[i]->d_name;
        snprintf(path, sizeof path, "%.2000s/%.255s", aof_dir, name);
        if (strncmp(name, "temp-", 5) == 0)
            check_left_over(c, path);
        else if (strcmp(name, "snapshot") == 0)
            check_say(c, CHECK_NOTE, "%s: says when this log was switched off", path);
        else if (manifests == 1 && manifest.count > 0 && !is_manifest(name) &&
                 !is_named(&manifest, name))
            check_unnamed(c, path, name);
        free(entries[i]);
    }
    free(entries);
    aof_manifest_free(&manifest);
}
