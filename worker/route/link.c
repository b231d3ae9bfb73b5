/* link.c - see link.h. */
#include "worker/route/link.h"

#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "shared/ipc/inherit.h"

#include <stddef.h>

enum {
    RECORDS_PER_TURN = 4096, /* read from one ring before the others get their turn */
    ASSEMBLY_KEEP_BYTES = 64 * 1024
};

/* A message that waits: header and body, `sent` bytes of the body already in the ring. */
struct waiting {
    struct list link;
    struct relay_frame frame;
    size_t sent, len;
    char body[];
};

struct peer {
    struct ring_writer writer;
    struct ring_reader reader;
    struct doorbell *bell;
    int bell_fd;
    bool up, published;
    uint64_t room_told;  /* reader position at which the writer was last told of room */
    uint32_t generation; /* the newest heard of; 0: none yet */
    uint32_t lost;       /* generations up to this one are dead: what they left in the ring too */
    struct list backlog; /* struct waiting */
    uint64_t backlog_bytes;
    struct buf assembly; /* of a message that comes in several records */
    struct relay_frame assembling;
};

struct links {
    const struct segment *segment;
    uint32_t self, generation, workers;
    struct link_hooks hooks;
    struct link_stats stats;
    uint32_t record_max;
    struct peer *peers;
};

struct links *links_create(const struct segment *segment, uint32_t self, uint32_t generation,
                           const struct link_hooks *hooks) {
    struct links *links = mem_calloc(1, sizeof(*links));
    links->segment = segment;
    links->self = self;
    links->generation = generation;
    links->workers = segment->workers;
    links->hooks = *hooks;
    links->record_max = ring_record_max(segment->header->ring_bytes);
    links->peers = mem_calloc(segment->workers, sizeof(struct peer));
    for (uint32_t i = 0; i < links->workers; i++) {
        struct peer *peer = &links->peers[i];
        list_init(&peer->backlog);
        peer->bell = segment_doorbell(segment, i);
        peer->bell_fd = inherit_fd_doorbell(i);
        if (i == self)
            continue;
        segment_ring_writer(segment, self, i, &peer->writer);
        segment_ring_reader(segment, i, self, &peer->reader);
        const struct status_page *page = segment_status(segment, i);
        peer->generation = atomic_load(&page->generation);
        peer->up = atomic_load(&page->state) == CHILD_UP;
    }
    /* A predecessor may have died between publishing and ringing: ring for it. */
    for (uint32_t i = 0; i < links->workers; i++) {
        if (i != self)
            doorbell_ring(links->peers[i].bell, links->peers[i].bell_fd);
    }
    return links;
}

static void backlog_drop(struct peer *peer, struct waiting *w) {
    list_remove(&w->link);
    peer->backlog_bytes -= w->len;
    mem_free(w);
}

void links_free(struct links **links_ref) {
    struct links *links = *links_ref;
    if (!links)
        return;
    for (uint32_t i = 0; i < links->workers; i++) {
        LIST_EACH(node, &links->peers[i].backlog)
        backlog_drop(&links->peers[i], LIST_ENTRY(node, struct waiting, link));
        buf_free(&links->peers[i].assembly);
    }
    mem_free(links->peers);
    mem_free(links);
    *links_ref = NULL;
}

/* ---- sending ---- */

static size_t body_length(const struct bytes *argv, uint32_t argc, struct bytes body) {
    if (!argv)
        return body.len;
    size_t len = (size_t)argc * sizeof(uint32_t);
    for (uint32_t i = 0; i < argc; i++)
        len += argv[i].len;
    return len;
}

static void body_write(char *to, const struct bytes *argv, uint32_t argc, struct bytes body) {
    if (!argv) {
        if (body.len)
            memcpy(to, body.ptr, body.len);
        return;
    }
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t len = (uint32_t)argv[i].len;
        memcpy(to, &len, sizeof(len));
        if (len)
            memcpy(to + sizeof(len), argv[i].ptr, len);
        to += sizeof(len) + len;
    }
}

static void stamp(const struct links *links, const struct peer *peer, struct relay_frame *frame) {
    frame->from_generation = links->generation;
    frame->to_generation = peer->generation;
}

enum link_sent link_send(struct links *links, uint32_t to, struct relay_frame frame,
                         const struct bytes *argv, struct bytes body) {
    struct peer *peer = &links->peers[to];
    size_t len = body_length(argv, frame.argc, body);
    if (peer->up && list_empty(&peer->backlog) && sizeof(frame) + len <= links->record_max) {
        char *record = ring_reserve(&peer->writer, (uint32_t)(sizeof(frame) + len));
        if (record) {
            stamp(links, peer, &frame);
            frame.body_bytes = (uint32_t)len;
            memcpy(record, &frame, sizeof(frame));
            body_write(record + sizeof(frame), argv, frame.argc, body);
            ring_commit(&peer->writer, (uint32_t)(sizeof(frame) + len));
            peer->published = true;
            return LINK_PUBLISHED;
        }
    }
    ASSERT(len <= LINK_BODY_MAX);
    struct waiting *w = mem_alloc(sizeof(*w) + len);
    w->frame = frame;
    w->sent = 0;
    w->len = len;
    body_write(w->body, argv, frame.argc, body);
    list_push_back(&peer->backlog, &w->link);
    peer->backlog_bytes += len;
    return LINK_WAITING;
}

bool link_withdraw(struct links *links, uint32_t to, uint64_t token, uint8_t type) {
    struct peer *peer = &links->peers[to];
    LIST_EACH(node, &peer->backlog) {
        struct waiting *w = LIST_ENTRY(node, struct waiting, link);
        /* One that has begun to go out to a living reader must be finished. */
        if (w->frame.token == token && w->frame.type == type && (w->sent == 0 || !peer->up)) {
            backlog_drop(peer, w);
            return true;
        }
    }
    return false;
}

/* Put records of one message into the ring while there is room. true if it is all in. */
static bool waiting_push(struct links *links, struct peer *peer, struct waiting *w) {
    size_t room = links->record_max - sizeof(struct relay_frame);
    do {
        size_t part = w->len - w->sent < room ? w->len - w->sent : room;
        char *record = ring_reserve(&peer->writer, (uint32_t)(sizeof(w->frame) + part));
        if (!record)
            return false;
        struct relay_frame frame = w->frame;
        stamp(links, peer, &frame);
        frame.body_bytes = (uint32_t)part;
        if (w->sent + part < w->len)
            frame.flags |= RELAY_MORE;
        memcpy(record, &frame, sizeof(frame));
        memcpy(record + sizeof(frame), w->body + w->sent, part);
        ring_commit(&peer->writer, (uint32_t)(sizeof(frame) + part));
        peer->published = true;
        w->sent += part;
    } while (w->sent < w->len);
    return true;
}

static void backlog_push(struct links *links, uint32_t to) {
    struct peer *peer = &links->peers[to];
    if (!peer->up || list_empty(&peer->backlog))
        return;
    LIST_EACH(node, &peer->backlog) {
        struct waiting *w = LIST_ENTRY(node, struct waiting, link);
        if (!waiting_push(links, peer, w))
            return;
        uint64_t token = w->frame.token;
        backlog_drop(peer, w);
        links->hooks.published(links->hooks.arg, token);
    }
    links->hooks.drained(links->hooks.arg, to);
}

void links_flush(struct links *links) {
    for (uint32_t i = 0; i < links->workers; i++) {
        struct peer *peer = &links->peers[i];
        if (i == links->self)
            continue;
        backlog_push(links, i);
        if (!peer->published)
            continue;
        peer->published = false;
        if (ring_publish(&peer->writer) && doorbell_ring(peer->bell, peer->bell_fd))
            links->stats.doorbells_rung++;
    }
}

/* ---- receiving ---- */

/* Is this frame from and for the living? A newer sender than we heard of is believed at once: the
 * supervisor's word of it is still under way. */
static bool frame_is_current(struct links *links, uint32_t from, const struct relay_frame *frame) {
    struct peer *peer = &links->peers[from];
    if (frame->to_generation != links->generation || frame->from_generation < peer->generation ||
        frame->from_generation <= peer->lost)
        return false;
    if (frame->from_generation > peer->generation)
        link_peer_up(links, from, frame->from_generation);
    return true;
}

static void receive_record(struct links *links, uint32_t from, const char *record, uint32_t bytes) {
    struct peer *peer = &links->peers[from];
    struct relay_frame frame;
    if (bytes < sizeof(frame)) {
        links->stats.corrupt++;
        return;
    }
    memcpy(&frame, record, sizeof(frame));
    if (frame.body_bytes > bytes - sizeof(frame)) {
        links->stats.corrupt++;
        return;
    }
    if (!frame_is_current(links, from, &frame)) {
        links->stats.stale_dropped++;
        return;
    }
    struct bytes body = bytes_of(record + sizeof(frame), frame.body_bytes);
    bool continues = peer->assembly.len > 0;
    if (continues &&
        (frame.token != peer->assembling.token || frame.type != peer->assembling.type)) {
        links->stats.corrupt++;
        buf_clear(&peer->assembly);
        continues = false;
    }
    if (!continues && !(frame.flags & RELAY_MORE)) {
        links->hooks.receive(links->hooks.arg, from, &frame, body);
        return;
    }
    if (body.len > LINK_BODY_MAX - peer->assembly.len) {
        links->stats.corrupt++;
        buf_clear(&peer->assembly);
        return;
    }
    if (!continues)
        peer->assembling = frame;
    buf_append_bytes(&peer->assembly, body);
    if (frame.flags & RELAY_MORE)
        return;
    /* The handler may lose this peer and clear the assembly: hand it a buffer of its own. */
    struct buf whole = peer->assembly;
    peer->assembly = (struct buf){0};
    frame = peer->assembling;
    frame.flags &= (uint8_t)~RELAY_MORE;
    links->hooks.receive(links->hooks.arg, from, &frame, buf_bytes(&whole));
    buf_free(&whole);
}

static bool receive_ring(struct links *links, uint32_t from) {
    struct peer *peer = &links->peers[from];
    const void *record;
    uint32_t bytes;
    uint32_t count = 0;
    enum ring_result result = RING_OK;
    bool enough = false;
    while (count < RECORDS_PER_TURN && !enough &&
           (result = ring_next(&peer->reader, &record, &bytes)) == RING_OK) {
        if (count++ % LINK_AHEAD == 0)
            links->hooks.ahead(links->hooks.arg, peer->reader);
        receive_record(links, from, record, bytes);
        enough = links->hooks.enough(links->hooks.arg);
        /* Give room back in steps, so that a busy writer is not stopped by a long batch. */
        if (count % 256 == 0)
            ring_release(&peer->reader);
    }
    if (result == RING_CORRUPT) {
        links->stats.corrupt++;
        log_warning("Ring from shard %u held garbage; what was in it is skipped", from);
        ring_skip_all(&peer->reader);
        buf_clear(&peer->assembly);
        links->hooks.garbled(links->hooks.arg, from);
    }
    if (count > 0)
        ring_release(&peer->reader);
    /* A writer that found the ring full may sleep: wake it once a good part is free again. */
    if (peer->reader.head - peer->room_told >= peer->reader.size / 4) {
        peer->room_told = peer->reader.head;
        doorbell_ring(peer->bell, peer->bell_fd);
    }
    return count == RECORDS_PER_TURN || enough;
}

bool links_receive(struct links *links) {
    bool more = false;
    for (uint32_t i = 0; i < links->workers; i++) {
        if (i != links->self && receive_ring(links, i))
            more = true;
    }
    return more;
}

/* Something to read, or a backlog whose ring has room again. */
static bool links_have_work(struct links *links) {
    for (uint32_t i = 0; i < links->workers; i++) {
        struct peer *peer = &links->peers[i];
        if (i == links->self)
            continue;
        if (ring_has_data(&peer->reader))
            return true;
        if (peer->up && !list_empty(&peer->backlog) &&
            ring_reserve(&peer->writer, links->record_max) != NULL)
            return true;
    }
    return false;
}

bool links_sleep(struct links *links) {
    struct doorbell *bell = links->peers[links->self].bell;
    doorbell_arm(bell);
    if (!links_have_work(links))
        return false;
    doorbell_disarm(bell);
    return true;
}

void links_awake(struct links *links) {
    doorbell_disarm(links->peers[links->self].bell);
}

/* ---- peers come and go ---- */

static void peer_lose(struct links *links, uint32_t index) {
    struct peer *peer = &links->peers[index];
    uint32_t generation = peer->lost = peer->generation;
    peer->up = false;
    buf_clear(&peer->assembly);
    buf_shrink(&peer->assembly, ASSEMBLY_KEEP_BYTES);
    /* Answers to a dead generation have no reader any more, and what was to be written under its
     * lock none who may; a request begun starts over. A CANCEL or UNLOCK may follow one that stays. */
    LIST_EACH(node, &peer->backlog) {
        struct waiting *w = LIST_ENTRY(node, struct waiting, link);
        w->sent = 0;
        bool stays = w->frame.type == RELAY_REQUEST || w->frame.type == RELAY_CANCEL ||
                     w->frame.type == RELAY_LOCK || w->frame.type == RELAY_UNLOCK;
        if (!stays)
            backlog_drop(peer, w);
    }
    links->hooks.peer_lost(links->hooks.arg, index, generation);
}

void link_peer_up(struct links *links, uint32_t index, uint32_t generation) {
    if (index >= links->workers || index == links->self)
        return;
    struct peer *peer = &links->peers[index];
    if (generation < peer->generation || generation <= peer->lost)
        return;
    if (generation > peer->generation && peer->generation > peer->lost)
        peer_lose(links, index);
    peer->generation = generation;
    peer->up = true;
}

void link_peer_down(struct links *links, uint32_t index, uint32_t generation) {
    if (index >= links->workers || index == links->self)
        return;
    struct peer *peer = &links->peers[index];
    /* Noticed already, through its successor's first frame. */
    if (generation < peer->generation || generation <= peer->lost)
        return;
    peer->generation = generation;
    peer_lose(links, index);
}

bool link_is_up(const struct links *links, uint32_t peer) {
    return links->peers[peer].up;
}

uint64_t link_backlog_bytes(const struct links *links, uint32_t peer) {
    return links->peers[peer].backlog_bytes;
}

uint64_t links_backlog_bytes(const struct links *links) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < links->workers; i++)
        sum += links->peers[i].backlog_bytes;
    return sum;
}

const struct link_stats *links_stats(const struct links *links) {
    return &links->stats;
}
