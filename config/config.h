/* config.h - the options of a pool, as one struct generated from options.def, and what may be done
 * with them. Pure but for config_load_file() and config_rewrite_file(): no process state. */
#ifndef REMUDA_CONFIG_H
#define REMUDA_CONFIG_H
#include "shared/base/buf.h"
#include "shared/base/bytes.h"
#include <stdbool.h>
#include <stdint.h>

enum { SAVE_POINTS_MAX = 16, CONFIG_ERROR_BYTES = 1024 };

struct save_points {
    uint32_t count;
    struct {
        int64_t seconds, changes;
    } point[SAVE_POINTS_MAX];
};

enum output_class { OUTPUT_NORMAL, OUTPUT_REPLICA, OUTPUT_PUBSUB, OUTPUT_CLASSES };
struct output_limits {
    struct {
        int64_t hard_bytes, soft_bytes, soft_seconds; /* 0: no limit */
    } of[OUTPUT_CLASSES];
};

/* The order of the words in options.def, which is Redis's. */
enum appendfsync { APPENDFSYNC_EVERYSEC, APPENDFSYNC_ALWAYS, APPENDFSYNC_NO };
enum maxmemory_policy {
    MAXMEMORY_VOLATILE_LRU,
    MAXMEMORY_VOLATILE_LFU,
    MAXMEMORY_VOLATILE_RANDOM,
    MAXMEMORY_VOLATILE_TTL,
    MAXMEMORY_ALLKEYS_LRU,
    MAXMEMORY_ALLKEYS_LFU,
    MAXMEMORY_ALLKEYS_RANDOM,
    MAXMEMORY_NOEVICTION
};
enum enable_debug_command { DEBUG_COMMAND_NO, DEBUG_COMMAND_YES, DEBUG_COMMAND_LOCAL };

#define CONFIG_FIELD_INT    int64_t
#define CONFIG_FIELD_BOOL   bool
#define CONFIG_FIELD_MEMORY int64_t
#define CONFIG_FIELD_ENUM   int
#define CONFIG_FIELD_STRING char *
#define CONFIG_FIELD_WORDS  char *
#define CONFIG_FIELD_SAVE   struct save_points
#define CONFIG_FIELD_OUTPUT struct output_limits

struct config {
#define OPTION(field, name, section, type, unit, def, min, max, when, help)                        \
    CONFIG_FIELD_##type field;
#include "config/options.def"
#undef OPTION
};

enum option_type {
    OPTION_INT,
    OPTION_BOOL,
    OPTION_MEMORY,
    OPTION_ENUM,
    OPTION_STRING,
    OPTION_WORDS,
    OPTION_SAVE,
    OPTION_OUTPUT,
    OPTION_TYPE_COUNT
};
enum option_when { OPTION_LIVE, OPTION_START, OPTION_SECRET };

struct option_row {
    const char *name, *section;
    enum option_type type;
    const char *unit; /* for ENUM the words */
    const char *default_text;
    int64_t min, max;
    enum option_when when;
    const char *help;
    size_t offset; /* of the field in struct config */
};
extern const struct option_row option_rows[];
extern const uint32_t option_count;

/* NULL if there is none. Names are matched without regard to case. */
const struct option_row *option_find(struct bytes name);
/* The existing name closest to a misspelt one, or NULL if nothing is near. */
const char *option_nearest(struct bytes name);

/* All defaults. Free with config_free(). */
struct config *config_create(void);
struct config *config_copy(const struct config *config);
void config_free(struct config **config);

/* Parse and store one value. error_r (CONFIG_ERROR_BYTES) gets the reason in Redis's words where it
 * has them ("argument must be between 1 and 64 inclusive", "argument must be a memory value",
 * "argument must be 'yes' or 'no'", "argument(s) must be one of the following: ..."). Returns 0 or -1;
 * on -1 the config is unchanged. */
int config_set(struct config *config, const struct option_row *row, struct bytes value,
               char *error_r);
/* The value as CONFIG GET prints it. */
void config_get(const struct config *config, const struct option_row *row, struct buf *out);
/* What single values cannot tell: options that exclude each other. 0, or -1 and a text. */
int config_check(const struct config *config, char *error_r);

/* pool.ini -> config. Stops at the first error, with file, line, what was wrong, what is allowed and
 * the nearest name. 0 or -1. */
int config_load_file(struct config *config, const char *path, char *error_r);
/* `--name value` pairs, applied over the file. Values of list options (save, bind) may take several
 * words up to the next `--`. Ends with config_check(). 0 or -1. */
int config_load_args(struct config *config, int argc, char **argv, char *error_r);
/* Both, as a start does: the file (path NULL: none), the arguments over it, config_check(); of
 * options that do not go together, the error names the line too. 0 or -1. */
int config_load(struct config *config, const char *path, int argc, char **argv, char *error_r);
/* Publish the file again with the live values, keeping comments and order; options that are not in
 * it are added to their section only if they differ from the default. 0 or -1. */
int config_rewrite_file(const struct config *config, const char *path, char *error_r);

/* All options as `name value` lines (value quoted where needed) and back: how a config crosses to a
 * child and how a CONFIG SET crosses to the supervisor. config_from_text() applies the lines over
 * what is there; -1 with a text at the first bad one (config then partly changed: pass a copy). */
void config_to_text(const struct config *config, struct buf *out);
int config_from_text(struct config *config, struct bytes text, char *error_r);
/* The same from a descriptor's whole content, as a child inherits it. */
int config_from_fd(struct config *config, int fd, char *error_r);
/* Append one such line. */
void config_line(struct buf *out, struct bytes name, struct bytes value);

/* `workers` resolved: auto is the number of cores this process may run on, at most 128. */
uint32_t config_workers(const struct config *config);

/* The text behind `remuda --options`, which is also the shipped pool.ini: every option, commented
 * out at its default, with help, unit and range. */
void config_describe(struct buf *out);

#endif
