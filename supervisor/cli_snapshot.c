/* cli_snapshot.c - `remuda snapshot` of the running pool, and `remuda restore`. */
#include "supervisor/cli_private.h"
#include "shared/base/mem.h"
#include "supervisor/pool_client.h"
#include "supervisor/restore.h"
#include <stdlib.h>
#include <string.h>

static int complain(const char *why) {
    fprintf(stderr, "remuda: %s\n", why);
    return EXIT_FAILURE;
}

static int ask_for_snapshot(const struct config *config, const char *name, const char *keep) {
    const char *argv[5] = {"REMUDA", "SNAPSHOT"};
    char error[1024], *path;
    struct pool_client client;
    int argc = 2;
    if (name)
        argv[argc++] = name;
    if (keep) {
        argv[argc++] = "KEEP";
        argv[argc++] = keep;
    }
    if (pool_client_open(&client, config, error, sizeof(error)) != 0)
        return complain(error);
    int result = pool_client_ask(&client, argc, argv, &path, error, sizeof(error));
    pool_client_close(&client);
    if (result != 0)
        return complain(error);
    puts(path);
    mem_free(path);
    return EXIT_SUCCESS;
}

int cli_snapshot(int argc, char **argv) {
    struct arguments arguments = cli_split_arguments(argc, argv);
    const char *name = cli_take_option(&arguments, "--as");
    const char *keep = cli_take_option(&arguments, "--keep");
    if ((name && !name[0]) || (keep && !keep[0])) {
        complain("--as needs a name, --keep a number");
        return EXIT_USAGE;
    }
    struct config *config = cli_load_config(&arguments);
    if (!config)
        return EXIT_FAILURE;
    int code = ask_for_snapshot(config, name, keep);
    config_free(&config);
    return code;
}

int cli_restore(int argc, char **argv) {
    struct arguments arguments = cli_split_arguments(argc, argv);
    const char *dir = cli_take_option(&arguments, "--dir");
    char error[1024];
    if (!arguments.path || !dir || !dir[0] || arguments.option_count > 0) {
        complain("use it so: remuda restore SNAPSHOT_DIR --dir DATA");
        return EXIT_USAGE;
    }
    struct restored restored;
    if (restore(arguments.path, dir, &restored, error, sizeof(error)) != 0)
        return complain(error);
    printf("%s holds a pool of %u shards with %llu keys now\n", dir, restored.shards,
           (unsigned long long)restored.keys);
    return EXIT_SUCCESS;
}
