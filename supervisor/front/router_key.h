/* router_key.h - the first key in the bytes a client has sent: a pure function over hostile input.
 *
 * A wrong guess costs one relay hop, never a wrong answer, so what is rare or odd is given up
 * early: OPAQUE. Nothing is allocated and nothing consumed. */
#ifndef REMUDA_ROUTER_KEY_H
#define REMUDA_ROUTER_KEY_H
#include "shared/base/bytes.h"

enum router_key_result {
    ROUTER_KEY,        /* *key_r is the first key, a slice of the input */
    ROUTER_NO_KEY,     /* whole commands, none of which names a key */
    ROUTER_INCOMPLETE, /* the first command is not whole and no key is seen yet */
    ROUTER_OPAQUE      /* not the protocol, TLS, or too odd to look into */
};

enum {
    ROUTER_PEEK_BYTES = 16 * 1024, /* how much of a client's first bytes is looked at */
    ROUTER_COMMANDS_MAX = 16       /* commands without a key (HELLO, CLIENT ...) looked past */
};

/* Looks past up to ROUTER_COMMANDS_MAX whole commands without a key. Never reads past len. */
enum router_key_result router_first_key(const char *data, size_t len, struct bytes *key_r);

#endif
