/* resolve.c - see the header. The thread and the loop's side share one struct; the last of the two frees it. */
#include "worker/replication/resolve.h"

#include "shared/base/mem.h"

#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct resolve {
    _Atomic int holders;
    struct ev_loop *loop;
    struct resolve **owner; /* where the loop's side keeps it */
    resolve_done *done;
    void *arg;
    int bell; /* eventfd: the thread is done */
    ev_io rung;
    char host[256], port[8];
    int error;
    struct addrinfo *found;
};

static void let_go(struct resolve *r) {
    if (atomic_fetch_sub(&r->holders, 1) > 1)
        return;
    if (r->found != NULL)
        freeaddrinfo(r->found);
    if (r->bell >= 0)
        close(r->bell);
    mem_free(r);
}

static int look_up(struct resolve *r, int flags) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    return r->error = getaddrinfo(r->host, r->port, &hints, &r->found);
}

static void *run(void *arg) {
    struct resolve *r = arg;
    if (look_up(r, 0) != 0)
        r->found = NULL;
    (void)!write(r->bell, &(uint64_t){1}, sizeof(uint64_t));
    let_go(r);
    return NULL;
}

/* Tells, having put everything away: the answer may begin or end anything. */
static void tell(struct resolve *r, const char *why) {
    *r->owner = NULL;
    ev_io_stop(r->loop, &r->rung);
    r->done(r->arg, r->found, why);
    let_go(r);
}

static void on_rung(struct ev_loop *loop, ev_io *io, int events) {
    struct resolve *r = io->data;
    tell(r, r->found == NULL ? gai_strerror(r->error) : NULL);
}

static int start_thread(struct resolve *r) {
    pthread_t thread;
    if (r->bell < 0)
        return errno;
    atomic_fetch_add(&r->holders, 1);
    int error = pthread_create(&thread, NULL, run, r);
    if (error == 0)
        return pthread_detach(thread);
    atomic_fetch_sub(&r->holders, 1);
    return error;
}

void resolve_start(struct resolve **resolve_r, struct ev_loop *loop, const char *host,
                   uint32_t port, resolve_done *done, void *arg) {
    struct resolve *r = mem_calloc(1, sizeof *r);
    *r = (struct resolve){.holders = 1, .loop = loop, .owner = resolve_r, .done = done, .arg = arg};
    snprintf(r->host, sizeof r->host, "%s", host);
    snprintf(r->port, sizeof r->port, "%u", port);
    r->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ev_io_init(&r->rung, on_rung, r->bell, EV_READ);
    r->rung.data = r;
    *resolve_r = r;
    if (look_up(r, AI_NUMERICHOST) == 0) {
        tell(r, NULL);
        return;
    }
    r->found = NULL;
    int error = start_thread(r);
    if (error != 0)
        tell(r, strerror(error));
    else
        ev_io_start(loop, &r->rung);
}

void resolve_cancel(struct resolve **resolve) {
    struct resolve *r = *resolve;
    if (r == NULL)
        return;
    *resolve = NULL;
    ev_io_stop(r->loop, &r->rung);
    let_go(r);
}
