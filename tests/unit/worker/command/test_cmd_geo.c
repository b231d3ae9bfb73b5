/* Geo commands: replies, what is logged, storing, refusals. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SICILY "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania"

static void test_add(void **state) {
    struct fixture *f = *state;
    expect(f, SICILY, ":2\r\n");
    expect_log(f, "ZADD g 3479099956230698 Palermo 3479447370796909 Catania");
    expect(f, SICILY, REPLY_ZERO);
    expect_log(f, "");
    expect(f, "GEOADD g NX CH 1 1 Palermo", REPLY_ZERO);
    expect(f, "GEOADD g XX CH 13.361389 38.2 Palermo", REPLY_ONE);
    expect_log(f, "ZADD g XX CH 3479101030759983 Palermo");
    expect(f, "GEOADD g NX XX 1 1 a", REPLY_SYNTAX);
    expect(f, "GEOADD g 1 1 a 2", REPLY_SYNTAX);
    expect(f, "GEOADD g 1 86 a", "-ERR invalid longitude,latitude pair 1.000000,86.000000\r\n");
    expect(f, "GEOADD n 1 1 a 1 x b", "-ERR value is not a valid float\r\n");
    expect(f, "EXISTS n", REPLY_ZERO);
}

static void test_single(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, SICILY);
    expect(f, "GEODIST g Palermo Catania km", "$8\r\n166.2742\r\n");
    expect(f, "GEODIST g Palermo none", REPLY_NIL);
    expect(f, "GEODIST g Palermo Catania yd",
           "-ERR unsupported unit provided. please use M, KM, FT, MI\r\n");
    expect(f, "GEOHASH g Palermo none", "*2\r\n$11\r\nsqc8b49rny0\r\n$-1\r\n");
    expect(f, "GEOPOS g Palermo none",
           "*2\r\n*2\r\n$20\r\n13.36138933897018433\r\n$20\r\n38.11555639549629859\r\n*-1\r\n");
    f->session.resp = 3;
    expect(f, "GEOPOS g Palermo", "*1\r\n*2\r\n,13.36138933897018433\r\n,38.11555639549629859\r\n");
}

static void test_search(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, SICILY);
    expect(f, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC",
           "*2\r\n$7\r\nCatania\r\n$7\r\nPalermo\r\n");
    expect(f, "GEORADIUS g 15 37 200 km DESC WITHDIST COUNT 1",
           "*1\r\n*2\r\n$7\r\nPalermo\r\n$8\r\n190.4424\r\n");
    expect(f, "GEORADIUSBYMEMBER_RO g Palermo 100 km", "*1\r\n$7\r\nPalermo\r\n");
    expect(f, "GEOSEARCH g FROMMEMBER none BYRADIUS 1 km",
           "-ERR could not decode requested zset member\r\n");
    expect(f, "GEOSEARCH none FROMMEMBER none BYRADIUS 1 km", "*0\r\n");
    expect(f, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ANY",
           "-ERR the ANY argument requires COUNT argument\r\n");
    expect(f, "GEORADIUS_RO g 15 37 200 km STORE d", REPLY_SYNTAX);
}

static void test_store(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, SICILY);
    expect(f, "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYBOX 400 400 km", ":2\r\n");
    expect_log(f, "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYBOX 400 400 km");
    expect(f, "ZSCORE d Palermo", "$16\r\n3479099956230698\r\n");
    expect(f, "GEORADIUS g 15 37 100 km STOREDIST d", REPLY_ONE);
    expect(f, "ZRANGE d 0 -1 WITHSCORES", "*2\r\n$7\r\nCatania\r\n$16\r\n56.4412578701582\r\n");
    expect(f, "GEORADIUS g 15 37 1 m STORE d", REPLY_ZERO);
    expect(f, "EXISTS d", REPLY_ZERO);
    expect(f, "GEORADIUS g 15 37 1 m STORE d WITHDIST",
           "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD "
           "options\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_add),
        FIXTURE_TEST(test_single),
        FIXTURE_TEST(test_search),
        FIXTURE_TEST(test_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
