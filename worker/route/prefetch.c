/* prefetch.c - keys of commands that come soon, of clients and of other shards, are asked of memory
 * some commands ahead: with more keys than caches hold, a lookup is mostly waiting. */
#include "worker/route/router_private.h"

void router_prefetch(struct router *r, const struct session *session, const struct bytes *keys,
                     uint32_t count) {
    struct bytes own[ROUTER_AHEAD];
    uint32_t n = 0;
    for (uint32_t i = 0; i < count && n < ROUTER_AHEAD; i++) {
        if (keys[i].len > 0 && r->slots->owner[slot_of_key(keys[i])] == r->self)
            own[n++] = keys[i];
    }
    keyspace_prefetch(r->ks, session->db, own, n);
}

/* The second argument of a request, if it is a key. */
static bool request_key(const struct relay_frame *frame, struct bytes body, struct bytes *key_r) {
    uint32_t len;
    if (frame->type != RELAY_REQUEST || frame->command >= command_count ||
        command_rows[frame->command].first_key != 1)
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        if (body.len < sizeof(len))
            return false;
        memcpy(&len, body.ptr, sizeof(len));
        if (len > body.len - sizeof(len))
            return false;
        *key_r = bytes_of(body.ptr + sizeof(len), len);
        body = bytes_of(key_r->ptr + len, body.len - sizeof(len) - len);
    }
    return true;
}

void prefetch_records(void *arg, struct ring_reader ahead) {
    struct router *r = arg;
    struct bytes keys[LINK_AHEAD];
    uint32_t n = 0, db = 0, bytes;
    const void *record;
    for (uint32_t i = 0; i < LINK_AHEAD && ring_next(&ahead, &record, &bytes) == RING_OK; i++) {
        struct relay_frame frame;
        if (bytes < sizeof(frame))
            break;
        memcpy(&frame, record, sizeof(frame));
        struct bytes body = bytes_of((const char *)record + sizeof(frame), bytes - sizeof(frame));
        if (!request_key(&frame, body, &keys[n]) || (n > 0 && frame.db != db))
            continue;
        db = frame.db;
        n++;
    }
    if (n > 1 && db < keyspace_databases(r->ks))
        keyspace_prefetch(r->ks, db, keys, n);
}
