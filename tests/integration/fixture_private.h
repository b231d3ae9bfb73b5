/* fixture_private.h - what the files of the fixture share. */
#ifndef REMUDA_TESTS_FIXTURE_PRIVATE_H
#define REMUDA_TESTS_FIXTURE_PRIVATE_H
#include <sys/types.h>

/* Start a program that dies with us; its output is appended to the file. The environment is ours and
 * these "NAME=value". */
pid_t fixture_spawn(const char *const *argv, const char *const *environment, const char *output);
void fixture_print_tail(const char *path, unsigned lines);
void oracles_cleanup(void);

#endif
