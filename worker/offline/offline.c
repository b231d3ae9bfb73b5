/* offline.c - the table of tools, their arguments, and how they tell what they do. */
#include "worker/offline/offline_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/ipc/inherit.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const uint64_t PROGRESS_EVERY_US = 1000000;

struct tool {
    const char *name;
    int arguments;
    bool logs;
    int (*run)(struct offline *o, char **argv);
};
static const struct tool tools[] = {
    {"import", 3, false, import_run},
    {"redistribute", 4, true, redistribute_run},
    {"export", 5, false, export_run},
    {"check", 3, false, check_run},
};

static const struct tool *find(const char *name) {
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        if (strcmp(tools[i].name, name) == 0)
            return &tools[i];
    }
    return NULL;
}

bool offline_is_tool(const char *name) {
    return find(name) != NULL;
}

struct slot_map *offline_slots(const char *text) {
    struct slot_map *map = mem_calloc(1, sizeof *map);
    uint32_t slot = 0;
    for (const char *at = text; at != NULL && map->shards < SHARD_MAX;) {
        char *end;
        unsigned long first = strtoul(at, &end, 10);
        bool fits = end > at && first < SLOT_COUNT && (map->shards > 0 ? first > slot : first == 0);
        if (!fits || (*end != ',' && *end != '\0')) {
            mem_free(map);
            return NULL;
        }
        slot = (uint32_t)first;
        map->first[map->shards++] = (uint16_t)slot;
        at = *end == ',' ? end + 1 : NULL;
    }
    map->first[map->shards] = SLOT_COUNT;
    for (uint32_t shard = 0; shard < map->shards; shard++) {
        for (uint32_t i = map->first[shard]; i < map->first[shard + 1]; i++)
            map->owner[i] = (uint16_t)shard;
    }
    return map;
}

/* ---- telling ---- */
void offline_say(const struct offline *o, const char *format, ...) {
    char line[OFFLINE_TEXT_BYTES + SHARD_PATH_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (o->logs)
        log_notice("%s", line);
    else
        puts(line);
}

static void tell(struct offline *o, uint64_t done) {
    char line[256];
    o->shown_us = clock_mono_us();
    uint64_t work = o->total_bytes + o->writing_total;
    uint64_t percent = work > 0 ? (done + o->writing_done) * 100 / work : 100;
    snprintf(line, sizeof line,
             "%s: %" PRIu64 " %%, %" PRIu64 " keys, %" PRIu64 " of %" PRIu64 " bytes read, %.1f s",
             o->tool, percent, o->keys, done, o->total_bytes,
             (double)(o->shown_us - o->started_us) / 1e6);
    if (o->logs)
        log_notice("%s", line);
    else
        fprintf(stderr, "%s\n", line);
}

void offline_progress(struct offline *o, uint64_t offset) {
    if (clock_mono_us() - o->shown_us >= PROGRESS_EVERY_US)
        tell(o, o->before_bytes + offset);
}

void offline_progress_begin(struct offline *o, const struct shard_files *files, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        o->total_bytes += files[i].bytes;
        o->writing_total += files[i].source >= SHARD_SINGLE_LOG ? files[i].bytes : 0;
    }
    o->started_us = clock_mono_us();
    tell(o, 0);
}

void offline_progress_end(struct offline *o) {
    tell(o, o->before_bytes);
}

/* ---- running ---- */
static struct config *inherited_config(const char *tool) {
    char error[CONFIG_ERROR_BYTES];
    struct config *config = config_create();
    if (config_from_fd(config, INHERIT_FD_CONFIG, error) == 0)
        return config;
    fprintf(stderr, "remuda-worker %s is started by remuda; run `remuda %s`. (%s)\n", tool, tool,
            error);
    config_free(&config);
    return NULL;
}

int offline_run(int argc, char **argv) {
    const struct tool *tool = find(argv[0]);
    /* What is left unfinished is of no use to anyone: go with the process that waits for it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct offline o = {.tool = tool->name, .logs = tool->logs};
    o.config = argc == 1 + tool->arguments ? inherited_config(tool->name) : NULL;
    if (o.config == NULL)
        return EXIT_BAD_START;
    log_open("T", tool->logs ? (enum log_level)o.config->loglevel : LOG_WARNING,
             tool->logs ? o.config->logfile : NULL);
    int code = tool->run(&o, argv + 1);
    if (code != 0 && o.error[0] != '\0' && o.logs)
        log_warning("%s: %s", tool->name, o.error);
    else if (code != 0 && o.error[0] != '\0')
        fprintf(stderr, "remuda: %s: %s\n", tool->name, o.error);
    if (fflush(stdout) != 0)
        code = EXIT_FAILURE;
    config_free(&o.config);
    return code;
}
