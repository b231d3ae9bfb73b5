/* shard_files.c - see shard_files.h. Which files make up a shard is decided as persist_load.c does:
 *
 *   the manifest's files, else the single log file, else a log that was switched off and for which no
 *   snapshot has made up yet, else the snapshot
 *
 * whatever appendonly says: a log that is there is the newest there is. */
#include "worker/persist/shard_files.h"

#include "shared/base/mem.h"
#include "worker/persist/persist_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MANIFEST_BYTES_MAX = 1024 * 1024, TEXT_BYTES = 512 };

void shard_files_free(struct shard_files *files) {
    mem_free(files->files);
    *files = (struct shard_files){0};
}

static int fail(const char *path, const char *text, char *error_r, size_t error_bytes) {
    snprintf(error_r, error_bytes, "%s: %s", path, text);
    return -1;
}

/* The descriptor of a plain file, or -1 with errno (EISDIR: it is none). */
static int open_plain(const char *path, uint64_t *bytes_r) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *bytes_r = (uint64_t)st.st_size;
        return fd;
    }
    close(fd);
    errno = EISDIR;
    return -1;
}

static const char *open_error(void) {
    return errno == EISDIR ? "it is no plain file" : strerror(errno);
}

/* ---- what there is ---- */
/* 0, 1 if there is no such file, -1 with a text. */
static int add(struct shard_files *files, const char *dir, const char *name, char *error_r,
               size_t error_bytes) {
    struct shard_file file = {0};
    snprintf(file.path, sizeof file.path, "%s/%s", dir, name);
    int fd = open_plain(file.path, &file.bytes);
    if (fd < 0 && errno == ENOENT)
        return 1;
    if (fd < 0)
        return fail(file.path, open_error(), error_r, error_bytes);
    close(fd);
    files->files = mem_realloc(files->files, (files->count + 1) * sizeof *files->files);
    files->files[files->count++] = file;
    files->bytes += file.bytes;
    return 0;
}

int shard_manifest_read(struct aof_manifest *manifest, const char *aof_dir,
                        const char *manifest_name, char *error_r, size_t error_bytes) {
    static char content[MANIFEST_BYTES_MAX];
    char path[SHARD_PATH_BYTES], text[TEXT_BYTES];
    uint64_t bytes;
    snprintf(path, sizeof path, "%s/%s", aof_dir, manifest_name);
    int fd = open_plain(path, &bytes);
    if (fd < 0 && errno == ENOENT)
        return 1;
    if (fd < 0)
        return fail(path, open_error(), error_r, error_bytes);
    ssize_t n = bytes <= sizeof content ? read(fd, content, sizeof content) : -1;
    close(fd);
    if (n != (ssize_t)bytes)
        return fail(path, "too long, or it cannot be read", error_r, error_bytes);
    if (aof_manifest_parse(manifest, bytes_of(content, (size_t)n), text, sizeof text) != 0)
        return fail(path, text, error_r, error_bytes);
    return 0;
}

/* Only the last increment with bytes in it, and empty ones behind it, may be cut short. */
static void mark_cuttable(struct shard_files *files) {
    uint32_t last = 0;
    for (uint32_t i = 0; i < files->count; i++) {
        if (files->files[i].bytes > 0)
            last = i;
    }
    for (uint32_t i = 0; i < last; i++)
        files->files[i].may_be_cut = false;
}

int shard_files_of_manifest(struct shard_files *files, const char *aof_dir,
                            const char *manifest_name, char *error_r, size_t error_bytes) {
    struct aof_manifest manifest = {0};
    int result = shard_manifest_read(&manifest, aof_dir, manifest_name, error_r, error_bytes);
    if (result != 0)
        return result;
    for (uint32_t i = 0; i < manifest.count && result == 0; i++) {
        const struct aof_file *file = &manifest.files[i];
        char path[SHARD_PATH_BYTES];
        if (file->type == AOF_HISTORY)
            continue;
        result = add(files, aof_dir, file->name, error_r, error_bytes);
        if (result == 1) {
            snprintf(path, sizeof path, "%s/%s", aof_dir, file->name);
            result =
                fail(path, "the manifest names it, but it does not exist", error_r, error_bytes);
        } else if (result == 0) {
            files->files[files->count - 1].log = true;
            files->files[files->count - 1].may_be_cut = file->type == AOF_INCR;
        }
    }
    aof_manifest_free(&manifest);
    if (result != 0) {
        shard_files_free(files);
        return result;
    }
    mark_cuttable(files);
    files->source = SHARD_LOG;
    return 0;
}

static int find_one(struct shard_files *files, const char *dir, const char *name, bool log,
                    enum shard_source source, char *error_r, size_t error_bytes) {
    int result = add(files, dir, name, error_r, error_bytes);
    if (result != 0)
        return result;
    files->files[0].log = files->files[0].may_be_cut = log;
    files->source = source;
    return 0;
}

static bool ends_with(const char *name, const char *end) {
    size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

/* A log without its manifest must not be taken for no log. The base of a first start that was cut off,
 * and empty increments, say nothing. */
static int check_no_lost_log(const char *aof_dir, const struct config *config, char *error_r,
                             size_t error_bytes) {
    char first[AOF_NAME_MAX + 32], path[SHARD_PATH_BYTES + AOF_NAME_MAX + 2];
    const char *prefix = config->appendfilename;
    DIR *d = opendir(aof_dir);
    struct dirent *entry;
    struct stat st;
    int result = 0;
    snprintf(first, sizeof first, "%s.1.base.rdb", prefix);
    while (d != NULL && result == 0 && (entry = readdir(d)) != NULL) {
        const char *name = entry->d_name;
        snprintf(path, sizeof path, "%s/%s", aof_dir, name);
        if (strncmp(name, prefix, strlen(prefix)) != 0 || strcmp(name, first) == 0 ||
            (!ends_with(name, ".incr.aof") && !ends_with(name, ".base.rdb") &&
             !ends_with(name, ".base.aof")) ||
            stat(path, &st) != 0 || st.st_size == 0)
            continue;
        snprintf(error_r, error_bytes, "%s exists, but no manifest that says how to read it", path);
        result = -1;
    }
    if (d != NULL)
        closedir(d);
    return result;
}

bool shard_files_retired(const char *dir, const struct config *config,
                         char path_r[SHARD_PATH_BYTES]) {
    snprintf(path_r, SHARD_PATH_BYTES, "%s/%s.retired", dir, config->appenddirname);
    return log_retired_counts(dir, config, path_r);
}

int shard_files_find(struct shard_files *files, const char *dir, const struct config *config,
                     char *error_r, size_t error_bytes) {
    char aof_dir[SHARD_PATH_BYTES], manifest[AOF_NAME_MAX + 32];
    snprintf(aof_dir, sizeof aof_dir, "%s/%s", dir, config->appenddirname);
    snprintf(manifest, sizeof manifest, "%s.manifest", config->appendfilename);
    int result = shard_files_of_manifest(files, aof_dir, manifest, error_r, error_bytes);
    if (result == 1 && check_no_lost_log(aof_dir, config, error_r, error_bytes) != 0)
        return -1;
    if (result == 1)
        result = find_one(files, dir, config->appendfilename, true, SHARD_SINGLE_LOG, error_r,
                          error_bytes);
    if (result == 1 && shard_files_retired(dir, config, aof_dir))
        result = shard_files_of_manifest(files, aof_dir, manifest, error_r, error_bytes);
    if (result == 1)
        result =
            find_one(files, dir, config->dbfilename, false, SHARD_SNAPSHOT, error_r, error_bytes);
    return result < 0 ? -1 : 0;
}

static bool begins_as_rdb(const char *path) {
    char magic[5];
    uint64_t bytes;
    int fd = open_plain(path, &bytes);
    bool is = fd >= 0 && read(fd, magic, sizeof magic) == (ssize_t)sizeof magic &&
              memcmp(magic, "REDIS", sizeof magic) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

int shard_files_single(struct shard_files *files, const char *path, char *error_r,
                       size_t error_bytes) {
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    char dir[SHARD_PATH_BYTES];
    size_t len = strlen(name);
    snprintf(dir, sizeof dir, "%.*s", slash != NULL ? (int)(slash - path) : 1,
             slash != NULL ? path : ".");
    bool log = !begins_as_rdb(path) || (len > 4 && strcmp(name + len - 4, ".aof") == 0);
    int result = find_one(files, dir, name, log, log ? SHARD_SINGLE_LOG : SHARD_SNAPSHOT, error_r,
                          error_bytes);
    return result == 1 ? fail(path, "it does not exist", error_r, error_bytes) : result;
}

/* ---- reading one ---- */
static void take_rdb(struct shard_file_found *found, const struct rdb_loaded *loaded) {
    found->rdb_version = loaded->version;
    found->rdb_checksum = loaded->checksum;
    found->stream_db = loaded->origin.db;
    found->keys = loaded->keys;
    found->expired = loaded->expired;
    found->empty = loaded->empty;
    found->functions = loaded->functions;
    found->module_parts = loaded->module_parts;
}

static int read_snapshot(int fd, const struct shard_file *file, const struct shard_reader *reader,
                         struct shard_file_found *found, char *error_r, size_t error_bytes) {
    struct rdb_load_job job = {.ks = reader->ks,
                               .config = reader->config,
                               .entry = reader->entry,
                               .entry_arg = reader->arg,
                               .progress = reader->progress,
                               .arg = reader->arg};
    struct rdb_loaded loaded;
    if (rdb_load_fd(fd, file->bytes, &job, &loaded, error_r, error_bytes) != 0)
        return -1;
    take_rdb(found, &loaded);
    found->end = loaded.end;
    if (loaded.end == file->bytes)
        return 0;
    snprintf(
        error_r, error_bytes,
        "at byte %llu: %llu bytes follow the end of the snapshot (a log with a snapshot at its "
        "beginning must be called *.aof)",
        (unsigned long long)loaded.end, (unsigned long long)(file->bytes - loaded.end));
    return -1;
}

static int read_log(int fd, const struct shard_file *file, const struct shard_reader *reader,
                    struct shard_file_found *found, char *error_r, size_t error_bytes) {
    static const struct bytes select_first[] = {{"SELECT", 6}, {"0", 1}};
    struct aof_load_job job = {.ks = reader->ks,
                               .config = reader->config,
                               .apply = reader->apply,
                               .apply_arg = reader->arg,
                               .progress = reader->progress,
                               .progress_arg = reader->arg,
                               .may_be_cut = file->may_be_cut};
    struct aof_loaded loaded;
    if (reader->apply(reader->arg, 2, select_first, error_r, error_bytes) != 0 ||
        aof_load_fd(fd, file->bytes, &job, &loaded, error_r, error_bytes) != 0)
        return -1;
    take_rdb(found, &loaded.rdb);
    found->end = loaded.end;
    found->cut_bytes = loaded.cut_bytes;
    found->commands = loaded.commands;
    found->checksums = loaded.checksums;
    return 0;
}

int shard_file_read(const struct shard_file *file, const struct shard_reader *reader,
                    struct shard_file_found *found_r, char *error_r, size_t error_bytes) {
    char text[TEXT_BYTES];
    uint64_t bytes;
    *found_r = (struct shard_file_found){0};
    int fd = open_plain(file->path, &bytes);
    if (fd < 0)
        return fail(file->path, open_error(), error_r, error_bytes);
    int result = bytes != file->bytes
                     ? (snprintf(text, sizeof text, "its size changes while it is read"), -1)
                 : file->log ? read_log(fd, file, reader, found_r, text, sizeof text)
                             : read_snapshot(fd, file, reader, found_r, text, sizeof text);
    close(fd);
    return result == 0 ? 0 : fail(file->path, text, error_r, error_bytes);
}
