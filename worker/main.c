/* main.c - remuda-worker INDEX GENERATION, started by the supervisor with the descriptors of
 * shared/ipc/inherit.h; or an offline tool (worker/offline/offline.h). Of no use by hand. */
#include "worker/worker.h"

#include "shared/base/bytes.h"
#include "shared/base/panic.h"
#include "shared/ipc/inherit.h"
#include "worker/offline/offline.h"

#include <stdio.h>
#include <sys/stat.h>

int main(int argc, char **argv) {
    uint64_t shard, generation;
    struct stat st;
    if (argc > 1 && offline_is_tool(argv[1])) {
        panic_on_fatal_signals();
        return offline_run(argc - 1, argv + 1);
    }
    if (argc != 3 || !bytes_to_u64(bytes_of_text(argv[1]), &shard) || shard >= SHARD_MAX ||
        !bytes_to_u64(bytes_of_text(argv[2]), &generation) || generation > UINT32_MAX ||
        fstat(INHERIT_FD_SEGMENT, &st) != 0) {
        fprintf(stderr,
                "remuda-worker is started by remuda, which gives it its shard; start that.\n");
        return EXIT_BAD_START;
    }
    panic_on_fatal_signals();
    static struct worker worker;
    int code = worker_open(&worker, (uint32_t)shard, (uint32_t)generation);
    return code ? code : worker_run(&worker);
}
