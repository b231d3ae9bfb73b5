/* bytes_number.c - numbers from and to text, see bytes.h. Parsers take hostile bytes and answer
 * false; nothing here depends on a locale (none is ever set). */
#include "shared/base/bytes.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_digit(char c) {
    return (unsigned char)(c - '0') <= 9;
}

bool bytes_to_u64(struct bytes text, uint64_t *value_r) {
    const char *p = text.ptr;
    size_t len = text.len;
    if (len == 0 || len > 20 || !is_digit(p[0]) || (p[0] == '0' && len > 1))
        return false;
    /* 19 digits cannot overflow 64 bits; only the 20th has to be watched. */
    size_t safe = len < 20 ? len : 19;
    uint64_t value = 0;
    for (size_t i = 0; i < safe; i++) {
        if (!is_digit(p[i]))
            return false;
        value = value * 10 + (uint64_t)(p[i] - '0');
    }
    if (len == 20 && (!is_digit(p[19]) || __builtin_mul_overflow(value, 10, &value) ||
                      __builtin_add_overflow(value, (uint64_t)(p[19] - '0'), &value)))
        return false;
    *value_r = value;
    return true;
}

bool bytes_to_i64(struct bytes text, int64_t *value_r) {
    bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t value;
    if (!bytes_to_u64(bytes_of(text.ptr + negative, text.len - negative), &value))
        return false;
    if (value > (uint64_t)INT64_MAX + negative || (negative && value == 0))
        return false;
    *value_r = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Copies text with a NUL for strtod(); a NUL inside makes the whole-text check fail later. */
static char *copy_for_strtod(struct bytes text, char *room, size_t room_bytes) {
    if (text.len == 0 || text.len >= room_bytes || is_space(text.ptr[0]))
        return NULL;
    memcpy(room, text.ptr, text.len);
    room[text.len] = '\0';
    return room;
}

bool bytes_to_double(struct bytes text, double *value_r) {
    char room[BYTES_LONG_DOUBLE_MAX], *end;
    const char *copy = copy_for_strtod(text, room, sizeof room);
    if (!copy)
        return false;
    errno = 0;
    double value = strtod(copy, &end);
    if (end != copy + text.len || isnan(value))
        return false;
    if (errno == ERANGE && (isinf(value) || value == 0))
        return false;
    *value_r = value;
    return true;
}

bool bytes_to_long_double(struct bytes text, long double *value_r) {
    char room[BYTES_LONG_DOUBLE_MAX], *end;
    const char *copy = copy_for_strtod(text, room, sizeof room);
    if (!copy)
        return false;
    errno = 0;
    long double value = strtold(copy, &end);
    if (end != copy + text.len || isnan(value))
        return false;
    if (errno == ERANGE && (isinf(value) || value == 0))
        return false;
    *value_r = value;
    return true;
}

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324"
                                  "25262728293031323334353637383940414243444546474849"
                                  "50515253545556575859606162636465666768697071727374"
                                  "75767778798081828384858687888990919293949596979899";

static size_t count_digits(uint64_t value) {
    size_t count = 1;
    for (; value >= 10000; value /= 10000)
        count += 4;
    return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

static size_t write_digits(char *out, uint64_t value) {
    size_t count = count_digits(value), at = count;
    while (value >= 100) {
        at -= 2;
        memcpy(out + at, digit_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10)
        memcpy(out, digit_pairs + value * 2, 2);
    else
        out[0] = (char)('0' + value);
    return count;
}

size_t bytes_from_u64(char *out, uint64_t value) {
    return write_digits(out, value);
}

size_t bytes_from_i64(char *out, int64_t value) {
    if (value >= 0)
        return write_digits(out, (uint64_t)value);
    out[0] = '-';
    return 1 + write_digits(out + 1, 0 - (uint64_t)value);
}

/* A positive finite double as digits x 10^exponent, with as few digits as read back the same. */
struct decimal {
    char digits[24];
    int count;
    int exponent;
};

static void drop_trailing_zeros(struct decimal *d) {
    while (d->count > 1 && d->digits[d->count - 1] == '0') {
        d->count--;
        d->exponent++;
    }
}

/* Most scores are short decimals: n / 10^k with both exact in a double, where one division rounds
 * correctly and so proves the digits. Below 10^15 no other text of as few digits reads the same. */
static bool shortest_by_division(double value, struct decimal *d) {
    double power = 10;
    for (int k = 1; k <= 8 && value * power < 1e15; k++, power *= 10) {
        double n = nearbyint(value * power);
        if (n / power == value && n > 0) {
            d->count = (int)write_digits(d->digits, (uint64_t)n);
            d->exponent = -k;
            return true;
        }
    }
    return false;
}

static void shortest_by_search(double value, struct decimal *d) {
    /* 15 digits are always exact for normal numbers; the subnormal ones hold fewer. */
    for (int precision = value < 2.3e-308 ? 1 : 15; precision <= 17; precision++) {
        char text[40];
        snprintf(text, sizeof text, "%.*e", precision - 1, value);
        if (precision < 17 && strtod(text, NULL) != value)
            continue;
        d->count = 0;
        const char *p = text;
        for (; *p != 'e'; p++)
            if (*p != '.')
                d->digits[d->count++] = *p;
        d->exponent = atoi(p + 1) - (precision - 1);
        return;
    }
}

static size_t layout_fraction(char *out, const struct decimal *d) {
    int whole = d->count + d->exponent;
    char *p = out;
    if (whole <= 0) {
        *p++ = '0';
        *p++ = '.';
        memset(p, '0', (size_t)-whole);
        p += -whole;
        memcpy(p, d->digits, (size_t)d->count);
        return (size_t)(p + d->count - out);
    }
    memcpy(p, d->digits, (size_t)whole);
    p[whole] = '.';
    memcpy(p + whole + 1, d->digits + whole, (size_t)(d->count - whole));
    return (size_t)d->count + 1;
}

/* Redis 7.2 writes up to seven zeros after the digits, and up to six digits after the point (more for
 * numbers of a few digits before it); beyond that it turns to scientific notation. */
static size_t layout(char *out, const struct decimal *d) {
    int scientific = d->count + d->exponent - 1;
    int magnitude = abs(scientific);
    if (d->exponent >= 0 && d->exponent <= 7) {
        memcpy(out, d->digits, (size_t)d->count);
        memset(out + d->count, '0', (size_t)d->exponent);
        return (size_t)(d->count + d->exponent);
    }
    if (d->exponent < 0 && (d->exponent > -7 || magnitude < 4))
        return layout_fraction(out, d);
    char *p = out;
    *p++ = d->digits[0];
    if (d->count > 1) {
        *p++ = '.';
        memcpy(p, d->digits + 1, (size_t)d->count - 1);
        p += d->count - 1;
    }
    *p++ = 'e';
    *p++ = scientific < 0 ? '-' : '+';
    return (size_t)(p - out) + write_digits(p, (uint64_t)magnitude);
}

static size_t copy_text(char *out, const char *text) {
    size_t len = strlen(text);
    memcpy(out, text, len);
    return len;
}

size_t bytes_from_double(char *out, double value) {
    if (isnan(value))
        return copy_text(out, "nan");
    if (isinf(value))
        return copy_text(out, value < 0 ? "-inf" : "inf");
    if (value == 0)
        return copy_text(out, signbit(value) ? "-0" : "0");
    if (fabs(value) <= 0x1p62 && (double)(int64_t)value == value)
        return bytes_from_i64(out, (int64_t)value);
    size_t sign = value < 0;
    if (sign)
        *out++ = '-';
    struct decimal d;
    if (!shortest_by_division(fabs(value), &d))
        shortest_by_search(fabs(value), &d);
    drop_trailing_zeros(&d);
    return sign + layout(out, &d);
}

size_t bytes_from_long_double(char *out, long double value) {
    if (isinf(value))
        return copy_text(out, value < 0 ? "-inf" : "inf");
    int written = snprintf(out, BYTES_LONG_DOUBLE_MAX, "%.17Lf", value);
    size_t len = written > 0 ? (size_t)written : 0;
    if (memchr(out, '.', len)) {
        while (out[len - 1] == '0')
            len--;
        if (out[len - 1] == '.')
            len--;
    }
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        len = 1;
    }
    return len;
}
