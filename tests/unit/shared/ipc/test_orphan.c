/* test_orphan.c - real processes: a parent that is killed leaves no child behind, stopped or hung. */
#include "shared/ipc/orphan.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROUNDS = 30, AWAIT_MS = 20000 };

struct family {
    pid_t parent, child;
    int end; /* a pipe only the child holds open: its end is the child's end */
};

static _Noreturn void run_child(int told) {
    pid_t self = getpid();
    orphan_watch(1);
    (void)!write(told, &self, sizeof(self));
    for (;;)
        pause();
}

static struct family start_family(void) {
    struct family family;
    int alive[2];
    assert_int_equal(pipe(alive), 0);
    family.parent = fork();
    if (family.parent == 0) {
        if (fork() == 0)
            run_child(alive[1]);
        close(alive[1]);
        for (;;)
            pause();
    }
    close(alive[1]);
    family.end = alive[0];
    assert_int_equal(read(family.end, &family.child, sizeof(family.child)), sizeof(family.child));
    return family;
}

static void kill_parent(const struct family *family) {
    kill(family->parent, SIGKILL);
    waitpid(family->parent, NULL, 0);
}

static bool child_ends(struct family *family) {
    struct pollfd poll_end = {.fd = family->end, .events = POLLIN};
    bool ended = poll(&poll_end, 1, AWAIT_MS) == 1;
    if (!ended)
        kill(family->child, SIGKILL);
    close(family->end);
    return ended;
}

static void a_hung_orphan_ends(void **state) {
    struct family family = start_family();
    kill_parent(&family);
    assert_true(child_ends(&family));
}

/* Nothing is awaited between the stop and the kill: every order of the two happens. */
static void an_orphan_that_is_being_stopped_ends(void **state) {
    struct family families[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        families[i] = start_family();
    for (int i = 0; i < ROUNDS; i++) {
        kill(families[i].child, SIGSTOP);
        kill_parent(&families[i]);
    }
    for (int i = 0; i < ROUNDS; i++)
        assert_true(child_ends(&families[i]));
}

static void being_continued_by_hand_ends_nobody(void **state) {
    struct family family = start_family();
    struct pollfd poll_end = {.fd = family.end, .events = POLLIN};
    kill(family.child, SIGSTOP);
    kill(family.child, SIGCONT);
    assert_int_equal(poll(&poll_end, 1, 1500), 0); /* longer than its patience */
    kill_parent(&family);
    assert_true(child_ends(&family));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hung_orphan_ends),
        cmocka_unit_test(an_orphan_that_is_being_stopped_ends),
        cmocka_unit_test(being_continued_by_hand_ends_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
