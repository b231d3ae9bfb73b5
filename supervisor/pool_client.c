/* pool_client.c - see the header. */
#include "supervisor/pool_client.h"
#include "shared/base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { REPLY_BYTES_MAX = 1024 * 1024 };

static int connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* An address to listen on, as one to connect to. */
static const char *reachable(const char *word) {
    word += word[0] == '-';
    if (strcmp(word, "*") == 0 || strcmp(word, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(word, "::*") == 0 || strcmp(word, "::") == 0 ? "::1" : word;
}

static int connect_tcp(const char *host, int64_t port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    char service[16];
    snprintf(service, sizeof(service), "%lld", (long long)port);
    if (getaddrinfo(host, service, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* The first of bind that answers; -1 with the errno of the first. */
static int connect_bind(const struct config *config) {
    char *words = mem_strdup(config->bind), *rest = words, *word;
    int fd = -1, first_error = 0;
    while (fd < 0 && (word = strsep(&rest, " ")) != NULL) {
        if (word[0] == 0)
            continue;
        fd = connect_tcp(reachable(word), config->port);
        if (fd < 0 && first_error == 0)
            first_error = errno;
    }
    mem_free(words);
    errno = first_error;
    return fd;
}

static int authenticate(struct pool_client *client, const char *password, char *error_r,
                        size_t error_bytes) {
    const char *argv[] = {"AUTH", password};
    char *reply;
    if (pool_client_ask(client, 2, argv, &reply, error_r, error_bytes) != 0)
        return -1;
    mem_free(reply);
    return 0;
}

int pool_client_open(struct pool_client *client, const struct config *config, char *error_r,
                     size_t error_bytes) {
    bool by_path = config->unixsocket && config->unixsocket[0];
    int fd = -1;
    *client = (struct pool_client){0};
    if (by_path) {
        fd = connect_unix(config->unixsocket);
    } else if (config->port == 0) {
        snprintf(error_r, error_bytes, "the pool has neither a port nor a unixsocket");
        return -1;
    } else {
        fd = connect_bind(config);
    }
    if (fd < 0 && by_path)
        snprintf(error_r, error_bytes, "cannot connect to %.300s: %s", config->unixsocket,
                 strerror(errno));
    else if (fd < 0)
        snprintf(error_r, error_bytes, "cannot connect to port %lld of %.200s: %s",
                 (long long)config->port, config->bind, strerror(errno));
    if (fd < 0)
        return -1;
    client->stream = fdopen(fd, "r+");
    if (!config->requirepass || !config->requirepass[0])
        return 0;
    if (authenticate(client, config->requirepass, error_r, error_bytes) == 0)
        return 0;
    pool_client_close(client);
    return -1;
}

static int lost(char *error_r, size_t error_bytes) {
    snprintf(error_r, error_bytes, "the pool closed the connection without an answer");
    return -1;
}

/* "$LENGTH" was read: the text and its line end follow. */
static int read_bulk(struct pool_client *client, const char *length, char **reply_r, char *error_r,
                     size_t error_bytes) {
    uint64_t len;
    if (!bytes_to_u64(bytes_of_text(length), &len) || len > REPLY_BYTES_MAX) {
        snprintf(error_r, error_bytes, "the pool sent a reply that is none: $%.40s", length);
        return -1;
    }
    char *text = mem_alloc(len + 3);
    if (fread(text, 1, len + 2, client->stream) != len + 2) {
        mem_free(text);
        return lost(error_r, error_bytes);
    }
    text[len] = 0;
    *reply_r = text;
    return 0;
}

int pool_client_ask(struct pool_client *client, int argc, const char *const *argv, char **reply_r,
                    char *error_r, size_t error_bytes) {
    char *line = NULL;
    size_t size = 0;
    int result = -1;
    fprintf(client->stream, "*%d\r\n", argc);
    for (int i = 0; i < argc; i++)
        fprintf(client->stream, "$%zu\r\n%s\r\n", strlen(argv[i]), argv[i]);
    if (fflush(client->stream) != 0 || getline(&line, &size, client->stream) < 1) {
        free(line);
        return lost(error_r, error_bytes);
    }
    line[strcspn(line, "\r\n")] = 0;
    switch (line[0]) {
    case '$': result = read_bulk(client, line + 1, reply_r, error_r, error_bytes); break;
    case '+':
    case ':':
        *reply_r = mem_strdup(line + 1);
        result = 0;
        break;
    case '-': snprintf(error_r, error_bytes, "%s", line + 1); break;
    default: snprintf(error_r, error_bytes, "the pool sent a reply that is none: %.40s", line);
    }
    free(line);
    return result;
}

void pool_client_close(struct pool_client *client) {
    if (client->stream)
        fclose(client->stream);
    client->stream = NULL;
}
