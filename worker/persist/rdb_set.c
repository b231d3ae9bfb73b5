/* rdb_set.c - sets in RDB form: written member by member; read so too, and from the packed runs that
 * real servers write. Fails with a text in the reader; a set half read is freed. */
#include "worker/persist/rdb_private.h"

#include "worker/types/set.h"

void rdb_put_set(struct rdb_out *out, const struct value *value) {
    struct set_iterator it;
    struct bytes member;
    rdb_put_length(out, set_count(value));
    set_iterate(value, &it);
    while (set_next(&it, &member)) {
        rdb_put_string(out, member);
        rdb_out_breathe(out);
    }
}

static struct set_limits limits_of(const struct config *config) {
    return (struct set_limits){.intset_entries = (uint64_t)config->set_max_intset_entries,
                               .packed_entries = (uint64_t)config->set_max_listpack_entries,
                               .packed_bytes = (uint64_t)config->set_max_listpack_value};
}

static int add(struct rdb_in *in, struct value *set, struct bytes member,
               const struct set_limits *limits) {
    return set_add(set, member, limits) ? 0 : rdb_fail(in, "a set holds a member twice");
}

static enum rdb_value_result finish(int error, struct value *set, struct value *value_r) {
    if (error == 0 && set_count(set) > 0) {
        *value_r = *set;
        return RDB_VALUE_OK;
    }
    set_free(set);
    return error == 0 ? RDB_VALUE_EMPTY : RDB_VALUE_BAD;
}

enum rdb_value_result rdb_get_set(struct rdb_in *in, const struct config *config,
                                  struct value *value_r) {
    uint64_t members;
    if (rdb_get_length(in, &members) != 0)
        return RDB_VALUE_BAD;
    if (members > rdb_left(in))
        return rdb_fail(in, "a set of %llu members does not fit what is left",
                        (unsigned long long)members);
    struct set_limits limits = limits_of(config);
    struct value set = set_create(ENCODING_INTSET);
    set_expect(&set, members, &limits);
    int error = 0;
    for (uint64_t i = 0; i < members && error == 0; i++) {
        struct bytes member;
        error = rdb_get_string(in, 0, &member) == 0 ? add(in, &set, member, &limits) : -1;
    }
    return finish(error, &set, value_r);
}

static int add_numbers(struct rdb_in *in, struct bytes run, struct value *set,
                       const struct set_limits *limits) {
    enum { HEADER_BYTES = 8 }; /* width and count, 4 bytes each, little-endian as the numbers */
    uint32_t width, count;
    int64_t previous = 0;
    if (run.len < HEADER_BYTES)
        return rdb_fail(in, "a set of integers has a wrong frame");
    memcpy(&width, run.ptr, sizeof(width));
    memcpy(&count, run.ptr + sizeof(width), sizeof(count));
    if ((width != 2 && width != 4 && width != 8) ||
        (uint64_t)width * count != run.len - HEADER_BYTES)
        return rdb_fail(in, "a set of integers has a wrong frame");
    for (uint32_t i = 0; i < count; i++) {
        char digits[BYTES_I64_MAX];
        uint64_t raw = 0;
        memcpy(&raw, run.ptr + HEADER_BYTES + (size_t)i * width, width);
        uint32_t unused_bits = 64 - 8 * width;
        int64_t number = (int64_t)(raw << unused_bits) >> unused_bits;
        if (i > 0 && number <= previous)
            return rdb_fail(in, "a set of integers is not in order");
        previous = number;
        if (add(in, set, bytes_of(digits, bytes_from_i64(digits, number)), limits) != 0)
            return -1;
    }
    return 0;
}

/* The run may lie in the window: nothing is read from the file while it is walked. */
enum rdb_value_result rdb_get_set_intset(struct rdb_in *in, const struct config *config,
                                         struct value *value_r) {
    struct bytes run;
    if (rdb_get_string(in, 0, &run) != 0)
        return RDB_VALUE_BAD;
    struct set_limits limits = limits_of(config);
    struct value set = set_create(ENCODING_INTSET);
    return finish(add_numbers(in, run, &set, &limits), &set, value_r);
}

enum rdb_value_result rdb_get_set_listpack(struct rdb_in *in, const struct config *config,
                                           struct value *value_r) {
    char digits[BYTES_I64_MAX];
    struct bytes run, member;
    struct compact c;
    enum compact_result result;
    int error = 0;
    if (rdb_get_string(in, 0, &run) != 0)
        return RDB_VALUE_BAD;
    if (!compact_open(&c, COMPACT_LISTPACK, run))
        return rdb_fail(in, "a packed set has a wrong frame");
    struct set_limits limits = limits_of(config);
    struct value set = set_create(ENCODING_LISTPACK);
    while (error == 0 && (result = compact_next(&c, digits, &member)) != COMPACT_END)
        error = result == COMPACT_ELEMENT ? add(in, &set, member, &limits)
                                          : rdb_fail(in, "a packed set is damaged");
    return finish(error, &set, value_r);
}
