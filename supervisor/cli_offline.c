/* cli_offline.c - what import, export and check share; see cli_offline_private.h. */
#include "supervisor/cli_offline_private.h"
#include "supervisor/cli_private.h"
#include "supervisor/datadir.h"
#include "supervisor/spawn.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 256 };

int offline_complain(const struct offline *o) {
    fprintf(stderr, "remuda: %s: %s\n", o->tool, o->error);
    return EXIT_FAILURE;
}

int offline_begin(struct offline *o, const char *tool, const char *flag, const char *usage,
                  int argc, char **argv) {
    char *rest[ARGUMENTS_MAX];
    int count = 0;
    *o = (struct offline){.tool = tool, .lock_fd = -1};
    for (int i = 0; i < argc && count < ARGUMENTS_MAX; i++) {
        if (flag && strcmp(argv[i], flag) == 0)
            o->flag = true;
        else if (!o->subject)
            o->subject = argv[i];
        else
            rest[count++] = argv[i];
    }
    if (!o->subject || strncmp(o->subject, "--", 2) == 0) {
        fprintf(stderr, "remuda: usage: remuda %s\n", usage);
        return EXIT_USAGE;
    }
    struct arguments arguments = cli_split_arguments(count, rest);
    o->config = cli_load_config(&arguments);
    if (!o->config)
        return EXIT_FAILURE;
    if (spawn_find_worker(o->worker_path, NULL, OFFLINE_PATH_BYTES, o->error, OFFLINE_TEXT_BYTES) ==
        0)
        return 0;
    return offline_complain(o);
}

int offline_end(struct offline *o, int code) {
    if (o->lock_fd >= 0)
        close(o->lock_fd);
    config_free(&o->config);
    return code;
}

int offline_lock(struct offline *o, const char *dir, bool alone, const char *advice) {
    o->lock_fd = datadir_lock(dir, alone, o->error, OFFLINE_TEXT_BYTES);
    if (o->lock_fd < 0 && errno == EWOULDBLOCK)
        strncat(o->error, advice, OFFLINE_TEXT_BYTES - 1 - strlen(o->error));
    return o->lock_fd < 0 ? -1 : 0;
}

int offline_read_pool(struct offline *o, const char *dir) {
    int found = pool_file_read(dir, &o->pool, o->error, OFFLINE_TEXT_BYTES);
    if (found == 1)
        snprintf(o->error, OFFLINE_TEXT_BYTES, "%s holds no pool: there is no " POOL_FILE_NAME,
                 dir);
    if (found == 0)
        pool_file_slots_text(&o->pool, o->slots);
    return found == 0 ? 0 : -1;
}

enum tool_end offline_tool(const struct offline *o, const char *const *arguments) {
    struct tool tool = {.worker_path = o->worker_path, .config = o->config, .lock_fd = o->lock_fd};
    for (size_t i = 0; arguments[i]; i++)
        tool.arguments[i] = arguments[i];
    return tool_run(&tool);
}
