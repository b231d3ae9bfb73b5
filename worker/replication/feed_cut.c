/* feed_cut.c - a run's snapshot as one moment of the whole pool.
 *
 *   NOTHING -- every shard has heard its link --> WANTED -- a turn for all --> LOCKING -- all forked --> FORKED
 *      ^                                                                         |                         |
 *      '-- by new links, TRIES_MAX times in all <--------- some could not -------'     all parts are there |
 *      '---------------------------------------------- or the run is over ---------------------------------'
 *
 * All shards are locked when the first forks, and until the last has: whoever saw a write answered saw it before,
 * and a command over several shards is done or not begun. What follows in their streams is what came later. The
 * turn is kept until the parts are there, so that no other child is beside them; the locks are not. */
#include "worker/replication/feed_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <stdio.h>

enum { TRIES_MAX = 5, TRY_AGAIN_MS = 500 };

/* Of both kinds of numbers that the supervisor's turns have, these are the feed's. */
#define TURN_OF_FEED ((uint64_t)1 << 63)

void feed_part_name(uint64_t run, uint32_t shard, char name_r[FEED_NAME_BYTES]) {
    snprintf(name_r, FEED_NAME_BYTES, "temp-sync-feed-%u-%u.rdb", (unsigned)run, (unsigned)shard);
}

static void give_back(struct feed *f) {
    f->cut.state = FEED_CUT_NOTHING;
    f->cut.run = NULL;
    f->hooks.fork_done(f->hooks.arg, f->cut.turn);
}

/* ---- before ---- */
static bool all_wait(const struct feed_run *run) {
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        struct upstream_view view;
        upstream_view(run->links[i].upstream, &view);
        if (!view.awaits_snapshot)
            return false;
    }
    return true;
}

void feed_cut_cron(struct feed_run *run) {
    struct feed *f = run->feed;
    if (run->state != FEED_GATHERING || f->cut.state != FEED_CUT_NOTHING ||
        clock_mono_ms() < run->cut_after_ms || !all_wait(run))
        return;
    f->cut.state = FEED_CUT_WANTED;
    f->cut.run = run;
    f->cut.turn = TURN_OF_FEED | ++f->turns;
    f->hooks.fork_want(f->hooks.arg, f->cut.turn);
}

bool feed_fork_granted(struct feed *f, uint64_t turn) {
    if (!(turn & TURN_OF_FEED))
        return false;
    if (turn != f->cut.turn || f->cut.state != FEED_CUT_WANTED)
        return true; /* withdrawn: its end has been told */
    if (!all_wait(f->cut.run)) {
        give_back(f);
        return true;
    }
    struct feed_run *run = f->cut.run;
    f->cut.state = FEED_CUT_LOCKING;
    run->cut_tries++;
    for (uint32_t i = 0; i < f->shards; i++)
        run->links[i].opened_at_cut = run->links[i].opened;
    f->hooks.cut(f->hooks.arg, run->number, run->cut_tries);
    return true;
}

/* ---- the moment ---- */
/* Some may have forked: their children go with the connections. A shard that does not answer keeps all from
 * their clients while it is waited for: not over and over. */
static void failed(struct feed_run *run, const char *why) {
    char text[FEED_REASON_BYTES];
    log_warning("The shards could not fork at one moment for a merged snapshot: %s", why);
    snprintf(text, sizeof text, "no snapshot of one moment in %u tries: %.150s", run->cut_tries,
             why);
    run->cut_after_ms = clock_mono_ms() + ((uint64_t)TRY_AGAIN_MS << run->cut_tries);
    if (run->cut_tries >= TRIES_MAX)
        feed_run_break(run, text);
    else
        feed_run_gather_anew(run, why);
}

void feed_cut_ended(struct feed *f, uint64_t locked_us, const char *error) {
    struct feed_run *run = f->cut.run;
    if (f->cut.state != FEED_CUT_LOCKING)
        return;
    if (run != NULL && error == NULL) {
        log_notice("All shards forked at one moment for a merged snapshot; they were locked for "
                   "%llu us",
                   (unsigned long long)locked_us);
        f->cut.state = FEED_CUT_FORKED;
        feed_run_part_came(run);
        return;
    }
    give_back(f);
    if (run != NULL)
        failed(run, error);
}

/* ---- after ---- */
bool feed_cut_is_made(const struct feed_run *run) {
    return run->feed->cut.run == run && run->feed->cut.state == FEED_CUT_FORKED;
}

bool feed_cut_may_be_made(const struct feed_run *run) {
    return run->feed->cut.run == run && run->feed->cut.state >= FEED_CUT_LOCKING;
}

/* A link that was lost is not the one whose shard forked for it. */
bool feed_cut_lacks(const struct feed_run *run, const struct feed_link *link) {
    struct upstream_view view;
    if (!feed_cut_is_made(run) || link->snapshot[0] != '\0')
        return false;
    upstream_view(link->upstream, &view);
    return link->opened != link->opened_at_cut || view.state < UPSTREAM_HANDSHAKE;
}

/* The shards go on by themselves while they are being locked: that has its own end. */
void feed_cut_end(struct feed_run *run) {
    struct feed *f = run->feed;
    if (f->cut.run != run)
        return;
    if (f->cut.state == FEED_CUT_LOCKING)
        f->cut.run = NULL;
    else
        give_back(f);
}
