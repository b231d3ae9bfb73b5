/* replica_fixture.h - a shard that is a primary, and replicas at the other ends of socketpairs. What the client
 * layer does for a replica's connection is done here: it says that the socket is free, and closes what is
 * dropped a little later. Time is passed in where it matters: primary_check_at(). */
#ifndef REMUDA_TESTS_REPLICA_FIXTURE_H
#define REMUDA_TESTS_REPLICA_FIXTURE_H
#include "tests/unit/worker/persist/shard_fixture.h"
#include "worker/replication/primary_private.h"

/* What a stream says of it. */
#define SELECT_0  "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"
#define SET(k, v) "*3\r\n$3\r\nSET\r\n$1\r\n" k "\r\n$1\r\n" v "\r\n"

enum { PEERS = 6 };

struct peer {
    struct scene *scene;
    struct replica *replica; /* NULL: its connection is closed by us, or never was */
    int fd, their_fd;        /* the primary's end and the replica's; -1: closed */
    bool dropped;            /* the primary let it go */
    bool deaf;               /* it reads nothing */
    struct buf got;
};

struct scene {
    struct shard *shard;
    struct primary *primary;
    struct peer peers[PEERS];
    unsigned acknowledged; /* calls of the hook */
};

/* An empty shard without log and save points; values are not compressed. */
struct scene *scene_open(void);
void scene_close(struct scene **scene);
/* A turn of the worker's loop; replicas that are not deaf read all that there is. */
void scene_turn(struct scene *w);
/* Time goes by, for all replicas that are attached. */
void scene_check_at(struct scene *w, uint64_t now_ms);

#define SCENE_AWAIT(w, condition)                                                                  \
    for (uint64_t until_ms_ = clock_mono_ms() + 20000; !(condition); scene_pass(w))                \
        if (clock_mono_ms() > until_ms_)                                                           \
            fail_msg("waited in vain for: %s", #condition);
/* For SCENE_AWAIT: turn, cron, and a moment of rest. */
void scene_pass(struct scene *w);

/* A replica comes and says REPLCONF with these words: "capa eof". */
struct peer *peer_connect(struct scene *w, const char *options);
/* It says PSYNC, or SYNC if id is NULL. */
void peer_sync(struct peer *peer, const char *id, int64_t offset);
/* Both at once: PSYNC ? -1. */
struct peer *peer_join(struct scene *w, const char *options);
/* The same of the pool's merged stream. */
struct peer *peer_join_own(struct scene *w);
/* It closes its end. */
void peer_leave(struct peer *peer);
enum replica_state peer_state(const struct peer *peer);

/* What a replica has got: signs of life, +FULLRESYNC id offset, the snapshot, then the stream. */
struct taken {
    char id[REPLICATION_ID_BYTES]; /* "": no such line */
    uint64_t offset;
    bool marked, whole; /* the snapshot ends with a mark; it is there */
    struct bytes snapshot, stream;
};
struct taken peer_taken(const struct peer *peer);
/* The whole snapshot loads as this digest. */
void expect_snapshot(const struct peer *peer, const char *digest);
/* What came after the snapshot. */
void expect_stream(const struct peer *peer, const char *text);
/* So many bytes of values, in keys of 50,000. */
void scene_fill(struct scene *w, size_t bytes);
/* So many bytes of changes, a turn after each few. */
void scene_change(struct scene *w, size_t bytes);

#endif
