/* keyspace_fixture.h - what the keyspace's tests share: a keyspace whose hooks count, and short
 * ways to set and get. */
#ifndef REMUDA_TEST_KEYSPACE_FIXTURE_H
#define REMUDA_TEST_KEYSPACE_FIXTURE_H
#include "worker/keyspace/keyspace.h"

enum { FIXTURE_DATABASES = 4, FIXTURE_NOW_MS = 1000000000 };

struct fixture {
    struct keyspace *ks;
    uint64_t expired, evicted, changed, changed_all;
    char last_key[64]; /* of the last hook but changed */
    uint32_t last_db;
};

void fixture_begin(struct fixture *f);
void fixture_end(struct fixture *f);
/* From SEED, or the clock; printed. */
unsigned fixture_random_seed(void);
bool fixture_find(struct fixture *f, uint32_t db, const char *key, struct keyref *ref_r);
void fixture_set(struct fixture *f, uint32_t db, const char *key, const char *text);
void fixture_set_expiring(struct fixture *f, uint32_t db, const char *key, int64_t at_ms);
/* Fails the test unless the key is a string of these bytes (NULL: unless it is absent). */
void fixture_expect(struct fixture *f, uint32_t db, const char *key, const char *text);
void fixture_expect_bytes(const struct keyref *ref, struct bytes text);

#endif
