#include "gateway/request_internal.h"

#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "gateway/transcode/transcode.h"

#define FAULTS_MAX     32U
#define NESTED_MAX     4U

struct fault_list {
    struct arena *arena;
    struct field_fault items[FAULTS_MAX];
    size_t count;
    enum status_reason reason; /* of the first */
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "the request needs more memory than a call may use");
}

static void add_fault(struct fault_list *faults, enum status_reason reason, const char *field, const char *message)
{
    if (faults->count == FAULTS_MAX || field == NULL || message == NULL)
        return;
    if (faults->count == 0)
        faults->reason = reason;
    faults->items[faults->count++] = (struct field_fault){field, message};
}

static struct status fault_status(const struct fault_list *faults)
{
    if (faults->count == 0)
        return status_ok();
    struct status status = status_reason(faults->reason, "%s %s", faults->items[0].field, faults->items[0].message);
    struct field_faults *all = arena_alloc(faults->arena, sizeof *all);
    struct field_fault *items = arena_array(faults->arena, faults->count, sizeof *items);
    if (all == NULL || items == NULL)
        return no_memory();
    memcpy(items, faults->items, faults->count * sizeof *items);
    *all = (struct field_faults){items, faults->count};
    status.faults = all;
    return status;
}

/* --- query --- */

/* Finds "a.b.c" through the messages; the outer ones are given in `path`. */
static const struct schema_field *find_nested(const struct schema_message *message, struct bytes name,
                                              const struct schema_field **path, size_t *path_count)
{
    *path_count = 0;
    for (;;) {
        const uint8_t *dot = name.size_bytes == 0 ? NULL : memchr(name.data, '.', name.size_bytes);
        const size_t size = dot == NULL ? name.size_bytes : (size_t)(dot - name.data);
        const struct schema_field *field = schema_field_by_name(message, bytes_of(name.data, size));
        if (field == NULL || (field->flags & (SCHEMA_INTERNAL | SCHEMA_MAP)) != 0)
            return NULL;
        if (dot == NULL)
            return field;
        const bool enters = field->kind == SCHEMA_MESSAGE && field->message->special == SCHEMA_PLAIN &&
                            (field->flags & SCHEMA_REPEATED) == 0;
        if (!enters || *path_count == NESTED_MAX)
            return NULL;
        path[(*path_count)++] = field;
        message = field->message;
        name = bytes_of(dot + 1, name.size_bytes - size - 1);
    }
}

static bool is_plain_message(const struct schema_field *field)
{
    return field->kind == SCHEMA_MESSAGE && field->message->special == SCHEMA_PLAIN;
}

/* Nested fields are written as messages of one field; protocol buffers merge them, so each message must be whole. */
static struct status put_nested(struct arena *arena, const struct schema_field *const *path, size_t path_count,
                                struct bytes inner, struct buffer *wire)
{
    struct bytes content = inner;
    for (size_t i = path_count; i > 0; i--) {
        struct buffer outer = buffer_in(arena, 0);
        wire_put_bytes(&outer, path[i - 1]->number, content);
        STATUS_TRY(buffer_status(&outer));
        content = buffer_bytes(&outer);
    }
    buffer_add_bytes(wire, content);
    return status_ok();
}

static const char *wanted(const struct schema_field *field)
{
    switch (field->kind) {
    case SCHEMA_BOOL:
        return "true or false";
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return "a whole number";
    case SCHEMA_ENUM:
        return "one of the enum's names";
    case SCHEMA_MESSAGE:
        return field->message->special == SCHEMA_TIMESTAMP
                   ? "a time such as 2026-01-31T12:00:00.000001Z, no finer than microseconds"
                   : "a duration such as 1.5s";
    case SCHEMA_DOUBLE:
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        break;
    }
    return "valid text";
}

struct parameter {
    struct bytes name;
    struct bytes value;
};

/* One "name=value"; false when an encoding is broken. */
static bool decode_parameter(struct arena *arena, struct bytes pair, struct parameter *ret)
{
    const uint8_t *equals = memchr(pair.data, '=', pair.size_bytes);
    const size_t name_size = equals == NULL ? pair.size_bytes : (size_t)(equals - pair.data);
    const size_t value_start = equals == NULL ? pair.size_bytes : name_size + 1;
    return percent_decode(arena, bytes_of(pair.data, name_size), true, &ret->name) &&
           percent_decode(arena, bytes_of(pair.data + value_start, pair.size_bytes - value_start), true, &ret->value);
}

struct query_state {
    const struct schema_message *message;
    uint64_t given; /* top-level fields, by place */
    struct fault_list *faults;
};

static void check_repeats(struct query_state *state, const struct schema_field *field, const char *name)
{
    const size_t place = (size_t)(field - state->message->fields);
    if ((field->flags & SCHEMA_REPEATED) == 0 && (state->given >> place & 1) != 0)
        add_fault(state->faults, REASON_INVALID_FIELD, name, "is given twice; keep one");
    for (size_t i = 0; field->oneof >= 0 && i < state->message->field_count; i++)
        if (i != place && state->message->fields[i].oneof == field->oneof && (state->given >> i & 1) != 0)
            add_fault(state->faults, REASON_INVALID_FIELD, name,
                      arena_printf(state->faults->arena, "cannot be given together with %s; keep one",
                                   state->message->fields[i].name));
    state->given |= UINT64_C(1) << place;
}

static struct status put_parameter(struct query_state *state, const struct parameter *parameter, struct buffer *wire)
{
    struct arena *arena = state->faults->arena;
    const struct schema_field *path[NESTED_MAX];
    size_t path_count = 0;
    const char *name = arena_text(arena, parameter->name);
    const struct schema_field *field = find_nested(state->message, parameter->name, path, &path_count);
    if (name == NULL)
        return no_memory();
    if (field == NULL || is_plain_message(field) || (field->flags & SCHEMA_RAW_JSON) != 0) {
        const char *nearest = transcode_nearest(state->message, parameter->name);
        add_fault(state->faults, REASON_UNKNOWN_FIELD, name,
                  nearest == NULL || field != NULL
                      ? "is no query parameter of this path; leave it out"
                      : arena_printf(arena, "is no query parameter of this path; did you mean %s?", nearest));
        return status_ok();
    }
    if (path_count == 0)
        check_repeats(state, field, name);
    struct buffer value = buffer_in(arena, 0);
    const bool numeric = parameter->value.size_bytes > 0 && parameter->value.data[0] <= '9'; /* digits and signs */
    if (!transcode_put_text(arena, field, parameter->value, !(field->kind == SCHEMA_ENUM && numeric), &value)) {
        add_fault(state->faults, REASON_INVALID_FIELD, name,
                  arena_printf(arena, "is \"%.*s\"; it must be %s", BYTES_FORMAT(parameter->value), wanted(field)));
        return status_ok();
    }
    return put_nested(arena, path, path_count, buffer_bytes(&value), wire);
}

static struct status put_query(struct query_state *state, struct bytes query, const char *skip,
                               struct bytes *ret_skipped, struct buffer *wire)
{
    for (size_t at = 0; at < query.size_bytes;) {
        const uint8_t *ampersand = memchr(query.data + at, '&', query.size_bytes - at);
        const size_t end = ampersand == NULL ? query.size_bytes : (size_t)(ampersand - query.data);
        const struct bytes pair = bytes_of(query.data + at, end - at);
        struct parameter parameter;
        at = end + 1;
        if (pair.size_bytes == 0)
            continue;
        if (!decode_parameter(state->faults->arena, pair, &parameter)) {
            add_fault(state->faults, REASON_INVALID_FIELD, arena_text(state->faults->arena, pair),
                      "has a broken percent-encoding; write %25 for a percent sign");
            continue;
        }
        if (skip != NULL && bytes_equal(parameter.name, bytes_of_text(skip)))
            *ret_skipped = parameter.value;
        else
            STATUS_TRY(put_parameter(state, &parameter, wire));
    }
    return status_ok();
}

struct status query_string_build(struct arena *arena, const struct schema_message *message, struct bytes query,
                          const char *skip, struct bytes *ret_skipped, struct buffer *wire)
{
    struct fault_list faults = {.arena = arena};
    struct query_state state = {message, 0, &faults};
    STATUS_TRY(put_query(&state, query, skip, ret_skipped, wire));
    STATUS_TRY(fault_status(&faults));
    return buffer_status(wire);
}

/* --- body, path, headers --- */

bool request_is_json(const struct http_request *http)
{
    const struct bytes type = http_request_header(http, "content-type");
    const struct bytes wanted_type = BYTES_LITERAL("application/json");
    const bool fits = type.size_bytes >= wanted_type.size_bytes &&
                      strncasecmp((const char *)type.data, (const char *)wanted_type.data, wanted_type.size_bytes) == 0 &&
                      (type.size_bytes == wanted_type.size_bytes || type.data[wanted_type.size_bytes] == ';' ||
                       type.data[wanted_type.size_bytes] == ' ');
    return fits;
}

static struct status put_body(struct arena *arena, const struct http_request *http, const struct schema_route *route,
                              struct buffer *wire)
{
    const struct schema_message *request = schema_method(route->method)->request;
    if (route->body == NULL)
        return status_ok(); /* a body of a GET has no meaning */
    if (strcmp(route->body, "*") == 0)
        return transcode_to_wire(arena, request, http->body, wire);
    const struct schema_field *field = schema_field_by_name(request, bytes_of_text(route->body));
    struct buffer inner = buffer_in(arena, 0);
    STATUS_TRY(transcode_to_wire(arena, field->message, http->body, &inner));
    wire_put_bytes(wire, field->number, buffer_bytes(&inner));
    return status_ok();
}

/* The field as it stands in `wire` already, as tag and content; empty when it is not there. */
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

/* Adds a field that also stands elsewhere: equal is fine, different is a fault. */
static struct status put_beside(struct arena *arena, const struct schema_field *field, struct bytes text,
                                const char *where, struct fault_list *faults, struct buffer *wire)
{
    struct buffer value = buffer_in(arena, 0);
    if (!transcode_put_text(arena, field, text, true, &value)) {
        add_fault(faults, REASON_INVALID_FIELD, field->name,
                  arena_printf(arena, "is \"%.*s\" in the %s; it must be %s", BYTES_FORMAT(text), where, wanted(field)));
        return status_ok();
    }
    const struct bytes given = find_field(buffer_bytes(wire), field->number);
    if (given.size_bytes > 0 && !bytes_equal(given, buffer_bytes(&value)))
        add_fault(faults, REASON_INVALID_FIELD, field->name,
                  arena_printf(arena, "differs from the %s, which says \"%.*s\"; give it once", where, BYTES_FORMAT(text)));
    else if (given.size_bytes == 0)
        buffer_add_bytes(wire, buffer_bytes(&value));
    return status_ok();
}

static struct status put_headers(struct arena *arena, const struct http_request *http,
                                 const struct schema_message *request, struct fault_list *faults, struct buffer *wire)
{
    for (size_t i = 0; i < request->field_count; i++) {
        const struct schema_field *field = &request->fields[i];
        struct bytes value = BYTES_NONE;
        const size_t count =
            field->http_header == NULL ? 0 : http_request_header_count(http, field->http_header, &value);
        if (count == 0)
            continue;
        if (count > 1) {
            add_fault(faults, REASON_INVALID_FIELD, field->http_header, "is there more than once; send it once");
        } else if (strcmp(field->http_header, "Last-Event-ID") == 0) {
            /* A browser repeats the URL with the header, so the header wins over any start in it: the last one counts. */
            if (!transcode_put_text(arena, field, value, true, wire))
                add_fault(faults, REASON_INVALID_FIELD, field->http_header, "is no position; send the id of an event");
        } else {
            STATUS_TRY(put_beside(arena, field, value, "header", faults, wire));
        }
    }
    return status_ok();
}

struct status request_build(struct arena *arena, const struct http_request *http, const struct route_match *match,
                            struct buffer *wire)
{
    const struct schema_route *route = match->route;
    const struct schema_message *request = schema_method(route->method)->request;
    struct fault_list faults = {.arena = arena};
    STATUS_TRY(put_body(arena, http, route, wire));
    if (route->body != NULL && strcmp(route->body, "*") == 0 && http->query.size_bytes > 0)
        return status_reason(REASON_UNKNOWN_FIELD, "the path takes no query parameters (\"%.*s\"); put the fields into "
                             "the body",
                             BYTES_FORMAT(http->query));
    struct query_state state = {request, 0, &faults};
    STATUS_TRY(put_query(&state, http->query, NULL, NULL, wire));
    for (size_t i = 0; i < match->variable_count; i++)
        STATUS_TRY(put_beside(arena, match->variables[i].field, match->variables[i].value, "path", &faults, wire));
    STATUS_TRY(put_headers(arena, http, request, &faults, wire));
    STATUS_TRY(fault_status(&faults));
    return buffer_status(wire);
}
