/* cli_check.c - remuda check: pool.json and what belongs to a pool as a whole; the files of shards are
 * looked at by remuda-worker. Says in each line what was found, and changes nothing without --fix. */
#include "supervisor/cli_offline_private.h"
#include "supervisor/cli_private.h"
#include "supervisor/datadir.h"
#include "supervisor/move.h"
#include "supervisor/privileges.h"
#include "supervisor/restore.h"
#include "supervisor/snapshot_dir.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Did remuda-worker find everything well in it? slots "-": it is no pool. */
static bool look_at(struct offline *o, const char *path, const char *slots, bool fix) {
    const char *arguments[] = {"check", path, slots, fix ? "fix" : "look", NULL};
    return offline_tool(o, arguments) == TOOL_DONE;
}

static bool exists(const char *dir, const char *name) {
    char path[OFFLINE_PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof(path), "%.3000s/%.1000s", dir, name);
    return lstat(path, &st) == 0;
}

static bool problem(const char *text, const char *advice) {
    printf("PROBLEM  %s. %s\n", text, advice);
    return false;
}

static int shards_first(const struct dirent *entry) {
    return strncmp(entry->d_name, "shard-", 6) == 0;
}

static int no_dots(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* Without a usable pool.json nobody knows whose the keys are, but the files can be looked at. */
static bool look_at_folders(struct offline *o, const char *dir) {
    struct dirent **entries;
    int count = scandir(dir, &entries, shards_first, alphasort);
    for (int i = 0; i < count; i++) {
        char path[OFFLINE_PATH_BYTES];
        snprintf(path, sizeof(path), "%.3000s/%.255s", dir, entries[i]->d_name);
        look_at(o, path, "-", o->flag);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return false;
}

/* Folders of shards that the pool does not have. */
static bool look_for_others(const struct offline *o, const char *dir) {
    struct dirent **entries;
    bool well = true;
    int count = scandir(dir, &entries, shards_first, alphasort);
    for (int i = 0; i < count; i++) {
        char text[512], own[16];
        unsigned long shard = strtoul(entries[i]->d_name + 6, NULL, 10);
        snprintf(own, sizeof(own), "shard-%04lu", shard % 10000);
        if (shard >= o->pool.shards || strcmp(own, entries[i]->d_name) != 0) {
            snprintf(text, sizeof(text), "%.200s: no shard of this pool has this folder",
                     entries[i]->d_name);
            well = problem(text, "If its data is wanted, import or export it");
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return well;
}

/* What a move to another number of shards left. */
static bool settle_move(struct offline *o, const char *dir) {
    char text[512];
    const char *pending = move_pending(dir, &o->pool);
    if (!pending)
        return true;
    snprintf(text, sizeof(text), "%.300s: %s", dir, pending);
    problem(text, o->flag ? "" : "The next start, or --fix, settles it");
    if (!o->flag)
        return false;
    if (move_recover(dir, o->config, o->error, OFFLINE_TEXT_BYTES) != 0 ||
        offline_read_pool(o, dir) != 0) {
        offline_complain(o);
        return false;
    }
    printf("fixed    %s: that is settled\n", dir);
    return true;
}

/* Of a snapshot: are all its files there, with their sizes? */
static bool check_snapshot_file(struct offline *o, const char *dir) {
    static struct snapshot_file file;
    static struct pool_file pool;
    if (!exists(dir, SNAPSHOT_FILE_NAME))
        return true;
    if (snapshot_open(dir, &file, &pool, o->error, OFFLINE_TEXT_BYTES) != 0)
        return problem(o->error, "Take a new snapshot, or restore this one from a backup");
    printf("fine     %s/" SNAPSHOT_FILE_NAME ": %u files\n", dir, file.count);
    snapshot_file_free(&file);
    return true;
}

static bool check_pool(struct offline *o, const char *dir) {
    if (offline_read_pool(o, dir) != 0) {
        problem(o->error, exists(dir, RESTORE_MARK)
                              ? "A restore was cut off: run it again"
                              : "Restore it from a backup, or from a snapshot of the same pool");
        return look_at_folders(o, dir);
    }
    bool well = settle_move(o, dir);
    printf("fine     %s/" POOL_FILE_NAME ": a pool of %u shards\n", dir, o->pool.shards);
    well = check_snapshot_file(o, dir) && well;
    well = look_for_others(o, dir) && well;
    return look_at(o, dir, o->slots, o->flag) && well;
}

/* They share their files with the pool, so they are never mended. */
static bool check_snapshots(struct offline *o, const char *dir) {
    char snapshots[OFFLINE_PATH_BYTES];
    struct dirent **entries;
    bool well = true;
    snprintf(snapshots, sizeof(snapshots), "%.3000s/snapshots", dir);
    int count = scandir(snapshots, &entries, no_dots, alphasort);
    o->flag = false;
    for (int i = 0; i < count; i++) {
        char path[OFFLINE_PATH_BYTES];
        struct stat st = {0};
        snprintf(path, sizeof(path), "%.3500s/%.255s", snapshots, entries[i]->d_name);
        bool folder = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
        if (folder && snapshot_name_ok(bytes_of_text(entries[i]->d_name)))
            well = check_pool(o, path) && well;
        else if (!S_ISLNK(st.st_mode)) /* `latest` is one of the others */
            printf("note     %s: no snapshot, left alone\n", path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return well;
}

static int begin_pool(struct offline *o) {
    struct privileges_target target;
    if (offline_lock(o, o->subject, o->flag, ": take `remuda snapshot` and check that") != 0)
        return -1;
    if (!o->flag)
        return 0;
    return privileges_find(o->config->user, &target, o->error, OFFLINE_TEXT_BYTES) != 0
               ? -1
               : privileges_drop(&target, o->error, OFFLINE_TEXT_BYTES);
}

static int check(struct offline *o) {
    const char *subject = o->subject;
    struct dirent **shards;
    int folders = scandir(subject, &shards, shards_first, NULL);
    for (int i = 0; i < folders; i++)
        free(shards[i]);
    if (folders >= 0)
        free(shards);
    if (folders <= 0 && !exists(subject, POOL_FILE_NAME))
        return look_at(o, subject, "-", o->flag) ? EXIT_SUCCESS : EXIT_FAILURE;
    if (begin_pool(o) != 0)
        return offline_complain(o);
    bool well = check_pool(o, subject);
    well = check_snapshots(o, subject) && well;
    puts(well ? "All is well" : "Not all is well");
    return well ? EXIT_SUCCESS : EXIT_FAILURE;
}

int cli_check(int argc, char **argv) {
    static struct offline o;
    int code = offline_begin(&o, "check", "--fix", "check DIR|FILE [--fix] [pool.ini]", argc, argv);
    return offline_end(&o, code ? code : check(&o));
}
