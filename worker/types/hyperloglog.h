/* hyperloglog.h - a HyperLogLog kept in a string, in Redis's format byte for byte.
 *
 *   | "HYLL" | encoding | 3 zero bytes | cached cardinality, 8 bytes | registers |
 *
 * The top bit of the cached cardinality says that it is out of date. There are 16384 registers of 6 bits.
 * DENSE: one after the other, from the low bit of each byte up. SPARSE: runs, in the order of the registers:
 *
 *   ZERO  00nnnnnn            n + 1 registers are 0
 *   XZERO 01nnnnnn nnnnnnnn   n + 1 registers are 0
 *   VAL   1vvvvvnn            n + 1 registers are v + 1
 *
 * A string that only looks like one is hostile input: what does not add up is HLL_CORRUPT or false. */
#ifndef REMUDA_TYPES_HYPERLOGLOG_H
#define REMUDA_TYPES_HYPERLOGLOG_H
#include "shared/base/buf.h"
#include <stdbool.h>

enum {
    HLL_REGISTERS = 16384,
    HLL_REGISTER_MAX = 63,
    HLL_HEADER_BYTES = 16,
    HLL_DENSE_BYTES = HLL_HEADER_BYTES + HLL_REGISTERS * 6 / 8
};
enum hll_outcome { HLL_SAME, HLL_CHANGED, HLL_CORRUPT };

/* Is it one, as far as its header and length tell? */
bool hll_is_valid(struct bytes hll);
bool hll_is_sparse(struct bytes hll);
/* An empty, sparse one in place of what the buffer holds. */
void hll_create(struct buf *hll);

/* Which register an element meets, and what it wants there. */
uint32_t hll_observe(struct bytes element, uint8_t *count_r);
/* Make a register at least `count`. A sparse one that would grow over sparse_max bytes, or cannot hold
 * the count, becomes dense. A dense one is changed where it is and never grows. The cache is left
 * alone. */
enum hll_outcome hll_raise(struct buf *hll, uint32_t index, uint8_t count, uint64_t sparse_max);
enum hll_outcome hll_add(struct buf *hll, struct bytes element, uint64_t sparse_max);
/* CHANGED: it was sparse. */
enum hll_outcome hll_make_dense(struct buf *hll);

/* Raise each register of `registers` to what this one has. false: corrupt. */
bool hll_merge(uint8_t registers[HLL_REGISTERS], struct bytes hll);
/* The estimator of Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches"
 * (arXiv 1702.01284), as Redis uses it. */
uint64_t hll_estimate(const uint8_t registers[HLL_REGISTERS]);

bool hll_cached(struct bytes hll, uint64_t *count_r);
void hll_set_cached(char *hll, uint64_t count);
void hll_forget_cached(char *hll);

/* The runs of a sparse one in words: "Z:16383 v:1,1". false: corrupt. */
bool hll_describe(struct bytes hll, struct buf *out);

#endif
