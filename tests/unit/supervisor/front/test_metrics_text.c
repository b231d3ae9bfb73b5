/* test_metrics_text.c - /metrics against the rules of the Prometheus text format 0.0.4. */
#include "supervisor/front/metrics_text.h"
#include "tests/unit/supervisor/front/front_fixture.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINES_MAX = 4096, LINE_BYTES = 512 };
static char lines[LINES_MAX][LINE_BYTES];

static int line_order(const void *a, const void *b) {
    return strcmp(a, b);
}

static uint32_t write_lines(void **state) {
    struct front_fixture *f = *state;
    struct buf out = {0};
    uint32_t count = 0;
    metrics_text_write(&f->view, &out);
    assert_int_equal(out.data[out.len - 1], '\n');
    buf_append(&out, "", 1);
    for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n")) {
        assert_true(count < LINES_MAX && strlen(line) < LINE_BYTES);
        strcpy(lines[count++], line);
    }
    buf_free(&out);
    return count;
}

static size_t name_length(const char *text) {
    size_t len = 0;
    assert_true(isalpha((unsigned char)text[0]) || text[0] == '_');
    while (isalnum((unsigned char)text[len]) || text[len] == '_' || text[len] == ':')
        len++;
    return len;
}

/* name="value" pairs between braces; returns what follows them. */
static const char *skip_labels(const char *text) {
    while (*text == '{' || *text == ',') {
        text += 1 + name_length(text + 1);
        assert_int_equal(*text++, '=');
        assert_int_equal(*text++, '"');
        for (; *text != '"'; text++)
            assert_true(*text != '\0' && (*text != '\\' || *++text != '\0'));
        text++;
    }
    if (*text == '}')
        text++;
    return text;
}

/* HELP, TYPE, samples; each family once and its samples together. */
static void the_format_is_kept(void **state) {
    char family[128] = "", type[16] = "";
    uint32_t count = write_lines(state), families = 0, samples_of_family = 1;
    for (uint32_t i = 0; i < count; i++) {
        const char *line = lines[i];
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_true(samples_of_family > 0);
            size_t len = name_length(line + 7);
            snprintf(family, sizeof(family), "%.*s", (int)len, line + 7);
            assert_true(strlen(line) > 7 + len + 1);
            assert_true(++i < count);
            assert_int_equal(strncmp(lines[i], "# TYPE ", 7), 0);
            assert_int_equal(strncmp(lines[i] + 7, family, len), 0);
            snprintf(type, sizeof(type), "%s", lines[i] + 7 + len + 1);
            assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0);
            bool total = len > 6 && strcmp(family + len - 6, "_total") == 0;
            assert_int_equal(total, strcmp(type, "counter") == 0);
            families++;
            samples_of_family = 0;
            continue;
        }
        size_t len = name_length(line);
        assert_int_equal(strlen(family), len);
        assert_int_equal(strncmp(line, family, len), 0);
        const char *value = skip_labels(line + len);
        char *end;
        assert_int_equal(*value, ' ');
        strtod(value + 1, &end);
        assert_true(end != value + 1 && *end == '\0');
        samples_of_family++;
    }
    assert_true(families >= METRIC_COUNT);
}

/* Up to the value, every line is there once. */
static void nothing_twice(void **state) {
    uint32_t count = write_lines(state);
    for (uint32_t i = 0; i < count; i++)
        if (lines[i][0] != '#')
            *strrchr(lines[i], ' ') = '\0';
    qsort(lines, count, sizeof(lines[0]), line_order);
    for (uint32_t i = 1; i < count; i++)
        assert_string_not_equal(lines[i - 1], lines[i]);
}

static bool has_line(uint32_t count, const char *line) {
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(lines[i], line) == 0)
            return true;
    return false;
}

static void values_are_those_of_the_pages(void **state) {
    struct front_fixture *f = *state;
    status_set(segment_status(&f->segment, 1), METRIC_keys, 42);
    status_set(segment_status(&f->segment, 2), METRIC_commands_processed, UINT64_MAX);
    status_set(segment_status(&f->segment, segment_front_index(FIXTURE_WORKERS)),
               METRIC_front_accepted, 7);
    atomic_store(&segment_status(&f->segment, 0)->state, CHILD_FAILED);
    atomic_store(&segment_status(&f->segment, 1)->restarts, 5);
    uint32_t count = write_lines(state);
    assert_true(has_line(count, "remuda_keys{shard=\"1\"} 42"));
    assert_true(
        has_line(count, "remuda_commands_processed_total{shard=\"2\"} 18446744073709551615"));
    assert_true(has_line(count, "remuda_front_accepted_total{process=\"front\"} 7"));
    assert_true(has_line(count, "remuda_child_state{shard=\"0\",state=\"failed\"} 1"));
    assert_true(has_line(count, "remuda_child_state{shard=\"0\",state=\"up\"} 0"));
    assert_true(has_line(count, "remuda_child_state{shard=\"1\",state=\"up\"} 1"));
    assert_true(has_line(count, "remuda_child_restarts_total{shard=\"1\"} 5"));
    assert_true(has_line(count, "remuda_child_generation{process=\"supervisor\"} 14"));
    assert_false(has_line(count, "remuda_keys{process=\"front\"} 0"));
}

static void put_replica(struct front_fixture *f, uint32_t worker, const char *address) {
    static struct replication_table table;
    table.replicas = 2; /* both say the same of themselves */
    for (uint32_t i = 0; i < table.replicas; i++) {
        table.replica[i] =
            (struct replica_line){.port = 7001, .offset = 90, .behind_bytes = 10, .lag_s = 3};
        snprintf(table.replica[i].address, LINK_ADDRESS_BYTES, "%s", address);
    }
    replication_page_write(segment_replication(&f->segment, worker), &table);
}

static void replicas_are_there(void **state) {
    put_replica(*state, 1, "10.0.0.7");
    put_replica(*state, 2, "a\"b\\c\nd");
    uint32_t count = write_lines(state);
    assert_true(has_line(count, "remuda_replica_link_offset{shard=\"1\",link=\"0\",replica="
                                "\"10.0.0.7:7001\"} 90"));
    assert_true(has_line(count, "remuda_replica_link_behind_bytes{shard=\"1\",link=\"1\",replica="
                                "\"10.0.0.7:7001\"} 10"));
    assert_true(has_line(count, "remuda_replica_link_lag_seconds{shard=\"2\",link=\"0\",replica="
                                "\"a?b?c?d:7001\"} 3"));
    the_format_is_kept(state);
    nothing_twice(state);
}

static void ids_are_escaped(void **state) {
    struct front_fixture *f = *state;
    snprintf(f->segment.header->pool_id, sizeof(f->segment.header->pool_id), "a\"b\\c\nd");
    uint32_t count = write_lines(state), found = 0;
    for (uint32_t i = 0; i < count; i++)
        found += strstr(lines[i], "{pool_id=\"a\\\"b\\\\c?d\",") != NULL;
    assert_int_equal(found, 1);
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, front_fixture_setup, front_fixture_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_format_is_kept), TEST(nothing_twice),   TEST(values_are_those_of_the_pages),
        TEST(replicas_are_there), TEST(ids_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
