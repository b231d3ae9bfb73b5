/* scheduler.c - see the header. Nothing here can fail but by the limits named there. */
#include "supervisor/scheduler.h"
#include <string.h>

static void remove_at(struct scheduler *scheduler, uint32_t at) {
    scheduler->count--;
    memmove(&scheduler->wishes[at], &scheduler->wishes[at + 1],
            (scheduler->count - at) * sizeof(scheduler->wishes[0]));
}

bool scheduler_want(struct scheduler *scheduler, uint32_t process, uint64_t id,
                    enum fork_urgency urgency, uint64_t bytes) {
    uint32_t of_process = 0;
    for (uint32_t i = 0; i < scheduler->count; i++) {
        if (scheduler->wishes[i].process != process)
            continue;
        if (scheduler->wishes[i].id == id)
            return false;
        of_process++;
    }
    if (of_process >= SCHEDULER_WISHES_PER_PROCESS || scheduler->count >= SCHEDULER_WISHES_MAX)
        return false;
    scheduler->wishes[scheduler->count++] = (struct fork_wish){
        .process = process, .id = id, .urgency = urgency, .bytes = bytes, .wait = FORK_WAIT_TURN};
    return true;
}

bool scheduler_done(struct scheduler *scheduler, uint32_t process, uint64_t id) {
    for (uint32_t i = 0; i < scheduler->count; i++) {
        if (scheduler->wishes[i].process == process && scheduler->wishes[i].id == id) {
            remove_at(scheduler, i);
            return true;
        }
    }
    return false;
}

void scheduler_forget(struct scheduler *scheduler, uint32_t process) {
    for (uint32_t i = scheduler->count; i-- > 0;) {
        if (scheduler->wishes[i].process == process)
            remove_at(scheduler, i);
    }
}

/* What those out may still copy, and how many they are. */
static uint64_t outstanding(const struct scheduler *scheduler, uint32_t *granted_r) {
    uint64_t bytes = 0;
    *granted_r = 0;
    for (uint32_t i = 0; i < scheduler->count; i++) {
        const struct fork_wish *wish = &scheduler->wishes[i];
        if (!wish->granted)
            continue;
        (*granted_r)++;
        bytes += wish->bytes > wish->copied_bytes ? wish->bytes - wish->copied_bytes : 0;
    }
    return bytes;
}

struct fork_wish *scheduler_next(struct scheduler *scheduler, uint32_t concurrency,
                                 uint64_t available_bytes) {
    uint32_t granted;
    uint64_t out = outstanding(scheduler, &granted);
    struct fork_wish *best = NULL;
    for (uint32_t i = 0; i < scheduler->count; i++) {
        struct fork_wish *wish = &scheduler->wishes[i];
        if (wish->granted)
            continue;
        wish->needed_bytes = out + wish->bytes;
        wish->wait = wish->needed_bytes > available_bytes ? FORK_WAIT_MEMORY : FORK_WAIT_TURN;
        if (granted >= concurrency)
            wish->wait = FORK_WAIT_TURN;
        else if (wish->wait == FORK_WAIT_TURN && (best == NULL || wish->urgency > best->urgency))
            best = wish;
    }
    if (best == NULL)
        return NULL;
    best->granted = true;
    best->wait = FORK_WAIT_NOT;
    return best;
}
