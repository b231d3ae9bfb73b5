/* rdb_zset.c - sorted sets in RDB form: written with binary scores, from the highest down, so that
 * a real server inserts each at its head; read in every form.
 *
 *   ZSET_2    count { member score:8 LE }
 *   ZSET      count { member length:1 digits }      length 253 NaN, 254 inf, 255 -inf
 *   ziplist, listpack                               member, score, member, score ... as texts
 *
 * Fails with a text on scores that are no number and on members that come twice. */
#include "worker/persist/rdb_private.h"
#include "worker/types/zset.h"

#include <math.h>

enum { LENGTH_NAN = 253, LENGTH_INFINITE = 254, LENGTH_MINUS_INFINITE = 255, SCORE_BYTES = 8 };

void rdb_put_zset(struct rdb_out *out, const struct value *value) {
    struct zset_iterator it;
    struct bytes member;
    double score;
    uint64_t count = zset_count(value), bits;
    rdb_put_length(out, count);
    zset_iterate(value, count - 1, true, &it);
    while (zset_next(&it, &member, &score)) {
        memcpy(&bits, &score, sizeof(bits));
        rdb_put_string(out, member);
        rdb_put_u64le(out, bits);
        rdb_out_breathe(out);
    }
}

static struct zset_limits limits_of(const struct config *config) {
    return (struct zset_limits){.packed_entries = (uint64_t)config->zset_max_listpack_entries,
                                .packed_bytes = (uint64_t)config->zset_max_listpack_value};
}

static int add(struct rdb_in *in, struct value *zset, struct bytes member, double score,
               const struct zset_limits *limits) {
    if (isnan(score))
        return rdb_fail(in, "a score of a zset is not a number");
    if (zset_add(zset, member, &score, 0, limits) != ZSET_ADDED)
        return rdb_fail(in, "a zset holds a member twice");
    return 0;
}

static enum rdb_value_result finish(int error, struct value *zset, struct value *value_r) {
    if (error == 0 && zset_count(zset) > 0) {
        *value_r = *zset;
        return RDB_VALUE_OK;
    }
    zset_free(zset);
    return error == 0 ? RDB_VALUE_EMPTY : RDB_VALUE_BAD;
}

/* ---- scores ---- */

static int get_binary_score(struct rdb_in *in, double *score_r) {
    uint64_t bits;
    if (rdb_get_u64le(in, &bits) != 0)
        return -1;
    memcpy(score_r, &bits, sizeof(bits));
    return 0;
}

static int get_text_score(struct rdb_in *in, double *score_r) {
    uint8_t length;
    if (rdb_get_byte(in, &length) != 0)
        return -1;
    switch (length) {
    case LENGTH_NAN: *score_r = NAN; return 0;
    case LENGTH_INFINITE: *score_r = INFINITY; return 0;
    case LENGTH_MINUS_INFINITE: *score_r = -INFINITY; return 0;
    }
    const char *text = rdb_get(in, length);
    if (text == NULL)
        return -1;
    return bytes_to_double(bytes_of(text, length), score_r)
               ? 0
               : rdb_fail(in, "a score of a zset is not a number");
}

/* ---- member by member ---- */

static enum rdb_value_result get_pairs(struct rdb_in *in, const struct config *config,
                                       struct value *value_r,
                                       int (*get_score)(struct rdb_in *in, double *score_r),
                                       uint32_t pair_bytes_min) {
    uint64_t pairs;
    if (rdb_get_length(in, &pairs) != 0)
        return RDB_VALUE_BAD;
    if (pairs > rdb_left(in) / pair_bytes_min)
        return rdb_fail(in, "a zset of %llu members does not fit what is left",
                        (unsigned long long)pairs);
    struct zset_limits limits = limits_of(config);
    struct value zset = zset_create();
    struct bytes member;
    double score;
    int error = 0;
    zset_expect(&zset, pairs, &limits);
    for (uint64_t i = 0; i < pairs && error == 0; i++) {
        error = rdb_get_kept_string(in, &member);
        if (error == 0)
            error = get_score(in, &score);
        if (error == 0)
            error = add(in, &zset, member, score, &limits);
    }
    return finish(error, &zset, value_r);
}

enum rdb_value_result rdb_get_zset(struct rdb_in *in, const struct config *config,
                                   struct value *value_r) {
    return get_pairs(in, config, value_r, get_binary_score, 1 + SCORE_BYTES);
}

enum rdb_value_result rdb_get_zset_text(struct rdb_in *in, const struct config *config,
                                        struct value *value_r) {
    return get_pairs(in, config, value_r, get_text_score, 2);
}

/* ---- packed runs ---- */

/* The run itself may lie in the window: nothing is read from the file while it is walked. */
static int get_run_pairs(struct rdb_in *in, struct compact *c, struct value *zset,
                         const struct zset_limits *limits) {
    struct bytes member, score_text;
    double score;
    enum compact_result result;
    while ((result = compact_next(c, in->digits[0], &member)) == COMPACT_ELEMENT) {
        if (compact_next(c, in->digits[1], &score_text) != COMPACT_ELEMENT)
            return rdb_fail(in, "a packed zset is damaged");
        if (!bytes_to_double(score_text, &score))
            return rdb_fail(in, "a score of a zset is not a number");
        if (add(in, zset, member, score, limits) != 0)
            return -1;
    }
    return result == COMPACT_END ? 0 : rdb_fail(in, "a packed zset is damaged");
}

static enum rdb_value_result get_run(struct rdb_in *in, const struct config *config,
                                     struct value *value_r, enum compact_form form) {
    struct bytes run;
    struct compact c;
    if (rdb_get_string(in, 0, &run) != 0)
        return RDB_VALUE_BAD;
    if (!compact_open(&c, form, run))
        return rdb_fail(in, "a packed zset has a wrong frame");
    struct zset_limits limits = limits_of(config);
    struct value zset = zset_create();
    return finish(get_run_pairs(in, &c, &zset, &limits), &zset, value_r);
}

enum rdb_value_result rdb_get_zset_ziplist(struct rdb_in *in, const struct config *config,
                                           struct value *value_r) {
    return get_run(in, config, value_r, COMPACT_ZIPLIST);
}

enum rdb_value_result rdb_get_zset_listpack(struct rdb_in *in, const struct config *config,
                                            struct value *value_r) {
    return get_run(in, config, value_r, COMPACT_LISTPACK);
}
