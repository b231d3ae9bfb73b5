/* follow.c - whom this worker follows, and how: begun, changed and ended with the option replicaof. */
#include "worker/follow_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "shared/base/publish.h"
#include "worker/command/blocked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
    SHORT_TURN_BYTES = 16 * 1024,
    LOOK_AGAIN_CRONS = 30, /* of a tenth of a second */
    ANEW_MS = 1000 /* a primary that says something else each time is not asked without a pause */
};

struct follow *follow_create(struct worker *w) {
    struct follow *f = mem_calloc(1, sizeof *f);
    f->w = w;
    return f;
}

/* ---- links ---- */
/* Told to the shards of a pool only, shard by shard: a lone primary has nothing to ask a pool for. */
static uint32_t public_port(const struct follow *f) {
    bool by_shard = f->mode == FOLLOW_SHARD && f->primary.workers > 0;
    return by_shard ? (uint32_t)f->w->config->port : 0;
}

static bool is_same(const struct follow_found *a, const struct follow_found *b) {
    return a->workers == b->workers && a->port == b->port;
}

/* A link, or a probe while there are links, knows what the primary is now: all workers must. */
static void on_found(void *arg, uint32_t workers, uint32_t worker_port) {
    struct follow *f = arg;
    struct follow_found found = {.workers = workers, .port = worker_port};
    if (!is_same(&found, &f->primary))
        control_report(f->w, CONTROL_REPORT_PRIMARY_IS, workers, worker_port,
                       bytes_of_text(f->target));
}

static void on_another(void *arg, uint32_t workers, uint32_t worker_port) {
    struct follow_link *link = arg;
    on_found(link->follow, workers, worker_port);
}

/* While it is up CLIENT LIST shows it. */
static void on_changed(void *arg) {
    struct follow_link *link = arg;
    struct worker *w = link->follow->w;
    struct session *s = &link->session;
    list_remove(&s->link);
    if (!upstream_is_up(link->upstream))
        return;
    s->id = atomic_fetch_add(&w->segment.header->next_client_id, 1);
    s->fd = upstream_fd(link->upstream);
    s->created_wall_ms = clock_wall_ms();
    clients_socket_text(s->fd, s->peer, s->local);
    list_push_back(&w->primaries, &s->link);
}

void follow_kill(struct follow *f, const struct session *session) {
    for (uint32_t i = 0; i < f->count; i++)
        if (&f->links[i]->session == session)
            upstream_fail(f->links[i]->upstream, false, "closed by CLIENT KILL");
}

struct follow_link *follow_link_create(struct follow *f, uint32_t port, const char *tag,
                                       const struct upstream_hooks *hooks) {
    struct follow_link *link = mem_calloc(1, sizeof *link);
    const struct slot_map *slots = f->w->segment.slots;
    char dir[WORKER_PATH_BYTES];
    worker_path(f->w, f->w->env.shard, NULL, dir);
    link->follow = f;
    session_init(&link->session, SESSION_INTERNAL);
    link->session.authenticated = link->session.upstream = true;
    struct upstream_hooks mine = *hooks;
    mine.arg = link;
    mine.is_another = on_another;
    mine.changed = on_changed;
    struct upstream_where where = {.host = f->host,
                                   .port = port,
                                   .own_port = slots->port[f->w->env.shard],
                                   .public_port = public_port(f),
                                   .dir = dir,
                                   .tag = tag};
    link->upstream = upstream_create(f->w->loop, f->w->config, &where, &mine);
    upstream_check(link->upstream, f->primary.workers, f->primary.port);
    ASSERT(f->count < FOLLOW_LINKS_MAX);
    f->links[f->count++] = link;
    return link;
}

static void free_links(struct follow *f) {
    while (f->count > 0) {
        struct follow_link *link = f->links[--f->count];
        upstream_free(&link->upstream);
        if (f->mode == FOLLOW_POOL)
            follow_pool_link_free(link);
        session_free(&link->session);
        mem_free(link);
    }
}

bool follow_is_service(struct bytes name) {
    static const char *const names[] = {"ping", "multi", "exec", "replconf", "publish", "spublish"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bytes_equal_nocase(name, names[i]))
            return true;
    return false;
}

/* ---- asking ---- */
static void on_probed(void *arg, uint32_t workers, uint32_t worker_port) {
    struct follow *f = arg;
    if (f->mode != FOLLOW_ASKING) {
        on_found(f, workers, worker_port);
        return;
    }
    f->found = (struct follow_found){.workers = workers, .port = worker_port};
    f->probed = true; /* the link that brings the answer cannot be freed from within */
}

static void ask(struct follow *f) {
    struct upstream_hooks hooks = {.arg = f, .probed = on_probed};
    struct upstream_where where = {
        .host = f->host, .port = f->port, .dir = f->w->config->dir, .tag = "none", .probe = true};
    upstream_free(&f->probe);
    f->probe = upstream_create(f->w->loop, f->w->config, &where, &hooks);
    upstream_start(f->probe, "", 0);
}

/* What was asked is a pool like ours. */
static bool follows_shard(const struct follow *f) {
    return f->found.workers == f->w->segment.workers && f->found.port != 0;
}

static void begin(struct follow *f) {
    f->probed = f->anew = f->settled = false;
    f->begun_ms = clock_mono_ms();
    upstream_free(&f->probe);
    free_links(f);
    f->primary = f->found;
    if (follows_shard(f)) {
        follow_shard_begin(f, f->primary.port + f->w->env.shard);
    } else {
        if (f->mode == FOLLOW_SHARD)
            follow_shard_leave(f);
        else
            follow_shard_end(f);
        follow_pool_begin(f);
    }
    follow_forget_resume(f);
}

/* Links that deal over all shards wait until it is known whether they may go on from before the start. */
static bool may_begin(const struct follow *f) {
    if (f->anew)
        return clock_mono_ms() - f->begun_ms >= ANEW_MS;
    return f->probed && (f->judged || follows_shard(f));
}

void follow_primary_is(struct follow *f, const struct follow_found *found, struct bytes target) {
    bool has_links = f->mode == FOLLOW_SHARD || f->mode == FOLLOW_POOL;
    if (!has_links || !bytes_equal(target, bytes_of_text(f->target)) || is_same(found, &f->primary))
        return;
    log_notice("The master is another now: %u workers, not %u", found->workers, f->primary.workers);
    f->found = *found;
    f->anew = true;
}

static bool is_asking(const struct follow *f) {
    struct upstream_view view = {.state = UPSTREAM_IDLE}; /* as one that was answered */
    if (f->probe != NULL)
        upstream_view(f->probe, &view);
    return view.state != UPSTREAM_IDLE;
}

/* A pool that got fewer workers, or other ports, is not found where its shards were. */
static void look_again(struct follow *f) {
    struct upstream_view view;
    bool down = false;
    for (uint32_t i = 0; i < f->count; i++) {
        upstream_view(f->links[i]->upstream, &view);
        down = down || view.state < UPSTREAM_SYNCING;
    }
    f->down_cron = down ? f->down_cron + 1 : 0;
    if (!down)
        upstream_free(&f->probe);
    else if (f->down_cron % LOOK_AGAIN_CRONS == 0 && !is_asking(f))
        ask(f);
}

static bool is_followed(const struct follow *f) {
    return f->target[0] != '\0';
}

/* ---- the mark ---- */
#define MARK_NAME                                                                                  \
    "sync-in-progress" /* in the shard's folder while the data are neither old nor new */

static bool is_marked(const struct follow *f, uint32_t shard) {
    char path[WORKER_PATH_BYTES];
    worker_path(f->w, shard, MARK_NAME, path);
    return access(path, F_OK) == 0;
}

static int make_mark(const char *dir, const char *path, char *why_r, size_t why_bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        snprintf(why_r, why_bytes, "cannot make %s: %s", path, strerror(errno));
        return -1;
    }
    close(fd);
    return publish_sync_dir(dir, why_r, why_bytes);
}

/* The mark outlives a crash: until the next sync is over nobody is shown what lies here. It goes before the
 * metric does: whoever has seen the one may look for the other. */
int follow_set_syncing(struct follow *f, bool on) {
    char dir[WORKER_PATH_BYTES], path[WORKER_PATH_BYTES], why[WORKER_PATH_BYTES + 200] = "";
    worker_path(f->w, f->w->env.shard, NULL, dir);
    worker_path(f->w, f->w->env.shard, MARK_NAME, path);
    int result = on ? make_mark(dir, path, why, sizeof why) : 0;
    if (!on && unlink(path) != 0 && errno != ENOENT)
        snprintf(why, sizeof why, "cannot remove %s: %s", path, strerror(errno));
    if (why[0] != '\0')
        log_warning("%s", why);
    if (result != 0)
        return -1;
    status_set(f->w->status, METRIC_primary_syncing, on);
    follow_look(f);
    return 0;
}

bool follow_is_marked(const struct follow *f) {
    return is_marked(f, f->w->env.shard);
}

/* At a start what others left behind is not known; later, whoever was at it may have died over it. */
static bool is_syncing(struct follow *f, uint32_t shard) {
    bool now = status_get(segment_status(&f->w->segment, shard), METRIC_primary_syncing) != 0;
    if (!now && !f->known_whole[shard])
        now = is_marked(f, shard);
    f->known_whole[shard] = !now;
    return now;
}

/* A shard that follows a shard is alone with it; until it is known that we do, others' affairs are ours. */
void follow_look(struct follow *f) {
    bool syncing = false;
    for (uint32_t i = 0; is_followed(f) && i < f->w->segment.workers; i++)
        if (i == f->w->env.shard || f->mode != FOLLOW_SHARD)
            syncing = is_syncing(f, i) || syncing;
    f->w->env.syncing = syncing;
}

void follow_dealt(struct follow *f) {
    if (f->mode != FOLLOW_SHARD)
        follow_shard_end(f);
}

bool follow_replaces(const struct follow *f) {
    return f->loading && f->mode == FOLLOW_SHARD;
}

/* ---- the option ---- */
static void end(struct follow *f) {
    upstream_free(&f->probe);
    f->probed = f->settled = f->anew = false;
    free_links(f);
    follow_forget_resume(f);
    f->mode = FOLLOW_NOBODY;
    status_set(f->w->status, METRIC_primary_syncing, 0);
    f->w->env.syncing = false;
}

/* config_check has seen to it that it is a host and a port. */
static void set_target(struct follow *f, const char *target) {
    unsigned port = 0;
    snprintf(f->target, sizeof f->target, "%s", target);
    f->host[0] = '\0';
    (void)!sscanf(target, "%319s %u", f->host, &port);
    f->port = port;
}

bool follow_loaded(struct follow *f) {
    f->of_family = f->w->config->replicaof[0] != '\0';
    propagate_follow(f->w->propagate, f->of_family);
    return f->of_family;
}

void follow_configure(struct follow *f) {
    const char *target = f->w->config->replicaof;
    if (f->w->env.loading || (f->configured && strcmp(target, f->target) == 0))
        return;
    if (f->loading) {
        f->reconfigure = true;
        return;
    }
    bool was_replica = is_followed(f);
    f->reconfigured = f->configured;
    f->configured = true;
    end(f);
    set_target(f, target);
    keyspace_set_replica(f->w->ks, is_followed(f));
    if (is_followed(f)) {
        log_notice("Connecting to MASTER %s:%u", f->host, f->port);
        f->mode = FOLLOW_ASKING;
        ask(f);
    } else {
        follow_shard_end(f);
    }
    if (!was_replica && is_followed(f))
        blocked_end_all(f->w->env.blocked);
    if (was_replica && !is_followed(f))
        log_notice("MASTER MODE enabled");
    if (follow_is_marked(f)) {
        log_warning("The data of this shard are those of a sync that never came to its end");
        follow_set_syncing(f, is_followed(f));
    }
    follow_look(f);
    follow_cron(f);
}

/* ---- the loop ---- */
/* Has the file that waits come as it was sent? If not, what we have is untouched, and the link begins again. */
static bool is_whole(struct follow_link *link) {
    const struct worker *w = link->follow->w;
    char path[WORKER_PATH_BYTES];
    if (upstream_snapshot_is_whole(link->upstream))
        return true;
    worker_path(w, w->env.shard, link->snapshot, path);
    unlink(path);
    link->snapshot[0] = '\0';
    upstream_fail(link->upstream, true,
                  "its snapshot is damaged: its end or its checksum is wrong");
    return false;
}

static void load(struct follow *f, struct follow_link *link) {
    if (!is_whole(link))
        return;
    f->loading = true;
    if (f->mode == FOLLOW_SHARD)
        follow_shard_load(link);
    else
        follow_pool_load(link);
    f->loading = false;
    if (f->reconfigure) {
        f->reconfigure = false;
        follow_configure(f);
    }
}

void follow_turn(struct follow *f) {
    if (f->loading)
        return;
    if (may_begin(f))
        begin(f);
    if (f->mode == FOLLOW_SHARD && f->count > 0)
        follow_shard_synced(f->links[0]);
    for (uint32_t i = 0; i < f->count && !f->loading; i++)
        if (f->links[i]->snapshot[0] != '\0')
            load(f, f->links[i]);
        else if (f->links[i]->woken)
            follow_pool_go_on(f->links[i]);
    for (uint32_t i = 0; i < f->count && f->mode == FOLLOW_POOL; i++)
        follow_pool_executed(f->links[i]);
    follow_look_settled(f);
}

bool follow_waiting(const struct follow *f) {
    bool waiting = may_begin(f);
    for (uint32_t i = 0; i < f->count && !waiting; i++)
        waiting = f->links[i]->woken || f->links[i]->snapshot[0] != '\0';
    return waiting && !f->loading;
}

bool follow_turn_was_short(struct follow *f) {
    uint64_t offset = 0;
    for (uint32_t i = 0; i < f->count; i++)
        offset += upstream_offset(f->links[i]->upstream);
    uint64_t taken = offset - f->offset_before;
    f->offset_before = offset;
    return taken > 0 && taken < SHORT_TURN_BYTES;
}

void follow_peer_down(struct follow *f) {
    follow_forget_resume(f);
    if (f->mode != FOLLOW_POOL)
        return;
    for (uint32_t i = 0; i < f->count; i++)
        upstream_fail(f->links[i]->upstream, true, "a shard went down: its data may be behind");
}

/* ---- what is told ---- */
void follow_refresh(struct follow *f) {
    struct status_page *page = f->w->status;
    struct upstream_view view;
    uint64_t down_ms = 0, up = 0, transfers = 0, offset = 0, silent_ms = 0, total = 0, done = 0,
             full = 0, partial = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        upstream_view(f->links[i]->upstream, &view);
        up += view.state == UPSTREAM_STREAMING;
        transfers += view.state >= UPSTREAM_SYNCING && view.state <= UPSTREAM_LOADING;
        offset += view.offset;
        total += view.sync_total_bytes;
        done += view.sync_done_bytes;
        full += view.full_syncs;
        partial += view.partial_syncs;
        uint64_t heard_ms = view.last_heard_s > 0 ? (uint64_t)view.last_heard_s * 1000 : 0;
        silent_ms = heard_ms > silent_ms ? heard_ms : silent_ms;
        uint64_t lost_ms = view.down_since_s >= 0 ? (uint64_t)view.down_since_s * 1000 + 1 : 0;
        down_ms = lost_ms > down_ms ? lost_ms : down_ms;
        f->links[i]->session.last_active_mono_ms = clock_mono_ms() - heard_ms;
    }
    status_set(page, METRIC_primary_links,
               f->mode == FOLLOW_ASKING ? 1 : f->count); /* to be sure that it is not up */
    status_set(page, METRIC_primary_links_up, up);
    status_set(page, METRIC_primary_transfers, transfers);
    status_set(page, METRIC_primary_offset, offset);
    status_set(page, METRIC_primary_down_ms, down_ms);
    status_set(page, METRIC_primary_silent_ms, silent_ms);
    status_set(page, METRIC_primary_sync_total_bytes, total);
    status_set(page, METRIC_primary_sync_done_bytes, done);
    status_set(page, METRIC_primary_full_syncs, full);
    status_set(page, METRIC_primary_partial_syncs, partial);
}

static void tell(const struct upstream *upstream, struct replication_table *table) {
    struct upstream_view view;
    if (table->primaries++ >= LINKS_SHOWN)
        return;
    struct primary_line *line = &table->primary[table->primaries - 1];
    upstream_view(upstream, &view);
    bool syncing = view.state == UPSTREAM_TRANSFER || view.state == UPSTREAM_LOADING;
    *line = (struct primary_line){.port = view.port,
                                  .syncing = syncing,
                                  .offset = view.offset,
                                  .sync_total_bytes = view.sync_total_bytes,
                                  .sync_done_bytes = view.sync_done_bytes,
                                  .full_syncs = view.full_syncs,
                                  .partial_syncs = view.partial_syncs,
                                  .last_heard_s = view.last_heard_s,
                                  .down_s = view.down_since_s};
    snprintf(line->address, sizeof line->address, "%s", view.host);
    snprintf(line->state, sizeof line->state, "%s", upstream_state_name(view.state));
    snprintf(line->trouble, sizeof line->trouble, "%s", view.trouble);
}

void follow_tell(const struct follow *f, struct replication_table *table) {
    if (f->mode == FOLLOW_ASKING)
        tell(f->probe, table);
    for (uint32_t i = 0; i < f->count; i++)
        tell(f->links[i]->upstream, table);
}

static bool all_links_up(const struct follow *f) {
    uint64_t wanted = segment_sum(&f->w->segment, METRIC_primary_links);
    return wanted > 0 && segment_sum(&f->w->segment, METRIC_primary_links_up) == wanted;
}

void follow_cron(struct follow *f) {
    if (f->probe != NULL)
        upstream_cron(f->probe);
    for (uint32_t i = 0; i < f->count; i++)
        upstream_cron(f->links[i]->upstream);
    follow_refresh(f);
    f->w->env.primary_is_up = is_followed(f) && all_links_up(f);
    if (f->mode == FOLLOW_POOL)
        follow_pool_cron(f);
    if (f->mode != FOLLOW_ASKING)
        look_again(f);
}

void follow_free(struct follow **follow) {
    struct follow *f = *follow;
    if (f == NULL)
        return;
    *follow = NULL;
    upstream_free(&f->probe);
    free_links(f);
    follow_forget_resume(f);
    mem_free(f);
}
