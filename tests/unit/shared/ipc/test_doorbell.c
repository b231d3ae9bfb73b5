/* test_doorbell.c - who is rung and when, and processes that wait for each other's bell: a lost wake-up
 * is a wait that times out. */
#include "tests/unit/shared/support.h"

#include "shared/ipc/doorbell.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

enum { PATIENCE_MS = 20000, ROUNDS = 50000, RINGERS = 3 };

static bool readable(int fd) {
    uint64_t count;
    return read(fd, &count, sizeof count) == sizeof count;
}

static void rung_only_while_asleep(void **state) {
    int fd = eventfd(0, EFD_NONBLOCK);
    struct doorbell *bell = aligned_alloc(64, sizeof *bell);
    memset((void *)bell, 0, sizeof *bell);
    assert_false(doorbell_ring(bell, fd));
    assert_false(readable(fd));
    doorbell_arm(bell);
    assert_true(doorbell_ring(bell, fd));
    assert_false(doorbell_ring(bell, fd));
    assert_true(readable(fd));
    doorbell_arm(bell);
    doorbell_disarm(bell);
    assert_false(doorbell_ring(bell, fd));
    doorbell_arm(bell);
    assert_true(doorbell_ring(bell, fd));
    doorbell_drain(fd);
    doorbell_drain(fd);
    assert_false(readable(fd));
    free(bell);
    close(fd);
}

static void ticket_is_never_zero(void **state) {
    struct doorbell *bell = aligned_alloc(64, sizeof *bell);
    memset((void *)bell, 0, sizeof *bell);
    bell->ticket = UINT32_MAX - 1;
    for (int i = 0; i < 4; i++) {
        uint32_t before = bell->ticket;
        doorbell_arm(bell);
        assert_true(atomic_load(&bell->asleep) != 0);
        assert_true(bell->ticket != before);
    }
    free(bell);
}

struct shared {
    struct doorbell bell[1 + RINGERS];
    _Alignas(64) _Atomic uint64_t said[1 + RINGERS];
};

static struct shared *shared;
static int bell_fd[1 + RINGERS];

/* Waits until said[whose] differs from old, sleeping on the bell of `me`. */
static uint64_t await(int epoll, int me, int whose, uint64_t old) {
    for (;;) {
        uint64_t now = atomic_load_explicit(&shared->said[whose], memory_order_acquire);
        if (now != old)
            return now;
        doorbell_arm(&shared->bell[me]);
        now = atomic_load_explicit(&shared->said[whose], memory_order_acquire);
        if (now == old) {
            struct epoll_event event;
            if (epoll_wait(epoll, &event, 1, PATIENCE_MS) == 0)
                _exit(1);
            doorbell_drain(bell_fd[me]);
        }
        doorbell_disarm(&shared->bell[me]);
    }
}

static int epoll_on(int fd) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
    return epoll;
}

static void say(int me, int to, uint64_t what) {
    atomic_store_explicit(&shared->said[me], what, memory_order_release);
    doorbell_ring(&shared->bell[to], bell_fd[to]);
}

static int make_shared(void **state) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    for (int i = 0; i < 1 + RINGERS; i++)
        bell_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return 0;
}

static int drop_shared(void **state) {
    munmap(shared, sizeof *shared);
    for (int i = 0; i < 1 + RINGERS; i++)
        close(bell_fd[i]);
    return 0;
}

static void player(int me, int other, bool begins) {
    int epoll = epoll_on(bell_fd[me]);
    uint64_t heard = 0;
    if (begins)
        say(me, other, 1);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        heard = await(epoll, me, other, heard);
        if (heard != round)
            _exit(2);
        say(me, other, begins ? round + 1 : round);
    }
    _exit(0);
}

static void ping_pong(void **state) {
    pid_t pids[2];
    for (int i = 0; i < 2; i++)
        if ((pids[i] = fork()) == 0)
            player(i, 1 - i, i == 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(support_wait(pids[i]), 0);
}

/* Several ringers; now and then each waits for the turn of the listener in which its figure is seen. */
static void ringer(int me) {
    int epoll = epoll_on(bell_fd[me]);
    uint64_t random = (uint64_t)getpid();
    for (uint64_t round = 1; round <= ROUNDS / 4; round++) {
        uint64_t turn = atomic_load_explicit(&shared->said[0], memory_order_acquire);
        say(me, 0, round);
        if (support_random(&random) % 4 == 0)
            await(epoll, me, 0, turn);
    }
    _exit(0);
}

static bool anything_new(const uint64_t seen[]) {
    for (int r = 1; r <= RINGERS; r++)
        if (atomic_load_explicit(&shared->said[r], memory_order_acquire) != seen[r])
            return true;
    return false;
}

static void listener(void) {
    int epoll = epoll_on(bell_fd[0]);
    uint64_t seen[1 + RINGERS] = {0}, turn = 0;
    for (;;) {
        bool done = true;
        for (int r = 1; r <= RINGERS; r++) {
            seen[r] = atomic_load_explicit(&shared->said[r], memory_order_acquire);
            done = done && seen[r] == ROUNDS / 4;
        }
        atomic_store_explicit(&shared->said[0], done ? UINT64_MAX : ++turn, memory_order_release);
        for (int r = 1; r <= RINGERS; r++)
            doorbell_ring(&shared->bell[r], bell_fd[r]);
        if (done)
            _exit(0);
        doorbell_arm(&shared->bell[0]);
        if (!anything_new(seen)) {
            struct epoll_event event;
            if (epoll_wait(epoll, &event, 1, PATIENCE_MS) == 0)
                _exit(1);
            doorbell_drain(bell_fd[0]);
        }
        doorbell_disarm(&shared->bell[0]);
    }
}

static void many_ringers(void **state) {
    pid_t pids[1 + RINGERS];
    for (int i = 0; i <= RINGERS; i++)
        if ((pids[i] = fork()) == 0) {
            if (i == 0)
                listener();
            ringer(i);
        }
    for (int i = 0; i <= RINGERS; i++)
        assert_int_equal(support_wait(pids[i]), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rung_only_while_asleep),
        cmocka_unit_test(ticket_is_never_zero),
        cmocka_unit_test_setup_teardown(ping_pong, make_shared, drop_shared),
        cmocka_unit_test_setup_teardown(many_ringers, make_shared, drop_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
