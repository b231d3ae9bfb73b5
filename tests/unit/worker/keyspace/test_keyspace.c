/* test_keyspace.c - one key: every layout, every change of it, and the databases as a whole. */
#include "tests/unit/worker/keyspace/keyspace_fixture.h"
#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/ipc/slot_map.h"
#include "worker/types/hash.h"
#include <stdio.h>
#include <stdlib.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void test_basics(void **state) {
    struct fixture f;
    struct keyref ref;
    fixture_begin(&f);
    fixture_expect(&f, 0, "a", NULL);
    fixture_set(&f, 0, "a", "hello");
    fixture_set(&f, 1, "a", "other");
    fixture_expect(&f, 0, "a", "hello");
    fixture_expect(&f, 1, "a", "other");
    fixture_set(&f, 0, "a", "12");
    fixture_expect(&f, 0, "a", "12");
    fixture_set(&f, 0, "", "empty key");
    fixture_expect(&f, 0, "", "empty key");
    assert_int_equal(keyspace_count(f.ks, 0), 2);
    assert_int_equal(f.changed, 4);
    assert_true(fixture_find(&f, 0, "a", &ref));
    assert_true(keyspace_delete(&ref, false));
    assert_false(keyref_found(&ref));
    assert_false(keyspace_delete(&ref, false));
    assert_int_equal(keyspace_count(f.ks, 0), 1);
    fixture_expect(&f, 0, "a", NULL);
    fixture_expect(&f, 1, "a", "other");
    fixture_end(&f);
}

static void test_hits_and_misses(void **state) {
    struct fixture f;
    struct keyref ref;
    fixture_begin(&f);
    fixture_set(&f, 0, "a", "1");
    for (int access = KEY_READ; access <= KEY_PEEK; access++) {
        keyspace_find(f.ks, 0, bytes_of_text("a"), (enum key_access)access, &ref);
        keyspace_find(f.ks, 0, bytes_of_text("b"), (enum key_access)access, &ref);
    }
    assert_int_equal(keyspace_stats(f.ks)->hits, 2);
    assert_int_equal(keyspace_stats(f.ks)->misses, 2);
    fixture_end(&f);
}

/* Fetching ahead changes nothing, for keys that are there or not. */
static void test_prefetch(void **state) {
    enum { COUNT = 5000, GROUP = 50 };
    static char text[COUNT][16];
    struct bytes keys[GROUP];
    struct keyref ref;
    struct fixture f;
    fixture_begin(&f);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text[i], sizeof text[i], "k%d", i);
        if (i % GROUP == 0 && i > 0)
            keyspace_prefetch(f.ks, 0, keys, (uint32_t)(i / GROUP % GROUP));
        keys[i % GROUP] = bytes_of_text(text[i]);
        if (i % 3)
            fixture_set(&f, 0, text[i], text[i]);
    }
    for (int i = 0; i < GROUP; i++)
        assert_int_equal(keyspace_find(f.ks, 0, keys[i], KEY_READ, &ref),
                         (COUNT - GROUP + i) % 3 != 0);
    fixture_end(&f);
}

/* ---- layouts ---- */

static const size_t key_lengths[] = {0,   1,   7,   16,    100,   254,  255,
                                     256, 257, 300, 65535, 65536, 70000};
static const size_t value_lengths[] = {0,    1,    8,    44,   45,    64,     127,
                                       128,  254,  255,  256,  257,   1000,   1023,
                                       1024, 1025, 2000, 4096, 70000, 2000000};
enum {
    KEY_LENGTHS = sizeof key_lengths / sizeof *key_lengths,
    VALUE_LENGTHS = sizeof value_lengths / sizeof *value_lengths
};

static char *text_make(size_t len, unsigned salt) {
    char *text = mem_alloc(len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('!' + (i * 7 + salt * 13 + i / 91) % 90);
    return text;
}

static void expect_kept(struct fixture *f, struct bytes key, struct bytes text, int64_t expiry) {
    struct keyref ref;
    assert_true(keyspace_find(f->ks, 0, key, KEY_PEEK, &ref));
    fixture_expect_bytes(&ref, text);
    assert_int_equal(keyref_expire_ms(&ref), expiry);
}

/* Store `to` over `from` without and with an expiry, and put an expiry on and off. */
static void change_one(struct fixture *f, struct bytes key, struct bytes from, struct bytes to) {
    struct keyref ref;
    struct value first = value_string(from), second = value_string(to);
    int64_t at = FIXTURE_NOW_MS + 5000;
    for (int expiring = 0; expiring < 2; expiring++) {
        keyspace_find(f->ks, 0, key, KEY_WRITE, &ref);
        keyspace_store(&ref, &first);
        keyspace_set_expire(&ref, expiring ? at : KEY_NO_EXPIRY);
        expect_kept(f, key, from, expiring ? at : KEY_NO_EXPIRY);
        keyspace_store(&ref, &second);
        expect_kept(f, key, to, expiring ? at : KEY_NO_EXPIRY);
        assert_int_equal(keyref_value(&ref).encoding, second.encoding);
        keyspace_set_expire(&ref, expiring ? KEY_NO_EXPIRY : at + 1);
        expect_kept(f, key, to, expiring ? KEY_NO_EXPIRY : at + 1);
        keyspace_set_expire(&ref, at + 2);
        expect_kept(f, key, to, at + 2);
        assert_int_equal(keyspace_expires_count(f->ks, 0), 1);
    }
    assert_true(keyspace_delete(&ref, false));
    assert_int_equal(keyspace_count(f->ks, 0), 0);
    assert_int_equal(keyspace_expires_count(f->ks, 0), 0);
}

static void test_layouts(void **state) {
    struct fixture f;
    fixture_begin(&f);
    for (size_t k = 0; k < KEY_LENGTHS; k++) {
        char *key = text_make(key_lengths[k], 1);
        for (size_t a = 0; a < VALUE_LENGTHS; a++) {
            for (size_t b = 0; b < VALUE_LENGTHS - 1; b++) {
                char *from = text_make(value_lengths[a], 2), *to = text_make(value_lengths[b], 3);
                change_one(&f, bytes_of(key, key_lengths[k]), bytes_of(from, value_lengths[a]),
                           bytes_of(to, value_lengths[b]));
                mem_free(from);
                mem_free(to);
            }
            char *from = text_make(value_lengths[a], 4);
            struct bytes number = BYTES_LITERAL("-1234567890123456789");
            change_one(&f, bytes_of(key, key_lengths[k]), bytes_of(from, value_lengths[a]), number);
            change_one(&f, bytes_of(key, key_lengths[k]), number, bytes_of(from, value_lengths[a]));
            mem_free(from);
        }
        mem_free(key);
    }
    fixture_end(&f);
}

/* Every key length from 0 to 300, all alive together. */
static void test_key_lengths(void **state) {
    enum { LONGEST = 300 };
    struct fixture f;
    struct keyref ref;
    char *text = text_make(LONGEST, 5);
    fixture_begin(&f);
    for (size_t len = 0; len <= LONGEST; len++) {
        struct value value = value_string(bytes_of(text, LONGEST - len));
        assert_false(keyspace_find(f.ks, 0, bytes_of(text, len), KEY_WRITE, &ref));
        keyspace_store(&ref, &value);
    }
    for (size_t len = 0; len <= LONGEST; len++) {
        assert_true(keyspace_find(f.ks, 0, bytes_of(text, len), KEY_READ, &ref));
        fixture_expect_bytes(&ref, bytes_of(text, LONGEST - len));
    }
    assert_int_equal(keyspace_count(f.ks, 0), LONGEST + 1);
    mem_free(text);
    fixture_end(&f);
}

/* A value that is itself part of what it replaces. */
static void test_store_own_bytes(void **state) {
    static const size_t lengths[] = {12, 200, 600, 1024, 3000};
    struct fixture f;
    struct keyref ref;
    fixture_begin(&f);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (size_t from = 0; from < 9; from += 4) {
            char *text = text_make(lengths[i], 6);
            struct value value = value_string(bytes_of(text, lengths[i]));
            keyspace_find(f.ks, 0, bytes_of_text("k"), KEY_WRITE, &ref);
            keyspace_store(&ref, &value);
            struct bytes own = keyref_value(&ref).packed;
            struct value part = value_string(bytes_of(own.ptr + from, own.len / 3));
            keyspace_store(&ref, &part);
            fixture_expect_bytes(&ref, bytes_of(text + from, lengths[i] / 3));
            mem_free(text);
        }
    }
    fixture_end(&f);
}

/* Overwriting by the same size or class must not allocate. */
static void test_overwrite_in_place(void **state) {
    struct fixture f;
    struct keyref ref;
    fixture_begin(&f);
    fixture_set(&f, 0, "0123456789abcdef", "twelve bytes");
    fixture_find(&f, 0, "0123456789abcdef", &ref);
    const struct entry *before = ref.entry;
    static const char *const texts[] = {"other twelve", "123456", "x", "-77", "",
                                        "twelve again", "9"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fixture_set(&f, 0, "0123456789abcdef", texts[i]);
        fixture_find(&f, 0, "0123456789abcdef", &ref);
        fixture_expect_bytes(&ref, bytes_of_text(texts[i]));
        if (i < 5)
            assert_ptr_equal(ref.entry, before);
    }
    fixture_end(&f);
}

static void test_string_resize(void **state) {
    struct fixture f;
    struct keyref ref;
    fixture_begin(&f);
    keyspace_find(f.ks, 0, bytes_of_text("s"), KEY_WRITE, &ref);
    size_t len = 0;
    uint64_t moves = 0;
    const char *data_before = NULL;
    for (; len < 200000; len++) {
        char *data = keyspace_string_resize(&ref, len + 1);
        assert_int_equal(data[len], 0);
        data[len] = (char)(len % 251);
        moves += data != data_before;
        data_before = data;
    }
    assert_true(moves < 150);
    struct value value = keyref_value(&ref);
    assert_int_equal(value.encoding, ENCODING_RAW);
    assert_int_equal(value.packed.len, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal((unsigned char)value.packed.ptr[i], i % 251);
    /* From a number, keeping expiry and digits. */
    fixture_set_expiring(&f, 0, "n", FIXTURE_NOW_MS + 10);
    fixture_set(&f, 0, "n", "12345");
    fixture_find(&f, 0, "n", &ref);
    memcpy(keyspace_string_resize(&ref, 7) + 5, "ab", 2);
    fixture_expect_bytes(&ref, bytes_of_text("12345ab"));
    assert_int_equal(keyref_value(&ref).encoding, ENCODING_RAW);
    assert_int_equal(keyref_expire_ms(&ref), FIXTURE_NOW_MS + 10);
    /* Shorter, and far longer at once. */
    keyspace_string_resize(&ref, 3);
    fixture_expect_bytes(&ref, bytes_of_text("123"));
    char *data = keyspace_string_resize(&ref, 5000000);
    assert_memory_equal(data, "123\0\0\0\0", 7);
    assert_int_equal(data[4999999], 0);
    fixture_end(&f);
}

/* A random walk over one string against a plain buffer. */
static void test_string_model(void **state) {
    enum { STEPS = 20000, LONGEST = 3000 };
    static char model[LONGEST + 1];
    size_t len = 0;
    struct fixture f;
    struct keyref ref;
    fixture_random_seed();
    fixture_begin(&f);
    keyspace_find(f.ks, 0, bytes_of_text("model"), KEY_WRITE, &ref);
    keyspace_string_resize(&ref, 0);
    for (int step = 0; step < STEPS; step++) {
        size_t next = random() % 3 ? len + (size_t)random() % 40 : (size_t)random() % LONGEST;
        next = next > LONGEST ? LONGEST : next;
        if (random() % 2) {
            char *data = keyspace_string_resize(&ref, next);
            if (next > len)
                memset(model + len, 0, next - len);
            if (next) {
                size_t at = (size_t)random() % next;
                data[at] = model[at] = (char)random();
            }
        } else {
            for (size_t i = 0; i < next; i++)
                model[i] = (char)random();
            struct value value = value_string(bytes_of(model, next));
            keyspace_store(&ref, &value);
        }
        len = next;
        if (random() % 10 == 0)
            keyspace_set_expire(&ref, random() % 2 ? FIXTURE_NOW_MS + 1 + random() : KEY_NO_EXPIRY);
        fixture_expect_bytes(&ref, bytes_of(model, len));
    }
    fixture_end(&f);
}

static void test_take(void **state) {
    static const char *const texts[] = {"", "short", "77",
                                        "a text that is longer than forty-four bytes, raw"};
    struct fixture f;
    struct keyref ref;
    int64_t expiry;
    char digits[BYTES_I64_MAX];
    fixture_begin(&f);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fixture_set_expiring(&f, 0, "from", FIXTURE_NOW_MS + 99);
        fixture_set(&f, 0, "from", texts[i]);
        fixture_find(&f, 0, "from", &ref);
        struct value value = keyspace_take(&ref, &expiry);
        assert_int_equal(expiry, FIXTURE_NOW_MS + 99);
        assert_true(bytes_equal(value_string_bytes(&value, digits), bytes_of_text(texts[i])));
        fixture_expect(&f, 0, "from", NULL);
        assert_int_equal(keyspace_expires_count(f.ks, 0), 0);
        fixture_find(&f, 0, "to", &ref);
        keyspace_store(&ref, &value);
        fixture_expect(&f, 0, "to", texts[i]);
    }
    fixture_end(&f);
}

/* ---- objects ---- */

static struct value big_hash(uint32_t fields) {
    const struct hash_limits limits = {4, 64};
    struct value hash = hash_create();
    for (uint32_t i = 0; i < fields; i++) {
        char text[16];
        struct bytes field = bytes_of(text, (size_t)snprintf(text, sizeof text, "f%u", i));
        hash_set(&hash, field, field, &limits);
    }
    assert_int_equal(hash.encoding, ENCODING_HASHTABLE);
    return hash;
}

static void test_objects(void **state) {
    struct fixture f;
    struct keyref ref;
    int64_t expiry;
    fixture_begin(&f);
    struct value hash = big_hash(100);
    fixture_set(&f, 0, "h", "a string before");
    fixture_find(&f, 0, "h", &ref);
    keyspace_store(&ref, &hash);
    keyspace_set_expire(&ref, FIXTURE_NOW_MS + 1);
    struct value back = keyref_value(&ref);
    assert_int_equal(back.type, VALUE_HASH);
    assert_int_equal(back.encoding, ENCODING_HASHTABLE);
    assert_ptr_equal(back.object, hash.object);
    keyspace_store(&ref, &back); /* the same object: not freed */
    assert_int_equal(hash_count(&back), 100);
    assert_true(keyref_memory(&ref, 5) > 100 * 8);
    struct value taken = keyspace_take(&ref, &expiry);
    assert_ptr_equal(taken.object, hash.object);
    fixture_find(&f, 0, "moved", &ref);
    keyspace_store(&ref, &taken);
    assert_int_equal(hash_count(&taken), 100);
    fixture_set(&f, 0, "moved", "frees the hash");
    hash = big_hash(5000);
    fixture_find(&f, 0, "lazy", &ref);
    keyspace_store(&ref, &hash);
    uint64_t freed = keyspace_lazyfreed(f.ks);
    assert_true(keyspace_delete(&ref, true));
    while (keyspace_lazyfree_pending(f.ks))
        ;
    assert_int_equal(keyspace_lazyfreed(f.ks), freed + 1);
    hash = big_hash(10);
    fixture_find(&f, 0, "left", &ref);
    keyspace_store(&ref, &hash);
    fixture_end(&f);
}

/* Whatever is asked for, the loop does not free what would stall it: not by DEL, not by SET over it. */
static void test_what_would_stall_is_freed_in_the_background(void **state) {
    struct fixture f;
    struct keyref ref;
    fixture_begin(&f);
    uint64_t freed = keyspace_lazyfreed(f.ks);
    for (int how = 0; how < 2; how++) {
        struct value hash = big_hash(5000);
        fixture_find(&f, 0, "big", &ref);
        keyspace_store(&ref, &hash);
        if (how == 0)
            assert_true(keyspace_delete(&ref, false));
        else
            fixture_set(&f, 0, "big", "another value");
        while (keyspace_lazyfree_pending(f.ks))
            ;
        assert_int_equal(keyspace_lazyfreed(f.ks), freed + 1 + (uint64_t)how);
    }
    fixture_end(&f);
}

/* ---- databases ---- */

static void fill(struct fixture *f, uint32_t db, uint32_t count) {
    char key[32];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        if (i % 4)
            fixture_set(f, db, key, key);
        else
            fixture_set_expiring(f, db, key, FIXTURE_NOW_MS + 1000 + i);
    }
}

static void test_flush(void **state) {
    struct fixture f;
    fixture_begin(&f);
    uint64_t freed = keyspace_lazyfreed(f.ks);
    for (int lazy = 0; lazy < 2; lazy++) {
        fill(&f, 0, 10000);
        fill(&f, 2, 1000);
        keyspace_flush(f.ks, 0, lazy);
        assert_int_equal(keyspace_count(f.ks, 0), 0);
        assert_int_equal(keyspace_expires_count(f.ks, 0), 0);
        assert_int_equal(keyspace_count_in_slot(f.ks, slot_of_key(bytes_of_text("key:1"))), 0);
        fixture_expect(&f, 0, "key:1", NULL);
        fixture_expect(&f, 2, "key:1", "key:1");
        fill(&f, 0, 100);
        keyspace_flush_all(f.ks, lazy);
        assert_int_equal(keyspace_count(f.ks, 0) + keyspace_count(f.ks, 2), 0);
    }
    while (keyspace_lazyfree_pending(f.ks))
        ;
    assert_int_equal(keyspace_lazyfreed(f.ks), freed + 10000 + 100 + 1000);
    assert_int_equal(f.changed_all, 6);
    fixture_end(&f);
}

/* Ending while the thread still works loses and leaks nothing. */
static void test_free_while_pending(void **state) {
    for (int i = 0; i < 5; i++) {
        struct fixture f;
        fixture_begin(&f);
        fill(&f, 0, 5000);
        keyspace_flush(f.ks, 0, true);
        fill(&f, 1, 100);
        keyspace_flush(f.ks, 1, true);
        fixture_end(&f);
    }
}

static void test_swap(void **state) {
    struct fixture f;
    fixture_begin(&f);
    fill(&f, 0, 8);
    fill(&f, 3, 4);
    fixture_set(&f, 3, "only here", "x");
    keyspace_swap(f.ks, 0, 3);
    assert_int_equal(keyspace_count(f.ks, 0), 5);
    assert_int_equal(keyspace_count(f.ks, 3), 8);
    assert_int_equal(keyspace_expires_count(f.ks, 0), 1);
    assert_int_equal(keyspace_expires_count(f.ks, 3), 2);
    fixture_expect(&f, 0, "only here", "x");
    assert_int_equal(keyspace_count_in_slot(f.ks, slot_of_key(bytes_of_text("only here"))), 1);
    assert_int_equal(keyspace_count_in_slot(f.ks, slot_of_key(bytes_of_text("key:7"))), 0);
    fixture_end(&f);
}

static void test_random(void **state) {
    struct fixture f;
    struct keyref ref;
    bool seen[16] = {false};
    fixture_begin(&f);
    assert_false(keyspace_random(f.ks, 0, &ref));
    for (int i = 0; i < 16; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        if (i % 2)
            fixture_set(&f, 0, key, "x");
        else
            fixture_set_expiring(&f, 0, key, FIXTURE_NOW_MS + 5);
    }
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 6);
    for (int i = 0; i < 2000; i++) {
        int64_t which;
        assert_true(keyspace_random(f.ks, 0, &ref));
        assert_true(bytes_to_i64(ref.key, &which));
        assert_true(which % 2);
        seen[which] = true;
    }
    for (int i = 1; i < 16; i += 2)
        assert_true(seen[i]);
    keyspace_flush(f.ks, 0, false);
    fixture_set_expiring(&f, 0, "gone", FIXTURE_NOW_MS + 5);
    assert_false(keyspace_random(f.ks, 0, &ref));
    assert_int_equal(keyspace_count(f.ks, 0), 0);
    fixture_end(&f);
}

struct slot_keys {
    uint32_t slot, found;
};
static void slot_found(void *arg, struct bytes key) {
    struct slot_keys *keys = arg;
    assert_int_equal(slot_of_key(key), keys->slot);
    keys->found++;
}

static void test_slots(void **state) {
    struct fixture f;
    struct keyref ref;
    char key[32];
    fixture_begin(&f);
    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof key, "{tag}%d", i);
        fixture_set(&f, 0, key, "x");
        fixture_set(&f, 1, key, "x");
    }
    fill(&f, 0, 1000);
    struct slot_keys keys = {.slot = slot_of_key(bytes_of_text("tag"))};
    uint64_t count = keyspace_count_in_slot(f.ks, keys.slot);
    assert_true(count >= 10);
    keyspace_keys_in_slot(f.ks, keys.slot, 1000000, slot_found, &keys);
    assert_int_equal(keys.found, count);
    keys.found = 0;
    keyspace_keys_in_slot(f.ks, keys.slot, 3, slot_found, &keys);
    assert_int_equal(keys.found, 3);
    fixture_find(&f, 0, "{tag}4", &ref);
    keyspace_delete(&ref, false);
    assert_int_equal(keyspace_count_in_slot(f.ks, keys.slot), count - 1);
    fixture_end(&f);
}

/* ---- access times ---- */

static void test_access(void **state) {
    struct fixture f;
    struct keyref ref;
    struct config config = {.maxmemory_policy = MAXMEMORY_ALLKEYS_LRU};
    fixture_begin(&f);
    keyspace_configure(f.ks, &config);
    fixture_set(&f, 0, "a", "1");
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 30000);
    fixture_find(&f, 0, "a", &ref);
    assert_int_equal(keyref_idle_ms(&ref), 30000);
    keyspace_find(f.ks, 0, bytes_of_text("a"), KEY_NOTOUCH, &ref);
    assert_int_equal(keyref_idle_ms(&ref), 30000);
    keyspace_set_child_alive(f.ks, true);
    keyspace_find(f.ks, 0, bytes_of_text("a"), KEY_READ, &ref);
    assert_int_equal(keyref_idle_ms(&ref), 30000);
    keyspace_set_child_alive(f.ks, false);
    keyspace_find(f.ks, 0, bytes_of_text("a"), KEY_READ, &ref);
    assert_int_equal(keyref_idle_ms(&ref), 0);
    keyspace_set_access(&ref, 7000, -1);
    assert_int_equal(keyref_idle_ms(&ref), 7000);
    fixture_set(&f, 0, "a", "a longer value that needs another allocation");
    fixture_find(&f, 0, "a", &ref);
    assert_int_equal(keyref_idle_ms(&ref), 7000);

    config = (struct config){.maxmemory_policy = MAXMEMORY_VOLATILE_LFU, .lfu_decay_time = 1};
    keyspace_configure(f.ks, &config);
    fixture_set(&f, 0, "b", "1");
    fixture_find(&f, 0, "b", &ref);
    assert_int_equal(keyref_frequency(&ref), 5);
    for (int i = 0; i < 20; i++) /* factor 0: each touch counts */
        keyspace_touch(&ref);
    assert_int_equal(keyref_frequency(&ref), 25);
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 30000 + 4 * 60000);
    assert_int_equal(keyref_frequency(&ref), 21);
    keyspace_set_access(&ref, -1, 200);
    assert_int_equal(keyref_frequency(&ref), 200);
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + (int64_t)300 * 60000);
    assert_int_equal(keyref_frequency(&ref), 0);
    fixture_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basics),
        cmocka_unit_test(test_hits_and_misses),
        cmocka_unit_test(test_prefetch),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_key_lengths),
        cmocka_unit_test(test_store_own_bytes),
        cmocka_unit_test(test_overwrite_in_place),
        cmocka_unit_test(test_string_resize),
        cmocka_unit_test(test_string_model),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_what_would_stall_is_freed_in_the_background),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_free_while_pending),
        cmocka_unit_test(test_swap),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_access),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
