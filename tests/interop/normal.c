/* normal.c - see the header. */
#include "tests/interop/normal.h"
#include "tests/integration/pool_fixture.h"

static bool is_aggregate(const struct octets *reply) {
    return reply->len > 0 && strchr("*~%>", reply->data[0]) && reply->data[1] != '-';
}

long normal_count(const struct octets *reply) {
    return is_aggregate(reply) ? strtol(reply->data + 1, NULL, 10) : -1;
}

static size_t head_length(const struct octets *reply) {
    return (size_t)((const char *)memchr(reply->data, '\n', reply->len) - reply->data) + 1;
}

static struct octets copy(const char *data, size_t len) {
    struct octets out = {malloc(len + 1), len};
    assert_non_null(out.data);
    memcpy(out.data, data, len);
    out.data[len] = 0;
    return out;
}

static int compare(const void *a, const void *b) {
    const struct octets *x = a, *y = b;
    int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

typedef struct octets change(const struct octets *reply);

struct octets normal_copy(const struct octets *reply) {
    return copy(reply->data, reply->len);
}

/* Elements in groups, each element changed, the groups in order if `sorts`; the head as it is. */
static struct octets rebuild(const struct octets *reply, unsigned stride, bool sorts,
                             change *element) {
    size_t at = head_length(reply), groups = 0;
    struct octets out = copy(reply->data, at), *group = calloc(reply->len, sizeof(*group));
    assert_non_null(group);
    while (at < reply->len) {
        struct octets joined = {calloc(1, 1), 0};
        for (unsigned i = 0; i < stride && at < reply->len; i++) {
            size_t length = resp_length(reply->data + at, reply->len - at);
            assert_true(length > 0);
            struct octets changed = element(&(struct octets){reply->data + at, length});
            joined.data = realloc(joined.data, joined.len + changed.len + 1);
            memcpy(joined.data + joined.len, changed.data, changed.len);
            joined.len += changed.len;
            free(changed.data);
            at += length;
        }
        group[groups++] = joined;
    }
    if (sorts)
        qsort(group, groups, sizeof(*group), compare);
    for (size_t i = 0; i < groups; i++) {
        out.data = realloc(out.data, out.len + group[i].len + 1);
        memcpy(out.data + out.len, group[i].data, group[i].len);
        out.len += group[i].len;
        free(group[i].data);
    }
    out.data[out.len] = 0;
    free(group);
    return out;
}

struct octets normal_sorted(const struct octets *reply, unsigned stride) {
    return is_aggregate(reply) ? rebuild(reply, stride, true, normal_copy) : normal_copy(reply);
}

struct octets normal_deep(const struct octets *reply) {
    if (!is_aggregate(reply))
        return normal_copy(reply);
    return rebuild(reply, reply->data[0] == '%' ? 2 : 1, true, normal_deep);
}

struct octets normal_shape(const struct octets *reply) {
    if (is_aggregate(reply))
        return rebuild(reply, 1, false, normal_shape);
    if (reply->len > 1 && strchr("$*", reply->data[0]) && reply->data[1] == '-')
        return normal_copy(reply);
    return copy(reply->data, reply->len > 0 ? 1 : 0);
}

struct octets normal_element(const struct octets *reply, unsigned index) {
    assert_true(normal_count(reply) * (reply->data[0] == '%' ? 2 : 1) > (long)index);
    size_t at = head_length(reply);
    while (index-- > 0)
        at += resp_length(reply->data + at, reply->len - at);
    return copy(reply->data + at, resp_length(reply->data + at, reply->len - at));
}

/* ---- COMMAND INFO ---- */

void octets_append(struct octets *out, const struct octets *more) {
    out->data = realloc(out->data, out->len + more->len + 1);
    assert_non_null(out->data);
    memcpy(out->data + out->len, more->data, more->len);
    out->len += more->len;
    out->data[out->len] = 0;
}

/* A key specification without its notes, its fields in order. */
static struct octets key_spec(const struct octets *reply) {
    static const char notes[] = "$5\r\nnotes\r\n";
    struct octets kept = {calloc(1, 1), 0}, head = {0};
    unsigned step = reply->data[0] == '%' ? 1 : 2, fields = 0;
    for (long i = 0; i < normal_count(reply) * (step == 1 ? 2 : 1); i += 2) {
        struct octets name = normal_element(reply, (unsigned)i);
        struct octets value = normal_element(reply, (unsigned)i + 1);
        if (strcmp(name.data, notes) != 0) {
            struct octets ordered = normal_deep(&value);
            octets_append(&kept, &name);
            octets_append(&kept, &ordered);
            free(ordered.data);
            fields++;
        }
        free(name.data);
        free(value.data);
    }
    head.data = malloc(32 + kept.len);
    head.len = (size_t)sprintf(head.data, "%c%u\r\n", reply->data[0], fields * step);
    octets_append(&head, &kept);
    free(kept.data);
    return head;
}

static struct octets command_row(const struct octets *reply) {
    enum { TIPS = 7, KEY_SPECS = 8, SUBCOMMANDS = 9 };
    if (normal_count(reply) != SUBCOMMANDS + 1)
        return normal_copy(reply);
    struct octets out = {strdup("*8\r\n"), 4};
    for (unsigned i = 0; i < SUBCOMMANDS; i++) {
        struct octets element = normal_element(reply, i), changed;
        if (i != TIPS) {
            changed =
                i == KEY_SPECS ? rebuild(&element, 1, false, key_spec) : normal_deep(&element);
            octets_append(&out, &changed);
            free(changed.data);
        }
        free(element.data);
    }
    return out;
}

struct octets normal_doubles(const struct octets *reply) {
    struct octets out = {calloc(1, 1), 0};
    for (const char *at = reply->data, *end; at < reply->data + reply->len; at = end) {
        const char *line = memchr(at, '\n', (size_t)(reply->data + reply->len - at));
        end = line ? line + 1 : reply->data + reply->len;
        char text[64], *rest, number[80];
        size_t len = (size_t)(end - at), sign = *at == ',';
        struct octets part = {(char *)(uintptr_t)at, len};
        if (len > sign && len < sizeof(text) && memchr(at, '.', len)) {
            memcpy(text, at + sign, len - sign);
            text[len - sign] = '\0';
            double value = strtod(text, &rest);
            if (rest != text && strcmp(rest, "\r\n") == 0)
                part = (struct octets){number,
                                       (size_t)snprintf(number, sizeof(number), "%.17g\n", value)};
        } else if (*at == '$') {
            continue; /* the length of what follows */
        }
        octets_append(&out, &part);
    }
    return out;
}

struct octets normal_commands(const struct octets *reply) {
    return is_aggregate(reply) ? rebuild(reply, 1, false, command_row) : normal_copy(reply);
}

/* ---- streams ---- */

static bool is_bulk(const struct octets *reply, const char *text) {
    size_t head = head_length(reply);
    return reply->data[0] == '$' && reply->len == head + strlen(text) + 2 &&
           memcmp(reply->data + head, text, strlen(text)) == 0;
}

/* A pending entry: id, consumer, time, deliveries, or the same without a consumer. */
static bool is_time_of_pending(const struct octets *array, long index) {
    long count = normal_count(array);
    if (array->data[0] != '*' || (count != 4 && count != 3) || index != count - 2)
        return false;
    struct octets first = normal_element(array, 0),
                  last = normal_element(array, (unsigned)count - 1);
    struct octets before = normal_element(array, (unsigned)index - 1);
    bool is = first.data[0] == '$' && before.data[0] == '$' && last.data[0] == ':';
    free(first.data);
    free(last.data);
    free(before.data);
    return is;
}

struct octets normal_stream(const struct octets *reply) {
    static const char *const hidden[] = {"radix-tree-nodes", "seen-time", "idle"},
                             *const added[] = {"active-time", "inactive"};
    if (!is_aggregate(reply))
        return normal_copy(reply);
    struct octets kept = {calloc(1, 1), 0}, head = {0};
    long step = reply->data[0] == '%' ? 2 : 1, count = normal_count(reply) * step;
    bool hides = false, drops = false;
    long shown = 0;
    for (long i = 0; i < count; i++) {
        struct octets element = normal_element(reply, (unsigned)i);
        bool hide = hides || (element.data[0] == ':' && is_time_of_pending(reply, i));
        struct octets changed = hide ? copy(":0\r\n", strlen(":0\r\n")) : normal_stream(&element);
        bool drop = drops;
        hides = drops = false;
        for (unsigned k = 0; k < 2; k++)
            drops |= !drop && is_bulk(&element, added[k]);
        for (unsigned k = 0; k < 3; k++)
            hides |= !hide && is_bulk(&element, hidden[k]);
        if (!drop && !drops) {
            octets_append(&kept, &changed);
            shown++;
        }
        free(element.data);
        free(changed.data);
    }
    head.data = malloc(32 + kept.len);
    head.len = (size_t)sprintf(head.data, "%c%ld\r\n", reply->data[0], shown / step);
    octets_append(&head, &kept);
    free(kept.data);
    return head;
}
