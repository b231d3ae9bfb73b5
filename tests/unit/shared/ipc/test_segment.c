/* test_segment.c - a segment as its maker and a child see it, and every way a wrong one is refused. */
#include "tests/unit/shared/support.h"

#include "shared/ipc/segment.h"

#include <sys/mman.h>
#include <sys/stat.h>

enum { WORKERS = 3, RING_BYTES = 8192 };

static char error[256];

/* Attached, checked and sealed, as a child does it. */
static void two_maps_of_one_segment(void **state) {
    struct segment made, child;
    int fd = segment_create(&made, WORKERS, RING_BYTES, error, sizeof error);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(segment_attach(&child, fd, error, sizeof error), 0);
    assert_true(made.base != child.base);
    assert_int_equal(child.workers, WORKERS);
    assert_int_equal(child.slots->shards, WORKERS);
    assert_int_equal(strlen(child.header->run_id), 40);
    assert_int_equal(child.header->next_client_id, 1);
    assert_true(child.header->started_wall_ms > 0);
    for (uint32_t i = 0; i < WORKERS + 2; i++)
        status_set(segment_status(&made, i), METRIC_keys, 100 + i);
    assert_int_equal(status_get(segment_status(&child, segment_front_index(WORKERS)), METRIC_keys),
                     103);
    assert_int_equal(segment_sum(&child, METRIC_keys), 303);
    assert_int_equal(ftruncate(fd, 10), -1);
    assert_int_equal(ftruncate(fd, (off_t)made.bytes * 2), -1);
    segment_detach(&child);
    segment_detach(&made);
    assert_null(made.base);
    close(fd);
}

struct part {
    const char *name;
    const char *from, *to;
};

static void assert_apart(const struct part *parts, size_t count, const struct segment *segment) {
    for (size_t i = 0; i < count; i++) {
        assert_true(parts[i].from >= segment->base);
        assert_true(parts[i].to <= segment->base + segment->bytes);
        for (size_t j = 0; j < i; j++)
            if (parts[i].from < parts[j].to && parts[j].from < parts[i].to)
                fail_msg("%s %zu overlaps %s %zu", parts[i].name, i, parts[j].name, j);
    }
}

static size_t list_parts(const struct segment *s, struct part *parts) {
    size_t n = 0;
    char *slots = (char *)s->slots;
    parts[n++] = (struct part){"header", s->base, s->base + sizeof *s->header};
    parts[n++] = (struct part){"slots", slots, slots + sizeof *s->slots};
    for (uint32_t i = 0; i < s->workers + 2; i++) {
        char *page = (char *)segment_status(s, i);
        assert_int_equal((uintptr_t)page % 4096, 0);
        parts[n++] = (struct part){"status", page, page + sizeof(struct status_page)};
    }
    for (uint32_t i = 0; i < s->workers; i++) {
        char *bell = (char *)segment_doorbell(s, i);
        assert_int_equal((uintptr_t)bell % 64, 0);
        parts[n++] = (struct part){"doorbell", bell, bell + sizeof(struct doorbell)};
        for (uint32_t j = 0; j < s->workers; j++) {
            if (i == j)
                continue;
            struct ring_writer w;
            struct ring_reader r;
            segment_ring_writer(s, i, j, &w);
            segment_ring_reader(s, i, j, &r);
            assert_ptr_equal(w.shared, r.shared);
            assert_ptr_equal(w.data, r.data);
            char *ends = (char *)w.shared;
            assert_int_equal((uintptr_t)ends % 64, 0);
            parts[n++] = (struct part){"ring", ends, ends + sizeof *w.shared};
            parts[n++] = (struct part){"ring data", w.data, w.data + w.size};
        }
    }
    return n;
}

static void parts_do_not_overlap(void **state) {
    static const uint32_t counts[] = {1, 2, 5, 9};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct segment s;
        int fd = segment_create(&s, counts[i], RING_BYTES, error, sizeof error);
        assert_true(fd >= 0);
        struct part parts[300];
        assert_apart(parts, list_parts(&s, parts), &s);
        segment_detach(&s);
        close(fd);
    }
}

static void sizes_out_of_range_are_refused(void **state) {
    static const uint32_t wrong[][2] = {{0, 8192},  {SHARD_MAX + 1, 8192}, {2, 8193},
                                        {2, 2048},  {2, 128u << 20},       {2, 0},
                                        {2, 12288}, {UINT32_MAX, 8192},    {2, UINT32_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct segment s;
        assert_int_equal(segment_create(&s, wrong[i][0], wrong[i][1], error, sizeof error), -1);
        assert_string_equal(error, "shared segment: workers or ring size out of range");
    }
}

static void the_largest_pool_fits(void **state) {
    struct segment s;
    int fd = segment_create(&s, SHARD_MAX, 1 << 20, error, sizeof error);
    assert_true(fd >= 0);
    struct ring_writer w;
    segment_ring_writer(&s, SHARD_MAX - 1, SHARD_MAX - 2, &w);
    void *room = ring_reserve(&w, 100);
    assert_non_null(room);
    memset(room, 1, 100);
    segment_detach(&s);
    close(fd);
}

static void expect_refused(int fd, const char *why) {
    struct segment s;
    assert_int_equal(segment_attach(&s, fd, error, sizeof error), -1);
    if (!strstr(error, why))
        fail_msg("refused with '%s', expected '%s'", error, why);
}

static void damaged_headers_are_refused(void **state) {
    struct segment s;
    int fd = segment_create(&s, WORKERS, RING_BYTES, error, sizeof error);
    struct segment_header good = {0};
    memcpy((void *)&good, (void *)s.header, sizeof good);
#define SPOIL(field, value, why)                                                                   \
    do {                                                                                           \
        s.header->field = (value);                                                                 \
        expect_refused(fd, why);                                                                   \
        s.header->field = good.field;                                                              \
    } while (0)
    SPOIL(magic, 1, "magic");
    SPOIL(version, 99, "another version");
    SPOIL(metric_count, 1, "another version");
    SPOIL(workers, 0, "out of range");
    SPOIL(workers, UINT32_MAX, "out of range");
    SPOIL(workers, WORKERS + 1, "size does not fit");
    SPOIL(ring_bytes, 7, "out of range");
    SPOIL(ring_bytes, RING_BYTES * 2, "size does not fit");
    SPOIL(total_bytes, 5, "size does not fit");
#undef SPOIL
    struct segment again;
    assert_int_equal(segment_attach(&again, fd, error, sizeof error), 0);
    /* Damage after the attach changes no address. */
    struct doorbell *bell = segment_doorbell(&again, 1);
    again.header->workers = 100;
    again.header->ring_bytes = 1 << 26;
    assert_ptr_equal(segment_doorbell(&again, 1), bell);
    segment_detach(&again);
    segment_detach(&s);
    close(fd);
}

static void other_files_are_refused(void **state) {
    expect_refused(-1, "fstat");
    int fd = open("/dev/null", O_RDWR);
    expect_refused(fd, "not a memfd");
    close(fd);
    fd = memfd_create("loose", MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    expect_refused(fd, "not sealed");
    close(fd);
    fd = memfd_create("short", MFD_ALLOW_SEALING);
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    expect_refused(fd, "too short");
    close(fd);
}

static void address_classes_are_keyed(void **state) {
    struct segment a, b;
    int fd_a = segment_create(&a, 1, RING_BYTES, error, sizeof error);
    int fd_b = segment_create(&b, 1, RING_BYTES, error, sizeof error);
    int differ = 0;
    for (int i = 0; i < 100; i++) {
        char address[32];
        snprintf(address, sizeof address, "10.0.0.%d", i);
        assert_in_range(segment_address_class(&a, address), 0, ADDRESS_CLASSES - 1);
        assert_int_equal(segment_address_class(&a, address), segment_address_class(&a, address));
        differ += segment_address_class(&a, address) != segment_address_class(&b, address);
    }
    assert_true(differ > 80);
    assert_string_not_equal(a.header->run_id, b.header->run_id);
    segment_detach(&a);
    segment_detach(&b);
    close(fd_a);
    close(fd_b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_maps_of_one_segment),        cmocka_unit_test(parts_do_not_overlap),
        cmocka_unit_test(sizes_out_of_range_are_refused), cmocka_unit_test(the_largest_pool_fits),
        cmocka_unit_test(damaged_headers_are_refused),    cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(address_classes_are_keyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
