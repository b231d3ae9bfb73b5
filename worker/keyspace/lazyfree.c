/* lazyfree.c - a thread that frees what is big, so that the loop does not.
 *
 * One for the process, started by the first job, never ended: the allocator's counters of a thread
 * (mem_used) live as long as it does. What a job holds nobody else knows any more, so that only the
 * queue is shared. A forked child has the queue but not the thread, and must not use it. */
#include "worker/keyspace/keyspace_private.h"
#include "shared/base/mem.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* Elements: from so many on a value goes to the thread if that is asked for, and whatever is asked, as
 * freeing it takes some 15 ns an element. */
enum { LAZY_MIN_COST = 64, STALL_COST = 4096 };

struct job {
    struct job *next;
    struct table keys, expires, timed;
    struct entry *entry;
    struct value value; /* if has_value */
    bool has_value;
    uint64_t keys_count;
};

static struct {
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *first, **last;
    _Atomic uint64_t pending, done; /* keys */
} queue = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .last = &queue.first};

static void run_job(struct job *job) {
    table_clear(&job->timed);
    table_clear(&job->expires);
    table_clear(&job->keys);
    if (job->entry)
        entry_free(job->entry);
    if (job->has_value)
        value_free(&job->value);
    atomic_fetch_add(&queue.done, job->keys_count);
    atomic_fetch_sub(&queue.pending, job->keys_count);
    mem_free(job);
}

static struct job *next_job(void) {
    pthread_mutex_lock(&queue.lock);
    while (!queue.first)
        pthread_cond_wait(&queue.wake, &queue.lock);
    struct job *job = queue.first;
    queue.first = job->next;
    if (!queue.first)
        queue.last = &queue.first;
    pthread_mutex_unlock(&queue.lock);
    return job;
}

static void *run_thread(void *arg) {
    mem_thread_register();
    for (;;)
        run_job(next_job());
    return NULL;
}

/* Signals are the loop's; the thread must not take them. */
static void start_thread(void) {
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    queue.started = pthread_create(&thread, NULL, run_thread, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (queue.started)
        pthread_detach(thread);
}

static void submit(struct job *job) {
    atomic_fetch_add(&queue.pending, job->keys_count);
    if (!queue.started)
        start_thread();
    if (!queue.started) { /* no thread to be had: free it here and now */
        run_job(job);
        return;
    }
    pthread_mutex_lock(&queue.lock);
    *queue.last = job;
    queue.last = &job->next;
    pthread_cond_signal(&queue.wake);
    pthread_mutex_unlock(&queue.lock);
}

/* The job gets the table, the database an empty one. */
static void hand_over(struct table *to, struct table *from) {
    bool paused = from->paused;
    *to = *from;
    table_init(from, from->type);
    table_set_paused(from, paused);
}

void lazyfree_tables(struct database *d) {
    if (table_count(&d->keys) == 0)
        return;
    struct job *job = mem_calloc(1, sizeof *job);
    job->keys_count = table_count(&d->keys);
    hand_over(&job->keys, &d->keys);
    hand_over(&job->expires, &d->expires);
    hand_over(&job->timed, &d->timed);
    submit(job);
}

void lazyfree_entry(struct entry *e) {
    struct job *job = mem_calloc(1, sizeof *job);
    job->entry = e;
    job->keys_count = 1;
    submit(job);
}

void lazyfree_value(const struct value *value) {
    struct job *job = mem_calloc(1, sizeof *job);
    job->value = *value;
    job->has_value = true;
    job->keys_count = 1;
    submit(job);
}

bool lazyfree_wants(const struct value *value, bool lazy) {
    return value_cost(value) > (lazy ? LAZY_MIN_COST : STALL_COST);
}

uint64_t lazyfree_pending(void) {
    return atomic_load(&queue.pending);
}

uint64_t lazyfree_done(void) {
    return atomic_load(&queue.done);
}
