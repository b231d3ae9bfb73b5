/* scheduler.c - see the header. Nothing here can fail but by the limits named there. */
#include "supervisor/scheduler.h"
#include <string.h>

static void remove_at(struct scheduler *scheduler, uint32_t at) {
    scheduler->count--;
    memmove(&scheduler->wishes[at], &scheduler->wishes[at + 1],
            (scheduler->count - at) * sizeof(scheduler->wishes[0]));
}

static bool want(struct scheduler *scheduler, struct fork_wish wish) {
    uint32_t of_process = 0;
    for (uint32_t i = 0; i < scheduler->count; i++) {
        if (scheduler->wishes[i].process != wish.process)
            continue;
        if (scheduler->wishes[i].id == wish.id)
            return false;
        of_process++;
    }
    if (of_process >= SCHEDULER_WISHES_PER_PROCESS || scheduler->count >= SCHEDULER_WISHES_MAX)
        return false;
    wish.wait = FORK_WAIT_TURN;
    scheduler->wishes[scheduler->count++] = wish;
    return true;
}

bool scheduler_want(struct scheduler *scheduler, uint32_t process, uint64_t id,
                    enum fork_urgency urgency, uint64_t bytes) {
    struct fork_wish wish = {.process = process, .id = id, .urgency = urgency, .bytes = bytes};
    return want(scheduler, wish);
}

bool scheduler_want_all(struct scheduler *scheduler, uint32_t process, uint64_t id,
                        enum fork_urgency urgency, uint64_t bytes) {
    struct fork_wish wish = {
        .process = process, .id = id, .urgency = urgency, .bytes = bytes, .of_all = true};
    return want(scheduler, wish);
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

/* What those out may still copy, how many they are, and whether one of them is of all shards. */
static uint64_t outstanding(const struct scheduler *scheduler, uint32_t *granted_r,
                            bool *of_all_r) {
    uint64_t bytes = 0;
    *granted_r = 0;
    *of_all_r = false;
    for (uint32_t i = 0; i < scheduler->count; i++) {
        const struct fork_wish *wish = &scheduler->wishes[i];
        if (!wish->granted)
            continue;
        (*granted_r)++;
        *of_all_r |= wish->of_all;
        bytes += wish->bytes > wish->copied_bytes ? wish->bytes - wish->copied_bytes : 0;
    }
    return bytes;
}

struct fork_wish *scheduler_next(struct scheduler *scheduler, uint32_t concurrency,
                                 uint64_t available_bytes) {
    uint32_t granted;
    bool all_fork;
    uint64_t out = outstanding(scheduler, &granted, &all_fork);
    bool full = granted >= concurrency || all_fork;
    struct fork_wish *best = NULL;
    for (uint32_t i = 0; i < scheduler->count; i++) {
        struct fork_wish *wish = &scheduler->wishes[i];
        if (wish->granted)
            continue;
        wish->needed_bytes = out + wish->bytes;
        wish->wait = wish->needed_bytes > available_bytes ? FORK_WAIT_MEMORY : FORK_WAIT_TURN;
        if (full)
            wish->wait = FORK_WAIT_TURN;
        else if (wish->wait == FORK_WAIT_TURN && (best == NULL || wish->urgency > best->urgency))
            best = wish;
    }
    if (best == NULL || (best->of_all && granted > 0))
        return NULL;
    best->granted = true;
    best->wait = FORK_WAIT_NOT;
    return best;
}
