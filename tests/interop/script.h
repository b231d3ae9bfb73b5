/* script.h - command scripts: text files with one command a line, quoted as in redis-cli.
 *
 *   # comment                     only where the line begins with it
 *   SET key "a\x00b" 'c d'        a command
 *   ~sort KEYS *                  how its replies are compared: see 10_differential.c
 *   %each VERB GET STRLEN "a b"   the lines up to its %end once for each word, which stands for
 *   <VERB> key                    the name in <>; {several words} count as one, {} as nothing
 *   %end
 *   %rep(100,x)                   as a word of a command: x a hundred times
 *
 * A script that is wrong fails the running test with file and line. */
#ifndef REMUDA_TESTS_SCRIPT_H
#define REMUDA_TESTS_SCRIPT_H
#include "tests/integration/client.h"

struct script_line {
    unsigned number;
    char *text;
};
struct script {
    char *path;
    struct script_line *lines; /* with every %each unrolled; neither empty ones nor comments */
    size_t count;
};
struct script *script_read(const char *path);
void script_free(struct script **script);

/* The words of a line, unquoted. */
struct words {
    unsigned count;
    struct octets *word;
};
struct words words_split(const struct script *script, const struct script_line *line);
void words_free(struct words *words);

#endif
