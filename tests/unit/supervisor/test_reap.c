/* test_reap.c - how a process ended, in words. Statuses come from processes that really ended so. */
#include "supervisor/reap.h"
#include "shared/ipc/inherit.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Wait status of a child that raises the signal, or, with signal 0, exits with the code. */
static int status_of(int signal_number, int code) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        if (signal_number) {
            signal(signal_number, SIG_DFL);
            kill(getpid(), signal_number);
        }
        _exit(code);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

struct example {
    int signal_number, code;
    struct reap_context context;
    enum reap_kind kind;
    const char *words;
};

static const struct example examples[] = {
    {0, EXIT_ORDERLY, {0}, REAP_ORDERLY, "ended without an order"},
    {0, 3, {0}, REAP_CRASH, "exit code 3"},
    {0, 3, {.report = "no memory"}, REAP_CRASH, "exit code 3: no memory"},
    {0, EXIT_BAD_START, {0}, REAP_UNSTARTABLE, "refused to start"},
    {0,
     EXIT_LOAD_FAILED,
     {.report = "dump.rdb is cut short"},
     REAP_UNSTARTABLE,
     "could not load its files: dump.rdb is cut short"},
    {SIGSEGV, 0, {0}, REAP_CRASH, "killed by SIGSEGV"},
    {SIGKILL, 0, {0}, REAP_CRASH, "killed by SIGKILL"},
    {SIGKILL,
     0,
     {.oom_seen = true},
     REAP_CRASH,
     "killed by SIGKILL, probably by the kernel for want of memory"},
    {SIGTERM, 0, {.oom_seen = true}, REAP_CRASH, "killed by SIGTERM"},
    {SIGKILL,
     0,
     {.kill_reason = "no heartbeat for 1.0 s"},
     REAP_CRASH,
     "no heartbeat for 1.0 s, killed"},
    {SIGABRT, 0, {.kill_reason = "no heartbeat for 1.0 s"}, REAP_CRASH, "killed by SIGABRT"},
    {SIGKILL, 0, {.kill_reason = "", .report = ""}, REAP_CRASH, "killed by SIGKILL"},
};

static void test_words(void **state) {
    char words[160];
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *example = &examples[i];
        int status = status_of(example->signal_number, example->code);
        assert_int_equal(reap_words(status, &example->context, words, sizeof(words)),
                         example->kind);
        assert_string_equal(words, example->words);
    }
}

static void test_core_is_told(void **state) {
    char words[160];
    struct reap_context context = {0};
    reap_words(SIGSEGV | 0x80, &context, words, sizeof(words));
    assert_string_equal(words, "killed by SIGSEGV (core dumped)");
}

static void test_nameless_signal_and_odd_status(void **state) {
    char words[160];
    struct reap_context context = {0};
    reap_words(status_of(SIGRTMIN + 1, 0), &context, words, sizeof(words));
    assert_string_equal(words, "killed by signal 35");
    assert_int_equal(reap_words(0x137f, &context, words, sizeof(words)), REAP_CRASH);
    assert_string_equal(words, "ended with status 4991");
}

static void test_words_are_cut_to_size(void **state) {
    char words[16];
    struct reap_context context = {.report = "a report far longer than the room there is"};
    reap_words(status_of(0, 3), &context, words, sizeof(words));
    assert_string_equal(words, "exit code 3: a ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_core_is_told),
        cmocka_unit_test(test_nameless_signal_and_odd_status),
        cmocka_unit_test(test_words_are_cut_to_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
