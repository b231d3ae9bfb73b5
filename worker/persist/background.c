/* background.c - a queue, a thread that works it off, an eventfd by which the loop learns of it.
 *
 *   loop: submit -> [todo] -> thread: run -> [finished] -> eventfd -> loop: done
 *
 * Fails only in create; an eventfd that cannot be written would be our own bug. */
#include "worker/persist/background.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"

#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct background {
    struct ev_loop *loop;
    ev_io wakeup;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    struct list todo, finished;
    bool busy, stop;
    int eventfd;
};

static struct background_job *job_of(struct list *link) {
    return LIST_ENTRY(link, struct background_job, link);
}

static void run_one(struct background *b) {
    struct background_job *job = job_of(b->todo.next);
    list_remove(&job->link);
    b->busy = true;
    pthread_mutex_unlock(&b->lock);
    job->run(job);
    pthread_mutex_lock(&b->lock);
    list_push_back(&b->finished, &job->link);
    b->busy = false;
    uint64_t one = 1;
    ASSERT(write(b->eventfd, &one, sizeof one) == (ssize_t)sizeof one || errno == EAGAIN);
    pthread_cond_broadcast(&b->idle);
}

static void *work(void *arg) {
    struct background *b = arg;
    pthread_mutex_lock(&b->lock);
    while (!b->stop || !list_empty(&b->todo)) {
        if (list_empty(&b->todo))
            pthread_cond_wait(&b->work, &b->lock);
        else
            run_one(b);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

static void tell_finished(struct background *b) {
    for (;;) {
        pthread_mutex_lock(&b->lock);
        struct background_job *job = list_empty(&b->finished) ? NULL : job_of(b->finished.next);
        if (job != NULL)
            list_remove(&job->link);
        pthread_mutex_unlock(&b->lock);
        if (job == NULL)
            return;
        job->done(job);
    }
}

static void on_wakeup(struct ev_loop *loop, ev_io *watcher, int events) {
    struct background *b = watcher->data;
    uint64_t count;
    (void)!read(b->eventfd, &count, sizeof count);
    tell_finished(b);
}

/* The thread takes no signals: they are the loop's. */
static int start_thread(struct background *b) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&b->thread, NULL, work, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

struct background *background_create(void *loop, char *error_r, size_t error_bytes) {
    struct background *b = mem_calloc(1, sizeof *b);
    b->loop = loop;
    list_init(&b->todo);
    list_init(&b->finished);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->work, NULL);
    pthread_cond_init(&b->idle, NULL);
    b->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = b->eventfd < 0 ? errno : start_thread(b);
    if (error != 0) {
        snprintf(error_r, error_bytes, "cannot start the thread for disk syncs: %s",
                 strerror(error));
        if (b->eventfd >= 0)
            close(b->eventfd);
        mem_free(b);
        return NULL;
    }
    ev_io_init(&b->wakeup, on_wakeup, b->eventfd, EV_READ);
    b->wakeup.data = b;
    ev_io_start(b->loop, &b->wakeup);
    ev_unref(b->loop);
    return b;
}

void background_submit(struct background *b, struct background_job *job) {
    pthread_mutex_lock(&b->lock);
    list_push_back(&b->todo, &job->link);
    pthread_cond_signal(&b->work);
    pthread_mutex_unlock(&b->lock);
}

bool background_is_busy(struct background *b) {
    pthread_mutex_lock(&b->lock);
    bool busy = b->busy || !list_empty(&b->todo);
    pthread_mutex_unlock(&b->lock);
    return busy;
}

void background_drain(struct background *b) {
    bool more = true;
    while (more) {
        pthread_mutex_lock(&b->lock);
        while (b->busy || !list_empty(&b->todo))
            pthread_cond_wait(&b->idle, &b->lock);
        pthread_mutex_unlock(&b->lock);
        tell_finished(b); /* may submit the next step of something */
        pthread_mutex_lock(&b->lock);
        more = b->busy || !list_empty(&b->todo) || !list_empty(&b->finished);
        pthread_mutex_unlock(&b->lock);
    }
}

void background_free(struct background **b) {
    struct background *it = *b;
    if (it == NULL)
        return;
    *b = NULL;
    background_drain(it);
    pthread_mutex_lock(&it->lock);
    it->stop = true;
    pthread_cond_signal(&it->work);
    pthread_mutex_unlock(&it->lock);
    pthread_join(it->thread, NULL);
    ev_ref(it->loop);
    ev_io_stop(it->loop, &it->wakeup);
    close(it->eventfd);
    pthread_mutex_destroy(&it->lock);
    pthread_cond_destroy(&it->work);
    pthread_cond_destroy(&it->idle);
    mem_free(it);
}
