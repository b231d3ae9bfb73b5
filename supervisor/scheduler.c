/* scheduler.c - see the header. Nothing here can fail but by the limits named there. */
#include "supervisor/scheduler.h"
#include <string.h>

static void remove_at(struct scheduler *scheduler, uint32_t at) {
    scheduler->count--;
    memmove(&scheduler->wishes[at], &scheduler->wishes[at + 1],
            (scheduler->count - at) * sizeof(scheduler->wishes[0]));
}

bool scheduler_want(struct scheduler *scheduler, uint32_t process, uint64_t id, uint64_t bytes) {
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
    scheduler->wishes[scheduler->count++] =
        (struct fork_wish){.process = process, .id = id, .bytes = bytes};
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

bool scheduler_next(struct scheduler *scheduler, uint32_t concurrency, uint64_t available_bytes,
                    struct fork_wish *wish_r) {
    uint32_t granted = 0;
    struct fork_wish *first = NULL;
    for (uint32_t i = 0; i < scheduler->count; i++) {
        if (scheduler->wishes[i].granted)
            granted++;
        else if (!first)
            first = &scheduler->wishes[i];
    }
    if (!first || granted >= concurrency)
        return false;
    if (granted > 0 && first->bytes > available_bytes)
        return false;
    first->granted = true;
    *wish_r = *first;
    return true;
}
