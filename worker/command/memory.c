/* memory.c - maxmemory for the pool as a whole: the decision, and carrying it out.
 *
 * Other workers' memory is read from their status pages, at most once a millisecond; a page may be
 * a moment old, which the credit absorbs. Eviction is bounded in time: what is left over is done by
 * the next command or the worker's loop. */
#include "worker/command/memory.h"
#include "worker/command/latency.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"

/* What a write past the credit costs a shard that is within its share: enough not to grow. */
enum { EVICT_BUDGET_US = 500, PAY_BYTES_MAX = 16 * 1024 };

enum memory_verdict memory_decide(const struct memory_view *view, uint64_t *evict_bytes_r) {
    *evict_bytes_r = 0;
    if (view->limit_bytes == 0 || view->total_bytes <= view->limit_bytes)
        return MEMORY_GO;
    if (!view->may_evict)
        return MEMORY_REFUSE;
    uint64_t over = view->total_bytes - view->limit_bytes;
    uint64_t share = view->limit_bytes / view->workers;
    if (view->own_bytes > share) {
        uint64_t own_excess = view->own_bytes - share;
        uint64_t part = over;
        if (view->excess_bytes > own_excess)
            part = (uint64_t)((double)over * ((double)own_excess / (double)view->excess_bytes)) + 1;
        *evict_bytes_r = part < own_excess ? part : own_excess;
        return MEMORY_EVICT;
    }
    return over <= view->limit_bytes / MEMORY_CREDIT_FRACTION ? MEMORY_GO : MEMORY_REFUSE;
}

/* What the other workers use, and have above a share, as read at read_at_ms. */
static struct {
    int64_t read_at_ms;
    uint64_t share_bytes, total_bytes, excess_bytes;
} others = {.read_at_ms = -1};

static void read_others(const struct command_env *env, uint64_t share, int64_t now_ms) {
    if (others.read_at_ms == now_ms && others.share_bytes == share)
        return;
    others.read_at_ms = now_ms;
    others.share_bytes = share;
    others.total_bytes = others.excess_bytes = 0;
    for (uint32_t i = 0; i < env->segment->workers; i++) {
        if (i == env->shard)
            continue;
        uint64_t used = status_get(segment_status(env->segment, i), METRIC_used_memory_bytes);
        others.total_bytes += used;
        others.excess_bytes += used > share ? used - share : 0;
    }
}

static struct memory_view look(const struct command_env *env, int64_t now_ms) {
    struct memory_view view = {
        .limit_bytes = (uint64_t)env->config->maxmemory,
        .own_bytes = mem_used(),
        .workers = 1,
        .may_evict = env->config->maxmemory_policy != MAXMEMORY_NOEVICTION,
    };
    view.total_bytes = view.own_bytes;
    if (env->segment != NULL) {
        view.workers = env->segment->workers;
        read_others(env, view.limit_bytes / view.workers, now_ms);
        view.total_bytes += others.total_bytes;
        view.excess_bytes = others.excess_bytes;
    }
    uint64_t share = view.limit_bytes / view.workers;
    view.excess_bytes += view.own_bytes > share ? view.own_bytes - share : 0;
    return view;
}

/* false if the policy finds nothing to remove. */
static bool evict(const struct command_env *env, struct keyspace *ks, uint64_t bytes) {
    uint64_t start_us = env->config->latency_monitor_threshold > 0 ? clock_mono_us() : 0;
    bool found = keyspace_evict(ks, (enum maxmemory_policy)env->config->maxmemory_policy,
                                (uint32_t)env->config->maxmemory_samples, bytes, EVICT_BUDGET_US);
    if (start_us > 0)
        latency_event(env, LATENCY_EVICTION_CYCLE, clock_mono_us() - start_us);
    return found;
}

bool memory_admit(struct command_ctx *ctx) {
    uint64_t bytes;
    struct memory_view view = look(ctx->env, ctx_now_ms(ctx));
    switch (memory_decide(&view, &bytes)) {
    case MEMORY_GO: return true;
    case MEMORY_REFUSE:
        if (!view.may_evict)
            return false;
        /* Others are to make room but have not come to it: an error would be worse than a key. */
        bytes = view.total_bytes - view.limit_bytes - view.limit_bytes / MEMORY_CREDIT_FRACTION;
        bytes = bytes < PAY_BYTES_MAX ? bytes : PAY_BYTES_MAX;
        break;
    case MEMORY_EVICT: break;
    }
    if (evict(ctx->env, ctx->ks, bytes))
        return true;
    view = look(ctx->env, ctx_now_ms(ctx));
    return view.total_bytes <= view.limit_bytes;
}

bool memory_relieve(struct command_env *env, struct keyspace *ks) {
    if (env->config->maxmemory == 0 || env->loading)
        return false;
    uint64_t bytes;
    struct memory_view view = look(env, keyspace_now_ms(ks));
    if (memory_decide(&view, &bytes) == MEMORY_EVICT && !evict(env, ks, bytes))
        return false;
    view = look(env, keyspace_now_ms(ks));
    return view.total_bytes > view.limit_bytes;
}
