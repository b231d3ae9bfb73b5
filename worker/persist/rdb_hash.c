/* rdb_hash.c - hashes in RDB form. Written as plain pairs, or, if fields expire, as HASH_METADATA; read
 * in every form.
 *
 *   HASH                  count { field value }
 *   zipmap, ziplist, listpack   field, value, field, value ... packed
 *   HASH_METADATA         first:8 LE count { when field value }     when: 0 never, else ms - first + 1
 *   HASH_LISTPACK_EX      first:8 LE listpack of field, value, ms   ms: 0 never
 *   the same of 7.4 release candidates: without `first`; when is the time itself
 *
 * Fails with a text on fields that come twice and on times that can be none. */
#include "worker/persist/rdb_private.h"
#include "worker/types/hash.h"

/* ---- writing ---- */

bool rdb_needs_field_expiry(const struct value *value) {
    return value->type == VALUE_HASH && hash_timed_count(value) > 0;
}

void rdb_put_hash(struct rdb_out *out, const struct value *value) {
    struct hash_iterator it;
    struct bytes field, content;
    int64_t first_ms = 0;
    bool timed = hash_first_to_go(value, &field, &first_ms);
    if (timed)
        rdb_put_u64le(out, (uint64_t)first_ms);
    rdb_put_length(out, hash_count(value));
    hash_iterate(value, &it);
    while (hash_next(&it, &field, &content)) {
        if (timed) {
            int64_t at_ms = hash_field_expiry(value, field);
            rdb_put_length(out, at_ms == HASH_NO_EXPIRY ? 0 : (uint64_t)(at_ms - first_ms) + 1);
        }
        rdb_put_string(out, field);
        rdb_put_string(out, content);
        rdb_out_breathe(out);
    }
}

/* ---- reading ---- */

static struct hash_limits limits_of(const struct config *config) {
    return (struct hash_limits){.packed_entries = (uint64_t)config->hash_max_listpack_entries,
                                .packed_bytes = (uint64_t)config->hash_max_listpack_value};
}

/* at_ms 0: the field does not expire. */
static int add(struct rdb_in *in, struct value *hash, struct bytes field, struct bytes content,
               uint64_t at_ms, const struct hash_limits *limits) {
    if (at_ms > HASH_EXPIRY_MAX)
        return rdb_fail(in, "a field of a hash expires at a time that is none");
    if (!hash_set(hash, field, content, limits))
        return rdb_fail(in, "a hash holds a field twice");
    if (at_ms > 0)
        hash_set_field_expiry(hash, field, (int64_t)at_ms, limits);
    return 0;
}

static enum rdb_value_result finish(int error, struct value *hash, struct value *value_r) {
    if (error == 0 && hash_count(hash) > 0) {
        *value_r = *hash;
        return RDB_VALUE_OK;
    }
    hash_free(hash);
    return error == 0 ? RDB_VALUE_EMPTY : RDB_VALUE_BAD;
}

/* Which parts a form has besides fields and values. */
enum { HAS_FIRST = 1, HAS_TIMES = 2 };

static int get_first(struct rdb_in *in, uint32_t parts, uint64_t *first_ms_r) {
    *first_ms_r = 1; /* what makes `when` the time itself */
    if (!(parts & HAS_FIRST))
        return 0;
    if (rdb_get_u64le(in, first_ms_r) != 0)
        return -1;
    return *first_ms_r <= HASH_EXPIRY_MAX
               ? 0
               : rdb_fail(in, "a hash has fields that expire at a time that is none");
}

static int get_field(struct rdb_in *in, struct value *hash, uint32_t parts, uint64_t first_ms,
                     const struct hash_limits *limits) {
    struct bytes field, content;
    uint64_t when = 0;
    if ((parts & HAS_TIMES) && rdb_get_length(in, &when) != 0)
        return -1;
    if (rdb_get_kept_string(in, &field) != 0 || rdb_get_string(in, 1, &content) != 0)
        return -1;
    if (when > HASH_EXPIRY_MAX)
        return rdb_fail(in, "a field of a hash expires at a time that is none");
    return add(in, hash, field, content, when > 0 ? when + first_ms - 1 : 0, limits);
}

static enum rdb_value_result get_fields(struct rdb_in *in, const struct config *config,
                                        struct value *value_r, uint32_t parts) {
    uint64_t fields, first_ms;
    if (get_first(in, parts, &first_ms) != 0 || rdb_get_length(in, &fields) != 0)
        return RDB_VALUE_BAD;
    if (fields > rdb_left(in) / 2)
        return rdb_fail(in, "a hash of %llu fields does not fit what is left",
                        (unsigned long long)fields);
    struct hash_limits limits = limits_of(config);
    struct value hash = hash_create();
    int error = 0;
    for (uint64_t i = 0; i < fields && error == 0; i++)
        error = get_field(in, &hash, parts, first_ms, &limits);
    return finish(error, &hash, value_r);
}

enum rdb_value_result rdb_get_hash(struct rdb_in *in, const struct config *config,
                                   struct value *value_r) {
    return get_fields(in, config, value_r, 0);
}

enum rdb_value_result rdb_get_hash_timed(struct rdb_in *in, const struct config *config,
                                         struct value *value_r) {
    return get_fields(in, config, value_r, HAS_FIRST | HAS_TIMES);
}

enum rdb_value_result rdb_get_hash_timed_rc(struct rdb_in *in, const struct config *config,
                                            struct value *value_r) {
    return get_fields(in, config, value_r, HAS_TIMES);
}

/* ---- packed runs ---- */

/* The run itself may lie in the window: nothing is read from the file while it is walked. */
static int get_run_fields(struct rdb_in *in, struct compact *c, struct value *hash, uint32_t parts,
                          const struct hash_limits *limits) {
    struct bytes field, content, time;
    char time_digits[BYTES_I64_MAX];
    enum compact_result result;
    while ((result = compact_next(c, in->digits[0], &field)) == COMPACT_ELEMENT) {
        uint64_t at_ms = 0;
        if (compact_next(c, in->digits[1], &content) != COMPACT_ELEMENT)
            return rdb_fail(in, "a packed hash is damaged");
        if ((parts & HAS_TIMES) &&
            (compact_next(c, time_digits, &time) != COMPACT_ELEMENT || !bytes_to_u64(time, &at_ms)))
            return rdb_fail(in, "a packed hash is damaged");
        if (add(in, hash, field, content, at_ms, limits) != 0)
            return -1;
    }
    return result == COMPACT_END ? 0 : rdb_fail(in, "a packed hash is damaged");
}

static enum rdb_value_result get_run(struct rdb_in *in, const struct config *config,
                                     struct value *value_r, enum compact_form form,
                                     uint32_t parts) {
    struct bytes run;
    struct compact c;
    uint64_t first_ms;
    if (get_first(in, parts, &first_ms) != 0 || rdb_get_string(in, 0, &run) != 0)
        return RDB_VALUE_BAD;
    if (!compact_open(&c, form, run))
        return rdb_fail(in, "a packed hash has a wrong frame");
    struct hash_limits limits = limits_of(config);
    struct value hash = hash_create();
    return finish(get_run_fields(in, &c, &hash, parts, &limits), &hash, value_r);
}

enum rdb_value_result rdb_get_hash_zipmap(struct rdb_in *in, const struct config *config,
                                          struct value *value_r) {
    return get_run(in, config, value_r, COMPACT_ZIPMAP, 0);
}

enum rdb_value_result rdb_get_hash_ziplist(struct rdb_in *in, const struct config *config,
                                           struct value *value_r) {
    return get_run(in, config, value_r, COMPACT_ZIPLIST, 0);
}

enum rdb_value_result rdb_get_hash_listpack(struct rdb_in *in, const struct config *config,
                                            struct value *value_r) {
    return get_run(in, config, value_r, COMPACT_LISTPACK, 0);
}

enum rdb_value_result rdb_get_hash_triples(struct rdb_in *in, const struct config *config,
                                           struct value *value_r) {
    return get_run(in, config, value_r, COMPACT_LISTPACK, HAS_FIRST | HAS_TIMES);
}

enum rdb_value_result rdb_get_hash_triples_rc(struct rdb_in *in, const struct config *config,
                                              struct value *value_r) {
    return get_run(in, config, value_r, COMPACT_LISTPACK, HAS_TIMES);
}
