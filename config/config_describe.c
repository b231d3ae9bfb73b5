/* config_describe.c - every option, commented out at its default, with help, unit and range: the
 * shipped pool.ini, and what `remuda --options` prints. */
#include "config/config.h"

#include "config/config_private.h"

enum { LINE_COLUMNS = 96 };

static const char introduction[] =
    "# pool.ini - the options of a Remuda pool.\n"
    "#\n"
    "# Every option is here, commented out at its default: take the ; away and change the value.\n"
    "#\n"
    "#   remuda pool.ini                 run the pool in the foreground\n"
    "#   remuda pool.ini --port 7000     any option may follow; it counts more than the file\n"
    "#   remuda --check pool.ini         only say whether the file is right\n"
    "#\n"
    "# A line is a [section], name = value, or a comment; a blank and then ; or # begins a "
    "comment\n"
    "# behind a value. A value that holds these, or begins or ends with a blank, goes in double\n"
    "# quotes, where \\\" \\\\ \\n \\t \\xHH are known: requirepass = \"my ;secret #1\". Values "
    "end with\n"
    "# their line. Bytes: 1k is 1000, 1kb is 1024, and so on with m, mb, g, gb.\n"
    "#\n"
    "# What does not say \"needs a restart\" can be changed while the pool runs: with CONFIG SET, "
    "or\n"
    "# here, followed by SIGHUP to the supervisor. CONFIG REWRITE writes live values into this "
    "file.\n";

static const struct {
    const char *section, *about;
} sections[] = {
    {"pool", "The processes, where their data and log are, and how they talk to each other."},
    {"network", "Where clients come in."},
    {"security", "Who may come in."},
    {"limits", "Memory, sizes, and how much work is done in the background."},
    {"persistence", "Snapshots (RDB) and the log of writes (AOF). Each shard has its own files."},
    {"replication", "Replicas: servers that follow this one and keep a copy of its data."},
    {"diagnosis", "What is kept of slow commands and events: SLOWLOG, LATENCY."},
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
    if (row->when == OPTION_START)
        buf_append_text(&allowed, "; needs a restart");
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
