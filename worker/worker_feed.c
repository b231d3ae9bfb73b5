/* worker_feed.c - the pool's merged stream among the workers: its links to them, its turns to fork, and the moment
 * at which all of them do. */
#include "worker/worker.h"

#include "shared/ipc/handover.h"
#include "shared/ipc/inherit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* The shard's worker takes the other end as it takes clients. */
static int open_link(void *arg, uint32_t shard) {
    struct handover what = {.origin = HANDOVER_FEED, .authenticated = 1, .peer = "feed:0"};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    bool sent = handover_send(inherit_fd_handover(shard), pair[1], &what) == HANDOVER_OK;
    close(pair[1]);
    if (sent)
        return pair[0];
    int error = errno;
    close(pair[0]);
    errno = error;
    return -1;
}

static void want_forks(void *arg, uint64_t turn) {
    char text[64];
    snprintf(text, sizeof(text), "%da merged snapshot", FORK_ASKED);
    control_report(arg, CONTROL_REPORT_FORK_WANT_ALL, turn, 0, bytes_of_text(text));
}

static void forks_done(void *arg, uint64_t turn) {
    control_report(arg, CONTROL_REPORT_FORK_DONE, turn, 0, (struct bytes){0});
}

static void cut(void *arg, uint64_t run, uint64_t try) {
    struct worker *w = arg;
    struct cut_mark mark = {.kind = CUT_OF_FORKS, .id = run, .try = try};
    router_cut(w->router, &mark);
}

static void tell_runs(void *arg, uint32_t count) {
    struct worker *w = arg;
    status_set(w->status, METRIC_merged_runs, count);
}

/* Of a pool of one the only shard's stream is the pool's. */
void worker_feed_open(struct worker *w) {
    if (w->segment.workers < 2 || w->env.shard != FEED_SHARD)
        return;
    char dir[WORKER_PATH_BYTES];
    struct feed_hooks hooks = {.arg = w,
                               .drop = worker_drop_replica,
                               .open = open_link,
                               .fork_want = want_forks,
                               .fork_done = forks_done,
                               .cut = cut,
                               .runs = tell_runs};
    worker_path(w, FEED_SHARD, NULL, dir);
    w->feed = feed_create(w->loop, dir, w->config, w->segment.workers, &hooks);
    w->env.feed = w->feed;
}

int worker_feed_mark(struct worker *w, uint64_t run, char *error_r, size_t error_bytes) {
    char dir[WORKER_PATH_BYTES], name[FEED_NAME_BYTES];
    if (!primary_awaits_cut(w->primary)) {
        snprintf(error_r, error_bytes, "the merged stream's link to it is lost");
        return -1;
    }
    worker_path(w, FEED_SHARD, NULL, dir);
    feed_part_name(run, w->env.shard, name);
    if (persist_aside(w->persist, dir, name, error_r, error_bytes) != 0)
        return -1;
    primary_cut_forked(w->primary);
    return 0;
}
