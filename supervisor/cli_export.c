/* cli_export.c - remuda export: a pool that does not run, or a snapshot of one, becomes one dump.rdb. */
#include "supervisor/cli_offline_private.h"
#include "supervisor/cli_private.h"
#include "supervisor/move.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* pool.json, not in the middle of a move, and the slots of its shards. */
static int read_pool(struct offline *o, const char *dir) {
    if (offline_read_pool(o, dir) != 0)
        return -1;
    const char *pending = move_pending(dir, &o->pool);
    if (!o->pool.moving)
        return 0; /* what is pending besides has no effect on what counts */
    snprintf(o->error, OFFLINE_TEXT_BYTES, "%s: %s; start the pool or run `remuda check --fix`",
             dir, pending);
    return -1;
}

static int export_pool(struct offline *o) {
    char out[OFFLINE_PATH_BYTES];
    const char *slash = strrchr(o->subject, '/'), *name = slash ? slash + 1 : o->subject;
    snprintf(out, sizeof(out), "%.*s",
             slash ? (int)(slash - o->subject + (slash == o->subject)) : 1,
             slash ? o->subject : ".");
    bool taken = access(o->subject, F_OK) == 0 && !o->flag;
    if (!*name || taken) {
        snprintf(o->error, OFFLINE_TEXT_BYTES, "%s %s", o->subject,
                 taken ? "exists; --force replaces it" : "is no name of a file");
        return offline_complain(o);
    }
    if (offline_lock(o, o->config->dir, false,
                     ": take `remuda snapshot` and export the snapshot's folder") != 0 ||
        read_pool(o, o->config->dir) != 0)
        return offline_complain(o);
    const char *arguments[] = {
        "export", o->config->dir, o->slots, out, name, o->flag ? "replace" : "new", NULL};
    return offline_tool(o, arguments) == TOOL_DONE ? EXIT_SUCCESS : EXIT_FAILURE;
}

int cli_export(int argc, char **argv) {
    static struct offline o;
    int code = offline_begin(&o, "export", "--force",
                             "export FILE [--force] [pool.ini] [--dir DATA]", argc, argv);
    return offline_end(&o, code ? code : export_pool(&o));
}
