/* redistribute.c - see the header. The worker executable builds the new folders; the switch is move.c's. */
#include "supervisor/redistribute.h"
#include "shared/base/log.h"
#include "supervisor/move.h"
#include "supervisor/sdnotify.h"
#include "supervisor/tool.h"
#include <signal.h>
#include <stdio.h>

/* A service manager has a limit on how long a start may take. */
static void ask_for_time(void) {
    sdnotify_send(
        "STATUS=Dealing the keys to another number of shards\nEXTEND_TIMEOUT_USEC=30000000");
}

/* Returns as redistribute(). */
static int build(const struct redistribution *job, const struct pool_file *pool,
                 const struct pool_file *next, char *error_r, size_t error_bytes) {
    static char from[POOL_SLOTS_TEXT_BYTES], to[POOL_SLOTS_TEXT_BYTES];
    char incoming[MOVE_PATH_BYTES], why[256];
    pool_file_slots_text(pool, from);
    pool_file_slots_text(next, to);
    if (move_prepare(job->config->dir, incoming, error_r, error_bytes) != 0)
        return -1;
    struct tool tool = {.worker_path = job->worker_path,
                        .config = job->config,
                        .lock_fd = job->lock_fd,
                        .arguments = {"redistribute", job->config->dir, from, incoming, to},
                        .waiting = ask_for_time};
    enum tool_end end = tool_run(&tool);
    if (end == TOOL_DONE)
        return 0;
    if (move_discard(job->config->dir, why, sizeof(why)) != 0)
        log_warning("%s", why);
    if (end == TOOL_STOPPED) {
        log_notice("Told to stop: the keys are where they were, in %u shards", pool->shards);
        return 1;
    }
    snprintf(error_r, error_bytes,
             "the keys of %s could not be dealt from %u to %u shards (the log says why); they are "
             "as they were, and --workers %u starts the pool",
             job->config->dir, pool->shards, job->shards, pool->shards);
    return -1;
}

static bool told_to_stop(void) {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT);
}

int redistribute(const struct redistribution *job, struct pool_file *pool, char *error_r,
                 size_t error_bytes) {
    static struct pool_file next;
    sigset_t held, before;
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    sigprocmask(SIG_BLOCK, &held, &before);
    pool_file_deal(pool, job->shards, &next);
    log_notice("%s holds %u shards and workers is %u: dealing the keys anew", job->config->dir,
               pool->shards, job->shards);
    int result = build(job, pool, &next, error_r, error_bytes);
    if (result == 0)
        result =
            move_commit(job->config->dir, pool->shards, &next, job->config, error_r, error_bytes);
    if (result == 0) {
        log_notice("The keys are in %u shards now", next.shards);
        *pool = next;
        if (told_to_stop())
            result = 1;
    }
    if (result != 1)
        sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}
