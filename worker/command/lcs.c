/* lcs.c - the classic table, of which only two rows of lengths are kept. What the walk back needs of
 * each cell is one bit: is it better to go back in `a`?
 *
 *   length(i, j) = length of the longest common subsequence of a[0..i) and b[0..j) */
#include "worker/command/lcs.h"

#include "shared/base/mem.h"

struct lcs {
    struct bytes a, b;
    uint64_t length;
    uint64_t back_in_a[]; /* bit i * b.len + j: length(i, j + 1) > length(i + 1, j) */
};

static void set_bit(struct lcs *lcs, uint64_t bit) {
    lcs->back_in_a[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static bool test_bit(const struct lcs *lcs, uint64_t bit) {
    return lcs->back_in_a[bit / 64] >> (bit % 64) & 1;
}

/* row holds length(i, 0..b.len) before and length(i + 1, 0..b.len) after. */
static void fill_row(struct lcs *lcs, uint64_t i, uint32_t *row) {
    uint32_t diagonal = 0; /* length(i, j) */
    for (uint64_t j = 0; j < lcs->b.len; j++) {
        uint32_t above = row[j + 1], left = row[j];
        if (lcs->a.ptr[i] == lcs->b.ptr[j]) {
            row[j + 1] = diagonal + 1;
        } else if (above > left) {
            set_bit(lcs, i * lcs->b.len + j);
        } else {
            row[j + 1] = left;
        }
        diagonal = above;
    }
}

struct lcs *lcs_create(struct bytes a, struct bytes b) {
    uint64_t cells, words;
    if (a.len >= UINT32_MAX || b.len >= UINT32_MAX)
        return NULL;
    cells = (uint64_t)a.len * b.len;
    words = cells / 64 + 1;
    struct lcs *lcs = mem_try_alloc(sizeof(*lcs) + words * sizeof(uint64_t));
    uint32_t *row = mem_try_alloc((b.len + 1) * sizeof(uint32_t));
    if (lcs == NULL || row == NULL) {
        mem_free(lcs);
        mem_free(row);
        return NULL;
    }
    *lcs = (struct lcs){.a = a, .b = b};
    memset(lcs->back_in_a, 0, words * sizeof(uint64_t));
    memset(row, 0, (b.len + 1) * sizeof(uint32_t));
    for (uint64_t i = 0; i < a.len; i++)
        fill_row(lcs, i, row);
    lcs->length = row[b.len];
    mem_free(row);
    return lcs;
}

uint64_t lcs_length(const struct lcs *lcs) {
    return lcs->length;
}

/* The next pair of equal characters at or before (*i, *j), which count from 1; false at the end. */
static bool step_back(const struct lcs *lcs, uint64_t *i, uint64_t *j) {
    while (*i > 0 && *j > 0 && lcs->a.ptr[*i - 1] != lcs->b.ptr[*j - 1]) {
        if (test_bit(lcs, (*i - 1) * lcs->b.len + *j - 1))
            --*i;
        else
            --*j;
    }
    return *i > 0 && *j > 0;
}

void lcs_text(const struct lcs *lcs, char *out) {
    uint64_t at = lcs->length;
    for (uint64_t i = lcs->a.len, j = lcs->b.len; step_back(lcs, &i, &j); i--, j--)
        out[--at] = lcs->a.ptr[i - 1];
}

void lcs_runs(const struct lcs *lcs, void (*found)(void *arg, const struct lcs_run *run),
              void *arg) {
    uint64_t i = lcs->a.len, j = lcs->b.len;
    while (step_back(lcs, &i, &j)) {
        struct lcs_run run = {.a_last = i - 1, .b_last = j - 1};
        while (i > 0 && j > 0 && lcs->a.ptr[i - 1] == lcs->b.ptr[j - 1]) {
            i--;
            j--;
        }
        run.a_first = i;
        run.b_first = j;
        found(arg, &run);
    }
}

void lcs_free(struct lcs **lcs) {
    mem_free(*lcs);
    *lcs = NULL;
}
