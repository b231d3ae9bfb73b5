/* segment.h - the shared memory of a pool: a sealed memfd, made by the supervisor, mapped by all.
 *
 *   header | slot map | status pages: workers 0..N-1, front, supervisor | latency pages: workers |
 *   replication pages: workers | doorbells | rings N x (N-1)
 *
 * Offsets, never pointers. Who writes what: the header and slot map the supervisor before any child
 * starts, but `failover` one worker; a status page its process; ring i->j its writer i (tail, data) and its
 * reader j (head). */
#ifndef REMUDA_IPC_SEGMENT_H
#define REMUDA_IPC_SEGMENT_H
#include "shared/ipc/doorbell.h"
#include "shared/ipc/failover_note.h"
#include "shared/ipc/latency_page.h"
#include "shared/ipc/replication_page.h"
#include "shared/ipc/ring.h"
#include "shared/ipc/slot_map.h"
#include "shared/ipc/status_page.h"
#include <stddef.h>

/* Process indexes: workers 0..workers-1, then these. */
static inline uint32_t segment_front_index(uint32_t workers) {
    return workers;
}
static inline uint32_t segment_supervisor_index(uint32_t workers) {
    return workers + 1;
}

struct segment_header {
    uint64_t magic;
    uint32_t version; /* changes with any layout; both executables must agree */
    uint32_t workers;
    uint32_t ring_bytes;
    uint32_t metric_count;
    uint64_t total_bytes;
    char pool_id[41];
    char run_id[41]; /* 40 hex digits, new at every start of the pool */
    int64_t started_wall_ms;
    uint64_t hash_seed[2]; /* keys the hash tables, the same in all processes of one run */
    _Atomic uint64_t next_client_id;  /* CLIENT ID: one sequence for the whole pool */
    _Atomic uint64_t next_slowlog_id; /* SLOWLOG: the same */
    /* enum failover_progress, looked at with every command. Outlives the worker that does the failover. */
    _Alignas(64) _Atomic uint32_t failover;
};

struct segment {
    char *base;
    size_t bytes;
    /* Checked once, at attach, and believed from here: the header can be damaged later. */
    uint32_t workers;
    uint32_t ring_bytes;
    struct segment_header *header;
    struct slot_map *slots;
};

/* Make a segment in a new memfd (size sealed). ring_bytes: power of two, 4 KiB..64 MiB.
 * Returns the fd, or -1 with a one-line text in error_r. Maps it into *segment. Fills the header but pool_id (run_id, hash_seed: random), and deals the slots;
 * node ids, ports and announce_host are the caller's. */
int segment_create(struct segment *segment, uint32_t workers, uint32_t ring_bytes, char *error_r,
                   size_t error_bytes);
/* Map an inherited fd, checking magic, version, sizes and seals. Returns 0 or -1. */
int segment_attach(struct segment *segment, int fd, char *error_r, size_t error_bytes);
void segment_detach(struct segment *segment);

struct status_page *segment_status(const struct segment *segment, uint32_t process);
struct latency_page *segment_latency(const struct segment *segment, uint32_t worker);
struct replication_page *segment_replication(const struct segment *segment, uint32_t worker);
struct doorbell *segment_doorbell(const struct segment *segment, uint32_t worker);
void segment_ring_writer(const struct segment *segment, uint32_t from, uint32_t to,
                         struct ring_writer *w);
void segment_ring_reader(const struct segment *segment, uint32_t from, uint32_t to,
                         struct ring_reader *r);
/* Sum of one metric over all workers. */
uint64_t segment_sum(const struct segment *segment, enum metric metric);
/* Class of a peer address in clients_by_address; text is the address without the port. Keyed by
 * hash_seed so that nobody can choose to collide. */
uint32_t segment_address_class(const struct segment *segment, const char *address);

#endif
