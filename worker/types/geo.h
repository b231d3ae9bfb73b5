/* geo.h - places on the earth as scores of a sorted set: 26 bits of latitude and 26 of longitude,
 * interleaved, so that places near each other mostly have scores near each other.
 *
 * Formats and constants are Redis's: its pages on GEOADD and GEOHASH, and the digits a 7.0.15 replies.
 * Longitude and latitude in degrees, distances in metres on a sphere. */
#ifndef REMUDA_TYPES_GEO_H
#define REMUDA_TYPES_GEO_H
#include <stdbool.h>
#include <stdint.h>

struct geo_point {
    double longitude, latitude;
};
enum { GEO_STEP_MAX = 26, GEO_HASH_CHARS = 11 };

/* Within what the scores can say: 180 degrees either way, 85.05112878 north and south. */
bool geo_point_valid(struct geo_point point);
uint64_t geo_encode(struct geo_point point);
/* The middle of the cell a score stands for. Any score will do: it may be of a set that holds no places. */
struct geo_point geo_decode(double score);
double geo_distance(struct geo_point a, struct geo_point b);
/* The standard geohash (geohash.org), whose last character is always '0'. */
void geo_hash_text(struct geo_point point, char text[GEO_HASH_CHARS]);

/* What is searched: a circle, or a box that lies along the parallels. */
struct geo_shape {
    struct geo_point center;
    bool box;
    double radius, width, height; /* in metres */
};
bool geo_shape_has(const struct geo_shape *shape, struct geo_point point, double *distance_r);
/* Cells that cover a shape, as ranges of scores: min included, max not. In the order in which Redis
 * looks at them: the middle, then north, south, east, west and the corners. */
struct geo_range {
    double min, max;
};
enum { GEO_RANGES_MAX = 9 };
uint32_t geo_cover(const struct geo_shape *shape, struct geo_range ranges[GEO_RANGES_MAX]);

#endif
