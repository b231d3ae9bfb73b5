/* status_page.c - see status_page.h. */
#include "shared/ipc/status_page.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define METRIC(field, kind, scope, help) {#field, METRIC_##kind, METRIC_##scope, help},
const struct metric_row metric_rows[METRIC_COUNT] = {
#include "shared/ipc/metrics.def"
};
#undef METRIC

const char *child_state_name(enum child_state state) {
    static const char *const names[CHILD_STATE_COUNT] = {
#define X(name, text, help) [CHILD_##name] = text,
        CHILD_STATES(X)
#undef X
    };
    return (unsigned)state < CHILD_STATE_COUNT ? names[state] : "unknown";
}

const char *fork_wait_name(uint32_t wait) {
    static const char *const names[FORK_WAIT_COUNT] = {
#define X(name, text, help) [FORK_WAIT_##name] = text,
        FORK_WAITS(X)
#undef X
    };
    return wait < FORK_WAIT_COUNT ? names[wait] : "unknown";
}

void status_set_text(char text[STATUS_TEXT_BYTES], const char *format, ...) {
    char line[STATUS_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (len < 0)
        len = 0;
    if (len >= STATUS_TEXT_BYTES)
        len = STATUS_TEXT_BYTES - 1;
    for (int i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    memset(line + len, 0, sizeof line - (size_t)len);
    /* The last byte is NUL before, during and after: a reader always finds an end. */
    memcpy(text, line, sizeof line - 1);
    text[STATUS_TEXT_BYTES - 1] = '\0';
}

void status_count_from_now(struct status_page *page) {
    for (size_t i = 0; i < METRIC_COUNT; i++)
        if (metric_rows[i].kind == METRIC_COUNTER)
            atomic_store_explicit(&page->counted_from[i], status_get(page, (enum metric)i),
                                  memory_order_relaxed);
}

void status_page_reset(struct status_page *page) {
    atomic_store(&page->generation, 0);
    atomic_store(&page->pid, 0);
    atomic_store(&page->heartbeat, 0);
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        status_set(page, (enum metric)i, 0);
        atomic_store_explicit(&page->counted_from[i], 0, memory_order_relaxed);
    }
    for (size_t i = 0; i < DATABASES_MAX; i++) {
        atomic_store(&page->databases[i].keys, 0);
        atomic_store(&page->databases[i].expires, 0);
        atomic_store(&page->databases[i].avg_ttl_ms, 0);
    }
    for (size_t i = 0; i < ADDRESS_CLASSES; i++)
        atomic_store_explicit(&page->clients_by_address[i], 0, memory_order_relaxed);
    memset(page->note, 0, sizeof page->note);
}
