/* replayer.c - a keyspace into which the commands of a log are run, as at a start. */
#include "worker/offline/offline_private.h"

#include "shared/base/clock.h"
#include "worker/command/replay.h"

#include <sys/random.h>

void replayer_open(struct replayer *r, struct config *config) {
    *r = (struct replayer){.config = config};
    uint64_t seed[2] = {0};
    (void)!getrandom(seed, sizeof seed, 0); /* the keys may have been made to collide */
    r->ks = keyspace_create((uint32_t)config->databases, seed, NULL);
    keyspace_configure(r->ks, config);
    keyspace_set_now(r->ks, clock_wall_ms());
    keyspace_set_expiry_passive(r->ks, true);
    session_init(&r->session, SESSION_INTERNAL);
    r->session.authenticated = true;
}

void replayer_close(struct replayer *r) {
    session_free(&r->session);
    keyspace_free(&r->ks);
}

int replayer_command(struct replayer *r, uint32_t argc, const struct bytes *argv, char *error_r,
                     size_t error_bytes) {
    struct command_env env = {.config = r->config, .loading = true};
    if (bytes_equal_nocase(argv[0], "function") && command_lookup(argv, argc, NULL) == NULL) {
        r->functions++;
        return 0;
    }
    return replay_command(r->ks, &r->session, &env, argc, argv, error_r, error_bytes);
}
