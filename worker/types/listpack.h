/* listpack.h - elements in the form of Redis 7's listpack, which files hold the nodes of streams in:
 *
 *   total:4 LE  count:2 LE  { encoding, data, own size:1..5 } ...  FF
 *
 * The size of an element stands behind it, to be read from its end. Reading: worker/persist. */
#ifndef REMUDA_TYPES_LISTPACK_H
#define REMUDA_TYPES_LISTPACK_H
#include "shared/base/buf.h"

enum { LISTPACK_FRAME_BYTES = 7, LISTPACK_ELEMENT_MAX = 11 /* without characters */ };

/* Bytes an element takes; texts that are canonical 64-bit integers are integers. */
size_t listpack_bytes(struct bytes text);
size_t listpack_integer_bytes(int64_t number);

/* Begin a listpack at the end of out; returns where, for listpack_end(). */
size_t listpack_begin(struct buf *out);
void listpack_put(struct buf *out, struct bytes text);
void listpack_put_integer(struct buf *out, int64_t number);
/* `elements` have been put since. */
void listpack_end(struct buf *out, size_t begin, uint64_t elements);

#endif
