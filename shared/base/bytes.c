/* bytes.c - see bytes.h: comparing and globbing. Numbers are in bytes_number.c. */
#include "shared/base/bytes.h"

static unsigned char fold(char c) {
    unsigned char byte = (unsigned char)c;
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

bool bytes_equal_nocase(struct bytes a, const char *text) {
    for (size_t i = 0; i < a.len; i++)
        if (text[i] == '\0' || fold(a.ptr[i]) != fold(text[i]))
            return false;
    return text[a.len] == '\0';
}

int bytes_compare(struct bytes a, struct bytes b) {
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static unsigned char glob_fold(char c, bool nocase) {
    return nocase ? fold(c) : (unsigned char)c;
}

static bool class_range_holds(char from, char to, char c, bool nocase) {
    unsigned char low = (unsigned char)from, high = (unsigned char)to;
    if (low > high) {
        unsigned char swap = low;
        low = high;
        high = swap;
    }
    low = glob_fold((char)low, nocase);
    high = glob_fold((char)high, nocase);
    unsigned char byte = glob_fold(c, nocase);
    return byte >= low && byte <= high;
}

/* The class that begins after '[' at p. *next_r gets what follows its ']'; a class that is never
 * closed ends with the pattern. */
static bool class_matches(const char *p, const char *end, char c, bool nocase,
                          const char **next_r) {
    bool negated = p < end && *p == '^', found = false;
    if (negated)
        p++;
    for (; p < end && *p != ']'; p++) {
        if (*p == '\\' && end - p >= 2) {
            p++;
            found |= *p == c;
        } else if (end - p >= 3 && p[1] == '-') {
            found |= class_range_holds(p[0], p[2], c, nocase);
            p += 2;
        } else {
            found |= glob_fold(*p, nocase) == glob_fold(c, nocase);
        }
    }
    *next_r = p < end ? p + 1 : end;
    return found != negated;
}

/* Does the pattern's element at p, which is not '*', match the byte c? */
static bool element_matches(const char *p, const char *end, char c, bool nocase,
                            const char **next_r) {
    if (*p == '[')
        return class_matches(p + 1, end, c, nocase, next_r);
    if (*p == '\\' && end - p >= 2)
        p++;
    else if (*p == '?') {
        *next_r = p + 1;
        return true;
    }
    *next_r = p + 1;
    return glob_fold(*p, nocase) == glob_fold(c, nocase);
}

/* Only the last star met can usefully take more text: an earlier one that took more would only leave
 * less for the same rest. So there is one place to return to, and the work stays pattern x text. */
bool bytes_glob(struct bytes pattern, struct bytes text, bool nocase) {
    const char *p = pattern.ptr, *p_end = pattern.ptr + pattern.len;
    const char *t = text.ptr, *t_end = text.ptr + text.len;
    const char *star = NULL, *star_text = NULL;
    if (text.len == 0) /* Redis: of several stars none is taken for an empty text */
        return pattern.len == 0 || (pattern.len == 1 && *p == '*');
    while (t < t_end) {
        const char *next;
        if (p < p_end && *p == '*') {
            star = ++p;
            star_text = t;
        } else if (p < p_end && element_matches(p, p_end, *t, nocase, &next)) {
            p = next;
            t++;
        } else if (star) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*')
        p++;
    return p == p_end;
}
