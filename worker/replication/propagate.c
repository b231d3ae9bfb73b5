/* propagate.c - changes on their way to the append-only log's buffer and the replication stream, in client
 * protocol.
 *
 * Knows which database the reader of each is in, and puts a SELECT before the first change of another. The
 * log holds all that the stream holds, so that it can be had from there again (refill.h): what one of them
 * must be told, both are; and what is no business of the log's is a note in it.
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

/* "PING <prefix>..." in the log: harmless to whoever runs it. */
static const char mark_prefix[] = "repl:", sent_prefix[] = "sent:", apart_prefix[] = "apart:";
enum { PROPAGATE_MARK_BYTES = 100 };

struct propagate {
    struct aof *aof;
    struct backlog *backlog;
    bool follows;          /* the stream is another's: received here, not made */
    struct bytes received; /* what is executed now */
    bool logged;           /* the log has got it as it came */
    int64_t log_db;        /* the log's reader's, BACKLOG_NO_DB at its start */
    struct buf scratch, note;
};

struct propagate *propagate_create(struct aof *aof, struct backlog *backlog) {
    struct propagate *p = mem_alloc(sizeof(*p));
    *p = (struct propagate){.aof = aof, .backlog = backlog, .log_db = BACKLOG_NO_DB};
    return p;
}

void propagate_free(struct propagate **p) {
    if (*p != NULL) {
        buf_free(&(*p)->scratch);
        buf_free(&(*p)->note);
    }
    mem_free(*p);
    *p = NULL;
}

static bool has_backlog(const struct propagate *p) {
    return p->backlog != NULL && p->backlog->kept;
}

static bool makes_stream(const struct propagate *p) {
    return has_backlog(p) && !p->follows;
}

/* Bytes of the stream that the log's reader need not execute. */
static void note_sent(struct propagate *p, struct bytes sent) {
    if (p->aof == NULL)
        return;
    buf_clear(&p->note);
    buf_append_text(&p->note, sent_prefix);
    buf_append_bytes(&p->note, sent);
    const struct bytes argv[] = {BYTES_LITERAL("PING"), buf_bytes(&p->note)};
    aof_append_command(p->aof, 2, argv);
    buf_shrink(&p->note, SCRATCH_KEEP_BYTES);
}

static struct bytes format(struct propagate *p, uint32_t argc, const struct bytes *argv) {
    buf_clear(&p->scratch);
    buf_shrink(&p->scratch, SCRATCH_KEEP_BYTES);
    aof_format_command(&p->scratch, argc, argv);
    return buf_bytes(&p->scratch);
}

void propagate_to_replicas(struct propagate *p, uint32_t argc, const struct bytes *argv) {
    if (!makes_stream(p))
        return;
    struct bytes command = format(p, argc, argv);
    backlog_append(p->backlog, command);
    note_sent(p, command);
}

/* Is the reader elsewhere? Then it is in db from here on. */
static bool moves(int64_t *reader_db, uint32_t db) {
    bool elsewhere = *reader_db != (int64_t)db;
    *reader_db = db;
    return elsewhere;
}

static void select_db(struct propagate *p, uint32_t db) {
    bool log_moves = p->aof != NULL && moves(&p->log_db, db);
    bool stream_moves = makes_stream(p) && moves(&p->backlog->db, db);
    if (!log_moves && !stream_moves)
        return;
    buf_clear(&p->scratch);
    aof_format_select(&p->scratch, db);
    if (p->aof != NULL)
        aof_append_raw(p->aof, buf_bytes(&p->scratch));
    if (makes_stream(p))
        backlog_append(p->backlog, buf_bytes(&p->scratch));
}

/* What is executed here is in most cases byte by byte what came. Where it is not, the log has both. */
static void log_received(struct propagate *p, uint32_t db, struct bytes commands) {
    char text[PROPAGATE_MARK_BYTES];
    if (p->aof == NULL)
        return;
    if (!p->logged && p->log_db == (int64_t)db && bytes_equal(commands, p->received)) {
        aof_append_raw(p->aof, commands);
        p->logged = true;
        return;
    }
    buf_clear(&p->note);
    if (moves(&p->log_db, db))
        aof_format_select(&p->note, db);
    int len = snprintf(text, sizeof text, "%s%zu", apart_prefix, p->note.len + commands.len);
    const struct bytes argv[] = {BYTES_LITERAL("PING"), {text, (size_t)len}};
    aof_append_command(p->aof, 2, argv);
    aof_append_raw(p->aof, buf_bytes(&p->note));
    aof_append_raw(p->aof, commands);
}

void propagate_command(struct propagate *p, uint32_t db, uint32_t argc, const struct bytes *argv) {
    if (p->follows) {
        log_received(p, db, format(p, argc, argv));
        return;
    }
    select_db(p, db);
    if (p->aof != NULL)
        aof_append_command(p->aof, argc, argv);
    if (makes_stream(p))
        backlog_append(p->backlog, format(p, argc, argv));
}

void propagate_raw(struct propagate *p, uint32_t db, struct bytes commands) {
    if (commands.len == 0)
        return;
    if (p->follows) {
        log_received(p, db, commands);
        return;
    }
    select_db(p, db);
    if (p->aof != NULL)
        aof_append_raw(p->aof, commands);
    if (makes_stream(p))
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

/* ---- another's stream ---- */
void propagate_follow(struct propagate *p, bool follows) {
    p->follows = follows;
}

void propagate_receive(struct propagate *p, struct bytes command) {
    p->received = command;
    p->logged = false;
}

void propagate_received(struct propagate *p, bool selects, uint32_t db) {
    backlog_append(p->backlog, p->received);
    p->backlog->db = db;
    if (p->aof != NULL && selects) {
        aof_append_raw(p->aof, p->received);
        p->log_db = db;
    } else if (!p->logged) {
        note_sent(p, p->received);
    }
    p->received = (struct bytes){0};
}

bool propagate_makes(const struct propagate *p, const struct backlog *backlog) {
    return p->backlog == backlog && !p->follows;
}

/* ---- notes in the log ---- */
void propagate_mark(struct propagate *p, const struct backlog *backlog, uint64_t since) {
    char text[PROPAGATE_MARK_BYTES];
    if (p->aof == NULL)
        return;
    int len = snprintf(text, sizeof text, "%s%s:%" PRIu64 ":%" PRId64, mark_prefix, backlog->id,
                       backlog->end, backlog->db > 0 ? backlog->db : 0);
    if (since >= backlog_begin(backlog) && since <= backlog->end)
        len += snprintf(text + len, sizeof text - (size_t)len, ":%016" PRIx64,
                        backlog_crc(backlog, since));
    const struct bytes argv[] = {BYTES_LITERAL("PING"), {text, (size_t)len}};
    aof_append_command(p->aof, 2, argv);
}

/* The text of a PING that begins so. */
static bool is_note(uint32_t argc, const struct bytes *argv, const char *prefix,
                    struct bytes *rest_r) {
    size_t len = strlen(prefix);
    if (argc != 2 || !bytes_equal_nocase(argv[0], "ping") || argv[1].len < len ||
        memcmp(argv[1].ptr, prefix, len) != 0)
        return false;
    *rest_r = bytes_of(argv[1].ptr + len, argv[1].len - len);
    return true;
}

/* The same for short ones, terminated. */
static bool is_mark(uint32_t argc, const struct bytes *argv, const char *prefix,
                    char text_r[PROPAGATE_MARK_BYTES]) {
    struct bytes rest;
    if (!is_note(argc, argv, prefix, &rest) || rest.len >= PROPAGATE_MARK_BYTES)
        return false;
    snprintf(text_r, PROPAGATE_MARK_BYTES, "%.*s", (int)rest.len, rest.ptr);
    return true;
}

bool propagate_mark_parse(uint32_t argc, const struct bytes *argv, struct propagate_mark *mark_r) {
    char text[PROPAGATE_MARK_BYTES];
    struct rdb_origin *origin = &mark_r->origin;
    if (!is_mark(argc, argv, mark_prefix, text))
        return false;
    int fields = sscanf(text, "%40[0-9a-fA-F]:%" SCNu64 ":%u:%16" SCNx64, origin->id,
                        &origin->offset, &origin->db, &mark_r->crc);
    mark_r->has_crc = fields == 4;
    if (fields < 3 || strlen(origin->id) != sizeof origin->id - 1 ||
        origin->offset > RDB_ORIGIN_OFFSET_MAX)
        origin->id[0] = '\0';
    return true;
}

bool propagate_sent_parse(uint32_t argc, const struct bytes *argv, struct bytes *sent_r) {
    return is_note(argc, argv, sent_prefix, sent_r);
}

bool propagate_apart_parse(uint32_t argc, const struct bytes *argv, uint64_t *bytes_r) {
    struct bytes rest;
    return is_note(argc, argv, apart_prefix, &rest) && bytes_to_u64(rest, bytes_r);
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
