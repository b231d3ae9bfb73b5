/* feed_hold.c - what one shard says before the others: commands that they will say, too, and the parts of a
 * command over several shards. The link that comes first waits there for the rest.
 *
 * Nothing waits for ever: a command of whole databases that does not come from all breaks the run, as saying it
 * would take away what others wrote behind it; parts that do not become whole are said as they are, and those
 * that come later are let through: waiting for what is out already would leave the shards one command apart from
 * there on. */
#include "worker/replication/feed_private.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "worker/persist/aof.h"

enum { WHOLE_MAX = 50, SPAN_MAX = 10, LATE_MAX = 6000 }; /* tenths of a second */

/* ---- commands of whole databases ---- */
/* True if all shards have come to it. */
static bool all_hold_the_same(const struct feed_run *run) {
    const struct feed_link *first = &run->links[0];
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        const struct feed_link *link = &run->links[i];
        if (link->held.len == 0 || link->db != first->db ||
            !bytes_equal(buf_bytes(&link->held), buf_bytes(&first->held)))
            return false;
    }
    return true;
}

static enum feed_held hold_whole(struct feed_link *link, struct bytes raw) {
    struct feed_run *run = link->run;
    if (link->passed) {
        link->passed = false;
        return FEED_TAKEN;
    }
    if (link->in_transaction) {
        feed_run_break(run, "FLUSHALL, FLUSHDB or SWAPDB in a transaction of one shard");
        return FEED_WAIT;
    }
    if (link->held.len == 0)
        buf_append_bytes(&link->held, raw);
    if (!all_hold_the_same(run))
        return FEED_WAIT;
    propagate_raw(run->propagate, link->db, raw);
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        buf_free(&run->links[i].held);
        run->links[i].passed = run->links[i].go_on = &run->links[i] != link;
    }
    return FEED_TAKEN;
}

/* ---- parts ---- */
static struct feed_span *span_of(struct list *node) {
    return LIST_ENTRY(node, struct feed_span, link);
}

static struct feed_span *find_span(struct feed_run *run, uint64_t number) {
    LIST_EACH(node, &run->spans)
    if (span_of(node)->number == number)
        return span_of(node);
    return NULL;
}

static struct feed_span *begin_span(struct feed_run *run, uint64_t number, uint64_t parts) {
    struct feed_span *span = mem_calloc(1, sizeof *span);
    const struct bytes multi[] = {BYTES_LITERAL("MULTI")};
    *span = (struct feed_span){.number = number, .parts = parts, .db = BACKLOG_NO_DB};
    aof_format_command(&span->text, 1, multi);
    list_push_back(&run->spans, &span->link);
    return span;
}

static void free_span(struct feed_span *span) {
    list_remove(&span->link);
    buf_free(&span->text);
    mem_free(span);
}

/* Said in one piece: its text knows its databases, and leaves the reader in the last. */
static void say_span(struct feed_run *run, struct feed_span *span) {
    const struct bytes exec[] = {BYTES_LITERAL("EXEC")};
    if (span->db != BACKLOG_NO_DB) {
        aof_format_command(&span->text, 1, exec);
        propagate_raw(run->propagate, (uint32_t)span->db, buf_bytes(&span->text));
    }
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        struct feed_link *link = &run->links[i];
        if (link->span != span)
            continue;
        link->span = NULL;
        link->in_part = false;
        link->go_on = true;
    }
    span->said = true;
    buf_free(&span->text);
    if (span->begun == span->parts)
        free_span(span);
}

static void take_late_part(struct feed_span *span) {
    if (++span->begun == span->parts)
        free_span(span);
}

static void add_to_span(struct feed_span *span, uint32_t db, struct bytes raw) {
    char digits[BYTES_I64_MAX];
    const struct bytes select[] = {BYTES_LITERAL("SELECT"), {digits, bytes_from_i64(digits, db)}};
    if (span->db != (int64_t)db)
        aof_format_command(&span->text, 2, select);
    span->db = db;
    buf_append_bytes(&span->text, raw);
}

/* While snapshots are awaited nobody sees what is said, and a shard may be far behind the others: then the
 * parts need not be together. */
static enum feed_held take_mark(struct feed_link *link, uint64_t number, uint64_t parts) {
    struct feed_run *run = link->run;
    if (parts == 0) {
        if (link->in_part && ++link->span->arrived == link->span->parts)
            say_span(run, link->span);
        link->in_part = false;
        return FEED_TAKEN;
    }
    if (link->span != NULL && link->span->number != number)
        return FEED_WAIT;
    if (run->state == FEED_GATHERING)
        return FEED_TAKEN;
    struct feed_span *span = find_span(run, number);
    if (span == NULL)
        span = begin_span(run, number, parts);
    if (span->said) {
        take_late_part(span);
        return FEED_TAKEN;
    }
    span->begun++;
    link->span = span;
    link->in_part = true;
    return FEED_TAKEN;
}

static bool is_frame_of_transaction(struct bytes name) {
    return bytes_equal_nocase(name, "multi") || bytes_equal_nocase(name, "exec");
}

/* ---- both ---- */
static bool is_service(struct bytes name) {
    return bytes_equal_nocase(name, "ping") || bytes_equal_nocase(name, "replconf");
}

static enum feed_held select_db(struct feed_link *link, struct bytes digits) {
    uint64_t db;
    if (bytes_to_u64(digits, &db) && db <= INT32_MAX)
        link->db = (uint32_t)db;
    return FEED_TAKEN;
}

enum feed_held feed_hold(struct feed_link *link, uint32_t argc, const struct bytes *argv,
                         struct bytes raw) {
    uint64_t number, parts;
    if (propagate_part_parse(argc, argv, &number, &parts))
        return take_mark(link, number, parts);
    if (is_service(argv[0]))
        return FEED_TAKEN;
    if (link->span != NULL && !link->in_part)
        return FEED_WAIT;
    if (argc == 2 && bytes_equal_nocase(argv[0], "select"))
        return select_db(link, argv[1]);
    if (upstream_is_of_whole_databases(argv[0]))
        return hold_whole(link, raw);
    if (!link->in_part)
        return FEED_PASS;
    if (!is_frame_of_transaction(argv[0]))
        add_to_span(link->span, link->db, raw);
    return FEED_TAKEN;
}

static bool is_any_held(const struct feed_run *run) {
    for (uint32_t i = 0; i < run->feed->shards; i++)
        if (run->links[i].held.len > 0)
            return true;
    return false;
}

static void grow_old(struct feed_run *run, struct feed_span *span) {
    span->age++;
    if (span->said && span->age > LATE_MAX) {
        free_span(span);
    } else if (!span->said && span->age > SPAN_MAX) {
        log_verbose("A command over several shards is said in parts: not all have come");
        say_span(run, span);
    }
}

void feed_hold_cron(struct feed_run *run, bool all_up) {
    LIST_EACH(node, &run->spans)
    grow_old(run, span_of(node));
    run->held_for = all_up && is_any_held(run) ? run->held_for + 1 : 0;
    if (run->held_for > WHOLE_MAX)
        feed_run_break(run, "FLUSHALL, FLUSHDB or SWAPDB has not come from every shard");
}

void feed_hold_free(struct feed_run *run) {
    while (!list_empty(&run->spans))
        free_span(span_of(run->spans.next));
    for (uint32_t i = 0; i < run->feed->shards; i++)
        buf_free(&run->links[i].held);
}
