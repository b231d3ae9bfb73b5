/* config_change.c - the one place where the configuration of a running pool changes.
 *
 *   CONFIG SET (a worker's request) \                    one child could not apply it
 *   SIGHUP (the file, read again)    > queue -> check -> ORDER_CONFIG to all ----> the old values
 *   CONFIG REWRITE                  /    |      | bad        | all applied, or      to all again
 *                                        |      v            v time is up             |
 *                                        +--- answer <-----------+--------------------+
 *
 * One change at a time, all or nothing. Children that are not up yet get the order too, but are not
 * waited for; those that die get the new configuration with their next start. The file is written
 * by a short-lived process, for a disk may hang. */
#include "supervisor/supervisor_private.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "supervisor/file_process.h"
#include "supervisor/sdnotify.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CHANGES_WAITING_MAX = 256, APPLY_TIMEOUT_S = 2, REWRITE_TIMEOUT_S = 10 };
#define NO_ASKER UINT32_MAX

enum change_kind { CHANGE_SET, CHANGE_RELOAD, CHANGE_REWRITE };

struct config_change {
    struct list node;
    enum change_kind kind;
    uint32_t asker, asker_generation;
    uint64_t id;
    struct buf lines;
    char error[SUPERVISOR_TEXT_BYTES]; /* the answer, "" for OK */
    /* while active: */
    struct config *before;
    bool undoing;
    struct file_process writer;
};

static void begin_waiting(struct supervisor *s);

/* ---- answers ---- */

static void answer(struct supervisor *s, const struct config_change *change) {
    if (change->asker == NO_ASKER)
        return;
    struct child *asker = &s->children[change->asker];
    if (asker->generation == change->asker_generation)
        child_order(asker, CONTROL_ORDER_ANSWER, change->id, 0, bytes_of_text(change->error));
}

static void free_change(struct config_change *change) {
    buf_free(&change->lines);
    config_free(&change->before);
    mem_free(change);
}

__attribute__((format(printf, 2, 3))) static int refuse(struct config_change *change,
                                                        const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(change->error, sizeof(change->error), format, arguments);
    va_end(arguments);
    return -1;
}

static int refuse_option(struct config_change *change, const char *name, const char *why) {
    return refuse(change, "ERR CONFIG SET failed (possibly related to argument '%s') - %s", name,
                  why);
}

/* ---- `name value` lines ---- */

/* The next line without its newline; its first word in *name_r. False at the end. */
static bool next_line(struct bytes *rest, struct bytes *line_r, struct bytes *name_r) {
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->ptr, '\n', rest->len);
    line_r->ptr = rest->ptr;
    line_r->len = end ? (size_t)(end - rest->ptr) : rest->len;
    const char *space = memchr(line_r->ptr, ' ', line_r->len);
    *name_r = bytes_of(line_r->ptr, space ? (size_t)(space - line_r->ptr) : line_r->len);
    size_t used = line_r->len + (end != NULL);
    *rest = bytes_of(rest->ptr + used, rest->len - used);
    return true;
}

static bool named_before(const struct config_change *change, const struct option_row *row,
                         const char *until) {
    struct bytes rest = bytes_of(change->lines.data, (size_t)(until - change->lines.data));
    struct bytes line, name;
    while (next_line(&rest, &line, &name)) {
        if (option_find(name) == row)
            return true;
    }
    return false;
}

static int apply_line(struct config_change *change, struct config *config, struct bytes line,
                      struct bytes name) {
    char text[CONFIG_ERROR_BYTES];
    const struct option_row *row = option_find(name);
    if (!row)
        return refuse(change, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                      (int)(name.len < 128 ? name.len : 128), name.ptr);
    if (row->when == OPTION_START)
        return refuse_option(change, row->name, "can't set immutable config");
    if (named_before(change, row, line.ptr))
        return refuse_option(change, row->name, "duplicate parameter");
    if (config_from_text(config, line, text) == 0)
        return 0;
    /* The text opens with the option's name, which Redis's words give in another place. */
    size_t prefix = strlen(row->name);
    bool named = strncmp(text, row->name, prefix) == 0 && strncmp(text + prefix, ": ", 2) == 0;
    return refuse_option(change, row->name, named ? text + prefix + 2 : text);
}

/* All lines over a copy of the present configuration. NULL: refused, change->error says why. */
static struct config *changed_config(struct supervisor *s, struct config_change *change) {
    struct config *config = config_copy(s->config);
    struct bytes rest = buf_bytes(&change->lines), line, name = BYTES_LITERAL("");
    char text[CONFIG_ERROR_BYTES];
    while (next_line(&rest, &line, &name)) {
        if (apply_line(change, config, line, name) != 0)
            goto refused;
    }
    if (config_check(config, text) == 0)
        return config;
    const struct option_row *last = option_find(name);
    refuse_option(change, last ? last->name : "", text);
refused:
    config_free(&config);
    return NULL;
}

/* The present values of the options that the change names. */
static void old_lines(const struct supervisor *s, const struct config_change *change,
                      struct buf *out) {
    struct bytes rest = buf_bytes(&change->lines), line, name;
    struct buf value = {0};
    while (next_line(&rest, &line, &name)) {
        buf_clear(&value);
        config_get(s->config, option_find(name), &value);
        config_line(out, name, buf_bytes(&value));
    }
    buf_free(&value);
}

/* ---- a change to all children ---- */

static void set_timeout(struct supervisor *s, double seconds) {
    ev_timer_stop(s->loop, &s->config_timeout);
    ev_timer_set(&s->config_timeout, seconds, 0);
    ev_timer_start(s->loop, &s->config_timeout);
}

static bool anyone_awaited(const struct supervisor *s) {
    for (uint32_t i = 0; i < s->child_count; i++) {
        if (s->config_awaits[i])
            return true;
    }
    return false;
}

static void broadcast(struct supervisor *s, struct bytes lines) {
    s->config_revision++;
    log_set_level((enum log_level)s->config->loglevel);
    status_set(s->page, METRIC_config_revision, s->config_revision);
    for (uint32_t i = 0; i < s->child_count; i++) {
        struct child *child = &s->children[i];
        bool wait = child->pid != 0 && child->state == CHILD_UP;
        s->config_awaits[i] = wait ? child->generation : 0;
        child_order(child, CONTROL_ORDER_CONFIG, s->config_revision, s->config_revision, lines);
    }
    children_grant_forks(s);
    set_timeout(s, APPLY_TIMEOUT_S);
}

static void finish_active(struct supervisor *s) {
    struct config_change *change = s->config_active;
    s->config_active = NULL;
    memset(s->config_awaits, 0, sizeof(s->config_awaits));
    ev_timer_stop(s->loop, &s->config_timeout);
    answer(s, change);
    if (change->kind == CHANGE_RELOAD) {
        if (change->error[0])
            log_warning("The reload changed nothing: %s", change->error);
        else
            log_notice("The configuration is read again, revision %llu",
                       (unsigned long long)s->config_revision);
        sdnotify_send("READY=1");
    }
    free_change(change);
    begin_waiting(s);
}

static void finish_if_applied(struct supervisor *s) {
    if (s->config_active && !anyone_awaited(s))
        finish_active(s);
}

static void undo(struct supervisor *s, struct bytes why) {
    struct config_change *change = s->config_active;
    struct bytes rest = buf_bytes(&change->lines), line, name;
    char text[CONFIG_ERROR_BYTES];
    struct buf lines = {0};
    next_line(&rest, &line, &name);
    snprintf(text, sizeof(text), "%.*s", (int)(why.len < 1000 ? why.len : 1000), why.ptr);
    refuse_option(change, option_find(name)->name, text);
    change->undoing = true;
    config_free(&s->config);
    s->config = change->before;
    change->before = NULL;
    old_lines(s, change, &lines);
    broadcast(s, buf_bytes(&lines));
    buf_free(&lines);
}

void config_change_applied(struct child *child, uint64_t revision, struct bytes error) {
    struct supervisor *s = child->supervisor;
    if (!s->config_active || revision != s->config_revision ||
        s->config_awaits[child->index] != child->generation)
        return;
    s->config_awaits[child->index] = 0;
    if (error.len > 0 && !s->config_active->undoing)
        undo(s, error);
    finish_if_applied(s);
}

void config_change_child_gone(struct child *child) {
    struct supervisor *s = child->supervisor;
    if (!s->config_active || !s->config_awaits[child->index])
        return;
    s->config_awaits[child->index] = 0;
    finish_if_applied(s);
}

/* ---- CONFIG REWRITE ---- */

static int write_file(const void *work, char *error_r, size_t error_bytes) {
    const struct supervisor *s = work;
    char text[CONFIG_ERROR_BYTES];
    if (config_rewrite_file(s->config, s->start.config_path, text) == 0)
        return 0;
    snprintf(error_r, error_bytes, "%s", text);
    return -1;
}

static void refuse_rewrite(struct config_change *change, const char *why) {
    refuse(change, "ERR Rewriting config file: %s", why);
    log_warning("CONFIG REWRITE failed: %s", why);
}

/* The file and the command line as a start would read them now, or NULL. */
static struct config *read_again(const struct supervisor *s, const char *what_fails) {
    char text[CONFIG_ERROR_BYTES];
    struct config *config = config_create();
    if (config_load(config, s->start.config_path, s->start.option_count, s->start.options, text) ==
        0)
        return config;
    log_warning("%s: %s", what_fails, text);
    config_free(&config);
    return NULL;
}

/* REPLICAOF and FAILOVER change whom we follow as well: a reload must not undo them, only who edits the file.
 * True if it says something else than when it was read last. */
static bool note_replicaof(struct supervisor *s, const struct config *read) {
    if (strcmp(read->replicaof, s->replicaof_read) == 0)
        return false;
    mem_free(s->replicaof_read);
    s->replicaof_read = mem_strdup(read->replicaof);
    return true;
}

static void file_written(void *arg, const char *error) {
    struct supervisor *s = arg;
    if (error[0]) {
        refuse_rewrite(s->config_active, error);
    } else {
        log_notice("CONFIG REWRITE executed with success.");
        struct config *written = read_again(s, "What was rewritten cannot be read");
        if (written != NULL)
            (void)note_replicaof(s, written);
        config_free(&written);
    }
    finish_active(s);
}

/* 0 if it goes on, -1 if it is answered already. */
static int begin_rewrite(struct supervisor *s, struct config_change *change) {
    if (!s->start.config_path)
        return refuse(change, "ERR The server is running without a config file");
    change->writer.done = file_written;
    change->writer.arg = s;
    if (file_process_start(&change->writer, s->loop, s->lock_fd, write_file, s) != 0)
        return refuse(change, "ERR Rewriting config file: %s", strerror(errno));
    set_timeout(s, REWRITE_TIMEOUT_S);
    return 0;
}

/* ---- the queue ---- */

static int begin_set(struct supervisor *s, struct config_change *change) {
    struct config *config = changed_config(s, change);
    if (!config)
        return -1;
    change->before = s->config;
    s->config = config;
    if (change->lines.len == 0)
        return 0;
    broadcast(s, buf_bytes(&change->lines));
    return 0;
}

static void begin_waiting(struct supervisor *s) {
    while (!s->config_active && !list_empty(&s->config_waiting)) {
        struct config_change *change =
            LIST_ENTRY(s->config_waiting.next, struct config_change, node);
        list_remove(&change->node);
        s->config_waiting_count--;
        s->config_active = change;
        bool rewrite = change->kind == CHANGE_REWRITE;
        int result = rewrite ? begin_rewrite(s, change) : begin_set(s, change);
        if (result != 0 || (!rewrite && !anyone_awaited(s))) {
            finish_active(s);
            return; /* which has begun the next one */
        }
    }
}

static void queue_change(struct supervisor *s, enum change_kind kind, const struct child *asker,
                         uint64_t id, struct bytes lines) {
    struct config_change *change = mem_calloc(1, sizeof(*change));
    change->kind = kind;
    change->asker = asker ? asker->index : NO_ASKER;
    change->asker_generation = asker ? asker->generation : 0;
    change->id = id;
    if (s->config_waiting_count >= CHANGES_WAITING_MAX || lines.len > CONTROL_BODY_MAX) {
        refuse(change, "ERR Too many configuration changes at once, try again");
        answer(s, change);
        free_change(change);
        return;
    }
    buf_append_bytes(&change->lines, lines);
    list_push_back(&s->config_waiting, &change->node);
    s->config_waiting_count++;
    begin_waiting(s);
}

void config_change_request(struct child *asker, uint64_t id, struct bytes lines) {
    queue_change(asker->supervisor, CHANGE_SET, asker, id, lines);
}

void config_rewrite_request(struct child *asker, uint64_t id) {
    queue_change(asker->supervisor, CHANGE_REWRITE, asker, id, BYTES_LITERAL(""));
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int events) {
    struct supervisor *s = timer->data;
    struct config_change *change = s->config_active;
    ASSERT(change != NULL);
    if (change->kind == CHANGE_REWRITE) {
        file_process_leave(&change->writer, true);
        refuse_rewrite(change, "the disk does not answer");
        finish_active(s);
        return;
    }
    for (uint32_t i = 0; i < s->child_count; i++) {
        if (s->config_awaits[i])
            log_warning("%s has not yet applied revision %llu of the configuration",
                        child_name(&s->children[i]), (unsigned long long)s->config_revision);
    }
    finish_active(s);
}

/* ---- SIGHUP ---- */

/* What differs: live options as lines, the others to the log. */
static void lines_of_differences(struct supervisor *s, const struct config *wanted,
                                 struct buf *lines) {
    struct buf now = {0}, then = {0};
    bool another = note_replicaof(s, wanted);
    for (uint32_t i = 0; i < option_count; i++) {
        const struct option_row *row = &option_rows[i];
        buf_clear(&now);
        buf_clear(&then);
        config_get(s->config, row, &now);
        config_get(wanted, row, &then);
        if (bytes_equal(buf_bytes(&now), buf_bytes(&then)) ||
            (!another && strcmp(row->name, "replicaof") == 0))
            continue;
        log_notice("Reload: %s %s", row->name,
                   row->when == OPTION_START ? "differs and needs a restart" : "changes");
        if (row->when != OPTION_START)
            config_line(lines, bytes_of_text(row->name), buf_bytes(&then));
    }
    buf_free(&now);
    buf_free(&then);
}

void config_reload(struct supervisor *s) {
    sdnotify_reloading();
    struct config *wanted =
        s->start.config_path ? read_again(s, "The reload changed nothing") : NULL;
    if (!wanted) {
        sdnotify_send("READY=1");
        return;
    }
    struct buf lines = {0};
    lines_of_differences(s, wanted, &lines);
    config_free(&wanted);
    queue_change(s, CHANGE_RELOAD, NULL, 0, buf_bytes(&lines));
    buf_free(&lines);
}

void config_change_init(struct supervisor *s) {
    list_init(&s->config_waiting);
    ev_init(&s->config_timeout, on_timeout);
    s->config_timeout.data = s;
    s->config_revision = 1;
}

void config_change_deinit(struct supervisor *s) {
    if (s->config_active) {
        file_process_leave(&s->config_active->writer, false);
        free_change(s->config_active);
    }
    LIST_EACH(node, &s->config_waiting)
    free_change(LIST_ENTRY(node, struct config_change, node));
    s->config_active = NULL;
}
