/* doorbell.h - wake a process that sleeps in epoll, and only then.
 *
 *   sleeper                              ringer
 *   store asleep = a new ticket          publish the ring's tail
 *   full fence                           full fence
 *   look at all rings once more          ticket = asleep; if 0: done
 *   if any has data: asleep = 0, go on   write(eventfd)
 *   else epoll_wait                      if asleep is still that ticket: asleep = 0
 *
 * Either the sleeper sees the new tail or the ringer sees the ticket: a wake-up cannot be lost, not
 * even by a ringer killed between any two steps, for it clears the ticket only after it has rung.
 * The price is a spurious ring now and then. tests/unit/shared/ipc/doorbell.pml is the model. */
#ifndef REMUDA_IPC_DOORBELL_H
#define REMUDA_IPC_DOORBELL_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct doorbell {
    _Alignas(64) _Atomic uint32_t asleep; /* 0, or the ticket of the present sleep */
    uint32_t ticket;                      /* the sleeper's own: the last one it took */
};

/* About to sleep. After it the caller must look at all its rings once more. */
void doorbell_arm(struct doorbell *bell);
/* Awake (or not going to sleep after all). */
void doorbell_disarm(struct doorbell *bell);
/* Call after publishing. fd: the sleeper's eventfd. Returns true if it was rung. A process that takes
 * over the rings of a dead one calls it once for each peer at start: the dead one may have published
 * and not rung. */
bool doorbell_ring(struct doorbell *bell, int fd);
/* Empty the eventfd after a wake-up. */
void doorbell_drain(int fd);

#endif
