/* config_quote.c - words and quoting, the same in pool.ini, on the command line and between
 * processes.
 *
 *   "..."   \" \\ \n \r \t \b \a \xHH mean what they do in redis.conf
 *   '...'   only \' is special
 *   plain   as it stands, up to a blank followed by ; or # */
#include "config/config_private.h"

#include <ctype.h>

/* The blanks of isspace() in the C locale, which inih goes by. */
static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct bytes config_trim(struct bytes text) {
    while (text.len > 0 && is_blank(text.ptr[0]))
        text = bytes_of(text.ptr + 1, text.len - 1);
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

bool config_next_word(struct bytes *rest, struct bytes *word_r) {
    *rest = config_trim(*rest);
    size_t len = 0;
    while (len < rest->len && !is_blank(rest->ptr[len]))
        len++;
    *word_r = bytes_of(rest->ptr, len);
    if (len > 0)
        *rest = bytes_of(rest->ptr + len, rest->len - len);
    return len > 0;
}

static const struct {
    char letter, meaning;
} escapes[] = {{'n', '\n'}, {'r', '\r'}, {'t', '\t'}, {'b', '\b'},
               {'a', '\a'}, {'"', '"'},  {'\\', '\\'}};
enum { ESCAPES = sizeof escapes / sizeof *escapes };

static char escape_letter(char meaning) {
    for (uint32_t i = 0; i < ESCAPES; i++)
        if (escapes[i].meaning == meaning)
            return escapes[i].letter;
    return '\0';
}

void config_quote(struct buf *out, struct bytes value) {
    buf_append(out, "\"", 1);
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        char letter = escape_letter((char)c);
        if (letter)
            buf_printf(out, "\\%c", letter);
        else if (c < ' ' || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_append(out, &value.ptr[i], 1);
    }
    buf_append(out, "\"", 1);
}

void config_quote_if_needed(struct buf *out, struct bytes value) {
    bool plain = value.len > 0 && !is_blank(value.ptr[0]) && !is_blank(value.ptr[value.len - 1]) &&
                 value.ptr[0] != '"' && value.ptr[0] != '\'';
    for (size_t i = 0; plain && i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        plain = c >= ' ' && c != 0x7f && c != ';' && c != '#';
    }
    if (plain)
        buf_append_bytes(out, value);
    else
        config_quote(out, value);
}

static int hex_digit(char c) {
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* text starts at a backslash. Appends what it means, returns the bytes it takes, 0 if it is the last
 * byte. */
static size_t unescape(struct bytes text, struct buf *out) {
    if (text.len < 2)
        return 0;
    if (text.ptr[1] == 'x' && text.len >= 4 && isxdigit((unsigned char)text.ptr[2]) &&
        isxdigit((unsigned char)text.ptr[3])) {
        char c = (char)(hex_digit(text.ptr[2]) * 16 + hex_digit(text.ptr[3]));
        buf_append(out, &c, 1);
        return 4;
    }
    for (uint32_t i = 0; i < ESCAPES; i++)
        if (escapes[i].letter == text.ptr[1]) {
            buf_append(out, &escapes[i].meaning, 1);
            return 2;
        }
    buf_append(out, text.ptr + 1, 1);
    return 2;
}

/* Returns the length with both quotes, or 0 if the closing one is missing. */
static size_t unquote_quoted(struct bytes text, struct buf *out) {
    char quote = text.ptr[0];
    size_t i = 1;
    while (i < text.len && text.ptr[i] != quote) {
        size_t taken = 1;
        bool escaped_single =
            quote == '\'' && text.len - i >= 2 && text.ptr[i] == '\\' && text.ptr[i + 1] == '\'';
        if (escaped_single) {
            buf_append(out, "'", 1);
            taken = 2;
        } else if (quote == '"' && text.ptr[i] == '\\') {
            taken = unescape(bytes_of(text.ptr + i, text.len - i), out);
            if (taken == 0)
                return 0;
        } else {
            buf_append(out, text.ptr + i, 1);
        }
        i += taken;
    }
    return i < text.len ? i + 1 : 0;
}

static size_t plain_length(struct bytes text) {
    size_t i = 0;
    while (i < text.len &&
           !((text.ptr[i] == ';' || text.ptr[i] == '#') && (i == 0 || is_blank(text.ptr[i - 1]))))
        i++;
    while (i > 0 && is_blank(text.ptr[i - 1]))
        i--;
    return i;
}

int config_unquote(struct bytes written, struct buf *out, struct bytes *rest_r) {
    written = config_trim(written);
    size_t len;
    if (written.len > 0 && (written.ptr[0] == '"' || written.ptr[0] == '\'')) {
        len = unquote_quoted(written, out);
        if (len == 0)
            return -1;
        struct bytes after = config_trim(bytes_of(written.ptr + len, written.len - len));
        if (after.len > 0 &&
            ((after.ptr[0] != ';' && after.ptr[0] != '#') || !is_blank(written.ptr[len])))
            return -1;
    } else {
        len = plain_length(written);
        buf_append(out, written.ptr, len);
    }
    if (rest_r)
        *rest_r = bytes_of(written.ptr + len, written.len - len);
    return 0;
}
