/* Places as scores: known scores, hashes and distances, cells that cover what they should. */
#include "worker/types/geo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const struct geo_point palermo = {13.361389, 38.115556}, catania = {15.087269, 37.502669};

/* What a real redis-server 7.0.15 says of the two cities of the command pages. */
static void test_known(void **state) {
    char text[GEO_HASH_CHARS];
    assert_int_equal(geo_encode(palermo), 3479099956230698);
    assert_int_equal(geo_encode(catania), 3479447370796909);
    struct geo_point point = geo_decode(3479099956230698);
    assert_true(fabs(point.longitude - palermo.longitude) < 1e-5);
    assert_true(fabs(point.latitude - palermo.latitude) < 1e-5);
    geo_hash_text(point, text);
    assert_memory_equal(text, "sqc8b49rny0", GEO_HASH_CHARS);
    double metres = geo_distance(point, geo_decode(3479447370796909));
    assert_true(fabs(metres - 166274.1516) < 1e-4);
}

static void test_bounds(void **state) {
    assert_true(geo_point_valid((struct geo_point){180, 85.05112878}));
    assert_true(geo_point_valid((struct geo_point){-180, -85.05112878}));
    assert_false(geo_point_valid((struct geo_point){180.00001, 0}));
    assert_false(geo_point_valid((struct geo_point){0, 85.0511288}));
    assert_false(geo_point_valid((struct geo_point){NAN, 0}));
}

/* Scores that stand for no place give some place. */
static void test_any_score(void **state) {
    static const double scores[] = {0, -1, 1.5, 1e300, -1e300, INFINITY, -INFINITY, 1.8e19};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++)
        assert_true(geo_point_valid(geo_decode(scores[i])));
}

/* Points in the shape lie in its cells, whatever the shape. */
static void test_cover(void **state) {
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    for (int round = 0; round < 20000; round++) {
        struct geo_shape shape = {
            .center = {rand_r(&seed) % 360 - 180.0 + 0.123, rand_r(&seed) % 170 - 85.0},
            .box = rand_r(&seed) % 2};
        double size = pow(10, rand_r(&seed) % 600 / 100.0);
        shape.radius = shape.width = shape.height = size;
        struct geo_point near = {
            shape.center.longitude + (rand_r(&seed) % 2001 - 1000) * size / 1e8,
            shape.center.latitude + (rand_r(&seed) % 2001 - 1000) * size / 1e8};
        double distance;
        if (!geo_point_valid(near))
            continue;
        double score = (double)geo_encode(near);
        bool found = false, inside = geo_shape_has(&shape, geo_decode(score), &distance);
        struct geo_range ranges[GEO_RANGES_MAX];
        uint32_t count = geo_cover(&shape, ranges);
        assert_in_range(count, 1, GEO_RANGES_MAX);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(ranges[i].min < ranges[i].max);
            found |= score >= ranges[i].min && score < ranges[i].max;
        }
        if (inside && !found)
            fail_msg("%f,%f is not in the cells around %f,%f, %f m", near.longitude, near.latitude,
                     shape.center.longitude, shape.center.latitude, size);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_any_score),
        cmocka_unit_test(test_cover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
