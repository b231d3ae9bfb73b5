/* tree.h - a folder and all that is in it. */
#ifndef REMUDA_SUPERVISOR_TREE_H
#define REMUDA_SUPERVISOR_TREE_H

/* Delete it; symbolic links are not followed. 0, or -1 with errno (ENOENT: there is none). */
int tree_remove(const char *path);

#endif
