/* ring.c - see ring.h. A record is one 8-byte word (kind in the high half, payload length in the
 * low one) and the payload, rounded up to 8 bytes, so a word never straddles the end.
 *
 * The writer believes only its own tail, the reader only its own head; what the other side wrote is
 * checked each time it is loaded, once, into a local. A nonsensical head looks like a full ring to
 * the writer; a nonsensical tail or record is RING_CORRUPT to the reader. */
#include "shared/ipc/ring.h"

#include "shared/base/panic.h"

enum { WORD_BYTES = 8, RECORD_MAX_SHARE = 8 };

#define KIND_RECORD (UINT64_C(0x52454331) << 32)
#define KIND_PAD    (UINT64_C(0x50414431) << 32)
#define KIND_MASK   (UINT64_C(0xffffffff) << 32)

static uint64_t round_up(uint64_t bytes) {
    return (bytes + WORD_BYTES - 1) & ~(uint64_t)(WORD_BYTES - 1);
}

/* May `head` and `tail` be the two ends of one ring of this size? */
static bool ends_plausible(uint64_t head, uint64_t tail, uint32_t size) {
    return tail - head <= size && ((head | tail) & (WORD_BYTES - 1)) == 0;
}

uint32_t ring_record_max(uint32_t ring_size) {
    return ring_size / RECORD_MAX_SHARE;
}

static void check_size(uint32_t size) {
    ASSERT(size >= 64 && (size & (size - 1)) == 0);
}

/* ---- writer ---- */

void ring_writer_attach(struct ring_writer *w, struct ring_shared *shared, char *data,
                        uint32_t size) {
    check_size(size);
    uint64_t head = atomic_load_explicit(&shared->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_relaxed);
    if (!ends_plausible(head, tail, size)) {
        /* A damaged ring starts empty; a reader that stands elsewhere finds it corrupt and skips. */
        tail = head = round_up(head);
        atomic_store_explicit(&shared->tail, tail, memory_order_release);
    }
    *w = (struct ring_writer){shared, data, size, tail, head};
}

/* At least `wanted` free bytes? Looks at the reader's head only when the cached one does not do. */
static bool has_room(struct ring_writer *w, uint64_t wanted) {
    if (w->size - (w->tail - w->head_cached) >= wanted)
        return true;
    uint64_t head = atomic_load_explicit(&w->shared->head, memory_order_acquire);
    if (!ends_plausible(head, w->tail, w->size))
        return false;
    w->head_cached = head;
    return w->size - (w->tail - head) >= wanted;
}

static void put_word(struct ring_writer *w, uint64_t word) {
    *(uint64_t *)(void *)(w->data + (w->tail & (w->size - 1))) = word;
}

void *ring_reserve(struct ring_writer *w, uint32_t bytes) {
    ASSERT(bytes <= ring_record_max(w->size));
    uint64_t offset = w->tail & (w->size - 1), to_end = w->size - offset;
    uint64_t wanted = WORD_BYTES + round_up(bytes);
    if (__builtin_expect(wanted > to_end, 0)) {
        if (!has_room(w, to_end + wanted))
            return NULL;
        put_word(w, KIND_PAD);
        w->tail += to_end;
        return w->data + WORD_BYTES;
    }
    return has_room(w, wanted) ? w->data + offset + WORD_BYTES : NULL;
}

void ring_commit(struct ring_writer *w, uint32_t bytes) {
    put_word(w, KIND_RECORD | bytes);
    w->tail += WORD_BYTES + round_up(bytes);
}

bool ring_publish(struct ring_writer *w) {
    if (atomic_load_explicit(&w->shared->tail, memory_order_relaxed) == w->tail)
        return false;
    atomic_store_explicit(&w->shared->tail, w->tail, memory_order_release);
    return true;
}

/* ---- reader ---- */

void ring_reader_attach(struct ring_reader *r, struct ring_shared *shared, const char *data,
                        uint32_t size) {
    check_size(size);
    uint64_t head = atomic_load_explicit(&shared->head, memory_order_relaxed);
    *r = (struct ring_reader){shared, data, size, head, head};
}

static enum ring_result look_for_more(struct ring_reader *r) {
    uint64_t tail = atomic_load_explicit(&r->shared->tail, memory_order_acquire);
    if (tail == r->head)
        return RING_EMPTY;
    if (!ends_plausible(r->head, tail, r->size))
        return RING_CORRUPT;
    r->tail_cached = tail;
    return RING_OK;
}

enum ring_result ring_next(struct ring_reader *r, const void **payload_r, uint32_t *bytes_r) {
    for (;;) {
        if (r->head == r->tail_cached) {
            enum ring_result result = look_for_more(r);
            if (result != RING_OK)
                return result;
        }
        uint64_t offset = r->head & (r->size - 1), to_end = r->size - offset;
        uint64_t available = r->tail_cached - r->head;
        uint64_t word =
            __atomic_load_n((const uint64_t *)(const void *)(r->data + offset), __ATOMIC_RELAXED);
        if (word == KIND_PAD && to_end <= available) {
            r->head += to_end;
            continue;
        }
        uint32_t bytes = (uint32_t)word;
        uint64_t taken = WORD_BYTES + round_up(bytes);
        if ((word & KIND_MASK) != KIND_RECORD || bytes > ring_record_max(r->size) ||
            taken > available || taken > to_end)
            return RING_CORRUPT;
        *payload_r = r->data + offset + WORD_BYTES;
        *bytes_r = bytes;
        r->head += taken;
        return RING_OK;
    }
}

void ring_release(struct ring_reader *r) {
    if (atomic_load_explicit(&r->shared->head, memory_order_relaxed) != r->head)
        atomic_store_explicit(&r->shared->head, r->head, memory_order_release);
}

bool ring_has_data(const struct ring_reader *r) {
    return atomic_load_explicit(&r->shared->tail, memory_order_acquire) != r->head;
}

void ring_skip_all(struct ring_reader *r) {
    r->head = r->tail_cached = atomic_load_explicit(&r->shared->tail, memory_order_acquire);
    ring_release(r);
}
