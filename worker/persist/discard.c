/* discard.c - a file lives while somebody has it open: a thread of its own closes it last, and ends.
 *
 * Fails by doing the work here and now. */
#include "worker/persist/discard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

static void *close_it(void *arg) {
    close((int)(intptr_t)arg);
    return NULL;
}

/* The thread takes no signals: they are the loop's. */
static bool close_on_a_thread(int fd) {
    sigset_t all, before;
    pthread_attr_t detached;
    pthread_t thread;
    sigfillset(&all);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &detached, close_it, (void *)(intptr_t)fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    return error == 0;
}

void discard_fd(int fd) {
    struct stat st;
    if (fd < 0)
        return;
    bool big = fstat(fd, &st) == 0 && st.st_size >= DISCARD_BIG_BYTES;
    if (!big || !close_on_a_thread(fd))
        close(fd);
}

int discard_file(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int result = unlink(path), saved_errno = errno;
    discard_fd(fd);
    errno = saved_errno;
    return result;
}
