/* privileges.c - see the header. */
#include "supervisor/privileges.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

int privileges_find(const char *user, struct privileges_target *target_r, char *error_r,
                    size_t error_bytes) {
    *target_r = (struct privileges_target){.uid = (uid_t)-1, .gid = (gid_t)-1};
    if (!user || !user[0])
        return 0;
    errno = 0;
    const struct passwd *entry = getpwnam(user);
    if (!entry) {
        snprintf(error_r, error_bytes, "user '%s': %s", user,
                 errno ? strerror(errno) : "there is no such user");
        return -1;
    }
    if (entry->pw_uid == geteuid())
        return 0;
    if (geteuid() != 0) {
        snprintf(error_r, error_bytes, "user '%s': only root can become another user", user);
        return -1;
    }
    target_r->uid = entry->pw_uid;
    target_r->gid = entry->pw_gid;
    snprintf(target_r->name, sizeof(target_r->name), "%s", user);
    return 0;
}

int privileges_drop(const struct privileges_target *target, char *error_r, size_t error_bytes) {
    if (target->uid == (uid_t)-1)
        return 0;
    if (initgroups(target->name, target->gid) != 0 ||
        setresgid(target->gid, target->gid, target->gid) != 0 ||
        setresuid(target->uid, target->uid, target->uid) != 0) {
        snprintf(error_r, error_bytes, "cannot become user '%s': %s", target->name,
                 strerror(errno));
        return -1;
    }
    if (setuid(0) == 0 || seteuid(0) == 0 || getuid() != target->uid || getgid() != target->gid) {
        snprintf(error_r, error_bytes, "root can be had back after becoming user '%s'",
                 target->name);
        return -1;
    }
    /* Changing the user id cleared it; the children of that user shall be able to dump core. */
    prctl(PR_SET_DUMPABLE, 1);
    return 0;
}

uint64_t privileges_raise_files(uint64_t wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    if (limit.rlim_cur >= wanted)
        return limit.rlim_cur;
    struct rlimit raised = {.rlim_cur = wanted,
                            .rlim_max = wanted > limit.rlim_max ? wanted : limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) != 0) {
        raised = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) != 0)
            return limit.rlim_cur;
    }
    return raised.rlim_cur;
}
