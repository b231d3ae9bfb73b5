/* feed_run.c - one run: its links to the shards, the snapshot put together from theirs, the stream merged
 * from theirs.
 *
 * A gap in a shard's stream breaks it, as nothing can be taken back from a stream. A link that is cut and
 * continues leaves no gap. */
#include "worker/replication/feed_private.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/publish.h"
#include "worker/persist/discard.h"
#include "worker/persist/rdb_merge.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CRON_HZ = 10 };

static void path_of(const struct feed_run *run, const char *name, char path_r[2048]) {
    snprintf(path_r, 2048, "%s/%s", run->feed->dir, name);
}

static void remove_file(const struct feed_run *run, char name[FEED_NAME_BYTES]) {
    char path[2048];
    if (name[0] == '\0')
        return;
    path_of(run, name, path);
    discard_file(path);
    name[0] = '\0';
}

/* Also from within a link's hooks: the links go later. */
void feed_run_break(struct feed_run *run, const char *why) {
    if (run->state == FEED_BROKEN)
        return;
    log_warning("The merged stream has to begin anew: %s", why);
    run->state = FEED_BROKEN;
    feed_cut_end(run);
    run->merge.stop = true;
    primary_forget(run->primary);
}

/* ---- the snapshot ---- */
static void merge(struct background_job *job) {
    struct feed_merge *m = (struct feed_merge *)job;
    int fd = publish_begin(m->dir, m->out, m->error, sizeof m->error);
    m->ok = fd >= 0 && rdb_merge(m->dir, m->names, m->count, fd, m->checksum, &m->stop, m->error,
                                 sizeof m->error) == 0;
    if (fd >= 0)
        close(fd);
}

/* It is sent from what was just written: no copy of it is kept, so none is synced. */
static void merged(struct background_job *job) {
    struct feed_merge *m = (struct feed_merge *)job;
    struct feed_run *run = m->run;
    run->merging = false;
    for (uint32_t i = 0; i < run->feed->shards; i++)
        remove_file(run, run->links[i].snapshot);
    if (!m->ok) {
        feed_run_break(run, m->error);
    } else if (run->state == FEED_MERGING) {
        run->state = FEED_LIVE;
        primary_snapshot_ended(run->primary, SNAPSHOT_GOOD);
    }
    remove_file(run, m->out);
}

static void begin_merge(struct feed_run *run) {
    struct feed *f = run->feed;
    char why[FEED_REASON_BYTES];
    if (f->background == NULL)
        f->background = background_create(f->loop, why, sizeof why);
    if (f->background == NULL) {
        feed_run_break(run, why);
        return;
    }
    for (uint32_t i = 0; i < f->shards; i++)
        run->merge.names[i] = run->links[i].snapshot;
    run->merge.checksum = f->config->rdbchecksum;
    run->state = FEED_MERGING;
    run->merging = true;
    background_submit(f->background, &run->merge.job);
}

void feed_run_gather_anew(struct feed_run *run, const char *why) {
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        remove_file(run, run->links[i].snapshot);
        upstream_fail(run->links[i].upstream, true, why);
    }
}

/* The streams go on together, as they begin at one moment: what is behind it waits at its shard, and none is taken
 * from before all are up (on_command). */
void feed_run_part_came(struct feed_run *run) {
    for (uint32_t i = 0; i < run->feed->shards; i++)
        if (run->links[i].snapshot[0] == '\0')
            return;
    if (!feed_cut_is_made(run))
        return;
    feed_cut_end(run);
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        char path[2048];
        path_of(run, run->links[i].snapshot, path);
        run->links[i].db = rdb_stream_db(path); /* a replica cannot say it in its stream */
        upstream_loaded(run->links[i].upstream);
        run->links[i].go_on = true;
    }
    begin_merge(run);
}

static void on_snapshot(void *arg, const char *file) {
    struct feed_link *link = arg;
    struct feed_run *run = link->run;
    bool first = link->snapshot[0] == '\0' && run->state == FEED_GATHERING;
    if (link->snapshot[0] == '\0') /* else it has the same name, and the thread may read that */
        snprintf(link->snapshot, sizeof link->snapshot, "%s", file);
    if (!first)
        feed_run_break(run, "a shard's stream has a gap");
    else if (!feed_cut_may_be_made(run))
        feed_run_break(run, "a shard's snapshot is not of the moment of all");
    else
        feed_run_part_came(run);
}

static void on_continued(void *arg) {
    /* After a short break, without a gap. */
}

static int open_merged(void *arg) {
    struct feed_run *run = arg;
    char path[2048];
    path_of(run, run->merge.out, path);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void want_snapshot(void *arg) {
    /* It is on its way: that is what the run began with. */
}

static void drop(void *arg, void *client) {
    struct feed_run *run = arg;
    run->feed->hooks.drop(run->feed->hooks.arg, client);
}

static void on_acknowledged(void *arg) {
    struct feed_run *run = arg;
    run->acknowledged = true;
}

/* ---- the stream ---- */
static bool is_question(uint32_t argc, const struct bytes *argv) {
    return argc == 3 && bytes_equal_nocase(argv[0], "replconf") &&
           bytes_equal_nocase(argv[1], "getack");
}

static bool on_command(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw) {
    struct feed_link *link = arg;
    struct feed_run *run = link->run;
    if (run->state == FEED_BROKEN || run->state == FEED_GATHERING)
        return false;
    enum feed_held held = feed_hold(link, argc, argv, raw);
    if (held == FEED_TAKEN && is_question(argc, argv))
        feed_ack_asked(link);
    if (held != FEED_PASS)
        return held == FEED_TAKEN;
    if (bytes_equal_nocase(argv[0], "multi"))
        link->in_transaction = true;
    else if (bytes_equal_nocase(argv[0], "exec"))
        link->in_transaction = false;
    propagate_raw(run->propagate, link->db, raw);
    return true;
}

static void on_changed(void *arg) {
    struct feed_link *link = arg;
    link->up = upstream_is_up(link->upstream);
    link->run->acknowledged = true; /* it is told anew */
    if (link->up)
        return;
    feed_hold_down(link);
    feed_ack_down(link);
}

/* ---- life ---- */
static int open_link(void *arg) {
    struct feed_link *link = arg;
    const struct feed_hooks *hooks = &link->run->feed->hooks;
    link->opened++;
    return hooks->open(hooks->arg, link->shard);
}

static void open_links(struct feed_run *run) {
    struct feed *f = run->feed;
    for (uint32_t i = 0; i < f->shards; i++) {
        struct feed_link *link = &run->links[i];
        char tag[FEED_NAME_BYTES / 2];
        snprintf(tag, sizeof tag, "feed-%u-%u", (unsigned)run->number, i); /* feed_part_name() */
        *link = (struct feed_link){.run = run, .shard = i};
        struct upstream_hooks hooks = {.arg = link,
                                       .snapshot = on_snapshot,
                                       .continued = on_continued,
                                       .command = on_command,
                                       .changed = on_changed,
                                       .open = open_link};
        struct upstream_where where = {.host = "shard", .port = i, .dir = f->dir, .tag = tag};
        link->upstream = upstream_create(f->loop, f->config, &where, &hooks);
    }
    feed_hold_begin(run);
    for (uint32_t i = 0; i < f->shards; i++)
        upstream_start(run->links[i].upstream, "", 0);
}

/* From before the first snapshot on, commands over several shards are marked. */
static void tell_runs(const struct feed *f) {
    uint32_t count = 0;
    LIST_EACH(node, &f->runs)
    count++;
    f->hooks.runs(f->hooks.arg, count);
}

struct feed_run *feed_run_create(struct feed *f) {
    struct feed_run *run = mem_calloc(1, sizeof *run);
    const struct bytes ping = BYTES_LITERAL("PING");
    struct primary_hooks hooks = {.arg = run,
                                  .drop = drop,
                                  .acknowledged = on_acknowledged,
                                  .want_snapshot = want_snapshot,
                                  .open_snapshot = open_merged};
    run->feed = f;
    run->number = ++f->numbers;
    run->primary = primary_create(f->loop, f->config, NULL, &hooks);
    run->propagate = propagate_create(NULL, primary_backlog(run->primary));
    primary_open(run->primary, run->propagate);
    backlog_keep(primary_backlog(run->primary));
    /* Who has acknowledged nothing has not loaded the snapshot: nothing is at offset 0. */
    propagate_to_replicas(run->propagate, 1, &ping);
    primary_snapshot_forked(run->primary);
    run->merge.run = run;
    run->merge.dir = f->dir;
    run->merge.count = f->shards;
    run->merge.names = mem_calloc(f->shards, sizeof *run->merge.names);
    run->merge.job.run = merge;
    run->merge.job.done = merged;
    snprintf(run->merge.out, sizeof run->merge.out, "temp-feed-%u.rdb", (unsigned)run->number);
    run->links = mem_calloc(f->shards, sizeof *run->links);
    list_push_back(&f->runs, &run->link);
    tell_runs(f);
    log_notice("Merging the streams of %u shards for a replica of the pool", f->shards);
    open_links(run);
    return run;
}

void feed_run_free(struct feed_run *run) {
    list_remove(&run->link);
    tell_runs(run->feed);
    feed_cut_end(run);
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        upstream_free(&run->links[i].upstream);
        feed_ack_down(&run->links[i]);
        feed_part_name(run->number, i, run->links[i].snapshot); /* of a child that died, too */
        remove_file(run, run->links[i].snapshot);
    }
    feed_hold_free(run);
    remove_file(run, run->merge.out);
    propagate_free(&run->propagate);
    primary_free(&run->primary);
    mem_free(run->merge.names);
    mem_free(run->links);
    mem_free(run);
}

/* ---- the loop ---- */
/* What one says lets others go on: not before the next turn, which may be far. */
static bool go_on(struct feed_run *run) {
    bool any = false;
    for (uint32_t i = 0; i < run->feed->shards && run->state != FEED_BROKEN; i++) {
        struct feed_link *link = &run->links[i];
        if (!link->go_on)
            continue;
        link->go_on = false;
        any = true;
        upstream_go_on(link->upstream);
    }
    return any;
}

void feed_run_turn_end(struct feed_run *run) {
    while (go_on(run))
        ;
    if (run->state != FEED_BROKEN)
        feed_ack_turn_end(run);
    primary_mark(run->primary); /* there is no log, but replicas are asked */
    primary_turn_end(run->primary);
}

/* A link that begins anew has lost its place. */
static void check_links(struct feed_run *run) {
    bool all_up = true;
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        struct feed_link *link = &run->links[i];
        struct upstream_view view;
        upstream_view(link->upstream, &view);
        bool anew = view.state == UPSTREAM_SYNCING || view.state == UPSTREAM_TRANSFER;
        if (anew && (link->snapshot[0] != '\0' || run->state != FEED_GATHERING))
            feed_run_break(run, "a shard's stream has a gap");
        else if (feed_cut_lacks(run, link))
            feed_run_break(run, "a shard was lost while it wrote its part of the snapshot");
        all_up = all_up && view.state == UPSTREAM_STREAMING;
    }
    feed_hold_cron(run, all_up);
}

void feed_run_cron(struct feed_run *run) {
    if (run->state == FEED_BROKEN)
        return;
    for (uint32_t i = 0; i < run->feed->shards; i++)
        upstream_cron(run->links[i].upstream);
    check_links(run);
    feed_cut_cron(run);
    if (++run->crons % CRON_HZ == 0)
        feed_ack_cron(run);
    primary_cron(run->primary);
}

bool feed_run_drained(struct feed_run *run) {
    bool closed = true;
    if (run->state != FEED_LIVE || primary_replicas(run->primary) == 0)
        return true;
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        upstream_pull(run->links[i].upstream);
        closed = closed && (i == FEED_SHARD || !upstream_is_up(run->links[i].upstream));
    }
    feed_run_turn_end(run);
    return primary_drained(run->primary) && closed;
}
