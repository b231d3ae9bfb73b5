/* disk.h - disks of a test's own: an ext4 in a file, which can lose its power, or a small tmpfs.
 *
 * They are mounted in a mount namespace of the test program, so that they and their loop devices go with
 * it however it ends. Where that is not permitted the running test is skipped with a line that says so. */
#ifndef REMUDA_TESTS_DISK_H
#define REMUDA_TESTS_DISK_H
#include "tests/integration/pool_fixture.h"

struct disk {
    char dir[64];   /* holds the image and the mount point; removed by disk_free() */
    char image[80]; /* "": a tmpfs */
    char path[80];  /* the mount point */
    bool mounted;
};

/* A new disk, mounted. Skips the test if it cannot be had. */
void disk_make_ext4(struct disk *disk, unsigned megabytes);
void disk_make_tmpfs(struct disk *disk, const char *size);
/* From now on nothing reaches the disk, and what had not reached its journal or its blocks is lost (as
 * EXT4_IOC_SHUTDOWN without flushing the log does it). Every process that uses it must end before
 * disk_power_on(), which mounts it again as a reboot would. Skips the test if the kernel refuses. */
void disk_power_off(struct disk *disk);
void disk_power_on(struct disk *disk);
/* Another size for a tmpfs, while it is in use. */
void disk_resize(struct disk *disk, const char *size);
/* Also of one that was not made. */
void disk_free(struct disk *disk);

#endif
