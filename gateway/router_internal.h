/*
 * Which route a request means. Literals win over variables; a trailing slash does not matter; a variable is
 * one whole segment, fully percent-decoded.
 */
#pragma once

#include "base/arena.h"
#include "gateway/http/exchange.h"
#include "schema/schema.h"

#define ROUTE_VARIABLES_MAX 8U

struct route_variable {
    const struct schema_field *field;
    struct bytes value; /* decoded, in the arena */
};

struct route_match {
    const struct schema_route *route; /* NULL: the path is unknown, or it has other verbs */
    struct route_variable variables[ROUTE_VARIABLES_MAX];
    size_t variable_count;
    const char *allow; /* without a route: NULL, or the verbs of the path, "GET, HEAD, OPTIONS" */
};

/* INVALID_FIELD when a percent-encoding of the path is not one. */
struct status route_find(struct arena *arena, struct bytes verb, struct bytes path, struct route_match *ret);

/* Percent-decodes; `plus_is_space` for queries. False when an encoding is broken or memory is out. */
bool percent_decode(struct arena *arena, struct bytes text, bool plus_is_space, struct bytes *ret);
void percent_encode(struct bytes text,
                    struct buffer *to); /* everything but unreserved characters, RFC 3986 */
