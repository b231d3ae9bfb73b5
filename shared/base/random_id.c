/* random_id.c - see the header. A system without random numbers is none we can run on. */
#include "shared/base/random_id.h"

#include "shared/base/panic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

void random_id(char id_r[RANDOM_ID_BYTES]) {
    unsigned char random[(RANDOM_ID_BYTES - 1) / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        PANIC("getrandom: %s", strerror(errno));
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(id_r + 2 * i, 3, "%02x", random[i]);
}
