/* dataset.c - see the header. */
#include "tests/interop/dataset.h"

enum { DATABASES = 16, VALUE_MAX = 300, FILL_PIPELINE = 500 };

uint64_t random_next(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t random_seed(void) {
    const char *given = getenv("SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_wall_us();
    print_message("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* ---- describing ---- */

static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_pairs(const void *a, const void *b) {
    const redisReply *x = *(redisReply *const *)a, *y = *(redisReply *const *)b;
    int order = memcmp(x->str, y->str, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void print_text(FILE *out, const redisReply *text) {
    char *shown = octets_show(text->str, text->len, SIZE_MAX);
    fprintf(out, " \"%s\"", shown);
    free(shown);
}

/* Of XINFO what depends on the clock, on the version, or on how the entries came in. */
static bool is_hidden(const redisReply *name) {
    static const char *const hidden[] = {"radix-tree-keys", "radix-tree-nodes", "seen-time",
                                         "active-time"};
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        if (name->type == REDIS_REPLY_STRING && strcmp(name->str, hidden[i]) == 0)
            return true;
    return false;
}

static void print_tree(FILE *out, const redisReply *reply, enum dataset_expiry expiry) {
    const long long times = 1000000000000; /* milliseconds of this century */
    if (reply->type == REDIS_REPLY_INTEGER)
        fprintf(out, " %lld",
                expiry == EXPIRY_PRESENT && reply->integer > times ? 1 : reply->integer);
    else if (reply->type == REDIS_REPLY_STRING)
        print_text(out, reply);
    else
        fprintf(out, " %s", reply->type == REDIS_REPLY_ARRAY ? "[" : "nil");
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        if (is_hidden(reply->element[i]))
            i++;
        else
            print_tree(out, reply->element[i], expiry);
    }
    if (reply->type == REDIS_REPLY_ARRAY)
        fprintf(out, " ]");
}

/* How the elements of a type are asked for; those without an order of their own are put in one, so many
 * replies at a time. */
static const struct {
    const char *type, *format;
    size_t sorted_by;
    bool scores; /* the second of each two: servers print them in different ways */
} collections[] = {
    {"hash", "HGETALL %b", 2, false},
    {"list", "LRANGE %b 0 -1", 0, false},
    {"set", "SMEMBERS %b", 1, false},
    {"zset", "ZRANGE %b 0 -1 WITHSCORES", 0, true},
};

static void print_collection(FILE *out, redisContext *c, const redisReply *key, const char *type) {
    size_t n = 0, kinds = sizeof(collections) / sizeof(collections[0]);
    while (n < kinds && strcmp(collections[n].type, type) != 0)
        n++;
    if (n == kinds)
        fail_msg("a key of type %s", type);
    redisReply *all = expect_reply(c, collections[n].format, key->str, key->len);
    size_t step = collections[n].sorted_by;
    if (step)
        qsort(all->element, all->elements / step, step * sizeof(*all->element), compare_pairs);
    for (size_t i = 0; i < all->elements; i++) {
        if (collections[n].scores && i % 2)
            fprintf(out, " %.17g", strtod(all->element[i]->str, NULL));
        else
            print_text(out, all->element[i]);
    }
    freeReplyObject(all);
}

static void print_value(FILE *out, redisContext *c, const redisReply *key, const char *type,
                        enum dataset_expiry expiry) {
    if (strcmp(type, "stream") == 0) {
        redisReply *all = expect_reply(c, "XINFO STREAM %b FULL COUNT 0", key->str, key->len);
        print_tree(out, all, expiry);
        freeReplyObject(all);
        return;
    }
    if (strcmp(type, "string") != 0) {
        print_collection(out, c, key, type);
        return;
    }
    redisReply *value = expect_reply(c, "GET %b", key->str, key->len);
    print_text(out, value);
    freeReplyObject(value);
}

static char *describe_key(redisContext *c, unsigned db, const redisReply *key,
                          enum dataset_expiry expiry) {
    char *line = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&line, &len);
    redisReply *type = expect_reply(c, "TYPE %b", key->str, key->len);
    int64_t at_ms = ask_integer(c, "PEXPIRETIME %b", key->str, key->len);
    assert_non_null(out);
    fprintf(out, "db %2u", db);
    print_text(out, key);
    fprintf(out, " %s expires %lld", type->str,
            (long long)(expiry == EXPIRY_PRESENT && at_ms > 0 ? 1 : at_ms));
    print_value(out, c, key, type->str, expiry);
    freeReplyObject(type);
    fclose(out);
    return line;
}

static size_t describe_database(FILE *out, redisContext *c, unsigned db,
                                enum dataset_expiry expiry) {
    redisReply *keys = expect_reply(c, "KEYS *");
    char **lines = calloc(keys->elements + 1, sizeof(*lines));
    size_t count = keys->elements;
    assert_non_null(lines);
    assert_int_equal(ask_integer(c, "DBSIZE"), count);
    for (size_t i = 0; i < count; i++)
        lines[i] = describe_key(c, db, keys->element[i], expiry);
    qsort(lines, count, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%s\n", lines[i]);
        free(lines[i]);
    }
    free(lines);
    freeReplyObject(keys);
    return count;
}

char *dataset_describe(int port, enum dataset_expiry expiry, size_t *keys_r) {
    redisContext *c = client_connect(port);
    char *text = NULL;
    size_t text_len = 0, total = 0;
    FILE *out = open_memstream(&text, &text_len);
    assert_non_null(out);
    bool node = strcmp(info_field(c, "cluster", "cluster_enabled"), "1") == 0;
    for (unsigned db = 0; db < (node ? 1 : DATABASES); db++) {
        if (!node)
            expect_text(c, "OK", "SELECT %d", (int)db);
        total += describe_database(out, c, db, expiry);
    }
    fclose(out);
    redisFree(c);
    if (keys_r)
        *keys_r = total;
    return text;
}

void dataset_assert_equal(const char *name_a, int port_a, const char *name_b, int port_b,
                          enum dataset_expiry expiry) {
    size_t keys_a, keys_b, at = 0;
    char *a = dataset_describe(port_a, expiry, &keys_a);
    char *b = dataset_describe(port_b, expiry, &keys_b);
    if (strcmp(a, b) != 0) {
        size_t line = 0;
        for (; a[at] && a[at] == b[at]; at++)
            line = a[at] == '\n' ? at + 1 : line;
        print_error("%-14s %zu keys: %.*s\n", name_a, keys_a, (int)strcspn(a + line, "\n"),
                    a + line);
        print_error("%-14s %zu keys: %.*s\n", name_b, keys_b, (int)strcspn(b + line, "\n"),
                    b + line);
        fail_msg("the data of %s and %s differ", name_a, name_b);
    }
    free(a);
    free(b);
}

/* ---- filling ---- */

/* Text, digits, or bytes of all kinds, some of them compressible. */
static size_t draw_value(uint64_t *random, char value[VALUE_MAX]) {
    unsigned kind = random_below(random, 4);
    size_t len = kind == 0 ? random_below(random, 12) : random_below(random, VALUE_MAX);
    if (kind == 1)
        return (size_t)sprintf(value, "%lld", (long long)random_next(random));
    for (size_t i = 0; i < len; i++)
        value[i] = kind == 2 ? (char)random_next(random) : "abab"[random_next(random) % 4];
    return len;
}

/* Entries, some of them deleted; a group, whose consumers have some pending. The times of delivery are
 * set last, as it is another time at each server. Nothing pending is deleted: Redis's own log of commands
 * loses that. */
static void fill_stream(redisContext *c, uint64_t *random, const char *key) {
    enum { PENDING_MAX = 40 };
    static const char *const consumers[] = {"alice", "bob", "carol", "claimer", "reader"};
    unsigned entries = random_below(random, 10) == 0 ? 300 : random_below(random, 9);
    char value[VALUE_MAX];
    redisAppendCommand(c, "XGROUP CREATE %s group 0 MKSTREAM", key);
    for (unsigned i = 0; i < 5; i++)
        redisAppendCommand(c, "XGROUP CREATECONSUMER %s group %s", key, consumers[i]);
    for (unsigned i = 1; i <= entries; i++) {
        size_t len = draw_value(random, value);
        redisAppendCommand(c, "XADD %s %d-%d field %b n:%d %d", key, (int)i / 3, (int)i, value, len,
                           (int)random_below(random, 3), (int)i);
    }
    for (int i = 1; i < 5; i++)
        redisAppendCommand(c, "XDEL %s %d-%d", key, i * 2 / 3, i * 2);
    for (unsigned i = 0; i < 4; i++) {
        redisAppendCommand(c, "XREADGROUP GROUP group %s COUNT %d STREAMS %s >", consumers[i % 3],
                           (int)random_below(random, 5) + 1, key);
        redisAppendCommand(c, "XACK %s group %d-%d", key, (int)i / 3, (int)i);
    }
    redisAppendCommand(c, "XAUTOCLAIM %s group claimer 0 1 COUNT 2", key);
    redisAppendCommand(c, "XREADGROUP GROUP group alice COUNT 2 STREAMS %s 0", key);
    redisAppendCommand(c, "XREADGROUP GROUP group reader NOACK COUNT 2 STREAMS %s >", key);
    redisAppendCommand(c, "XTRIM %s MAXLEN ~ 290", key);
    redisAppendCommand(c, "XGROUP CREATE %s other $", key);
    for (int i = 1; i <= PENDING_MAX; i++)
        redisAppendCommand(c, "XCLAIM %s group %s 0 %d-%d TIME %lld JUSTID", key, consumers[i % 4],
                           i / 3, i, 1650000000000LL + i);
}

static void fill_key(redisContext *c, uint64_t *random, unsigned number) {
    char value[VALUE_MAX], key[64];
    int key_len = sprintf(key, "key:%u%s", number, number % 50 == 0 ? ":\xff\x01" : "");
    if (number % 50 != 0 && random_below(random, 20) == 0) {
        fill_stream(c, random, key);
        return;
    }
    unsigned kind = random_below(random, 6);
    unsigned count = random_below(random, 20) == 0 ? 700 : 1 + random_below(random, 8);
    for (unsigned i = 0; i < (kind < 2 ? 1 : count); i++) {
        size_t len = draw_value(random, value);
        size_t n = (size_t)key_len;
        switch (kind) {
        case 2: redisAppendCommand(c, "HSET %b field:%d %b", key, n, (int)i, value, len); break;
        case 3: redisAppendCommand(c, "RPUSH %b %b", key, n, value, len); break;
        case 4:
            redisAppendCommand(c, "SADD %b %d", key, n, (int)(count < 5 ? i * 77777 : i));
            break;
        case 5: redisAppendCommand(c, "ZADD %b %f m:%b", key, n, i / 7.0, value, len); break;
        default: redisAppendCommand(c, "SET %b %b", key, n, value, len);
        }
    }
    if (random_below(random, 4) == 0)
        redisAppendCommand(c, "PEXPIREAT %b %lld", key, (size_t)key_len,
                           33000000000000LL + random_below(random, 1000000));
}

/* The replies to all that was appended: a PING at the end tells the last. */
static void drain(redisContext *c) {
    redisAppendCommand(c, "ECHO end-of-pipeline");
    for (bool end = false; !end;) {
        void *any = NULL;
        assert_int_equal(redisGetReply(c, &any), REDIS_OK);
        const redisReply *reply = any;
        assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
        end = reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "end-of-pipeline") == 0;
        freeReplyObject(any);
    }
}

void dataset_fill(int port, uint64_t seed, unsigned keys) {
    static const unsigned databases[] = {0, 1, 9};
    redisContext *c = client_connect(port);
    for (unsigned i = 0; i < 3; i++) {
        redisAppendCommand(c, "SELECT %d", (int)databases[i]);
        for (unsigned n = 0; n < keys / 3; n++) {
            fill_key(c, &seed, n);
            if (n % FILL_PIPELINE == 0)
                drain(c);
        }
        drain(c);
    }
    redisFree(c);
}
