/* config_from_fd.c - the configuration a process inherits: `name value` lines in a sealed memfd. */
#include "config/config.h"

#include "config/config_private.h"
#include "shared/base/mem.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX = 16 * 1024 * 1024 };

int config_from_fd(struct config *config, int fd, char *error_r) {
    struct stat st;
    char reason[CONFIG_ERROR_BYTES];
    if (fstat(fd, &st) != 0)
        return config_error(error_r, "inherited configuration: %s", strerror(errno));
    if (st.st_size <= 0 || st.st_size > TEXT_MAX)
        return config_error(error_r, "inherited configuration: it has %lld bytes",
                            (long long)st.st_size);
    size_t size = (size_t)st.st_size;
    char *text = mem_alloc(size);
    ssize_t n = pread(fd, text, size, 0);
    int result = n != st.st_size ? config_error(error_r, "inherited configuration: short read")
                                 : config_from_text(config, bytes_of(text, size), reason);
    if (n == st.st_size && result != 0)
        config_error(error_r, "inherited configuration: %.900s", reason);
    mem_free(text);
    return result;
}
