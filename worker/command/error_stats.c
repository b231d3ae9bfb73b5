/* error_stats.c - counts of error replies by code, in a short sorted table. */
#include "worker/command/error_stats.h"

static struct error_stat rows[ERROR_CODES_MAX];
static uint32_t row_count;

static struct bytes code_of(struct bytes resp) {
    if (resp.len < 2 || resp.ptr[0] != '-')
        return BYTES_LITERAL("ERR");
    size_t len = 1;
    while (len < resp.len && (unsigned char)resp.ptr[len] > ' ')
        len++;
    if (len == 1)
        return BYTES_LITERAL("ERR");
    return bytes_of(resp.ptr + 1, len - 1 < ERROR_CODE_BYTES ? len - 1 : ERROR_CODE_BYTES - 1);
}

void error_stats_count(struct bytes resp) {
    struct bytes code = code_of(resp);
    uint32_t at = 0;
    for (; at < row_count; at++) {
        int order = bytes_compare(code, bytes_of_text(rows[at].code));
        if (order == 0) {
            rows[at].count++;
            return;
        }
        if (order < 0)
            break;
    }
    if (row_count == ERROR_CODES_MAX)
        return;
    memmove(&rows[at + 1], &rows[at], (row_count - at) * sizeof(rows[0]));
    row_count++;
    memcpy(rows[at].code, code.ptr, code.len);
    rows[at].code[code.len] = '\0';
    rows[at].count = 1;
}

const struct error_stat *error_stats(uint32_t *count_r) {
    *count_r = row_count;
    return rows;
}

void error_stats_reset(void) {
    row_count = 0;
}
