/* cmd_geo.c - GEOADD, GEODIST, GEOHASH, GEOPOS: places as scores of a sorted set (worker/types/geo.h). */
#include "worker/command/geo_handler.h"

#include "shared/base/mem.h"

#include <stdio.h>

/* ---- arguments and replies ---- */

bool geo_parse_point(struct command_ctx *ctx, uint32_t index, struct geo_point *point_r) {
    if (!bytes_to_double(ctx->argv[index], &point_r->longitude) ||
        !bytes_to_double(ctx->argv[index + 1], &point_r->latitude)) {
        reply_error(&ctx->reply, reply_err_not_float);
        return false;
    }
    if (geo_point_valid(*point_r))
        return true;
    reply_error_format(&ctx->reply, "ERR invalid longitude,latitude pair %f,%f", point_r->longitude,
                       point_r->latitude);
    return false;
}

bool geo_parse_unit(struct command_ctx *ctx, uint32_t index, double *metres_r) {
    static const struct {
        const char *name;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (handler_arg_is(ctx, index, units[i].name)) {
            *metres_r = units[i].metres;
            return true;
        }
    reply_error(&ctx->reply, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

void geo_reply_distance(struct command_ctx *ctx, double distance) {
    char digits[BYTES_LONG_DOUBLE_MAX];
    int len = snprintf(digits, sizeof(digits), "%.4f", distance);
    reply_bulk(&ctx->reply, bytes_of(digits, (size_t)len));
}

/* RESP3 has a type for numbers, but reply_double() would print fewer digits. */
static void reply_coordinate(struct command_ctx *ctx, double degrees) {
    char digits[BYTES_LONG_DOUBLE_MAX];
    struct bytes text = bytes_of(digits, bytes_from_long_double(digits, degrees));
    if (ctx->reply.version == 2) {
        reply_bulk(&ctx->reply, text);
        return;
    }
    reply_raw(&ctx->reply, BYTES_LITERAL(","));
    reply_raw(&ctx->reply, text);
    reply_raw(&ctx->reply, BYTES_LITERAL("\r\n"));
}

void geo_reply_point(struct command_ctx *ctx, struct geo_point point) {
    reply_array(&ctx->reply, 2);
    reply_coordinate(ctx, point.longitude);
    reply_coordinate(ctx, point.latitude);
}

/* ---- GEOADD ---- */

/* GEOADD key [options] longitude latitude member ...  ->  ZADD key [options] score member ...
 * `first` is the argument after the options. */
static void add_as_zadd(struct command_ctx *ctx, uint32_t first, struct bytes *argv,
                        char (*digits)[BYTES_I64_MAX]) {
    uint32_t argc = first;
    memcpy(argv, ctx->argv, first * sizeof(*argv));
    argv[0] = BYTES_LITERAL("ZADD");
    for (uint32_t i = first; i < ctx->argc; i += 3, digits++) {
        struct geo_point point;
        if (!geo_parse_point(ctx, i, &point))
            return;
        argv[argc++] = bytes_of(*digits, bytes_from_i64(*digits, (int64_t)geo_encode(point)));
        argv[argc++] = ctx->argv[i + 2];
    }
    const struct bytes *given = ctx->argv;
    uint32_t given_argc = ctx->argc;
    ctx->argv = argv;
    ctx->argc = argc;
    cmd_zadd(ctx);
    ctx->argv = given;
    ctx->argc = given_argc;
    if (ctx->dirty > 0)
        propagate_instead(ctx, argc, argv);
}

void cmd_geoadd(struct command_ctx *ctx) {
    uint32_t first = 2;
    bool nx = false, xx = false;
    for (; first < ctx->argc; first++) {
        bool is_nx = handler_arg_is(ctx, first, "NX"), is_xx = handler_arg_is(ctx, first, "XX");
        if (!is_nx && !is_xx && !handler_arg_is(ctx, first, "CH"))
            break;
        nx |= is_nx;
        xx |= is_xx;
    }
    uint32_t places = (ctx->argc - first) / 3;
    if ((ctx->argc - first) % 3 != 0 || (nx && xx)) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    struct bytes *argv = mem_alloc(ctx->argc * sizeof(*argv));
    char(*digits)[BYTES_I64_MAX] = mem_alloc((places + 1) * sizeof(*digits));
    add_as_zadd(ctx, first, argv, digits);
    mem_free(digits);
    mem_free(argv);
}

/* ---- single members ---- */

/* false: there is no such member, or no key. */
static bool member_point(const struct value *zset, bool found, struct bytes member,
                         struct geo_point *point_r) {
    double score;
    if (!found || !zset_score(zset, member, &score))
        return false;
    *point_r = geo_decode(score);
    return true;
}

void cmd_geodist(struct command_ctx *ctx) {
    struct value zset;
    struct geo_point from, to;
    double unit = 1;
    bool found;
    if (ctx->argc == 5 && !geo_parse_unit(ctx, 4, &unit))
        return;
    if (ctx->argc > 5) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    if (!zset_find(ctx, 1, &zset, &found))
        return;
    if (member_point(&zset, found, ctx->argv[2], &from) &&
        member_point(&zset, found, ctx->argv[3], &to))
        geo_reply_distance(ctx, geo_distance(from, to) / unit);
    else
        reply_null(&ctx->reply);
}

void cmd_geohash(struct command_ctx *ctx) {
    struct value zset;
    struct geo_point point;
    char text[GEO_HASH_CHARS];
    bool found;
    if (!zset_find(ctx, 1, &zset, &found))
        return;
    reply_array(&ctx->reply, ctx->argc - 2);
    for (uint32_t i = 2; i < ctx->argc; i++) {
        if (member_point(&zset, found, ctx->argv[i], &point)) {
            geo_hash_text(point, text);
            reply_bulk(&ctx->reply, bytes_of(text, sizeof(text)));
        } else {
            reply_null(&ctx->reply);
        }
    }
}

void cmd_geopos(struct command_ctx *ctx) {
    struct value zset;
    struct geo_point point;
    bool found;
    if (!zset_find(ctx, 1, &zset, &found))
        return;
    reply_array(&ctx->reply, ctx->argc - 2);
    for (uint32_t i = 2; i < ctx->argc; i++) {
        if (member_point(&zset, found, ctx->argv[i], &point))
            geo_reply_point(ctx, point);
        else
            reply_null_array(&ctx->reply);
    }
}
