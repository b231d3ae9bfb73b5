/* random_id.h - a name that nobody else has: of a pool, a run, a node, a history of replication. */
#ifndef REMUDA_BASE_RANDOM_ID_H
#define REMUDA_BASE_RANDOM_ID_H

enum { RANDOM_ID_BYTES = 41 }; /* 40 hex digits and a NUL */

void random_id(char id_r[RANDOM_ID_BYTES]);

#endif
