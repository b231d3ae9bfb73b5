/* error_stats.h - how often each error code was replied, for INFO errorstats.
 *
 * Codes are the first word of an error reply. The table is bounded: past ERROR_CODES_MAX different
 * ones nothing new is kept. */
#ifndef REMUDA_COMMAND_ERROR_STATS_H
#define REMUDA_COMMAND_ERROR_STATS_H
#include "shared/base/bytes.h"

enum { ERROR_CODES_MAX = 128, ERROR_CODE_BYTES = 32 };

struct error_stat {
    char code[ERROR_CODE_BYTES];
    uint64_t count;
};

/* resp begins with an error reply ("-CODE ..."); anything else counts as "ERR". */
void error_stats_count(struct bytes resp);
/* Rows in use, sorted by code; *count_r how many. */
const struct error_stat *error_stats(uint32_t *count_r);
void error_stats_reset(void);

#endif
