/* cli_import.c - remuda import: the files of a real server become a pool. */
#include "supervisor/cli_offline_private.h"
#include "supervisor/cli_private.h"
#include "supervisor/datadir.h"
#include "supervisor/move.h"
#include "supervisor/privileges.h"
#include <stdio.h>
#include <stdlib.h>

/* The directory as a pool would have it: made, the user's, locked. */
static int open_target(struct offline *o) {
    struct privileges_target target;
    if (privileges_find(o->config->user, &target, o->error, OFFLINE_TEXT_BYTES) != 0)
        return -1;
    o->lock_fd =
        datadir_open(o->config->dir, target.uid, target.gid, 0, o->error, OFFLINE_TEXT_BYTES);
    return o->lock_fd < 0 ? -1 : privileges_drop(&target, o->error, OFFLINE_TEXT_BYTES);
}

static int check_empty(struct offline *o) {
    const char *dir = o->config->dir;
    if (move_undo_import(dir, o->error, OFFLINE_TEXT_BYTES) != 0 ||
        move_recover(dir, o->config, o->error, OFFLINE_TEXT_BYTES) != 0)
        return -1;
    int found = pool_file_read(dir, &o->pool, o->error, OFFLINE_TEXT_BYTES);
    if (found == 1 && !pool_file_has_shards(dir))
        return 0;
    if (found >= 0)
        snprintf(o->error, OFFLINE_TEXT_BYTES, "%s holds a pool already; choose another --dir",
                 dir);
    return -1;
}

static int import(struct offline *o) {
    char incoming[MOVE_PATH_BYTES], why[256];
    const char *dir = o->config->dir;
    if (open_target(o) != 0 || check_empty(o) != 0 ||
        move_prepare(dir, incoming, o->error, OFFLINE_TEXT_BYTES) != 0)
        return offline_complain(o);
    pool_file_make(&o->pool, config_workers(o->config));
    pool_file_slots_text(&o->pool, o->slots);
    const char *arguments[] = {"import", o->subject, incoming, o->slots, NULL};
    enum tool_end ended = offline_tool(o, arguments);
    if (ended == TOOL_STOPPED)
        fprintf(stderr, "remuda: import: told to stop; nothing was imported\n");
    if (ended != TOOL_DONE) {
        if (move_discard(dir, why, sizeof(why)) != 0)
            fprintf(stderr, "remuda: import: %s\n", why);
        return EXIT_FAILURE;
    }
    if (move_commit(dir, 0, &o->pool, o->config, o->error, OFFLINE_TEXT_BYTES) != 0)
        return offline_complain(o);
    printf("%s holds a pool of %u shards now; start it with --dir %s --workers %u\n", dir,
           o->pool.shards, dir, o->pool.shards);
    return EXIT_SUCCESS;
}

int cli_import(int argc, char **argv) {
    static struct offline o;
    int code = offline_begin(&o, "import", NULL,
                             "import FILE|DIR [pool.ini] [--dir DATA] [--workers N]", argc, argv);
    return offline_end(&o, code ? code : import(&o));
}
