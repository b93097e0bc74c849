/*
 * An HTTP request as the packed request message of its route: body, path variables, query parameters and headers.
 * What is given in two places must agree; what is unknown is refused by name.
 */
#pragma once

#include "base/arena.h"
#include "gateway/http/exchange.h"
#include "gateway/router_internal.h"

/* INVALID_JSON, INVALID_FIELD, UNKNOWN_FIELD, with all faults of body or query listed; memory from `arena`. */
struct status request_build(struct arena *arena, const struct http_request *http, const struct route_match *match,
                            struct buffer *wire);

/* Whether Content-Type is application/json, with or without parameters. */
bool request_is_json(const struct http_request *http);

/* A query string alone into fields of `message` (WebSocket). `skip` is a parameter that is not a field, or NULL;
 * its value goes to *ret_skipped. */
struct status query_string_build(struct arena *arena, const struct schema_message *message, struct bytes query,
                          const char *skip, struct bytes *ret_skipped, struct buffer *wire);
