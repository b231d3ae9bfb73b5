/* announce.h - the lines a pool prints when it starts: where it is and where to look. */
#ifndef REMUDA_SUPERVISOR_ANNOUNCE_H
#define REMUDA_SUPERVISOR_ANNOUNCE_H
#include "config/config.h"
#include "supervisor/listeners.h"
#include <stdint.h>

/* To stdout, flushed. */
void announce_start(const struct config *config, const struct listeners *listeners,
                    uint32_t workers);
/* The name of this process in ps: "remuda: supervisor 127.0.0.1:6379". */
void announce_title(const struct config *config, char *title_r, unsigned title_bytes);

#endif
