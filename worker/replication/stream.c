/* stream.c - see the header. Cannot fail. */
#include "worker/replication/stream.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { BLOCK_BYTES = 64 * 1024 - 40 }; /* with its header, a size the allocator has */

struct stream_block {
    struct list link;
    uint64_t start; /* offset of data[0] */
    uint32_t len;
    uint32_t readers; /* cursors in this block */
    char data[BLOCK_BYTES];
};

static void random_id(char id_r[REPLICATION_ID_BYTES]) {
    unsigned char random[(REPLICATION_ID_BYTES - 1) / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        PANIC("getrandom: %s", strerror(errno));
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(id_r + 2 * i, 3, "%02x", random[i]);
}

static struct stream_block *block_of(struct list *link) {
    return LIST_ENTRY(link, struct stream_block, link);
}

static uint64_t block_end(const struct stream_block *block) {
    return block->start + block->len;
}

static struct stream_block *add_block(struct stream *s) {
    struct stream_block *block = mem_alloc(sizeof *block);
    block->start = s->end;
    block->len = block->readers = 0;
    list_push_back(&s->blocks, &block->link);
    return block;
}

static void drop_block(struct stream_block *block) {
    ASSERT(block->readers == 0);
    list_remove(&block->link);
    mem_free(block);
}

void stream_init(struct stream *s) {
    *s = (struct stream){0};
    random_id(s->id);
    list_init(&s->blocks);
}

void stream_forget(struct stream *s) {
    LIST_EACH(node, &s->blocks)
    drop_block(block_of(node));
    s->kept = false;
}

void stream_free(struct stream *s) {
    stream_forget(s);
}

void stream_become(struct stream *s, const char *id, uint64_t offset) {
    stream_forget(s);
    snprintf(s->id, sizeof s->id, "%s", id);
    s->previous_id[0] = '\0';
    s->end = offset;
}

void stream_branch_off(struct stream *s) {
    memcpy(s->previous_id, s->id, sizeof s->previous_id);
    s->previous_end = s->end;
    random_id(s->id);
}

void stream_keep(struct stream *s) {
    if (s->kept)
        return;
    s->kept = true;
    add_block(s);
}

void stream_append(struct stream *s, struct bytes data) {
    if (!s->kept)
        return;
    while (data.len > 0) {
        struct stream_block *block = block_of(s->blocks.prev);
        if (block->len == BLOCK_BYTES)
            block = add_block(s);
        size_t room = BLOCK_BYTES - block->len, part = data.len < room ? data.len : room;
        memcpy(block->data + block->len, data.ptr, part);
        block->len += (uint32_t)part;
        s->end += part;
        data = bytes_of(data.ptr + part, data.len - part);
    }
}

void stream_trim(struct stream *s, uint64_t keep_bytes) {
    while (s->kept && s->blocks.next != s->blocks.prev) {
        struct stream_block *first = block_of(s->blocks.next);
        if (first->readers > 0 || s->end - block_end(first) < keep_bytes)
            return;
        drop_block(first);
    }
}

uint64_t stream_begin(const struct stream *s) {
    return s->kept ? block_of(s->blocks.next)->start : s->end;
}

bool stream_continues(const struct stream *s, struct bytes id, uint64_t offset) {
    if (!s->kept || offset < stream_begin(s) || offset > s->end)
        return false;
    if (bytes_equal_nocase(id, s->id))
        return true;
    return s->previous_id[0] != '\0' && bytes_equal_nocase(id, s->previous_id) &&
           offset <= s->previous_end;
}

void stream_cursor_open(struct stream_cursor *c, struct stream *s, uint64_t offset) {
    ASSERT(c->stream == NULL && s->kept && offset >= stream_begin(s) && offset <= s->end);
    struct list *node = s->blocks.prev;
    while (block_of(node)->start > offset)
        node = node->prev;
    *c = (struct stream_cursor){.stream = s, .block = block_of(node), .offset = offset};
    c->block->readers++;
}

void stream_cursor_close(struct stream_cursor *c) {
    if (c->stream == NULL)
        return;
    c->block->readers--;
    *c = (struct stream_cursor){0};
}

struct bytes stream_cursor_peek(struct stream_cursor *c) {
    struct list *next = c->block->link.next;
    if (c->offset == block_end(c->block) && next != &c->stream->blocks) {
        c->block->readers--;
        c->block = block_of(next);
        c->block->readers++;
    }
    size_t at = (size_t)(c->offset - c->block->start);
    return bytes_of(c->block->data + at, c->block->len - at);
}

void stream_cursor_advance(struct stream_cursor *c, uint64_t bytes) {
    c->offset += bytes;
    ASSERT(c->offset <= block_end(c->block));
}
