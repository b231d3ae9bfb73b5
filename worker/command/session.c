/* session.c - a client's session: its beginning, its end, RESET, and its line in CLIENT LIST. */
#include "worker/command/session.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "worker/command/command.h"
#include "worker/replication/primary.h"

void session_init(struct session *s, enum session_port port) {
    *s = (struct session){.port = port, .resp = 2, .fd = -1};
    list_init(&s->link);
    s->created_wall_ms = clock_wall_ms();
    s->last_active_mono_ms = clock_mono_ms();
}

static void free_text(char **text) {
    mem_free(*text);
    *text = NULL;
}

void session_free(struct session *s) {
    list_remove(&s->link);
    replica_free(&s->replica);
    free_text(&s->name);
    free_text(&s->lib_name);
    free_text(&s->lib_version);
}

void session_reset(struct session *s, bool needs_password) {
    s->db = 0;
    s->resp = 2;
    s->reply_mode = SESSION_REPLY_ON;
    s->authenticated = !needs_password;
    s->readonly_mode = s->asking = s->no_evict = s->no_touch = false;
    free_text(&s->name);
}

static void append_flags(const struct session *s, struct buf *out) {
    const struct {
        bool on;
        char letter;
    } flags[] = {
        {replica_is_attached(s->replica), 'S'},
        {s->monitor, 'O'},
        {s->upstream, 'M'},
        {s->blocked_token != 0, 'b'},
        {s->close_after_reply, 'c'},
        {s->close_now, 'A'},
        {s->unix_socket, 'U'},
        {s->readonly_mode, 'r'},
        {s->no_evict, 'e'},
        {s->no_touch, 'T'},
    };
    size_t before = out->len;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (flags[i].on)
            buf_append(out, &flags[i].letter, 1);
    if (out->len == before)
        buf_append(out, "N", 1);
}

static const char *text_or_empty(const char *text) {
    return text != NULL ? text : "";
}

void session_describe(const struct session *s, struct buf *out) {
    int64_t age_ms = clock_wall_ms() - s->created_wall_ms;
    uint64_t now_ms = clock_mono_ms();
    uint64_t idle_ms = now_ms > s->last_active_mono_ms ? now_ms - s->last_active_mono_ms : 0;
    buf_printf(out, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%llu flags=",
               (unsigned long long)s->id, s->peer, s->local, s->fd, text_or_empty(s->name),
               (long long)(age_ms > 0 ? age_ms / 1000 : 0), (unsigned long long)(idle_ms / 1000));
    append_flags(s, out);
    buf_printf(out,
               " db=%u sub=0 psub=0 ssub=0 multi=-1 qbuf=%llu qbuf-free=%llu argv-mem=%llu "
               "multi-mem=0 rbs=%llu rbp=%llu obl=%llu oll=0 omem=0 tot-mem=%llu events=r",
               s->db, (unsigned long long)s->query_bytes, (unsigned long long)s->query_free_bytes,
               (unsigned long long)s->args_bytes, (unsigned long long)s->reply_bytes,
               (unsigned long long)s->reply_bytes, (unsigned long long)s->reply_bytes,
               (unsigned long long)s->memory_bytes);
    buf_printf(out, " cmd=%s user=%s redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
               s->last_command != NULL ? s->last_command->name : "NULL",
               s->upstream ? "(superuser)" : "default", s->resp, text_or_empty(s->lib_name),
               text_or_empty(s->lib_version));
}
