/* http_host.c - the Host check. */
#include "supervisor/front/http_host.h"
#include "shared/base/bytes.h"

static const char *const always[] = {"localhost", "127.0.0.1", "::1"};

static bool is_port(struct bytes text) {
    uint64_t port;
    return text.len == 0 || (bytes_to_u64(text, &port) && port <= 65535);
}

/* "name:port" or "[v6]:port" -> name or v6. */
static bool host_name(struct bytes host, struct bytes *name_r) {
    if (host.len == 0)
        return false;
    struct bytes rest;
    if (host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', host.len);
        if (!end)
            return false;
        *name_r = bytes_of(host.ptr + 1, (size_t)(end - host.ptr) - 1);
        rest = bytes_of(end + 1, host.len - name_r->len - 2);
    } else {
        const char *colon = memchr(host.ptr, ':', host.len);
        size_t len = colon ? (size_t)(colon - host.ptr) : host.len;
        *name_r = bytes_of(host.ptr, len);
        rest = bytes_of(host.ptr + len, host.len - len);
    }
    if (name_r->len == 0)
        return false;
    return rest.len == 0 || (rest.ptr[0] == ':' && is_port(bytes_of(rest.ptr + 1, rest.len - 1)));
}

static bool name_equal(struct bytes a, struct bytes b) {
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        char x = a.ptr[i], y = b.ptr[i];
        x = x >= 'A' && x <= 'Z' ? (char)(x + 'a' - 'A') : x;
        y = y >= 'A' && y <= 'Z' ? (char)(y + 'a' - 'A') : y;
        if (x != y)
            return false;
    }
    return true;
}

static bool listed(struct bytes name, const char *hosts) {
    while (*hosts) {
        size_t len = strcspn(hosts, " \t,");
        struct bytes word = bytes_of(hosts, len);
        if (len > 0 && (bytes_equal(word, BYTES_LITERAL("*")) || name_equal(name, word)))
            return true;
        hosts += len;
        hosts += strspn(hosts, " \t,");
    }
    return false;
}

bool http_host_allowed(const char *host, const char *local, const char *hosts) {
    struct bytes name;
    if (!host || !host_name(bytes_of_text(host), &name))
        return false;
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (name_equal(name, bytes_of_text(always[i])))
            return true;
    return (local && name_equal(name, bytes_of_text(local))) || listed(name, hosts);
}
