/* refill.c - see the header. Cannot fail: what does not fit is given up. */
#include "worker/replication/refill.h"

#include "shared/base/mem.h"
#include "worker/replication/propagate.h"

#include <stdio.h>

/* Of a byte of the stream the log has no more than so many in all but the smallest turns, with marks and notes. */
enum { LOG_BYTES_PER_BYTE = 8 };

struct refill {
    struct backlog backlog; /* kept: what was read since the last mark may be of use */
    uint64_t keep_bytes;
    uint64_t marked; /* up to here it is vouched for */
    uint64_t apart;  /* bytes to come that are the log's only */
    uint32_t db, databases;
    bool known; /* nothing has come behind the mark */
};

struct refill *refill_create(uint64_t keep_bytes, uint32_t databases) {
    struct refill *r = mem_calloc(1, sizeof *r);
    r->keep_bytes = keep_bytes;
    r->databases = databases;
    backlog_init(&r->backlog);
    return r;
}

void refill_free(struct refill **refill) {
    struct refill *r = *refill;
    if (r == NULL)
        return;
    *refill = NULL;
    backlog_free(&r->backlog);
    mem_free(r);
}

static void stand_at(struct refill *r, const struct rdb_origin *origin) {
    snprintf(r->backlog.id, sizeof r->backlog.id, "%s", origin->id);
    r->marked = r->backlog.end;
    r->db = origin->db;
    r->apart = 0;
    r->known = true;
}

void refill_begin(struct refill *r, const struct rdb_origin *origin) {
    backlog_become(&r->backlog, origin->id, origin->offset);
    backlog_keep(&r->backlog);
    stand_at(r, origin);
}

static void give_up(struct refill *r) {
    backlog_forget(&r->backlog);
    r->known = false;
}

/* The name may be another since the last mark: the bytes are of both histories then. */
static void take_mark(struct refill *r, const struct propagate_mark *mark) {
    const struct backlog *s = &r->backlog;
    if (mark->origin.id[0] == '\0') {
        give_up(r);
        return;
    }
    if (s->kept && mark->has_crc && r->apart == 0 && s->end == mark->origin.offset &&
        backlog_crc(s, r->marked) == mark->crc)
        stand_at(r, &mark->origin);
    else
        refill_begin(r, &mark->origin);
    backlog_trim(&r->backlog, r->keep_bytes);
}

void refill_command(struct refill *r, uint32_t argc, const struct bytes *argv, struct bytes raw,
                    uint64_t left) {
    struct propagate_mark mark;
    struct bytes sent;
    if (left / LOG_BYTES_PER_BYTE > r->keep_bytes) {
        give_up(r);
        return;
    }
    if (propagate_mark_parse(argc, argv, &mark)) {
        take_mark(r, &mark);
        return;
    }
    r->known = false;
    if (!r->backlog.kept)
        return;
    if (r->apart >= raw.len)
        r->apart -= raw.len;
    else if (r->apart > 0)
        give_up(r);
    else if (propagate_sent_parse(argc, argv, &sent))
        backlog_append(&r->backlog, sent);
    else if (!propagate_apart_parse(argc, argv, &r->apart))
        backlog_append(&r->backlog, raw);
    if (r->backlog.end - r->marked > r->keep_bytes)
        give_up(r);
}

bool refill_end(struct refill *r, struct backlog *backlog) {
    if (!r->known || r->db >= r->databases) /* there are fewer now, or it is damaged */
        return false;
    backlog_take(backlog, &r->backlog);
    backlog->db = r->db;
    return true;
}
