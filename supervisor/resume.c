/* resume.c - where the links of a pool that follows stood when it was stopped in order, so that the next start
 * goes on from there instead of with a snapshot.
 *
 *   stop:   SETTLE to all workers -> each takes no more of its streams, and answers when all it took has been run
 *           STOP -> each ends its files with a seal; once they are on the disk it reports seal and links
 *           all ended in order, each with a report -> publish resume.json
 *   start:  read resume.json and remove it, for good, before any worker lives
 *           each worker says at READY which seal its files end with
 *           all of them as in the file -> RESUME with its links to each; else, or after any death -> without
 *
 * Why nothing stale is ever gone on from: a seal is the id and the offset of the shard's own stream, as the
 * last word of its log or as a field of its snapshot. An id is drawn anew in each life in which commands of
 * such links run, and each change moves the offset; a log with anything behind the seal has none. So files
 * that end with the seal of this stop hold what the shard held at this stop, and no others do: not those of a
 * save that failed or was not asked for, of a backup, of another number of shards. Between a link's place and
 * the seals nothing of any stream is run, as all workers have settled before the first is told to stop. What
 * is said here is good for one start, in which every worker lives its first life: after a death memory and
 * files of a shard differ, and then nobody goes on. */
#include "supervisor/resume.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/publish.h"
#include "supervisor/json_file.h"
#include "supervisor/supervisor_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RESUME_FORMAT = 1, RESUME_BYTES_MAX = 4 * 1024 * 1024 };

/* ---- the file ---- */
void resume_clear(struct resume *r) {
    for (uint32_t i = 0; i < SHARD_MAX; i++) {
        mem_free(r->shard[i].seal);
        mem_free(r->shard[i].links);
        r->shard[i] = (struct resume_shard){0};
    }
    r->shards = 0;
}

static int take_shard(struct resume *r, json_t *entry) {
    const char *seal = json_string_value(json_object_get(entry, "seal"));
    const char *links = json_string_value(json_object_get(entry, "links"));
    if (!seal || seal[0] == '\0' || !links || strlen(links) > CONTROL_BODY_MAX)
        return -1;
    r->shard[r->shards++] =
        (struct resume_shard){.seal = mem_strdup(seal), .links = mem_strdup(links)};
    return 0;
}

static int take_root(struct resume *r, json_t *root) {
    json_t *shards = json_object_get(root, "shards"), *entry;
    size_t i;
    if (json_integer_value(json_object_get(root, "format")) != RESUME_FORMAT ||
        json_array_size(shards) < 1 || json_array_size(shards) > SHARD_MAX)
        return -1;
    json_array_foreach(shards, i, entry) {
        if (take_shard(r, entry) != 0)
            return -1;
    }
    return 0;
}

static int parse(struct resume *r, struct bytes text, char *error_r, size_t error_bytes) {
    json_t *root = json_file_parse(text, error_r, error_bytes);
    if (!root)
        return -1;
    int result = take_root(r, root);
    json_decref(root);
    if (result == 0)
        return 0;
    snprintf(error_r, error_bytes, "it is not what this program writes");
    resume_clear(r);
    return -1;
}

int resume_take(struct resume *r, const char *dir, char *error_r, size_t error_bytes) {
    char path[1024], why[256];
    size_t length;
    char *text = mem_alloc(RESUME_BYTES_MAX);
    snprintf(path, sizeof(path), "%s/" RESUME_FILE_NAME, dir);
    int found =
        json_file_read(dir, RESUME_FILE_NAME, text, RESUME_BYTES_MAX, &length, why, sizeof(why));
    if (found == 0)
        found = parse(r, bytes_of(text, length), why, sizeof(why));
    mem_free(text);
    if (found == 1)
        return 0;
    if (found < 0)
        log_warning("%s is not usable, links begin with a snapshot: %s", path, why);
    if (unlink(path) != 0) {
        snprintf(error_r, error_bytes, "cannot remove %s: %s", path, strerror(errno));
        return -1;
    }
    return publish_sync_dir(dir, error_r, error_bytes);
}

static char *text_of(const struct resume *r) {
    json_t *shards = json_array();
    for (uint32_t i = 0; i < r->shards; i++)
        json_array_append_new(
            shards, json_pack("{s:s, s:s}", "seal", r->shard[i].seal, "links", r->shard[i].links));
    json_t *root = json_pack("{s:i, s:o}", "format", RESUME_FORMAT, "shards", shards);
    char *text = json_file_text(root);
    json_decref(root);
    return text;
}

int resume_publish(const struct resume *r, const char *dir, char *error_r, size_t error_bytes) {
    char *text = text_of(r);
    int result = publish(dir, RESUME_FILE_NAME, bytes_of_text(text), error_r, error_bytes);
    free(text);
    return result;
}

/* ---- the start ---- */
/* Whoever is up already learns it now, the others when they come up. */
static void judge(struct supervisor *s, bool good) {
    struct resume *r = &s->resume;
    r->pending = false;
    for (uint32_t i = 0; i < s->workers; i++) {
        if (s->children[i].state == CHILD_UP)
            child_order(&s->children[i], CONTROL_ORDER_RESUME, 0, 0,
                        bytes_of_text(good ? r->shard[i].links : ""));
    }
    resume_clear(r);
}

void resume_begin(struct supervisor *s) {
    s->resume.pending = s->resume.shards == s->workers;
    if (!s->resume.pending)
        resume_clear(&s->resume);
}

void resume_ready(struct child *child, struct bytes seal) {
    struct supervisor *s = child->supervisor;
    struct resume *r = &s->resume;
    if (child_is_front(child))
        return;
    if (!r->pending) {
        child_order(child, CONTROL_ORDER_RESUME, 0, 0, BYTES_LITERAL(""));
        return;
    }
    if (!bytes_equal(seal, bytes_of_text(r->shard[child->index].seal))) {
        log_notice("%s is not as it was at the last orderly stop: links begin with a snapshot",
                   child_name(child));
        judge(s, false);
    } else if (++r->ready == s->workers) {
        judge(s, true);
    }
}

void resume_child_gone(struct child *child) {
    if (child->supervisor->resume.pending && !child_is_front(child))
        judge(child->supervisor, false);
}

/* ---- the stop ---- */
bool resume_settle(struct supervisor *s) {
    struct resume *r = &s->resume;
    if (s->config->replicaof[0] == '\0')
        return false;
    if (r->pending)
        judge(s, false);
    resume_clear(r);
    r->unsettled = 0;
    for (uint32_t i = 0; i < s->workers; i++) {
        if (s->children[i].state != CHILD_UP)
            return false;
        r->shard[i].settles = true;
        r->unsettled++;
    }
    for (uint32_t i = 0; i < s->workers; i++)
        child_order(&s->children[i], CONTROL_ORDER_SETTLE, 0, 1, BYTES_LITERAL(""));
    return true;
}

bool resume_settled(struct child *child) {
    struct resume *r = &child->supervisor->resume;
    if (child_is_front(child) || !r->shard[child->index].settles)
        return false;
    r->shard[child->index].settles = false;
    return --r->unsettled == 0;
}

void resume_sealed(struct child *child, struct bytes body) {
    struct supervisor *s = child->supervisor;
    const char *end = body.len > 0 ? memchr(body.ptr, '\n', body.len) : NULL;
    if (child_is_front(child) || !end || s->resume.shard[child->index].seal)
        return;
    struct resume_shard *shard = &s->resume.shard[child->index];
    size_t seal = (size_t)(end - body.ptr);
    shard->seal = mem_calloc(1, seal + 1);
    shard->links = mem_calloc(1, body.len - seal);
    memcpy(shard->seal, body.ptr, seal);
    memcpy(shard->links, end + 1, body.len - seal - 1);
}

void resume_release(struct supervisor *s) {
    resume_clear(&s->resume);
    children_order(s, CONTROL_ORDER_SETTLE, 0, 0, BYTES_LITERAL(""));
}

void resume_end(struct supervisor *s) {
    char error[SUPERVISOR_TEXT_BYTES];
    struct resume *r = &s->resume;
    for (uint32_t i = 0; i < s->workers; i++) {
        if (!r->shard[i].seal)
            return;
    }
    r->shards = s->workers;
    if (resume_publish(r, s->config->dir, error, sizeof(error)) != 0)
        log_warning("Links will begin with a snapshot: %s", error);
}
