/* propagate.c - changes on their way to the append-only log's buffer and the replication stream, in client
 * protocol.
 *
 * Knows which database the reader of each is in, and puts a SELECT before the first change of another.
 * Cheap: no system call. Cannot fail; a log that can no longer be written says so through
 * persist_write_refusal(). */
#include "worker/replication/propagate.h"

#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "worker/persist/aof.h"
#include "worker/replication/backlog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SCRATCH_KEEP_BYTES = 64 * 1024 };

/* "PING repl:<id>:<offset>:<db>" in the log: harmless to whoever runs it. */
static const char mark_prefix[] = "repl:";
enum { PROPAGATE_MARK_BYTES = 100 };

struct propagate {
    struct aof *aof;
    struct backlog *backlog;
    int64_t log_db; /* the log's reader's, BACKLOG_NO_DB at its start */
    struct buf scratch;
};

struct propagate *propagate_create(struct aof *aof, struct backlog *backlog) {
    struct propagate *p = mem_alloc(sizeof(*p));
    *p = (struct propagate){.aof = aof, .backlog = backlog, .log_db = BACKLOG_NO_DB};
    return p;
}

void propagate_free(struct propagate **p) {
    if (*p != NULL)
        buf_free(&(*p)->scratch);
    mem_free(*p);
    *p = NULL;
}

static bool has_backlog(const struct propagate *p) {
    return p->backlog != NULL && p->backlog->kept;
}

void propagate_to_replicas(struct propagate *p, uint32_t argc, const struct bytes *argv) {
    if (!has_backlog(p))
        return;
    buf_clear(&p->scratch);
    aof_format_command(&p->scratch, argc, argv);
    backlog_append(p->backlog, buf_bytes(&p->scratch));
    buf_shrink(&p->scratch, SCRATCH_KEEP_BYTES);
}

/* Is the reader elsewhere? Then it is in db from here on. */
static bool moves(int64_t *reader_db, uint32_t db) {
    bool elsewhere = *reader_db != (int64_t)db;
    *reader_db = db;
    return elsewhere;
}

static void select_db(struct propagate *p, uint32_t db) {
    bool log_moves = p->aof != NULL && moves(&p->log_db, db);
    bool stream_moves = has_backlog(p) && moves(&p->backlog->db, db);
    if (!log_moves && !stream_moves)
        return;
    char digits[BYTES_I64_MAX];
    struct bytes argv[] = {BYTES_LITERAL("SELECT"), {digits, bytes_from_i64(digits, db)}};
    if (log_moves)
        aof_append_command(p->aof, 2, argv);
    if (stream_moves)
        propagate_to_replicas(p, 2, argv);
}

void propagate_command(struct propagate *p, uint32_t db, uint32_t argc, const struct bytes *argv) {
    select_db(p, db);
    if (p->aof != NULL)
        aof_append_command(p->aof, argc, argv);
    propagate_to_replicas(p, argc, argv);
}

void propagate_raw(struct propagate *p, uint32_t db, struct bytes commands) {
    if (commands.len == 0)
        return;
    select_db(p, db);
    if (p->aof != NULL)
        aof_append_raw(p->aof, commands);
    if (has_backlog(p))
        backlog_append(p->backlog, commands);
}

void propagate_delete(struct propagate *p, uint32_t db, struct bytes key) {
    const struct bytes argv[] = {BYTES_LITERAL("DEL"), key};
    propagate_command(p, db, 2, argv);
}

void propagate_to(struct propagate *p, struct aof *aof) {
    p->aof = aof;
    p->log_db = BACKLOG_NO_DB;
}

void propagate_set_backlog(struct propagate *p, struct backlog *backlog) {
    p->backlog = backlog;
}

bool propagate_makes(const struct propagate *p, const struct backlog *backlog) {
    return p->backlog == backlog;
}

void propagate_mark(struct propagate *p, const struct backlog *backlog) {
    char text[PROPAGATE_MARK_BYTES];
    if (p->aof == NULL)
        return;
    int len = snprintf(text, sizeof text, "%s%s:%" PRIu64 ":%" PRId64, mark_prefix, backlog->id,
                       backlog->end, backlog->db > 0 ? backlog->db : 0);
    const struct bytes argv[] = {BYTES_LITERAL("PING"), {text, (size_t)len}};
    aof_append_command(p->aof, 2, argv);
}

/* Is it PING with a text that begins so? text_r gets the rest. */
static bool is_mark(uint32_t argc, const struct bytes *argv, const char *prefix,
                    char text_r[PROPAGATE_MARK_BYTES]) {
    size_t len = strlen(prefix);
    if (argc != 2 || !bytes_equal_nocase(argv[0], "ping") || argv[1].len >= PROPAGATE_MARK_BYTES ||
        argv[1].len < len || memcmp(argv[1].ptr, prefix, len) != 0)
        return false;
    snprintf(text_r, PROPAGATE_MARK_BYTES, "%.*s", (int)(argv[1].len - len), argv[1].ptr + len);
    return true;
}

bool propagate_mark_parse(uint32_t argc, const struct bytes *argv, struct rdb_origin *origin_r) {
    char text[PROPAGATE_MARK_BYTES];
    if (!is_mark(argc, argv, mark_prefix, text))
        return false;
    if (sscanf(text, "%40[0-9a-f]:%" SCNu64 ":%u", origin_r->id, &origin_r->offset,
               &origin_r->db) != 3 ||
        strlen(origin_r->id) != sizeof origin_r->id - 1)
        origin_r->id[0] = '\0';
    return true;
}

/* "PING part:<number>:<shards 0 to 63>:<shards 64 to 127>:<more>", all in hexadecimal. */
static const char part_prefix[] = "part:";

/* Two of them go with every command, so they are made and read by hand. */
static char *put_hex(char *at, uint64_t value, char behind) {
    for (int shift = value != 0 ? (63 - __builtin_clzll(value)) / 4 * 4 : 0; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[value >> shift & 15];
    *at++ = behind;
    return at;
}

void propagate_part(struct propagate *p, const struct propagate_part *part) {
    char text[PROPAGATE_MARK_BYTES];
    memcpy(text, part_prefix, strlen(part_prefix));
    char *at = put_hex(text + strlen(part_prefix), part->number, ':');
    at = put_hex(at, part->shards[0], ':');
    at = put_hex(at, part->shards[1], ':');
    *at++ = part->more ? '1' : '0';
    const struct bytes argv[] = {BYTES_LITERAL("PING"), {text, (size_t)(at - text)}};
    propagate_to_replicas(p, 2, argv);
}

void propagate_part_end(struct propagate *p) {
    propagate_part(p, &(struct propagate_part){0});
}

/* Up to a ':', or the end. */
static bool take_hex(struct bytes *text, uint64_t *value_r) {
    size_t digits = 0;
    *value_r = 0;
    for (; text->len > 0 && text->ptr[0] != ':'; text->ptr++, text->len--) {
        unsigned char c = (unsigned char)text->ptr[0];
        unsigned digit = c >= 'a' ? c - 'a' + 10U : c - '0' + 0U;
        if (digit > 15 || ++digits > 16 || (c > '9' && c < 'a'))
            return false;
        *value_r = *value_r << 4 | digit;
    }
    if (text->len > 0)
        *text = bytes_of(text->ptr + 1, text->len - 1);
    return digits > 0;
}

bool propagate_part_parse(uint32_t argc, const struct bytes *argv, struct propagate_part *part_r) {
    size_t prefix = strlen(part_prefix);
    uint64_t more;
    if (argc != 2 || argv[1].len < prefix || memcmp(argv[1].ptr, part_prefix, prefix) != 0 ||
        !bytes_equal_nocase(argv[0], "ping"))
        return false;
    struct bytes text = bytes_of(argv[1].ptr + prefix, argv[1].len - prefix);
    if (!take_hex(&text, &part_r->number) || !take_hex(&text, &part_r->shards[0]) ||
        !take_hex(&text, &part_r->shards[1]) || !take_hex(&text, &more) || text.len > 0)
        return false;
    part_r->more = more != 0;
    return true;
}
