/* config_args.c - options on the command line: --name value, over what the file says. The last one
 * of the same name counts. */
#include "config/config.h"

#include "config/config_private.h"

static bool is_option(const char *arg) {
    return arg[0] == '-' && arg[1] == '-' && arg[2] != '\0';
}

static int unknown_option(const char *arg, char *error_r) {
    const char *nearest = option_nearest(bytes_of_text(arg + 2));
    if (nearest)
        return config_error(error_r, "unknown option '%.60s'; did you mean '--%s'?", arg, nearest);
    return config_error(error_r, "unknown option '%.60s'; --options lists them all", arg);
}

/* argv[0] is `--name`, `words` values follow it. */
static int apply(struct config *config, char **argv, int words, char *error_r) {
    const struct option_row *row = option_find(bytes_of_text(argv[0] + 2));
    if (row == NULL)
        return unknown_option(argv[0], error_r);
    if (words == 0)
        return config_error(error_r, "--%s needs a value", row->name);
    if (words > 1 && !option_kinds[row->type].many_words)
        return config_error(error_r, "--%s takes one value; '%.60s' is one too many", row->name,
                            argv[2]);
    struct buf value = {0}, allowed = {0};
    char reason[CONFIG_ERROR_BYTES];
    for (int i = 1; i <= words; i++)
        buf_printf(&value, "%s%s", i > 1 ? " " : "", argv[i]);
    int result = config_set(config, row, buf_bytes(&value), reason);
    if (result != 0) {
        config_allowed(row, &allowed);
        config_error(error_r, "--%s: %.400s; allowed: %.*s", row->name, reason, (int)allowed.len,
                     allowed.data);
    }
    buf_free(&value);
    buf_free(&allowed);
    return result;
}

static int apply_all(struct config *config, int argc, char **argv, char *error_r) {
    for (int i = 0; i < argc;) {
        if (!is_option(argv[i]))
            return config_error(error_r, "'%.60s': expected --name value", argv[i]);
        int words = 0;
        while (i + 1 + words < argc && !is_option(argv[i + 1 + words]))
            words++;
        if (apply(config, argv + i, words, error_r) != 0)
            return -1;
        i += 1 + words;
    }
    return 0;
}

int config_load_args(struct config *config, int argc, char **argv, char *error_r) {
    return apply_all(config, argc, argv, error_r) == 0 ? config_check(config, error_r) : -1;
}

int config_load(struct config *config, const char *path, int argc, char **argv, char *error_r) {
    if ((path && config_load_file(config, path, error_r) != 0) ||
        apply_all(config, argc, argv, error_r) != 0)
        return -1;
    if (config_check(config, error_r) == 0)
        return 0;
    if (path)
        config_locate_error(path, argc, argv, error_r);
    return -1;
}
