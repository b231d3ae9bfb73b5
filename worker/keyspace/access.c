/* access.c - when and how often a key was used, in 24 bits of its entry.
 *
 * LRU: seconds, wrapping after 194 days. LFU: minutes of the last decay (16 bits, wrapping after 45
 * days) and a logarithmic counter (8 bits), as Redis counts: it grows with probability
 * 1 / (excess * lfu-log-factor + 1), and loses one each lfu-decay-time minutes without use. */
#include "worker/keyspace/keyspace_private.h"

enum { LFU_INITIAL = 5, LFU_MAX = 255, LFU_MINUTES_MASK = 0xffff };

static uint32_t minutes_now(const struct keyspace *ks) {
    return (uint32_t)(ks->now_ms / 60000) & LFU_MINUTES_MASK;
}

static uint32_t lfu_bits(const struct keyspace *ks, uint32_t counter) {
    return minutes_now(ks) << 8 | counter;
}

void keyspace_set_now(struct keyspace *ks, int64_t now_ms) {
    ks->now_ms = now_ms;
    ks->access_clock = (uint32_t)(now_ms / 1000) & ENTRY_ACCESS_MASK;
}

void keyspace_configure(struct keyspace *ks, const struct config *config) {
    ks->lfu = config->maxmemory_policy == MAXMEMORY_VOLATILE_LFU ||
              config->maxmemory_policy == MAXMEMORY_ALLKEYS_LFU;
    ks->lfu_log_factor = (uint32_t)config->lfu_log_factor;
    ks->lfu_decay_minutes = (uint32_t)config->lfu_decay_time;
}

uint32_t access_initial(const struct keyspace *ks) {
    return ks->lfu ? lfu_bits(ks, LFU_INITIAL) : ks->access_clock;
}

uint32_t access_frequency(const struct keyspace *ks, const struct entry *e) {
    uint32_t bits = entry_access(e), counter = bits & 0xff;
    if (ks->lfu_decay_minutes == 0)
        return counter;
    uint32_t passed = (minutes_now(ks) - (bits >> 8)) & LFU_MINUTES_MASK;
    uint32_t periods = passed / ks->lfu_decay_minutes;
    return periods > counter ? 0 : counter - periods;
}

static uint32_t lfu_count_up(const struct keyspace *ks, uint32_t counter) {
    if (counter == LFU_MAX)
        return counter;
    uint64_t excess = counter > LFU_INITIAL ? counter - LFU_INITIAL : 0;
    uint64_t odds = excess * ks->lfu_log_factor + 1;
    return odds == 1 || table_random_number() % odds == 0 ? counter + 1 : counter;
}

void access_touch(struct keyspace *ks, struct entry *e) {
    if (ks->child_alive) /* each write here would copy a page */
        return;
    if (ks->lfu)
        entry_set_access(e, lfu_bits(ks, lfu_count_up(ks, access_frequency(ks, e))));
    else if (entry_access(e) != ks->access_clock)
        entry_set_access(e, ks->access_clock);
}

uint64_t access_idle_ms(const struct keyspace *ks, const struct entry *e) {
    return (uint64_t)((ks->access_clock - entry_access(e)) & ENTRY_ACCESS_MASK) * 1000;
}

uint64_t keyref_idle_ms(const struct keyref *ref) {
    return access_idle_ms(ref->ks, ref->entry);
}

uint32_t keyref_frequency(const struct keyref *ref) {
    return access_frequency(ref->ks, ref->entry);
}

void keyspace_set_access(struct keyref *ref, int64_t idle_ms, int32_t frequency) {
    const struct keyspace *ks = ref->ks;
    if (ks->lfu && frequency >= 0)
        entry_set_access(ref->entry,
                         lfu_bits(ks, frequency > LFU_MAX ? LFU_MAX : (uint32_t)frequency));
    if (!ks->lfu && idle_ms >= 0) {
        int64_t seconds = idle_ms / 1000;
        seconds = seconds < ENTRY_ACCESS_MASK ? seconds : ENTRY_ACCESS_MASK;
        entry_set_access(ref->entry, ks->access_clock - (uint32_t)seconds);
    }
}

void keyspace_touch(struct keyref *ref) {
    access_touch(ref->ks, ref->entry);
}
