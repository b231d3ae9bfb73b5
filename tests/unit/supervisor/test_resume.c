/* test_resume.c - resume.json: what was written is read once, and nothing that is damaged. */
#include "supervisor/resume.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"

static char dir[64], path[128], error[256];
static struct resume r;

static int set_up(void **state) {
    log_set_level(LOG_WARNING + 1);
    strcpy(dir, "/tmp/remuda-resume-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/" RESUME_FILE_NAME, dir);
    return 0;
}

static int tear_down(void **state) {
    resume_clear(&r);
    unlink(path);
    rmdir(path);
    return rmdir(dir);
}

static bool is_there(void) {
    return access(path, F_OK) == 0;
}

static void publish_two(void) {
    static struct resume made;
    made.shards = 2;
    made.shard[0] = (struct resume_shard){mem_strdup("a:1"), mem_strdup("1 host 1\n0 b 2 0\n"), 0};
    made.shard[1] = (struct resume_shard){mem_strdup("c:3"), mem_strdup("1 host 1\n"), 0};
    assert_int_equal(resume_publish(&made, dir, error, sizeof(error)), 0);
    resume_clear(&made);
    assert_true(is_there());
}

static void test_good_for_once(void **state) {
    publish_two();
    assert_int_equal(resume_take(&r, dir, error, sizeof(error)), 0);
    assert_false(is_there());
    assert_int_equal(r.shards, 2);
    assert_string_equal(r.shard[0].seal, "a:1");
    assert_string_equal(r.shard[0].links, "1 host 1\n0 b 2 0\n");
    assert_string_equal(r.shard[1].seal, "c:3");
    assert_string_equal(r.shard[1].links, "1 host 1\n");
    resume_clear(&r);
    assert_int_equal(resume_take(&r, dir, error, sizeof(error)), 0);
    assert_int_equal(r.shards, 0);
}

/* Refused, and gone. */
static void expect_nothing(void) {
    assert_int_equal(resume_take(&r, dir, error, sizeof(error)), 0);
    assert_int_equal(r.shards, 0);
    for (unsigned i = 0; i < SHARD_MAX; i++)
        assert_null(r.shard[i].seal);
    assert_false(is_there());
}

static void write_file(const char *text, size_t len) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
}

static void test_wrong_files(void **state) {
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{\"format\":2,\"shards\":[{\"seal\":\"a\",\"links\":\"\"}]}",
        "{\"format\":1,\"shards\":[]}",
        "{\"format\":1,\"shards\":{\"seal\":\"a\",\"links\":\"\"}}",
        "{\"format\":1,\"shards\":[{\"seal\":\"a\",\"links\":\"\"},{\"seal\":\"b\"}]}",
        "{\"format\":1,\"shards\":[{\"seal\":\"\",\"links\":\"\"}]}",
        "{\"format\":1,\"shards\":[7]}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        write_file(texts[i], strlen(texts[i]));
        expect_nothing();
    }
}

/* Each byte flipped in turn: it is not JSON any more, or its checksum is wrong. */
static void test_flipped_bits(void **state) {
    char text[1024];
    publish_two();
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof(text), file);
    fclose(file);
    for (size_t i = 0; i < len; i++) {
        if (strchr(" \n", text[i]))
            continue; /* blanks are no part of what it says */
        text[i] ^= 1;
        write_file(text, len);
        assert_int_equal(resume_take(&r, dir, error, sizeof(error)), 0);
        if (r.shards != 0 && !strstr(text, "\"crc64\""))
            resume_clear(&r); /* the name of the checksum itself: there is none then */
        assert_int_equal(r.shards, 0);
        text[i] ^= 1;
    }
}

static void test_it_cannot_be_removed(void **state) {
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(resume_take(&r, dir, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "cannot remove"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good_for_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flipped_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_cannot_be_removed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
