/* discard.h - deleting and closing big files without waiting for the file system to free their blocks,
 * which takes longer the bigger they are. */
#ifndef REMUDA_PERSIST_DISCARD_H
#define REMUDA_PERSIST_DISCARD_H

enum { DISCARD_BIG_BYTES = 8 * 1024 * 1024 };

/* As unlink(2): 0, or -1 with errno. The name is gone when it returns, a big file's blocks are not. */
int discard_file(const char *path);
/* As close(2) of a file that may have no name any more. Nothing if fd < 0. */
void discard_fd(int fd);

#endif
