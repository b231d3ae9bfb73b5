/* config_check.c - what a single value cannot tell: options that need or exclude each other, and
 * texts with a form of their own. One check a function, all in one table. */
#include "config/config.h"

#include "config/config_private.h"

#include <inttypes.h>

enum { PORT_MAX = 65535, BIND_MAX = 15, STATUS_BIND_MAX = 8, REPLICAOF_HOST_MAX = 256 };

typedef int check(const struct config *config, char *error_r);

static int check_workers(const struct config *config, char *error_r) {
    int64_t count;
    struct bytes text = bytes_of_text(config->workers);
    if (bytes_equal_nocase(text, "auto"))
        return 0;
    if (!bytes_to_i64(text, &count) || count < 1 || count > 128)
        return config_error(error_r, "workers = '%s': must be auto or 1..128", config->workers);
    return 0;
}

static int check_dir(const struct config *config, char *error_r) {
    if (config->dir[0] == '\0')
        return config_error(error_r, "dir must not be empty");
    return 0;
}

static int check_listens_somewhere(const struct config *config, char *error_r) {
    if (config->port == 0 && config->worker_port_base == 0 && config->unixsocket[0] == '\0')
        return config_error(error_r, "port and worker-port-base are 0 and unixsocket is empty: "
                                     "no client could connect");
    return 0;
}

static int check_ports(const struct config *config, char *error_r) {
    int64_t first = config->worker_port_base, last = first + config_workers(config) - 1;
    if (config->port != 0 && config->port == config->status_port)
        return config_error(error_r, "port and status-port are both %" PRId64, config->port);
    if (first == 0)
        return 0;
    if (last > PORT_MAX)
        return config_error(error_r,
                            "worker-port-base %" PRId64 " and %u workers need ports up to %" PRId64
                            ", and %d is the last",
                            first, config_workers(config), last, PORT_MAX);
    const struct {
        const char *name;
        int64_t port;
    } others[] = {{"port", config->port}, {"status-port", config->status_port}};
    for (uint32_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].port >= first && others[i].port <= last)
            return config_error(error_r,
                                "%s %" PRId64 " is one of the workers' ports %" PRId64 "..%" PRId64
                                " (worker-port-base)",
                                others[i].name, others[i].port, first, last);
    return 0;
}

static int check_addresses(const char *name, const char *addresses, bool needed, uint32_t max,
                           char *error_r) {
    uint32_t count = 0;
    struct bytes word;
    for (struct bytes rest = bytes_of_text(addresses); config_next_word(&rest, &word);)
        count++;
    if (needed && count == 0)
        return config_error(error_r, "%s is empty, but a port is set", name);
    if (count > max)
        return config_error(error_r, "%s names %u addresses; at most %u", name, count, max);
    return 0;
}

static int check_bind(const struct config *config, char *error_r) {
    bool needed = config->port != 0 || config->worker_port_base != 0;
    return check_addresses("bind", config->bind, needed, BIND_MAX, error_r);
}

static int check_status_bind(const struct config *config, char *error_r) {
    return check_addresses("status-bind", config->status_bind, config->status_port != 0,
                           STATUS_BIND_MAX, error_r);
}

static int check_announced(const struct config *config, char *error_r) {
    if (strpbrk(config->cluster_announce_ip, " \t\r\n,"))
        return config_error(error_r, "cluster-announce-ip = '%s': must be one host",
                            config->cluster_announce_ip);
    return 0;
}

static int check_unixsocketperm(const struct config *config, char *error_r) {
    const char *mode = config->unixsocketperm;
    if (mode[0] == '\0' || strspn(mode, "01234567") != strlen(mode) || strlen(mode) > 3)
        return config_error(error_r, "unixsocketperm = '%s': must be octal, 0..777", mode);
    return 0;
}

static int check_relay_ring(const struct config *config, char *error_r) {
    int64_t size = config->relay_ring_size;
    if ((size & (size - 1)) != 0)
        return config_error(error_r, "relay-ring-size %" PRId64 " is not a power of two", size);
    return 0;
}

static int check_file_names(const struct config *config, char *error_r) {
    const struct {
        const char *name, *value, *what;
    } names[] = {{"dbfilename", config->dbfilename, "a filename"},
                 {"appendfilename", config->appendfilename, "a filename"},
                 {"appenddirname", config->appenddirname, "a dirname"}};
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].value[0] == '\0' || strcmp(names[i].value, ".") == 0 ||
            strcmp(names[i].value, "..") == 0)
            return config_error(error_r, "%s = '%s': must be %s", names[i].name, names[i].value,
                                names[i].what);
        if (strchr(names[i].value, '/'))
            return config_error(error_r, "%s can't be a path, just %s", names[i].name,
                                names[i].what);
    }
    if (strcmp(config->dbfilename, config->appenddirname) == 0)
        return config_error(error_r, "dbfilename and appenddirname are both '%s'",
                            config->dbfilename);
    return 0;
}

static int check_restart(const struct config *config, char *error_r) {
    if (config->restart_delay_min > config->restart_delay_max)
        return config_error(error_r,
                            "restart-delay-min %" PRId64 " is more than restart-delay-max %" PRId64,
                            config->restart_delay_min, config->restart_delay_max);
    return 0;
}

/* "host port", or nothing. */
static int check_replicaof(const struct config *config, char *error_r) {
    struct bytes rest = bytes_of_text(config->replicaof), host, port;
    uint64_t number;
    if (config_trim(rest).len == 0)
        return 0;
    if (config_next_word(&rest, &host) && config_next_word(&rest, &port) &&
        config_trim(rest).len == 0 && host.len < REPLICAOF_HOST_MAX &&
        bytes_to_u64(port, &number) && number > 0 && number <= UINT16_MAX)
        return 0;
    return config_error(error_r, "replicaof = '%s': must be a host and a port", config->replicaof);
}

static check *const checks[] = {
    check_workers,    check_dir,         check_listens_somewhere, check_ports,
    check_bind,       check_status_bind, check_announced,         check_unixsocketperm,
    check_relay_ring, check_file_names,  check_restart,           check_replicaof,
};

int config_check(const struct config *config, char *error_r) {
    for (uint32_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i](config, error_r) != 0)
            return -1;
    return 0;
}
