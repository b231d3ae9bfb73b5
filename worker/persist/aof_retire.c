/* aof_retire.c - the folder of a log that has ended, kept under another name until a snapshot makes up
 * for it.
 *
 *   appendonlydir -> rename -> appendonlydir.retired -> the next good dump.rdb -> deleted
 *
 * A retired log is never loaded as it stands. It says in its file `snapshot` which dump.rdb there was
 * when it ended. A start that finds the very same one (or none still) knows that no snapshot has been
 * written since: what is in the retired log is then the newest there is, and it gets its name back. */
#include "worker/persist/persist_private.h"

#include "shared/base/log.h"
#include "shared/base/publish.h"
#include "worker/persist/discard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char mark_name[] = "snapshot";

void log_home(const struct persist *p, const char *before, const char *behind,
              char path_r[PERSIST_PATH_BYTES]) {
    snprintf(path_r, PERSIST_PATH_BYTES, "%s/%s%s%s", p->dir, before, p->config->appenddirname,
             behind);
}

void log_remove_folder(const char *path) {
    DIR *d = opendir(path);
    struct dirent *entry;
    char file[PERSIST_PATH_BYTES + AOF_NAME_MAX + 2];
    if (d == NULL)
        return;
    while ((entry = readdir(d)) != NULL) {
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && discard_file(file) != 0)
            log_warning("Cannot delete %s: %s", file, strerror(errno));
    }
    closedir(d);
    if (rmdir(path) != 0)
        log_warning("Cannot delete %s: %s", path, strerror(errno));
}

/* ---- the mark ---- */
static void mark_of(const char *dir, const struct config *config, char mark_r[LOG_MARK_BYTES]) {
    char path[PERSIST_PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, config->dbfilename);
    if (stat(path, &st) != 0)
        snprintf(mark_r, LOG_MARK_BYTES, "none\n");
    else
        snprintf(mark_r, LOG_MARK_BYTES, "inode %llu bytes %llu time %lld.%09ld\n",
                 (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
                 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

void log_mark_snapshot(const struct persist *p, char mark_r[LOG_MARK_BYTES]) {
    mark_of(p->dir, p->config, mark_r);
}

bool log_retired_counts(const char *dir, const struct config *config, const char *retired) {
    char path[PERSIST_PATH_BYTES + sizeof mark_name + 1], now[LOG_MARK_BYTES];
    char then[LOG_MARK_BYTES] = "";
    snprintf(path, sizeof path, "%s/%s", retired, mark_name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, then, sizeof then - 1) : -1;
    if (fd >= 0)
        close(fd);
    mark_of(dir, config, now);
    return n > 0 && strcmp(then, now) == 0;
}

/* ---- out of use, and back ---- */
int log_retire_folder(const char *home, const char *retired, const char *mark, char *error_r,
                      size_t error_bytes) {
    char parent[PERSIST_PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", home);
    *strrchr(parent, '/') = '\0';
    log_remove_folder(retired); /* of a log before this one, which held all that is in it */
    if (publish(home, mark_name, bytes_of_text(mark), error_r, error_bytes) != 0)
        return -1;
    if (rename(home, retired) != 0) {
        snprintf(error_r, error_bytes, "rename of %s to %s: %s", home, retired, strerror(errno));
        return -1;
    }
    return publish_sync_dir(parent, error_r, error_bytes);
}

bool log_exists(const struct persist *p) {
    char path[PERSIST_PATH_BYTES + AOF_NAME_MAX + 40];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", p->aof_dir, p->rewrite.manifest_name);
    if (stat(path, &st) == 0)
        return true;
    snprintf(path, sizeof path, "%s/%s", p->dir, p->config->appendfilename);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int log_take_back(struct persist *p, char *error_r, size_t error_bytes) {
    char retired[PERSIST_PATH_BYTES];
    struct stat st;
    log_home(p, "", ".retired", retired);
    if (stat(retired, &st) != 0)
        return 0;
    if (log_exists(p) || !log_retired_counts(p->dir, p->config, retired)) {
        p->log.retired_there = true;
        return 0;
    }
    (void)rmdir(p->aof_dir); /* if it is there and empty */
    if (rename(retired, p->aof_dir) != 0) {
        snprintf(error_r, error_bytes, "rename of %s to %s: %s", retired, p->aof_dir,
                 strerror(errno));
        return -1;
    }
    log_notice("%s holds what was written since the last snapshot: it is used again", retired);
    return publish_sync_dir(p->dir, error_r, error_bytes);
}

void log_snapshot_is_good(struct persist *p) {
    char path[PERSIST_PATH_BYTES + AOF_NAME_MAX + 40];
    if (p->log.state == LOG_OFF)
        log_remove_retired(p);
    if (p->log.state != LOG_ON || p->log.temporary)
        return;
    snprintf(path, sizeof path, "%s/%s", p->aof_dir, p->rewrite.manifest_name);
    (void)utimensat(AT_FDCWD, path, NULL, 0);
}

/* ---- the end ---- */
static void run_remove(struct background_job *job) {
    struct log_switch *log = LIST_ENTRY(job, struct log_switch, remove_job);
    log_remove_folder(log->remove_path);
}

static void remove_done(struct background_job *job) {
    LIST_ENTRY(job, struct log_switch, remove_job)->removing = false;
}

void log_remove_retired(struct persist *p) {
    struct log_switch *log = &p->log;
    if (!log->retired_there || log->removing)
        return;
    log->retired_there = false;
    log->removing = true;
    log_home(p, "", ".retired", log->remove_path);
    log->remove_job = (struct background_job){.run = run_remove, .done = remove_done};
    background_submit(p->background, &log->remove_job);
}
