/* follow_resume.c - links that deal over all shards, over an orderly stop of the whole pool and its next start.
 * Why nothing stale is gone on from is argued in supervisor/resume.c; this worker's part is that a link's
 * place is told only if all that came before it has been run, and nothing since.
 *
 * What is told, and taken back, is a text:
 *
 *   <servers> <host port>\n              so many links of all workers, to this primary
 *   <server> <id> <offset> <db>\n        for each link here */
#include "worker/follow_private.h"

#include "shared/base/buf.h"
#include "shared/base/log.h"

#include <inttypes.h>
#include <stdio.h>

enum { RESUME_LINE_BYTES = FOLLOW_TARGET_BYTES + 20 };

/* ---- the stop ---- */
static void settled(struct follow *f, bool known) {
    f->settling = false;
    f->settled = known;
    control_report(f->w, CONTROL_REPORT_SETTLED, 0, 0, (struct bytes){0});
}

void follow_settle(struct follow *f, bool on) {
    f->settling = on;
    f->settled = false;
    for (uint32_t i = 0; i < f->count && f->mode == FOLLOW_POOL; i++)
        upstream_hold(f->links[i]->upstream, on);
    if (on && (f->loading || f->mode != FOLLOW_POOL))
        settled(f, false);
}

void follow_look_settled(struct follow *f) {
    bool still = true;
    for (uint32_t i = 0; i < f->count && f->settling; i++)
        still = follow_pool_is_still(f->links[i]) && still;
    if (f->settling && still)
        settled(f, f->mode == FOLLOW_POOL);
}

bool follow_is_settled(const struct follow *f) {
    return f->settled && !f->w->env.syncing;
}

static bool put_link(const struct follow_link *link, struct buf *text) {
    struct rdb_origin place;
    if (link->half || link->pipeline.in_flight > 0 || !upstream_place(link->upstream, &place))
        return false;
    buf_printf(text, "%u %s %" PRIu64 " %u\n", link->server, place.id, place.offset,
               link->session.db);
    return true;
}

void follow_seal(struct follow *f, const struct rdb_origin *own) {
    struct buf text = {0};
    bool known = follow_is_settled(f);
    buf_printf(&text, FOLLOW_SEAL_FORMAT "\n%u %s\n", own->id, own->offset, follow_servers(f),
               f->target);
    for (uint32_t i = 0; i < f->count; i++)
        known = known && put_link(f->links[i], &text);
    if (known)
        control_report(f->w, CONTROL_REPORT_SEALED, 0, 0, buf_bytes(&text));
    buf_free(&text);
}

/* ---- the start ---- */
void follow_resume(struct follow *f, struct bytes text) {
    f->judged = true;
    buf_clear(&f->resume);
    if (!f->reconfigured)
        buf_append_bytes(&f->resume, text);
}

void follow_forget_resume(struct follow *f) {
    buf_free(&f->resume);
}

/* The next line, as text; false at the end, or if it is longer than any of ours. */
static bool next_line(struct bytes *rest, char line_r[RESUME_LINE_BYTES]) {
    const char *end = rest->len > 0 ? memchr(rest->ptr, '\n', rest->len) : NULL;
    if (end == NULL || end - rest->ptr >= RESUME_LINE_BYTES)
        return false;
    size_t len = (size_t)(end - rest->ptr);
    snprintf(line_r, RESUME_LINE_BYTES, "%.*s", (int)len, rest->ptr);
    *rest = bytes_of(end + 1, rest->len - len - 1);
    return true;
}

bool follow_resumes(const struct follow *f, uint32_t server, struct rdb_origin *place_r) {
    char line[RESUME_LINE_BYTES], head[RESUME_LINE_BYTES];
    struct bytes rest = buf_bytes(&f->resume);
    uint32_t which;
    snprintf(head, sizeof head, "%u %s", follow_servers(f), f->target);
    if (follow_is_marked(f) || !next_line(&rest, line) || strcmp(line, head) != 0)
        return false;
    while (next_line(&rest, line))
        if (sscanf(line, "%u %40[0-9a-f] %" SCNu64 " %u", &which, place_r->id, &place_r->offset,
                   &place_r->db) == 4 &&
            which == server)
            return place_r->db < keyspace_databases(f->w->ks);
    return false;
}
