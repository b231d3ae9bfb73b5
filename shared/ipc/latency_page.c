/* latency_page.c - see latency_page.h. */
#include "shared/ipc/latency_page.h"

const char *const latency_event_names[LATENCY_EVENT_COUNT] = {
#define X(event, name) name,
    LATENCY_EVENTS(X)
#undef X
};

static struct latency_sample unpack(uint64_t word) {
    return (struct latency_sample){(uint32_t)(word >> 32), (uint32_t)word};
}

void latency_add(struct latency_page *page, enum latency_event event, uint32_t time_s,
                 uint32_t ms) {
    struct latency_series *s = &page->events[event];
    uint32_t next = atomic_load(&s->next) % LATENCY_SAMPLES;
    uint32_t last = (next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES;
    struct latency_sample before = unpack(atomic_load(&s->samples[last]));
    if (ms > atomic_load(&s->max_ms))
        atomic_store(&s->max_ms, ms);
    uint64_t word = (uint64_t)time_s << 32 | ms;
    if (before.time_s == time_s) {
        if (ms > before.ms)
            atomic_store(&s->samples[last], word);
        return;
    }
    atomic_store(&s->samples[next], word);
    atomic_store(&s->next, (next + 1) % LATENCY_SAMPLES);
}

uint32_t latency_read(const struct latency_page *page, enum latency_event event,
                      struct latency_sample samples_r[LATENCY_SAMPLES]) {
    const struct latency_series *s = &page->events[event];
    uint32_t next = atomic_load(&s->next), count = 0;
    for (uint32_t i = 0; i < LATENCY_SAMPLES; i++) {
        uint64_t word = atomic_load(&s->samples[(next + i) % LATENCY_SAMPLES]);
        if (word != 0)
            samples_r[count++] = unpack(word);
    }
    return count;
}

void latency_reset(struct latency_page *page, enum latency_event event) {
    struct latency_series *s = &page->events[event];
    for (uint32_t i = 0; i < LATENCY_SAMPLES; i++)
        atomic_store(&s->samples[i], 0);
    atomic_store(&s->next, 0);
    atomic_store(&s->max_ms, 0);
}
