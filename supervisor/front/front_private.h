/* front_private.h - the front's state, for front.c and front_control.c only. */
#ifndef REMUDA_FRONT_PRIVATE_H
#define REMUDA_FRONT_PRIVATE_H
#include "config/config.h"
#include "shared/ipc/control.h"
#include "shared/ipc/inherit.h"
#include "shared/ipc/segment.h"
#include "supervisor/front/http.h"
#include "supervisor/front/pulse.h"
#include "supervisor/front/router.h"
#include <ev.h>

struct front {
    struct ev_loop *loop;
    uint32_t generation;
    struct segment segment;
    struct status_page *page;
    struct config *config;
    uint64_t config_revision;
    struct pulse pulse; /* when each process's heartbeat last moved */
    struct history history;
    struct router *router;
    struct http *http;
    struct ev_io control;
    struct ev_timer tick;
    struct ev_check turn_begin;
    struct ev_prepare turn_end;
    uint64_t started_us, turn_began_us, turn_max_us, second_began_us;
    bool stopping;
    char control_body[CONTROL_BODY_MAX + 1];
};

/* ---- front_control.c ---- */
/* Begin to take orders. */
void front_control_start(struct front *front);
void front_report(struct front *front, enum control_type type, uint64_t id, uint64_t number,
                  const char *text);

#endif
