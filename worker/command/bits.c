/* bits.c - see bits.h. The ends that are no whole bytes are masked, what is between goes by words. */
#include "worker/command/bits.h"

enum { WORD_BYTES = 8, BYTE_LAST_BIT = 7 };

static uint8_t byte_of(struct bytes text, uint64_t byte) {
    return (uint8_t)text.ptr[byte];
}

/* The bits first..last of a byte, both 0 (highest) to 7. */
static uint8_t mask_of(uint32_t first, uint32_t last) {
    return (uint8_t)((0xFFu >> first) & (0xFFu << (BYTE_LAST_BIT - last)));
}

static uint64_t load_word(const char *from) {
    uint64_t word;
    memcpy(&word, from, WORD_BYTES);
    return word;
}

static uint64_t count_bytes(const char *from, uint64_t bytes) {
    uint64_t count = 0, i = 0;
    for (; i + WORD_BYTES <= bytes; i += WORD_BYTES)
        count += (uint64_t)__builtin_popcountll(load_word(from + i));
    for (; i < bytes; i++)
        count += (uint64_t)__builtin_popcount((uint8_t)from[i]);
    return count;
}

uint64_t bits_count(struct bytes text, uint64_t first, uint64_t last) {
    uint64_t from = first / BITS_PER_BYTE, to = last / BITS_PER_BYTE;
    uint32_t skip = (uint32_t)(first % BITS_PER_BYTE), end = (uint32_t)(last % BITS_PER_BYTE);
    if (from == to)
        return (uint64_t)__builtin_popcount(byte_of(text, from) & mask_of(skip, end));
    return (uint64_t)__builtin_popcount(byte_of(text, from) & mask_of(skip, BYTE_LAST_BIT)) +
           count_bytes(text.ptr + from + 1, to - from - 1) +
           (uint64_t)__builtin_popcount(byte_of(text, to) & mask_of(0, end));
}

/* The first whole byte in from..to (both included) that has the bit; to + 1 if none has. */
static uint64_t find_byte(struct bytes text, uint8_t without, uint64_t from, uint64_t to) {
    uint64_t pattern = without ? UINT64_MAX : 0;
    while (from + WORD_BYTES <= to + 1 && load_word(text.ptr + from) == pattern)
        from += WORD_BYTES;
    while (from <= to && byte_of(text, from) == without)
        from++;
    return from;
}

uint64_t bits_find(struct bytes text, bool bit, uint64_t first, uint64_t last) {
    uint8_t without = bit ? 0x00 : 0xFF;
    uint64_t at = first;
    while (at <= last && at % BITS_PER_BYTE != 0) {
        if (bits_get(text, at) == bit)
            return at;
        at++;
    }
    if (at > last)
        return last + 1;
    at = find_byte(text, without, at / BITS_PER_BYTE, last / BITS_PER_BYTE) * BITS_PER_BYTE;
    while (at <= last && bits_get(text, at) != bit)
        at++;
    return at > last ? last + 1 : at;
}

uint64_t bits_read(struct bytes text, uint64_t at, uint32_t width) {
    uint64_t value = 0;
    while (width > 0) {
        uint64_t byte = at / BITS_PER_BYTE;
        uint32_t skip = (uint32_t)(at % BITS_PER_BYTE), take = BITS_PER_BYTE - skip;
        if (take > width)
            take = width;
        uint32_t bits = byte < text.len ? byte_of(text, byte) & mask_of(skip, skip + take - 1) : 0;
        value = value << take | bits >> (BITS_PER_BYTE - skip - take);
        at += take;
        width -= take;
    }
    return value;
}

void bits_write(char *text, uint64_t at, uint32_t width, uint64_t value) {
    while (width > 0) {
        uint32_t skip = (uint32_t)(at % BITS_PER_BYTE), take = BITS_PER_BYTE - skip;
        if (take > width)
            take = width;
        width -= take;
        uint8_t mask = mask_of(skip, skip + take - 1);
        uint8_t bits = (uint8_t)((value >> width) << (BITS_PER_BYTE - skip - take)) & mask;
        char *byte = text + at / BITS_PER_BYTE;
        *byte = (char)(((uint8_t)*byte & (uint8_t)~mask) | bits);
        at += take;
    }
}
