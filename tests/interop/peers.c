/* peers.c - see the header. */
#include "tests/interop/peers.h"

const char *const peer_names[PEERS] = {"redis-server", "pool of 1", "pool of 3"};

struct peers *peers_start(void) {
    oracle_needed();
    struct peers *peers = calloc(1, sizeof(*peers));
    assert_non_null(peers);
    static const struct pool_options options[PEERS] = {
        [POOL_OF_1] = {.workers = 1, .options = {"--save", ""}},
        [POOL_OF_3] = {.workers = 3, .options = {"--save", ""}},
    };
    memset(peers->fd, -1, sizeof(peers->fd));
    peers->oracle = oracle_start(NULL, NULL);
    peers->port[ORACLE] = peers->oracle->port;
    for (unsigned i = POOL_OF_1; i < PEERS; i++) {
        peers->pools[i] = pool_start(&options[i]);
        peers->port[i] = peers->pools[i]->port;
    }
    return peers;
}

void peers_end(struct peers **peers) {
    for (unsigned i = 0; i < PEER_CONNECTIONS; i++)
        peers_close(*peers, i);
    for (unsigned i = POOL_OF_1; i < PEERS; i++)
        pool_end(&(*peers)->pools[i]);
    oracle_end(&(*peers)->oracle);
    free(*peers);
    *peers = NULL;
}

void peers_open(struct peers *peers, unsigned connection) {
    for (unsigned i = 0; i < PEERS; i++) {
        if (peers->fd[i][connection] < 0)
            peers->fd[i][connection] = raw_connect(peers->port[i]);
    }
}

void peers_close(struct peers *peers, unsigned connection) {
    for (unsigned i = 0; i < PEERS; i++) {
        if (peers->fd[i][connection] >= 0)
            close(peers->fd[i][connection]);
        peers->fd[i][connection] = -1;
    }
}

void peers_reset(struct peers *peers, unsigned resp) {
    for (unsigned i = 0; i < PEER_CONNECTIONS; i++)
        peers_close(peers, i);
    peers_open(peers, 0);
    for (unsigned i = 0; i < PEERS; i++) {
        char text[64];
        snprintf(text, sizeof(text), "FLUSHALL\r\nHELLO %u\r\n", resp);
        struct octets request = {text, strlen(text)};
        free(peer_ask(peers, i, 0, &request, 2).data);
    }
}

struct octets peer_ask(struct peers *peers, unsigned peer, unsigned connection,
                       const struct octets *request, unsigned replies) {
    raw_send(peers->fd[peer][connection], request->data, request->len);
    return raw_read_replies(peers->fd[peer][connection], replies);
}

char *octets_show(const char *data, size_t len, size_t max) {
    char *out = malloc((len < max ? len : max) * 4 + 64);
    size_t at = 0;
    assert_non_null(out);
    for (size_t i = 0; i < len && i < max; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c == '\r' || c == '\n')
            at += (size_t)sprintf(out + at, "\\%c", c == '\r' ? 'r' : 'n');
        else if (c < ' ' || c > '~' || c == '"' || c == '\\')
            at += (size_t)sprintf(out + at, "\\x%02x", c);
        else
            out[at++] = (char)c;
    }
    out[at] = 0;
    if (len > max)
        sprintf(out + at, " ... of %zu bytes", len);
    return out;
}
