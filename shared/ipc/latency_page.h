/* latency_page.h - what a worker has seen of latency: the last slow events of each kind (LATENCY HISTORY),
 * and how long each command took (LATENCY HISTOGRAM). In the shared segment, so that any worker can tell
 * the pool's, and it outlives the process that wrote it.
 *
 * Its worker writes; others read, without a lock: each word is whole, two of them may be of different
 * moments. */
#ifndef REMUDA_IPC_LATENCY_PAGE_H
#define REMUDA_IPC_LATENCY_PAGE_H
#include <stdatomic.h>
#include <stdint.h>

/* Names are Redis's, as far as there is such an event here. */
#define LATENCY_EVENTS(X)                                                                          \
    X(COMMAND, "command")                                                                          \
    X(FAST_COMMAND, "fast-command")                                                                \
    X(FORK, "fork")                                                                                \
    X(AOF_WRITE, "aof-write")                                                                      \
    X(EXPIRE_CYCLE, "expire-cycle")                                                                \
    X(EVICTION_CYCLE, "eviction-cycle")
enum latency_event {
#define X(event, name) LATENCY_##event,
    LATENCY_EVENTS(X)
#undef X
        LATENCY_EVENT_COUNT
};
extern const char *const latency_event_names[LATENCY_EVENT_COUNT];

enum {
    LATENCY_SAMPLES = 160, /* kept of each event, at most one a second */
    LATENCY_COMMANDS_MAX = 512,
    LATENCY_BUCKETS = 21 /* bucket i: up to 2^i microseconds; the last one: and longer */
};

struct latency_sample {
    uint32_t time_s, ms;
};
struct latency_series {
    _Atomic uint64_t samples[LATENCY_SAMPLES]; /* time_s << 32 | ms; 0: none */
    _Atomic uint32_t next, max_ms;
};
struct latency_page {
    struct latency_series events[LATENCY_EVENT_COUNT];
    _Atomic uint64_t histogram[LATENCY_COMMANDS_MAX][LATENCY_BUCKETS];
};

void latency_add(struct latency_page *page, enum latency_event event, uint32_t time_s, uint32_t ms);
/* Oldest first; returns how many. */
uint32_t latency_read(const struct latency_page *page, enum latency_event event,
                      struct latency_sample samples_r[LATENCY_SAMPLES]);
void latency_reset(struct latency_page *page, enum latency_event event);

static inline void latency_count(struct latency_page *page, uint32_t command, uint64_t us) {
    uint32_t bucket = us <= 1 ? 0 : 64 - (uint32_t)__builtin_clzll(us - 1);
    if (bucket >= LATENCY_BUCKETS)
        bucket = LATENCY_BUCKETS - 1;
    _Atomic uint64_t *count = &page->histogram[command][bucket];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

#endif
