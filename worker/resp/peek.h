/* peek.h - a glance at commands that will be parsed soon, so that their keys can be fetched from
 * memory meanwhile. Nothing is remembered and nothing refused: where a command is not whole or not
 * in the common form, the glance ends. */
#ifndef REMUDA_RESP_PEEK_H
#define REMUDA_RESP_PEEK_H
#include "shared/base/bytes.h"

/* data[0..len) starts at a command's first byte. Returns how many whole multibulk commands lie there,
 * at most max, and the second word of each, most often its key; empty if it has but one. */
uint32_t resp_peek_words(const char *data, size_t len, struct bytes *words_r, uint32_t max);

#endif
