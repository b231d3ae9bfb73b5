/* supervisor_private.h - the state of a running pool, for the files of this folder only.
 *
 *   supervisor.c      set-up, the loop, signals, the tick that looks at heartbeats
 *   children.c        one child's life: spawn, reports, death, restart
 *   config_change.c   CONFIG SET, CONFIG REWRITE, SIGHUP: one change at a time over all children
 *   cut_run.c         a consistent cut of the whole pool: REMUDA SNAPSHOT
 *   stop.c            the orderly stop, and what undoes it
 *   resume.c          where the links of a pool that follows go on after it
 */
#ifndef REMUDA_SUPERVISOR_SUPERVISOR_PRIVATE_H
#define REMUDA_SUPERVISOR_SUPERVISOR_PRIVATE_H
#include "shared/base/list.h"
#include "shared/ipc/segment.h"
#include "supervisor/control_out.h"
#include "supervisor/heartbeat.h"
#include "supervisor/listeners.h"
#include "supervisor/pool_file.h"
#include "supervisor/privileges.h"
#include "supervisor/restart_policy.h"
#include "supervisor/resume.h"
#include "supervisor/scheduler.h"
#include "supervisor/supervisor.h"

enum { CHILDREN_MAX = SHARD_MAX + 1, SUPERVISOR_TEXT_BYTES = 1200 };

struct supervisor;

struct child {
    struct supervisor *supervisor;
    uint32_t index; /* process index in the segment: a worker's shard, or the front's */
    struct status_page *page;
    enum child_state state; /* what reports say; the page shows it while no process owns it */
    pid_t pid;              /* 0: none */
    uint32_t generation;    /* of the latest start, 0: never started */
    struct control_out control;
    struct heartbeat heartbeat;
    struct restart_history history;
    uint64_t spawned_ms;
    uint64_t eof_ms;      /* when the control socket was first seen closed, 0: it is open */
    uint64_t oom_kills;   /* of the machine when it was spawned */
    bool stop_ordered;    /* an exit is what we asked for */
    char kill_reason[64]; /* why we sent SIGKILL, or "" */
    char report[STATUS_TEXT_BYTES]; /* its REPORT_FAILED, or "" */
    ev_child ended;
    ev_timer restart;
};

enum pool_phase {
    POOL_STARTING, /* not every worker is up or failed yet */
    POOL_RUNNING,
    POOL_STOPPING_FRONT, /* no new clients */
    POOL_SETTLING,       /* links to a primary take no more */
    POOL_STOPPING,       /* the workers finish */
    POOL_KILLING         /* out of patience */
};

struct config_change; /* one wish to change, in config_change.c */
struct cut_run;       /* in cut_run.c */

struct supervisor {
    struct supervisor_start start;
    char *replicaof_read; /* what the file and the command line said last */
    struct ev_loop *loop;
    struct config *config;
    uint64_t config_revision;
    uint32_t workers;
    uint32_t child_count; /* workers and the front */
    struct child *children;

    /* what children inherit */
    struct segment segment;
    int segment_fd, lock_fd;
    struct listeners listeners;
    int doorbell[SHARD_MAX];
    int handover_receive[SHARD_MAX], handover_send[SHARD_MAX];
    char worker_path[4096], program_path[4096];

    struct pool_file pool;
    struct resume resume;
    struct privileges_target target;
    struct scheduler scheduler;
    uint32_t last_generation;
    enum pool_phase phase;
    bool said_ready; /* READY=1 is sent once */
    bool pidfile_written;
    struct status_page *page; /* our own */

    ev_timer tick, second, watchdog;
    ev_signal terminate, interrupt, hangup;
    uint64_t started_ms, turn_begin_us, turn_max_us;
    ev_prepare turn_end;
    ev_check turn_begin;

    /* config_change.c */
    struct list config_waiting; /* changes not yet begun */
    uint32_t config_waiting_count;
    struct config_change *config_active; /* NULL: none */
    ev_timer config_timeout;
    uint32_t config_awaits[CHILDREN_MAX]; /* generation whose answer is awaited, 0: none */

    struct cut_run *cut_run;

    /* stop.c */
    ev_timer stop_timeout;
    uint64_t stop_number; /* as in ORDER_STOP */
    uint32_t stop_asker;  /* process that asked, or UINT32_MAX: a signal */
    uint32_t stop_asker_generation;
    uint64_t stop_asker_id;
    uint64_t stop_refused_ms; /* when a stop was refused last, 0: never */
    uint64_t stop_progress;   /* heartbeats of ending workers when last looked at */
    uint64_t stop_progress_ms, stop_patience_ms; /* when they moved last; how long they may not */
    bool stop_disorderly;                        /* some worker did not end as it should */
};

/* children.c */
void child_init(struct supervisor *s, uint32_t index);
bool child_is_front(const struct child *child);
/* "shard 3" or "the front". */
const char *child_name(const struct child *child);
void child_spawn(struct child *child);
/* SIGKILL, with the reason that last_exit will give. */
void child_kill(struct child *child, const char *reason);
/* Killed as hung if it does not take its orders. */
void child_order(struct child *child, enum control_type type, uint64_t id, uint64_t number,
                 struct bytes body);
void children_order(struct supervisor *s, enum control_type type, uint64_t id, uint64_t number,
                    struct bytes body);
/* Looks at the heartbeats. */
void children_look(struct supervisor *s);
void child_set_state(struct child *child, enum child_state state);
void children_grant_forks(struct supervisor *s);

/* supervisor.c */
/* Every worker is up or failed: say so once. */
void supervisor_check_ready(struct supervisor *s);
void supervisor_reopen_log(struct supervisor *s);

/* config_change.c */
void config_change_init(struct supervisor *s);
void config_change_deinit(struct supervisor *s);
/* A child's REPORT_REQUEST_CONFIG or _REWRITE. */
void config_change_request(struct child *asker, uint64_t id, struct bytes lines);
void config_rewrite_request(struct child *asker, uint64_t id);
/* SIGHUP. */
void config_reload(struct supervisor *s);
/* A child's REPORT_CONFIG_APPLIED. */
void config_change_applied(struct child *child, uint64_t revision, struct bytes error);
/* The child died: nothing is awaited from it, and nothing of its own goes on being answered. */
void config_change_child_gone(struct child *child);

/* cut_run.c */
void cut_run_init(struct supervisor *s);
void cut_run_deinit(struct supervisor *s);
/* A child's REPORT_REQUEST_SNAPSHOT; the workers' REPORT_CUT_*, judged here. */
void cut_request(struct child *asker, uint64_t id, uint64_t keep, struct bytes name);
void cut_report_prepared(struct child *child, uint64_t id, uint64_t try, struct bytes body);
void cut_report_locked(struct child *child, uint64_t id, uint64_t try, struct bytes body);
void cut_report_linked(struct child *child, uint64_t id, uint64_t try, struct bytes body);
/* The child died. */
void cut_child_gone(struct child *child);

/* stop.c */
void stop_init(struct supervisor *s);
/* Begin, or if it has begun already, hurry. asker NULL: a signal. */
void stop_begin(struct supervisor *s, uint64_t number, struct child *asker, uint64_t id);
bool stop_is_on(const struct supervisor *s);
/* REPORT_SETTLED. */
void stop_settled(struct child *child);
/* A child that was alive while the pool stops is gone. */
void stop_child_gone(struct child *child, bool orderly);
/* REPORT_STOP_REFUSED: the pool goes on. */
void stop_refused(struct child *child, struct bytes why);

#endif
