/* persist_load.c - a shard's files into memory at start: the log if there is one, else the snapshot.
 *
 *   manifest        -> base, then each increment; the last one with bytes in it may be cut short
 *   appendonly.aof  -> the single file of older versions: loaded, then it becomes the base
 *   neither         -> dump.rdb, and the first base is written from memory before the shard serves
 *
 * A file the manifest names must exist. Fails with a text that names file and offset; until everything
 * is loaded nothing on disk is changed, so a failed start can be looked into and repeated. */
#include "worker/persist/persist_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/publish.h"
#include "worker/persist/quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MANIFEST_BYTES_MAX = 1024 * 1024,
    UNSYNCED_BYTES_MAX = 128 * 1024 * 1024 /* more than is written between two syncs */
};

void persist_remove_temps(const char *dir) {
    DIR *d = opendir(dir);
    struct dirent *entry;
    char path[PERSIST_PATH_BYTES];
    if (d == NULL)
        return;
    while ((entry = readdir(d)) != NULL) {
        if (strncmp(entry->d_name, "temp-", 5) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        struct stat st;
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            log_remove_folder(path);
        else if (unlink(path) == 0)
            log_notice("Removed %s, left behind by a process that is gone", path);
    }
    closedir(d);
}

/* ---- one file ---- */
struct source {
    int fd;
    uint64_t bytes;
    char path[PERSIST_PATH_BYTES];
};

/* 0, 1 if there is no such file, -1 with a text. */
static int open_source(struct source *s, const char *dir, const char *name, char *error_r,
                       size_t error_bytes) {
    struct stat st;
    snprintf(s->path, sizeof s->path, "%s/%s", dir, name);
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 && errno == ENOENT)
        return 1;
    if (s->fd >= 0 && fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        s->bytes = (uint64_t)st.st_size;
        return 0;
    }
    snprintf(error_r, error_bytes, "cannot read %s: %s", s->path,
             s->fd < 0 ? strerror(errno) : "it is no plain file");
    if (s->fd >= 0)
        close(s->fd);
    return -1;
}

static int name_file(const struct source *s, const char *text, char *error_r, size_t error_bytes) {
    snprintf(error_r, error_bytes, "%s: %s", s->path, text);
    return -1;
}

static void on_progress(void *arg, uint64_t offset) {
    struct persist *p = arg;
    persist_refresh_load(p, p->load_done_before + offset);
    persist_tell_progress(p);
}

static bool owns(void *arg, struct bytes key) {
    struct persist *p = arg;
    return p->hooks.owns(p->hooks.arg, key);
}

static void expect_bytes(struct persist *p, uint64_t bytes) {
    status_set(p->status, METRIC_load_total_bytes, bytes);
    status_set(p->status, METRIC_load_started_time_seconds, (uint64_t)persist_now_s());
    p->load_started_us = clock_mono_us();
    p->load_done_before = 0;
    persist_refresh_load(p, 0);
}

static void file_done(struct persist *p, const struct source *s) {
    p->load_done_before += s->bytes;
    persist_refresh_load(p, p->load_done_before);
    close(s->fd);
}

static void tell_origin(struct persist *p, const struct rdb_origin *origin) {
    if (origin->id[0] != '\0' && p->hooks.origin_found != NULL)
        p->hooks.origin_found(p->hooks.arg, origin);
}

/* ---- dump.rdb ---- */
int persist_load_snapshot(struct persist *p, const char *name, bool must_exist, char *error_r,
                          size_t error_bytes) {
    struct source s;
    struct rdb_loaded loaded;
    char text[PERSIST_TEXT_BYTES];
    int opened = open_source(&s, p->dir, name, error_r, error_bytes);
    if (opened == 1 && !must_exist)
        return 0;
    if (opened != 0)
        return opened == 1 ? name_file(&s, "it does not exist", error_r, error_bytes) : -1;
    expect_bytes(p, s.bytes);
    struct rdb_load_job job = {.ks = p->ks,
                               .config = p->config,
                               .progress = on_progress,
                               .owns = p->hooks.owns != NULL ? owns : NULL,
                               .arg = p};
    uint64_t started_us = clock_mono_us();
    int result = rdb_load_fd(s.fd, s.bytes, &job, &loaded, text, sizeof text);
    file_done(p, &s);
    if (result != 0)
        return name_file(&s, text, error_r, error_bytes);
    /* A flipped bit can put the end, and zeros for a checksum, anywhere into a value. */
    if (loaded.end < s.bytes && !loaded.checksum)
        return name_file(&s, "it has no checksum, and bytes behind its end", error_r, error_bytes);
    if (loaded.end < s.bytes)
        log_warning("%s: %" PRIu64 " bytes behind the end of the snapshot are ignored", s.path,
                    s.bytes - loaded.end);
    tell_origin(p, &loaded.origin);
    p->snapshots.loaded_keys = loaded.keys;
    p->snapshots.expired_on_load = loaded.expired;
    log_notice("DB loaded from disk: %" PRIu64 " keys, %" PRIu64 " expired, %" PRIu64
               " empty, %.3f seconds",
               loaded.keys, loaded.expired, loaded.empty,
               (double)(clock_mono_us() - started_us) / 1e6);
    return 0;
}

/* ---- a file of the log ---- */
struct log_end {
    struct aof_loaded loaded;
    struct source source; /* path and size; its fd is closed */
    const char *name;
};

static int check_cut(struct persist *p, const struct log_end *end, char *error_r,
                     size_t error_bytes) {
    if (end->loaded.cut_bytes == 0 || p->config->aof_load_truncated)
        return 0;
    snprintf(error_r, error_bytes,
             "%s: at byte %" PRIu64 ": the last %" PRIu64
             " bytes are cut short, and aof-load-truncated is no",
             end->source.path, end->loaded.end, end->loaded.cut_bytes);
    return -1;
}

/* What a dead process had written and not synced is about to be shown to clients: first to the disk. And
 * where a sync had failed, the kernel may keep in memory what the disk has not got, and call it clean: the
 * end is read from the disk. */
static int settle_end(struct source *s, char *error_r, size_t error_bytes) {
    if (fdatasync(s->fd) != 0) {
        snprintf(error_r, error_bytes, "%s: fdatasync failed: %s", s->path, strerror(errno));
        close(s->fd);
        return -1;
    }
    uint64_t from = s->bytes > UNSYNCED_BYTES_MAX ? s->bytes - UNSYNCED_BYTES_MAX : 0;
    (void)posix_fadvise(s->fd, (off_t)from, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static int load_log_file(struct persist *p, const char *dir, const char *name, bool may_be_cut,
                         struct log_end *end, char *error_r, size_t error_bytes) {
    char text[PERSIST_TEXT_BYTES];
    struct source *s = &end->source;
    static const struct bytes select_first[] = {{"SELECT", 6}, {"0", 1}};
    end->name = name;
    int opened = open_source(s, dir, name, error_r, error_bytes);
    if (opened != 0)
        return opened == 1 ? name_file(s, "the manifest names it, but it does not exist", error_r,
                                       error_bytes)
                           : -1;
    if (may_be_cut && settle_end(s, error_r, error_bytes) != 0)
        return -1;
    uint64_t done = p->load_done_before + s->bytes, total = p->aof.total_bytes;
    struct aof_load_job job = {.ks = p->ks,
                               .config = p->config,
                               .apply = p->hooks.apply,
                               .read = p->hooks.read,
                               .behind = total > done ? total - done : 0,
                               .apply_arg = p->hooks.arg,
                               .progress = on_progress,
                               .owns = p->hooks.owns != NULL ? owns : NULL,
                               .progress_arg = p,
                               .may_be_cut = may_be_cut};
    int result = p->hooks.apply(p->hooks.arg, 2, select_first, text, sizeof text);
    if (result == 0)
        result = aof_load_fd(s->fd, s->bytes, &job, &end->loaded, text, sizeof text);
    file_done(p, s);
    if (result != 0)
        return name_file(s, text, error_r, error_bytes);
    if (end->loaded.commands == 0) /* else they have led away from there */
        tell_origin(p, &end->loaded.rdb.origin);
    log_notice("Log file %s loaded: %" PRIu64 " keys, %" PRIu64 " commands, %" PRIu64
               " batches verified",
               s->path, end->loaded.keys, end->loaded.commands, end->loaded.checksums);
    return check_cut(p, end, error_r, error_bytes);
}

/* ---- the cut tail ---- */
static int cut_off(const struct log_end *end, char *error_r, size_t error_bytes) {
    const char *path = end->source.path;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && ftruncate(fd, (off_t)end->loaded.end) == 0 && fsync(fd) == 0;
    if (!ok)
        snprintf(error_r, error_bytes, "cannot cut %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok ? 0 : -1;
}

/* The tail is safe in quarantine/ before the file loses it. */
static int repair(struct persist *p, const struct log_end *end, char *error_r, size_t error_bytes) {
    char kept[PERSIST_TEXT_BYTES];
    const struct aof_loaded *loaded = &end->loaded;
    if (loaded->cut_bytes == 0)
        return 0;
    int fd = open(end->source.path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return name_file(&end->source, strerror(errno), error_r, error_bytes);
    int result =
        quarantine_tail(p->dir, fd, end->name, loaded->end, loaded->end + loaded->cut_bytes, kept,
                        sizeof kept, error_r, error_bytes);
    close(fd);
    if (result != 0 || cut_off(end, error_r, error_bytes) != 0)
        return -1;
    log_warning("%s was cut short: %" PRIu64 " bytes behind byte %" PRIu64 " (after %" PRIu64
                " commands) are no whole command; they are kept in %s/%s",
                end->source.path, loaded->cut_bytes, loaded->end, loaded->commands, p->dir, kept);
    return 0;
}

/* ---- the files of a manifest ---- */
static int read_manifest(struct persist *p, char *error_r, size_t error_bytes) {
    char text[PERSIST_TEXT_BYTES];
    struct source s;
    static char content[MANIFEST_BYTES_MAX];
    int opened = open_source(&s, p->aof_dir, p->rewrite.manifest_name, error_r, error_bytes);
    if (opened != 0)
        return opened;
    ssize_t n = s.bytes <= sizeof content ? read(s.fd, content, sizeof content) : -1;
    close(s.fd);
    if (n != (ssize_t)s.bytes)
        return name_file(&s, "too long, or it cannot be read", error_r, error_bytes);
    if (aof_manifest_parse(&p->manifest, bytes_of(content, (size_t)n), text, sizeof text) != 0)
        return name_file(&s, text, error_r, error_bytes);
    return 0;
}

static uint64_t size_of(const struct persist *p, const struct aof_file *file) {
    char path[PERSIST_PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", p->aof_dir, file->name);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static bool ends_with(const char *name, const char *end) {
    size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

/* Sizes of the log; returns which file is the last with bytes in it. */
static uint32_t measure(struct persist *p) {
    uint32_t last = 0;
    p->aof.total_bytes = p->aof.base_bytes = 0;
    for (uint32_t i = 0; i < p->manifest.count; i++) {
        const struct aof_file *file = &p->manifest.files[i];
        if (file->type == AOF_HISTORY)
            continue;
        uint64_t bytes = size_of(p, file);
        p->aof.total_bytes += bytes;
        if (file->type == AOF_BASE)
            p->aof.base_bytes = bytes;
        if (bytes > 0)
            last = i;
    }
    return last;
}

static int open_last_incr(struct persist *p, uint64_t bytes, uint64_t crc, char *error_r,
                          size_t error_bytes) {
    char path[PERSIST_PATH_BYTES];
    const struct aof_file *incr = aof_manifest_last_incr(&p->manifest);
    snprintf(path, sizeof path, "%s/%s", p->aof_dir, incr->name);
    return aof_open(&p->aof, path, bytes, crc, error_r, error_bytes);
}

/* A log without an increment (a foreign one, or a single file taken in) gets one. */
static int add_incr(struct persist *p, char *error_r, size_t error_bytes) {
    char name[AOF_NAME_MAX + 1];
    uint64_t seq = aof_manifest_next_seq(&p->manifest, AOF_INCR);
    snprintf(name, sizeof name, "%s.%" PRIu64 ".incr.aof", p->config->appendfilename, seq);
    int fd = rewrite_create_incr(p->aof_dir, name, error_r, error_bytes);
    if (fd < 0)
        return -1;
    close(fd);
    aof_manifest_add(&p->manifest, AOF_INCR, seq, name);
    if (publish_sync_dir(p->aof_dir, error_r, error_bytes) != 0)
        return -1;
    return rewrite_publish_manifest(p->aof_dir, p->rewrite.manifest_name, &p->manifest, error_r,
                                    error_bytes);
}

/* The base of a log without RDB preamble may be empty, a snapshot never is: its bytes were lost. */
static int check_base_has_bytes(const struct aof_file *file, const struct log_end *end,
                                char *error_r, size_t error_bytes) {
    if (file->type != AOF_BASE || !ends_with(file->name, ".rdb") || end->source.bytes > 0)
        return 0;
    return name_file(&end->source, "the base of the log is empty", error_r, error_bytes);
}

/* Each increment with bytes knows the one before it. */
static int check_it_follows(struct persist *p, const struct log_end *end, char *error_r,
                            size_t error_bytes) {
    const struct aof_loaded *loaded = &end->loaded;
    if (loaded->end == 0)
        return 0;
    if (loaded->follows && p->aof.follows && loaded->follows_crc != p->aof.follows_crc)
        return name_file(
            &end->source,
            "it does not follow the increment before it, whose end is missing or which "
            "is another",
            error_r, error_bytes);
    p->aof.follows = true;
    p->aof.follows_crc = loaded->crc;
    return 0;
}

static int load_files(struct persist *p, struct log_end *last_r, char *error_r,
                      size_t error_bytes) {
    uint32_t last = measure(p);
    struct log_end end;
    expect_bytes(p, p->aof.total_bytes);
    for (uint32_t i = 0; i < p->manifest.count; i++) {
        const struct aof_file *file = &p->manifest.files[i];
        if (file->type == AOF_HISTORY)
            continue;
        bool may_be_cut = i >= last && file->type == AOF_INCR;
        end = (struct log_end){0};
        if (load_log_file(p, p->aof_dir, file->name, may_be_cut, &end, error_r, error_bytes) != 0 ||
            check_base_has_bytes(file, &end, error_r, error_bytes) != 0 ||
            (file->type == AOF_INCR && check_it_follows(p, &end, error_r, error_bytes) != 0))
            return -1;
        if (i <= last || end.loaded.end > 0)
            *last_r = end;
    }
    return 0;
}

static int load_by_manifest(struct persist *p, char *error_r, size_t error_bytes) {
    struct log_end last = {0};
    if (load_files(p, &last, error_r, error_bytes) != 0 ||
        repair(p, &last, error_r, error_bytes) != 0 ||
        rewrite_drop_history(p->aof_dir, p->rewrite.manifest_name, &p->manifest, error_r,
                             error_bytes) != 0)
        return -1;
    p->aof.total_bytes -= last.loaded.cut_bytes;
    if (aof_manifest_last_incr(&p->manifest) == NULL) {
        if (add_incr(p, error_r, error_bytes) != 0)
            return -1;
        return open_last_incr(p, 0, 0, error_r, error_bytes);
    }
    bool same = last.name != NULL && strcmp(last.source.path + strlen(p->aof_dir) + 1,
                                            aof_manifest_last_incr(&p->manifest)->name) == 0;
    return open_last_incr(p, same ? last.loaded.end : 0, same ? last.loaded.crc : 0, error_r,
                          error_bytes);
}

/* ---- the single file of older versions ---- */
/* A second name for the file, the manifest, then the old name goes: at no moment is the log nowhere. */
static int take_in(struct persist *p, const struct log_end *single, char *error_r,
                   size_t error_bytes) {
    char path[PERSIST_PATH_BYTES];
    const char *name = p->config->appendfilename;
    snprintf(path, sizeof path, "%s/%s", p->aof_dir, name);
    if (link(single->source.path, path) != 0 && errno != EEXIST) {
        snprintf(error_r, error_bytes, "cannot link %s to %s: %s", single->source.path, path,
                 strerror(errno));
        return -1;
    }
    aof_manifest_add(&p->manifest, AOF_BASE, 1, name);
    p->aof.base_bytes = p->aof.total_bytes = single->loaded.end;
    if (publish_sync_dir(p->aof_dir, error_r, error_bytes) != 0 ||
        add_incr(p, error_r, error_bytes) != 0 ||
        open_last_incr(p, 0, 0, error_r, error_bytes) != 0)
        return -1;
    if (unlink(single->source.path) != 0)
        log_warning("Cannot delete %s: %s", single->source.path, strerror(errno));
    log_notice("The single log file %s is the base of the log in %s now", name, p->aof_dir);
    return 0;
}

/* A link of a start that was cut off before its manifest is the same file: it must not be another. */
static int check_no_other(struct persist *p, const struct source *single, char *error_r,
                          size_t error_bytes) {
    char path[PERSIST_PATH_BYTES];
    struct stat here, there;
    snprintf(path, sizeof path, "%s/%s", p->aof_dir, p->config->appendfilename);
    if (stat(path, &there) != 0 || (stat(single->path, &here) == 0 && here.st_ino == there.st_ino &&
                                    here.st_dev == there.st_dev))
        return 0;
    snprintf(error_r, error_bytes,
             "both %s and %s exist, and there is no manifest: which is the log?", single->path,
             path);
    return -1;
}

static int load_single(struct persist *p, char *error_r, size_t error_bytes) {
    struct log_end single = {0};
    snprintf(single.source.path, sizeof single.source.path, "%s/%s", p->dir,
             p->config->appendfilename);
    if (check_no_other(p, &single.source, error_r, error_bytes) != 0)
        return -1;
    struct stat st;
    expect_bytes(p, stat(single.source.path, &st) == 0 ? (uint64_t)st.st_size : 0);
    if (load_log_file(p, p->dir, p->config->appendfilename, true, &single, error_r, error_bytes) !=
            0 ||
        repair(p, &single, error_r, error_bytes) != 0)
        return -1;
    return take_in(p, &single, error_r, error_bytes);
}

/* ---- the first start ---- */
/* A file of a log that says something: not an empty increment. */
static bool is_log_file(const struct persist *p, const char *name) {
    const char *prefix = p->config->appendfilename;
    struct aof_file file = {0};
    if (strncmp(name, prefix, strlen(prefix)) != 0 || strlen(name) > AOF_NAME_MAX ||
        (!ends_with(name, ".incr.aof") && !ends_with(name, ".base.rdb") &&
         !ends_with(name, ".base.aof")))
        return false;
    strcpy(file.name, name);
    return size_of(p, &file) > 0;
}

/* A first start that was cut off leaves a base which nobody has written on: set aside, not used.
 * Anything else is a log whose manifest is lost, and which must not be taken for no log. */
static int check_no_lost_log(struct persist *p, char *error_r, size_t error_bytes) {
    char first[AOF_NAME_MAX + 1], path[PERSIST_PATH_BYTES], kept[PERSIST_PATH_BYTES];
    DIR *d = opendir(p->aof_dir);
    struct dirent *entry;
    int result = 0;
    bool first_found = false;
    snprintf(first, sizeof first, "%s.1.base.rdb", p->config->appendfilename);
    while (d != NULL && result == 0 && (entry = readdir(d)) != NULL) {
        if (!is_log_file(p, entry->d_name))
            continue;
        if (strcmp(entry->d_name, first) == 0) {
            first_found = true;
            continue;
        }
        snprintf(error_r, error_bytes, "%s holds %s but no manifest that says how to read it",
                 p->aof_dir, entry->d_name);
        result = -1;
    }
    if (d != NULL)
        closedir(d);
    if (result != 0 || !first_found)
        return result;
    snprintf(path, sizeof path, "%s/%s", p->aof_dir, first);
    if (quarantine_file(p->dir, path, first, kept, sizeof kept, error_r, error_bytes) != 0)
        return -1;
    log_warning("%s is of a start that was cut off: moved to %s/%s", path, p->dir, kept);
    return 0;
}

static int start_first_log(struct persist *p, char *error_r, size_t error_bytes) {
    if (check_no_lost_log(p, error_r, error_bytes) != 0 ||
        persist_load_snapshot(p, p->config->dbfilename, false, error_r, error_bytes) != 0)
        return -1;
    if (rewrite_first(p, error_r, error_bytes) != 0)
        return -1;
    return open_last_incr(p, 0, 0, error_r, error_bytes);
}

int persist_open_log(struct persist *p, char *error_r, size_t error_bytes) {
    char single[PERSIST_PATH_BYTES];
    if (mkdir(p->aof_dir, 0755) != 0 && errno != EEXIST) {
        snprintf(error_r, error_bytes, "cannot create %s: %s", p->aof_dir, strerror(errno));
        return -1;
    }
    if (publish_sync_dir(p->dir, error_r, error_bytes) != 0)
        return -1;
    persist_remove_temps(p->aof_dir);
    snprintf(single, sizeof single, "%s/%s", p->dir, p->config->appendfilename);
    int read = read_manifest(p, error_r, error_bytes);
    int result = read == 0                   ? load_by_manifest(p, error_r, error_bytes)
                 : read < 0                  ? -1
                 : access(single, F_OK) == 0 ? load_single(p, error_r, error_bytes)
                                             : start_first_log(p, error_r, error_bytes);
    p->rewrite.size_at_last = p->aof.total_bytes;
    return result;
}

/* ---- a log that is not wanted any more ---- */
static int64_t changed_s(const char *dir, const char *name) {
    char path[PERSIST_PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0 ? st.st_mtim.tv_sec : 0;
}

/* When the log was written last, or knew all that a snapshot had. */
static int64_t log_changed_s(const struct persist *p) {
    int64_t newest = changed_s(p->dir, p->config->appendfilename);
    DIR *d = opendir(p->aof_dir);
    struct dirent *entry;
    while (d != NULL && (entry = readdir(d)) != NULL) {
        int64_t changed = entry->d_name[0] == '.' ? 0 : changed_s(p->aof_dir, entry->d_name);
        newest = changed > newest ? changed : newest;
    }
    if (d != NULL)
        closedir(d);
    return newest;
}

/* A snapshot that was written behind the log's last byte may be of somebody who knew of no log. */
static int keep_newer_snapshot(struct persist *p, int64_t log_s, char *error_r,
                               size_t error_bytes) {
    char path[PERSIST_PATH_BYTES], kept[PERSIST_PATH_BYTES];
    if (changed_s(p->dir, p->config->dbfilename) <= log_s)
        return 0;
    snprintf(path, sizeof path, "%s/%s", p->dir, p->config->dbfilename);
    if (quarantine_file(p->dir, path, p->config->dbfilename, kept, sizeof kept, error_r,
                        error_bytes) != 0)
        return -1;
    log_warning("%s is younger than the log, which was loaded; it is kept in %s/%s", path, p->dir,
                kept);
    return 0;
}

int persist_turn_log_into_snapshot(struct persist *p, char *error_r, size_t error_bytes) {
    char retired[PERSIST_PATH_BYTES];
    int64_t log_s = log_changed_s(p);
    log_warning(
        "appendonly is no, but there is a log in %s: it is loaded, written to %s, and put out "
        "of use",
        p->aof_dir, p->config->dbfilename);
    if (persist_open_log(p, error_r, error_bytes) != 0 ||
        keep_newer_snapshot(p, log_s, error_r, error_bytes) != 0)
        return -1;
    struct rdb_save_job job = persist_save_job(p, false);
    struct rdb_saved saved;
    if (rdb_save_file(p->dir, p->config->dbfilename, &job, &saved, error_r, error_bytes) != 0)
        return -1;
    log_home(p, "", ".retired", retired);
    if (log_retire_folder(p->aof_dir, retired, "superseded\n", error_r, error_bytes) != 0)
        return -1;
    log_forget(p);
    p->log.retired_there = true;
    log_remove_retired(p);
    return 0;
}
