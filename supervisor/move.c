/* move.c - see the header. Before each step that relies on the one before, the folders are synced. */
#include "supervisor/move.h"
#include "shared/base/log.h"
#include "shared/base/publish.h"
#include "supervisor/snapshot_dir.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char INCOMING[] = "incoming", OUTGOING[] = "outgoing", QUARANTINE[] = "quarantine";

struct move {
    const char *dir;
    const struct config *config;
    char *error;
    size_t error_bytes;
    char incoming[MOVE_PATH_BYTES], outgoing[MOVE_PATH_BYTES];
};

static void move_init(struct move *m, const char *dir, char *error_r, size_t error_bytes) {
    m->dir = dir;
    m->config = NULL;
    m->error = error_r;
    m->error_bytes = error_bytes;
    snprintf(m->incoming, sizeof(m->incoming), "%s/%s", dir, INCOMING);
    snprintf(m->outgoing, sizeof(m->outgoing), "%s/%s", dir, OUTGOING);
}

static int fail(struct move *m, const char *step, const char *path) {
    snprintf(m->error, m->error_bytes, "cannot %s %s: %s", step, path, strerror(errno));
    return -1;
}

static bool exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

static void shard_path(const char *dir, uint32_t shard, char path[MOVE_PATH_BYTES]) {
    snprintf(path, MOVE_PATH_BYTES, "%.4000s/shard-%04u", dir, shard);
}

static int sync_dir(struct move *m, const char *dir) {
    return publish_sync_dir(dir, m->error, m->error_bytes);
}

static int make_dir(struct move *m, const char *path) {
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return fail(m, "make", path);
    return sync_dir(m, m->dir);
}

/* ---- into force ---- */

static int rename_shard(struct move *m, const char *from_dir, const char *to_dir, uint32_t shard) {
    char from[MOVE_PATH_BYTES], to[MOVE_PATH_BYTES];
    shard_path(from_dir, shard, from);
    shard_path(to_dir, shard, to);
    return rename(from, to) == 0 ? 0 : fail(m, "move", from);
}

static bool in_place(const char *dir, uint32_t shard) {
    char path[MOVE_PATH_BYTES];
    shard_path(dir, shard, path);
    return exists(path);
}

/* Every new folder must be somewhere: before the first is in place, all of them wait. */
static int check_complete(struct move *m, const struct pool_file *next, bool begun) {
    for (uint32_t i = 0; i < next->shards; i++) {
        if (in_place(m->incoming, i) || (begun && in_place(m->dir, i)))
            continue;
        snprintf(m->error, m->error_bytes,
                 "%s is moving to %u shards, but shard-%04u is neither in %s nor in place; nothing "
                 "has been changed",
                 m->dir, next->shards, i, m->incoming);
        return -1;
    }
    return 0;
}

static int old_ones_out(struct move *m, uint32_t from) {
    if (from == 0)
        return 0;
    if (make_dir(m, m->outgoing) != 0)
        return -1;
    for (uint32_t i = 0; i < from; i++) {
        if (in_place(m->dir, i) && rename_shard(m, m->dir, m->outgoing, i) != 0)
            return -1;
    }
    return sync_dir(m, m->outgoing) != 0 || sync_dir(m, m->dir) != 0 ? -1 : 0;
}

static int sync_arrival(struct move *m) {
    return sync_dir(m, m->dir) != 0 || sync_dir(m, m->incoming) != 0 ? -1 : 0;
}

/* The first one alone: where it is says that the old ones are out. */
static int new_ones_in(struct move *m, uint32_t shards) {
    for (uint32_t i = 0; i < shards; i++) {
        if (!in_place(m->incoming, i))
            continue;
        if (rename_shard(m, m->incoming, m->dir, i) != 0 || (i == 0 && sync_arrival(m) != 0))
            return -1;
    }
    return exists(m->incoming) ? sync_arrival(m) : 0;
}

/* ---- what is left of the old ones ---- */

static bool ends_with(const char *name, const char *end) {
    size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

static bool is_snapshot(const struct config *config, const char *name) {
    return strcmp(name, config->dbfilename) == 0;
}

static bool is_single_log_or_temp(const struct config *config, const char *name) {
    return strcmp(name, config->appendfilename) == 0 || strncmp(name, "temp-", 5) == 0 ||
           strcmp(name, "snapshot-log") == 0; /* a snapshot of the pool that did not end well */
}

static bool is_log(const struct config *config, const char *name) {
    size_t prefix = strlen(config->appendfilename);
    return strncmp(name, "temp-", 5) == 0 || strcmp(name, "snapshot") == 0 ||
           (strncmp(name, config->appendfilename, prefix) == 0 &&
            (name[prefix] == 0 || ends_with(name, ".aof") || ends_with(name, ".base.rdb") ||
             ends_with(name, ".manifest")));
}

/* Delete what `is` says, then the folder if nothing else is in it. */
static void delete_files(struct move *m, const char *dir,
                         bool (*is)(const struct config *config, const char *name)) {
    char path[MOVE_PATH_BYTES];
    DIR *stream = opendir(dir);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        if (!is(m->config, entry->d_name))
            continue;
        snprintf(path, sizeof(path), "%.3800s/%s", dir, entry->d_name);
        remove_tree(path, m->error, m->error_bytes);
    }
    if (stream)
        closedir(stream);
    rmdir(dir);
}

/* A snapshot beside a log nobody asked for may be of somebody who knew of no log. */
static void keep_snapshot(struct move *m, const char *shard) {
    char from[MOVE_PATH_BYTES], to[MOVE_PATH_BYTES];
    snprintf(from, sizeof(from), "%.3800s/%.255s", shard, m->config->dbfilename);
    snprintf(to, sizeof(to), "%.4000s.beside-a-log", from);
    (void)rename(from, to);
}

static void delete_shard(struct move *m, const char *name) {
    char shard[MOVE_PATH_BYTES], log[MOVE_PATH_BYTES], retired[MOVE_PATH_BYTES];
    snprintf(shard, sizeof(shard), "%.3700s/%s", m->outgoing, name);
    snprintf(log, sizeof(log), "%.3800s/%.150s", shard, m->config->appenddirname);
    snprintf(retired, sizeof(retired), "%.4000s.retired", log);
    if (!m->config->appendonly && exists(log))
        keep_snapshot(m, shard);
    delete_files(m, shard, is_snapshot);
    delete_files(m, log, is_log);
    delete_files(m, retired, is_log);
    delete_files(m, shard, is_single_log_or_temp);
}

/* A name in quarantine/ that is free. */
static int keep_rest(struct move *m) {
    char quarantine[MOVE_PATH_BYTES], to[MOVE_PATH_BYTES];
    snprintf(quarantine, sizeof(quarantine), "%.4000s/%s", m->dir, QUARANTINE);
    if (make_dir(m, quarantine) != 0)
        return -1;
    for (unsigned i = 1;; i++) {
        snprintf(to, sizeof(to), "%.4000s/redistributed-%u", quarantine, i);
        if (!exists(to))
            break;
    }
    if (rename(m->outgoing, to) != 0)
        return fail(m, "move", m->outgoing);
    log_warning("What was in the old shard folders besides the files that were read is kept in %s",
                to);
    return sync_dir(m, quarantine) != 0 ? -1 : sync_dir(m, m->dir);
}

static int delete_old(struct move *m) {
    DIR *stream = opendir(m->outgoing);
    if (!stream)
        return 0;
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (strncmp(entry->d_name, "shard-", 6) == 0)
            delete_shard(m, entry->d_name);
    }
    closedir(stream);
    return rmdir(m->outgoing) == 0 ? 0 : keep_rest(m);
}

static int discard_incoming(struct move *m) {
    return remove_tree(m->incoming, m->error, m->error_bytes);
}

static int finish(struct move *m, struct pool_file *next) {
    bool begun = !in_place(m->incoming, 0);
    if (check_complete(m, next, begun) != 0 ||
        (!begun && old_ones_out(m, next->moving_from) != 0) || new_ones_in(m, next->shards) != 0)
        return -1;
    next->moving = false;
    next->moving_from = 0;
    if (pool_file_publish(m->dir, next, m->error, m->error_bytes) != 0)
        return -1;
    return delete_old(m) != 0 ? -1 : discard_incoming(m);
}

/* ---- the public part ---- */

int move_prepare(const char *dir, char incoming_r[MOVE_PATH_BYTES], char *error_r,
                 size_t error_bytes) {
    struct move m;
    move_init(&m, dir, error_r, error_bytes);
    snprintf(incoming_r, MOVE_PATH_BYTES, "%s", m.incoming);
    return discard_incoming(&m) != 0 ? -1 : make_dir(&m, m.incoming);
}

int move_discard(const char *dir, char *error_r, size_t error_bytes) {
    struct move m;
    move_init(&m, dir, error_r, error_bytes);
    return discard_incoming(&m);
}

int move_commit(const char *dir, uint32_t from, struct pool_file *next, const struct config *config,
                char *error_r, size_t error_bytes) {
    struct move m;
    move_init(&m, dir, error_r, error_bytes);
    m.config = config;
    if (check_complete(&m, next, false) != 0 || sync_dir(&m, m.incoming) != 0)
        return -1;
    next->moving = true;
    next->moving_from = from;
    return pool_file_publish(dir, next, error_r, error_bytes) != 0 ? -1 : finish(&m, next);
}

int move_recover(const char *dir, const struct config *config, char *error_r, size_t error_bytes) {
    static struct pool_file file;
    struct move m;
    move_init(&m, dir, error_r, error_bytes);
    m.config = config;
    int found = pool_file_read(dir, &file, error_r, error_bytes);
    if (found < 0)
        return -1;
    if (found == 1 && exists(m.outgoing)) {
        snprintf(error_r, error_bytes,
                 "%s holds shard folders in %s but no " POOL_FILE_NAME "; put that file back", dir,
                 OUTGOING);
        return -1;
    }
    if (found == 0 && file.moving) {
        log_notice("A move from %u to %u shards was cut off after its commit: finishing it",
                   file.moving_from, file.shards);
        return finish(&m, &file);
    }
    if (exists(m.incoming))
        log_notice("A move of shards was cut off before its commit: discarding %s", m.incoming);
    return delete_old(&m) != 0 ? -1 : discard_incoming(&m);
}

int move_undo_import(const char *dir, char *error_r, size_t error_bytes) {
    static struct pool_file file;
    char path[MOVE_PATH_BYTES];
    struct move m;
    move_init(&m, dir, error_r, error_bytes);
    int found = pool_file_read(dir, &file, error_r, error_bytes);
    if (found != 0 || !file.moving || file.moving_from != 0)
        return found < 0 ? -1 : 0;
    for (uint32_t i = 0; i < file.shards; i++) {
        shard_path(dir, i, path);
        if (remove_tree(path, error_r, error_bytes) != 0)
            return -1;
    }
    snprintf(path, sizeof(path), "%.4000s/" POOL_FILE_NAME, dir);
    if (sync_dir(&m, dir) != 0)
        return -1;
    if (unlink(path) != 0)
        return fail(&m, "remove", path);
    return discard_incoming(&m) != 0 ? -1 : sync_dir(&m, dir);
}

const char *move_pending(const char *dir, const struct pool_file *file) {
    struct move m;
    char unused[1];
    move_init(&m, dir, unused, sizeof(unused));
    if (file->moving)
        return "a move to another number of shards was cut off after its commit";
    if (exists(m.outgoing))
        return "a move to another number of shards is done but for the old folders in outgoing/";
    if (exists(m.incoming))
        return "a move to another number of shards was cut off before its commit (incoming/)";
    return NULL;
}
