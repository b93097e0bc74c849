#include "gateway/request_internal.h"

#include <string.h>
#include <strings.h>

#include "gateway/transcode/transcode.h"

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "the request needs more memory than a call may use");
}

/* --- faults --- */

void request_fault(struct request_faults *faults, enum status_reason reason, const char *field,
                   const char *message)
{
    if (faults->count == REQUEST_FAULTS_MAX)
        return;
    if (faults->count == 0)
        faults->reason = reason;
    faults->items[faults->count++] = (struct field_fault){field, message};
}

struct status request_faults_status(const struct request_faults *faults)
{
    if (faults->count == 0)
        return status_ok();
    struct field_faults *all = arena_alloc(faults->arena, sizeof *all);
    struct field_fault *items = arena_array(faults->arena, faults->count, sizeof *items);
    if (all == NULL || items == NULL)
        return no_memory();
    for (size_t i = 0; i < faults->count; i++) {
        items[i] = faults->items[i];
        if (items[i].field == NULL || items[i].message == NULL)
            return no_memory();
    }
    struct status status = status_reason(faults->reason, "%s %s", items[0].field, items[0].message);
    *all = (struct field_faults){items, faults->count};
    status.faults = all;
    return status;
}

/* --- body --- */

bool request_is_json(const struct http_request *http)
{
    const struct bytes wanted = BYTES_LITERAL("application/json");
    struct bytes type = BYTES_NONE;
    return http_request_header_count(http, "content-type", &type) == 1 &&
           type.size_bytes >= wanted.size_bytes &&
           strncasecmp((const char *)type.data, (const char *)wanted.data, wanted.size_bytes) == 0 &&
           (type.size_bytes == wanted.size_bytes || type.data[wanted.size_bytes] == ';' ||
            type.data[wanted.size_bytes] == ' ');
}

static bool body_is_all(const struct schema_route *route)
{
    return route->body != NULL && strcmp(route->body, "*") == 0;
}

bool request_body_is_optional(const struct route_match *match)
{
    return body_is_all(match->route) &&
           schema_method(match->route->method)->request->field_count == match->variable_count;
}

static struct status put_body(struct arena *arena, const struct http_request *http,
                              const struct route_match *match, struct buffer *wire)
{
    const struct schema_route *route = match->route;
    const struct schema_message *request = schema_method(route->method)->request;
    if (route->body == NULL)
        return status_ok(); /* the body of a GET has no meaning */
    if (http->body.size_bytes == 0 && request_body_is_optional(match))
        return status_ok();
    if (body_is_all(route))
        return transcode_to_wire(arena, request, http->body, wire);
    const struct schema_field *field = schema_field_by_name(request, bytes_of_text(route->body));
    struct buffer inner = buffer_in(arena, 0);
    STATUS_TRY(transcode_to_wire(arena, field->message, http->body, &inner));
    wire_put_bytes(wire, field->number, buffer_bytes(&inner));
    return status_ok();
}

/* --- path and headers --- */

/* The last occurrence of a field in `wire`, tag and content; empty when it is not there. */
static struct bytes find_field(struct bytes wire, uint32_t number)
{
    struct bytes found = BYTES_NONE;
    for (size_t at = 0; at < wire.size_bytes;) {
        const size_t start = at;
        struct wire_field seen;
        if (!wire_next(wire, &at, &seen))
            return BYTES_NONE;
        if (seen.number == number)
            found = bytes_of(wire.data + start, at - start);
    }
    return found;
}

/* Adds a field that may stand elsewhere too: equal is fine, different is a fault. `name` is for messages. */
static void put_beside(struct request_faults *faults, const struct schema_field *field, struct bytes text,
                       const char *name, struct buffer *wire)
{
    struct arena *arena = faults->arena;
    struct buffer value = buffer_in(arena, 0);
    if (!transcode_put_text(arena, field, text, true, &value)) {
        request_fault(faults, REASON_INVALID_FIELD, field->name,
                      arena_printf(arena, "is \"%s\" in the %s; it must be %s", transcode_shown(arena, text),
                                   name, transcode_wanted(arena, field)));
        return;
    }
    const struct bytes given = find_field(buffer_bytes(wire), field->number);
    if (given.size_bytes == 0)
        buffer_add_bytes(wire, buffer_bytes(&value));
    else if (!bytes_equal(given, buffer_bytes(&value)))
        request_fault(faults, REASON_INVALID_FIELD, field->name,
                      arena_printf(arena,
                                   "is given twice and differs from the %s, which says \"%s\"; give it once",
                                   name, transcode_shown(arena, text)));
    wire->failed |= value.failed;
}

/* Leaves out all fields of the oneof. */
static void drop_oneof(const struct schema_message *message, int oneof, struct buffer *wire)
{
    size_t kept = 0;
    for (size_t at = 0; at < wire->size_bytes;) {
        const size_t start = at;
        struct wire_field seen;
        if (!wire_next(buffer_bytes(wire), &at, &seen))
            return; /* our own bytes: cannot be */
        const struct schema_field *field = schema_field_by_number(message, seen.number);
        if (field != NULL && field->oneof == oneof)
            continue;
        memmove(wire->data + kept, wire->data + start, at - start);
        kept += at - start;
    }
    wire->size_bytes = kept;
}

/* A browser repeats its URL when it comes back, so this header wins over any start in there. */
static void put_last_event_id(struct request_faults *faults, const struct schema_message *request,
                              const struct schema_field *field, struct bytes value, struct buffer *wire)
{
    if (field->oneof >= 0)
        drop_oneof(request, field->oneof, wire);
    if (!transcode_put_text(faults->arena, field, value, true, wire))
        request_fault(faults, REASON_INVALID_FIELD, field->http_header,
                      arena_printf(faults->arena, "is \"%s\"; it must be the id of an event of this stream",
                                   transcode_shown(faults->arena, value)));
}

static void put_headers(struct request_faults *faults, const struct http_request *http,
                        const struct schema_message *request, struct buffer *wire)
{
    for (size_t i = 0; i < request->field_count; i++) {
        const struct schema_field *field = &request->fields[i];
        struct bytes value = BYTES_NONE;
        const size_t count =
            field->http_header == NULL ? 0 : http_request_header_count(http, field->http_header, &value);
        if (count == 0)
            continue;
        if (count > 1)
            request_fault(faults, REASON_INVALID_FIELD, field->http_header,
                          "is there more than once; send it once");
        else if (strcmp(field->http_header, "Last-Event-ID") == 0)
            put_last_event_id(faults, request, field, value, wire);
        else
            put_beside(faults, field, value, arena_printf(faults->arena, "header %s", field->http_header),
                       wire);
    }
}

struct status request_build(struct arena *arena, const struct http_request *http,
                            const struct route_match *match, struct buffer *wire)
{
    const struct schema_route *route = match->route;
    const struct schema_message *request = schema_method(route->method)->request;
    struct request_faults faults = {.arena = arena};
    STATUS_TRY(put_body(arena, http, match, wire));
    if (!body_is_all(route))
        STATUS_TRY(query_build(&faults, request, http->query, NULL, NULL, wire));
    else if (http->query.size_bytes > 0)
        request_fault(&faults, REASON_UNKNOWN_FIELD, transcode_shown(arena, http->query),
                      "is a query and this path takes none; put the fields into the body");
    for (size_t i = 0; i < match->variable_count; i++)
        put_beside(&faults, match->variables[i].field, match->variables[i].value, "path", wire);
    put_headers(&faults, http, request, wire);
    STATUS_TRY(request_faults_status(&faults));
    return buffer_status(wire);
}
