/*
 * An HTTP request as the packed request message of its route: body, path variables, query parameters and
 * headers. What is given in two places must agree; what is unknown is refused by name.
 */
#pragma once

#include "base/arena.h"
#include "gateway/http/exchange.h"
#include "gateway/router_internal.h"

/*
 * Appends the packed request. INVALID_JSON, INVALID_FIELD, UNKNOWN_FIELD with all faults of the body, or all
 * of path, query and headers listed; their memory is from `arena`.
 */
STATUS_MUST_CHECK struct status request_build(struct arena *arena, const struct http_request *http,
                                              const struct route_match *match, struct buffer *wire);

/* A body that could say only what the path says already, as that of /cancel, may be left out. */
bool request_body_is_optional(const struct route_match *match);

/* Whether Content-Type is application/json, with or without parameters. */
bool request_is_json(const struct http_request *http);

/* Faults of fields, all of which one answer tells. */
#define REQUEST_FAULTS_MAX 32U
struct request_faults {
    struct arena *arena;
    struct field_fault items[REQUEST_FAULTS_MAX];
    size_t count;
    enum status_reason reason; /* of the first */
};

/* NULL texts mean that memory is out; beyond the most that are told a fault is only not listed. */
void request_fault(struct request_faults *faults, enum status_reason reason, const char *field,
                   const char *message);
STATUS_MUST_CHECK struct status request_faults_status(const struct request_faults *faults);

/*
 * Appends a query string as fields of `message`: "a.b" names a field of a message, repeated fields are
 * repeated parameters. `skip` is a parameter that is no field, or NULL; its value goes to *ret_skipped.
 * RESOURCE_EXHAUSTED; everything else is noted in `faults`.
 */
STATUS_MUST_CHECK struct status query_build(struct request_faults *faults,
                                            const struct schema_message *message, struct bytes query,
                                            const char *skip, struct bytes *ret_skipped, struct buffer *wire);
