/* title.h - what ps shows for the supervisor. */
#ifndef REMUDA_SUPERVISOR_TITLE_H
#define REMUDA_SUPERVISOR_TITLE_H

/* Write text over the memory of the arguments and the environment, which is copied away first. The
 * strings of argv are gone afterwards: whoever needs them keeps copies. Cut to the room there is. */
void title_set(int argc, char **argv, const char *text);

#endif
