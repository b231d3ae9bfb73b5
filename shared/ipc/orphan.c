/* orphan.c - see orphan.h. Cannot fail: both calls take constants that every kernel knows. */
#include "shared/ipc/orphan.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

static pid_t parent;
static unsigned patience_seconds;

/* SIGCONT also comes when somebody continues a stopped process by hand: then the parent is the same. */
static void on_continued(int signal_number) {
    if (getppid() != parent)
        alarm(patience_seconds);
}

void orphan_watch(unsigned seconds) {
    struct sigaction action = {.sa_handler = on_continued, .sa_flags = SA_RESTART};
    parent = getppid();
    patience_seconds = seconds;
    signal(SIGALRM, SIG_DFL);
    sigaction(SIGCONT, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGCONT);
}
