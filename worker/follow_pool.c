/* follow_pool.c - this worker follows a server whose keys lie on all our shards: a Redis, or one worker of a
 * pool of another size.
 *
 * What comes is said to the router as a client's commands are, so that keys of several shards, locks and
 * order are its affair. The snapshot is read here and each key restored at its owner; meanwhile the whole
 * pool answers LOADING. A shard that goes down may have lost what it was sent: then all begins anew. */
#include "worker/follow_private.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "worker/persist/rdb_value.h"
#include "worker/persist/shard_files.h"
#include "worker/resp/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCAN_KEYS = 1000 };

/* ---- saying it ---- */
/* An error of the router's is a command that may be lost; one of a handler's would be one there, too. */
static void note_error(struct follow_link *link, struct bytes text) {
    static const char lost[] = "-ERR shard ";
    bool may_be_lost = text.len >= sizeof lost - 1 && memcmp(text.ptr, lost, sizeof lost - 1) == 0;
    if (link->errors++ == 0 || may_be_lost)
        log_warning("A command of the master's was answered with %.*s",
                    (int)(text.len < 200 ? text.len : 200), text.ptr);
    if (may_be_lost)
        upstream_fail(link->upstream, true, "a shard may not have got a command");
}

static void take_replies(struct follow_link *link) {
    struct buf *out = &link->pipeline.out;
    size_t at = 0, len;
    while (at < out->len && (len = resp_value_length(out->data + at, out->len - at)) > 0) {
        if (out->data[at] == '-')
            note_error(link, bytes_of(out->data + at, len));
        at += len;
    }
    buf_clear(out);
}

/* False: not now. */
static bool say(struct follow_link *link, uint32_t argc, const struct bytes *argv) {
    struct worker *w = link->follow->w;
    if (!pipeline_may_begin(&link->pipeline) ||
        !router_command(w->router, &link->pipeline, &link->session, argv, argc))
        return false;
    return true;
}

static bool has_all_slots(const struct follow_link *link) {
    return link->first_slot == 0 && link->last_slot == SLOT_COUNT - 1;
}

static bool on_command(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw) {
    struct follow_link *link = arg;
    if (follow_is_service(argv[0]))
        return true;
    /* They would meet the keys of all links, which are not at the same place in time. */
    if (!has_all_slots(link) && upstream_is_of_whole_databases(argv[0])) {
        upstream_fail(link->upstream, true, "FLUSHALL, FLUSHDB or SWAPDB of one of several links");
        return false;
    }
    bool said = say(link, argc, argv);
    take_replies(link);
    return said;
}

static void on_ahead(void *arg, const struct bytes *keys, uint32_t count) {
    struct follow_link *link = arg;
    router_prefetch(link->follow->w->router, &link->session, keys, count);
}

/* ---- a transaction ---- */
/* Its commands to the batch; false if there is one that cannot be in it. *db: of the session, and then. */
static bool add_transaction(struct follow_link *link, struct bytes raw, uint32_t *db) {
    struct router *router = link->follow->w->router;
    struct resp_parser parser;
    bool ok = true;
    size_t used;
    resp_parser_init(&parser);
    parser.bulk_max = raw.len;
    while (ok && raw.len > 0) {
        ok = resp_parse(&parser, raw.ptr, raw.len, &used) == RESP_COMMAND && parser.argc > 0;
        if (!ok)
            break;
        uint64_t number;
        if (parser.argc == 2 && bytes_equal_nocase(parser.argv[0], "select") &&
            bytes_to_u64(parser.argv[1], &number) &&
            number < keyspace_databases(link->follow->w->ks))
            *db = (uint32_t)number;
        else if (!follow_is_service(parser.argv[0]))
            ok = router_batch_add(router, link->batch, *db, parser.argv, parser.argc);
        raw = bytes_of(raw.ptr + used, raw.len - used);
    }
    resp_parser_free(&parser);
    return ok;
}

static enum upstream_taken on_transaction(void *arg, struct bytes raw) {
    struct follow_link *link = arg;
    uint32_t db = link->session.db;
    enum upstream_taken taken = UPSTREAM_NOT_NOW;
    if (!pipeline_may_begin(&link->pipeline))
        return taken;
    if (!add_transaction(link, raw, &db)) {
        taken = UPSTREAM_ONE_BY_ONE;
    } else if (router_batch_run(link->follow->w->router, &link->pipeline, &link->session,
                                link->batch)) {
        taken = UPSTREAM_TAKEN;
        link->session.db = db;
    }
    router_batch_clear(link->batch);
    take_replies(link);
    return taken;
}

/* ---- what has been run ---- */
void follow_pool_executed(struct follow_link *link) {
    const struct pipeline *p = &link->pipeline;
    uint64_t offset = upstream_offset(link->upstream);
    if (!upstream_is_up(link->upstream)) {
        link->awaited_offset = 0;
        return;
    }
    if (link->awaited_offset > 0 && p->finished >= link->awaited_calls) {
        upstream_executed(link->upstream, link->awaited_offset);
        link->awaited_offset = 0;
    }
    if (p->in_flight == 0)
        upstream_executed(link->upstream, offset);
    else if (link->awaited_offset == 0) {
        link->awaited_offset = offset;
        link->awaited_calls = p->finished + p->in_flight;
    }
}

bool follow_pool_is_still(struct follow_link *link) {
    struct rdb_origin place;
    take_replies(link);
    return link->pipeline.in_flight == 0 &&
           (upstream_place(link->upstream, &place) || !upstream_is_up(link->upstream));
}

static void on_wake(struct pipeline *pipeline) {
    struct follow_link *link = pipeline->client;
    link->woken = true;
}

void follow_pool_go_on(struct follow_link *link) {
    link->woken = false;
    take_replies(link);
    upstream_go_on(link->upstream);
}

/* ---- waiting, while a snapshot is loaded ---- */
static bool is_loading(const struct follow_link *link) {
    struct upstream_view view;
    upstream_view(link->upstream, &view);
    return view.state == UPSTREAM_LOADING;
}

/* The loop turns within; everything but this goes on. */
static void turn(struct follow_link *link) {
    ev_run(link->follow->w->loop, EVRUN_ONCE);
}

/* Say it when it may be said. False: the link has failed meanwhile. */
static bool say_now(struct follow_link *link, uint32_t argc, const struct bytes *argv) {
    while (is_loading(link)) {
        if (say(link, argc, argv))
            return true;
        turn(link);
        take_replies(link);
    }
    return false;
}

static bool wait_for_replies(struct follow_link *link) {
    while (is_loading(link) && link->pipeline.in_flight > 0)
        turn(link);
    return is_loading(link);
}

/* Say it, and leave the reply in pipeline.out. */
static bool ask(struct follow_link *link, uint32_t argc, const struct bytes *argv) {
    if (!wait_for_replies(link))
        return false;
    take_replies(link);
    return say_now(link, argc, argv) && wait_for_replies(link);
}

static bool select_db(struct follow_link *link, uint32_t db) {
    char digits[BYTES_I64_MAX];
    if (link->session.db == db)
        return true;
    const struct bytes argv[] = {BYTES_LITERAL("SELECT"),
                                 {digits, bytes_from_i64(digits, (int64_t)db)}};
    return ask(link, 2, argv);
}

/* ---- what was here before ---- */
/* A bulk string at the beginning of data; returns its length in all, 0 if there is none. */
static size_t bulk_at(struct bytes data, struct bytes *text_r) {
    char type;
    int64_t len;
    size_t head = resp_header(data.ptr, data.len, &type, &len);
    if (head == 0 || type != '$' || len < 0 || (uint64_t)len + 2 > data.len - head)
        return 0;
    *text_r = bytes_of(data.ptr + head, (size_t)len);
    return head + (size_t)len + 2;
}

/* Remove those keys of a SCAN's reply that are this server's. The next cursor, NULL at the end. */
static bool unlink_scanned(struct follow_link *link, struct buf *cursor) {
    struct buf reply = link->pipeline.out;
    struct bytes rest = buf_bytes(&reply), text;
    link->pipeline.out = (struct buf){0};
    char type;
    int64_t count = 0;
    size_t used = resp_header(rest.ptr, rest.len, &type, &count);
    rest = bytes_of(rest.ptr + used, rest.len - used);
    used = bulk_at(rest, &text);
    buf_clear(cursor);
    if (used > 0)
        buf_append_bytes(cursor, text);
    else
        buf_append_text(cursor, "0");
    rest = bytes_of(rest.ptr + used, rest.len - used);
    used = resp_header(rest.ptr, rest.len, &type, &count);
    rest = bytes_of(rest.ptr + used, rest.len - used);
    bool ok = true;
    while (ok && (used = bulk_at(rest, &text)) > 0) {
        uint16_t slot = slot_of_key(text);
        if (slot >= link->first_slot && slot <= link->last_slot)
            ok = say_now(link, 2, (const struct bytes[]){BYTES_LITERAL("UNLINK"), text});
        rest = bytes_of(rest.ptr + used, rest.len - used);
    }
    buf_free(&reply);
    return ok;
}

static bool remove_own_slots(struct follow_link *link) {
    struct buf cursor = {0};
    bool ok = true;
    for (uint32_t db = 0; ok && db < keyspace_databases(link->follow->w->ks); db++) {
        buf_clear(&cursor);
        buf_append_text(&cursor, "0");
        ok = select_db(link, db);
        do {
            char digits[BYTES_I64_MAX];
            const struct bytes argv[] = {BYTES_LITERAL("SCAN"),
                                         buf_bytes(&cursor),
                                         BYTES_LITERAL("COUNT"),
                                         {digits, bytes_from_i64(digits, SCAN_KEYS)}};
            ok = ok && ask(link, 4, argv) && unlink_scanned(link, &cursor);
        } while (ok && !bytes_equal(buf_bytes(&cursor), BYTES_LITERAL("0")));
    }
    buf_free(&cursor);
    return ok;
}

static bool empty(struct follow_link *link) {
    if (!has_all_slots(link))
        return remove_own_slots(link);
    return ask(link, 2, (const struct bytes[]){BYTES_LITERAL("FLUSHALL"), BYTES_LITERAL("ASYNC")});
}

/* ---- the snapshot ---- */
static int put_entry(void *arg, const struct rdb_entry *entry, char *error_r, size_t error_bytes) {
    struct follow_link *link = arg;
    char expire[BYTES_I64_MAX], number[BYTES_I64_MAX];
    struct buf payload = {0};
    if (entry->expire_ms == 0)
        return 0; /* past, and RESTORE would take it for none */
    rdb_dump(&payload, entry->value);
    int64_t expire_ms = entry->expire_ms == KEY_NO_EXPIRY ? 0 : entry->expire_ms;
    struct bytes argv[8] = {BYTES_LITERAL("RESTORE"),
                            entry->key,
                            {expire, bytes_from_i64(expire, expire_ms)},
                            buf_bytes(&payload),
                            BYTES_LITERAL("REPLACE"),
                            BYTES_LITERAL("ABSTTL")};
    uint32_t argc = 6;
    if (entry->idle_ms >= 0) {
        argv[argc++] = BYTES_LITERAL("IDLETIME");
        argv[argc++] = bytes_of(number, bytes_from_i64(number, entry->idle_ms / 1000));
    } else if (entry->frequency >= 0) {
        argv[argc++] = BYTES_LITERAL("FREQ");
        argv[argc++] = bytes_of(number, bytes_from_i64(number, entry->frequency));
    }
    bool ok = select_db(link, entry->db) && say_now(link, argc, argv);
    take_replies(link);
    buf_free(&payload);
    if (!ok)
        snprintf(error_r, error_bytes, "the link was lost meanwhile");
    return ok ? 0 : -1;
}

static void on_read(void *arg, uint64_t offset) {
    struct follow_link *link = arg;
    worker_heartbeat(link->follow->w);
}

static int read_snapshot(struct follow_link *link, const char *path, uint32_t *stream_db_r,
                         char *error_r, size_t error_bytes) {
    struct worker *w = link->follow->w;
    struct shard_file file = {0};
    struct shard_file_found found;
    struct stat st;
    snprintf(file.path, sizeof file.path, "%s", path);
    file.bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    struct shard_reader reader = {
        .config = w->config,
        .ks = keyspace_create(keyspace_databases(w->ks), w->segment.header->hash_seed, NULL),
        .entry = put_entry,
        .progress = on_read,
        .arg = link};
    int result = shard_file_read(&file, &reader, &found, error_r, error_bytes);
    keyspace_free(&reader.ks);
    if (result != 0)
        return -1;
    *stream_db_r = found.stream_db;
    if (found.stream_db < keyspace_databases(w->ks))
        return 0;
    snprintf(error_r, error_bytes, "The master's stream is in database %u, which is not here",
             found.stream_db);
    return -1;
}

static bool all_whole(const struct follow *f) {
    bool whole = true;
    for (uint32_t i = 0; i < f->count; i++)
        whole = whole && !f->links[i]->half;
    return whole;
}

void follow_pool_load(struct follow_link *link) {
    struct follow *f = link->follow;
    char path[WORKER_PATH_BYTES], why[512] = "the link was lost meanwhile";
    worker_path(f->w, f->w->env.shard, link->snapshot, path);
    link->snapshot[0] = '\0';
    if (!is_loading(link)) {
        unlink(path);
        return;
    }
    if (follow_set_syncing(f, true) != 0) {
        unlink(path);
        upstream_fail(link->upstream, true, "its snapshot cannot be taken in");
        return;
    }
    link->half = true;
    uint32_t db = 0; /* a primary that is a replica cannot say it in its stream */
    bool ok = empty(link) && read_snapshot(link, path, &db, why, sizeof why) == 0 &&
              select_db(link, db) && wait_for_replies(link);
    take_replies(link);
    unlink(path);
    if (!ok || !is_loading(link)) {
        log_warning("MASTER <-> REPLICA sync: %s", why);
        upstream_fail(link->upstream, true, "its snapshot could not be taken in");
        return; /* and the pool goes on saying LOADING: what it has is neither old nor new */
    }
    link->half = false;
    if (all_whole(f))
        follow_set_syncing(f, false);
    upstream_loaded(link->upstream);
}

/* A mark of a time when this shard had a link: those who have links now bring all of its keys anew. */
void follow_pool_cron(struct follow *f) {
    if (f->count == 0 && f->w->env.primary_is_up && follow_is_marked(f))
        follow_set_syncing(f, false);
}

static void on_snapshot(void *arg, const char *file) {
    struct follow_link *link = arg;
    snprintf(link->snapshot, sizeof link->snapshot, "%s", file);
}

static void on_continued(void *arg) {
    /* After a short break, or an orderly restart: what was applied is still here. */
}

/* ---- life ---- */
static void begin_link(struct follow *f, uint32_t port, uint32_t server, uint32_t servers) {
    static const struct upstream_hooks hooks = {.command = on_command,
                                                .transaction = on_transaction,
                                                .ahead = on_ahead,
                                                .continued = on_continued,
                                                .snapshot = on_snapshot};
    static struct slot_map slots;
    char tag[16];
    snprintf(tag, sizeof tag, "%u", server);
    slot_map_deal(&slots, servers);
    struct follow_link *link = follow_link_create(f, port, tag, &hooks);
    link->first_slot = slots.first[server];
    link->last_slot = (uint16_t)(slots.first[server + 1] - 1);
    pipeline_init(&link->pipeline, link, on_wake);
    link->batch = mem_calloc(1, sizeof *link->batch);
    link->server = server;
    struct rdb_origin place = {0};
    if (follow_resumes(f, server, &place))
        link->session.db = place.db;
    else
        place = (struct rdb_origin){0};
    upstream_start(link->upstream, place.id, place.offset);
}

uint32_t follow_servers(const struct follow *f) {
    return f->primary.workers > 1 && f->primary.port != 0 ? f->primary.workers : 1;
}

void follow_pool_begin(struct follow *f) {
    uint32_t servers = follow_servers(f), port = servers > 1 ? f->primary.port : 0;
    f->mode = FOLLOW_POOL;
    for (uint32_t i = f->w->env.shard; i < servers; i += f->w->segment.workers)
        begin_link(f, port != 0 ? port + i : f->port, i, servers);
    for (uint32_t i = 0; i < f->count; i++)
        f->links[i]->half = follow_is_marked(f);
}

void follow_pool_link_free(struct follow_link *link) {
    router_forget(link->follow->w->router, &link->pipeline);
    router_batch_clear(link->batch);
    mem_free(link->batch);
}
