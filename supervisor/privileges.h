/* privileges.h - the `user` option: look the user up, and become it for good. */
#ifndef REMUDA_SUPERVISOR_PRIVILEGES_H
#define REMUDA_SUPERVISOR_PRIVILEGES_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct privileges_target {
    uid_t uid; /* -1: stay who we are */
    gid_t gid;
    char name[65];
};

/* Who to become. No name, or already that user: nobody. Returns 0, or -1 with a one-line text (no
 * such user; not root, so it cannot be done). */
int privileges_find(const char *user, struct privileges_target *target_r, char *error_r,
                    size_t error_bytes);
/* Become the target and prove that there is no way back. Returns 0, or -1 with a text: the caller
 * must not go on. */
int privileges_drop(const struct privileges_target *target, char *error_r, size_t error_bytes);
/* Raise the limit of open files to `wanted`, or as far as allowed. Returns what it is now. */
uint64_t privileges_raise_files(uint64_t wanted);

#endif
