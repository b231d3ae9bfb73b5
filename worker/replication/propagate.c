/* propagate.c - changes on their way to the append-only log's buffer, in client protocol.
 *
 * Knows which database the log's reader is in, and puts a SELECT before the first change of
 * another. Cheap: no system call. Cannot fail; a log that can no longer be written says so through
 * persist_write_refusal(). */
#include "worker/replication/propagate.h"

#include "shared/base/mem.h"
#include "worker/persist/aof.h"

enum { DB_UNKNOWN = -1 };

struct propagate {
    struct aof *aof;
    int64_t db; /* the reader's, DB_UNKNOWN at the start of a file */
};

struct propagate *propagate_create(struct aof *aof) {
    struct propagate *p = mem_alloc(sizeof(*p));
    *p = (struct propagate){.aof = aof, .db = DB_UNKNOWN};
    return p;
}

void propagate_free(struct propagate **p) {
    mem_free(*p);
    *p = NULL;
}

static void select_db(struct propagate *p, uint32_t db) {
    if (p->db == (int64_t)db)
        return;
    char digits[BYTES_I64_MAX];
    const struct bytes argv[] = {BYTES_LITERAL("SELECT"),
                                 bytes_of(digits, bytes_from_i64(digits, db))};
    aof_append_command(p->aof, 2, argv);
    p->db = db;
}

void propagate_command(struct propagate *p, uint32_t db, uint32_t argc, const struct bytes *argv) {
    if (p->aof == NULL)
        return;
    select_db(p, db);
    aof_append_command(p->aof, argc, argv);
}

void propagate_raw(struct propagate *p, uint32_t db, struct bytes commands) {
    if (p->aof == NULL || commands.len == 0)
        return;
    select_db(p, db);
    aof_append_raw(p->aof, commands);
}

void propagate_delete(struct propagate *p, uint32_t db, struct bytes key) {
    const struct bytes argv[] = {BYTES_LITERAL("DEL"), key};
    propagate_command(p, db, 2, argv);
}

void propagate_to(struct propagate *p, struct aof *aof) {
    p->aof = aof;
    p->db = DB_UNKNOWN;
}
