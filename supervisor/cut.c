/* cut.c - see the header. Nothing here can fail; what goes wrong elsewhere ends in cut->error. */
#include "supervisor/cut.h"
#include "shared/base/panic.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *words;
    uint32_t limit_s;
} phases[CUT_PHASE_COUNT] = {
#define X(phase, what, limit) {what, limit},
    CUT_PHASES(X)
#undef X
};

const char *cut_phase_words(enum cut_phase phase) {
    return phases[phase].words;
}

uint32_t cut_phase_limit_s(enum cut_phase phase) {
    return phases[phase].limit_s;
}

static bool any(const struct cut *cut, const bool *awaited) {
    for (uint32_t i = 0; i < cut->shards; i++) {
        if (awaited[i])
            return true;
    }
    return false;
}

__attribute__((format(printf, 2, 3))) static enum cut_step fail(struct cut *cut, const char *format,
                                                                ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cut->error, sizeof(cut->error), format, arguments);
    va_end(arguments);
    cut->phase = CUT_REMOVING;
    return CUT_REMOVE;
}

static enum cut_step finish(struct cut *cut) {
    cut->phase = CUT_IDLE;
    return CUT_FINISH;
}

enum cut_step cut_begin(struct cut *cut, uint32_t shards) {
    ASSERT(cut->phase == CUT_IDLE && shards >= 1 && shards <= SHARD_MAX);
    *cut = (struct cut){.phase = CUT_MAKING, .id = cut->id + 1, .shards = shards};
    return CUT_MAKE;
}

static void begin_try(struct cut *cut) {
    cut->phase = CUT_PREPARING;
    cut->tries++;
    for (uint32_t i = 0; i < cut->shards; i++)
        cut->unprepared[i] = cut->unlinked[i] = true;
}

enum cut_step cut_process_ended(struct cut *cut, const char *error) {
    if (cut->phase == CUT_REMOVING)
        return finish(cut);
    if (cut->phase != CUT_MAKING && cut->phase != CUT_PUBLISHING)
        return CUT_STAY;
    if (error[0])
        return fail(cut, "%s", error);
    if (cut->lost) {
        cut->phase = CUT_REMOVING;
        return CUT_REMOVE;
    }
    if (cut->phase == CUT_PUBLISHING)
        return finish(cut);
    begin_try(cut);
    return CUT_PREPARE;
}

enum cut_step cut_prepared(struct cut *cut, uint64_t id, uint64_t try, uint32_t shard,
                           const char *error) {
    if (id != cut->id || try != cut->tries || cut->phase != CUT_PREPARING || shard >= cut->shards)
        return CUT_STAY;
    if (error[0])
        return fail(cut, "shard %u: %s", shard, error);
    cut->unprepared[shard] = false;
    if (any(cut, cut->unprepared))
        return CUT_STAY;
    cut->phase = CUT_BARRIER;
    return CUT_LOCK;
}

enum cut_step cut_barrier_ended(struct cut *cut, uint64_t id, uint64_t try, const char *error) {
    if (id != cut->id || try != cut->tries || cut->phase != CUT_BARRIER)
        return CUT_STAY;
    if (error[0] && cut->tries >= CUT_TRIES_MAX)
        return fail(cut, "%s (tried %u times)", error, CUT_TRIES_MAX);
    if (error[0]) {
        begin_try(cut);
        return CUT_PREPARE_SOON;
    }
    bool linking = any(cut, cut->unlinked);
    cut->phase = linking ? CUT_LINKING : CUT_PUBLISHING;
    return linking ? CUT_STAY : CUT_PUBLISH;
}

enum cut_step cut_linked(struct cut *cut, uint64_t id, uint64_t try, uint32_t shard,
                         const char *error) {
    if (id != cut->id || try != cut->tries || shard >= cut->shards ||
        (cut->phase != CUT_BARRIER && cut->phase != CUT_LINKING))
        return CUT_STAY;
    if (error[0])
        return fail(cut, "shard %u: %s", shard, error);
    cut->unlinked[shard] = false;
    if (cut->phase == CUT_BARRIER || any(cut, cut->unlinked))
        return CUT_STAY;
    cut->phase = CUT_PUBLISHING;
    return CUT_PUBLISH;
}

/* The process of MAKING is let finish: the one of REMOVING must not run beside it. */
enum cut_step cut_shard_lost(struct cut *cut, uint32_t shard) {
    enum cut_phase before = cut->phase;
    if (shard >= cut->shards || before < CUT_MAKING || before > CUT_LINKING || cut->lost)
        return CUT_STAY;
    enum cut_step step = fail(cut, "shard %u went down while the snapshot was taken", shard);
    if (before != CUT_MAKING)
        return step;
    cut->lost = true;
    cut->phase = before;
    return CUT_STAY;
}

enum cut_step cut_timed_out(struct cut *cut) {
    if (cut->phase == CUT_IDLE)
        return CUT_STAY;
    if (cut->phase == CUT_REMOVING)
        return finish(cut);
    return fail(cut, "%s took longer than %u s", cut_phase_words(cut->phase),
                cut_phase_limit_s(cut->phase));
}
