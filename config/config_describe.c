/* config_describe.c - every option, commented out at its default, with help, unit and range: the
 * shipped pool.ini, and what `remuda --options` prints. */
#include "config/config.h"

#include "config/config_private.h"

enum { LINE_COLUMNS = 96 };

static const char introduction[] =
    "# pool.ini - the options of a Remuda pool.\n"
    "#\n"
    "# Every option stands here, commented out at its default: take the ; away and change the "
    "value.\n"
    "#\n"
    "#   build/remuda pool.ini                 run the pool in the foreground\n"
    "#   build/remuda pool.ini --port 7000     any option may follow, and counts more than the "
    "file\n"
    "#   build/remuda --check pool.ini         only say whether the file is right\n"
    "#\n"
    "# A line is a [section], name = value, or a comment. Text behind a blank and ; or # is a "
    "comment\n"
    "# too. A value that holds these, or begins or ends with a blank, goes in double quotes, "
    "where\n"
    "# \\\" \\\\ \\n \\t \\xHH are known: requirepass = \"a ;b#c\". A value is one line.\n"
    "# 1k is 1000 bytes and 1kb is 1024; in the same way m, mb, g, gb.\n"
    "#\n"
    "# \"run time\" options can be changed while the pool runs: by CONFIG SET, or here and then "
    "SIGHUP.\n";

static const struct {
    const char *section, *about;
} sections[] = {
    {"pool", "The processes, where their data and log are, and how they talk to each other."},
    {"network", "Where clients come in."},
    {"security", "Who may come in."},
    {"limits", "Memory, sizes, and how much work is done in the background."},
    {"persistence", "Snapshots (RDB) and the log of writes (AOF). Each shard has its own files."},
    {"supervision", "What happens to a process that hangs or dies."},
    {"status", "The dashboard, the JSON status and the metrics, over HTTP."},
};

/* "# " lines of at most LINE_COLUMNS, broken between words. */
static void describe_comment(struct buf *out, const char *prefix, struct bytes text) {
    size_t column = 0;
    struct bytes word;
    while (config_next_word(&text, &word)) {
        if (column > 0 && column + 1 + word.len > LINE_COLUMNS) {
            buf_append(out, "\n", 1);
            column = 0;
        }
        const char *before = column == 0 ? prefix : " ";
        buf_append_text(out, before);
        buf_append_bytes(out, word);
        column += strlen(before) + word.len;
    }
    buf_append(out, "\n", 1);
}

static void describe_option(struct buf *out, const struct option_row *row) {
    buf_append(out, "\n", 1);
    describe_comment(out, "# ", bytes_of_text(row->help));
    struct buf allowed = {0};
    config_allowed(row, &allowed);
    buf_append_text(&allowed, row->when == OPTION_START ? " (start)" : " (run time)");
    describe_comment(out, "#   ", buf_bytes(&allowed));
    buf_free(&allowed);
    buf_printf(out, ";%s = ", row->name);
    config_quote_if_needed(out, bytes_of_text(row->default_text));
    buf_append(out, "\n", 1);
}

void config_describe(struct buf *out) {
    buf_append_text(out, introduction);
    for (uint32_t s = 0; s < sizeof sections / sizeof *sections; s++) {
        buf_printf(out, "\n\n[%s]\n", sections[s].section);
        describe_comment(out, "# ", bytes_of_text(sections[s].about));
        for (uint32_t i = 0; i < option_count; i++)
            if (strcmp(option_rows[i].section, sections[s].section) == 0)
                describe_option(out, &option_rows[i]);
    }
}
