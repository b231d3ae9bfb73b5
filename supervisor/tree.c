/* tree.c - see the header. */
#include "supervisor/tree.h"
#include <ftw.h>
#include <stdio.h>

enum { OPEN_FOLDERS_MAX = 16 };

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    return remove(path);
}

int tree_remove(const char *path) {
    return nftw(path, remove_one, OPEN_FOLDERS_MAX, FTW_DEPTH | FTW_PHYS);
}
