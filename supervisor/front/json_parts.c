/* json_parts.c - see json_parts.h. */
#include "supervisor/front/json_parts.h"

#include "supervisor/front/status_view.h"

json_t *json_number(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

json_t *json_text(const char *text, size_t text_bytes) {
    char safe[STATUS_TEXT_BYTES];
    view_text(text, text_bytes, safe);
    return json_string(safe);
}

json_t *json_percent(uint64_t done, uint64_t total) {
    return json_real(total > 0 ? 100.0 * (double)(done < total ? done : total) / (double)total
                               : 0.0);
}
