/* 10_differential: the scripts of tests/interop/scripts, said to a real redis-server, to a pool of one
 * worker and to a pool of three, over RESP2 and RESP3; what they reply is compared byte for byte.
 * script.h has the notation. How a reply is compared, if not byte for byte:
 *
 *   ~sort, ~pairs         elements of the array in any order (pairs: two by two)
 *   ~deep, ~shape         every array in any order; types and sizes only
 *   ~doubles              numbers by their value, not by how many digits they are printed in
 *   ~commands             COMMAND INFO without tips, notes and subcommands
 *   ~stream               XINFO, XPENDING without times and what 7.2 has added
 *   ~near N               an integer, give or take N
 *   ~until "bytes"        said again until every peer replies this
 *   ~walk                 SCAN, HSCAN: from cursor 0 to the end, all elements in any order
 *   ~exchange KEY         every peer's DUMP of KEY is restored at every peer, as KEY:0 .. KEY:2
 *   ~raw N "bytes"        sent as they are, for N replies; ~closes "bytes": till the other side closes
 *   ~instead "why" "bytes"  a named deviation: the pools reply this, the redis-server something else
 *   ~pools "why" "bytes"    the same for what redis-server cannot be asked
 *   ~blocks               a command that blocks: no reply now;  ~gets N: the reply to it, N of them
 *   %deviates "why" "glob" "a" "b"  where redis-server replies a to a command like this, the pools
 *                         may reply b; it must happen
 *   %on N, %close N       from here on connection N; close it.  %resp 2: only over RESP2 */
#include "shared/base/bytes.h"
#include "tests/interop/normal.h"
#include "tests/interop/peers.h"
#include "tests/interop/script.h"
#include <glob.h>
#include <poll.h>

enum {
    SHOWN_DIFFERENCES_MAX = 60,
    SHOWN_BYTES_MAX = 600,
    WALK_STEPS_MAX = 100000,
    DEVIATIONS_MAX = 32,
    UNTIL_WAIT_MS = 5000
};

struct deviation {
    unsigned line;
    char *glob;
    struct octets theirs, ours;
    unsigned used;
};
struct run {
    const struct script *script;
    const struct script_line *line;
    unsigned resp, connection, differences;
    unsigned long steps;
    struct deviation deviations[DEVIATIONS_MAX];
    unsigned deviation_count;
};
struct test {
    char name[128], path[256];
    unsigned resp;
};

static struct peers *peers;
static const struct script_line *at; /* where a test that ends early stopped */

/* ---- what is compared ---- */

static struct octets request_of(const struct words *words, unsigned from) {
    unsigned count = words->count - from;
    const char **argv = calloc(count, sizeof(*argv));
    size_t *lengths = calloc(count, sizeof(*lengths));
    assert_true(argv && lengths);
    for (unsigned i = 0; i < count; i++) {
        argv[i] = words->word[from + i].data;
        lengths[i] = words->word[from + i].len;
    }
    struct octets request = resp_command(count, argv, lengths);
    free(argv);
    free(lengths);
    return request;
}

static void ask_all(struct run *run, const struct octets *request, unsigned count,
                    struct octets replies[PEERS]) {
    for (unsigned i = 0; i < PEERS; i++)
        raw_send(peers->fd[i][run->connection], request->data, request->len);
    for (unsigned i = 0; i < PEERS; i++)
        replies[i] = raw_read_replies(peers->fd[i][run->connection], count);
}

static void free_all(struct octets replies[PEERS]) {
    for (unsigned i = 0; i < PEERS; i++)
        free(replies[i].data);
}

static bool same(const struct octets *a, const struct octets *b) {
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static void report(struct run *run, const struct octets replies[PEERS], const char *what) {
    if (run->differences++ >= SHOWN_DIFFERENCES_MAX)
        return;
    print_error("%s:%u (RESP%u) %s%.300s\n", run->script->path, run->line->number, run->resp, what,
                run->line->text);
    for (unsigned i = 0; i < PEERS; i++) {
        char *shown = octets_show(replies[i].data, replies[i].len, SHOWN_BYTES_MAX);
        print_error("    %-12s %s\n", peer_names[i], shown);
        free(shown);
    }
}

static bool is_deviation(struct run *run, const struct octets replies[PEERS]) {
    for (unsigned i = 0; i < run->deviation_count; i++) {
        struct deviation *known = &run->deviations[i];
        if (same(&replies[ORACLE], &known->theirs) && same(&replies[POOL_OF_1], &known->ours) &&
            same(&replies[POOL_OF_3], &known->ours) &&
            bytes_glob(bytes_of_text(known->glob), bytes_of_text(run->line->text), true)) {
            known->used++;
            return true;
        }
    }
    return false;
}

static void compare(struct run *run, const struct octets replies[PEERS]) {
    bool equal =
        same(&replies[ORACLE], &replies[POOL_OF_1]) && same(&replies[ORACLE], &replies[POOL_OF_3]);
    if (!equal && !is_deviation(run, replies))
        report(run, replies, "");
}

typedef struct octets normalise(const struct octets *reply);

static struct octets sorted(const struct octets *reply) {
    return normal_sorted(reply, 1);
}

static struct octets sorted_pairs(const struct octets *reply) {
    return normal_sorted(reply, 2);
}

static void compare_as(struct run *run, const struct words *words, normalise *change) {
    struct octets request = request_of(words, 1), replies[PEERS], changed[PEERS];
    ask_all(run, &request, 1, replies);
    for (unsigned i = 0; i < PEERS; i++)
        changed[i] = change(&replies[i]);
    compare(run, changed);
    free_all(changed);
    free_all(replies);
    free(request.data);
}

/* ---- directives ---- */

static void do_command(struct run *run, const struct words *words) {
    struct octets request = request_of(words, 0), replies[PEERS];
    ask_all(run, &request, 1, replies);
    compare(run, replies);
    free_all(replies);
    free(request.data);
}

static void do_sort(struct run *run, const struct words *words) {
    compare_as(run, words, sorted);
}

static void do_pairs(struct run *run, const struct words *words) {
    compare_as(run, words, sorted_pairs);
}

static void do_deep(struct run *run, const struct words *words) {
    compare_as(run, words, normal_deep);
}

static void do_doubles(struct run *run, const struct words *words) {
    compare_as(run, words, normal_doubles);
}

static void do_commands(struct run *run, const struct words *words) {
    compare_as(run, words, normal_commands);
}

static void do_shape(struct run *run, const struct words *words) {
    compare_as(run, words, normal_shape);
}

static void do_stream(struct run *run, const struct words *words) {
    compare_as(run, words, normal_stream);
}

static void do_near(struct run *run, const struct words *words) {
    long allowed = strtol(words->word[1].data, NULL, 10);
    struct octets request = request_of(words, 2), replies[PEERS];
    ask_all(run, &request, 1, replies);
    bool near = true;
    for (unsigned i = 0; i < PEERS; i++) {
        long long apart =
            strtoll(replies[i].data + 1, NULL, 10) - strtoll(replies[ORACLE].data + 1, NULL, 10);
        near &= replies[i].data[0] == ':' && apart <= allowed && apart >= -allowed;
    }
    if (!near)
        report(run, replies, "");
    free_all(replies);
    free(request.data);
}

static void do_until(struct run *run, const struct words *words) {
    struct octets request = request_of(words, 2), replies[PEERS];
    uint64_t until_ms = clock_mono_ms() + UNTIL_WAIT_MS;
    for (bool all = false; !all;) {
        ask_all(run, &request, 1, replies);
        all = true;
        for (unsigned i = 0; i < PEERS; i++)
            all &= same(&replies[i], &words->word[1]);
        if (!all && clock_mono_ms() > until_ms) {
            report(run, replies, "never: ");
            all = true;
        }
        free_all(replies);
        if (!all)
            usleep(2000);
    }
    free(request.data);
}

/* All that one peer gives from cursor 0 to the end, as one array without repetitions. */
static struct octets walk(struct run *run, unsigned peer, struct words *words, unsigned stride) {
    unsigned cursor_at = 1;
    while (cursor_at + 1 < words->count && strcmp(words->word[cursor_at].data, "0") != 0)
        cursor_at++;
    struct octets first = words->word[cursor_at], all = {strdup("*0\r\n"), 4};
    for (unsigned steps = 0; steps < WALK_STEPS_MAX; steps++) {
        struct octets request = request_of(words, 1);
        struct octets reply = peer_ask(peers, peer, run->connection, &request, 1);
        free(request.data);
        if (words->word[cursor_at].data != first.data)
            free(words->word[cursor_at].data);
        words->word[cursor_at] = first;
        if (normal_count(&reply) != 2) {
            free(all.data);
            return reply;
        }
        struct octets cursor = normal_element(&reply, 0), found = normal_element(&reply, 1);
        free(reply.data);
        size_t head = (size_t)(strchr(found.data, '\n') + 1 - found.data);
        all.data = realloc(all.data, all.len + found.len + 1);
        memcpy(all.data + all.len, found.data + head, found.len - head);
        all.len += found.len - head;
        free(found.data);
        const char *digits = strchr(cursor.data, '\n') + 1;
        size_t len = strcspn(digits, "\r");
        bool end = len == 1 && *digits == '0';
        if (!end)
            words->word[cursor_at] = (struct octets){strndup(digits, len), len};
        free(cursor.data);
        if (end)
            break;
    }
    struct octets ordered = normal_sorted(&all, stride);
    free(all.data);
    return ordered;
}

static void do_walk(struct run *run, const struct words *words) {
    bool pairs = strcasecmp(words->word[1].data, "HSCAN") == 0;
    struct octets found[PEERS];
    for (unsigned i = 0; i < PEERS; i++) {
        struct words own = {words->count, malloc(words->count * sizeof(*own.word))};
        memcpy(own.word, words->word, words->count * sizeof(*own.word));
        found[i] = walk(run, i, &own, pairs ? 2 : 1);
        free(own.word);
    }
    compare(run, found);
    free_all(found);
}

static void do_exchange(struct run *run, const struct words *words) {
    const char *key = words->word[1].data;
    for (unsigned from = 0; from < PEERS; from++) {
        const char *dump[] = {"DUMP", key};
        struct octets request = resp_command(2, dump, NULL), replies[PEERS];
        struct octets reply = peer_ask(peers, from, run->connection, &request, 1);
        free(request.data);
        char name[256];
        size_t head = (size_t)(strchr(reply.data, '\n') + 1 - reply.data);
        snprintf(name, sizeof(name), "%s:%u", key, from);
        assert_true(reply.data[0] == '$' && reply.data[1] != '-');
        const char *restore[] = {"RESTORE", name, "0", reply.data + head, "REPLACE"};
        size_t lengths[] = {7, strlen(name), 1, reply.len - head - 2, 7};
        request = resp_command(5, restore, lengths);
        ask_all(run, &request, 1, replies);
        for (unsigned i = 0; i < PEERS; i++) {
            if (strcmp(replies[i].data, "+OK\r\n") != 0) {
                report(run, replies, "RESTORE failed: ");
                break;
            }
        }
        free_all(replies);
        free(request.data);
        free(reply.data);
    }
}

static void do_raw(struct run *run, const struct words *words) {
    struct octets replies[PEERS];
    ask_all(run, &words->word[2], (unsigned)atoi(words->word[1].data), replies);
    compare(run, replies);
    free_all(replies);
}

/* All that comes until the other side closes; what is said of one that does not is no RESP. */
static struct octets read_to_end(int fd) {
    struct octets all = {calloc(1, 1), 0};
    for (;;) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        char part[4096];
        ssize_t got = poll(&readable, 1, UNTIL_WAIT_MS) > 0 ? read(fd, part, sizeof(part)) : -2;
        if (got == -2) {
            free(all.data);
            return (struct octets){strdup("never closed"), strlen("never closed")};
        }
        if (got <= 0)
            return all;
        all.data = realloc(all.data, all.len + (size_t)got);
        assert_non_null(all.data);
        memcpy(all.data + all.len, part, (size_t)got);
        all.len += (size_t)got;
    }
}

static void do_closes(struct run *run, const struct words *words) {
    static char never_text[] = "never closed";
    static const struct octets never = {never_text, sizeof(never_text) - 1};
    enum { OWN = PEER_CONNECTIONS - 1 };
    struct octets replies[PEERS];
    peers_open(peers, OWN);
    for (unsigned i = 0; i < PEERS; i++)
        raw_send(peers->fd[i][OWN], words->word[1].data, words->word[1].len);
    for (unsigned i = 0; i < PEERS; i++)
        replies[i] = read_to_end(peers->fd[i][OWN]);
    if (same(&replies[ORACLE], &never))
        report(run, replies, "no end: ");
    else
        compare(run, replies);
    free_all(replies);
    peers_close(peers, OWN);
}

static void expect_of_pools(struct run *run, const struct words *words, unsigned first) {
    struct octets request = request_of(words, 3), replies[PEERS] = {{0}};
    bool right = words->word[1].len > 0;
    for (unsigned i = first; i < PEERS; i++) {
        replies[i] = peer_ask(peers, i, run->connection, &request, 1);
        right &= same(&replies[i], &words->word[2]) == (i != ORACLE);
    }
    if (!right)
        report(run, replies, "");
    free_all(replies);
    free(request.data);
}

static void do_instead(struct run *run, const struct words *words) {
    expect_of_pools(run, words, ORACLE);
}

static void do_pools(struct run *run, const struct words *words) {
    expect_of_pools(run, words, POOL_OF_1);
}

static void do_on(struct run *run, const struct words *words) {
    run->connection = (unsigned)atoi(words->word[1].data);
    assert_true(run->connection < PEER_CONNECTIONS - 1);
    peers_open(peers, run->connection);
}

static void do_close(struct run *run, const struct words *words) {
    peers_close(peers, (unsigned)atoi(words->word[1].data));
}

static long blocked_clients(unsigned peer) {
    enum { OWN = PEER_CONNECTIONS - 1 };
    const char *info[] = {"INFO", "clients"};
    struct octets request = resp_command(2, info, NULL);
    struct octets reply = peer_ask(peers, peer, OWN, &request, 1);
    const char *field = strstr(reply.data, "blocked_clients:");
    assert_non_null(field);
    long count = strtol(field + strlen("blocked_clients:"), NULL, 10);
    free(reply.data);
    free(request.data);
    return count;
}

/* Sent, and so far that whoever blocks next stands behind it. */
static void do_blocks(struct run *run, const struct words *words) {
    struct octets request = request_of(words, 1);
    peers_open(peers, PEER_CONNECTIONS - 1);
    for (unsigned i = 0; i < PEERS; i++) {
        long before = blocked_clients(i);
        raw_send(peers->fd[i][run->connection], request.data, request.len);
        AWAIT(blocked_clients(i) == before + 1);
    }
    peers_close(peers, PEER_CONNECTIONS - 1);
    free(request.data);
}

static void do_gets(struct run *run, const struct words *words) {
    unsigned count = words->count > 1 ? (unsigned)atoi(words->word[1].data) : 1;
    struct octets replies[PEERS];
    for (unsigned i = 0; i < PEERS; i++)
        replies[i] = raw_read_replies(peers->fd[i][run->connection], count);
    compare(run, replies);
    free_all(replies);
}

static void do_deviates(struct run *run, const struct words *words) {
    assert_true(run->deviation_count < DEVIATIONS_MAX && words->word[1].len > 0);
    run->deviations[run->deviation_count++] =
        (struct deviation){run->line->number, strdup(words->word[2].data),
                           normal_copy(&words->word[3]), normal_copy(&words->word[4]), 0};
}

static void forget_deviations(struct run *run) {
    for (unsigned i = 0; i < run->deviation_count; i++) {
        if (run->deviations[i].used == 0) {
            print_error("%s:%u: nothing deviates so\n", run->script->path, run->deviations[i].line);
            run->differences++;
        }
        free(run->deviations[i].glob);
        free(run->deviations[i].theirs.data);
        free(run->deviations[i].ours.data);
    }
}

static void do_nothing(struct run *run, const struct words *words) {
}

static const struct directive {
    const char *name;
    unsigned words_min; /* itself included */
    void (*act)(struct run *run, const struct words *words);
} directives[] = {
    {"~sort", 2, do_sort},     {"~pairs", 2, do_pairs},       {"~deep", 2, do_deep},
    {"~shape", 2, do_shape},   {"~commands", 2, do_commands}, {"~near", 3, do_near},
    {"~until", 3, do_until},   {"~walk", 3, do_walk},         {"~exchange", 2, do_exchange},
    {"~raw", 3, do_raw},       {"~closes", 2, do_closes},     {"~instead", 4, do_instead},
    {"~pools", 4, do_pools},   {"~stream", 2, do_stream},     {"%deviates", 5, do_deviates},
    {"%on", 2, do_on},         {"%close", 2, do_close},       {"%resp", 2, do_nothing},
    {"~blocks", 2, do_blocks}, {"~gets", 1, do_gets},         {"~doubles", 2, do_doubles},
};

/* ---- scripts ---- */

static void step(struct run *run) {
    struct words words = words_split(run->script, run->line);
    void (*act)(struct run *, const struct words *) = do_command;
    if (strchr("~%", run->line->text[0])) {
        act = NULL;
        for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
            if (strcmp(words.word[0].data, directives[i].name) == 0 &&
                words.count >= directives[i].words_min)
                act = directives[i].act;
        }
        if (!act)
            fail_msg("%s:%u: what is %s", run->script->path, run->line->number, run->line->text);
    }
    act(run, &words);
    words_free(&words);
}

static void test_script(void **state) {
    const struct test *test = *state;
    if (!peers)
        peers = peers_start();
    struct script *script = script_read(test->path);
    struct run run = {.script = script, .resp = test->resp};
    peers_reset(peers, test->resp);
    for (size_t i = 0; i < script->count; i++) {
        run.line = at = &script->lines[i];
        step(&run);
        run.steps++;
    }
    at = NULL;
    forget_deviations(&run);
    print_message("%lu steps\n", run.steps);
    unsigned differences = run.differences;
    script_free(&script);
    if (differences > 0)
        fail_msg("%u differences", differences);
}

static bool wanted(const char *path, unsigned resp) {
    char only[16];
    int code;
    snprintf(only, sizeof(only), "%%resp %u", resp == 2 ? 3 : 2);
    free(run_shell(&code, "grep -qx '%s' '%s'", only, path));
    return code != 0;
}

static int say_where(void **state) {
    const struct test *test = *state;
    if (at)
        print_error("%s:%u: stopped at %s\n", test->path, at->number, at->text);
    at = NULL;
    return 0;
}

static void test_end(void **state) {
    if (peers)
        peers_end(&peers);
}

int main(int argc, char **argv) {
    glob_t found;
    if (glob(argc > 1 ? argv[1] : "tests/interop/scripts/*.txt", 0, NULL, &found) != 0) {
        fprintf(stderr, "no scripts: start me at the top of the tree\n");
        return 1;
    }
    struct test *data = calloc(found.gl_pathc * 2, sizeof(*data));
    struct CMUnitTest *tests = calloc(found.gl_pathc * 2 + 1, sizeof(*tests));
    size_t count = 0;
    for (size_t i = 0; data && tests && i < found.gl_pathc * 2; i++) {
        struct test *test = &data[count];
        test->resp = 2 + i % 2;
        snprintf(test->path, sizeof(test->path), "%s", found.gl_pathv[i / 2]);
        snprintf(test->name, sizeof(test->name), "%.100s RESP%u",
                 strrchr(found.gl_pathv[i / 2], '/') + 1, test->resp);
        if (wanted(test->path, test->resp))
            tests[count++] = (struct CMUnitTest){test->name, test_script, NULL, say_where, test};
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test_teardown(test_end, pools_cleanup);
    int failed = _cmocka_run_group_tests("scripts", tests, count, NULL, NULL);
    globfree(&found);
    free(data);
    free(tests);
    return failed;
}
