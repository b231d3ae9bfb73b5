/* cli_offline_private.h - one run of a tool that works on files:
 * `remuda TOOL SUBJECT [--flag] [pool.ini] [--name value ...]`. The work on the files of shards is
 * remuda-worker's (tool.h); here are the lock, pool.json, and putting what was built in force. */
#ifndef REMUDA_SUPERVISOR_CLI_OFFLINE_PRIVATE_H
#define REMUDA_SUPERVISOR_CLI_OFFLINE_PRIVATE_H
#include "supervisor/pool_file.h"
#include "supervisor/tool.h"

enum { OFFLINE_TEXT_BYTES = 8192, OFFLINE_PATH_BYTES = 4096 };

struct offline {
    const char *tool, *subject;
    bool flag;
    struct config *config;
    int lock_fd; /* -1: none */
    char worker_path[OFFLINE_PATH_BYTES];
    struct pool_file pool;
    char slots[POOL_SLOTS_TEXT_BYTES];
    char error[OFFLINE_TEXT_BYTES];
};

/* Take the subject and the tool's own flag out of the arguments; the rest is as a pool's. Returns 0, or an
 * exit code after telling why. */
int offline_begin(struct offline *o, const char *tool, const char *flag, const char *usage,
                  int argc, char **argv);
/* Returns the code it was given. */
int offline_end(struct offline *o, int code);
/* Tell o->error. Returns EXIT_FAILURE. */
int offline_complain(const struct offline *o);
/* The lock of a pool's directory; advice is added if one runs there. 0, or -1 with o->error. */
int offline_lock(struct offline *o, const char *dir, bool alone, const char *advice);
/* pool.json, and the slots of its shards. 0, or -1 with o->error. */
int offline_read_pool(struct offline *o, const char *dir);
enum tool_end offline_tool(const struct offline *o, const char *const *arguments);

#endif
