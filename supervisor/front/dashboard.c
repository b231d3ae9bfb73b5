/* dashboard.c - dashboard.html as part of the executable. */
#include "supervisor/front/dashboard.h"

__asm__(".pushsection .rodata\n"
        "dashboard_html_begin:\n"
        ".incbin \"supervisor/front/dashboard.html\"\n"
        "dashboard_html_end:\n"
        ".popsection\n");
extern const char dashboard_html_begin[], dashboard_html_end[];

static const char placeholder[] = "@NONCE@";

void dashboard_write(const char *nonce, struct buf *out) {
    const char *at = dashboard_html_begin, *end = dashboard_html_end;
    const char *found;
    while ((found = memmem(at, (size_t)(end - at), placeholder, sizeof(placeholder) - 1))) {
        buf_append(out, at, (size_t)(found - at));
        buf_append_text(out, nonce);
        at = found + sizeof(placeholder) - 1;
    }
    buf_append(out, at, (size_t)(end - at));
}
