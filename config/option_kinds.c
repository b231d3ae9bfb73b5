/* option_kinds.c - the types of options: how each is parsed, printed and described.
 *
 * Error texts are Redis's, as CONFIG SET gives them. A field is changed only by a value that is
 * right as a whole. */
#include "config/config_private.h"

#include "shared/base/mem.h"

#include <inttypes.h>
#include <limits.h>
#include <strings.h>

static int check_range(const struct option_row *row, int64_t value, char *error_r) {
    if (value < row->min || value > row->max)
        return config_error(error_r,
                            "argument must be between %" PRId64 " and %" PRId64 " inclusive",
                            row->min, row->max);
    return 0;
}

/* ---- INT ---- */

static int int_parse(const struct option_row *row, struct bytes text, void *field, char *error_r) {
    int64_t value;
    if (!bytes_to_i64(text, &value))
        return config_error(error_r, "argument couldn't be parsed into an integer");
    if (check_range(row, value, error_r) != 0)
        return -1;
    *(int64_t *)field = value;
    return 0;
}

static void int_print(const struct option_row *row, const void *field, struct buf *out) {
    char digits[BYTES_I64_MAX];
    buf_append(out, digits, bytes_from_i64(digits, *(const int64_t *)field));
}

/* A bound at the end of an integer type says nothing to a reader. */
static bool is_unbounded(int64_t max) {
    return max >= INT32_MAX && (max == INT32_MAX || max == UINT32_MAX || max == INT64_MAX);
}

static void int_describe(const struct option_row *row, struct buf *out) {
    if (is_unbounded(row->max))
        buf_printf(out, "%" PRId64 " or more", row->min);
    else
        buf_printf(out, "%" PRId64 "..%" PRId64, row->min, row->max);
    if (row->unit[0])
        buf_printf(out, ", %s", row->unit);
}

/* ---- BOOL ---- */

static int bool_parse(const struct option_row *row, struct bytes text, void *field, char *error_r) {
    bool yes = bytes_equal_nocase(text, "yes");
    if (!yes && !bytes_equal_nocase(text, "no"))
        return config_error(error_r, "argument must be 'yes' or 'no'");
    *(bool *)field = yes;
    return 0;
}

static void bool_print(const struct option_row *row, const void *field, struct buf *out) {
    buf_append_text(out, *(const bool *)field ? "yes" : "no");
}

static void bool_describe(const struct option_row *row, struct buf *out) {
    buf_append_text(out, "yes or no");
}

/* ---- MEMORY ---- */

static const struct {
    const char *suffix;
    int64_t bytes;
} memory_units[] = {
    {"", 1},
    {"b", 1},
    {"k", 1000},
    {"kb", 1024},
    {"m", 1000 * 1000},
    {"mb", 1024 * 1024},
    {"g", 1000L * 1000 * 1000},
    {"gb", 1024L * 1024 * 1024},
};
enum { MEMORY_UNITS = sizeof memory_units / sizeof *memory_units };

static bool memory_from_text(struct bytes text, int64_t *value_r) {
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    struct bytes suffix = bytes_of(text.ptr + digits, text.len - digits);
    /* Redis takes leading zeros here, and a strict number does not. */
    struct bytes number = bytes_of(text.ptr, digits);
    while (number.len > 1 && number.ptr[0] == '0')
        number = bytes_of(number.ptr + 1, number.len - 1);
    int64_t count;
    if (!bytes_to_i64(number, &count))
        return false;
    for (uint32_t i = 0; i < MEMORY_UNITS; i++)
        if (bytes_equal_nocase(suffix, memory_units[i].suffix))
            return !__builtin_mul_overflow(count, memory_units[i].bytes, value_r);
    return false;
}

static int memory_parse(const struct option_row *row, struct bytes text, void *field,
                        char *error_r) {
    int64_t value;
    if (!memory_from_text(text, &value))
        return config_error(error_r, "argument must be a memory value");
    if (check_range(row, value, error_r) != 0)
        return -1;
    *(int64_t *)field = value;
    return 0;
}

static void memory_append_short(struct buf *out, int64_t bytes) {
    static const char *const names[] = {"", "kb", "mb", "gb"};
    uint32_t unit = 0;
    while (unit < 3 && bytes > 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    buf_printf(out, "%" PRId64 "%s", bytes, names[unit]);
}

static void memory_describe(const struct option_row *row, struct buf *out) {
    memory_append_short(out, row->min);
    if (is_unbounded(row->max)) {
        buf_append_text(out, " or more");
    } else {
        buf_append_text(out, "..");
        memory_append_short(out, row->max);
    }
    buf_append_text(out, ", in bytes or as 100kb, 64mb, 1gb");
}

/* ---- ENUM ---- */

/* The next of the words "a|b|c"; false at the end. */
static bool next_choice(const char **words, struct bytes *word_r) {
    if (**words == '\0')
        return false;
    size_t len = strcspn(*words, "|");
    *word_r = bytes_of(*words, len);
    *words += len + ((*words)[len] == '|');
    return true;
}

static void choices_append(const struct option_row *row, struct buf *out) {
    const char *words = row->unit;
    struct bytes word;
    for (int i = 0; next_choice(&words, &word); i++) {
        if (i > 0)
            buf_append_text(out, ", ");
        buf_append_bytes(out, word);
    }
}

static int enum_parse(const struct option_row *row, struct bytes text, void *field, char *error_r) {
    const char *words = row->unit;
    struct bytes word;
    for (int i = 0; next_choice(&words, &word); i++)
        if (word.len == text.len && strncasecmp(word.ptr, text.ptr, word.len) == 0) {
            *(int *)field = i;
            return 0;
        }
    struct buf choices = {0};
    choices_append(row, &choices);
    config_error(error_r, "argument(s) must be one of the following: %.*s", (int)choices.len,
                 choices.data);
    buf_free(&choices);
    return -1;
}

static void enum_print(const struct option_row *row, const void *field, struct buf *out) {
    const char *words = row->unit;
    struct bytes word = {0};
    for (int i = 0; i <= *(const int *)field && next_choice(&words, &word); i++)
        ;
    buf_append_bytes(out, word);
}

static void enum_describe(const struct option_row *row, struct buf *out) {
    buf_append_text(out, "one of: ");
    choices_append(row, out);
}

/* ---- STRING ---- */

static int string_check(const struct option_row *row, struct bytes text, char *error_r) {
    if ((int64_t)text.len > row->max)
        return config_error(error_r, "argument must be at most %" PRId64 " bytes long", row->max);
    if (text.len > 0 && memchr(text.ptr, '\0', text.len))
        return config_error(error_r, "argument must not contain a NUL byte");
    return 0;
}

static int string_parse(const struct option_row *row, struct bytes text, void *field,
                        char *error_r) {
    if (string_check(row, text, error_r) != 0)
        return -1;
    char *copy = mem_strndup(text.len ? text.ptr : "", text.len);
    mem_free(*(char **)field);
    *(char **)field = copy;
    return 0;
}

static void string_print(const struct option_row *row, const void *field, struct buf *out) {
    buf_append_text(out, *(char *const *)field);
}

static void string_describe(const struct option_row *row, struct buf *out) {
    buf_append_text(out, row->unit);
}

/* ---- WORDS ---- */

static int words_parse(const struct option_row *row, struct bytes text, void *field,
                       char *error_r) {
    struct buf joined = {0};
    struct bytes word;
    for (struct bytes rest = text; config_next_word(&rest, &word);) {
        if (joined.len > 0)
            buf_append(&joined, " ", 1);
        buf_append_bytes(&joined, word);
    }
    int result = string_parse(row, buf_bytes(&joined), field, error_r);
    buf_free(&joined);
    return result;
}

/* ---- SAVE ---- */

static int save_parse(const struct option_row *row, struct bytes text, void *field, char *error_r) {
    struct save_points points = {0};
    struct bytes seconds, changes;
    while (config_next_word(&text, &seconds)) {
        int64_t s, c;
        if (points.count == SAVE_POINTS_MAX || !config_next_word(&text, &changes) ||
            !bytes_to_i64(seconds, &s) || !bytes_to_i64(changes, &c) || s < 1 || c < 0)
            return config_error(error_r, "Invalid save parameters");
        points.point[points.count].seconds = s;
        points.point[points.count].changes = c;
        points.count++;
    }
    *(struct save_points *)field = points;
    return 0;
}

static void save_print(const struct option_row *row, const void *field, struct buf *out) {
    const struct save_points *points = field;
    for (uint32_t i = 0; i < points->count; i++)
        buf_printf(out, "%s%" PRId64 " %" PRId64, i ? " " : "", points->point[i].seconds,
                   points->point[i].changes);
}

static void save_describe(const struct option_row *row, struct buf *out) {
    buf_printf(out, "%s, at most %d pairs", row->unit, SAVE_POINTS_MAX);
}

/* ---- OUTPUT ---- */

static const struct {
    const char *name;
    enum output_class output_class;
} output_class_names[] = {
    /* The first name of a class is the one printed. */
    {"normal", OUTPUT_NORMAL},
    {"slave", OUTPUT_REPLICA},
    {"pubsub", OUTPUT_PUBSUB},
    {"replica", OUTPUT_REPLICA},
};
enum { OUTPUT_CLASS_NAMES = sizeof output_class_names / sizeof *output_class_names };

static int output_class_find(struct bytes name) {
    for (uint32_t i = 0; i < OUTPUT_CLASS_NAMES; i++)
        if (bytes_equal_nocase(name, output_class_names[i].name))
            return (int)output_class_names[i].output_class;
    return -1;
}

static uint32_t count_words(struct bytes text) {
    uint32_t count = 0;
    for (struct bytes word; config_next_word(&text, &word);)
        count++;
    return count;
}

/* Classes that are not named keep their limits. */
static int output_parse(const struct option_row *row, struct bytes text, void *field,
                        char *error_r) {
    struct output_limits limits = *(struct output_limits *)field;
    struct bytes class_name, hard, soft, seconds;
    if (count_words(text) % 4 != 0)
        return config_error(error_r, "Wrong number of arguments in buffer limit configuration.");
    while (config_next_word(&text, &class_name)) {
        config_next_word(&text, &hard);
        config_next_word(&text, &soft);
        config_next_word(&text, &seconds);
        int class_index = output_class_find(class_name);
        if (class_index < 0)
            return config_error(error_r,
                                "Invalid client class specified in buffer limit configuration.");
        int64_t soft_seconds;
        if (!memory_from_text(hard, &limits.of[class_index].hard_bytes) ||
            !memory_from_text(soft, &limits.of[class_index].soft_bytes) ||
            !bytes_to_i64(seconds, &soft_seconds) || soft_seconds < 0 || soft_seconds > INT32_MAX)
            return config_error(
                error_r,
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
        limits.of[class_index].soft_seconds = soft_seconds;
    }
    *(struct output_limits *)field = limits;
    return 0;
}

static void output_print(const struct option_row *row, const void *field, struct buf *out) {
    const struct output_limits *limits = field;
    for (uint32_t i = 0; i < OUTPUT_CLASSES; i++)
        buf_printf(out, "%s%s %" PRId64 " %" PRId64 " %" PRId64, i ? " " : "",
                   output_class_names[i].name, limits->of[i].hard_bytes, limits->of[i].soft_bytes,
                   limits->of[i].soft_seconds);
}

static void output_describe(const struct option_row *row, struct buf *out) {
    buf_printf(out, "%s ...; the classes are normal, replica, pubsub; 0: no limit", row->unit);
}

const struct option_kind option_kinds[OPTION_TYPE_COUNT] = {
    [OPTION_INT] = {sizeof(int64_t), false, int_parse, int_print, int_describe, false},
    [OPTION_BOOL] = {sizeof(bool), false, bool_parse, bool_print, bool_describe, false},
    [OPTION_MEMORY] = {sizeof(int64_t), false, memory_parse, int_print, memory_describe, false},
    [OPTION_ENUM] = {sizeof(int), false, enum_parse, enum_print, enum_describe, false},
    [OPTION_STRING] = {sizeof(char *), false, string_parse, string_print, string_describe, true},
    [OPTION_WORDS] = {sizeof(char *), true, words_parse, string_print, string_describe, true},
    [OPTION_SAVE] = {sizeof(struct save_points), true, save_parse, save_print, save_describe,
                     false},
    [OPTION_OUTPUT] = {sizeof(struct output_limits), true, output_parse, output_print,
                       output_describe, false},
};
