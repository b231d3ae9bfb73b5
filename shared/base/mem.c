/* mem.c - see mem.h. jemalloc counts what each thread allocates and frees; the difference, summed
 * over the threads we know, is what the process holds, whichever thread frees a block. */
#include "shared/base/mem.h"

#include "shared/base/panic.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_panic(void *pointer, size_t bytes) {
    if (__builtin_expect(pointer == NULL, 0))
        PANIC("out of memory allocating %zu bytes (%llu in use)", bytes,
              (unsigned long long)mem_used());
    return pointer;
}

void *mem_alloc(size_t bytes) {
    return or_panic(malloc(bytes ? bytes : 1), bytes);
}

void *mem_calloc(size_t count, size_t bytes) {
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        PANIC("allocation of %zu times %zu bytes overflows", count, bytes);
    return or_panic(calloc(1, total ? total : 1), total);
}

void *mem_realloc(void *pointer, size_t bytes) {
    return or_panic(realloc(pointer, bytes ? bytes : 1), bytes);
}

void *mem_try_alloc(size_t bytes) {
    return malloc(bytes ? bytes : 1);
}

void mem_free(void *pointer) {
    free(pointer);
}

char *mem_strdup(const char *text) {
    return mem_strndup(text, strlen(text));
}

char *mem_strndup(const char *text, size_t bytes) {
    size_t len = strnlen(text, bytes);
    char *copy = mem_alloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

size_t mem_usable(const void *pointer) {
    union {
        const void *in;
        void *out;
    } unconst = {.in = pointer};
    return malloc_usable_size(unconst.out);
}

#ifdef REMUDA_SANITIZE
/* Of the sanitizer run-time, whose header compilers do not always ship. */
extern size_t __sanitizer_get_current_allocated_bytes(void);

uint64_t mem_used(void) {
    return __sanitizer_get_current_allocated_bytes();
}

void mem_thread_register(void) {
}

void mem_describe(void (*write)(void *arg, const char *text), void *arg) {
    write(arg, "The allocator of a sanitizer build keeps no statistics.\n");
}

bool mem_purge(void) {
    return true;
}

#else
#include <jemalloc/jemalloc.h>
#include <stdatomic.h>

enum { THREADS_MAX = 32 };

static struct { const uint64_t *allocated, *freed; } threads[THREADS_MAX];
static _Atomic unsigned thread_count;
static _Thread_local bool registered;

static const uint64_t *thread_counter(const char *name) {
    uint64_t *counter = NULL;
    size_t bytes = sizeof counter;
    int error = mallctl(name, &counter, &bytes, NULL, 0);
    if (error)
        PANIC("jemalloc has no %s: %s", name, strerror(error));
    return counter;
}

__attribute__((constructor)) void mem_thread_register(void) {
    static _Atomic unsigned next;
    if (registered)
        return;
    registered = true;
    unsigned mine = atomic_fetch_add(&next, 1);
    ASSERT(mine < THREADS_MAX);
    threads[mine].allocated = thread_counter("thread.allocatedp");
    threads[mine].freed = thread_counter("thread.deallocatedp");
    /* Shown in order, so that a reader never meets a row not yet filled. */
    unsigned expected = mine;
    while (!atomic_compare_exchange_weak(&thread_count, &expected, mine + 1))
        expected = mine;
}

uint64_t mem_used(void) {
    uint64_t used = 0;
    unsigned count = atomic_load_explicit(&thread_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++)
        used += __atomic_load_n(threads[i].allocated, __ATOMIC_RELAXED) -
                __atomic_load_n(threads[i].freed, __ATOMIC_RELAXED);
    /* A block that crossed threads can be seen as freed before its allocation is seen. */
    return (int64_t)used < 0 ? 0 : used;
}

void mem_describe(void (*write)(void *arg, const char *text), void *arg) {
    malloc_stats_print(write, arg, NULL);
}

bool mem_purge(void) {
    char name[64];
    snprintf(name, sizeof(name), "arena.%d.purge", MALLCTL_ARENAS_ALL);
    return mallctl(name, NULL, NULL, NULL, 0) == 0;
}
#endif
