/* title.c - the kernel shows the memory between the first argument and the end of the environment,
 * which lie in one run; the title takes its place. If they do not, nothing is changed. */
#include "supervisor/title.h"
#include "shared/base/mem.h"
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* End of the run of strings that starts at argv[0]. */
static char *run_end(int argc, char **argv) {
    char *end = argv[0];
    for (int i = 0; i < argc && argv[i] == end; i++)
        end += strlen(argv[i]) + 1;
    for (char **entry = environ; *entry && *entry == end; entry++)
        end += strlen(*entry) + 1;
    return end;
}

/* One block for all strings, kept for good: variables taken out later must stay valid. */
static void copy_environment(void) {
    static char **copy, *strings;
    size_t count = 0, bytes = 0;
    for (; environ[count]; count++)
        bytes += strlen(environ[count]) + 1;
    copy = mem_calloc(count + 1, sizeof(*copy));
    char *at = strings = mem_alloc(bytes + 1);
    for (size_t i = 0; i < count; i++) {
        copy[i] = at;
        at = stpcpy(at, environ[i]) + 1;
    }
    environ = copy;
}

void title_set(int argc, char **argv, const char *text) {
    size_t room = (size_t)(run_end(argc, argv) - argv[0]);
    size_t length = strlen(text);
    if (argc < 1 || room < 2)
        return;
    copy_environment();
    memset(argv[0], 0, room);
    memcpy(argv[0], text, length < room ? length : room - 1);
    for (int i = 1; i < argc; i++)
        argv[i] = argv[0] + room - 1;
    prctl(PR_SET_NAME, "remuda");
}
