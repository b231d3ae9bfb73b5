/* bytes.h - a borrowed run of bytes, the form in which keys, values and arguments travel.
 * Never owned, not terminated by NUL, binary-safe. */
#ifndef REMUDA_BASE_BYTES_H
#define REMUDA_BASE_BYTES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const char *ptr;
    size_t len;
};

#define BYTES_LITERAL(text) ((struct bytes){(text), sizeof(text) - 1})

static inline struct bytes bytes_of(const char *ptr, size_t len) {
    return (struct bytes){ptr, len};
}
static inline struct bytes bytes_of_text(const char *text) {
    return (struct bytes){text, strlen(text)};
}
static inline bool bytes_equal(struct bytes a, struct bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
/* ASCII case is folded; text is a literal such as "NX". */
bool bytes_equal_nocase(struct bytes a, const char *text);
/* memcmp order, the shorter first. */
int bytes_compare(struct bytes a, struct bytes b);

/* Strict decimal as Redis reads it: optional '-', no '+', no spaces, no leading zeros, no overflow. */
bool bytes_to_i64(struct bytes text, int64_t *value_r);
bool bytes_to_u64(struct bytes text, uint64_t *value_r);
/* A finite or infinite number as Redis reads it ("inf", "-inf", "1e5"; no spaces, not NaN). */
bool bytes_to_double(struct bytes text, double *value_r);
bool bytes_to_long_double(struct bytes text, long double *value_r);

enum { BYTES_I64_MAX = 21, BYTES_DOUBLE_MAX = 40, BYTES_LONG_DOUBLE_MAX = 5 * 1024 };
/* Write decimal digits without NUL; the buffer holds at least the MAX above. Returns the length. */
size_t bytes_from_i64(char *out, int64_t value);
size_t bytes_from_u64(char *out, uint64_t value); /* BYTES_I64_MAX */
/* Shortest form that reads back as the same double (%.17g where nothing shorter does), as Redis
 * prints scores: "inf", "-inf", "3", "0.1". */
size_t bytes_from_double(char *out, double value);
/* %.17Lf without trailing zeros, as INCRBYFLOAT prints. */
size_t bytes_from_long_double(char *out, long double value);

/* Glob of KEYS, SCAN MATCH and CONFIG GET: * ? [a-z] [^x] \escape. Bounded work: a pattern of many
 * stars is matched in O(pattern x text), never exponentially. */
bool bytes_glob(struct bytes pattern, struct bytes text, bool nocase);

#endif
