/* feed_ack.c - what the merged stream's replicas have of each shard's stream, told to the shard: WAIT counts them
 * there like its own.
 *
 *   shard: WAIT, GETACK --link--> all before it is said: mark (shard's offset, ours), GETACK --> replica
 *          counts      <--link--- REPLCONF merged-acks: by the marks that are passed      <-- ACK
 *
 * Too many marks are no harm: the newest takes the place of the one before, and is passed later. */
#include "worker/replication/feed_private.h"

#include <inttypes.h>
#include <string.h>

/* All that was taken was said, if nothing waits for others. */
static void add_mark(struct feed_link *link, uint64_t shard_offset) {
    struct feed_marks *m = &link->marks;
    if (m->count > 0 && m->at[m->count - 1].theirs >= shard_offset)
        return;
    if (m->count < FEED_MARKS)
        m->count++;
    m->at[m->count - 1] = (struct feed_mark){.theirs = shard_offset,
                                             .ours = primary_backlog(link->run->primary)->end};
}

void feed_ack_asked(struct feed_link *link) {
    link->marks.asked = true;
    link->marks.asked_at = upstream_offset(link->upstream);
}

void feed_ack_cron(struct feed_run *run) {
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        struct feed_link *link = &run->links[i];
        if (link->up && link->group == NULL)
            add_mark(link, upstream_offset(link->upstream));
    }
    run->acknowledged = true;
}

/* Of the shard's stream who has so much of ours has so much. False: that is not known, nor whether it has what is
 * behind the snapshot of the beginning. */
static bool reached(const struct feed_marks *m, uint64_t ours, uint64_t *theirs_r) {
    *theirs_r = 0;
    for (uint32_t i = 0; i < m->count && m->at[i].ours <= ours; i++)
        *theirs_r = m->at[i].theirs;
    return m->count > 0 && m->at[0].ours <= ours;
}

struct telling {
    const struct feed_marks *marks;
    struct buf *text;
    uint64_t least; /* that all have acknowledged */
};

static void tell_of_one(void *arg, const struct replica_view *view) {
    struct telling *t = arg;
    uint64_t offset, synced;
    if (!view->is_online)
        return;
    (void)reached(t->marks, view->synced, &synced);
    if (reached(t->marks, view->offset, &offset))
        buf_printf(t->text, "%s%" PRIu64 ":%" PRIu64, t->text->len > 0 ? "," : "", offset, synced);
    if (view->synced < t->least)
        t->least = view->synced;
    if (view->offset < t->least)
        t->least = view->offset;
}

/* The newest of those that all have passed says as much as those before it. */
static void forget_passed(struct feed_marks *m, uint64_t least) {
    uint32_t passed = 0;
    while (passed < m->count && m->at[passed].ours <= least)
        passed++;
    if (passed < 2)
        return;
    m->count -= passed - 1;
    memmove(m->at, m->at + passed - 1, m->count * sizeof m->at[0]);
}

static void tell(struct feed_link *link) {
    struct buf text = {0};
    struct telling t = {.marks = &link->marks, .text = &text, .least = UINT64_MAX};
    primary_each(link->run->primary, tell_of_one, &t);
    forget_passed(&link->marks, t.least);
    if (bytes_equal(buf_bytes(&text), buf_bytes(&link->marks.told)))
        buf_free(&text);
    else if (upstream_tell(link->upstream, "merged-acks", buf_bytes(&text))) {
        buf_free(&link->marks.told);
        link->marks.told = text;
    }
}

void feed_ack_turn_end(struct feed_run *run) {
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        struct feed_link *link = &run->links[i];
        if (!link->marks.asked || link->group != NULL)
            continue;
        link->marks.asked = false;
        add_mark(link, link->marks.asked_at);
        primary_ask_acknowledge(run->primary);
        run->acknowledged = true; /* it may have been, before there was a mark */
    }
    for (uint32_t i = 0; i < run->feed->shards && run->acknowledged; i++)
        tell(&run->links[i]);
    run->acknowledged = false;
}

void feed_ack_down(struct feed_link *link) {
    buf_free(&link->marks.told);
}
