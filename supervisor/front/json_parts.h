/* json_parts.h - values of /status as it writes them: numbers that fit, texts that are safe. */
#ifndef REMUDA_JSON_PARTS_H
#define REMUDA_JSON_PARTS_H
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Each returns what the caller owns. */
json_t *json_number(uint64_t value); /* cut to what an integer of JSON holds here */
/* A text of the shared segment: text_bytes of it are looked at, see view_text(). */
json_t *json_text(const char *text, size_t text_bytes);
json_t *json_percent(uint64_t done, uint64_t total); /* 0 of nothing is 0 */

#endif
