/* failover.c - see failover.h. */
#include "supervisor/failover.h"

#include "shared/base/buf.h"
#include "shared/base/log.h"
#include "supervisor/supervisor_private.h"

static int follow_target(struct config *config, const struct failover_note *note, char *error_r) {
    char target[FAILOVER_TARGET_BYTES];
    struct buf line = {0};
    failover_note_target(note, target);
    config_line(&line, BYTES_LITERAL("replicaof"), bytes_of_text(target));
    int result = config_from_text(config, buf_bytes(&line), error_r);
    buf_free(&line);
    log_notice("This pool handed over to %s and follows it; REPLICAOF NO ONE makes it a primary",
               target);
    return result == 0 ? config_check(config, error_r) : result;
}

int failover_setup(struct supervisor *s, char *error_r) {
    struct failover_note note;
    if (failover_note_read(s->config->dir, &note, error_r, SUPERVISOR_TEXT_BYTES) != 0)
        return -1;
    if (note.state != FAILOVER_NOTE_NONE && s->config->replicaof[0] != '\0')
        return failover_note_write(s->config->dir, &(struct failover_note){0}, error_r,
                                   SUPERVISOR_TEXT_BYTES);
    if (note.state == FAILOVER_NOTE_PROMOTING)
        atomic_store(&s->segment.header->failover, FAILOVER_IS_ON);
    return note.state == FAILOVER_NOTE_FOLLOWED ? follow_target(s->config, &note, error_r) : 0;
}

void failover_child_failed(struct child *child) {
    uint32_t waits = FAILOVER_WAITS_FOR_SYNC;
    if (child->index == FAILOVER_SHARD &&
        atomic_compare_exchange_strong(&child->supervisor->segment.header->failover, &waits,
                                       FAILOVER_IS_OFF))
        log_warning("A failover came to nothing: the worker that did it has failed");
}
