/* test_ring.c - the ring in one process: order, room, what a dead writer or reader leaves, and a segment
 * full of rubbish. The ring's data is a heap block of exactly its size, so that the sanitizer sees any
 * step outside. */
#include "tests/unit/shared/support.h"

#include "shared/ipc/ring.h"

#include <pthread.h>

struct fixture {
    struct ring_shared *shared;
    char *data;
    uint32_t size;
    struct ring_writer w;
    struct ring_reader r;
};

static struct fixture make(uint32_t size) {
    struct fixture f = {.size = size};
    f.shared = aligned_alloc(64, sizeof *f.shared);
    memset((void *)f.shared, 0, sizeof *f.shared);
    f.data = aligned_alloc(8, size);
    memset(f.data, 0, size);
    ring_writer_attach(&f.w, f.shared, f.data, size);
    ring_reader_attach(&f.r, f.shared, f.data, size);
    return f;
}

static void drop(struct fixture *f) {
    free(f->shared);
    free(f->data);
}

static bool put(struct fixture *f, const char *text) {
    uint32_t len = (uint32_t)strlen(text);
    void *room = ring_reserve(&f->w, len);
    if (!room)
        return false;
    assert_int_equal((uintptr_t)room % 8, 0);
    memcpy(room, text, len);
    ring_commit(&f->w, len);
    return true;
}

static void expect(struct fixture *f, const char *text) {
    const void *payload;
    uint32_t bytes;
    assert_int_equal(ring_next(&f->r, &payload, &bytes), RING_OK);
    assert_int_equal(bytes, strlen(text));
    assert_memory_equal(payload, text, bytes);
}

static void expect_empty(struct fixture *f) {
    const void *payload;
    uint32_t bytes;
    assert_int_equal(ring_next(&f->r, &payload, &bytes), RING_EMPTY);
}

static void visible_only_when_published(void **state) {
    struct fixture f = make(4096);
    assert_false(ring_publish(&f.w));
    put(&f, "one");
    put(&f, "");
    expect_empty(&f);
    assert_false(ring_has_data(&f.r));
    assert_true(ring_publish(&f.w));
    assert_false(ring_publish(&f.w));
    assert_true(ring_has_data(&f.r));
    expect(&f, "one");
    expect(&f, "");
    expect_empty(&f);
    assert_false(ring_has_data(&f.r));
    drop(&f);
}

static void full_until_released(void **state) {
    struct fixture f = make(4096);
    char text[512 + 1];
    memset(text, 'x', 512);
    text[512] = '\0';
    assert_int_equal(ring_record_max(4096), 512);
    int stored = 0;
    while (put(&f, text))
        stored++;
    assert_in_range(stored, 7, 7); /* 8 would fit without their headers */
    ring_publish(&f.w);
    expect(&f, text);
    assert_false(put(&f, text));
    ring_release(&f.r);
    assert_true(put(&f, text));
    drop(&f);
}

static void less_than_reserved_may_be_committed(void **state) {
    struct fixture f = make(4096);
    for (int i = 0; i < 1000; i++) {
        void *room = ring_reserve(&f.w, 512);
        assert_non_null(room);
        memcpy(room, "abcdefg", 7);
        ring_commit(&f.w, 7);
        put(&f, "next");
        ring_publish(&f.w);
        expect(&f, "abcdefg");
        expect(&f, "next");
        expect_empty(&f);
        ring_release(&f.r);
    }
    drop(&f);
}

static void dead_writer_leaves_what_it_published(void **state) {
    struct fixture f = make(4096);
    put(&f, "published");
    ring_publish(&f.w);
    put(&f, "committed only");
    memset(ring_reserve(&f.w, 100), 0xff, 100);
    ring_writer_attach(&f.w, f.shared, f.data, f.size);
    put(&f, "of the new one");
    ring_publish(&f.w);
    expect(&f, "published");
    expect(&f, "of the new one");
    expect_empty(&f);
    drop(&f);
}

static void dead_reader_leaves_what_it_did_not_release(void **state) {
    struct fixture f = make(4096);
    put(&f, "a");
    put(&f, "b");
    put(&f, "c");
    ring_publish(&f.w);
    expect(&f, "a");
    ring_release(&f.r);
    expect(&f, "b");
    ring_reader_attach(&f.r, f.shared, f.data, f.size);
    expect(&f, "b");
    expect(&f, "c");
    expect_empty(&f);
    drop(&f);
}

static void random_traffic_keeps_order_and_content(void **state) {
    uint64_t random = support_seed();
    struct fixture f = make(4096);
    uint64_t sent = 0, received = 0, full = 0;
    while (received < 300000) {
        uint32_t bytes = 8 + (uint32_t)(support_random(&random) % 505);
        char *room = ring_reserve(&f.w, bytes);
        if (room && support_random(&random) % 8) {
            memset(room, (int)sent & 0xff, bytes);
            memcpy(room, &sent, 8);
            ring_commit(&f.w, bytes);
            sent++;
        }
        full += !room;
        if (!room || support_random(&random) % 4 == 0)
            ring_publish(&f.w);
        if (room && support_random(&random) % 3)
            continue;
        const void *payload;
        uint32_t got;
        while (ring_next(&f.r, &payload, &got) == RING_OK) {
            assert_memory_equal(payload, &received, 8);
            for (uint32_t i = 8; i < got; i++)
                assert_int_equal(((const uint8_t *)payload)[i], received & 0xff);
            received++;
        }
        ring_release(&f.r);
    }
    assert_true(full > 100);
    drop(&f);
}

/* ---- a hostile segment ---- */

/* Reads until the ring is empty or corrupt, touching every byte it is given. */
static enum ring_result read_all(struct fixture *f, uint64_t *records) {
    const void *payload;
    uint32_t bytes;
    enum ring_result result;
    uint32_t steps = 0;
    volatile uint8_t sink = 0;
    while ((result = ring_next(&f->r, &payload, &bytes)) == RING_OK) {
        assert_true(bytes <= ring_record_max(f->size));
        assert_true((const char *)payload >= f->data &&
                    (const char *)payload + bytes <= f->data + f->size);
        for (uint32_t i = 0; i < bytes; i++)
            sink ^= ((const uint8_t *)payload)[i];
        assert_true(++steps <= f->size);
        ++*records;
    }
    return result;
}

static void damage(struct fixture *f, uint64_t *random) {
    uint64_t value = support_random(random);
    if (value & 1)
        value = atomic_load(&f->shared->tail) + (support_random(random) % 8192 - 4096);
    switch (support_random(random) % 5) {
    case 0: atomic_store(&f->shared->tail, value); break;
    case 1: atomic_store(&f->shared->head, value); break;
    case 2:
        for (int i = 0; i < 20; i++)
            f->data[support_random(random) % f->size] = (char)support_random(random);
        break;
    case 3: memset(f->data, (int)support_random(random), f->size); break;
    default:
        for (uint32_t at = 0; at < f->size; at += 8)
            memcpy(f->data + at,
                   &(uint64_t){(UINT64_C(0x52454331) << 32) | support_random(random) % 600}, 8);
    }
}

static void rubbish_is_survived_and_overcome(void **state) {
    uint64_t random = support_seed(), records = 0;
    int corrupt = 0;
    struct fixture f = make(1024);
    for (int round = 0; round < 100000; round++) {
        for (uint64_t n = support_random(&random) % 5; n > 0 && put(&f, "some text"); n--)
            ;
        ring_publish(&f.w);
        damage(&f, &random);
        if (support_random(&random) % 2)
            ring_reader_attach(&f.r, f.shared, f.data, f.size);
        if (read_all(&f, &records) == RING_CORRUPT) {
            corrupt++;
            ring_skip_all(&f.r);
            assert_int_equal(read_all(&f, &records), RING_EMPTY);
        }
        ring_release(&f.r);
        /* The writer's process is replaced: at most one more skip, and traffic flows. */
        ring_writer_attach(&f.w, f.shared, f.data, f.size);
        put(&f, "lost perhaps");
        ring_publish(&f.w);
        if (read_all(&f, &records) == RING_CORRUPT)
            ring_skip_all(&f.r);
        ring_release(&f.r);
        ring_writer_attach(&f.w, f.shared, f.data, f.size);
        assert_true(put(&f, "arrives"));
        ring_publish(&f.w);
        expect(&f, "arrives");
        ring_release(&f.r);
    }
    assert_true(corrupt > 1000 && records > 1000);
    drop(&f);
}

/* A writer's view of a reader gone mad: it may find the ring full for ever, but never writes over what
 * was not released, and never outside. */
static void mad_head_never_makes_room(void **state) {
    uint64_t random = support_seed();
    struct fixture f = make(1024);
    while (put(&f, "0123456789"))
        ;
    ring_publish(&f.w);
    uint64_t tail = f.w.tail;
    for (int round = 0; round < 100000; round++) {
        uint64_t head = support_random(&random);
        if (head <= tail)
            continue;
        atomic_store(&f.shared->head, head);
        assert_null(ring_reserve(&f.w, 10));
    }
    drop(&f);
}

struct scribbler {
    struct fixture *f;
    uint64_t random;
    _Atomic bool stop;
};

/* Changes the segment between a reader's checks and its use of what it checked. */
static void *scribble(void *context) {
    struct scribbler *s = context;
    while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
        uint64_t at = support_random(&s->random) % (s->f->size / 8);
        uint64_t word = (UINT64_C(0x52454331) << 32) | support_random(&s->random) % 300;
        if (at % 16 == 0)
            word = UINT64_C(0x50414431) << 32;
        __atomic_store_n((uint64_t *)(void *)s->f->data + at, word, __ATOMIC_RELAXED);
        atomic_store(&s->f->shared->tail, atomic_load(&s->f->shared->head) + word % 200 * 8);
    }
    return NULL;
}

static void rubbish_that_changes_under_the_reader(void **state) {
    struct fixture f = make(1024);
    struct scribbler s = {.f = &f, .random = support_seed()};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
    uint64_t records = 0, corrupt = 0;
    alarm(120);
    while (records < 50000 || corrupt < 1000) {
        const void *payload;
        uint32_t bytes;
        enum ring_result result = ring_next(&f.r, &payload, &bytes);
        if (result == RING_OK) {
            assert_true(bytes <= ring_record_max(f.size));
            assert_true((const char *)payload + bytes <= f.data + f.size);
            records++;
        } else if (result == RING_CORRUPT) {
            ring_skip_all(&f.r);
            corrupt++;
        }
        ring_release(&f.r);
    }
    alarm(0);
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    drop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(visible_only_when_published),
        cmocka_unit_test(full_until_released),
        cmocka_unit_test(less_than_reserved_may_be_committed),
        cmocka_unit_test(dead_writer_leaves_what_it_published),
        cmocka_unit_test(dead_reader_leaves_what_it_did_not_release),
        cmocka_unit_test(random_traffic_keeps_order_and_content),
        cmocka_unit_test(rubbish_is_survived_and_overcome),
        cmocka_unit_test(mad_head_never_makes_room),
        cmocka_unit_test(rubbish_that_changes_under_the_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
