/* doorbell.h - wake a process that sleeps in epoll, and only then.
 *
 *   sleeper                              ringer
 *   store asleep = 1                     publish the ring's tail
 *   full fence                           full fence
 *   look at all rings once more          exchange asleep -> 0
 *   if any has data: asleep = 0, go on   if it was 1: write(eventfd)
 *   else epoll_wait
 *
 * Either the sleeper sees the new tail or the ringer sees asleep == 1: a wake-up cannot be lost.
 * tests/unit/ipc/doorbell.pml is the model. */
#ifndef REMUDA_IPC_DOORBELL_H
#define REMUDA_IPC_DOORBELL_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct doorbell {
    _Alignas(64) _Atomic uint32_t asleep;
};

/* About to sleep. After it the caller must look at all its rings once more. */
void doorbell_arm(struct doorbell *bell);
/* Awake (or not going to sleep after all). */
void doorbell_disarm(struct doorbell *bell);
/* Call after publishing. fd: the sleeper's eventfd. Returns true if it was rung. */
bool doorbell_ring(struct doorbell *bell, int fd);
/* Empty the eventfd after a wake-up. */
void doorbell_drain(int fd);

#endif
