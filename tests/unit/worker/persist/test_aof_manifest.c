/* test_aof_manifest.c - Redis's text form both ways, and everything that is not it. */
#include "worker/persist/aof_manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared/base/clock.h"

enum { CHECKSUM_LINE_BYTES = 24 };

/* The text, and one line more: its checksum. */
static void expect_text(const struct aof_manifest *m, const char *want) {
    struct buf out = {0};
    aof_manifest_format(m, &out);
    assert_int_equal(out.len, strlen(want) + CHECKSUM_LINE_BYTES);
    assert_memory_equal(out.data, want, strlen(want));
    assert_memory_equal(out.data + strlen(want), "#crc64 ", 7);
    buf_free(&out);
}

static const char usual[] = "file appendonly.aof.2.base.rdb seq 2 type b\n"
                            "file appendonly.aof.1.incr.aof seq 1 type h\n"
                            "file appendonly.aof.3.incr.aof seq 3 type i\n"
                            "file appendonly.aof.4.incr.aof seq 4 type i\n";

static void the_usual_text_goes_both_ways(void **state) {
    struct aof_manifest m = {0};
    char error[256];
    assert_int_equal(aof_manifest_parse(&m, bytes_of_text(usual), error, sizeof error), 0);
    assert_int_equal(m.count, 4);
    assert_string_equal(aof_manifest_base(&m)->name, "appendonly.aof.2.base.rdb");
    assert_string_equal(aof_manifest_last_incr(&m)->name, "appendonly.aof.4.incr.aof");
    assert_int_equal(aof_manifest_next_seq(&m, AOF_INCR), 5);
    assert_int_equal(aof_manifest_next_seq(&m, AOF_BASE), 3);
    expect_text(&m, usual);
    aof_manifest_free(&m);
}

static void strange_names_are_quoted(void **state) {
    struct aof_manifest m = {0}, back = {0};
    struct buf out = {0};
    char error[256];
    aof_manifest_add(&m, AOF_INCR, 1, "my log\".1.incr.aof\x01");
    aof_manifest_format(&m, &out);
    expect_text(&m, "file \"my log\\\".1.incr.aof\\x01\" seq 1 type i\n");
    assert_int_equal(aof_manifest_parse(&back, buf_bytes(&out), error, sizeof error), 0);
    assert_string_equal(back.files[0].name, m.files[0].name);
    aof_manifest_free(&m);
    aof_manifest_free(&back);
    buf_free(&out);
}

static void comments_and_unknown_words_are_passed_over(void **state) {
    struct aof_manifest m = {0};
    char error[256];
    const char text[] = "# a comment\nseq 7 later x type i file a.incr.aof\n";
    assert_int_equal(aof_manifest_parse(&m, bytes_of_text(text), error, sizeof error), 0);
    assert_int_equal(m.files[0].seq, 7);
    aof_manifest_free(&m);
}

static void what_is_wrong_is_said(void **state) {
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "line 1: no file is named"},
        {"# only this\n", "line 2: no file is named"},
        {"file a seq 1 type b", "line 1: cut short"},
        {"file a seq 1 type b\n\n", "line 2: empty"},
        {"file a seq 1\n", "must be given"},
        {"file a type b\n", "must be given"},
        {"seq 1 type b\n", "must be given"},
        {"file a seq 1 type\n", "a word is missing"},
        {"file a seq 0 type b\n", "'0' is no sequence number"},
        {"file a seq -1 type b\n", "'-1' is no sequence number"},
        {"file a seq 99999999999999999999 type b\n", "is no sequence number"},
        {"file a seq 1 type x\n", "'x' is no type"},
        {"file a seq 1 type bi\n", "'bi' is no type"},
        {"file ../a seq 1 type b\n", "is no file name"},
        {"file /etc/passwd seq 1 type b\n", "is no file name"},
        {"file .. seq 1 type b\n", "is no file name"},
        {"file \"\" seq 1 type b\n", "is no file name"},
        {"file \"a seq 1 type b\n", "malformed"},
        {"file \"a\\\n", "malformed"},
        {"file a seq 1 type b\nfile b seq 2 type b\n", "line 2: a second base"},
        {"file a seq 2 type i\nfile b seq 1 type i\n", "increment 1 stands behind 2"},
        {"file a seq 2 type i\nfile b seq 2 type i\n", "increment 2 stands behind 2"},
        {"file a seq 1 type b\nfile a seq 1 type i\n", "named twice"},
        {"file a seq 1 type i\nfile b seq 3 type i\n", "missing between 'a' and 'b'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct aof_manifest m = {0};
        char error[256] = "";
        if (aof_manifest_parse(&m, bytes_of_text(bad[i].text), error, sizeof error) != -1)
            fail_msg("accepted: %s", bad[i].text);
        if (strstr(error, bad[i].words) == NULL)
            fail_msg("'%s' is not in '%s'", bad[i].words, error);
        assert_null(m.files);
    }
}

/* Whatever bit is flipped: it is refused, or was in the word that names the checksum and changed nothing. */
static void every_flipped_bit_is_found(void **state) {
    struct aof_manifest m = {0}, back = {0};
    struct buf out = {0};
    char error[256];
    unsigned harmless = 0;
    assert_int_equal(aof_manifest_parse(&m, bytes_of_text(usual), error, sizeof error), 0);
    aof_manifest_format(&m, &out);
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        out.data[bit / 8] ^= (char)(1 << bit % 8);
        if (aof_manifest_parse(&back, buf_bytes(&out), error, sizeof error) == 0) {
            size_t word = strlen(usual);
            if (bit / 8 < word || bit / 8 >= word + 7)
                fail_msg("bit %zu of byte %zu was not seen", bit % 8, bit / 8);
            expect_text(&back, usual);
            harmless++;
        }
        aof_manifest_free(&back);
        out.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(harmless > 0 && harmless <= 7 * 8);
    /* A line that is missing, or one more. */
    assert_int_equal(
        aof_manifest_parse(&back, bytes_of(out.data + 44, out.len - 44), error, sizeof error), -1);
    assert_non_null(strstr(error, "wrong checksum"));
    buf_append_text(&out, "# more\n");
    assert_int_equal(aof_manifest_parse(&back, buf_bytes(&out), error, sizeof error), -1);
    aof_manifest_free(&m);
    buf_free(&out);
}

static void lengths_are_bounded(void **state) {
    struct aof_manifest m = {0};
    struct buf text = {0};
    char error[256];
    buf_append_text(&text, "file ");
    for (int i = 0; i < AOF_NAME_MAX; i++)
        buf_append_text(&text, "n");
    size_t name_end = text.len;
    buf_append_text(&text, " seq 1 type i\n");
    assert_int_equal(aof_manifest_parse(&m, buf_bytes(&text), error, sizeof error), 0);
    aof_manifest_free(&m);
    buf_insert(&text, name_end, "n", 1);
    assert_int_equal(aof_manifest_parse(&m, buf_bytes(&text), error, sizeof error), -1);
    buf_clear(&text);
    for (int i = 1; i <= AOF_FILES_MAX + 1; i++)
        buf_printf(&text, "file f%d seq %d type i\n", i, i);
    assert_int_equal(aof_manifest_parse(&m, buf_bytes(&text), error, sizeof error), -1);
    assert_non_null(strstr(error, "more than 1024 files"));
    buf_free(&text);
}

/* No outcome is wrong but a crash; what is accepted must go both ways. */
static void noise_does_no_harm(void **state) {
    const char *given = getenv("SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)clock_mono_us();
    print_message("seed %u\n", seed);
    char error[256];
    for (int round = 0; round < 50000; round++) {
        struct aof_manifest m = {0}, back = {0};
        struct buf out = {0};
        char text[sizeof usual];
        memcpy(text, usual, sizeof usual);
        for (int i = rand_r(&seed) % 3; i >= 0; i--)
            text[rand_r(&seed) % (sizeof usual - 1)] = "\n \"\\x0a\0#bhi19."[rand_r(&seed) % 16];
        size_t len = sizeof usual - 1 - (size_t)(rand_r(&seed) % 2 ? rand_r(&seed) % 40 : 0);
        if (aof_manifest_parse(&m, bytes_of(text, len), error, sizeof error) == 0) {
            aof_manifest_format(&m, &out);
            if (aof_manifest_parse(&back, buf_bytes(&out), error, sizeof error) != 0)
                fail_msg("not read back (%s): %.*s", error, (int)out.len, out.data);
            assert_int_equal(back.count, m.count);
        }
        aof_manifest_free(&m);
        aof_manifest_free(&back);
        buf_free(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_text_goes_both_ways),
        cmocka_unit_test(strange_names_are_quoted),
        cmocka_unit_test(comments_and_unknown_words_are_passed_over),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(noise_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
