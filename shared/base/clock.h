/* clock.h - time, with the unit in every name. mono never jumps; wall is what keys expire by. */
#ifndef REMUDA_BASE_CLOCK_H
#define REMUDA_BASE_CLOCK_H
#include <stdint.h>

uint64_t clock_mono_us(void);
static inline uint64_t clock_mono_ms(void) {
    return clock_mono_us() / 1000;
}
int64_t clock_wall_ms(void);
int64_t clock_wall_us(void);

#endif
