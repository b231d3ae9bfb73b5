/* failover_note.c - see failover_note.h. */
#include "shared/ipc/failover_note.h"

#include "shared/base/bytes.h"
#include "shared/base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME "failover"
enum { LINE_BYTES = 400, PATH_BYTES = 4096 };

static const char *const state_names[] = {
    [FAILOVER_NOTE_PROMOTING] = "promoting", [FAILOVER_NOTE_FOLLOWED] = "followed"};

static int fail(const char *path, const char *what, char *error_r, size_t error_bytes) {
    snprintf(error_r, error_bytes, "%s: %s", path, what);
    return -1;
}

static bool parse(const char *line, struct failover_note *note) {
    char state[16];
    int end = 0;
    if (sscanf(line, "%15s %255s %5u %40s%n", state, note->host, &note->port, note->run_id, &end) !=
            4 ||
        strcmp(line + end, "\n") != 0 || note->port == 0 || note->port > UINT16_MAX)
        return false;
    for (int i = FAILOVER_NOTE_PROMOTING; i <= FAILOVER_NOTE_FOLLOWED; i++)
        if (strcmp(state, state_names[i]) == 0)
            note->state = (enum failover_note_state)i;
    if (strcmp(note->run_id, "-") == 0)
        note->run_id[0] = '\0';
    return note->state != FAILOVER_NOTE_NONE;
}

int failover_note_read(const char *dir, struct failover_note *note_r, char *error_r,
                       size_t error_bytes) {
    char path[PATH_BYTES], line[LINE_BYTES + 1];
    *note_r = (struct failover_note){0};
    snprintf(path, sizeof path, "%s/" NAME, dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : fail(path, strerror(errno), error_r, error_bytes);
    ssize_t len = read(fd, line, LINE_BYTES);
    int error = errno;
    close(fd);
    if (len < 0)
        return fail(path, strerror(error), error_r, error_bytes);
    line[len] = '\0';
    if (parse(line, note_r))
        return 0;
    return fail(path, "is damaged: remove it if this pool is to be a primary", error_r,
                error_bytes);
}

int failover_note_write(const char *dir, const struct failover_note *note, char *error_r,
                        size_t error_bytes) {
    char path[PATH_BYTES], line[LINE_BYTES];
    if (note->state == FAILOVER_NOTE_NONE) {
        snprintf(path, sizeof path, "%s/" NAME, dir);
        if (unlink(path) != 0)
            return errno == ENOENT ? 0 : fail(path, strerror(errno), error_r, error_bytes);
        return publish_sync_dir(dir, error_r, error_bytes);
    }
    snprintf(line, sizeof line, "%s %s %u %s\n", state_names[note->state], note->host, note->port,
             note->run_id[0] != '\0' ? note->run_id : "-");
    if (!parse(line, &(struct failover_note){0}))
        return fail(dir, "the target of the failover cannot be noted", error_r, error_bytes);
    return publish(dir, NAME, bytes_of_text(line), error_r, error_bytes);
}

void failover_note_target(const struct failover_note *note, char target_r[FAILOVER_TARGET_BYTES]) {
    snprintf(target_r, FAILOVER_TARGET_BYTES, "%s %u", note->host, note->port);
}
