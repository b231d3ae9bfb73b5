/* disk.c - see the header. */
#include "tests/integration/disk.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* linux/fs/ext4: _IOR('X', 125, __u32), and do not flush the log first. */
#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
enum { SHUTDOWN_NOLOGFLUSH = 2 };

static void skip_because(const char *what, const char *why) {
    print_message("skipped, %s: %s\n", what, why);
    skip();
}

/* Once a program. */
static void enter_namespace(void) {
    static bool entered;
    if (entered)
        return;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        skip_because("no mount namespace of our own", strerror(errno));
    entered = true;
}

static void make_paths(struct disk *disk) {
    memset(disk, 0, sizeof(*disk));
    enter_namespace();
    make_directory(disk->dir);
    snprintf(disk->path, sizeof(disk->path), "%s/disk", disk->dir);
    assert_int_equal(mkdir(disk->path, 0755), 0);
}

static void mount_image(struct disk *disk) {
    int code;
    char *output = run_shell(&code, "mount -t ext4 -o loop %s %s 2>&1", disk->image, disk->path);
    output[strcspn(output, "\n")] = 0;
    disk->mounted = code == 0;
    if (code != 0)
        skip_because("an ext4 in a file cannot be mounted", output);
    free(output);
}

void disk_make_ext4(struct disk *disk, unsigned megabytes) {
    int code;
    make_paths(disk);
    snprintf(disk->image, sizeof(disk->image), "%s/image", disk->dir);
    char *output = run_shell(&code, "truncate -s %uM %s 2>&1 && mkfs.ext4 -q -F %s 2>&1", megabytes,
                             disk->image, disk->image);
    output[strcspn(output, "\n")] = 0;
    if (code != 0)
        skip_because("no ext4 can be made", output);
    free(output);
    mount_image(disk);
}

void disk_make_tmpfs(struct disk *disk, const char *size) {
    char options[32];
    make_paths(disk);
    snprintf(options, sizeof(options), "size=%s", size);
    if (mount("tmpfs", disk->path, "tmpfs", 0, options) != 0)
        skip_because("a small disk cannot be mounted", strerror(errno));
    disk->mounted = true;
}

void disk_resize(struct disk *disk, const char *size) {
    char options[32];
    snprintf(options, sizeof(options), "size=%s", size);
    assert_int_equal(mount("tmpfs", disk->path, "tmpfs", MS_REMOUNT, options), 0);
}

void disk_power_off(struct disk *disk) {
    uint32_t how = SHUTDOWN_NOLOGFLUSH;
    int fd = open(disk->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    int result = ioctl(fd, EXT4_IOC_SHUTDOWN, &how), error = errno;
    close(fd);
    if (result != 0)
        skip_because("the kernel does not cut the power of an ext4", strerror(error));
}

void disk_power_on(struct disk *disk) {
    AWAIT(umount2(disk->path, 0) == 0);
    mount_image(disk);
}

void disk_free(struct disk *disk) {
    if (disk->mounted)
        umount2(disk->path, MNT_DETACH);
    if (disk->dir[0])
        remove_directory(disk->dir);
    memset(disk, 0, sizeof(*disk));
}
