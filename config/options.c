/* options.c - the table of options, made from options.def, and how a name finds its row. */
#include "config/config_private.h"

#include <ctype.h>

const struct option_row option_rows[] = {
#define OPTION(field, name, section, type, unit, def, min, max, when, help)                        \
    {name, section, OPTION_##type, unit, def,                                                      \
     min,  max,     OPTION_##when, help, offsetof(struct config, field)},
#include "config/options.def"
#undef OPTION
};
const uint32_t option_count = sizeof option_rows / sizeof *option_rows;

enum { NAME_MAX_BYTES = 64 };

const struct option_row *option_find(struct bytes name) {
    for (uint32_t i = 0; i < option_count; i++)
        if (bytes_equal_nocase(name, option_rows[i].name))
            return &option_rows[i];
    return NULL;
}

static bool same_letter(char a, char b) {
    if (a == '_')
        a = '-';
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static uint32_t min3(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap two neighbours) between two names of at most NAME_MAX_BYTES. */
static uint32_t edit_distance(struct bytes a, struct bytes b) {
    uint32_t d[NAME_MAX_BYTES + 1][NAME_MAX_BYTES + 1];
    for (uint32_t i = 0; i <= a.len; i++)
        d[i][0] = i;
    for (uint32_t j = 0; j <= b.len; j++)
        d[0][j] = j;
    for (uint32_t i = 1; i <= a.len; i++)
        for (uint32_t j = 1; j <= b.len; j++) {
            uint32_t replace = same_letter(a.ptr[i - 1], b.ptr[j - 1]) ? 0 : 1;
            d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + replace);
            if (i > 1 && j > 1 && same_letter(a.ptr[i - 1], b.ptr[j - 2]) &&
                same_letter(a.ptr[i - 2], b.ptr[j - 1]) && d[i - 2][j - 2] + 1 < d[i][j])
                d[i][j] = d[i - 2][j - 2] + 1;
        }
    return d[a.len][b.len];
}

const char *option_nearest(struct bytes name) {
    if (name.len == 0 || name.len > NAME_MAX_BYTES)
        return NULL;
    /* A third of the letters may be wrong: more is another word. */
    uint32_t best = (uint32_t)(name.len < 3 ? 1 : name.len / 3) + 1;
    const char *nearest = NULL;
    for (uint32_t i = 0; i < option_count; i++) {
        struct bytes candidate = bytes_of_text(option_rows[i].name);
        uint32_t distance = edit_distance(name, candidate);
        if (distance < best) {
            best = distance;
            nearest = option_rows[i].name;
        }
    }
    return nearest;
}
