/* normal.h - replies made comparable where Redis leaves something open: the order of elements, ids,
 * times. Each takes one whole RESP value and gives a new one, freed by the caller. */
#ifndef REMUDA_TESTS_NORMAL_H
#define REMUDA_TESTS_NORMAL_H
#include "tests/integration/client.h"

void octets_append(struct octets *out, const struct octets *more);
struct octets normal_copy(const struct octets *reply);
/* The elements of the outermost array in byte order, so many at a time (2: pairs stay together). */
struct octets normal_sorted(const struct octets *reply, unsigned stride);
/* Every array, set and map within in byte order; maps by pairs. */
struct octets normal_deep(const struct octets *reply);
/* Every line of the reply that is a number with a fraction, in 17 digits: one and the same number is one
 * text, however few digits it was sent in. */
struct octets normal_doubles(const struct octets *reply);
/* COMMAND INFO without tips, notes and subcommands; flags and categories in byte order. */
struct octets normal_commands(const struct octets *reply);
/* Types and numbers of elements only: what a text or number says is left out. */
struct octets normal_shape(const struct octets *reply);
/* XINFO and XPENDING without times, the number of tree nodes, and the fields that 7.2 has added. */
struct octets normal_stream(const struct octets *reply);
/* The element of an array. Fails the running test if there is none. */
struct octets normal_element(const struct octets *reply, unsigned index);
/* Number of elements of an aggregate, -1 for anything else. */
long normal_count(const struct octets *reply);

#endif
