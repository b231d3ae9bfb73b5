/* latency.h - events of this worker that took long, for LATENCY. */
#ifndef REMUDA_COMMAND_LATENCY_H
#define REMUDA_COMMAND_LATENCY_H
#include "shared/ipc/latency_page.h"
#include "worker/command/command.h"

/* Keep it if it is at least latency-monitor-threshold. */
void latency_event(const struct command_env *env, enum latency_event event, uint64_t took_us);
/* CONFIG RESETSTAT: forget how long commands took. */
void latency_forget_commands(const struct command_env *env);

#endif
