/* cli_offline.c - remuda import, export and check. The work on the files of shards is remuda-worker's
 * (tool.h); what is done here is the lock, pool.json, and putting what was built in force. */
#include "shared/base/log.h"
#include "supervisor/cli_args.h"
#include "supervisor/cli_offline.h"
#include "supervisor/datadir.h"
#include "supervisor/move.h"
#include "supervisor/privileges.h"
#include "supervisor/spawn.h"
#include "supervisor/tool.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 8192, PATH_BYTES = 4096, ARGUMENTS_MAX = 256 };

/* One run of a tool: `remuda TOOL SUBJECT [--flag] [pool.ini] [--name value ...]`. */
struct offline {
    const char *tool, *subject;
    bool flag;
    struct config *config;
    bool appendonly_told; /* by pool.ini or an argument */
    int lock_fd;
    char worker_path[PATH_BYTES];
    struct pool_file pool;
    char slots[POOL_SLOTS_TEXT_BYTES];
    char error[TEXT_BYTES];
};

static int complain(const struct offline *o) {
    fprintf(stderr, "remuda: %s: %s\n", o->tool, o->error);
    return EXIT_FAILURE;
}

/* Take the subject and the tool's own flag out of the arguments; the rest is as a pool's. Returns 0 or an
 * exit code after telling why. */
static int begin(struct offline *o, const char *tool, const char *flag, const char *usage, int argc,
                 char **argv) {
    char *rest[ARGUMENTS_MAX];
    int count = 0;
    *o = (struct offline){.tool = tool, .lock_fd = -1};
    for (int i = 0; i < argc && count < ARGUMENTS_MAX; i++) {
        if (flag && strcmp(argv[i], flag) == 0)
            o->flag = true;
        else if (!o->subject && strncmp(argv[i], "--", 2) != 0)
            o->subject = argv[i];
        else
            rest[count++] = argv[i];
    }
    if (!o->subject) {
        fprintf(stderr, "remuda: usage: remuda %s\n", usage);
        return CLI_EXIT_USAGE;
    }
    struct cli_arguments arguments = cli_split(count, rest);
    o->appendonly_told = arguments.path != NULL;
    for (int i = 0; i < arguments.option_count; i++)
        o->appendonly_told |= strcasecmp(arguments.options[i], "--appendonly") == 0;
    o->config = cli_load_config(&arguments);
    if (!o->config)
        return EXIT_FAILURE;
    if (spawn_find_worker(o->worker_path, NULL, PATH_BYTES, o->error, TEXT_BYTES) == 0)
        return 0;
    return complain(o);
}

static int end(struct offline *o, int code) {
    if (o->lock_fd >= 0)
        close(o->lock_fd);
    config_free(&o->config);
    return code;
}

static enum tool_end run_tool(const struct offline *o, const char *const *arguments) {
    struct tool tool = {.worker_path = o->worker_path, .config = o->config, .lock_fd = o->lock_fd};
    for (size_t i = 0; arguments[i]; i++)
        tool.arguments[i] = arguments[i];
    return tool_run(&tool);
}

/* ---- import ---- */

/* The directory as a pool would have it: made, the user's, locked. */
static int open_target(struct offline *o) {
    struct privileges_target target;
    if (privileges_find(o->config->user, &target, o->error, TEXT_BYTES) != 0)
        return -1;
    o->lock_fd = datadir_open(o->config->dir, target.uid, target.gid, 0, o->error, TEXT_BYTES);
    return o->lock_fd < 0 ? -1 : privileges_drop(&target, o->error, TEXT_BYTES);
}

static int check_empty(struct offline *o) {
    const char *dir = o->config->dir;
    if (move_undo_import(dir, o->error, TEXT_BYTES) != 0 ||
        move_recover(dir, o->config, o->error, TEXT_BYTES) != 0)
        return -1;
    int found = pool_file_read(dir, &o->pool, o->error, TEXT_BYTES);
    if (found == 1 && !pool_file_has_shards(dir))
        return 0;
    if (found >= 0)
        snprintf(o->error, TEXT_BYTES, "%s holds a pool already; choose another --dir", dir);
    return -1;
}

static int import(struct offline *o) {
    char incoming[MOVE_PATH_BYTES], why[256];
    const char *dir = o->config->dir;
    if (open_target(o) != 0 || check_empty(o) != 0 ||
        move_prepare(dir, incoming, o->error, TEXT_BYTES) != 0)
        return complain(o);
    pool_file_make(&o->pool, config_workers(o->config));
    pool_file_slots_text(&o->pool, o->slots);
    const char *arguments[] = {"import", o->subject, incoming, o->slots, NULL};
    enum tool_end ended = run_tool(o, arguments);
    if (ended != TOOL_DONE) {
        if (move_discard(dir, why, sizeof(why)) != 0)
            fprintf(stderr, "remuda: import: %s\n", why);
        return EXIT_FAILURE;
    }
    if (move_commit(dir, 0, &o->pool, o->config, o->error, TEXT_BYTES) != 0)
        return complain(o);
    printf("%s holds a pool of %u shards now; start it with --dir %s --workers %u\n", dir,
           o->pool.shards, dir, o->pool.shards);
    return EXIT_SUCCESS;
}

int cli_import(int argc, char **argv) {
    static struct offline o;
    int code = begin(&o, "import", NULL, "import FILE|DIR [pool.ini] [--dir DATA] [--workers N]",
                     argc, argv);
    return end(&o, code ? code : import(&o));
}

/* ---- export ---- */

/* pool.json, not in the middle of a move, and the slots of its shards. */
static int read_pool(struct offline *o, const char *dir) {
    int found = pool_file_read(dir, &o->pool, o->error, TEXT_BYTES);
    if (found == 1)
        snprintf(o->error, TEXT_BYTES, "%s holds no pool: there is no " POOL_FILE_NAME, dir);
    if (found != 0)
        return -1;
    const char *pending = move_pending(dir, &o->pool);
    pool_file_slots_text(&o->pool, o->slots);
    if (!o->pool.moving)
        return 0; /* what is pending besides has no effect on what counts */
    snprintf(o->error, TEXT_BYTES, "%s: %s; start the pool or run `remuda check --fix`", dir,
             pending);
    return -1;
}

static bool shard_has(const struct offline *o, uint32_t shard, const char *name,
                      const char *suffix) {
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%.3000s/shard-%04u/%.500s%.300s", o->config->dir, shard, name,
             suffix);
    return access(path, F_OK) == 0;
}

/* Nobody said which files count: right only if there is no choice. */
static int find_which_counts(struct offline *o) {
    char manifest[600];
    bool log = false, snapshot = false;
    snprintf(manifest, sizeof(manifest), "/%.255s.manifest", o->config->appendfilename);
    for (uint32_t i = 0; i < o->pool.shards; i++) {
        log |= shard_has(o, i, o->config->appenddirname, manifest) ||
               shard_has(o, i, o->config->appendfilename, "");
        snapshot |= shard_has(o, i, o->config->dbfilename, "");
    }
    o->config->appendonly = log;
    if (!log || !snapshot)
        return 0;
    snprintf(o->error, TEXT_BYTES,
             "%s holds both logs and snapshots: say with --appendonly yes or no, or by naming its "
             "pool.ini, which of them counts",
             o->config->dir);
    return -1;
}

static int lock_pool(struct offline *o, const char *dir, bool alone, const char *advice) {
    o->lock_fd = datadir_lock(dir, alone, o->error, TEXT_BYTES);
    if (o->lock_fd < 0 && errno == EWOULDBLOCK)
        strncat(o->error, advice, TEXT_BYTES - 1 - strlen(o->error));
    return o->lock_fd < 0 ? -1 : 0;
}

static int export_pool(struct offline *o) {
    char out[PATH_BYTES];
    const char *slash = strrchr(o->subject, '/'), *name = slash ? slash + 1 : o->subject;
    snprintf(out, sizeof(out), "%.*s",
             slash ? (int)(slash - o->subject + (slash == o->subject)) : 1,
             slash ? o->subject : ".");
    bool taken = access(o->subject, F_OK) == 0 && !o->flag;
    if (!*name || taken) {
        snprintf(o->error, TEXT_BYTES, "%s %s", o->subject,
                 taken ? "exists; --force replaces it" : "is no name of a file");
        return complain(o);
    }
    if (lock_pool(o, o->config->dir, false,
                  ": take `remuda snapshot` and export the snapshot's folder") != 0 ||
        read_pool(o, o->config->dir) != 0 || (!o->appendonly_told && find_which_counts(o) != 0))
        return complain(o);
    const char *arguments[] = {
        "export", o->config->dir, o->slots, out, name, o->flag ? "replace" : "new", NULL};
    return run_tool(o, arguments) == TOOL_DONE ? EXIT_SUCCESS : EXIT_FAILURE;
}

int cli_export(int argc, char **argv) {
    static struct offline o;
    int code =
        begin(&o, "export", "--force", "export FILE [--force] [pool.ini] [--dir DATA]", argc, argv);
    return end(&o, code ? code : export_pool(&o));
}

/* ---- check ---- */

int cli_check(int argc, char **argv) {
    static struct offline o;
    int code = begin(&o, "check", "--fix", "check DIR|FILE [--fix] [pool.ini]", argc, argv);
    return end(&o, code ? code : 1);
}
