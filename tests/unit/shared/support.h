/* support.h - what the tests of shared/ have in common: cmocka's includes, a seed that is printed,
 * a random source, a directory that goes away, and a child whose end is looked at. */
#ifndef REMUDA_TESTS_SHARED_SUPPORT_H
#define REMUDA_TESTS_SHARED_SUPPORT_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* SEED=n in the environment repeats a run. */
static inline uint64_t support_seed(void) {
    const char *text = getenv("SEED");
    uint64_t seed =
        text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
    print_message("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* splitmix64 */
static inline uint64_t support_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

struct support_dir {
    char path[64];
};

static inline struct support_dir support_dir_make(void) {
    struct support_dir dir = {"/tmp/remuda-test-XXXXXX"};
    assert_non_null(mkdtemp(dir.path));
    return dir;
}

static inline int support_dir_count(const char *path) {
    DIR *entries = opendir(path);
    assert_non_null(entries);
    int count = 0;
    for (struct dirent *e; (e = readdir(entries));)
        count += e->d_name[0] != '.';
    closedir(entries);
    return count;
}

static inline void support_dir_remove(struct support_dir dir) {
    DIR *entries = opendir(dir.path);
    assert_non_null(entries);
    for (struct dirent *e; (e = readdir(entries));)
        unlinkat(dirfd(entries), e->d_name, 0);
    closedir(entries);
    assert_int_equal(rmdir(dir.path), 0);
}

/* The content of a file, NUL-terminated; free() it. */
static inline char *support_read_file(const char *path, size_t *len_r) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t cap = 1 << 20, len = 0, got;
    char *text = malloc(cap + 1);
    while ((got = fread(text + len, 1, cap - len, file)) > 0) {
        len += got;
        if (len == cap)
            text = realloc(text, (cap *= 2) + 1);
    }
    fclose(file);
    text[len] = '\0';
    if (len_r)
        *len_r = len;
    return text;
}

static inline int support_wait(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* Runs body(context) in a child; returns its wait status. */
static inline int support_in_child(void (*body)(void *), void *context) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body(context);
        _exit(0);
    }
    return support_wait(pid);
}

#endif
