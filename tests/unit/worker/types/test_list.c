/* Lists in both forms: against a model, at the limits, from both ends, measured. */
#include "worker/types/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "shared/base/mem.h"

enum { USUAL = -2 };

/* ---- a value in a place of its own, as a key is: what is packed leaves the scratch buffer ---- */

struct holder {
    struct value value;
    struct buf packed;
};

static void hold(struct holder *h, struct value *now) {
    if (h->value.encoding == ENCODING_QUICKLIST &&
        (now->encoding != ENCODING_QUICKLIST || now->object != h->value.object))
        list_free(&h->value);
    h->value = *now;
    if (now->encoding == ENCODING_LISTPACK) {
        if (now->packed.ptr != h->packed.data) {
            buf_clear(&h->packed);
            buf_append_bytes(&h->packed, now->packed);
        }
        h->value.packed = buf_bytes(&h->packed);
    }
}

static void hold_new(struct holder *h) {
    *h = (struct holder){.value = {.type = VALUE_LIST, .encoding = ENCODING_LISTPACK}};
    struct value list = list_create();
    hold(h, &list);
}

static void let_go(struct holder *h) {
    list_free(&h->value);
    buf_free(&h->packed);
}

static void push(struct holder *h, enum list_end end, struct bytes text, int64_t fill) {
    struct value list = h->value;
    list_expect(&list, 1, text.len, fill);
    list_push(&list, end, text, fill);
    hold(h, &list);
}

static void delete (struct holder *h, uint64_t index, uint64_t count, int64_t fill) {
    struct value list = h->value;
    list_delete(&list, index, count);
    list_settle(&list, fill);
    hold(h, &list);
}

/* ---- where the encoding changes: as a redis-server does ---- */

static uint64_t pushes_until_big(const char *text, int64_t fill) {
    struct holder h;
    uint64_t pushes = 0;
    hold_new(&h);
    for (; h.value.encoding == ENCODING_LISTPACK; pushes++)
        push(&h, LIST_BACK, bytes_of_text(text), fill);
    assert_int_equal(list_count(&h.value), pushes);
    let_go(&h);
    return pushes;
}

enum { LISTPACK_FRAME = 7 };
static const struct threshold {
    const char *text;
    int64_t fill;
    uint64_t limit, bytes; /* of a listpack, and of this element in it */
} thresholds[] = {
    {"element:000000001", -2, 8192, 19},
    {"element:000000001", -1, 4096, 19},
    {"element:000000001", -5, 65536, 19},
    {"element:000000001", -99, 65536, 19},
    {"element:000000001", 100000, 8192, 19},
    {"a", 32767, 8192, 3},
    {"", -1, 4096, 2},
    {"1", -1, 4096, 2},
    {"-1", -1, 4096, 3},
    {"127", -1, 4096, 2},
    {"128", -1, 4096, 3},
    {"4095", -1, 4096, 3},
    {"-4096", -1, 4096, 3},
    {"4096", -1, 4096, 4},
    {"-32768", -1, 4096, 4},
    {"40000", -1, 4096, 5},
    {"-8388608", -1, 4096, 5},
    {"8388608", -1, 4096, 6},
    {"2147483648", -1, 4096, 10},
    {"0123456789012345678901234567890123456789012345678901234567890123", -1, 4096, 67},
};

static void test_becomes_blocks(void **state) {
    char text[5000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (size_t i = 0; i < sizeof(thresholds) / sizeof(*thresholds); i++) {
        const struct threshold *t = &thresholds[i];
        /* The push that converts is the first to find no room for as many bytes as characters. */
        uint64_t fit = (t->limit - LISTPACK_FRAME - strlen(t->text)) / t->bytes + 1;
        if (pushes_until_big(t->text, t->fill) != fit + 1)
            fail_msg("%s at %d", t->text, (int)t->fill);
    }
    assert_int_equal(pushes_until_big("a", 3), 4);
    assert_int_equal(pushes_until_big("a", 0), 2);
    assert_int_equal(pushes_until_big(text, -2), 2);
    assert_int_equal(pushes_until_big(text, -1), 1);
    assert_int_equal(pushes_until_big(text, 5), 2);
}

/* A list of one block of which half, or less, is used becomes packed again. */
static void test_settles(void **state) {
    struct holder h;
    hold_new(&h);
    for (int i = 0; i < 431; i++)
        push(&h, LIST_BACK, BYTES_LITERAL("element:000000001"), USUAL);
    assert_int_equal(h.value.encoding, ENCODING_QUICKLIST);
    delete (&h, 0, 1, USUAL);
    while (list_count(&h.value) > 216)
        delete (&h, list_count(&h.value) - 1, 1, USUAL);
    assert_int_equal(h.value.encoding, ENCODING_QUICKLIST);
    delete (&h, 0, 1, USUAL);
    assert_int_equal(h.value.encoding, ENCODING_LISTPACK);
    assert_int_equal(list_count(&h.value), 215);
    let_go(&h);
    hold_new(&h);
    for (int i = 0; i < 5; i++)
        push(&h, LIST_FRONT, BYTES_LITERAL("a"), 4);
    assert_int_equal(h.value.encoding, ENCODING_QUICKLIST);
    delete (&h, 0, 1, 4);
    delete (&h, 0, 1, 4);
    assert_int_equal(h.value.encoding, ENCODING_QUICKLIST);
    delete (&h, 0, 1, 4);
    assert_int_equal(h.value.encoding, ENCODING_LISTPACK);
    let_go(&h);
}

/* ---- against a model ---- */

enum { MODEL_MAX = 3000, MODEL_STEPS = 30000, TEXT_MAX = 9000 };
static struct octets {
    char *data;
    size_t len;
} model[MODEL_MAX];
static uint64_t model_count;
static unsigned seed;

static void model_put(uint64_t at, struct bytes text) {
    memmove(model + at + 1, model + at, (model_count - at) * sizeof(*model));
    model[at] = (struct octets){mem_strndup("", 0), text.len};
    model[at].data = mem_realloc(model[at].data, text.len + 1);
    if (text.len > 0)
        memcpy(model[at].data, text.ptr, text.len);
    model_count++;
}

static void model_cut(uint64_t at, uint64_t count) {
    for (uint64_t i = at; i < at + count; i++)
        mem_free(model[i].data);
    memmove(model + at, model + at + count, (model_count - at - count) * sizeof(*model));
    model_count -= count;
}

static uint64_t model_cut_equal(struct bytes text, uint64_t max, enum list_end from) {
    uint64_t taken = 0, looked_at = 0, all = model_count;
    for (; looked_at < all && taken < max; looked_at++) {
        uint64_t at = from == LIST_FRONT ? looked_at - taken : all - looked_at - 1;
        if (bytes_equal(bytes_of(model[at].data, model[at].len), text)) {
            model_cut(at, 1);
            taken++;
        }
    }
    return taken;
}

static struct bytes random_text(char *out) {
    size_t len = 0;
    switch (rand() % 16) {
    case 0: len = (size_t)rand() % TEXT_MAX; break;
    case 1: len = (size_t)rand() % 300; break;
    case 2: break;
    case 3:
    case 4: return bytes_of(out, (size_t)sprintf(out, "%d", rand() - RAND_MAX / 2));
    case 5: return bytes_of(out, (size_t)sprintf(out, "%lld", (long long)rand() * rand() * 3));
    case 6: return bytes_of(out, (size_t)sprintf(out, "%d", rand() % 10000 - 5000));
    default: return bytes_of(out, (size_t)sprintf(out, "t%d", rand() % 40)); /* often equal */
    }
    for (size_t i = 0; i < len; i++)
        out[i] = (char)rand();
    return bytes_of(out, len);
}

static void compare_from(const struct value *list, uint64_t index, bool backward, uint64_t steps) {
    struct list_iterator it;
    struct bytes text;
    list_iterate(list, index, backward, &it);
    for (uint64_t i = index; i < model_count && steps > 0; i = backward ? i - 1 : i + 1, steps--) {
        if (!list_next(&it, &text) || !bytes_equal(text, bytes_of(model[i].data, model[i].len)))
            fail_msg("seed %u: element %d of %d differs", seed, (int)i, (int)model_count);
    }
    if (steps > 0)
        assert_false(list_next(&it, &text));
}

static void compare_all(const struct value *list) {
    assert_int_equal(list_count(list), model_count);
    compare_from(list, 0, false, UINT64_MAX);
    compare_from(list, model_count - 1, true, UINT64_MAX);
    for (int i = 0; i < 20 && model_count > 0; i++)
        compare_from(list, (uint64_t)rand() % model_count, rand() % 2, 3);
}

static void step(struct holder *h, int64_t fill, bool shrinking) {
    char buffer[TEXT_MAX];
    struct bytes text = random_text(buffer);
    struct value list = h->value;
    uint64_t at = model_count > 0 ? (uint64_t)rand() % model_count : 0;
    int act = rand() % (shrinking ? 14 : 11);
    if (model_count == 0 || (act < 4 && model_count < MODEL_MAX)) {
        enum list_end end = rand() % 2 ? LIST_FRONT : LIST_BACK;
        push(h, end, text, fill);
        model_put(end == LIST_FRONT ? 0 : model_count, text);
    } else if (act < 7 && model_count < MODEL_MAX) {
        bool after = rand() % 2;
        list_expect(&list, 1, text.len, fill);
        list_insert_at(&list, at, after, text, fill);
        model_put(at + after, text);
        hold(h, &list);
    } else if (act == 7) {
        list_expect(&list, 1, text.len, fill);
        list_set(&list, at, text, fill);
        list_settle(&list, fill);
        hold(h, &list);
        model_cut(at, 1);
        model_put(at, text);
    } else if (act == 8) {
        enum list_end from = rand() % 2 ? LIST_FRONT : LIST_BACK;
        uint64_t max = rand() % 3 ? (uint64_t)rand() % 4 + 1 : UINT64_MAX;
        uint64_t taken = list_delete_equal(&list, text, max, from);
        list_settle(&list, fill);
        hold(h, &list);
        if (taken != model_cut_equal(text, max, from))
            fail_msg("seed %u: another number deleted", seed);
    } else if (act < 12) {
        uint64_t at_end = rand() % 2 ? 0 : model_count - 1;
        delete (h, at_end, 1, fill);
        model_cut(at_end, 1);
    } else {
        uint64_t count = (uint64_t)rand() % (model_count - at) / 8 + 1;
        delete (h, at, count, fill);
        model_cut(at, count);
    }
}

static void run_model(int64_t fill) {
    struct holder h;
    hold_new(&h);
    for (int i = 0; i < MODEL_STEPS / 10; i++) {
        step(&h, fill, i / 600 % 2);
        assert_int_equal(list_count(&h.value), model_count);
        if (i % 50 == 0)
            compare_all(&h.value);
    }
    compare_all(&h.value);
    struct value copy = list_copy(&h.value);
    compare_all(&copy);
    if (copy.encoding == ENCODING_QUICKLIST)
        list_free(&copy);
    let_go(&h);
    model_cut(0, model_count);
}

static void test_model(void **state) {
    static const int64_t fills[] = {-1, -2, -5, 1, 2, 5, 128, 0};
    seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    for (size_t i = 0; i < sizeof(fills) / sizeof(*fills); i++)
        run_model(fills[i]);
}

/* ---- a queue stays small however much goes through it ---- */

static void test_queue(void **state) {
    enum { THROUGH = 200000, WITHIN = 1000, BYTES_MAX = 64 * WITHIN };
    struct holder h;
    char text[32];
    hold_new(&h);
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < THROUGH; i++) {
            size_t len = (size_t)sprintf(text, "job:%d", i);
            push(&h, turn ? LIST_FRONT : LIST_BACK, bytes_of(text, len), USUAL);
            if (list_count(&h.value) > WITHIN)
                delete (&h, turn ? WITHIN : 0, 1, USUAL);
        }
        assert_int_equal(h.value.encoding, ENCODING_QUICKLIST);
        assert_true(list_object_bytes(&h.value, 0) < BYTES_MAX);
    }
    let_go(&h);
}

/* ---- memory ---- */

static void test_memory_aim(void **state) {
    enum { LISTS = 1000, ELEMENTS = 1000 };
    static struct value lists[LISTS];
    char text[32];
    uint64_t before = mem_used();
    size_t told = 0;
    for (int l = 0; l < LISTS; l++) {
        struct holder h;
        hold_new(&h);
        for (int i = 0; i < ELEMENTS; i++)
            push(&h, LIST_BACK,
                 bytes_of(text, (size_t)sprintf(text, "element:%09d", l * ELEMENTS + i)), USUAL);
        lists[l] = h.value;
        told += list_object_bytes(&h.value, 0);
        buf_free(&h.packed);
    }
    double each = (double)(mem_used() - before) / LISTS / ELEMENTS;
    printf("%.2f bytes an element of 17, list_object_bytes says %.2f\n", each,
           (double)told / LISTS / ELEMENTS);
#ifndef REMUDA_SANITIZE
    assert_true(each < 20);
    assert_true((double)told / LISTS / ELEMENTS > each * 0.95);
#endif
    for (int l = 0; l < LISTS; l++)
        list_free(&lists[l]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_becomes_blocks), cmocka_unit_test(test_settles),
        cmocka_unit_test(test_model),          cmocka_unit_test(test_queue),
        cmocka_unit_test(test_memory_aim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
