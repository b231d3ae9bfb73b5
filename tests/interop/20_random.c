/* 20_random: commands drawn at random on few keys, so that they meet, said to a real redis-server and
 * to pools of 1 and 3 workers. Every reply is compared, and at the end all data.
 *
 * OBJECT ENCODING is not among them: a raw string becomes embstr on its way to another shard, as over
 * DUMP and RESTORE. SEED=n has a run again, COMMANDS=n makes it longer. */
#include "tests/interop/dataset.h"
#include "tests/interop/normal.h"

enum {
    COMMANDS_DEFAULT = 50000,
    STREAM_COMMANDS_DEFAULT = 20000,
    WORDS_MAX = 24,
    WORD_BYTES = 512,
    BATCH = 40,
    HISTORY = 60
};

/* What commands are drawn from. */
struct forms {
    const char *const *form;
    size_t count;
    unsigned commands;
};

typedef struct octets normalise(const struct octets *reply);

struct generator {
    uint64_t random;
    enum dataset_expiry expiry;
    const struct forms *forms;
    unsigned next_id; /* of an entry of a stream */
    unsigned count;
    char word[WORDS_MAX][WORD_BYTES];
    size_t len[WORDS_MAX];
};

/* What a letter of a form stands for. */
static const char *const keys[] = {"a", "b", "c", "d", "{t}1", "{t}2", "h1", "h2", "n", "\x01key"};
static const char *const texts[] = {"",  "x",     "hello", "foobar",  "-1",
                                    "0", "12345", "1.5",   "abc\r\n", "9223372036854775807"};
static const char *const integers[] = {
    "0", "1", "-1", "2", "5", "-7", "10", "1000", "9223372036854775807", "x"};
static const char *const floats[] = {"0", "1.5", "-0.25", "3", "1e5", "-2.5e-3", "0.1", "x"};
static const char *const ranges[] = {"0", "1", "2", "-1", "-2", "5", "-100", "100"};
static const char *const bits[] = {"0", "1", "7", "8", "13", "100", "#1", "-1"};
static const char *const widths[] = {"u1", "u8", "i8", "u13", "i5", "i64", "u63", "u64"};
static const char *const fields[] = {"f", "g", "h", "i", "j", "", "long-field-name"};
static const char *const times[] = {"100000", "200000", "99999999"};
static const char *const moments[] = {"33000000000", "34000000000", "35000000000"};
static const char *const streams[] = {"a", "b", "c", "{t}1", "{t}2"};
static const char *const ids[] = {"0", "1", "3-1", "10", "25", "40-0", "99", "x"};
static const char *const counts[] = {"0", "1", "2", "3", "7", "100"};
static const char *const groups[] = {"g", "h"};
static const char *const consumers[] = {"c", "d"};
static const char *const patterns[] = {"*", "?", "[ab]", "{t}*", "h?", "n*", "nosuch"};
static const char *const sketches[] = {"p", "q", "r", "{t}p", "{t}q", "sketch"};
static const char *const places[] = {"g", "{t}g", "map", "x1"};
static const char *const longitudes[] = {"13.361389", "15.087269", "-122.4194", "179.99",
                                         "-179.99",   "0",         "2.35",      "181"};
static const char *const latitudes[] = {"38.115556", "37.502669", "37.7749", "0",
                                        "-66.5",     "85",        "-85.05",  "48.85"};
static const char *const lengths[] = {"0", "1", "100", "1000", "5000", "30000", "-1"};
static const char *const lists[] = {"l", "{t}l", "m", "todo"};
static const char *const elements[] = {"1", "2", "3", "10", "w", "-1.5"};
static const char *const weights[] = {"w1", "w2", "w3", "w10", "w-1.5"};

#define CHOICES(list) list, sizeof(list) / sizeof((list)[0])
static const struct kind {
    char letter;
    const char *const *choices; /* NULL: a number below count */
    size_t count;
} kinds[] = {
    {'K', CHOICES(keys)},      {'V', CHOICES(texts)},    {'I', CHOICES(integers)},
    {'L', CHOICES(floats)},    {'R', CHOICES(ranges)},   {'B', CHOICES(bits)},
    {'W', CHOICES(widths)},    {'F', CHOICES(fields)},   {'T', CHOICES(times)},
    {'M', CHOICES(moments)},   {'P', CHOICES(patterns)}, {'E', NULL, 5000},
    {'Q', CHOICES(sketches)},  {'S', CHOICES(streams)},  {'J', CHOICES(ids)},
    {'U', CHOICES(counts)},    {'G', CHOICES(groups)},   {'C', CHOICES(consumers)},
    {'K', CHOICES(keys)},      {'V', CHOICES(texts)},    {'I', CHOICES(integers)},
    {'L', CHOICES(floats)},    {'R', CHOICES(ranges)},   {'B', CHOICES(bits)},
    {'W', CHOICES(widths)},    {'F', CHOICES(fields)},   {'T', CHOICES(times)},
    {'M', CHOICES(moments)},   {'P', CHOICES(patterns)}, {'E', NULL, 5000},
    {'Q', CHOICES(sketches)},  {'Z', CHOICES(places)},   {'O', CHOICES(longitudes)},
    {'A', CHOICES(latitudes)}, {'N', CHOICES(lists)},    {'U', CHOICES(elements)},
    {'X', CHOICES(weights)},   {'D', CHOICES(lengths)},
};

/* A single capital letter is drawn from its kind, N is the next id of a stream. Before a form: ? its
 * array may come in any order; ! it tells times. */
static const char *const any_forms[] = {
    "SET K V",
    "SET K V",
    "SET K I",
    "SET K V NX",
    "SET K V XX",
    "SET K V GET",
    "SET K V KEEPTTL",
    "SET K V EX T",
    "SET K V PXAT 34000000000123",
    "SET K V XX GET KEEPTTL",
    "SET K V EXAT M NX",
    "SETNX K V",
    "SETEX K T V",
    "PSETEX K 99999999 V",
    "GET K",
    "GETSET K V",
    "GETDEL K",
    "GETEX K",
    "GETEX K PERSIST",
    "GETEX K EXAT M",
    "MGET K K K",
    "MGET K K K K K K",
    "MSET K V K V K V",
    "MSETNX K V K V",
    "APPEND K V",
    "STRLEN K",
    "INCR K",
    "DECR K",
    "INCRBY K I",
    "DECRBY K I",
    "INCRBYFLOAT K L",
    "GETRANGE K R R",
    "SUBSTR K R R",
    "SETRANGE K R V",
    "LCS K K",
    "LCS K K LEN",
    "LCS K K IDX",
    "SETBIT K B 1",
    "SETBIT K B 0",
    "GETBIT K B",
    "BITCOUNT K",
    "BITCOUNT K R R",
    "BITCOUNT K R R BIT",
    "BITPOS K 1",
    "BITPOS K 0 R",
    "BITPOS K 1 R R",
    "BITPOS K 0 R R BIT",
    "BITOP AND K K K",
    "BITOP OR K K K",
    "BITOP XOR K K K K",
    "BITOP NOT K K",
    "BITFIELD K GET W B",
    "BITFIELD K SET W B I",
    "BITFIELD K INCRBY W B I",
    "BITFIELD K OVERFLOW SAT INCRBY W B I GET W B",
    "BITFIELD K OVERFLOW FAIL INCRBY W B I",
    "BITFIELD_RO K GET W B",
    "HSET K F V",
    "HSET K F V",
    "HSET K F V F V F V",
    "HMSET K F V F V",
    "HSETNX K F V",
    "HGET K F",
    "HMGET K F F F",
    "HDEL K F",
    "HDEL K F F",
    "HEXISTS K F",
    "?HGETALL K",
    "HLEN K",
    "HSTRLEN K F",
    "?HKEYS K",
    "?HVALS K",
    "HINCRBY K F I",
    "HINCRBYFLOAT K F L",
    "?HRANDFIELD K 100",
    "DEL K",
    "DEL K K K",
    "UNLINK K K",
    "EXISTS K K K K",
    "TOUCH K K",
    "TYPE K",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K",
    "COPY K K REPLACE",
    "COPY K K DB 2 REPLACE",
    "MOVE K 1",
    "MOVE K 2",
    "EXPIREAT K M",
    "EXPIREAT K M NX",
    "EXPIREAT K M XX",
    "EXPIREAT K M GT",
    "EXPIREAT K M LT",
    "PEXPIREAT K 33500000000777",
    "EXPIRE K T",
    "EXPIRE K -1",
    "EXPIRETIME K",
    "PERSIST K",
    "DBSIZE",
    "?KEYS P",
    "SELECT 0",
    "SELECT 1",
    "SELECT 2",
    "SWAPDB 0 1",
    "PING V",
    "ECHO V",
    "FLUSHDB",
    "GET",
    "HSET K F",
    "nosuch K",
    "PFADD Q",
    "PFADD Q E",
    "PFADD Q E E E E E E E E E E E E E E E E E E E E",
    "PFCOUNT Q",
    "PFCOUNT Q Q Q",
    "PFMERGE Q Q",
    "PFMERGE Q Q Q Q",
    "PFADD K E",
    "PFCOUNT K K",
    "PFMERGE K K Q",
    "PFDEBUG DECODE Q",
    "PFDEBUG TODENSE Q",
    "GET Q",
    "DEL Q",
    "GEOADD Z O A F",
    "GEOADD Z O A F O A F O A F",
    "GEOADD Z XX CH O A F",
    "GEODIST Z F F",
    "GEODIST Z F F mi",
    "GEOHASH Z F F",
    "GEOPOS Z F F F",
    "GEOSEARCH Z FROMLONLAT O A BYRADIUS D km",
    "GEOSEARCH Z FROMLONLAT O A BYBOX D D km ASC WITHDIST WITHCOORD",
    "GEOSEARCH Z FROMMEMBER F BYRADIUS D mi COUNT 3 ANY WITHHASH",
    "GEOSEARCHSTORE Z Z FROMLONLAT O A BYBOX D D km",
    "GEORADIUS Z O A D km STORE Z",
    "GEORADIUS Z O A D km DESC",
    "GEORADIUSBYMEMBER Z F D km STORE Z",
    "GEORADIUSBYMEMBER_RO Z F D ft",
    "ZREM Z F",
    "ZCARD Z",
    "RPUSH N U",
    "LPUSH N U U U",
    "LPOP N",
    "LRANGE N 0 -1",
    "SET X I",
    "HSET X F V",
    "SORT N",
    "SORT N DESC LIMIT R R",
    "SORT N ALPHA STORE N",
    "SORT N BY w* GET w* GET #",
    "SORT N BY w* ALPHA DESC STORE N",
    "SORT N BY w*->f ALPHA GET w*->g GET w*",
    "SORT_RO N BY nosort GET w* LIMIT R R",
    "SORT Z ALPHA",
    "SORT Z BY nosort DESC LIMIT R R",
    "DEL N",
};

static const char *const stream_forms[] = {
    "XADD S N F V",
    "XADD S N F V",
    "XADD S N F V F V",
    "XADD S N f V g I",
    "XADD S N f V g I",
    "XADD S N f V g I",
    "XADD S 3-1 F V",
    "XADD S NOMKSTREAM N F V",
    "XADD S MAXLEN U N F V",
    "XADD S MAXLEN ~ U N F V",
    "XADD S MINID ~ J N F V",
    "XADD S MINID J N F V",
    "XLEN S",
    "XRANGE S - +",
    "XRANGE S J J",
    "XRANGE S (J + COUNT U",
    "XREVRANGE S + - COUNT U",
    "XREVRANGE S J J",
    "XDEL S J",
    "XDEL S J J J",
    "XDEL S J J J",
    "XTRIM S MAXLEN U",
    "XTRIM S MAXLEN ~ U",
    "XTRIM S MAXLEN ~ U LIMIT U",
    "XTRIM S MINID ~ J",
    "XSETID S N",
    "XSETID S N ENTRIESADDED U",
    "XREAD STREAMS S J",
    "XREAD COUNT U STREAMS S S S 0 25 99",
    "XREAD STREAMS S S $ 10",
    "XGROUP CREATE S G J",
    "XGROUP CREATE S G J MKSTREAM",
    "XGROUP CREATE S G $ MKSTREAM",
    "XGROUP CREATE S G J ENTRIESREAD U",
    "XGROUP SETID S G J",
    "XGROUP SETID S G J ENTRIESREAD U",
    "XGROUP DESTROY S G",
    "XGROUP DELCONSUMER S G C",
    "XREADGROUP GROUP G C STREAMS S >",
    "XREADGROUP GROUP G C COUNT U STREAMS S >",
    "XREADGROUP GROUP G C COUNT U STREAMS S >",
    "XREADGROUP GROUP G C COUNT U STREAMS S >",
    "XREADGROUP GROUP G C COUNT U NOACK STREAMS S >",
    "XREADGROUP GROUP G C STREAMS S J",
    "XREADGROUP GROUP G C COUNT U STREAMS S J",
    "XREADGROUP GROUP G C COUNT U STREAMS {t}1 {t}2 > J",
    "XACK S G J",
    "XACK S G J J J J",
    "XPENDING S G",
    "!XPENDING S G - + U",
    "!XPENDING S G J J U C",
    "!XPENDING S G IDLE 0 - + U",
    "XPENDING S G IDLE 1000000 - + U",
    "XCLAIM S G C 0 J J",
    "XCLAIM S G C 0 J J JUSTID",
    "XCLAIM S G C 0 J FORCE RETRYCOUNT U",
    "XCLAIM S G C 0 J LASTID J",
    "XCLAIM S G C 0 J IDLE 5000 FORCE",
    "XAUTOCLAIM S G C 0 J",
    "XAUTOCLAIM S G C 0 J COUNT U",
    "XAUTOCLAIM S G C 0 - COUNT U JUSTID",
    "!XINFO STREAM S",
    "!XINFO STREAM S FULL COUNT U",
    "XINFO GROUPS S",
    "!XINFO CONSUMERS S G",
    "SET S V",
    "DEL S",
    "RENAME S S",
    "COPY S S",
    "COPY S S REPLACE",
    "TYPE S",
    "EXISTS S S S",
};

static struct peers *peers;

static void draw_word(struct generator *g, const char *word, size_t len) {
    const char *text = word;
    char digits[48];
    if (len == 1 && *word == 'N') {
        unsigned n = ++g->next_id;
        snprintf(digits, sizeof(digits), n % 3 ? "%u-%u" : "%u-*", n / 4, n);
        text = digits;
        len = strlen(text);
    }
    for (size_t i = 0; len == 1 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].letter == *word) {
            unsigned choice = random_below(&g->random, (unsigned)kinds[i].count);
            snprintf(digits, sizeof(digits), "%u", choice);
            text = kinds[i].choices ? kinds[i].choices[choice] : digits;
            len = strlen(text);
            break;
        }
    }
    memcpy(g->word[g->count], text, len);
    g->len[g->count++] = len;
}

/* Times from now on differ between servers: either there are none, and the moments that keys expire at
 * are compared, or they are not asked for. A database is emptied rarely, so that much is in it. */
static bool is_wanted(struct generator *g, const char *form) {
    bool relative = strstr(form, " T") || strstr(form, " 99999999");
    if (g->expiry == EXPIRY_EXACT ? relative : strncmp(form, "EXPIRETIME", 10) == 0)
        return false;
    return strcmp(form, "FLUSHDB") != 0 || random_below(&g->random, 20) == 0;
}

/* Returns how the reply is to be compared, NULL: as it is. */
static normalise *draw_command(struct generator *g) {
    const char *form;
    do
        form = g->forms->form[random_below(&g->random, (unsigned)g->forms->count)];
    while (!is_wanted(g, form));
    normalise *change = *form == '?' ? normal_deep : *form == '!' ? normal_stream : NULL;
    g->count = 0;
    for (form += change != NULL; *form;) {
        size_t len = strcspn(form, " ");
        draw_word(g, form, len);
        form += len + (form[len] == ' ');
    }
    return change;
}

static struct octets request_of(const struct generator *g) {
    const char *argv[WORDS_MAX];
    for (unsigned i = 0; i < g->count; i++)
        argv[i] = g->word[i];
    return resp_command(g->count, argv, g->len);
}

/* The last commands, newest last: what led to a difference. */
struct history {
    char *shown[HISTORY];
    unsigned long count;
};

static void remember(struct history *history, const struct octets *request) {
    unsigned long at = history->count++ % HISTORY;
    free(history->shown[at]);
    history->shown[at] = octets_show(request->data, request->len, 400);
}

static void forget(struct history *history) {
    for (unsigned i = 0; i < HISTORY; i++)
        free(history->shown[i]);
}

static _Noreturn void report(const struct history *history, struct octets replies[PEERS],
                             unsigned batch) {
    unsigned long from = history->count > HISTORY ? history->count - HISTORY : 0;
    for (unsigned long i = from; i < history->count; i++)
        print_error("%s %s\n", i + batch < history->count ? " " : "*", history->shown[i % HISTORY]);
    for (unsigned i = 0; i < PEERS; i++) {
        char *shown = octets_show(replies[i].data, replies[i].len, 3000);
        print_error("%-12s %s\n", peer_names[i], shown);
        free(shown);
    }
    fail_msg("the replies to command %lu (the last above, or the last with *) differ",
             history->count);
    abort();
}

static void exchange(const struct octets *request, unsigned count, normalise *change,
                     const struct history *history) {
    struct octets replies[PEERS];
    for (unsigned i = 0; i < PEERS; i++) {
        replies[i] = peer_ask(peers, i, 0, request, count);
        if (change != NULL) {
            struct octets changed = change(&replies[i]);
            free(replies[i].data);
            replies[i] = changed;
        }
    }
    for (unsigned i = POOL_OF_1; i < PEERS; i++) {
        if (replies[i].len != replies[ORACLE].len ||
            memcmp(replies[i].data, replies[ORACLE].data, replies[i].len) != 0)
            report(history, replies, count);
    }
    for (unsigned i = 0; i < PEERS; i++)
        free(replies[i].data);
}

/* Redis 7.2 makes a consumer that asks, 7.0 one that gets something: so all are there from the start. */
static void make_consumers(const struct generator *g, struct octets *batch, unsigned *count) {
    if (g->count < 4 || strncmp(g->word[0], "XGROUP", 6) != 0 ||
        (strncmp(g->word[1], "CREATE", 6) != 0 && strncmp(g->word[1], "DELCONSUMER", 11) != 0))
        return;
    for (size_t i = 0; i < sizeof(consumers) / sizeof(consumers[0]); i++) {
        const char *argv[] = {"XGROUP", "CREATECONSUMER", g->word[2], g->word[3], consumers[i]};
        size_t len[] = {6, 14, g->len[2], g->len[3], strlen(consumers[i])};
        struct octets request = resp_command(5, argv, len);
        octets_append(batch, &request);
        free(request.data);
        ++*count;
    }
}

/* Commands go in pipelines of any length up to BATCH, so that local and relayed ones mix. */
static void run(unsigned resp, const struct forms *forms) {
    const char *wanted = getenv("COMMANDS");
    unsigned long left = wanted ? strtoul(wanted, NULL, 10) : forms->commands;
    struct generator *g = calloc(1, sizeof(*g));
    struct history history = {0};
    assert_non_null(g);
    g->random = random_seed() + resp;
    g->expiry = resp == 2 ? EXPIRY_EXACT : EXPIRY_PRESENT;
    g->forms = forms;
    peers_reset(peers, resp);
    struct octets batch = {malloc(1), 0};
    for (unsigned count = 0; left > 0; left--) {
        normalise *change = draw_command(g);
        struct octets request = request_of(g);
        if (change != NULL && count > 0) {
            exchange(&batch, count, NULL, &history);
            batch.len = count = 0;
        }
        remember(&history, &request);
        octets_append(&batch, &request);
        free(request.data);
        count++;
        make_consumers(g, &batch, &count);
        if (change != NULL || left == 1 || count >= BATCH || random_below(&g->random, 10) == 0) {
            exchange(&batch, count, change, &history);
            batch.len = count = 0;
        }
    }
    for (unsigned i = POOL_OF_1; i < PEERS; i++)
        dataset_assert_equal(peer_names[ORACLE], peers->port[ORACLE], peer_names[i], peers->port[i],
                             EXPIRY_PRESENT);
    free(batch.data);
    forget(&history);
    free(g);
}

static const struct forms of_any = {CHOICES(any_forms), COMMANDS_DEFAULT};
static const struct forms of_streams = {CHOICES(stream_forms), STREAM_COMMANDS_DEFAULT};

static void test_resp2(void **state) {
    peers = peers_start();
    run(2, &of_any);
}

static void test_resp3(void **state) {
    if (!peers)
        skip();
    run(3, &of_any);
}

static void test_streams_resp2(void **state) {
    if (!peers)
        skip();
    run(2, &of_streams);
}

static void test_streams_resp3(void **state) {
    if (!peers)
        skip();
    run(3, &of_streams);
    peers_end(&peers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp2),
        cmocka_unit_test(test_resp3),
        cmocka_unit_test(test_streams_resp2),
        cmocka_unit_test_teardown(test_streams_resp3, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
