/* crc.h - the two checksums of the Redis world. */
#ifndef REMUDA_BASE_CRC_H
#define REMUDA_BASE_CRC_H
#include <stddef.h>
#include <stdint.h>

/* CRC-16/XMODEM, by which Redis Cluster maps a key to a slot ("123456789" gives 0x31c3). */
uint16_t crc16(const void *data, size_t len);
/* CRC-64/Jones as RDB files end with, through ISA-L ("123456789" gives 0xe9c6d914c4b8d9ca).
 * Start with crc = 0 and feed the running value back in. */
uint64_t crc64(uint64_t crc, const void *data, size_t len);

#endif
