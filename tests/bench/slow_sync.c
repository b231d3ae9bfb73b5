/* slow_sync.c - preloaded into a server: each fsync and fdatasync takes SYNC_US microseconds longer,
 * as on a disk that has to wait for its platters or its flash. */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int slow(const char *name, int fd) {
    union { /* a function's address comes as an object's */
        void *found;
        int (*call)(int fd);
    } real = {dlsym(RTLD_NEXT, name)};
    const char *text = getenv("SYNC_US");
    if (text != NULL)
        usleep((useconds_t)atoi(text));
    return real.call(fd);
}

int fsync(int fd) {
    return slow("fsync", fd);
}

int fdatasync(int fd) {
    return slow("fdatasync", fd);
}
