/* set_member.h - a member of a big set, in one allocation with next to nothing besides its characters.
 *
 *   1 to 128 characters   | pad 0..15 | characters |      a multiple of 16 bytes; the entry points behind
 *                                                         the pad, so that the low bits of its address say
 *                                                         how long the pad is
 *   0, or more than 128   | length: 8 bytes | characters |       more than 128 bytes; the entry is its address
 *
 * Blocks are aligned to 16 bytes, and the allocator knows a block's size: together they tell the length.
 * So a member of 16 characters takes 16 bytes. */
#ifndef REMUDA_TYPES_SET_MEMBER_H
#define REMUDA_TYPES_SET_MEMBER_H
#include "shared/base/bytes.h"

void *set_member_create(struct bytes text);
struct bytes set_member_text(const void *member);
void set_member_free(void *member);
size_t set_member_bytes(const void *member);

#endif
