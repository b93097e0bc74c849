#include "import_event_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/entropy.h"
#include "base/json.h"
#include "gateway/transcode/transcode.h"
#include "schema/schema.h"

/* Numbers of Event; those of NewEvent are the same. */
enum {
    EVENT_ID = 1,
    EVENT_TYPE = 2,
    EVENT_AGGREGATE_ID = 3,
    EVENT_AGGREGATE_TYPE = 4,
    EVENT_TIMESTAMP = 7,
    EVENT_CORRELATION_ID = 8,
    EVENT_CAUSATION_ID = 9,
    EVENT_CONTENT_TYPE = 10,
    EVENT_OCCURRED_AT = 14,
    EVENT_APPEND_ID = 16,
    EVENT_APPEND_INDEX = 17,
    EVENT_APPEND_COUNT = 18,
    EVENT_DATA = 30,
    EVENT_METADATA = 31,
    EVENT_ERASED_AT = 42,
};

/* What is looked at, besides what is only passed on. */
struct seen_event {
    struct bytes texts[32]; /* by number */
    bool erased;
};

/* What a client gives; the rest of an event is the server's. */
static bool is_given(uint32_t number)
{
    return number <= EVENT_AGGREGATE_TYPE ||
           (number >= EVENT_CORRELATION_ID && number <= EVENT_OCCURRED_AT) || number == EVENT_DATA ||
           number == EVENT_METADATA;
}

static void look(struct seen_event *seen, const struct wire_field *field, struct import_event *event)
{
    if (field->type == WIRE_LEN && field->number < 32)
        seen->texts[field->number] = field->bytes;
    if (field->number == EVENT_APPEND_INDEX)
        event->append_index = (int32_t)field->value;
    if (field->number == EVENT_APPEND_COUNT)
        event->append_count = (int32_t)field->value;
    seen->erased = seen->erased || field->number == EVENT_ERASED_AT;
}

static struct status wrong(const char *what)
{
    return status_reason(REASON_INVALID_FIELD, "%s", what);
}

static struct status give_id(struct arena *arena, struct bytes key, uint64_t line_number, struct bytes *id)
{
    if (id->size_bytes > 0)
        return status_ok();
    if (key.size_bytes == 0)
        return wrong(
            "it has no id, so an import that is repeated would double it; give it one, or let ids be "
            "made with --key NAME");
    struct buffer name = buffer_in(arena, 0);
    char text[UUID_TEXT_BYTES];
    buffer_add_bytes(&name, key);
    buffer_printf(&name, "%c%" PRIu64, '\0', line_number);
    STATUS_TRY(buffer_status(&name));
    uuid_v5_oid(buffer_bytes(&name), text);
    *id = arena_bytes(arena, bytes_of(text, UUID_TEXT_BYTES - 1));
    return id->data == NULL ? status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a line") : status_ok();
}

/* --- what a line becomes --- */

/* Fields as they stand, but for the id, which may be ours, and occurred_at, which every imported event has. */
static void make_new_event(struct bytes wire, const struct seen_event *seen, struct bytes id,
                           struct buffer *to)
{
    size_t at = 0;
    wire_put_bytes(to, EVENT_ID, id);
    while (at < wire.size_bytes) {
        const size_t start = at;
        struct wire_field field;
        if (!wire_next(wire, &at, &field))
            return; /* it was made by the transcoder */
        if (is_given(field.number) && field.number != EVENT_ID)
            buffer_add(to, wire.data + start, at - start);
    }
    if (seen->texts[EVENT_OCCURRED_AT].data == NULL && seen->texts[EVENT_TIMESTAMP].data != NULL)
        wire_put_bytes(to, EVENT_OCCURRED_AT, seen->texts[EVENT_TIMESTAMP]);
}

static void put_text(struct buffer *to, uint32_t number, struct bytes text)
{
    if (text.size_bytes > 0)
        wire_put_bytes(to, number, text);
}

/* CreateAggregateRequest: id 1, type 2, initial_state 3, metadata 4, idempotency_key 5. */
static void make_creation(const struct seen_event *seen, struct bytes id, struct buffer *to)
{
    put_text(to, 1, seen->texts[EVENT_AGGREGATE_ID]);
    put_text(to, 2, seen->texts[EVENT_AGGREGATE_TYPE]);
    put_text(to, 3, seen->texts[EVENT_DATA]);
    put_text(to, 4, seen->texts[EVENT_METADATA]);
    put_text(to, 5, id);
}

/* SaveAggregateRequest: id 1, if_match 3, state 5, set_metadata 6, active 7, idempotency_key 8. */
static bool make_save(const struct seen_event *seen, struct bytes id, struct buffer *to)
{
    const struct bytes type = seen->texts[EVENT_TYPE];
    put_text(to, 1, seen->texts[EVENT_AGGREGATE_ID]);
    wire_put_bytes(to, 3, BYTES_LITERAL("*"));
    put_text(to, 8, id);
    if (bytes_equal(type, BYTES_LITERAL("$state_replaced")))
        wire_put_bytes(to, 5, seen->texts[EVENT_DATA]);
    else if (bytes_equal(type, BYTES_LITERAL("$metadata_changed")))
        wire_put_bytes(to, 6, seen->texts[EVENT_DATA]);
    else if (bytes_equal(type, BYTES_LITERAL("$activated")) ||
             bytes_equal(type, BYTES_LITERAL("$deactivated")))
        wire_put_uint(to, 7, bytes_equal(type, BYTES_LITERAL("$activated")));
    else
        return false;
    return true;
}

static struct status make_request(struct arena *arena, struct bytes wire, const struct seen_event *seen,
                                  struct import_event *event)
{
    const struct bytes type = seen->texts[EVENT_TYPE];
    const struct bytes aggregate_id = seen->texts[EVENT_AGGREGATE_ID];
    struct buffer request = buffer_in(arena, 0);
    if (type.size_bytes == 0 || aggregate_id.size_bytes == 0)
        return wrong("type and aggregate_id are needed");
    if (type.data[0] != '$') {
        make_new_event(wire, seen, event->id, &request);
        event->kind = IMPORT_EVENT;
    } else if (aggregate_id.data[0] == '$') {
        event->kind = IMPORT_SKIPPED;
    } else if (bytes_equal(type, BYTES_LITERAL("$aggregate_created"))) {
        make_creation(seen, event->id, &request);
        event->kind = IMPORT_CREATED;
    } else if (make_save(seen, event->id, &request)) {
        event->kind = IMPORT_REPLACED;
    } else {
        return status_reason(REASON_INVALID_FIELD,
                             "the system event \"%.*s\" is not known to this program; use a newer strata",
                             BYTES_FORMAT(type));
    }
    event->request = buffer_bytes(&request);
    return buffer_status(&request);
}

struct status import_event_read(struct arena *arena, struct bytes line, uint64_t line_number,
                                struct bytes key, struct import_event *ret)
{
    struct buffer wire = buffer_in(arena, 0);
    struct seen_event seen = {0};
    *ret = (struct import_event){0};
    STATUS_TRY(transcode_to_wire(arena, schema_event, line, &wire));
    STATUS_TRY(buffer_status(&wire));
    const struct bytes bytes = buffer_bytes(&wire);
    struct wire_field field;
    for (size_t at = 0; at < bytes.size_bytes && wire_next(bytes, &at, &field);)
        look(&seen, &field, ret);
    if (seen.erased)
        return wrong("the payload of this event was erased; what is gone cannot be appended again");
    ret->id = seen.texts[EVENT_ID];
    ret->append_id = seen.texts[EVENT_APPEND_ID];
    STATUS_TRY(give_id(arena, key, line_number, &ret->id));
    return make_request(arena, bytes, &seen, ret);
}

/* --- comparing with what is stored --- */

/* White space is not kept, so it does not count. */
static struct status same_json(struct arena *arena, struct bytes sent, struct bytes stored, bool *ret)
{
    struct buffer compact = buffer_in(arena, 0);
    *ret = bytes_equal(sent, stored);
    if (*ret || sent.size_bytes == 0)
        return status_ok();
    const struct status status = json_compact(arena, sent, true, &compact);
    *ret = status.code == STATUS_OK && bytes_equal(buffer_bytes(&compact), stored);
    return status.code == STATUS_RESOURCE_EXHAUSTED ? status : status_ok();
}

/* The server may have filled these in. */
static bool may_be_absent(uint32_t number)
{
    return number == EVENT_AGGREGATE_TYPE || number == EVENT_CORRELATION_ID || number == EVENT_CAUSATION_ID;
}

/* Absent and default are the same; the default content type is not stored. */
static bool says_nothing(const struct wire_field *field)
{
    if (field->type != WIRE_LEN)
        return field->value == 0;
    return field->bytes.size_bytes == 0 || (field->number == EVENT_CONTENT_TYPE &&
                                            bytes_equal(field->bytes, BYTES_LITERAL("application/json")));
}

/* The fields called `number`, as they are. */
static void collect_one(struct bytes wire, uint32_t number, struct seen_event *seen, struct buffer *others)
{
    struct wire_field field;
    for (size_t at = 0; at < wire.size_bytes;) {
        const size_t start = at;
        if (!wire_next(wire, &at, &field))
            return;
        if (field.number != number || says_nothing(&field))
            continue;
        seen->texts[number] = field.bytes;
        if (number != EVENT_DATA && number != EVENT_METADATA && !may_be_absent(number))
            buffer_add(others, wire.data + start, at - start);
    }
}

/* A line may have its members in any order, so they are taken by number. */
static void collect(struct bytes wire, struct seen_event *seen, struct buffer *others)
{
    for (uint32_t number = 1; number < 32; number++)
        if (is_given(number))
            collect_one(wire, number, seen, others);
}

struct status import_event_is_stored(struct arena *arena, struct bytes sent, struct bytes stored, bool *ret)
{
    struct seen_event ours = {0};
    struct seen_event theirs = {0};
    struct buffer our_others = buffer_in(arena, 0);
    struct buffer their_others = buffer_in(arena, 0);
    collect(sent, &ours, &our_others);
    collect(stored, &theirs, &their_others);
    STATUS_TRY(buffer_status(&our_others));
    STATUS_TRY(buffer_status(&their_others));
    bool same = bytes_equal(buffer_bytes(&our_others), buffer_bytes(&their_others));
    for (uint32_t number = 1; number < 32; number++)
        if (may_be_absent(number) && ours.texts[number].size_bytes > 0)
            same = same && bytes_equal(ours.texts[number], theirs.texts[number]);
    bool same_data = bytes_equal(ours.texts[EVENT_DATA], theirs.texts[EVENT_DATA]);
    bool same_metadata = true;
    if (ours.texts[EVENT_CONTENT_TYPE].size_bytes == 0) {
        const struct bytes data =
            ours.texts[EVENT_DATA].size_bytes == 0 ? BYTES_LITERAL("{}") : ours.texts[EVENT_DATA];
        STATUS_TRY(same_json(arena, data, theirs.texts[EVENT_DATA], &same_data));
    }
    STATUS_TRY(same_json(arena, ours.texts[EVENT_METADATA], theirs.texts[EVENT_METADATA], &same_metadata));
    *ret = same && same_data && same_metadata;
    return status_ok();
}
