/* status_page.h - what one process tells all others about itself.
 *
 * Lives in the shared segment; written by its own process only, read by anyone at any time.
 * Every field is a single atomic word, so there is no lock and no torn value; figures of one page
 * may be a moment apart. Texts are written once before the state that announces them. */
#ifndef REMUDA_IPC_STATUS_PAGE_H
#define REMUDA_IPC_STATUS_PAGE_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define METRIC_KINDS(X) X(COUNTER, "counter") X(GAUGE, "gauge")
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };
enum metric_scope { METRIC_WORKER = 1, METRIC_FRONT = 2, METRIC_SUPERVISOR = 4, METRIC_ANY = 7 };
#define METRIC(field, kind, scope, help) METRIC_##field,
enum metric {
#include "shared/ipc/metrics.def"
    METRIC_COUNT
};
#undef METRIC

struct metric_row {
    const char *name;
    enum metric_kind kind;
    enum metric_scope scope;
    const char *help;
};
/* The table of metrics.def, indexed by enum metric. */
extern const struct metric_row metric_rows[METRIC_COUNT];

/* States of a child: one enum, one table of names, used by log, JSON and metrics alike.
 * CHILD_STATE(state, text, help) */
#define CHILD_STATES(X)                                                                            \
    X(DOWN, "down", "not started yet")                                                             \
    X(STARTING, "starting", "forked, has not reported yet")                                        \
    X(LOADING, "loading", "reads its files")                                                       \
    X(UP, "up", "serves")                                                                          \
    X(STOPPING, "stopping", "finishes its writes after an order to stop")                          \
    X(WAITING, "waiting", "dead, restart delay runs")                                              \
    X(FAILED, "failed", "crashed too often, is not started again")                                 \
    X(STOPPED, "stopped", "ended on order")
enum child_state {
#define X(state, text, help) CHILD_##state,
    CHILD_STATES(X)
#undef X
        CHILD_STATE_COUNT
};
const char *child_state_name(enum child_state state);

/* Why a process that wants to fork has not been given its turn. */
#define FORK_WAITS(X)                                                                              \
    X(NOT, "no", "does not wait")                                                                  \
    X(TURN, "turn", "others write their files")                                                    \
    X(MEMORY, "memory", "too little is free for what may have to be copied")
enum fork_wait {
#define X(name, text, help) FORK_WAIT_##name,
    FORK_WAITS(X)
#undef X
        FORK_WAIT_COUNT
};
/* For a value read from a page, whatever it is. */
const char *fork_wait_name(uint32_t wait);

enum {
    DATABASES_MAX = 16,
    ADDRESS_CLASSES = 4096, /* connection counts per address are kept by hash class */
    STATUS_TEXT_BYTES = 400
};

struct status_database {
    _Atomic uint64_t keys, expires, avg_ttl_ms;
};

struct status_page {
    _Atomic uint32_t generation; /* of the process that writes now; 0 = none yet */
    _Atomic uint32_t pid;
    _Atomic uint32_t state;     /* enum child_state; DOWN, WAITING, FAILED: set by the supervisor,
                                   when no process owns the page */
    _Atomic uint64_t heartbeat; /* moves at every loop turn and while loading */
    _Atomic uint64_t metrics[METRIC_COUNT];
    /* What the counters were at CONFIG RESETSTAT: INFO counts from there, so that they themselves
     * need never go back. */
    _Atomic uint64_t counted_from[METRIC_COUNT];
    struct status_database databases[DATABASES_MAX];
    _Atomic uint16_t clients_by_address[ADDRESS_CLASSES];
    char note[STATUS_TEXT_BYTES]; /* one line: why a write path or snapshot is not well, or "" */
    /* Written by the supervisor only. */
    _Atomic uint32_t fork_wait;                          /* enum fork_wait */
    _Atomic uint64_t fork_needed_bytes, fork_free_bytes; /* while it waits for memory */
    _Atomic uint32_t restarts;
    _Atomic int64_t started_wall_ms, restart_at_wall_ms;
    char last_exit[STATUS_TEXT_BYTES]; /* why the previous generation ended, or "" */
} __attribute__((aligned(4096)));

static inline void status_set(struct status_page *page, enum metric metric, uint64_t value) {
    atomic_store_explicit(&page->metrics[metric], value, memory_order_relaxed);
}
static inline uint64_t status_get(const struct status_page *page, enum metric metric) {
    return atomic_load_explicit(&page->metrics[metric], memory_order_relaxed);
}
/* Only the owner of a page writes it, so no read-modify-write instruction is needed. */
static inline void status_add(struct status_page *page, enum metric metric, uint64_t value) {
    status_set(page, metric, status_get(page, metric) + value);
}
/* This process gets on: once a loop turn, and within a long one. */
static inline void status_beat(struct status_page *page) {
    atomic_store_explicit(&page->heartbeat,
                          atomic_load_explicit(&page->heartbeat, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}
/* A gauge, or what a counter has grown by since CONFIG RESETSTAT. */
static inline uint64_t status_get_counted(const struct status_page *page, enum metric metric) {
    return status_get(page, metric) -
           atomic_load_explicit(&page->counted_from[metric], memory_order_relaxed);
}
/* CONFIG RESETSTAT of this process: all its counters are counted from now. */
void status_count_from_now(struct status_page *page);
/* Texts: NUL-terminated, cut to size, control bytes replaced. Safe against a reader in between
 * (it may see a mix of two texts, never an unterminated one). */
void status_set_text(char text[STATUS_TEXT_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Zero everything of the dead generation but what the supervisor writes (state is left as it is).
 * Called by the supervisor while no process owns the page. */
void status_page_reset(struct status_page *page);

#endif
