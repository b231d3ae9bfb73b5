/* cli_args.c - see the header. */
#include "supervisor/cli_args.h"
#include <stdio.h>
#include <string.h>

struct cli_arguments cli_split(int argc, char **argv) {
    struct cli_arguments arguments = {.option_count = argc, .options = argv};
    if (argc > 0 && strncmp(argv[0], "--", 2) != 0) {
        arguments.path = argv[0];
        arguments.option_count--;
        arguments.options++;
    }
    return arguments;
}

const char *cli_take_option(struct cli_arguments *arguments, const char *name) {
    for (int i = 0; i < arguments->option_count; i++) {
        if (strcmp(arguments->options[i], name) != 0)
            continue;
        bool has_value = i + 1 < arguments->option_count;
        const char *value = has_value ? arguments->options[i + 1] : "";
        int taken = has_value ? 2 : 1;
        arguments->option_count -= taken;
        memmove(&arguments->options[i], &arguments->options[i + taken],
                (size_t)(arguments->option_count - i) * sizeof(*arguments->options));
        return value;
    }
    return NULL;
}

struct config *cli_load_config(const struct cli_arguments *arguments) {
    char error[CONFIG_ERROR_BYTES];
    struct config *config = config_create();
    if (config_load(config, arguments->path, arguments->option_count, arguments->options, error) ==
        0)
        return config;
    fprintf(stderr, "remuda: %s\n", error);
    config_free(&config);
    return NULL;
}
