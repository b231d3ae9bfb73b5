/* check.c - every file of a folder: a shard's, or a real server's; one line about each. */
#include "worker/offline/check_private.h"

#include "shared/base/mem.h"
#include "worker/persist/shard_repair.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void check_say(struct check *c, enum check_verdict verdict, const char *format, ...) {
    static const char *const words[] = {"fine   ", "note   ", "PROBLEM", "fixed  "};
    char text[2 * OFFLINE_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    c->fine += verdict == CHECK_FINE;
    c->problems += verdict == CHECK_PROBLEM;
    c->fixed += verdict == CHECK_FIXED;
    offline_say(c->offline, "%s  %s", words[verdict], text);
}

void check_left_over(struct check *c, const char *path) {
    check_say(c, CHECK_PROBLEM, "%s: left behind by a process that is gone%s", path,
              c->fix ? "" : "; a start or --fix deletes it");
    if (!c->fix)
        return;
    char text[OFFLINE_TEXT_BYTES];
    if (shard_repair_temp(path, text, sizeof text) == 0)
        check_say(c, CHECK_FIXED, "%s: deleted", path);
    else
        check_say(c, CHECK_NOTE, "%s", text);
}

/* ---- a folder ---- */
static int no_dots(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void note_quarantine(struct check *c, const char *path) {
    struct dirent **entries;
    int count = scandir(path, &entries, no_dots, alphasort);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    if (count >= 0)
        free(entries);
    if (count > 0)
        check_say(c, CHECK_NOTE, "%s: %d files that were set aside", path, count);
}

static bool is_retired(const struct check *c, const char *path) {
    char retired[SHARD_PATH_BYTES];
    (void)shard_files_retired(c->dir, c->offline->config, retired);
    return strcmp(path, retired) == 0;
}

/* A log that was switched off: it counts until a snapshot makes up for it, and goes then. */
static void check_retired(struct check *c, const char *path) {
    char retired[SHARD_PATH_BYTES];
    if (shard_files_retired(c->dir, c->offline->config, retired))
        check_log_folder(c, path);
    else
        check_say(c, CHECK_NOTE, "%s: a log that was switched off, and a snapshot holds all of it",
                  path);
}

static void check_entry(struct check *c, const char *path, const char *name, struct stat *st) {
    const struct config *config = c->offline->config;
    bool plain = S_ISREG(st->st_mode), folder = S_ISDIR(st->st_mode);
    if (plain && strcmp(name, config->dbfilename) == 0)
        check_snapshot(c, path, (uint64_t)st->st_size);
    else if (plain && strcmp(name, config->appendfilename) == 0)
        check_single_log(c, path, (uint64_t)st->st_size);
    else if (folder && strcmp(name, config->appenddirname) == 0)
        check_log_folder(c, path);
    else if (folder && is_retired(c, path))
        check_retired(c, path);
    else if (strncmp(name, "temp-", 5) == 0 || (folder && strcmp(name, "snapshot-log") == 0))
        check_left_over(c, path);
    else if (folder && strcmp(name, "quarantine") == 0)
        note_quarantine(c, path);
    else
        check_say(c, CHECK_NOTE, "%s: no file of a shard, left alone", path);
}

static bool has_manifest(struct dirent **entries, int count) {
    for (int i = 0; i < count; i++) {
        const char *end = strstr(entries[i]->d_name, ".manifest");
        if (end != NULL && end[9] == '\0')
            return true;
    }
    return false;
}

static void check_folder(struct check *c, const char *dir) {
    struct dirent **entries;
    int count = scandir(dir, &entries, no_dots, alphasort);
    c->dir = dir;
    if (count < 0) {
        check_say(c, CHECK_PROBLEM, "%s: %s", dir, strerror(errno));
        return;
    }
    if (count == 0 && c->owners == NULL)
        check_say(c, CHECK_PROBLEM, "%s: nothing is in it", dir);
    bool log_folder = has_manifest(entries, count);
    if (log_folder)
        check_log_folder(c, dir);
    for (int i = 0; i < count; i++) {
        char path[SHARD_PATH_BYTES];
        struct stat st;
        snprintf(path, sizeof path, "%.2000s/%.255s", dir, entries[i]->d_name);
        if (!log_folder && lstat(path, &st) == 0)
            check_entry(c, path, entries[i]->d_name, &st);
        free(entries[i]);
    }
    free(entries);
}

/* ---- a single file ---- */
static void check_path(struct check *c, const char *path) {
    struct shard_files files = {0};
    char text[OFFLINE_TEXT_BYTES], dir[SHARD_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash != NULL ? (int)(slash - path) : 1,
             slash != NULL ? path : ".");
    c->dir = dir;
    if (shard_files_single(&files, path, text, sizeof text) != 0)
        check_say(c, CHECK_PROBLEM, "%s", text);
    else if (files.files[0].log)
        check_single_log(c, files.files[0].path, files.bytes);
    else
        check_snapshot(c, files.files[0].path, files.bytes);
    shard_files_free(&files);
}

/* ---- all ---- */
static void check_shards(struct check *c, const char *dir) {
    for (c->shard = 0; c->shard < c->owners->shards; c->shard++) {
        char path[SHARD_PATH_BYTES];
        struct stat st;
        offline_shard_dir(dir, c->shard, path);
        if (stat(path, &st) == 0)
            check_folder(c, path);
        else
            check_say(c, CHECK_PROBLEM,
                      "%s: %s; a start would make it, empty: restore it from a backup", path,
                      strerror(errno));
    }
}

int check_run(struct offline *o, char **argv) {
    struct stat st;
    struct slot_map *owners = offline_slots(argv[1]);
    struct check c = {.offline = o, .owners = owners, .fix = strcmp(argv[2], "fix") == 0};
    o->config->rdbchecksum = true;
    if (owners != NULL)
        check_shards(&c, argv[0]);
    else if (stat(argv[0], &st) == 0 && S_ISDIR(st.st_mode))
        check_folder(&c, argv[0]);
    else
        check_path(&c, argv[0]);
    offline_say(o, "%s: %" PRIu64 " files are fine, %" PRIu64 " problems, %" PRIu64 " repaired",
                argv[0], c.fine, c.problems, c.fixed);
    mem_free(owners);
    return c.problems == c.fixed ? EXIT_SUCCESS : EXIT_FAILURE;
}
