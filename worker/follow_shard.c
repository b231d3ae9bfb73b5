/* follow_shard.c - this worker follows the one worker of another pool that has the same slots.
 *
 * Its snapshot becomes our dump.rdb and our data; its stream is executed here, logged here, and handed on
 * byte for byte to replicas of our own, under the primary's id and offsets: so they, and we, may continue
 * at any other member of the family. */
#include "worker/follow_private.h"

#include "shared/base/log.h"

#include <stdio.h>
#include <unistd.h>

static struct backlog *backlog_of(struct follow_link *link) {
    return primary_backlog(link->follow->w->primary);
}

static void run(struct follow_link *link, uint32_t argc, const struct bytes *argv) {
    static struct buf reply;
    const struct command *cmd = command_lookup(argv, argc, NULL);
    if (cmd == NULL || cmd->handler == NULL || !command_arity_ok(cmd, argc)) {
        if (link->errors++ == 0)
            log_warning("The master sends a command that is not known here: '%.*s'",
                        (int)(argv[0].len < 64 ? argv[0].len : 64), argv[0].ptr);
        return;
    }
    struct worker *w = link->follow->w;
    link->session.last_command = cmd;
    buf_clear(&reply);
    struct command_ctx ctx = {.ks = w->ks,
                              .session = &link->session,
                              .env = &w->env,
                              .cmd = cmd,
                              .argv = argv,
                              .argc = argc,
                              .reply = {.out = &reply, .version = 2}};
    execute(&ctx);
    if (ctx.reply.errors != 0 && link->errors++ == 0)
        log_warning("A command of the master's, '%s', was answered with %.*s", cmd->name,
                    (int)(reply.len < 200 ? reply.len : 200), reply.data);
}

static bool on_command(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw) {
    struct follow_link *link = arg;
    struct propagate *propagate = link->follow->w->propagate;
    uint32_t db = link->session.db;
    propagate_receive(propagate, raw);
    if (!follow_is_service(argv[0]))
        run(link, argc, argv);
    propagate_received(propagate, link->session.db != db, link->session.db);
    return true;
}

/* With more keys than caches hold, applying the stream is mostly waiting for memory. */
static void on_ahead(void *arg, const struct bytes *keys, uint32_t count) {
    struct follow_link *link = arg;
    keyspace_prefetch(link->follow->w->ks, link->session.db, keys, count);
}

static void on_continued(void *arg) {
    struct follow_link *link = arg;
    primary_rename(link->follow->w->primary, upstream_id(link->upstream));
    backlog_keep(backlog_of(link));
}

static void on_snapshot(void *arg, const char *file) {
    struct follow_link *link = arg;
    snprintf(link->snapshot, sizeof link->snapshot, "%s", file);
}

void follow_shard_load(struct follow_link *link) {
    struct worker *w = link->follow->w;
    char path[WORKER_PATH_BYTES], why[512], file[sizeof link->snapshot];
    struct upstream_view view;
    snprintf(file, sizeof file, "%s", link->snapshot);
    link->snapshot[0] = '\0';
    upstream_view(link->upstream, &view);
    if (follow_set_syncing(link->follow, true) != 0) {
        worker_path(w, w->env.shard, file, path);
        unlink(path);
        upstream_fail(link->upstream, true, "its snapshot cannot be loaded");
        return;
    }
    primary_forget(w->primary);
    w->origin = (struct rdb_origin){0};
    int result = persist_replace(w->persist, file, why, sizeof why);
    if (result == 0 && w->origin.db >= keyspace_databases(w->ks)) {
        snprintf(why, sizeof why, "The master's stream is in database %u, which is not here",
                 w->origin.db);
        result = -1;
    }
    if (result != 0) {
        log_warning("%s", why);
        upstream_fail(link->upstream, true, "its snapshot cannot be loaded");
        return; /* and this shard goes on saying LOADING */
    }
    /* Until then a death would bring back what the log of before says. */
    while (persist_log_is_ending(w->persist))
        ev_run(w->loop, EVRUN_ONCE);
    primary_become(w->primary, view.id, view.offset);
    link->session.db = w->origin.db; /* a primary that is a replica cannot say it in the stream */
    backlog_of(link)->db = (int64_t)w->origin.db;
    follow_set_syncing(link->follow, false);
    upstream_loaded(link->upstream);
}

void follow_shard_begin(struct follow *f, uint32_t port) {
    static const struct upstream_hooks hooks = {.command = on_command,
                                                .ahead = on_ahead,
                                                .continued = on_continued,
                                                .snapshot = on_snapshot};
    struct worker *w = f->w;
    struct backlog *s = primary_backlog(w->primary);
    f->mode = FOLLOW_SHARD;
    f->of_family = true;
    propagate_follow(w->propagate, true);
    struct follow_link *link = follow_link_create(f, port, "shard", &hooks);
    if (s->db > 0)
        link->session.db = (uint32_t)s->db;
    bool whole = !follow_is_marked(f);
    /* What we have may be the beginning of what the primary has: it will say. */
    upstream_start(link->upstream, s->kept && whole ? s->id : "", s->end);
}

/* One place in stream and log is noted at a time, so it is known when the disk has got there. */
void follow_shard_synced(struct follow_link *link) {
    struct persist *persist = link->follow->w->persist;
    uint64_t offset = upstream_offset(link->upstream);
    struct write_path path;
    if (!upstream_is_up(link->upstream) || persist_aof(persist) == NULL)
        return;
    persist_write_path(persist, &path);
    if (link->noted > offset)
        link->synced = link->noted = 0; /* another history */
    if (link->synced == link->noted) {
        link->noted = offset;
        link->noted_log = path.executed;
    }
    if (path.synced < link->noted_log)
        return;
    link->synced = link->noted;
    upstream_synced(link->upstream, link->synced);
}

void follow_shard_leave(struct follow *f) {
    struct worker *w = f->w;
    f->of_family = false;
    primary_forget(w->primary);
    propagate_follow(w->propagate, false);
}

void follow_shard_end(struct follow *f) {
    struct worker *w = f->w;
    if (!f->of_family)
        return;
    f->of_family = false;
    primary_branch_off(w->primary);
    propagate_follow(w->propagate, false);
}
