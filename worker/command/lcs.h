/* lcs.h - longest common subsequence of two texts.
 *
 * Time is the product of the lengths, memory an eighth of that in bytes. Where several are longest,
 * the one found by walking back from both ends is taken, going back in `b` unless going back in `a`
 * keeps strictly more: the choice a real server makes. */
#ifndef REMUDA_COMMAND_LCS_H
#define REMUDA_COMMAND_LCS_H
#include "shared/base/bytes.h"

struct lcs;

/* NULL if there is no memory. The texts are borrowed for the life of the result. */
struct lcs *lcs_create(struct bytes a, struct bytes b);
uint64_t lcs_length(const struct lcs *lcs);
/* Write the subsequence itself: lcs_length() bytes. */
void lcs_text(const struct lcs *lcs, char *out);
/* The runs that are the same in both, the last first: calls found with the first and last index in
 * each text. */
struct lcs_run {
    uint64_t a_first, a_last, b_first, b_last;
};
void lcs_runs(const struct lcs *lcs, void (*found)(void *arg, const struct lcs_run *run),
              void *arg);
void lcs_free(struct lcs **lcs);

#endif
