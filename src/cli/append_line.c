/* One line of `strata append --file` as a request. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/json.h"
#include "cli/append_lines_internal.h"
#include "gateway/transcode/transcode.h"

/* Numbers of PublishEventRequest beyond those of NewEvent, of AppendEventsRequest and of Expectation. */
enum { PUBLISH_VERSION = 5, PUBLISH_EXPECTED = 6, PUBLISH_DRY_RUN = 50, PUBLISH_KEY = 51 };
enum { EVENT_ID = 1, EVENT_AGGREGATE_ID = 3 };
enum { APPEND_ID = 1, APPEND_EVENTS = 2, APPEND_EXPECTATIONS = 3, APPEND_DRY_RUN = 5 };
enum { EXPECTATION_AGGREGATE_ID = 1, EXPECTATION_VERSION = 2 };

/* What names an append, so that a repetition of it is known. */
struct naming {
    const char *key;
    int64_t line_number;
    bool named;
};

static void name_append(const struct naming *naming, struct buffer *to)
{
    char id[UUID_TEXT_BYTES + 0];
    if (naming->named)
        return;
    if (naming->key != NULL) {
        struct buffer name = buffer_in(to->arena, 0);
        buffer_printf(&name, "%s:%" PRId64, naming->key, naming->line_number);
        wire_put_bytes(to, APPEND_ID, buffer_bytes(&name));
        return;
    }
    uuid_v7(clock_now_us(&system_clock), &system_entropy, id);
    wire_put_bytes(to, APPEND_ID, bytes_of_text(id));
}

/* --- an event --- */

struct flat {
    struct bytes aggregate_id;
    int64_t expected; /* -1 = nothing is expected */
    bool disagrees;   /* version and expected_version do */
    bool zero;
};

static void expect(struct flat *flat, int64_t version)
{
    flat->disagrees = flat->disagrees || (flat->expected >= 0 && flat->expected != version);
    flat->expected = version;
}

/* The fields of a PublishEventRequest: those of the event to `event`, those of the append to `append`. */
static void part_fields(struct bytes wire, struct buffer *event, struct buffer *append, struct flat *flat,
                        struct naming *naming)
{
    struct wire_field field;
    for (size_t at = 0; at < wire.size_bytes;) {
        const size_t start = at;
        if (!wire_next(wire, &at, &field))
            return; /* the transcoder made it */
        switch (field.number) {
        case PUBLISH_VERSION:
            flat->zero = field.value == 0;
            expect(flat, (int64_t)field.value - 1);
            continue;
        case PUBLISH_EXPECTED:
            expect(flat, (int64_t)field.value);
            continue;
        case PUBLISH_DRY_RUN:
            wire_put_uint(append, APPEND_DRY_RUN, field.value);
            continue;
        case PUBLISH_KEY:
            wire_put_bytes(append, APPEND_ID, field.bytes);
            naming->named = naming->named || field.bytes.size_bytes > 0;
            continue;
        case EVENT_ID:
            naming->named = naming->named || field.bytes.size_bytes > 0;
            break;
        case EVENT_AGGREGATE_ID:
            flat->aggregate_id = field.bytes;
            break;
        default:
            break;
        }
        buffer_add(event, wire.data + start, at - start);
    }
}

static struct status read_event(struct arena *arena, struct bytes line, struct naming *naming,
                                struct buffer *to)
{
    struct buffer wire = buffer_in(arena, 0);
    struct buffer event = buffer_in(arena, 0);
    struct flat flat = {.expected = -1};
    STATUS_TRY(
        transcode_to_wire(arena, schema_method(METHOD_EVENT_SERVICE_PUBLISH_EVENT)->request, line, &wire));
    part_fields(buffer_bytes(&wire), &event, to, &flat, naming);
    if (flat.zero)
        return status_reason(REASON_VERSION_ZERO, "version is 0; it is the one that the event gets, from 1");
    if (flat.disagrees)
        return status_reason(REASON_INVALID_FIELD, "version and expected_version disagree; give one of them");
    wire_put_bytes(to, APPEND_EVENTS, buffer_bytes(&event));
    if (flat.expected >= 0) {
        struct buffer expectation = buffer_in(arena, 0);
        wire_put_bytes(&expectation, EXPECTATION_AGGREGATE_ID, flat.aggregate_id);
        wire_put_uint(&expectation, EXPECTATION_VERSION, (uint64_t)flat.expected);
        wire_put_bytes(to, APPEND_EXPECTATIONS, buffer_bytes(&expectation));
        STATUS_TRY(buffer_status(&expectation));
    }
    STATUS_TRY(buffer_status(&wire));
    return buffer_status(&event);
}

/* --- an append --- */

static bool has_id(struct bytes event)
{
    struct wire_field field;
    for (size_t at = 0; at < event.size_bytes && wire_next(event, &at, &field);)
        if (field.number == EVENT_ID)
            return field.bytes.size_bytes > 0;
    return false;
}

static struct status read_append(struct arena *arena, struct bytes line, struct naming *naming,
                                 struct buffer *to)
{
    const struct schema_message *message = schema_method(METHOD_EVENT_SERVICE_APPEND_EVENTS)->request;
    const size_t start = to->size_bytes;
    struct wire_field field;
    STATUS_TRY(transcode_to_wire(arena, message, line, to));
    const struct bytes wire = bytes_of(to->data + start, to->size_bytes - start);
    for (size_t at = 0; at < wire.size_bytes && wire_next(wire, &at, &field);)
        naming->named = naming->named || (field.number == APPEND_ID && field.bytes.size_bytes > 0) ||
                        (field.number == APPEND_EVENTS && has_id(field.bytes));
    return status_ok();
}

/* What an export writes says when it was recorded and where. */
static bool is_exported(const struct json_value *object)
{
    return json_member(object, BYTES_LITERAL("position")) != NULL &&
           json_member(object, BYTES_LITERAL("append_id")) != NULL;
}

struct status append_line_read(struct arena *arena, struct bytes line, const char *key, int64_t line_number,
                               bool dry_run, struct bytes *ret)
{
    struct json_value *object = NULL;
    struct buffer request = buffer_in(arena, 0);
    struct naming naming = {.key = key, .line_number = line_number};
    STATUS_TRY(json_parse(arena, line, &object));
    if (object->kind != JSON_OBJECT_BEGIN)
        return status_reason(REASON_INVALID_JSON, "a line is a JSON object: an event or an append");
    if (is_exported(object))
        return status_reason(REASON_UNKNOWN_FIELD,
                             "it is an event that was recorded; `strata import` takes those");
    if (json_member(object, BYTES_LITERAL("events")) != NULL)
        STATUS_TRY(read_append(arena, line, &naming, &request));
    else
        STATUS_TRY(read_event(arena, line, &naming, &request));
    name_append(&naming, &request);
    if (dry_run)
        wire_put_uint(&request, APPEND_DRY_RUN, 1);
    *ret = buffer_bytes(&request);
    return buffer_status(&request);
}
