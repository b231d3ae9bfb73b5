/* dataset.h - all data of a server as a text that two servers with equal data give equally: database,
 * key, type, value with the fields of hashes and the members of sets in order, and the time it expires at. */
#ifndef REMUDA_TESTS_DATASET_H
#define REMUDA_TESTS_DATASET_H
#include "tests/interop/peers.h"

enum dataset_expiry {
    EXPIRY_EXACT,  /* in milliseconds */
    EXPIRY_PRESENT /* only whether there is one */
};
/* All databases; of a worker's port, its shard's database 0. Freed by the caller. *keys_r (may be NULL): how many keys. */
char *dataset_describe(int port, enum dataset_expiry expiry, size_t *keys_r);
/* Fail the running test, showing the first line that differs, unless the data is equal. */
void dataset_assert_equal(const char *name_a, int port_a, const char *name_b, int port_b,
                          enum dataset_expiry expiry);
/* Fill databases 0, 1 and 9 with strings, integers, hashes, lists, sets and sorted sets small and large,
 * streams with groups, bytes of all kinds and expiry times, all of it drawn from the seed. */
void dataset_fill(int port, uint64_t seed, unsigned keys);

/* ---- numbers drawn from a seed ---- */
uint64_t random_next(uint64_t *state);
static inline unsigned random_below(uint64_t *state, unsigned limit) {
    return (unsigned)(random_next(state) >> 33) % limit;
}
/* $SEED if it is set, else one from the clock; printed, so that a failure can be had again. */
uint64_t random_seed(void);

#endif
