/* json_file.h - a small JSON file that carries its own checksum: pool.json, resume.json. The file is input:
 * a flipped bit in it would else be another number, another id. */
#ifndef REMUDA_SUPERVISOR_JSON_FILE_H
#define REMUDA_SUPERVISOR_JSON_FILE_H
#include "shared/base/bytes.h"
#include <jansson.h>
#include <stddef.h>

/* The text's root without its checksum, which must be right if it is there; released by the caller. NULL with
 * a one-line text. */
json_t *json_file_parse(struct bytes text, char *error_r, size_t error_bytes);
/* The text of root, with a checksum added to it. The caller frees it with free(). */
char *json_file_text(json_t *root);
/* Read dir/name, of at most text_bytes - 1 bytes. 0, 1 if there is none, -1 with a one-line text. */
int json_file_read(const char *dir, const char *name, char *text, size_t text_bytes,
                   size_t *length_r, char *error_r, size_t error_bytes);

#endif
