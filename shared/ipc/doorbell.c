/* doorbell.c - see doorbell.h. Nothing here can fail but the eventfd itself: its counter cannot
 * overflow by single rings, and a full one would be readable, which is all that is wanted. */
#include "shared/ipc/doorbell.h"

#include <errno.h>
#include <unistd.h>

void doorbell_arm(struct doorbell *bell) {
    bell->ticket += bell->ticket == UINT32_MAX ? 2 : 1; /* never 0 */
    atomic_store_explicit(&bell->asleep, bell->ticket, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

void doorbell_disarm(struct doorbell *bell) {
    atomic_store_explicit(&bell->asleep, 0, memory_order_relaxed);
}

bool doorbell_ring(struct doorbell *bell, int fd) {
    atomic_thread_fence(memory_order_seq_cst);
    uint32_t ticket = atomic_load_explicit(&bell->asleep, memory_order_relaxed);
    if (ticket == 0)
        return false;
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    atomic_compare_exchange_strong_explicit(&bell->asleep, &ticket, 0, memory_order_acq_rel,
                                            memory_order_relaxed);
    return true;
}

void doorbell_drain(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}
