/* feed.c - the runs: which one serves whom, and when one is over. */
#include "worker/replication/feed_private.h"

#include "shared/base/mem.h"

#include <ev.h>

enum { RUNS_MAX = 8 };

static struct feed_run *run_of(struct list *node) {
    return LIST_ENTRY(node, struct feed_run, link);
}

struct feed *feed_create(void *loop, const char *dir, const struct config *config, uint32_t shards,
                         const struct feed_hooks *hooks) {
    struct feed *f = mem_calloc(1, sizeof *f);
    *f = (struct feed){
        .loop = loop, .dir = mem_strdup(dir), .config = config, .shards = shards, .hooks = *hooks};
    list_init(&f->runs);
    return f;
}

/* ---- who is served by which ---- */
static struct feed_run *find_continued(const struct feed *f, struct bytes id, int64_t offset) {
    LIST_EACH(node, &f->runs) {
        struct feed_run *run = run_of(node);
        if (run->state == FEED_LIVE && offset > 0 &&
            backlog_continues(primary_backlog(run->primary), id, (uint64_t)offset - 1))
            return run;
    }
    return NULL;
}

bool feed_continues(const struct feed *f, struct bytes id, int64_t offset) {
    return find_continued(f, id, offset) != NULL;
}

static struct feed_run *has_snapshot_to_come(struct feed *f) {
    LIST_EACH(node, &f->runs)
    if (run_of(node)->state == FEED_GATHERING || run_of(node)->state == FEED_MERGING)
        return run_of(node);
    return NULL;
}

bool feed_sync(struct feed *f, struct replica *replica, struct bytes id, int64_t offset, bool old) {
    struct feed_run *run = old ? NULL : find_continued(f, id, offset);
    uint32_t count = 0;
    LIST_EACH(node, &f->runs)
    count++;
    if (run == NULL)
        run = has_snapshot_to_come(f);
    if (run == NULL && count < RUNS_MAX)
        run = feed_run_create(f);
    if (run == NULL)
        return false;
    replica_sync(replica, run->primary, id, offset, old);
    return true;
}

/* ---- the loop ---- */
void feed_turn_end(struct feed *f) {
    LIST_EACH(node, &f->runs)
    feed_run_turn_end(run_of(node));
}

static bool has_live_successor(const struct feed *f, const struct feed_run *run) {
    for (struct list *node = run->link.next; node != &f->runs; node = node->next)
        if (run_of(node)->state == FEED_LIVE)
            return true;
    return false;
}

/* Nobody needs it: it has a gap, its backlog's time is up, or a later one lives. */
static bool is_over(const struct feed *f, const struct feed_run *run) {
    if (primary_replicas(run->primary) > 0 || run->merging)
        return false;
    return run->state != FEED_LIVE || !primary_backlog(run->primary)->kept ||
           has_live_successor(f, run);
}

void feed_cron(struct feed *f) {
    LIST_EACH(node, &f->runs) {
        struct feed_run *run = run_of(node);
        feed_run_cron(run);
        if (is_over(f, run))
            feed_run_free(run);
    }
}

bool feed_drained(struct feed *f) {
    bool drained = true;
    LIST_EACH(node, &f->runs)
    drained = feed_run_drained(run_of(node)) && drained;
    return drained;
}

void feed_view(const struct feed *f, struct feed_view *view_r) {
    *view_r = (struct feed_view){0};
    LIST_EACH(node, &f->runs) {
        const struct feed_run *run = run_of(node);
        view_r->runs++;
        view_r->replicas += primary_replicas(run->primary);
        view_r->offset = primary_backlog(run->primary)->end;
    }
}

void feed_each(const struct feed *f, void (*found)(void *arg, const struct replica_view *view),
               void *arg) {
    LIST_EACH(node, &f->runs)
    primary_each(run_of(node)->primary, found, arg);
}
