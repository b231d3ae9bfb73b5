/* backlog.c - see the header. Cannot fail. */
#include "worker/replication/backlog.h"

#include "shared/base/crc.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "shared/base/random_id.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024 - 40 }; /* with its header, a size the allocator has */

struct backlog_block {
    struct list link;
    uint64_t start; /* offset of data[0] */
    uint32_t len;
    uint32_t readers; /* cursors in this block */
    char data[BLOCK_BYTES];
};

static struct backlog_block *block_of(struct list *link) {
    return LIST_ENTRY(link, struct backlog_block, link);
}

static uint64_t block_end(const struct backlog_block *block) {
    return block->start + block->len;
}

static struct backlog_block *add_block(struct backlog *s) {
    struct backlog_block *block = mem_alloc(sizeof *block);
    block->start = s->end;
    block->len = block->readers = 0;
    list_push_back(&s->blocks, &block->link);
    return block;
}

static void drop_block(struct backlog_block *block) {
    ASSERT(block->readers == 0);
    list_remove(&block->link);
    mem_free(block);
}

void backlog_init(struct backlog *s) {
    *s = (struct backlog){.db = BACKLOG_NO_DB};
    random_id(s->id);
    list_init(&s->blocks);
}

void backlog_forget(struct backlog *s) {
    LIST_EACH(node, &s->blocks)
    drop_block(block_of(node));
    s->kept = false;
    s->previous_id[0] = '\0';
    s->db = BACKLOG_NO_DB;
    random_id(s->id);
}

void backlog_free(struct backlog *s) {
    backlog_forget(s);
}

void backlog_become(struct backlog *s, const char *id, uint64_t offset) {
    backlog_forget(s);
    snprintf(s->id, sizeof s->id, "%s", id);
    s->end = offset;
}

void backlog_rename(struct backlog *s, const char *id) {
    memcpy(s->previous_id, s->id, sizeof s->previous_id);
    s->previous_end = s->end;
    snprintf(s->id, sizeof s->id, "%s", id);
}

void backlog_branch_off(struct backlog *s) {
    char id[REPLICATION_ID_BYTES];
    random_id(id);
    backlog_rename(s, id);
}

void backlog_keep(struct backlog *s) {
    if (s->kept)
        return;
    s->kept = true;
    add_block(s);
}

void backlog_append(struct backlog *s, struct bytes data) {
    if (!s->kept)
        return;
    while (data.len > 0) {
        struct backlog_block *block = block_of(s->blocks.prev);
        if (block->len == BLOCK_BYTES)
            block = add_block(s);
        size_t room = BLOCK_BYTES - block->len, part = data.len < room ? data.len : room;
        memcpy(block->data + block->len, data.ptr, part);
        block->len += (uint32_t)part;
        s->end += part;
        data = bytes_of(data.ptr + part, data.len - part);
    }
}

void backlog_take(struct backlog *to, struct backlog *from) {
    backlog_forget(to);
    *to = *from;
    list_init(&to->blocks);
    LIST_EACH(node, &from->blocks) {
        list_remove(node);
        list_push_back(&to->blocks, node);
    }
    backlog_init(from);
}

/* The block that holds the byte, or ends before it if it is still to come. */
static struct list *find_block(const struct backlog *s, uint64_t offset) {
    struct list *node = s->blocks.prev;
    while (block_of(node)->start > offset)
        node = node->prev;
    return node;
}

uint64_t backlog_crc(const struct backlog *s, uint64_t since) {
    uint64_t crc = 0;
    ASSERT(since >= backlog_begin(s) && since <= s->end);
    if (since == s->end)
        return crc;
    for (struct list *node = find_block(s, since); node != &s->blocks; node = node->next) {
        const struct backlog_block *block = block_of(node);
        size_t skipped = since > block->start ? (size_t)(since - block->start) : 0;
        crc = crc64(crc, block->data + skipped, block->len - skipped);
    }
    return crc;
}

void backlog_trim(struct backlog *s, uint64_t keep_bytes) {
    while (s->kept && s->blocks.next != s->blocks.prev) {
        struct backlog_block *first = block_of(s->blocks.next);
        if (first->readers > 0 || s->end - block_end(first) < keep_bytes)
            return;
        drop_block(first);
    }
}

uint64_t backlog_begin(const struct backlog *s) {
    return s->kept ? block_of(s->blocks.next)->start : s->end;
}

bool backlog_continues(const struct backlog *s, struct bytes id, uint64_t offset) {
    if (!s->kept || offset < backlog_begin(s) || offset > s->end)
        return false;
    if (bytes_equal_nocase(id, s->id))
        return true;
    return s->previous_id[0] != '\0' && bytes_equal_nocase(id, s->previous_id) &&
           offset <= s->previous_end;
}

void backlog_cursor_open(struct backlog_cursor *c, struct backlog *s, uint64_t offset) {
    ASSERT(c->backlog == NULL && s->kept && offset >= backlog_begin(s) && offset <= s->end);
    struct list *node = find_block(s, offset);
    *c = (struct backlog_cursor){.backlog = s, .block = block_of(node), .offset = offset};
    c->block->readers++;
}

void backlog_cursor_close(struct backlog_cursor *c) {
    if (c->backlog == NULL)
        return;
    c->block->readers--;
    *c = (struct backlog_cursor){0};
}

struct bytes backlog_cursor_peek(struct backlog_cursor *c) {
    struct list *next = c->block->link.next;
    if (c->offset == block_end(c->block) && next != &c->backlog->blocks) {
        c->block->readers--;
        c->block = block_of(next);
        c->block->readers++;
    }
    size_t at = (size_t)(c->offset - c->block->start);
    return bytes_of(c->block->data + at, c->block->len - at);
}

void backlog_cursor_advance(struct backlog_cursor *c, uint64_t bytes) {
    c->offset += bytes;
    ASSERT(c->offset <= block_end(c->block));
}
