/* fuzz_rdb.c - any bytes as a snapshot and as a log: loaded, or refused with a text that begins with the
 * place. Checksums are not looked at, or the fuzzer would never get past them. */
#include "worker/persist/aof_private.h"
#include "worker/persist/rdb_private.h"

#include "shared/base/log.h"
#include "shared/base/panic.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_BYTES = 256, DATABASES = 16 };

static int take_command(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                        size_t error_bytes) {
    uint64_t *bytes = arg;
    for (uint32_t i = 0; i < argc; i++)
        for (size_t k = 0; k < argv[i].len; k++)
            *bytes += (unsigned char)argv[i].ptr[k]; /* every byte is there to be read */
    return 0;
}

static void expect_a_place(const char *error) {
    ASSERT(strncmp(error, "at byte ", 8) == 0);
}

static void load_both(int fd, uint64_t size, const struct config *config) {
    char error[TEXT_BYTES] = "";
    struct rdb_loaded loaded;
    struct aof_loaded log;
    uint64_t sum = 0;
    struct keyspace *ks = keyspace_create(DATABASES, NULL, NULL);
    struct rdb_load_job rdb_job = {.ks = ks, .config = config};
    if (rdb_load_fd(fd, size, &rdb_job, &loaded, error, sizeof error) != 0)
        expect_a_place(error);
    keyspace_flush_all(ks, false);
    struct aof_load_job log_job = {
        .ks = ks, .config = config, .apply = take_command, .apply_arg = &sum, .may_be_cut = true};
    if (aof_load_fd(fd, size, &log_job, &log, error, sizeof error) != 0)
        expect_a_place(error);
    else
        ASSERT(log.end + log.cut_bytes == size);
    keyspace_free(&ks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct config *config;
    static int fd = -1;
    if (config == NULL) {
        config = config_create();
        config->rdbchecksum = false;
        log_set_level(LOG_WARNING);
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    }
    ASSERT(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    load_both(fd, size, config);
    return 0;
}
