/* cmd_geo_search.c - GEOSEARCH, GEOSEARCHSTORE and the GEORADIUS family: members within a shape.
 *
 * The sorted set is looked at in the cells that cover the shape; without an order asked for, members
 * are replied as they are met there. */
#include "worker/command/geo_handler.h"

#include "shared/base/mem.h"

#include <math.h>
#include <stdlib.h>

enum search_flag {
    SEARCH_MEMBER = 1 << 0,   /* GEORADIUSBYMEMBER: the center is argument 2 */
    SEARCH_POINT = 1 << 1,    /* GEORADIUS: the center is arguments 2 and 3 */
    SEARCH_OPTIONS = 1 << 2,  /* GEOSEARCH: center and shape are options */
    SEARCH_STORE = 1 << 3,    /* GEOSEARCHSTORE: the destination is argument 1 */
    SEARCH_READONLY = 1 << 4, /* GEORADIUS_RO: no STORE */
};
enum search_order { ORDER_NONE, ORDER_NEAREST, ORDER_FARTHEST };

struct hit {
    struct bytes member; /* in search.members */
    size_t member_at;
    double score, distance; /* in metres */
    struct geo_point point;
};

struct search {
    uint32_t flags;
    uint32_t source, store; /* arguments; store 0: reply */
    struct value zset;
    bool found; /* the source is there */
    struct geo_shape shape;
    double unit; /* metres */
    bool center_given, shape_given;
    bool with_distance, with_hash, with_point, store_distance, any;
    uint64_t count; /* 0: all */
    enum search_order order;
    struct hit *hits;
    uint64_t hit_count, hit_cap;
    struct buf members; /* packed members have no bytes that last */
};

/* ---- arguments ---- */

static bool parse_length(struct command_ctx *ctx, uint32_t index, const char *error,
                         double *value_r) {
    if (bytes_to_double(ctx->argv[index], value_r))
        return true;
    reply_error(&ctx->reply, error);
    return false;
}

static bool parse_radius(struct command_ctx *ctx, uint32_t index, struct search *s) {
    double radius;
    if (!parse_length(ctx, index, "ERR need numeric radius", &radius))
        return false;
    if (radius < 0) {
        reply_error(&ctx->reply, "ERR radius cannot be negative");
        return false;
    }
    if (!geo_parse_unit(ctx, index + 1, &s->unit))
        return false;
    s->shape.radius = radius * s->unit;
    s->shape_given = true;
    return true;
}

static bool parse_box(struct command_ctx *ctx, uint32_t index, struct search *s) {
    double width, height;
    if (!parse_length(ctx, index, "ERR need numeric width", &width) ||
        !parse_length(ctx, index + 1, "ERR need numeric height", &height))
        return false;
    if (width < 0 || height < 0) {
        reply_error(&ctx->reply, "ERR height or width cannot be negative");
        return false;
    }
    if (!geo_parse_unit(ctx, index + 2, &s->unit))
        return false;
    s->shape.box = s->shape_given = true;
    s->shape.width = width * s->unit;
    s->shape.height = height * s->unit;
    return true;
}

/* The center is a member. Where there is no set there is nothing to be found either, and what stands
 * here is not looked at. */
static bool parse_member(struct command_ctx *ctx, uint32_t index, struct search *s) {
    double score;
    s->center_given = true;
    if (!s->found)
        return true;
    if (!zset_score(&s->zset, ctx->argv[index], &score)) {
        reply_error(&ctx->reply, "ERR could not decode requested zset member");
        return false;
    }
    s->shape.center = geo_decode(score);
    return true;
}

static bool parse_center(struct command_ctx *ctx, uint32_t index, struct search *s) {
    s->center_given = true;
    return geo_parse_point(ctx, index, &s->shape.center);
}

static bool parse_count(struct command_ctx *ctx, uint32_t index, struct search *s) {
    int64_t count;
    if (!handler_i64(ctx, index, &count))
        return false;
    if (count <= 0) {
        reply_error(&ctx->reply, "ERR COUNT must be > 0");
        return false;
    }
    s->count = (uint64_t)count;
    return true;
}

/* Words that stand alone; false: it is none of them. */
static bool take_word(const struct command_ctx *ctx, uint32_t index, struct search *s) {
    if (handler_arg_is(ctx, index, "WITHDIST"))
        s->with_distance = true;
    else if (handler_arg_is(ctx, index, "WITHHASH"))
        s->with_hash = true;
    else if (handler_arg_is(ctx, index, "WITHCOORD"))
        s->with_point = true;
    else if (handler_arg_is(ctx, index, "ANY"))
        s->any = true;
    else if (handler_arg_is(ctx, index, "ASC"))
        s->order = ORDER_NEAREST;
    else if (handler_arg_is(ctx, index, "DESC"))
        s->order = ORDER_FARTHEST;
    else if ((s->flags & SEARCH_STORE) && handler_arg_is(ctx, index, "STOREDIST"))
        s->store_distance = true;
    else
        return false;
    return true;
}

/* An option with arguments; *used_r: how many. */
static bool parse_option(struct command_ctx *ctx, uint32_t index, struct search *s,
                         uint32_t *used_r) {
    uint32_t rest = ctx->argc - index - 1;
    bool options = s->flags & SEARCH_OPTIONS;
    bool may_store = !(s->flags & (SEARCH_OPTIONS | SEARCH_READONLY));
    bool distance = handler_arg_is(ctx, index, "STOREDIST");
    *used_r = 1;
    if (rest > 0 && handler_arg_is(ctx, index, "COUNT"))
        return parse_count(ctx, index + 1, s);
    if (rest > 0 && may_store && (distance || handler_arg_is(ctx, index, "STORE"))) {
        s->store = index + 1;
        s->store_distance = distance;
        return true;
    }
    if (rest > 0 && options && !s->center_given && handler_arg_is(ctx, index, "FROMMEMBER"))
        return parse_member(ctx, index + 1, s);
    *used_r = 2;
    if (rest > 1 && options && !s->center_given && handler_arg_is(ctx, index, "FROMLONLAT"))
        return parse_center(ctx, index + 1, s);
    if (rest > 1 && options && !s->shape_given && handler_arg_is(ctx, index, "BYRADIUS"))
        return parse_radius(ctx, index + 1, s);
    *used_r = 3;
    if (rest > 2 && options && !s->shape_given && handler_arg_is(ctx, index, "BYBOX"))
        return parse_box(ctx, index + 1, s);
    reply_error(&ctx->reply, reply_err_syntax);
    return false;
}

static bool options_agree(struct command_ctx *ctx, const struct search *s) {
    const char *problem = NULL;
    if (s->store > 0 && (s->with_distance || s->with_hash || s->with_point)) {
        reply_error_format(
            &ctx->reply, "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
            s->flags & SEARCH_STORE ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
        return false;
    }
    if (!s->center_given)
        problem = "FROMMEMBER or FROMLONLAT";
    else if (!s->shape_given)
        problem = "BYRADIUS and BYBOX";
    if (problem != NULL) {
        struct bytes name = ctx->argv[0];
        reply_error_format(&ctx->reply, "ERR exactly one of %s can be specified for %.*s", problem,
                           (int)name.len, name.ptr);
        return false;
    }
    if (s->any && s->count == 0) {
        reply_error(&ctx->reply, "ERR the ANY argument requires COUNT argument");
        return false;
    }
    return true;
}

static bool parse_search(struct command_ctx *ctx, struct search *s) {
    uint32_t index = s->source + 1;
    if (s->flags & SEARCH_POINT) {
        if (!parse_center(ctx, index, s) || !parse_radius(ctx, index + 2, s))
            return false;
        index += 4;
    } else if (s->flags & SEARCH_MEMBER) {
        s->shape_given = true;
        if (!parse_member(ctx, index, s) || (s->found && !parse_radius(ctx, index + 1, s)))
            return false;
        index += 3;
    }
    for (; index < ctx->argc; index++) {
        uint32_t used = 0;
        if (!take_word(ctx, index, s) && !parse_option(ctx, index, s, &used))
            return false;
        index += used;
    }
    return options_agree(ctx, s);
}

/* ---- searching ---- */

static void add_hit(struct search *s, const struct hit *hit) {
    if (s->hit_count == s->hit_cap) {
        s->hit_cap = s->hit_cap ? s->hit_cap * 2 : 16;
        s->hits = mem_realloc(s->hits, s->hit_cap * sizeof(*s->hits));
    }
    struct hit *kept = &s->hits[s->hit_count++];
    *kept = *hit;
    kept->member_at = s->members.len;
    buf_append_bytes(&s->members, hit->member);
}

static bool is_enough(const struct search *s) {
    return s->any && s->hit_count >= s->count;
}

static void search_range(struct search *s, const struct geo_range *scores) {
    struct zset_range range = {.from = {.by_score = true, .score = scores->min},
                               .to = {.by_score = true, .score = scores->max}};
    struct zset_iterator it;
    struct hit hit;
    uint64_t first, count;
    zset_find_range(&s->zset, &range, &first, &count);
    if (count == 0)
        return;
    zset_iterate(&s->zset, first, false, &it);
    for (; count > 0 && !is_enough(s) && zset_next(&it, &hit.member, &hit.score); count--) {
        hit.point = geo_decode(hit.score);
        if (geo_shape_has(&s->shape, hit.point, &hit.distance))
            add_hit(s, &hit);
    }
}

/* As they were met, where the distance is the same. */
static int met_before(const struct hit *a, const struct hit *b) {
    return a->member_at < b->member_at ? -1 : a->member_at > b->member_at;
}

static int nearer(const void *a, const void *b) {
    const struct hit *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return met_before(x, y);
}

static int farther(const void *a, const void *b) {
    const struct hit *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance > y->distance ? -1 : 1;
    return met_before(x, y);
}

static void search(struct search *s) {
    struct geo_range ranges[GEO_RANGES_MAX];
    uint32_t cells = geo_cover(&s->shape, ranges);
    for (uint32_t i = 0; i < cells && !is_enough(s); i++)
        search_range(s, &ranges[i]);
    for (uint64_t i = 0; i < s->hit_count; i++)
        s->hits[i].member.ptr = s->members.data + s->hits[i].member_at;
    if (s->order == ORDER_NONE && s->count > 0 && !s->any)
        s->order = ORDER_NEAREST;
    if (s->order != ORDER_NONE && s->hit_count > 1)
        qsort(s->hits, s->hit_count, sizeof(*s->hits),
              s->order == ORDER_NEAREST ? nearer : farther);
    if (s->count > 0 && s->hit_count > s->count)
        s->hit_count = s->count;
}

/* ---- the answer ---- */

static void reply_hits(struct command_ctx *ctx, const struct search *s) {
    uint32_t extras = s->with_distance + s->with_hash + s->with_point;
    reply_array(&ctx->reply, s->hit_count);
    for (uint64_t i = 0; i < s->hit_count; i++) {
        const struct hit *hit = &s->hits[i];
        if (extras > 0)
            reply_array(&ctx->reply, 1 + extras);
        reply_bulk(&ctx->reply, hit->member);
        if (s->with_distance)
            geo_reply_distance(ctx, hit->distance / s->unit);
        if (s->with_hash)
            reply_integer(&ctx->reply, (int64_t)hit->score);
        if (s->with_point)
            geo_reply_point(ctx, hit->point);
    }
}

static void store_hits(struct command_ctx *ctx, const struct search *s) {
    struct zset_builder b;
    bool new;
    zset_builder_init(&b);
    for (uint64_t i = 0; i < s->hit_count; i++) {
        const struct hit *hit = &s->hits[i];
        zset_builder_element(&b, hit->member, &new)->score =
            s->store_distance ? hit->distance / s->unit : hit->score;
    }
    zset_store_built(ctx, s->store, &b);
}

static void run_search(struct command_ctx *ctx, uint32_t flags) {
    struct search s = {.flags = flags, .source = 1, .unit = 1};
    if (flags & SEARCH_STORE) {
        s.store = 1;
        s.source = 2;
    }
    if (!zset_find(ctx, s.source, &s.zset, &s.found) || !parse_search(ctx, &s))
        return;
    if (s.found)
        search(&s);
    if (s.store > 0)
        store_hits(ctx, &s);
    else
        reply_hits(ctx, &s);
    mem_free(s.hits);
    buf_free(&s.members);
}

void cmd_georadius(struct command_ctx *ctx) {
    run_search(ctx, SEARCH_POINT);
}

void cmd_georadius_ro(struct command_ctx *ctx) {
    run_search(ctx, SEARCH_POINT | SEARCH_READONLY);
}

void cmd_georadiusbymember(struct command_ctx *ctx) {
    run_search(ctx, SEARCH_MEMBER);
}

void cmd_georadiusbymember_ro(struct command_ctx *ctx) {
    run_search(ctx, SEARCH_MEMBER | SEARCH_READONLY);
}

void cmd_geosearch(struct command_ctx *ctx) {
    run_search(ctx, SEARCH_OPTIONS);
}

void cmd_geosearchstore(struct command_ctx *ctx) {
    run_search(ctx, SEARCH_OPTIONS | SEARCH_STORE);
}
