/* mem.h - allocation. Running out of memory for a size of our own is a panic, with the size named;
 * a size that came from outside goes through mem_try_alloc(). Built on jemalloc, whose per-thread
 * counters make mem_used() free of cost; sanitizer builds use the sanitizer's allocator. */
#ifndef REMUDA_BASE_MEM_H
#define REMUDA_BASE_MEM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t bytes);
void *mem_calloc(size_t count, size_t bytes); /* overflow-checked, zeroed */
void *mem_realloc(void *pointer, size_t bytes);
void *mem_try_alloc(size_t bytes); /* NULL if there is no memory */
void mem_free(void *pointer);      /* NULL is fine */
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t bytes);
/* Bytes the allocator really gave for this block. */
size_t mem_usable(const void *pointer);
/* Bytes allocated by this process now, what INFO calls used_memory. All threads that called
 * mem_thread_register() (the main thread always) are summed; such a thread must live as long as
 * the process, for its counters die with it. */
uint64_t mem_used(void);
/* What the allocator says of itself, in pieces of text. */
void mem_describe(void (*write)(void *arg, const char *text), void *arg);
/* Give pages that nothing uses back to the system. false: the allocator refused. */
bool mem_purge(void);
void mem_thread_register(void);

#endif
