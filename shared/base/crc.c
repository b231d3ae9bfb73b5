/* crc.c - see crc.h. CRC-16 takes eight bytes a step: one table lookup per byte, but without waiting
 * for the byte before. The tables are computed before main(). */
#include "shared/base/crc.h"

#include <isa-l/crc64.h>

enum { CRC16_POLYNOMIAL = 0x1021, STEP = 8 };

/* crc16_table[n][b]: what byte b contributes when n more bytes follow it. */
static uint16_t crc16_table[STEP][256];

__attribute__((constructor)) static void crc16_fill(void) {
    for (unsigned byte = 0; byte < 256; byte++) {
        uint32_t crc = byte << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? crc << 1 ^ CRC16_POLYNOMIAL : crc << 1;
        crc16_table[0][byte] = (uint16_t)crc;
    }
    for (unsigned n = 1; n < STEP; n++)
        for (unsigned byte = 0; byte < 256; byte++) {
            uint16_t crc = crc16_table[n - 1][byte];
            crc16_table[n][byte] = (uint16_t)(crc << 8 ^ crc16_table[0][crc >> 8]);
        }
}

uint16_t crc16(const void *data, size_t len) {
    const uint8_t *p = data;
    uint16_t crc = 0;
    for (; len >= STEP; len -= STEP, p += STEP)
        crc = (uint16_t)(crc16_table[7][p[0] ^ crc >> 8] ^ crc16_table[6][p[1] ^ (crc & 0xff)] ^
                         crc16_table[5][p[2]] ^ crc16_table[4][p[3]] ^ crc16_table[3][p[4]] ^
                         crc16_table[2][p[5]] ^ crc16_table[1][p[6]] ^ crc16_table[0][p[7]]);
    for (; len > 0; len--, p++)
        crc = (uint16_t)(crc << 8 ^ crc16_table[0][crc >> 8 ^ *p]);
    return crc;
}

/* The library complements at both ends; Redis's does not. */
uint64_t crc64(uint64_t crc, const void *data, size_t len) {
    return len ? ~crc64_jones_refl(~crc, data, len) : crc;
}
