/*
 * An aggregate is one fold, with everything in it, and the events that no store has yet. What is marked committed
 * leaves the list; the fold only learns the position and the time that the store gave it.
 */
#include "domain/aggregate.h"

#include <assert.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/text.h"
#include "domain/domain_internal.h"

struct aggregate {
    const struct domain *domain;
    struct arena *arena;   /* of the struct itself, the names and the fold */
    struct arena *scratch; /* of one aggregate_apply, and of the faults it found */
    struct fold *fold;
    struct bytes id;
    struct bytes type;
    int32_t committed_version;
    bool broken;                 /* memory ran out in the middle of a fold */
    struct event_fields *events; /* uncommitted, with consecutive versions, the last one is the fold's */
    uint8_t **texts;             /* one block an event: what its fields point into */
    size_t count;
    size_t capacity;
};

static struct status no_memory(const struct bytes id)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED,
                        "no memory left for aggregate \"%.*s\"; free it, and load it again later",
                        BYTES_FORMAT(id));
}

/* --- life --- */

static struct status make(const struct domain *domain, struct bytes id, struct bytes type,
                          const struct aggregate_state *from, struct aggregate **ret)
{
    STATUS_TRY(id_check("id", id, ID_SYSTEM_ALLOWED));
    STATUS_TRY(id_check("type", type, ID_SYSTEM_ALLOWED));
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(arena_free_at) struct arena *scratch = arena_new(0);
    struct aggregate *aggregate =
        arena == NULL || scratch == NULL ? NULL : arena_zalloc(arena, sizeof *aggregate);
    if (aggregate == NULL)
        return no_memory(id);
    aggregate->domain = domain;
    aggregate->id = arena_bytes(arena, id);
    aggregate->type = arena_bytes(arena, type);
    aggregate->fold = fold_new(domain, arena, from);
    aggregate->committed_version = from == NULL ? 0 : from->version;
    if (aggregate->id.data == NULL || aggregate->type.data == NULL || aggregate->fold == NULL)
        return no_memory(id);
    aggregate->arena = TAKE_PTR(arena);
    aggregate->scratch = TAKE_PTR(scratch);
    *ret = aggregate;
    return status_ok();
}

struct status aggregate_new(const struct domain *domain, struct bytes id, struct bytes type,
                            struct aggregate **ret)
{
    return make(domain, id, type, NULL, ret);
}

static struct status check_object(const char *field, struct bytes text)
{
    if (text.size_bytes == 0)
        return status_ok();
    CLEANUP(arena_free_at) struct arena *scratch = arena_new(0);
    if (scratch == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for reading %s", field);
    struct view *view = NULL;
    const struct status status = view_parse(scratch, text, &view);
    if (status_is_ok(&status) || status.code == STATUS_RESOURCE_EXHAUSTED)
        return status;
    return status_reason(REASON_INVALID_JSON, "%s: %s", field, status.message);
}

struct status aggregate_new_from(const struct domain *domain, const struct aggregate_state *from,
                                 struct aggregate **ret)
{
    STATUS_TRY(check_object("state", from->state));
    STATUS_TRY(check_object("metadata", from->metadata));
    return make(domain, from->id, from->type, from, ret);
}

void aggregate_free(struct aggregate *aggregate)
{
    if (aggregate == NULL)
        return;
    for (size_t i = 0; i < aggregate->count; i++)
        free(aggregate->texts[i]);
    free(aggregate->texts);
    free(aggregate->events);
    arena_free(aggregate->scratch);
    arena_free(aggregate->arena); /* the aggregate with it */
}

static struct status check_sound(const struct aggregate *aggregate)
{
    return aggregate->broken ? no_memory(aggregate->id) : status_ok();
}

static struct status fold_in(struct aggregate *aggregate, const struct event_fields *event)
{
    const struct status status = fold_apply(aggregate->fold, event);
    aggregate->broken = !status_is_ok(&status);
    return status;
}

/* --- history --- */

static int32_t first_version(struct bytes type)
{
    return bytes_equal(type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED)) ? 0 : 1;
}

static struct status check_first(const struct aggregate *aggregate, const struct event_fields *event)
{
    const int32_t first = first_version(event->type);
    if (event->version == first)
        return status_ok();
    if (event->version > 1)
        return status_reason(REASON_DAMAGED,
                             "the history of aggregate \"%.*s\" begins at version %d: version 1 is missing; "
                             "load it from its first event, or begin at a snapshot",
                             BYTES_FORMAT(aggregate->id), event->version);
    return status_reason(
        REASON_INVALID_FIELD,
        "the history of aggregate \"%.*s\" begins with %.*s at version %d; it has version %d",
        BYTES_FORMAT(aggregate->id), BYTES_FORMAT(event->type), event->version, first);
}

static struct status check_follows(const struct aggregate *aggregate, int32_t version,
                                   const struct event_fields *event)
{
    if (event->version > version && event->version - version == 1)
        return status_ok();
    if (event->version > version)
        return status_reason(REASON_DAMAGED,
                             "the history of aggregate \"%.*s\" goes from version %d to %d: version %d is "
                             "missing; load every event, in the order of their versions",
                             BYTES_FORMAT(aggregate->id), version, event->version, version + 1);
    return status_reason(REASON_INVALID_FIELD,
                         "the history of aggregate \"%.*s\" comes to version %d after version %d; load each "
                         "event once, in the order of their versions",
                         BYTES_FORMAT(aggregate->id), event->version, version);
}

static struct status check_names(const struct aggregate *aggregate, const struct event_fields *event)
{
    if (!bytes_equal(event->aggregate_id, aggregate->id))
        return status_reason(
            REASON_INVALID_FIELD,
            "aggregate_id is \"%.*s\" and the aggregate is \"%.*s\"; each has its own events",
            BYTES_FORMAT(event->aggregate_id), BYTES_FORMAT(aggregate->id));
    if (!bytes_equal(event->aggregate_type, aggregate->type))
        return status_reason(
            REASON_TYPE_MISMATCH, "aggregate_type is \"%.*s\" and aggregate \"%.*s\" is of type \"%.*s\"",
            BYTES_FORMAT(event->aggregate_type), BYTES_FORMAT(aggregate->id), BYTES_FORMAT(aggregate->type));
    return status_ok();
}

struct status aggregate_load(struct aggregate *aggregate, const struct event_fields *events, size_t count)
{
    STATUS_TRY(check_sound(aggregate));
    if (aggregate->count > 0)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "aggregate \"%.*s\" has %zu uncommitted events; mark them committed before more "
                            "history is loaded, or load another one from the start",
                            BYTES_FORMAT(aggregate->id), aggregate->count);
    bool exists = fold_exists(aggregate->fold);
    int32_t version = aggregate->committed_version;
    for (size_t i = 0; i < count; i++) {
        STATUS_TRY(check_names(aggregate, &events[i]));
        STATUS_TRY(exists ? check_follows(aggregate, version, &events[i])
                          : check_first(aggregate, &events[i]));
        version = events[i].version;
        exists = true;
    }
    for (size_t i = 0; i < count; i++) {
        STATUS_TRY(fold_in(aggregate, &events[i]));
        aggregate->committed_version = events[i].version;
    }
    return status_ok();
}

struct status aggregate_load_record(struct aggregate *aggregate, struct record record)
{
    struct event_fields event;
    STATUS_TRY(record_decode(record, &event));
    return aggregate_load(aggregate, &event, 1);
}

/* --- a new event --- */

/* The types of the system's that may be applied. */
static const struct applied_system {
    const char *type;
    bool is_state; /* the data is a whole state */
} applied_system[] = {
    {TYPE_AGGREGATE_CREATED, true}, {TYPE_STATE_REPLACED, true}, {TYPE_METADATA_CHANGED, false},
    {TYPE_ACTIVATED, false},        {TYPE_DEACTIVATED, false},
};

/* NULL for a client's type, and for those of the system's that nobody applies. */
static const struct applied_system *find_system(struct bytes type)
{
    for (size_t i = 0; i < ARRAY_COUNT(applied_system); i++)
        if (bytes_equal(type, bytes_of_text(applied_system[i].type)))
            return &applied_system[i];
    return NULL;
}

static struct status check_ids(const struct event_fields *event)
{
    STATUS_TRY(id_check("id", event->id, ID_OPTIONAL));
    STATUS_TRY(id_check("correlation_id", event->correlation_id, ID_OPTIONAL));
    STATUS_TRY(id_check("causation_id", event->causation_id, ID_OPTIONAL));
    STATUS_TRY(id_check("subject", event->subject, ID_OPTIONAL));
    if (event->tag_count > RECORD_TAGS_MAX)
        return status_reason(REASON_INVALID_FIELD, "tags has %zu entries; give at most %u", event->tag_count,
                             RECORD_TAGS_MAX);
    for (size_t i = 0; i < event->tag_count; i++)
        STATUS_TRY(id_check("tags", event->tags[i], ID_REQUIRED));
    if (event->schema_version < 0)
        return status_reason(REASON_INVALID_FIELD, "schema_version is %d; give 0 or more",
                             event->schema_version);
    return id_check("aggregate_id", event->aggregate_id, ID_REQUIRED);
}

static struct status check_place(const struct aggregate *aggregate, const struct event_fields *event)
{
    const bool exists = fold_exists(aggregate->fold);
    const bool creates = bytes_equal(event->type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED));
    if (exists && creates)
        return status_reason(REASON_AGGREGATE_EXISTS,
                             "aggregate \"%.*s\" exists at version %d; apply events to it instead",
                             BYTES_FORMAT(aggregate->id), aggregate->fold->version);
    if (!exists && !creates)
        return status_reason(
            REASON_AGGREGATE_UNKNOWN,
            "aggregate \"%.*s\" has no events and %.*s changes one that exists; apply %s or an "
            "event of its type first",
            BYTES_FORMAT(aggregate->id), BYTES_FORMAT(event->type), TYPE_AGGREGATE_CREATED);
    if (event->content_type.size_bytes > 0)
        return status_reason(REASON_INVALID_FIELD,
                             "content_type is \"%.*s\" and the data of %.*s is JSON; leave content_type out",
                             BYTES_FORMAT(event->content_type), BYTES_FORMAT(event->type));
    return status_ok();
}

static struct status check_version(const struct aggregate *aggregate, int32_t wanted, int32_t next)
{
    if (wanted == 0 || wanted == next)
        return status_ok();
    struct status status =
        status_reason(REASON_VERSION_CONFLICT,
                      "the event is for version %d and the next one of aggregate \"%.*s\" is %d; load what "
                      "happened meanwhile",
                      wanted, BYTES_FORMAT(aggregate->id), next);
    status.expected_version = wanted - 1;
    status.current_version = aggregate->fold->version;
    return status;
}

/* JSON objects without their white space, in the scratch arena; no data at all is "{}". */
static struct status compact_texts(struct aggregate *aggregate, struct event_fields *event)
{
    if (event->content_type.size_bytes == 0) {
        struct buffer data = buffer_in(aggregate->scratch, 0);
        const struct bytes given = event->data.size_bytes == 0 ? BYTES_LITERAL("{}") : event->data;
        const struct status status = json_compact(aggregate->scratch, given, true, &data);
        if (!status_is_ok(&status))
            return status_prefix(status, "data");
        event->data = buffer_bytes(&data);
        STATUS_TRY(buffer_status(&data));
    }
    if (event->metadata.size_bytes == 0)
        return status_ok();
    struct buffer metadata = buffer_in(aggregate->scratch, 0);
    const struct status status = json_compact(aggregate->scratch, event->metadata, true, &metadata);
    if (!status_is_ok(&status))
        return status_prefix(status, "metadata");
    event->metadata = buffer_bytes(&metadata);
    return buffer_status(&metadata);
}

static struct status check_shape(const struct aggregate *aggregate, const struct applied_system *system,
                                 const struct event_fields *event)
{
    if (event->content_type.size_bytes > 0)
        return domain_check_opaque(aggregate->domain, aggregate->scratch, event->type, event->content_type);
    if (system == NULL)
        return domain_check_payload(aggregate->domain, aggregate->scratch, "data", event->type,
                                    event->aggregate_id, event->data);
    return system->is_state ? domain_check_state(aggregate->domain, aggregate->scratch, "data",
                                                 event->aggregate_type, event->data)
                            : status_ok();
}

/* Everything that may be wrong, in the order in which the service looks. `event` becomes what would be recorded. */
static struct status check_event(struct aggregate *aggregate, struct event_fields *event)
{
    const struct applied_system *system = find_system(event->type);
    STATUS_TRY(check_ids(event));
    STATUS_TRY(id_check("type", event->type, system == NULL ? ID_REQUIRED : ID_SYSTEM_ALLOWED));
    STATUS_TRY(check_names(aggregate, event));
    STATUS_TRY(domain_check_types(aggregate->domain, event->type, event->aggregate_type));
    if (system != NULL)
        STATUS_TRY(check_place(aggregate, event));
    STATUS_TRY(compact_texts(aggregate, event));
    STATUS_TRY(check_shape(aggregate, system, event));
    return domain_check(aggregate->domain, aggregate->fold, event);
}

/* --- keeping it --- */

static struct bytes keep_text(uint8_t **to, struct bytes text)
{
    if (text.size_bytes == 0)
        return BYTES_NONE;
    uint8_t *at = *to;
    memcpy(at, text.data, text.size_bytes);
    *to += text.size_bytes;
    return bytes_of(at, text.size_bytes);
}

/* The texts of an event that are its own: aggregate id and type are the aggregate's. */
#define OWN_TEXTS_TABLE(X)                                                                                   \
    X(id) X(type) X(correlation_id) X(causation_id) X(content_type) X(subject) X(data) X(metadata)

static size_t own_bytes(const struct event_fields *event)
{
    size_t size_bytes = 1; /* never an allocation of nothing */
#define X(field) size_bytes += event->field.size_bytes;
    OWN_TEXTS_TABLE(X)
#undef X
    for (size_t i = 0; i < event->tag_count; i++)
        size_bytes += event->tags[i].size_bytes;
    return size_bytes;
}

/* A tag given twice says nothing more. */
static void drop_repeated_tags(struct event_fields *event)
{
    size_t kept = 0;
    for (size_t i = 0; i < event->tag_count; i++) {
        bool seen = false;
        for (size_t j = 0; j < kept; j++)
            seen = seen || bytes_equal(event->tags[j], event->tags[i]);
        if (!seen)
            event->tags[kept++] = event->tags[i];
    }
    event->tag_count = kept;
}

static bool make_room(struct aggregate *aggregate)
{
    if (aggregate->count < aggregate->capacity)
        return true;
    const size_t capacity = aggregate->capacity == 0 ? 8 : aggregate->capacity * 2;
    struct event_fields *events = realloc(aggregate->events, capacity * sizeof *events);
    if (events == NULL)
        return false;
    aggregate->events = events;
    uint8_t **texts = realloc(aggregate->texts, capacity * sizeof *texts);
    if (texts == NULL)
        return false;
    aggregate->texts = texts;
    aggregate->capacity = capacity;
    return true;
}

static struct status keep(struct aggregate *aggregate, struct event_fields *event)
{
    uint8_t *texts = make_room(aggregate) ? malloc(own_bytes(event)) : NULL;
    if (texts == NULL)
        return no_memory(aggregate->id);
    uint8_t *to = texts;
#define X(field) event->field = keep_text(&to, event->field);
    OWN_TEXTS_TABLE(X)
#undef X
    for (size_t i = 0; i < event->tag_count; i++)
        event->tags[i] = keep_text(&to, event->tags[i]);
    aggregate->events[aggregate->count] = *event;
    aggregate->texts[aggregate->count] = texts;
    aggregate->count++;
    return status_ok();
}

/* What counts of a caller's event. */
static struct event_fields take_fields(const struct aggregate *aggregate, const struct event_fields *given)
{
    struct event_fields event = *given;
    event.aggregate_id = given->aggregate_id.size_bytes == 0 ? aggregate->id : given->aggregate_id;
    event.aggregate_type = given->aggregate_type.size_bytes == 0 ? aggregate->type : given->aggregate_type;
    if (bytes_equal(event.content_type, BYTES_LITERAL("application/json")))
        event.content_type = BYTES_NONE; /* the default is not stored */
    event.position = 0;
    event.timestamp_us = 0;
    event.traceparent = event.append_id = event.actor = event.payload_digest = event.salt = BYTES_NONE;
    event.append_index = event.append_count = 0;
    return event;
}

struct status aggregate_apply(struct aggregate *aggregate, const struct event_fields *given)
{
    STATUS_TRY(check_sound(aggregate));
    if (aggregate->count == AGGREGATE_UNCOMMITTED_MAX)
        return status_reason(REASON_APPEND_TOO_LARGE,
                             "aggregate \"%.*s\" has %u uncommitted events; store them before it takes more",
                             BYTES_FORMAT(aggregate->id), AGGREGATE_UNCOMMITTED_MAX);
    const struct fold *fold = aggregate->fold;
    if (fold->version == INT32_MAX)
        return status_error(STATUS_OUT_OF_RANGE, "aggregate \"%.*s\" is at the last version there is",
                            BYTES_FORMAT(aggregate->id));
    arena_reset(aggregate->scratch);
    struct event_fields event = take_fields(aggregate, given);
    event.version = fold_exists(fold) ? fold->version + 1 : first_version(event.type);
    STATUS_TRY(check_version(aggregate, given->version, event.version));
    STATUS_TRY(check_event(aggregate, &event));
    drop_repeated_tags(&event);
    event.aggregate_id = aggregate->id; /* equal, but the aggregate's to keep */
    event.aggregate_type = aggregate->type;
    STATUS_TRY(keep(aggregate, &event));
    const struct status status = fold_in(aggregate, &event);
    if (!status_is_ok(&status))
        free(aggregate->texts[--aggregate->count]);
    return status;
}

/* --- what a store took --- */

const struct event_fields *aggregate_uncommitted(const struct aggregate *aggregate, size_t *ret_count)
{
    *ret_count = aggregate->count;
    return aggregate->count == 0 ? NULL : aggregate->events;
}

struct status aggregate_mark_committed(struct aggregate *aggregate, int32_t version, int64_t position,
                                       int64_t timestamp_us)
{
    STATUS_TRY(check_sound(aggregate));
    struct fold *fold = aggregate->fold;
    if (version < aggregate->committed_version || version > fold->version)
        return status_error(
            STATUS_OUT_OF_RANGE,
            "version %d cannot be marked committed: aggregate \"%.*s\" is committed to version "
            "%d and at version %d",
            version, BYTES_FORMAT(aggregate->id), aggregate->committed_version, fold->version);
    size_t taken = 0;
    while (taken < aggregate->count && aggregate->events[taken].version <= version)
        free(aggregate->texts[taken++]);
    if (taken == 0)
        return status_ok();
    const bool all_uncommitted = (size_t)fold->event_count == aggregate->count;
    if (all_uncommitted) /* so the first event is among them, and an append has one time */
        fold->created_at_us = timestamp_us;
    aggregate->count -= taken;
    memmove(aggregate->events, aggregate->events + taken, aggregate->count * sizeof *aggregate->events);
    memmove(aggregate->texts, aggregate->texts + taken, aggregate->count * sizeof *aggregate->texts);
    aggregate->committed_version = version;
    if (aggregate->count == 0) {
        fold->position = position;
        fold->updated_at_us = timestamp_us;
    }
    return status_ok();
}

/* --- what it is --- */

struct bytes aggregate_id(const struct aggregate *aggregate)
{
    return aggregate->id;
}

struct bytes aggregate_type(const struct aggregate *aggregate)
{
    return aggregate->type;
}

bool aggregate_exists(const struct aggregate *aggregate)
{
    return fold_exists(aggregate->fold);
}

bool aggregate_active(const struct aggregate *aggregate)
{
    return aggregate->fold->active;
}

int32_t aggregate_version(const struct aggregate *aggregate)
{
    return aggregate->fold->version;
}

int32_t aggregate_committed_version(const struct aggregate *aggregate)
{
    return aggregate->committed_version;
}

struct status aggregate_state(const struct aggregate *aggregate, struct arena *arena,
                              struct aggregate_state *ret)
{
    STATUS_TRY(check_sound(aggregate));
    struct aggregate_state state;
    STATUS_TRY(fold_result_in(aggregate->fold, arena, &state));
    state.id = arena_bytes(arena, aggregate->id);
    state.type = arena_bytes(arena, aggregate->type);
    if (state.id.data == NULL || state.type.data == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for the state of an aggregate");
    *ret = state;
    return status_ok();
}
