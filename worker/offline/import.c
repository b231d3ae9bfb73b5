/* import.c - the files of a real server into the shards of a pool that does not exist yet. */
#include "worker/offline/offline_private.h"

#include "shared/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what the source is ---- */
static bool has_suffix(const char *name, const char *end) {
    size_t len = strlen(name), end_len = strlen(end);
    return len > end_len && strcmp(name + len - end_len, end) == 0;
}

/* The one manifest in a folder: 0, 1 if there is none, -1 with a text if there are several. */
static int find_manifest(const char *dir, char name_r[AOF_NAME_MAX + 1], char *error_r,
                         size_t error_bytes) {
    DIR *d = opendir(dir);
    struct dirent *entry;
    int result = 1;
    while (d != NULL && result >= 0 && (entry = readdir(d)) != NULL) {
        if (!has_suffix(entry->d_name, ".manifest") || strncmp(entry->d_name, "temp-", 5) == 0)
            continue;
        if (result == 0) {
            snprintf(error_r, error_bytes, "%s holds two manifests, %s and %s: which is the log?",
                     dir, name_r, entry->d_name);
            result = -1;
        } else {
            snprintf(name_r, AOF_NAME_MAX + 1, "%s", entry->d_name);
            result = 0;
        }
    }
    if (d != NULL)
        closedir(d);
    return result;
}

/* A log of Redis 7 in this folder: 0, 1 if there is none, -1 with a text. */
static int find_log(struct shard_files *files, const char *dir, char *error_r, size_t error_bytes) {
    char manifest[AOF_NAME_MAX + 1];
    int result = find_manifest(dir, manifest, error_r, error_bytes);
    return result == 0 ? shard_files_of_manifest(files, dir, manifest, error_r, error_bytes)
                       : result;
}

/* A server's own folder: its log, if it has one, for that is what it holds last; else its snapshot. */
static int find_in_server_dir(struct shard_files *files, const char *dir,
                              const struct config *config, char *error_r, size_t error_bytes) {
    char path[SHARD_PATH_BYTES];
    const char *singles[] = {config->appendfilename, config->dbfilename};
    snprintf(path, sizeof path, "%s/%s", dir, config->appenddirname);
    int result = find_log(files, path, error_r, error_bytes);
    for (size_t i = 0; i < sizeof singles / sizeof *singles && result == 1; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, singles[i]);
        if (access(path, F_OK) == 0)
            result = shard_files_single(files, path, error_r, error_bytes);
    }
    if (result == 1)
        snprintf(error_r, error_bytes, "%s holds neither %s/*.manifest nor %s nor %s", dir,
                 config->appenddirname, config->appendfilename, config->dbfilename);
    return result == 0 ? 0 : -1;
}

static int find_source(struct shard_files *files, const char *source, const struct config *config,
                       char *error_r, size_t error_bytes) {
    struct stat st;
    if (stat(source, &st) != 0) {
        snprintf(error_r, error_bytes, "cannot read %s: %s", source, strerror(errno));
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return shard_files_single(files, source, error_r, error_bytes);
    int result = find_log(files, source, error_r, error_bytes);
    return result == 1 ? find_in_server_dir(files, source, config, error_r, error_bytes) : result;
}

/* ---- the import ---- */
static void say_result(struct offline *o, const struct shard_files *files, const struct copy *copy,
                       const char *source) {
    static const char *const what[] = {"nothing", "the snapshot", "the log", "the log"};
    offline_say(o, "%s of %s: %" PRIu64 " keys", what[files->source], source, o->keys);
    for (uint32_t i = 0; i < files->count; i++)
        offline_say(o, "  read: %s, %" PRIu64 " bytes", files->files[i].path,
                    files->files[i].bytes);
    targets_say_shards(copy->targets, o);
    targets_say_databases(copy->targets, o);
    copy_say_skipped(copy);
}

static int import_files(struct offline *o, const struct shard_files *files, const char *source,
                        const char *out, const struct slot_map *slots) {
    struct targets targets = {0};
    struct copy copy = {.offline = o, .targets = &targets};
    int result = copy_check_room(files, 1, out, o->error, sizeof o->error);
    if (result != 0)
        return -1;
    result = targets_open(&targets, o->config, out, o->config->dbfilename, slots, o->error,
                          sizeof o->error);
    offline_progress_begin(o, files, 1);
    if (result == 0)
        result = copy_files(&copy, files);
    if (result == 0)
        result = targets_commit(&targets, true, o->error, sizeof o->error);
    if (result == 0) {
        offline_progress_end(o);
        say_result(o, files, &copy, source);
    }
    targets_free(&targets);
    return result;
}

int import_run(struct offline *o, char **argv) {
    struct shard_files files = {0};
    struct slot_map *slots = offline_slots(argv[2]);
    int result =
        slots == NULL ? -1 : find_source(&files, argv[0], o->config, o->error, sizeof o->error);
    if (result == 0)
        result = import_files(o, &files, argv[0], argv[1], slots);
    shard_files_free(&files);
    mem_free(slots);
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
