/* shard_files.c - see the header. */
#include "tests/integration/shard_files.h"
#include <fcntl.h>
#include <sys/stat.h>

static void shell(const char *format, const char *a, const char *b) {
    int code;
    char *command = NULL;
    assert_true(asprintf(&command, format, a, b) > 0);
    char *output = run_shell(&code, "%s 2>&1", command);
    if (code != 0)
        fail_msg("%s: %s", command, output);
    free(output);
    free(command);
}

const char *shard_file(const struct pool *pool, unsigned shard, const char *name) {
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/shard-%04u/%s", pool->data, shard, name);
    return path;
}

void files_keep(const struct pool *pool) {
    shell("rm -rf %1$s/kept && cp -a %2$s %1$s/kept", pool->dir, pool->data);
}

void files_put_back(const struct pool *pool) {
    shell("rm -rf %2$s && cp -a %1$s/kept %2$s", pool->dir, pool->data);
}

char *files_digest(const char *directory) {
    int code;
    char *text = run_shell(
        &code, "cd '%s' && find . | sort && find . -type f | sort | xargs sha256sum", directory);
    assert_int_equal(code, 0);
    return text;
}

int64_t file_size(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0)
        fail_msg("%s does not exist", path);
    return st.st_size;
}

void file_flip_bit(const char *path, int64_t bit) {
    char byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, bit / 8), 1);
    byte ^= (char)(1 << bit % 8);
    assert_int_equal(pwrite(fd, &byte, 1, bit / 8), 1);
    close(fd);
}

void file_write(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

struct octets file_read(const char *path) {
    struct octets content = {.len = (size_t)file_size(path)};
    FILE *file = fopen(path, "r");
    content.data = calloc(1, content.len + 1);
    assert_true(file != NULL && content.data != NULL);
    assert_int_equal(fread(content.data, 1, content.len, file), content.len);
    fclose(file);
    return content;
}

static bool all_decided(const struct pool *pool, uint32_t *failed_r) {
    *failed_r = 0;
    for (unsigned i = 0; i < pool->workers; i++) {
        const char *state = pool_text(pool, "workers.%u.state", i);
        if (strcmp(state, "failed") == 0)
            *failed_r |= 1U << i;
        else if (strcmp(state, "up") != 0)
            return false;
    }
    return true;
}

uint32_t start_with_damage(struct pool *pool) {
    uint32_t failed;
    pool->options.unready = true;
    pool_start_again(pool);
    AWAIT(all_decided(pool, &failed));
    pool->options.unready = false;
    return failed;
}

void pool_set_option(struct pool *pool, const char *name, const char *value) {
    for (const char **option = pool->options.options; *option; option += 2) {
        if (strcmp(*option, name) == 0) {
            option[1] = value;
            return;
        }
    }
    fail_msg("the pool has no option %s", name);
}
