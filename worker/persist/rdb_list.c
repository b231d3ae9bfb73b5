/* rdb_list.c - lists in RDB form: written element by element; read so too, and from the nodes of packed
 * runs that real servers write. Fails with a text in the reader; a list half read is freed. */
#include "worker/persist/rdb_private.h"

#include "worker/types/list.h"

void rdb_put_list(struct rdb_out *out, const struct value *value) {
    struct list_iterator it;
    struct bytes text;
    rdb_put_length(out, list_count(value));
    list_iterate(value, 0, false, &it);
    while (list_next(&it, &text)) {
        rdb_put_string(out, text);
        rdb_out_breathe(out);
    }
}

static int add(struct rdb_in *in, const struct config *config, struct value *list,
               struct bytes text) {
    if (text.len > LIST_ELEMENT_MAX)
        return rdb_fail(in, "a list element of %zu bytes is too long", text.len);
    list_expect(list, 1, text.len, config->list_max_listpack_size);
    list_push(list, LIST_BACK, text, config->list_max_listpack_size);
    return 0;
}

static int add_plain(struct rdb_in *in, const struct config *config, struct value *list) {
    struct bytes text;
    return rdb_get_string(in, 0, &text) == 0 ? add(in, config, list, text) : -1;
}

/* The run may lie in the window: nothing is read from the file while it is walked. */
static int add_run(struct rdb_in *in, const struct config *config, struct value *list,
                   enum compact_form form) {
    char digits[BYTES_I64_MAX];
    struct bytes run, text;
    struct compact c;
    enum compact_result result;
    int error = 0;
    if (rdb_get_string(in, 0, &run) != 0)
        return -1;
    if (!compact_open(&c, form, run))
        return rdb_fail(in, "a packed list has a wrong frame");
    while (error == 0 && (result = compact_next(&c, digits, &text)) != COMPACT_END)
        error = result == COMPACT_ELEMENT ? add(in, config, list, text)
                                          : rdb_fail(in, "a packed list is damaged");
    return error;
}

static int add_ziplist(struct rdb_in *in, const struct config *config, struct value *list) {
    return add_run(in, config, list, COMPACT_ZIPLIST);
}

static int add_node(struct rdb_in *in, const struct config *config, struct value *list) {
    enum { PLAIN = 1, PACKED = 2 };
    uint64_t container;
    if (rdb_get_length(in, &container) != 0)
        return -1;
    if (container == PLAIN)
        return add_plain(in, config, list);
    if (container == PACKED)
        return add_run(in, config, list, COMPACT_LISTPACK);
    return rdb_fail(in, "a list node of unknown kind %llu", (unsigned long long)container);
}

static enum rdb_value_result
get_parts(struct rdb_in *in, const struct config *config, uint64_t parts, struct value *value_r,
          int (*add_part)(struct rdb_in *in, const struct config *config, struct value *list)) {
    if (parts > rdb_left(in))
        return rdb_fail(in, "a list of %llu parts does not fit what is left",
                        (unsigned long long)parts);
    struct value list = list_create();
    int error = 0;
    for (uint64_t i = 0; i < parts && error == 0; i++)
        error = add_part(in, config, &list);
    if (error == 0 && list_count(&list) > 0) {
        *value_r = list;
        return RDB_VALUE_OK;
    }
    list_free(&list);
    return error == 0 ? RDB_VALUE_EMPTY : RDB_VALUE_BAD;
}

enum rdb_value_result rdb_get_list(struct rdb_in *in, const struct config *config,
                                   struct value *value_r) {
    uint64_t count;
    return rdb_get_length(in, &count) == 0 ? get_parts(in, config, count, value_r, add_plain)
                                           : RDB_VALUE_BAD;
}

enum rdb_value_result rdb_get_list_ziplist(struct rdb_in *in, const struct config *config,
                                           struct value *value_r) {
    return get_parts(in, config, 1, value_r, add_ziplist);
}

enum rdb_value_result rdb_get_list_ziplists(struct rdb_in *in, const struct config *config,
                                            struct value *value_r) {
    uint64_t nodes;
    return rdb_get_length(in, &nodes) == 0 ? get_parts(in, config, nodes, value_r, add_ziplist)
                                           : RDB_VALUE_BAD;
}

enum rdb_value_result rdb_get_list_nodes(struct rdb_in *in, const struct config *config,
                                         struct value *value_r) {
    uint64_t nodes;
    return rdb_get_length(in, &nodes) == 0 ? get_parts(in, config, nodes, value_r, add_node)
                                           : RDB_VALUE_BAD;
}
