/* pool_client.h - a client of the running pool, for the operator's subcommands: one connection, one
 * command at a time, blocking. */
#ifndef REMUDA_SUPERVISOR_POOL_CLIENT_H
#define REMUDA_SUPERVISOR_POOL_CLIENT_H
#include "config/config.h"
#include <stdio.h>

struct pool_client {
    FILE *stream;
};

/* Connect as the configuration says: unixsocket, else port at the first address of bind that
 * answers; and AUTH with requirepass. 0, or -1 with a one-line text. */
int pool_client_open(struct pool_client *client, const struct config *config, char *error_r,
                     size_t error_bytes);
/* Send a command. 0 and the text of its reply (freed with mem_free()), or -1 with a text: the error
 * reply, or what happened to the connection. Replies are texts or integers. */
int pool_client_ask(struct pool_client *client, int argc, const char *const *argv, char **reply_r,
                    char *error_r, size_t error_bytes);
void pool_client_close(struct pool_client *client);

#endif
