/* config_private.h - what the files of config/ share: the functions of an option's type, and the
 * quoting of values. */
#ifndef REMUDA_CONFIG_PRIVATE_H
#define REMUDA_CONFIG_PRIVATE_H
#include "config/config.h"
#include <stdio.h>

/* What a type can do; one row an option_type, in option_kinds. */
struct option_kind {
    size_t field_bytes;
    bool many_words; /* on the command line, values go on to the next `--` */
    /* Text -> field. On -1 the field is unchanged and error_r says why. */
    int (*parse)(const struct option_row *row, struct bytes text, void *field, char *error_r);
    void (*print)(const struct option_row *row, const void *field, struct buf *out);
    /* What is allowed, as a phrase: "1..500, times a second". */
    void (*describe)(const struct option_row *row, struct buf *out);
    bool owns_text; /* the field is a char * of its own memory */
};
extern const struct option_kind option_kinds[OPTION_TYPE_COUNT];

static inline void *option_field(struct config *config, const struct option_row *row) {
    return (char *)config + row->offset;
}
static inline const void *option_field_const(const struct config *config,
                                             const struct option_row *row) {
    return (const char *)config + row->offset;
}

/* Formats into error_r (CONFIG_ERROR_BYTES) and returns -1. */
int config_error(char *error_r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What is allowed for an option, as a NUL-terminated text in out. */
void config_allowed(const struct option_row *row, struct buf *out);

/* ---- config_quote.c ---- */
/* The next word between blanks; false at the end. *rest moves behind it. */
bool config_next_word(struct bytes *rest, struct bytes *word_r);
struct bytes config_trim(struct bytes text);
/* Append the value as "..." with \\ \" \n \r \t \xHH. */
void config_quote(struct buf *out, struct bytes value);
/* Append the value, quoted only if it would not read back as it is. */
void config_quote_if_needed(struct buf *out, struct bytes value);
/* A written value -> the bytes meant, appended to out. Unquoted text ends at " ;" or " #". *rest_r
 * (may be NULL) gets what follows the value: blanks and a comment. Returns 0, or -1 if the quotes
 * do not fit. */
int config_unquote(struct bytes written, struct buf *out, struct bytes *rest_r);

/* ---- config_load.c ---- */
enum { CONFIG_FILE_MAX_BYTES = 1024 * 1024, CONFIG_LINE_MAX_BYTES = 8192 };
/* The whole file, appended to out. 0 or -1. */
int config_read_file(const char *path, struct buf *out, char *error_r);
/* Without the UTF-8 byte order mark some editors begin a file with. */
struct bytes config_skip_mark(struct bytes text);
/* As config_load_file(), from memory; path is only for the error texts. */
int config_load_bytes(struct config *config, const char *path, struct bytes text, char *error_r);

/* error_r is what config_check() said after the file and these arguments: put "path:line: " before
 * it, for the last line of the file that counts and gives an option named there. */
void config_locate_error(const char *path, int argc, char **argv, char *error_r);

/* ---- config_rewrite.c ---- */
/* The text of the file with the live values in it, appended to out. */
void config_rewrite_text(const struct config *config, struct bytes old, struct buf *out);

#endif
