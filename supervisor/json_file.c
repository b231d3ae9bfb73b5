/* json_file.c - see the header. Reading happens once, before any child starts, so it may block. */
#include "supervisor/json_file.h"
#include "shared/base/crc.h"
#include "shared/base/panic.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECKSUM "crc64"

static json_t *checksum_of(json_t *root) {
    char *text = json_dumps(root, JSON_INDENT(2));
    ASSERT(text != NULL);
    json_t *sum = json_sprintf("%016llx", (unsigned long long)crc64(0, text, strlen(text)));
    free(text);
    return sum;
}

static bool is_right(json_t *root) {
    json_t *found = json_incref(json_object_get(root, CHECKSUM));
    if (!found)
        return true;
    json_object_del(root, CHECKSUM);
    json_t *expected = checksum_of(root);
    bool right = json_equal(found, expected);
    json_decref(found);
    json_decref(expected);
    return right;
}

json_t *json_file_parse(struct bytes text, char *error_r, size_t error_bytes) {
    json_error_t where;
    json_t *root = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        snprintf(error_r, error_bytes, "line %d: %s", where.line, where.text);
        return NULL;
    }
    if (is_right(root))
        return root;
    snprintf(error_r, error_bytes,
             "its checksum is wrong: it is damaged, or was edited and still has its \"" CHECKSUM
             "\"");
    json_decref(root);
    return NULL;
}

char *json_file_text(json_t *root) {
    ASSERT(root != NULL);
    json_object_set_new(root, CHECKSUM, checksum_of(root));
    char *text = json_dumps(root, JSON_INDENT(2));
    ASSERT(text != NULL);
    return text;
}

/* Returns the length, or -1 with errno (EFBIG: there is no room for all of it). */
static ssize_t read_all(const char *path, char *text, size_t text_bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    size_t have = 0;
    ssize_t got = 1;
    while (have < text_bytes && got > 0) {
        got = read(fd, text + have, text_bytes - have);
        if (got > 0)
            have += (size_t)got;
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    int error = got < 0 ? errno : have == text_bytes ? EFBIG : 0;
    close(fd);
    errno = error;
    return error ? -1 : (ssize_t)have;
}

int json_file_read(const char *dir, const char *name, char *text, size_t text_bytes,
                   size_t *length_r, char *error_r, size_t error_bytes) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ssize_t length = read_all(path, text, text_bytes);
    if (length < 0 && errno == ENOENT)
        return 1;
    if (length < 0) {
        snprintf(error_r, error_bytes, "cannot read %s: %s", path, strerror(errno));
        return -1;
    }
    *length_r = (size_t)length;
    return 0;
}
