/* bits.h - bits of a string, counted from the highest bit of its first byte. Pure functions. */
#ifndef REMUDA_COMMAND_BITS_H
#define REMUDA_COMMAND_BITS_H
#include "shared/base/bytes.h"

enum { BITS_PER_BYTE = 8 };

static inline bool bits_get(struct bytes text, uint64_t bit) {
    uint64_t byte = bit / BITS_PER_BYTE;
    return byte < text.len && ((uint8_t)text.ptr[byte] >> (7 - bit % BITS_PER_BYTE) & 1);
}
/* Ones among the bits first..last (both included, within the text). */
uint64_t bits_count(struct bytes text, uint64_t first, uint64_t last);
/* The first bit equal to `bit` among first..last; last + 1 if there is none. */
uint64_t bits_find(struct bytes text, bool bit, uint64_t first, uint64_t last);
/* `width` bits (1..64) from bit `at` as an unsigned number, high bit first; zero past the end. */
uint64_t bits_read(struct bytes text, uint64_t at, uint32_t width);
/* The reverse, within the text. */
void bits_write(char *text, uint64_t at, uint32_t width, uint64_t value);

#endif
