/* test_failover_note.c - what was written is read; whatever else lies there is an error with a text, never a
 * target. */
#include "shared/ipc/failover_note.h"
#include "tests/unit/shared/support.h"

static const char run_id[] = "0123456789abcdef0123456789abcdef01234567";

static void what_is_written_is_read(void **state) {
    struct support_dir dir = support_dir_make();
    struct failover_note note, none = {0};
    char error[400], target[FAILOVER_TARGET_BYTES];
    assert_int_equal(failover_note_read(dir.path, &note, error, sizeof error), 0);
    assert_int_equal(note.state, FAILOVER_NOTE_NONE);
    for (int i = FAILOVER_NOTE_PROMOTING; i <= FAILOVER_NOTE_FOLLOWED; i++) {
        struct failover_note in = {.state = (enum failover_note_state)i, .port = 65535};
        strcpy(in.host, "a-host.example");
        strcpy(in.run_id, i == FAILOVER_NOTE_PROMOTING ? run_id : "");
        assert_int_equal(failover_note_write(dir.path, &in, error, sizeof error), 0);
        assert_int_equal(failover_note_read(dir.path, &note, error, sizeof error), 0);
        assert_int_equal(note.state, i);
        assert_string_equal(note.run_id, in.run_id);
        failover_note_target(&note, target);
        assert_string_equal(target, "a-host.example 65535");
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(failover_note_write(dir.path, &none, error, sizeof error), 0);
        assert_int_equal(failover_note_read(dir.path, &note, error, sizeof error), 0);
        assert_int_equal(note.state, FAILOVER_NOTE_NONE);
    }
    support_dir_remove(dir);
}

static void a_target_that_could_not_be_read_is_not_written(void **state) {
    static const char *const hosts[] = {"", "a b", "a\nb"};
    struct support_dir dir = support_dir_make();
    struct failover_note note = {.state = FAILOVER_NOTE_PROMOTING, .port = 1};
    char error[400];
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        strcpy(note.host, hosts[i]);
        assert_int_equal(failover_note_write(dir.path, &note, error, sizeof error), -1);
    }
    strcpy(note.host, "good");
    note.port = 0;
    assert_int_equal(failover_note_write(dir.path, &note, error, sizeof error), -1);
    assert_int_equal(failover_note_read(dir.path, &note, error, sizeof error), 0);
    assert_int_equal(note.state, FAILOVER_NOTE_NONE);
    support_dir_remove(dir);
}

static void write_note(const struct support_dir *dir, const char *text) {
    char path[100];
    snprintf(path, sizeof path, "%s/failover", dir->path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void damage_is_an_error(void **state) {
    static const char *const texts[] = {"",
                                        "\n",
                                        "promoting",
                                        "promoting host 1 -",
                                        "promoting host 1 -\n\n",
                                        "promoting host 0 -\n",
                                        "promoting host 65536 -\n",
                                        "promoting host -1 -\n",
                                        "none host 1 -\n",
                                        "followed host 1\n"};
    struct support_dir dir = support_dir_make();
    struct failover_note note;
    char error[400];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_note(&dir, texts[i]);
        assert_int_equal(failover_note_read(dir.path, &note, error, sizeof error), -1);
        assert_non_null(strstr(error, "failover: is damaged"));
        assert_int_equal(note.state, FAILOVER_NOTE_NONE);
    }
    support_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_target_that_could_not_be_read_is_not_written),
        cmocka_unit_test(damage_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
