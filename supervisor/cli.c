/* cli.c - subcommands are rows of a table; anything else is a pool to run. */
#include "supervisor/cli.h"
#include "supervisor/cli_private.h"
#include "config/config.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "supervisor/announce.h"
#include "shared/ipc/inherit.h"
#include "supervisor/front/front.h"
#include "supervisor/supervisor.h"
#include "supervisor/title.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: remuda [pool.ini] [--name value ...]   run a pool in the foreground\n"
    "       remuda snapshot [pool.ini] [--as NAME] [--keep N] [--name value ...]\n"
    "                            take a snapshot of the running pool, print its folder\n"
    "       remuda restore SNAPSHOT --dir DATA   make a data directory from a snapshot\n"
    "       remuda import FILE|DIR [pool.ini] [--dir DATA] [--workers N] ...   make a pool of a "
    "real\n"
    "                            server's dump.rdb, appendonly.aof or appendonlydir\n"
    "       remuda export FILE [--force] [pool.ini] [--dir DATA] ...   write all keys of a pool "
    "that does\n"
    "                            not run, or of a snapshot of one, as one dump.rdb\n"
    "       remuda check DIR|FILE [--fix] [pool.ini] ...   verify all files of a pool, or of a "
    "real server\n"
    "       remuda --check pool.ini [--name value ...]   only check the configuration\n"
    "       remuda --options     print every option with its help\n"
    "       remuda --version     print the version\n"
    "       remuda --help        print this\n"
    "\n"
    "Signals: SIGTERM and SIGINT stop the pool in order (twice: without saving),\n"
    "         SIGHUP reads pool.ini again and opens the log file again.\n"
    "\n"
    "Example: remuda pool.ini --port 7000 --workers 3 --dir ./x --worker-port-base 7100\n";

/* ---- configuration of the command line ---- */

struct arguments cli_split_arguments(int argc, char **argv) {
    struct arguments arguments = {.option_count = argc, .options = argv};
    if (argc > 0 && strncmp(argv[0], "--", 2) != 0) {
        arguments.path = argv[0];
        arguments.option_count--;
        arguments.options++;
    }
    return arguments;
}

const char *cli_take_option(struct arguments *arguments, const char *name) {
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

struct config *cli_load_config(const struct arguments *arguments) {
    char error[CONFIG_ERROR_BYTES];
    struct config *config = config_create();
    if (config_load(config, arguments->path, arguments->option_count, arguments->options, error) ==
        0)
        return config;
    fprintf(stderr, "remuda: %s\n", error);
    config_free(&config);
    return NULL;
}

/* ---- subcommands ---- */

static int run_check(int argc, char **argv) {
    struct arguments arguments = cli_split_arguments(argc, argv);
    if (!arguments.path) {
        fprintf(stderr, "remuda: --check needs the file to check: remuda --check pool.ini\n");
        return EXIT_USAGE;
    }
    struct config *config = cli_load_config(&arguments);
    if (!config)
        return EXIT_FAILURE;
    printf("%s is fine\n", arguments.path);
    config_free(&config);
    return EXIT_SUCCESS;
}

static int run_options(int argc, char **argv) {
    struct buf text = {0};
    config_describe(&text);
    size_t wrote = fwrite(text.data, 1, text.len, stdout);
    bool fine = wrote == text.len && fflush(stdout) == 0;
    buf_free(&text);
    return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_version(int argc, char **argv) {
    printf("Remuda " REMUDA_VERSION "\n");
    return EXIT_SUCCESS;
}

static int run_help(int argc, char **argv) {
    fputs(usage, stdout);
    return EXIT_SUCCESS;
}

static int run_front(int argc, char **argv) {
    char *end = NULL;
    errno = 0;
    unsigned long generation = argc == 1 ? strtoul(argv[0], &end, 10) : 0;
    if (generation == 0 || generation > UINT32_MAX || errno != 0 || *end) {
        fprintf(stderr, "remuda: --front is for the supervisor only\n");
        return EXIT_USAGE;
    }
    return front_main((uint32_t)generation);
}

struct subcommand {
    const char *name;
    bool alone;                        /* takes no arguments */
    int (*run)(int argc, char **argv); /* the arguments after the name */
};

static const struct subcommand subcommands[] = {
    {"--check", false, run_check},     {"--options", true, run_options},
    {"--version", true, run_version},  {"-v", true, run_version},
    {"--help", true, run_help},        {"-h", true, run_help},
    {"--front", false, run_front},     {"import", false, cli_import},
    {"export", false, cli_export},     {"check", false, cli_check},
    {"snapshot", false, cli_snapshot}, {"restore", false, cli_restore},
};

/* ---- the pool ---- */

static char **copy_words(int count, char **words) {
    char **copy = mem_calloc((size_t)count + 1, sizeof(*copy));
    for (int i = 0; i < count; i++)
        copy[i] = mem_strdup(words[i]);
    return copy;
}

static void free_words(char **words) {
    for (char **word = words; *word; word++)
        mem_free(*word);
    mem_free(words);
}

/* The title overwrites the arguments, so the pool runs on copies. */
static int run_pool(int argc, char **argv) {
    char title[256];
    char **words = copy_words(argc - 1, argv + 1);
    struct arguments arguments = cli_split_arguments(argc - 1, words);
    struct config *config = cli_load_config(&arguments);
    int code = EXIT_FAILURE;
    if (config) {
        announce_title(config, title, sizeof(title));
        title_set(argc, argv, title);
        struct supervisor_start start = {.config_path = arguments.path,
                                         .option_count = arguments.option_count,
                                         .options = arguments.options};
        code = supervisor_run(&start, config);
    }
    free_words(words);
    return code;
}

int cli_run(int argc, char **argv) {
    for (size_t i = 0; argc > 1 && i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        const struct subcommand *subcommand = &subcommands[i];
        if (strcmp(argv[1], subcommand->name) != 0)
            continue;
        if (!subcommand->alone || argc == 2)
            return subcommand->run(argc - 2, argv + 2);
        fprintf(stderr, "remuda: %s takes no arguments\n", subcommand->name);
        return EXIT_USAGE;
    }
    return run_pool(argc, argv);
}
