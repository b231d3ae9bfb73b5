/* geo_handler.h - what the handlers of geo commands share. As in handler.h, a function that returns bool
 * and gets the ctx has written the error reply when it returns false. */
#ifndef REMUDA_COMMAND_GEO_HANDLER_H
#define REMUDA_COMMAND_GEO_HANDLER_H
#include "worker/command/zset_handler.h"
#include "worker/types/geo.h"

/* Longitude and latitude in two arguments. */
bool geo_parse_point(struct command_ctx *ctx, uint32_t index, struct geo_point *point_r);
/* A unit of length in an argument, in metres. */
bool geo_parse_unit(struct command_ctx *ctx, uint32_t index, double *metres_r);
/* A distance in four decimals. */
void geo_reply_distance(struct command_ctx *ctx, double distance);
/* Longitude and latitude, in all their digits. */
void geo_reply_point(struct command_ctx *ctx, struct geo_point point);

#endif
