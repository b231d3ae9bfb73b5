/* config.c - one struct config: made, copied, changed and read through the rows of options.def. */
#include "config/config.h"

#include "config/config_private.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"

#include <sched.h>
#include <stdarg.h>

enum { WORKERS_MAX = 128 };

int config_error(char *error_r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error_r, CONFIG_ERROR_BYTES, format, args);
    va_end(args);
    return -1;
}

struct config *config_create(void) {
    struct config *config = mem_calloc(1, sizeof *config);
    char error[CONFIG_ERROR_BYTES];
    for (uint32_t i = 0; i < option_count; i++)
        if (config_set(config, &option_rows[i], bytes_of_text(option_rows[i].default_text),
                       error) != 0)
            PANIC("default of %s: %s", option_rows[i].name, error);
    return config;
}

struct config *config_copy(const struct config *config) {
    struct config *copy = mem_alloc(sizeof *copy);
    *copy = *config;
    for (uint32_t i = 0; i < option_count; i++)
        if (option_kinds[option_rows[i].type].owns_text) {
            char **text = option_field(copy, &option_rows[i]);
            *text = mem_strdup(*text);
        }
    return copy;
}

void config_free(struct config **config) {
    if (*config == NULL)
        return;
    for (uint32_t i = 0; i < option_count; i++)
        if (option_kinds[option_rows[i].type].owns_text)
            mem_free(*(char **)option_field(*config, &option_rows[i]));
    mem_free(*config);
    *config = NULL;
}

int config_set(struct config *config, const struct option_row *row, struct bytes value,
               char *error_r) {
    return option_kinds[row->type].parse(row, value, option_field(config, row), error_r);
}

void config_get(const struct config *config, const struct option_row *row, struct buf *out) {
    option_kinds[row->type].print(row, option_field_const(config, row), out);
}

void config_allowed(const struct option_row *row, struct buf *out) {
    option_kinds[row->type].describe(row, out);
}

uint32_t config_workers(const struct config *config) {
    int64_t count;
    if (bytes_to_i64(bytes_of_text(config->workers), &count) && count >= 1 && count <= WORKERS_MAX)
        return (uint32_t)count;
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        return 1;
    int usable = CPU_COUNT(&cores);
    return usable < 1 ? 1 : usable > WORKERS_MAX ? WORKERS_MAX : (uint32_t)usable;
}
