/* test_ring_processes.c - a writer process and a reader process, a million records of random sizes,
 * either killed at random moments and replaced. Nothing published and not released is lost, nothing
 * arrives twice out of order or torn, and no wake-up is lost.
 *
 * Each side notes where it stands so that its successor knows which number comes next: before a
 * step that others see (publish, release) it writes {position, number} into the free one of two
 * slots, then turns to that slot. The successor believes the newer slot if the position in the ring
 * has got there, else the older one. */
#include "tests/unit/shared/support.h"

#include "shared/ipc/doorbell.h"
#include "shared/ipc/ring.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

enum { RING_BYTES = 64 * 1024, RECORDS = 1000000, KILLS = 300, PATIENCE_MS = 20000 };
enum { EXIT_DONE = 0, EXIT_TORN = 41, EXIT_CORRUPT, EXIT_NOT_WOKEN };

struct standing {
    struct {
        _Atomic uint64_t position, number;
    } slot[2];
    _Atomic uint64_t turn;
};

struct arena {
    struct ring_shared ring;
    struct doorbell bell[2]; /* of the writer, of the reader */
    struct standing standing[2];
    _Atomic bool stop;      /* set by the test when there has been enough of everything */
    _Atomic uint64_t total; /* set by the writer when it has stopped */
    char data[RING_BYTES] __attribute__((aligned(64)));
};
enum { WRITER, READER };

static struct arena *arena;
static int bell_fd[2];
static uint64_t seed;

static void note(struct standing *s, uint64_t position, uint64_t number) {
    uint64_t next = atomic_load(&s->turn) + 1;
    atomic_store(&s->slot[next & 1].position, position);
    atomic_store(&s->slot[next & 1].number, number);
    atomic_store(&s->turn, next);
}

static uint64_t number_at(struct standing *s, uint64_t position) {
    uint64_t turn = atomic_load(&s->turn);
    unsigned slot = turn & 1;
    if (atomic_load(&s->slot[slot].position) != position)
        slot ^= 1;
    return atomic_load(&s->slot[slot].number);
}

/* Size and content of a record follow from its number: mostly short ones, a few of the longest. */
static uint32_t size_of_record(uint64_t number) {
    uint64_t random = seed + number;
    uint64_t draw = support_random(&random);
    uint32_t limit = draw % 64 == 0 ? ring_record_max(RING_BYTES) : 250;
    return 8 + (uint32_t)(draw >> 20) % (limit - 7);
}

static void fill_record(char *to, uint64_t number, uint32_t bytes) {
    memcpy(to, &number, 8);
    for (uint32_t i = 8; i < bytes; i++)
        to[i] = (char)(number * 31 + i * 7);
}

static bool record_whole(const char *from, uint64_t number, uint32_t bytes) {
    if (bytes != size_of_record(number) || memcmp(from, &number, 8) != 0)
        return false;
    for (uint32_t i = 8; i < bytes; i++)
        if (from[i] != (char)(number * 31 + i * 7))
            return false;
    return true;
}

static void sleep_on(int side) {
    struct pollfd wait = {.fd = bell_fd[side], .events = POLLIN};
    if (poll(&wait, 1, PATIENCE_MS) == 0)
        _exit(EXIT_NOT_WOKEN);
    doorbell_drain(bell_fd[side]);
}

static void publish_up_to(struct ring_writer *w, uint64_t number) {
    note(&arena->standing[WRITER], w->tail, number);
    ring_publish(w);
    doorbell_ring(&arena->bell[READER], bell_fd[READER]);
}

static void run_writer(void) {
    struct ring_writer w;
    ring_writer_attach(&w, &arena->ring, arena->data, RING_BYTES);
    uint64_t number = number_at(&arena->standing[WRITER], w.tail);
    uint64_t random = seed ^ (uint64_t)getpid();
    doorbell_ring(&arena->bell[READER], bell_fd[READER]);
    while (!atomic_load(&arena->stop)) {
        uint32_t bytes = size_of_record(number);
        char *room = ring_reserve(&w, bytes);
        if (!room) {
            publish_up_to(&w, number);
            doorbell_arm(&arena->bell[WRITER]);
            room = ring_reserve(&w, bytes);
            if (!room)
                sleep_on(WRITER);
            doorbell_disarm(&arena->bell[WRITER]);
            if (!room)
                continue;
        }
        fill_record(room, number, bytes);
        ring_commit(&w, bytes);
        number++;
        if (support_random(&random) % 16 == 0)
            publish_up_to(&w, number);
    }
    atomic_store(&arena->total, number);
    publish_up_to(&w, number);
    _exit(EXIT_DONE);
}

static void release_up_to(struct ring_reader *r, uint64_t number) {
    note(&arena->standing[READER], r->head, number);
    ring_release(r);
    doorbell_ring(&arena->bell[WRITER], bell_fd[WRITER]);
}

static void run_reader(void) {
    struct ring_reader r;
    ring_reader_attach(&r, &arena->ring, arena->data, RING_BYTES);
    uint64_t number = number_at(&arena->standing[READER], r.head);
    uint64_t random = seed ^ (uint64_t)getpid();
    doorbell_ring(&arena->bell[WRITER], bell_fd[WRITER]);
    while (number < atomic_load(&arena->total)) {
        const void *payload;
        uint32_t bytes;
        enum ring_result result = ring_next(&r, &payload, &bytes);
        if (result == RING_CORRUPT)
            _exit(EXIT_CORRUPT);
        if (result == RING_OK) {
            if (!record_whole(payload, number, bytes))
                _exit(EXIT_TORN);
            number++;
            if (support_random(&random) % 16)
                continue;
        }
        release_up_to(&r, number);
        if (result == RING_OK)
            continue;
        doorbell_arm(&arena->bell[READER]);
        if (!ring_has_data(&r) && number < atomic_load(&arena->total))
            sleep_on(READER);
        doorbell_disarm(&arena->bell[READER]);
    }
    release_up_to(&r, number);
    _exit(EXIT_DONE);
}

static pid_t start(int side) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (side == WRITER)
            run_writer();
        run_reader();
    }
    return pid;
}

/* Moments from a few microseconds to some milliseconds: in start-up, and in full flow. */
static void wait_a_random_moment(uint64_t *random) {
    long ns = (long)(support_random(random) % (UINT64_C(1) << (10 + support_random(random) % 14)));
    nanosleep(&(struct timespec){0, ns}, NULL);
}

static void fail_if_ended(pid_t pid, int side) {
    siginfo_t info = {0};
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    if (info.si_pid == pid && info.si_code == CLD_EXITED)
        fail_msg("%s ended with %d", side == WRITER ? "writer" : "reader", info.si_status);
}

/* Kills one side and starts its successor. */
static void replace(pid_t pids[2], int side) {
    kill(pids[side], SIGKILL);
    fail_if_ended(pids[side], side);
    support_wait(pids[side]);
    pids[side] = start(side);
}

static uint64_t records_released(void) {
    struct standing *s = &arena->standing[READER];
    return atomic_load(&s->slot[atomic_load(&s->turn) & 1].number);
}

static void run_with_kills(unsigned kills_wanted) {
    seed = support_seed();
    uint64_t random = seed;
    arena = mmap(NULL, sizeof *arena, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(arena != MAP_FAILED);
    atomic_store(&arena->total, UINT64_MAX);
    for (int side = 0; side < 2; side++)
        bell_fd[side] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pid_t pids[2] = {start(WRITER), start(READER)};
    for (unsigned kills = 0; kills < kills_wanted || records_released() < RECORDS;) {
        wait_a_random_moment(&random);
        for (int side = 0; side < 2; side++)
            fail_if_ended(pids[side], side);
        if (kills_wanted) {
            replace(pids, support_random(&random) % 2 ? WRITER : READER);
            kills++;
        }
    }
    atomic_store(&arena->stop, true);
    for (int side = 0; side < 2; side++)
        assert_int_equal(support_wait(pids[side]), 0);
    assert_true(records_released() == atomic_load(&arena->total));
    for (int side = 0; side < 2; side++)
        close(bell_fd[side]);
    munmap(arena, sizeof *arena);
}

static void undisturbed(void **state) {
    run_with_kills(0);
}

static void killed_at_random(void **state) {
    run_with_kills(KILLS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(undisturbed),
        cmocka_unit_test(killed_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
