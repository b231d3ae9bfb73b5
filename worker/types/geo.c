/* geo.c - see geo.h. */
#include "worker/types/geo.h"

#include <math.h>

static const double LONGITUDE_MAX = 180, LATITUDE_MAX = 85.05112878;
static const double EARTH_RADIUS = 6372797.560856;
static const double MERCATOR_MAX = 20037726.37;
static const double DEGREE = M_PI / 180;

/* ---- bits ---- */

/* Spread 32 bits over the even ones of 64. */
static uint64_t spread(uint32_t bits) {
    uint64_t x = bits;
    x = (x | x << 16) & UINT64_C(0x0000FFFF0000FFFF);
    x = (x | x << 8) & UINT64_C(0x00FF00FF00FF00FF);
    x = (x | x << 4) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    x = (x | x << 2) & UINT64_C(0x3333333333333333);
    return (x | x << 1) & UINT64_C(0x5555555555555555);
}

static uint32_t gather(uint64_t x) {
    x &= UINT64_C(0x5555555555555555);
    x = (x | x >> 1) & UINT64_C(0x3333333333333333);
    x = (x | x >> 2) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    x = (x | x >> 4) & UINT64_C(0x00FF00FF00FF00FF);
    x = (x | x >> 8) & UINT64_C(0x0000FFFF0000FFFF);
    return (uint32_t)(x | x >> 16);
}

/* A cell of a grid of 2^step by 2^step. */
struct cell {
    uint32_t row, column; /* from the south, from the west */
    uint32_t step;
};
struct area {
    struct geo_point min, max;
};

static struct cell cell_of(struct geo_point p, double latitude_max, uint32_t step) {
    double scale = (double)(UINT64_C(1) << step);
    double row = (p.latitude + latitude_max) / (2 * latitude_max);
    double column = (p.longitude + LONGITUDE_MAX) / (2 * LONGITUDE_MAX);
    return (struct cell){(uint32_t)(row * scale), (uint32_t)(column * scale), step};
}

static uint64_t cell_bits(struct cell cell) {
    return spread(cell.row) | spread(cell.column) << 1;
}

static struct area cell_area(struct cell cell) {
    double scale = (double)(UINT64_C(1) << cell.step);
    struct area area;
    area.min.latitude = -LATITUDE_MAX + cell.row * 1.0 / scale * (2 * LATITUDE_MAX);
    area.max.latitude = -LATITUDE_MAX + (cell.row + 1.0) / scale * (2 * LATITUDE_MAX);
    area.min.longitude = -LONGITUDE_MAX + cell.column * 1.0 / scale * (2 * LONGITUDE_MAX);
    area.max.longitude = -LONGITUDE_MAX + (cell.column + 1.0) / scale * (2 * LONGITUDE_MAX);
    return area;
}

/* ---- points ---- */

bool geo_point_valid(struct geo_point p) {
    return fabs(p.longitude) <= LONGITUDE_MAX && fabs(p.latitude) <= LATITUDE_MAX;
}

uint64_t geo_encode(struct geo_point point) {
    return cell_bits(cell_of(point, LATITUDE_MAX, GEO_STEP_MAX));
}

static double within(double value, double limit) {
    return value > limit ? limit : value < -limit ? -limit : value;
}

struct geo_point geo_decode(double score) {
    const double int64_end = 9223372036854775808.0;
    uint64_t bits = 0; /* and below, what an x86 makes of numbers too large */
    if (score >= -int64_end && score < int64_end)
        bits = (uint64_t)(int64_t)score;
    else if (score < 2 * int64_end)
        bits = score < 0 ? UINT64_C(1) << 63 : (uint64_t)score;
    struct area area = cell_area((struct cell){gather(bits), gather(bits >> 1), GEO_STEP_MAX});
    return (struct geo_point){within((area.min.longitude + area.max.longitude) / 2, LONGITUDE_MAX),
                              within((area.min.latitude + area.max.latitude) / 2, LATITUDE_MAX)};
}

/* The haversine formula. */
double geo_distance(struct geo_point a, struct geo_point b) {
    double latitude_a = a.latitude * DEGREE, latitude_b = b.latitude * DEGREE;
    double u = sin((latitude_b - latitude_a) / 2);
    double v = sin((b.longitude * DEGREE - a.longitude * DEGREE) / 2);
    return 2.0 * EARTH_RADIUS * asin(sqrt(u * u + cos(latitude_a) * cos(latitude_b) * v * v));
}

void geo_hash_text(struct geo_point point, char text[GEO_HASH_CHARS]) {
    static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    enum { CHAR_BITS = 5, ALL_BITS = 2 * GEO_STEP_MAX };
    uint64_t bits = cell_bits(cell_of(point, 90, GEO_STEP_MAX));
    for (int i = 1; i < GEO_HASH_CHARS; i++)
        text[i - 1] = alphabet[bits >> (ALL_BITS - i * CHAR_BITS) & 31];
    text[GEO_HASH_CHARS - 1] = alphabet[0];
}

/* ---- shapes ---- */

bool geo_shape_has(const struct geo_shape *shape, struct geo_point point, double *distance_r) {
    if (shape->box) {
        struct geo_point same_longitude = {point.longitude, shape->center.latitude};
        struct geo_point same_latitude = {shape->center.longitude, point.latitude};
        double north_south =
            EARTH_RADIUS * fabs(point.latitude * DEGREE - same_longitude.latitude * DEGREE);
        if (north_south > shape->height / 2 ||
            geo_distance(point, same_latitude) > shape->width / 2)
            return false;
    }
    *distance_r = geo_distance(shape->center, point);
    return shape->box || *distance_r <= shape->radius;
}

/* The finest grid of which nine cells may hold a circle of this radius. */
static uint32_t step_for(double radius, double latitude) {
    int step = 1;
    if (radius == 0)
        return GEO_STEP_MAX;
    for (; radius < MERCATOR_MAX; radius *= 2)
        step++;
    step -= 2;
    /* Cells are narrower toward the poles. */
    step -= fabs(latitude) > 66;
    step -= fabs(latitude) > 80;
    return step < 1 ? 1 : step > GEO_STEP_MAX ? GEO_STEP_MAX : (uint32_t)step;
}

static struct area bounds_of(const struct geo_shape *shape) {
    const struct geo_point at = shape->center;
    double height = shape->box ? shape->height / 2 : shape->radius;
    double width = shape->box ? shape->width / 2 : shape->radius;
    double north = height / EARTH_RADIUS / DEGREE;
    double widest = at.latitude < 0 ? at.latitude - north : at.latitude + north;
    double east = width / EARTH_RADIUS / cos(widest * DEGREE) / DEGREE;
    return (struct area){{at.longitude - east, at.latitude - north},
                         {at.longitude + east, at.latitude + north}};
}

/* The neighbour in a direction, around the globe. The last row and column hold their outer border as
 * one more, which stays where it is not moved from. */
static struct cell moved(struct cell cell, int north, int east) {
    uint32_t mask = (UINT32_C(1) << cell.step) - 1;
    if (north != 0)
        cell.row = (cell.row + (uint32_t)north) & mask;
    if (east != 0)
        cell.column = (cell.column + (uint32_t)east) & mask;
    return cell;
}

/* Do the cells around this one reach as far as the shape in all four directions? */
static bool covers(struct cell cell, const struct area *bounds) {
    return cell_area(moved(cell, 1, 0)).max.latitude >= bounds->max.latitude &&
           cell_area(moved(cell, -1, 0)).min.latitude <= bounds->min.latitude &&
           cell_area(moved(cell, 0, 1)).max.longitude >= bounds->max.longitude &&
           cell_area(moved(cell, 0, -1)).min.longitude <= bounds->min.longitude;
}

/* Is there nothing of the shape in the neighbour in this direction? */
static bool is_beyond(const struct area *middle, const struct area *bounds, int north, int east) {
    return (north < 0 && middle->min.latitude < bounds->min.latitude) ||
           (north > 0 && middle->max.latitude > bounds->max.latitude) ||
           (east < 0 && middle->min.longitude < bounds->min.longitude) ||
           (east > 0 && middle->max.longitude > bounds->max.longitude);
}

static struct geo_range range_of(struct cell cell) {
    uint32_t shift = 2 * (GEO_STEP_MAX - cell.step);
    uint64_t bits = cell_bits(cell);
    return (struct geo_range){(double)(bits << shift), (double)((bits + 1) << shift)};
}

uint32_t geo_cover(const struct geo_shape *shape, struct geo_range ranges[GEO_RANGES_MAX]) {
    static const struct {
        int north, east;
    } directions[GEO_RANGES_MAX] = {{0, 0}, {1, 0},  {-1, 0}, {0, 1},  {0, -1},
                                    {1, 1}, {1, -1}, {-1, 1}, {-1, -1}};
    double radius = shape->radius;
    if (shape->box)
        radius =
            sqrt(shape->width / 2 * (shape->width / 2) + shape->height / 2 * (shape->height / 2));
    uint32_t step = step_for(radius, shape->center.latitude), count = 0;
    struct cell middle = cell_of(shape->center, LATITUDE_MAX, step);
    struct area bounds = bounds_of(shape);
    if (step > 1 && !covers(middle, &bounds))
        middle = cell_of(shape->center, LATITUDE_MAX, --step);
    struct area area = cell_area(middle);
    for (int i = 0; i < GEO_RANGES_MAX; i++) {
        int north = directions[i].north, east = directions[i].east;
        if (step >= 2 && is_beyond(&area, &bounds, north, east))
            continue;
        struct geo_range range = range_of(moved(middle, north, east));
        /* On a coarse grid there is one neighbour on both sides. */
        if (count == 0 || range.min != ranges[count - 1].min)
            ranges[count++] = range;
    }
    return count;
}
