/* stream_words.h - what a replication stream says, as text to compare. */
#ifndef REMUDA_TESTS_STREAM_WORDS_H
#define REMUDA_TESTS_STREAM_WORDS_H
#include "shared/base/buf.h"
#include "worker/replication/backlog.h"

/* All commands that are kept but SELECT, words by spaces, commands by '|'; NUL-terminated, in a buffer of the
 * caller's that is cleared first. */
const char *stream_words(struct backlog *stream, struct buf *text);

#endif
