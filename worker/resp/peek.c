/* peek.c - see peek.h. */
#include "worker/resp/peek.h"

enum { DIGITS_MAX = 9 };

/* `type digits CR LF` at p. Returns what follows it, or NULL. */
static inline const char *length_line(const char *p, const char *end, char type,
                                      uint32_t *length_r) {
    if (p == end || *p != type)
        return NULL;
    const char *first = ++p, *stop = end - p > DIGITS_MAX ? p + DIGITS_MAX : end;
    uint32_t length = 0, digit;
    for (; p < stop && (digit = (uint32_t)(unsigned char)*p - '0') <= 9; p++)
        length = length * 10 + digit;
    if (p == first || end - p < 2 || *p != '\r')
        return NULL;
    *length_r = length;
    return p + 2;
}

/* Returns what follows the command at p, or NULL. */
static const char *skip_command(const char *p, const char *end, struct bytes *word_r) {
    uint32_t count, length;
    *word_r = (struct bytes){0};
    p = length_line(p, end, '*', &count);
    for (uint32_t i = 0; p && i < count; i++) {
        p = length_line(p, end, '$', &length);
        if (!p || (size_t)(end - p) < (size_t)length + 2)
            return NULL;
        if (i == 1)
            *word_r = bytes_of(p, length);
        p += length + 2;
    }
    return p;
}

uint32_t resp_peek_words(const char *data, size_t len, struct bytes *words_r, uint32_t max) {
    const char *end = data + len;
    uint32_t count = 0;
    while (count < max && (data = skip_command(data, end, &words_r[count])) != NULL)
        count++;
    return count;
}
