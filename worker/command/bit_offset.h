/* bit_offset.h - the offset argument that SETBIT, GETBIT and BITFIELD share. */
#ifndef REMUDA_COMMAND_BIT_OFFSET_H
#define REMUDA_COMMAND_BIT_OFFSET_H
#include "worker/command/command.h"

/* Argument `index` as the offset of a bit, within proto-max-bulk-len. With a width, "#n" is the
 * place of the n-th field of that width. False: an error has been replied. */
bool bit_offset_parse(struct command_ctx *ctx, uint32_t index, uint32_t width, uint64_t *offset_r);

#endif
