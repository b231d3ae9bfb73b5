/* reply.h - replies, written in the client's protocol version straight into a buffer. */
#ifndef REMUDA_RESP_REPLY_H
#define REMUDA_RESP_REPLY_H
#include "shared/base/buf.h"
#include <stdbool.h>

struct reply {
    struct buf *out;
    uint8_t version; /* 2 or 3 */
    uint32_t errors; /* error replies written through this struct */
};

void reply_ok(struct reply *r);
void reply_status(struct reply *r, const char *text); /* +text */
void reply_integer(struct reply *r, int64_t value);   /* :value */
void reply_bulk(struct reply *r, struct bytes value); /* $len value */
void reply_bulk_text(struct reply *r, const char *text);
void reply_bulk_integer(struct reply *r, int64_t value);                      /* $len digits */
void reply_null(struct reply *r);                                             /* $-1 or _ */
void reply_null_array(struct reply *r);                                       /* *-1 or _ */
void reply_bool(struct reply *r, bool value);                                 /* :1 :0 or #t #f */
void reply_double(struct reply *r, double value);                             /* bulk or , */
void reply_big_number(struct reply *r, struct bytes digits);                  /* bulk or ( */
void reply_verbatim(struct reply *r, const char *format3, struct bytes text); /* bulk or =txt: */
void reply_array(struct reply *r, size_t count);
void reply_map(struct reply *r, size_t pairs);       /* array of 2n or %n */
void reply_set(struct reply *r, size_t count);       /* array or ~n */
void reply_push(struct reply *r, size_t count);      /* array or >n */
void reply_attribute(struct reply *r, size_t pairs); /* RESP3 only: |n; nothing in 2 */
/* "-ERR text"; text beginning with an upper-case code ("WRONGTYPE ...") is to be given whole:
 * reply_error writes '-' + text with CR and LF made spaces. */
void reply_error(struct reply *r, const char *text);
void reply_error_format(struct reply *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* An aggregate whose count is known only at the end: mark, write the elements, close. */
size_t reply_mark(const struct reply *r);
void reply_close_array(struct reply *r, size_t mark, size_t count);
void reply_close_map(struct reply *r, size_t mark, size_t pairs);
void reply_close_set(struct reply *r, size_t mark, size_t count);
/* Bytes already in RESP form. */
void reply_raw(struct reply *r, struct bytes resp);

/* The errors that many commands share, Redis's exact texts. */
extern const char reply_err_syntax[];       /* ERR syntax error */
extern const char reply_err_wrong_type[];   /* WRONGTYPE Operation against a key holding ... */
extern const char reply_err_not_integer[];  /* ERR value is not an integer or out of range */
extern const char reply_err_not_float[];    /* ERR value is not a valid float */
extern const char reply_err_no_key[];       /* ERR no such key */
extern const char reply_err_out_of_range[]; /* ERR index out of range */
extern const char reply_err_loading[];      /* LOADING Redis is loading the dataset in memory */
extern const char reply_err_oom[]; /* OOM command not allowed when used memory > 'maxmemory'. */
extern const char reply_err_overflow[]; /* ERR increment or decrement would overflow */

/* ---- reading replies, for merging those of several shards ---- */
/* Length of the first complete RESP value in data (all types, nested), or 0 if it is not whole or
 * malformed. Depth is bounded. */
size_t resp_value_length(const char *data, size_t len);
/* Header of an aggregate or the value of an integer: *type_r its first byte, *number_r the count or
 * integer. Returns the bytes up to the first element, or 0. */
size_t resp_header(const char *data, size_t len, char *type_r, int64_t *number_r);

#endif
