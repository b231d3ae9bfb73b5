/* segment.c - see segment.h. The layout is computed from two numbers, workers and ring_bytes, by one
 * function in every process; the header only repeats the result, to be checked. */
#include "shared/ipc/segment.h"

#include "shared/base/clock.h"
#include "shared/base/random_id.h"
#include "shared/base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define SEGMENT_MAGIC UINT64_C(0x3147455341445552)
enum {
    SEGMENT_VERSION = 4,
    PAGE_BYTES = 4096,
    RING_BYTES_MIN = 4096,
    RING_BYTES_MAX = 64 * 1024 * 1024,
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW
};

struct layout {
    uint64_t slots, status, latency, replication, doorbells, rings, ring_stride, total;
};

static uint64_t page_round(uint64_t bytes) {
    return (bytes + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
}

static struct layout layout_of(uint32_t workers, uint32_t ring_bytes) {
    struct layout at;
    at.slots = page_round(sizeof(struct segment_header));
    at.status = at.slots + page_round(sizeof(struct slot_map));
    at.latency = at.status + (workers + 2) * page_round(sizeof(struct status_page));
    at.replication = at.latency + workers * page_round(sizeof(struct latency_page));
    at.doorbells = at.replication + workers * page_round(sizeof(struct replication_page));
    at.rings = at.doorbells + page_round(workers * sizeof(struct doorbell));
    at.ring_stride = page_round(sizeof(struct ring_shared)) + ring_bytes;
    at.total = at.rings + (uint64_t)workers * (workers - 1) * at.ring_stride;
    return at;
}

static bool sizes_good(uint32_t workers, uint32_t ring_bytes) {
    return workers >= 1 && workers <= SHARD_MAX && ring_bytes >= RING_BYTES_MIN &&
           ring_bytes <= RING_BYTES_MAX && (ring_bytes & (ring_bytes - 1)) == 0;
}

static int fail(char *error_r, size_t error_bytes, const char *what) {
    snprintf(error_r, error_bytes, "shared segment: %s%s%s", what, errno ? ": " : "",
             errno ? strerror(errno) : "");
    return -1;
}

static int map(struct segment *segment, int fd, uint64_t bytes, char *error_r, size_t error_bytes) {
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return fail(error_r, error_bytes, "mmap");
    *segment = (struct segment){.base = base, .bytes = bytes, .header = base};
    return 0;
}

static void adopt(struct segment *segment, uint32_t workers, uint32_t ring_bytes) {
    struct layout at = layout_of(workers, ring_bytes);
    segment->workers = workers;
    segment->ring_bytes = ring_bytes;
    segment->slots = (struct slot_map *)(void *)(segment->base + at.slots);
}

static int fill_header(struct segment_header *header, uint32_t workers, uint32_t ring_bytes,
                       uint64_t total, char *error_r, size_t error_bytes) {
    errno = 0;
    if (getrandom(header->hash_seed, sizeof header->hash_seed, 0) != sizeof header->hash_seed)
        return fail(error_r, error_bytes, "getrandom");
    random_id(header->run_id);
    header->magic = SEGMENT_MAGIC;
    header->version = SEGMENT_VERSION;
    header->workers = workers;
    header->ring_bytes = ring_bytes;
    header->metric_count = METRIC_COUNT;
    header->total_bytes = total;
    header->started_wall_ms = clock_wall_ms();
    atomic_store(&header->next_client_id, 1);
    return 0;
}

int segment_create(struct segment *segment, uint32_t workers, uint32_t ring_bytes, char *error_r,
                   size_t error_bytes) {
    errno = 0;
    if (!sizes_good(workers, ring_bytes))
        return fail(error_r, error_bytes, "workers or ring size out of range");
    uint64_t total = layout_of(workers, ring_bytes).total;
    int fd = memfd_create("remuda", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return fail(error_r, error_bytes, "memfd_create");
    if (ftruncate(fd, (off_t)total) < 0) {
        fail(error_r, error_bytes, "ftruncate");
        goto err;
    }
    if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0) {
        fail(error_r, error_bytes, "sealing");
        goto err;
    }
    if (map(segment, fd, total, error_r, error_bytes) < 0)
        goto err;
    if (fill_header(segment->header, workers, ring_bytes, total, error_r, error_bytes) < 0) {
        segment_detach(segment);
        goto err;
    }
    adopt(segment, workers, ring_bytes);
    slot_map_deal(segment->slots, workers);
    return fd;
err:
    close(fd);
    return -1;
}

/* NULL if the mapped header fits this program and the file, or what is wrong. */
static const char *header_fault(const struct segment_header *header, uint64_t file_bytes,
                                uint32_t workers, uint32_t ring_bytes) {
    if (header->magic != SEGMENT_MAGIC)
        return "not a segment (magic)";
    if (header->version != SEGMENT_VERSION || header->metric_count != METRIC_COUNT)
        return "made by another version of the program";
    if (!sizes_good(workers, ring_bytes))
        return "workers or ring size out of range";
    if (header->total_bytes != file_bytes || layout_of(workers, ring_bytes).total != file_bytes)
        return "size does not fit its header";
    return NULL;
}

int segment_attach(struct segment *segment, int fd, char *error_r, size_t error_bytes) {
    struct stat info;
    if (fstat(fd, &info) < 0)
        return fail(error_r, error_bytes, "fstat");
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0)
        return fail(error_r, error_bytes, "not a memfd");
    errno = 0;
    if ((seals & SEALS) != SEALS)
        return fail(error_r, error_bytes, "size is not sealed");
    if (info.st_size < (off_t)sizeof(struct segment_header))
        return fail(error_r, error_bytes, "too short for a header");
    if (map(segment, fd, (uint64_t)info.st_size, error_r, error_bytes) < 0)
        return -1;
    uint32_t workers = segment->header->workers, ring_bytes = segment->header->ring_bytes;
    const char *fault = header_fault(segment->header, segment->bytes, workers, ring_bytes);
    if (fault) {
        segment_detach(segment);
        errno = 0;
        return fail(error_r, error_bytes, fault);
    }
    adopt(segment, workers, ring_bytes);
    return 0;
}

void segment_detach(struct segment *segment) {
    if (segment->base)
        munmap(segment->base, segment->bytes);
    *segment = (struct segment){0};
}

struct status_page *segment_status(const struct segment *segment, uint32_t process) {
    ASSERT(process < segment->workers + 2);
    uint64_t at = layout_of(segment->workers, segment->ring_bytes).status;
    return (struct status_page *)(void *)(segment->base + at) + process;
}

struct latency_page *segment_latency(const struct segment *segment, uint32_t worker) {
    ASSERT(worker < segment->workers);
    uint64_t at = layout_of(segment->workers, segment->ring_bytes).latency;
    return (struct latency_page *)(void *)(segment->base + at +
                                           worker * page_round(sizeof(struct latency_page)));
}

struct replication_page *segment_replication(const struct segment *segment, uint32_t worker) {
    ASSERT(worker < segment->workers);
    uint64_t at = layout_of(segment->workers, segment->ring_bytes).replication;
    return (struct replication_page *)(void *)(segment->base + at +
                                               worker *
                                                   page_round(sizeof(struct replication_page)));
}

struct doorbell *segment_doorbell(const struct segment *segment, uint32_t worker) {
    ASSERT(worker < segment->workers);
    uint64_t at = layout_of(segment->workers, segment->ring_bytes).doorbells;
    return (struct doorbell *)(void *)(segment->base + at) + worker;
}

/* Rings of one writer lie together, without one to itself. */
static char *ring_at(const struct segment *segment, uint32_t from, uint32_t to) {
    ASSERT(from < segment->workers && to < segment->workers && from != to);
    struct layout at = layout_of(segment->workers, segment->ring_bytes);
    uint64_t index = (uint64_t)from * (segment->workers - 1) + (to < from ? to : to - 1);
    return segment->base + at.rings + index * at.ring_stride;
}

void segment_ring_writer(const struct segment *segment, uint32_t from, uint32_t to,
                         struct ring_writer *w) {
    char *ring = ring_at(segment, from, to);
    ring_writer_attach(w, (struct ring_shared *)(void *)ring,
                       ring + page_round(sizeof(struct ring_shared)), segment->ring_bytes);
}

void segment_ring_reader(const struct segment *segment, uint32_t from, uint32_t to,
                         struct ring_reader *r) {
    char *ring = ring_at(segment, from, to);
    ring_reader_attach(r, (struct ring_shared *)(void *)ring,
                       ring + page_round(sizeof(struct ring_shared)), segment->ring_bytes);
}

uint64_t segment_sum(const struct segment *segment, enum metric metric) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < segment->workers; i++)
        sum += status_get(segment_status(segment, i), metric);
    return sum;
}

uint32_t segment_address_class(const struct segment *segment, const char *address) {
    uint64_t hash = XXH3_64bits_withSeed(address, strlen(address), segment->header->hash_seed[0]);
    return (uint32_t)((hash ^ segment->header->hash_seed[1]) % ADDRESS_CLASSES);
}
