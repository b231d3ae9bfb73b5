/* lazyfree.c - a thread that frees what is big, so that the loop does not.
 *
 * It is started by the first job. What it gets nobody else knows any more, so that only the queue
 * is shared. A forked child has the queue but not the thread, and never uses it. */
#include "worker/keyspace/keyspace_private.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct job {
    struct job *next;
    struct table keys, expires;
    struct entry *entry;
    uint64_t keys_count;
};

struct lazyfree {
    pthread_t thread;
    bool started, stopping;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *first, **last;
    _Atomic uint64_t pending, done; /* keys */
};

struct lazyfree *lazyfree_create(void) {
    struct lazyfree *lf = mem_calloc(1, sizeof *lf);
    pthread_mutex_init(&lf->lock, NULL);
    pthread_cond_init(&lf->wake, NULL);
    lf->last = &lf->first;
    return lf;
}

static void run_job(struct lazyfree *lf, struct job *job) {
    table_clear(&job->expires);
    table_clear(&job->keys);
    if (job->entry)
        entry_free(job->entry);
    atomic_fetch_add(&lf->done, job->keys_count);
    atomic_fetch_sub(&lf->pending, job->keys_count);
    mem_free(job);
}

static struct job *next_job(struct lazyfree *lf) {
    pthread_mutex_lock(&lf->lock);
    while (!lf->first && !lf->stopping)
        pthread_cond_wait(&lf->wake, &lf->lock);
    struct job *job = lf->first;
    if (job && !(lf->first = job->next))
        lf->last = &lf->first;
    pthread_mutex_unlock(&lf->lock);
    return job;
}

static void *run_thread(void *arg) {
    struct lazyfree *lf = arg;
    mem_thread_register();
    for (struct job *job; (job = next_job(lf)) != NULL;)
        run_job(lf, job);
    return NULL;
}

/* Signals are the loop's; the thread must not take them. */
static void start_thread(struct lazyfree *lf) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&lf->thread, NULL, run_thread, lf);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    lf->started = error == 0;
}

static void submit(struct lazyfree *lf, struct job *job) {
    atomic_fetch_add(&lf->pending, job->keys_count);
    if (!lf->started)
        start_thread(lf);
    if (!lf->started) { /* no thread to be had: free it here and now */
        run_job(lf, job);
        return;
    }
    pthread_mutex_lock(&lf->lock);
    *lf->last = job;
    lf->last = &job->next;
    pthread_cond_signal(&lf->wake);
    pthread_mutex_unlock(&lf->lock);
}

void lazyfree_tables(struct lazyfree *lf, struct table *keys, struct table *expires) {
    if (table_count(keys) == 0)
        return;
    struct job *job = mem_calloc(1, sizeof *job);
    bool paused = keys->paused;
    job->keys = *keys;
    job->expires = *expires;
    job->keys_count = table_count(keys);
    table_init(keys, keys->type);
    table_init(expires, expires->type);
    table_set_paused(keys, paused);
    table_set_paused(expires, paused);
    submit(lf, job);
}

void lazyfree_entry(struct lazyfree *lf, struct entry *e) {
    struct job *job = mem_calloc(1, sizeof *job);
    job->entry = e;
    job->keys_count = 1;
    submit(lf, job);
}

uint64_t lazyfree_pending(const struct lazyfree *lf) {
    return atomic_load(&lf->pending);
}

uint64_t lazyfree_done(const struct lazyfree *lf) {
    return atomic_load(&lf->done);
}

void lazyfree_free(struct lazyfree **lf_io) {
    struct lazyfree *lf = *lf_io;
    if (lf->started) {
        pthread_mutex_lock(&lf->lock);
        lf->stopping = true;
        pthread_cond_signal(&lf->wake);
        pthread_mutex_unlock(&lf->lock);
        pthread_join(lf->thread, NULL);
    }
    pthread_cond_destroy(&lf->wake);
    pthread_mutex_destroy(&lf->lock);
    mem_free(lf);
    *lf_io = NULL;
}
