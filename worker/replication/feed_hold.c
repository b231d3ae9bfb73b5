/* feed_hold.c - what one shard says before the others: commands that they will say, too, and the parts of a
 * command over several shards. The link that comes first waits there for the rest.
 *
 *   shard 0:  a b . .            a and b cross: neither can be said whole before the other, as each shard's order
 *   shard 1:  . b a c            is kept. They become one group, said in one transaction, as a would be alone.
 *
 * Commands that are run under locks never cross, others do all the time. A group that becomes too large is
 * said as it is, without what is missing.
 *
 * Nothing waits for what cannot come: a link that is down or waits itself for a command of whole databases, or a
 * shard that has said a newer part of the same coordinator (they come in order, so an older one that is missing is
 * of before the snapshot, or was never run). What is missing in a group that was said comes later, by itself, as
 * the other shards are known to have said theirs. Where nothing tells that a part will not come, a second does.
 * Of a command of whole databases that does not come from all the run breaks, as saying it would take away what
 * others wrote behind it. */
#include "worker/replication/feed_private.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "worker/persist/aof.h"

enum {
    WHOLE_MAX = 50, /* tenths of a second */
    GROUP_MAX = 10,
    GROUP_SPANS_MAX = 500,
    GROUP_BYTES_MAX = 4 * 1024 * 1024
};

static const char multi[] = "*1\r\n$5\r\nMULTI\r\n", exec[] = "*1\r\n$4\r\nEXEC\r\n";

/* ---- groups ---- */
static struct feed_span *span_of(struct list *node) {
    return LIST_ENTRY(node, struct feed_span, link);
}

static struct feed_group *group_of(struct list *node) {
    return LIST_ENTRY(node, struct feed_group, link);
}

static struct feed_group *begin_group(struct feed_run *run) {
    uint32_t shards = run->feed->shards;
    struct feed_group *g = mem_calloc(1, sizeof *g + shards * sizeof g->needs[0]);
    g->db = BACKLOG_NO_DB;
    buf_append_text(&g->text, multi);
    list_push_back(&run->groups, &g->link);
    return g;
}

static void free_group(struct feed_group *g) {
    list_remove(&g->link);
    buf_free(&g->text);
    mem_free(g);
}

static void free_span(struct feed_span *span) {
    list_remove(&span->link);
    mem_free(span);
}

static void add_to_group(struct feed_group *g, uint32_t db, struct bytes raw) {
    if (g->db != (int64_t)db)
        aof_format_select(&g->text, db);
    g->db = db;
    if (g->commands++ == 0)
        g->first_at = g->text.len;
    buf_append_bytes(&g->text, raw);
}

/* In one piece: its text knows its databases, and leaves the reader in the last. */
static void say_text(struct feed_run *run, struct feed_group *g) {
    struct bytes text = bytes_of(g->text.data + g->first_at, g->text.len - g->first_at);
    if (g->commands > 1) {
        buf_append_text(&g->text, exec);
        text = buf_bytes(&g->text);
    }
    if (g->commands > 0)
        propagate_raw(run->propagate, (uint32_t)g->db, text);
}

static void say_group(struct feed_run *run, struct feed_group *g) {
    say_text(run, g);
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        struct feed_link *link = &run->links[i];
        if (link->group != g)
            continue;
        link->group = NULL;
        link->part = NULL;
        link->go_on = true;
    }
    LIST_EACH(node, &run->spans)
    if (span_of(node)->group == g)
        free_span(span_of(node));
    free_group(g);
}

/* Links that wait at a part of `from` and are needed for the rest go on. */
static void unite(struct feed_run *run, struct feed_group *into, struct feed_group *from) {
    buf_append_bytes(&into->text,
                     bytes_of(from->text.data + strlen(multi), from->text.len - strlen(multi)));
    if (from->commands > 0)
        into->db = from->db;
    if (into->commands == 0)
        into->first_at = from->first_at;
    into->commands += from->commands;
    into->age = from->age > into->age ? from->age : into->age;
    into->spans += from->spans;
    into->missing += from->missing;
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        struct feed_link *link = &run->links[i];
        into->needs[i] += from->needs[i];
        if (link->group == from)
            link->group = into;
        link->go_on = link->go_on || (link->group == into && into->needs[i] > 0);
    }
    LIST_EACH(node, &run->spans)
    if (span_of(node)->group == from)
        span_of(node)->group = into;
    free_group(from);
}

/* Does `from` wait for `to`? Then all groups in between become part of that. */
static bool unite_between(struct feed_run *run, const struct feed_group *from,
                          struct feed_group *to) {
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        struct feed_group *next = run->links[i].group;
        /* A link that its own group needs is not at its end. */
        if (from->needs[i] == 0 || next == NULL || next->needs[i] > 0 || next->seen)
            continue;
        if (next == to)
            return true;
        next->seen = true;
        if (unite_between(run, next, to)) {
            unite(run, to, next);
            return true;
        }
    }
    return false;
}

static bool unite_circle(struct feed_run *run, struct feed_group *g) {
    LIST_EACH(node, &run->groups)
    group_of(node)->seen = false;
    return unite_between(run, g, g);
}

/* Something has become of it: say it if it is whole, and see to it that it can become so. */
static void settle(struct feed_run *run, struct feed_group *g) {
    while (g->missing > 0 && unite_circle(run, g))
        ;
    bool is_large = g->spans > GROUP_SPANS_MAX || g->text.len > GROUP_BYTES_MAX;
    if (g->missing == 0 || (g->spans > 1 && is_large))
        say_group(run, g);
}

/* ---- who says what ---- */
/* NULL: numbers of whom are not known. */
static uint64_t *said_by(const struct feed_link *link, uint64_t number) {
    uint64_t coordinator = number >> 56;
    if (coordinator >= link->run->feed->shards)
        return NULL;
    return &link->said[coordinator * 2 + (number >> 55 & 1)];
}

static bool will_say(const struct feed_link *link, uint64_t number) {
    const uint64_t *said = said_by(link, number);
    return link->up && !link->lost && link->held.len == 0 && (said == NULL || *said < number);
}

static bool misses(const struct feed_span *span, uint32_t shard) {
    return span->missing[shard / 64] >> shard % 64 & 1;
}

static void expect_part(struct feed_span *span, uint32_t shard) {
    span->missing[shard / 64] |= UINT64_C(1) << shard % 64;
    span->group->needs[shard]++;
    span->group->missing++;
}

static void miss_no_more(struct feed_span *span, uint32_t shard) {
    span->missing[shard / 64] &= ~(UINT64_C(1) << shard % 64);
    span->group->needs[shard]--;
    span->group->missing--;
}

/* What this link will not say; of one source, or (NULL) of all. */
static bool drop_one(struct feed_link *link, const uint64_t *source, uint64_t below) {
    struct feed_run *run = link->run;
    LIST_EACH(node, &run->spans) {
        struct feed_span *span = span_of(node);
        if (!misses(span, link->shard) ||
            (source != NULL && (said_by(link, span->number) != source || span->number >= below)))
            continue;
        miss_no_more(span, link->shard);
        settle(run, span->group);
        return true; /* the list may be another now */
    }
    return false;
}

static void drop_all(struct feed_link *link) {
    while (drop_one(link, NULL, 0))
        ;
}

/* This comes next: nothing older will. */
static void note_next(struct feed_link *link, uint64_t number) {
    uint64_t *said = said_by(link, number);
    link->lost = false;
    if (said == NULL)
        return;
    *said = number - 1;
    while (drop_one(link, said, number))
        ;
}

static void note_said(struct feed_link *link, uint64_t number) {
    uint64_t *said = said_by(link, number);
    if (said != NULL)
        *said = number;
}

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
    if (link->held.len == 0) {
        buf_append_bytes(&link->held, raw);
        drop_all(link);
    }
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
static struct feed_span *find_span(struct feed_run *run, uint64_t number) {
    LIST_EACH(node, &run->spans)
    if (span_of(node)->number == number)
        return span_of(node);
    return NULL;
}

static struct feed_span *begin_span(struct feed_link *link, const struct propagate_part *part) {
    struct feed_run *run = link->run;
    struct feed_span *span = mem_calloc(1, sizeof *span);
    span->number = part->number;
    span->group = begin_group(run);
    span->group->spans = 1;
    for (uint32_t i = 0; i < run->feed->shards; i++)
        if (i == link->shard ||
            (propagate_part_has(part, i) && will_say(&run->links[i], part->number)))
            expect_part(span, i);
    list_push_back(&run->spans, &span->link);
    return span;
}

/* Has it come to the end of what it may say before its group is said? */
static bool is_blocked(const struct feed_link *link) {
    return link->group != NULL && link->part == NULL && link->group->needs[link->shard] == 0;
}

static enum feed_held begin_part(struct feed_link *link, const struct propagate_part *part) {
    struct feed_run *run = link->run;
    if (is_blocked(link))
        return FEED_WAIT;
    note_next(link, part->number);
    if (is_blocked(link))
        return FEED_WAIT;
    note_said(link, part->number);
    struct feed_span *span = find_span(run, part->number);
    if (span == NULL)
        span = begin_span(link, part);
    if (link->group != NULL && link->group != span->group)
        unite(run, link->group, span->group);
    link->group = span->group;
    link->part = span;
    link->more = part->more;
    return FEED_TAKEN;
}

static void end_part(struct feed_link *link) {
    struct feed_span *span = link->part;
    if (span == NULL)
        return;
    link->part = NULL;
    if (!link->more && misses(span, link->shard))
        miss_no_more(span, link->shard);
    settle(link->run, span->group);
}

static bool is_frame_of_transaction(struct bytes name) {
    return bytes_equal_nocase(name, "multi") || bytes_equal_nocase(name, "exec");
}

/* ---- all ---- */
static bool is_service(struct bytes name) {
    return bytes_equal_nocase(name, "ping") || bytes_equal_nocase(name, "replconf");
}

static enum feed_held select_db(struct feed_link *link, struct bytes digits) {
    uint64_t db;
    if (bytes_to_u64(digits, &db) && db <= INT32_MAX)
        link->db = (uint32_t)db;
    return FEED_TAKEN;
}

/* In a group a command of whole databases would take along what other shards say before they come to it. */
static enum feed_held leave_group_for_whole(struct feed_link *link, struct bytes raw) {
    if (link->group != NULL)
        drop_all(link);
    return link->group != NULL ? FEED_WAIT : hold_whole(link, raw);
}

enum feed_held feed_hold(struct feed_link *link, uint32_t argc, const struct bytes *argv,
                         struct bytes raw) {
    struct propagate_part part;
    if (propagate_part_parse(argc, argv, &part)) {
        if (propagate_part_is_any(&part))
            return begin_part(link, &part);
        end_part(link);
        return FEED_TAKEN;
    }
    if (is_blocked(link))
        return FEED_WAIT;
    if (is_service(argv[0]))
        return FEED_TAKEN;
    if (argc == 2 && bytes_equal_nocase(argv[0], "select"))
        return select_db(link, argv[1]);
    if (upstream_is_of_whole_databases(argv[0]))
        return leave_group_for_whole(link, raw);
    if (link->group == NULL)
        return FEED_PASS;
    if (!is_frame_of_transaction(argv[0]))
        add_to_group(link->group, link->db, raw);
    return FEED_TAKEN;
}

void feed_hold_down(struct feed_link *link) {
    drop_all(link);
}

static bool is_any_held(const struct feed_run *run) {
    for (uint32_t i = 0; i < run->feed->shards; i++)
        if (run->links[i].held.len > 0)
            return true;
    return false;
}

/* Those that it waits for and that do not wait themselves have nothing to say. */
static bool give_up_one(struct feed_run *run, const struct feed_group *g) {
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        struct feed_link *link = &run->links[i];
        if (g->needs[i] == 0 || is_blocked(link))
            continue;
        log_verbose("A command over several shards is said without shard %u, which does not come "
                    "to it",
                    i);
        link->lost = true;
        drop_all(link);
        return true;
    }
    return false;
}

static bool give_up_old(struct feed_run *run) {
    LIST_EACH(node, &run->groups)
    if (group_of(node)->age > GROUP_MAX && give_up_one(run, group_of(node)))
        return true; /* the list may be another now */
    return false;
}

static void grow_old(struct feed_run *run) {
    LIST_EACH(node, &run->groups)
    group_of(node)->age++;
    while (give_up_old(run))
        ;
}

void feed_hold_cron(struct feed_run *run, bool all_up) {
    grow_old(run);
    run->held_for = all_up && is_any_held(run) ? run->held_for + 1 : 0;
    if (run->held_for > WHOLE_MAX)
        feed_run_break(run, "FLUSHALL, FLUSHDB or SWAPDB has not come from every shard");
}

void feed_hold_begin(struct feed_run *run) {
    list_init(&run->spans);
    list_init(&run->groups);
    for (uint32_t i = 0; i < run->feed->shards; i++)
        run->links[i].said = mem_calloc((size_t)run->feed->shards * 2, sizeof(uint64_t));
}

void feed_hold_free(struct feed_run *run) {
    while (!list_empty(&run->spans))
        free_span(span_of(run->spans.next));
    while (!list_empty(&run->groups))
        free_group(group_of(run->groups.next));
    for (uint32_t i = 0; i < run->feed->shards; i++) {
        buf_free(&run->links[i].held);
        mem_free(run->links[i].said);
    }
}
