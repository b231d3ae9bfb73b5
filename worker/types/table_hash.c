/* table_hash.c - the keyed hash of all tables (XXH3 with a secret made from 128 bits), and random
 * numbers. Both are the process's, not a table's. */
#include "worker/types/table.h"
#include "shared/base/clock.h"
#include "shared/base/panic.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

static struct {
    bool set;
    uint64_t random;
    unsigned char secret[XXH3_SECRET_SIZE_MIN];
} seed;

void table_set_seed(const uint64_t key[2]) {
    if (seed.set)
        return;
    if (XXH3_generateSecret(seed.secret, sizeof seed.secret, key, 2 * sizeof key[0]) != XXH_OK)
        PANIC("no secret can be made from the hash seed");
    seed.set = true;
}

uint64_t table_hash(struct bytes key) {
    if (__builtin_expect(!seed.set, 0))
        table_set_seed((const uint64_t[2]){clock_mono_us(), (uint64_t)clock_wall_us()});
    return XXH3_64bits_withSecret(key.ptr, key.len, seed.secret, sizeof seed.secret);
}

uint64_t table_random_number(void) {
    if (seed.random == 0)
        seed.random = clock_mono_us() ^ ((uint64_t)clock_wall_us() << 20);
    uint64_t z = seed.random += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Numbers of the uneven rest are drawn again. */
uint64_t table_random_below(uint64_t limit) {
    uint64_t rest = -limit % limit;
    for (;;) {
        unsigned __int128 product = (unsigned __int128)table_random_number() * limit;
        if ((uint64_t)product >= rest)
            return (uint64_t)(product >> 64);
    }
}
