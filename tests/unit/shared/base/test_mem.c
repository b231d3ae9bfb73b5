/* test_mem.c - allocation, its count over threads, and the panic that names the size. */
#include "tests/unit/shared/support.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <pthread.h>
#include <signal.h>

enum { BIG_BYTES = 32 << 20, SLACK_BYTES = 4 << 20 };

static void used_follows_allocations(void **state) {
    uint64_t before = mem_used();
    char *block = mem_alloc(BIG_BYTES);
    assert_true(mem_usable(block) >= BIG_BYTES);
    assert_in_range(mem_used(), before + BIG_BYTES, before + BIG_BYTES + SLACK_BYTES);
    block = mem_realloc(block, 2 * (size_t)BIG_BYTES);
    assert_in_range(mem_used(), before + 2 * BIG_BYTES, before + 2 * BIG_BYTES + SLACK_BYTES);
    mem_free(block);
    assert_true(mem_used() <= before + SLACK_BYTES);
}

static void blocks_are_what_they_say(void **state) {
    char *zeroed = mem_calloc(1000, 7);
    for (int i = 0; i < 7000; i++)
        assert_int_equal(zeroed[i], 0);
    mem_free(zeroed);
    mem_free(NULL);
    char *copy = mem_strndup("abcdef", 3);
    assert_string_equal(copy, "abc");
    mem_free(copy);
    copy = mem_strndup("ab", 100);
    assert_string_equal(copy, "ab");
    mem_free(copy);
    copy = mem_strdup("");
    assert_string_equal(copy, "");
    mem_free(copy);
    char *empty = mem_alloc(0);
    assert_non_null(empty);
    empty = mem_realloc(empty, 0);
    assert_non_null(empty);
    mem_free(empty);
}

static void *allocate_in_thread(void *pipe_fd) {
    mem_thread_register();
    void *block = mem_alloc(BIG_BYTES);
    assert_int_equal(write(*(int *)pipe_fd, &block, sizeof block), sizeof block);
    pause(); /* lives as long as the process, as a registered thread must */
    return NULL;
}

/* Allocated by one thread, freed by another: the sum is right at each step. */
static void threads_are_summed(void **state) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    uint64_t before = mem_used();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, allocate_in_thread, &ends[1]), 0);
    void *block;
    assert_int_equal(read(ends[0], &block, sizeof block), sizeof block);
    assert_in_range(mem_used(), before + BIG_BYTES, before + BIG_BYTES + SLACK_BYTES);
    mem_free(block);
    assert_true(mem_used() <= before + SLACK_BYTES);
}

struct panic_case {
    void (*body)(void);
    const char *text;
};

static void overflow(void) {
    mem_calloc(SIZE_MAX / 2, 3);
}

static void too_much(void) {
    mem_alloc(SIZE_MAX / 4);
}

static char log_path[128];

static void run_panic_case(void *context) {
    const struct panic_case *c = context;
    log_open("0", LOG_WARNING, log_path);
    c->body();
}

static void out_of_memory_names_the_size(void **state) {
    struct panic_case cases[] = {
        {overflow, "allocation of 9223372036854775807 times 3 bytes overflows"},
        {too_much, "out of memory allocating 4611686018427387903 bytes"},
    };
    struct support_dir dir = support_dir_make();
    snprintf(log_path, sizeof log_path, "%s/log", dir.path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = support_in_child(run_panic_case, &cases[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        char *text = support_read_file(log_path, NULL);
        assert_non_null(strstr(text, cases[i].text));
        free(text);
    }
    support_dir_remove(dir);
    assert_null(mem_try_alloc(SIZE_MAX / 4));
    void *some = mem_try_alloc(10);
    assert_non_null(some);
    mem_free(some);
}

#ifdef REMUDA_SANITIZE
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:detect_leaks=0";
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(used_follows_allocations),
        cmocka_unit_test(blocks_are_what_they_say),
        cmocka_unit_test(threads_are_summed),
        cmocka_unit_test(out_of_memory_names_the_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
