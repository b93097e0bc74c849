#include "service/append_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define CONTENT_TYPE_MAX_BYTES 255U
#define TRACEPARENT_BYTES      55U
#define EVENT_OVERHEAD_BYTES   128U /* of an event beside its texts, for the writer's estimate */

struct status append_builder_init(struct append_builder *builder, struct service *service,
                                  struct arena *arena, struct call *call, size_t event_capacity,
                                  size_t text_bytes)
{
    builder->service = service;
    builder->arena = arena;
    builder->call = call;
    faults_init(&builder->faults, arena);
    builder->key = BYTES_NONE;
    builder->key_field = "append_id";
    builder->events = arena_alloc(arena, event_capacity * sizeof *builder->events);
    builder->count = 0;
    builder->capacity = event_capacity;
    builder->given_ids = 0;
    builder->typed = NULL;
    builder->payload_bytes = 0;
    /* Compaction never grows a text, so this buffer never moves and what points into it stays good. */
    builder->texts = buffer_in(arena, 0);
    builder->texts.data = arena_alloc(arena, text_bytes);
    builder->texts.capacity_bytes = text_bytes;
    if (builder->events == NULL || builder->texts.data == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for an append of %zu events",
                            event_capacity);
    return status_ok();
}

/* --- one event --- */

/* The path is made only when something is wrong: a good event must cost nothing for it. */
static __attribute__((cold, noinline)) void event_fault(struct append_builder *builder, int index,
                                                        const char *field, const struct status *status)
{
    char path[160];
    if (index < 0)
        snprintf(path, sizeof path, "%s", field);
    else
        snprintf(path, sizeof path, "events[%d].%s", index, field);
    faults_add(&builder->faults, path, index < 0 ? *status : status_prefix(*status, "events[%d]", index));
}

/* A macro, because a status is large: as an argument it would be copied for every field of every event. */
#define EVENT_CHECK(builder, index, field, expression)                                                       \
    do {                                                                                                     \
        const struct status event_check_ = (expression);                                                     \
        if (!status_is_ok(&event_check_))                                                                    \
            event_fault(builder, index, field, &event_check_);                                               \
    } while (0)

static struct status content_type_check(struct bytes content_type)
{
    for (size_t i = 0; i < content_type.size_bytes; i++)
        if (content_type.data[i] < 0x20 || content_type.data[i] > 0x7e)
            return status_reason(
                REASON_INVALID_FIELD,
                "content_type has a byte 0x%02x; give a media type in ASCII such as image/png",
                content_type.data[i]);
    if (content_type.size_bytes > CONTENT_TYPE_MAX_BYTES)
        return status_reason(REASON_INVALID_FIELD, "content_type has %zu bytes; give at most %u",
                             content_type.size_bytes, CONTENT_TYPE_MAX_BYTES);
    return status_ok();
}

static struct bytes compact_object(struct append_builder *builder, int index, const char *field,
                                   struct bytes text)
{
    const size_t before = builder->texts.size_bytes;
    const struct status status = json_compact(builder->arena, text, true, &builder->texts);
    if (!status_is_ok(&status)) {
        const struct status named = status_prefix(status, "%s", field);
        event_fault(builder, index, field, &named);
        return BYTES_LITERAL("{}");
    }
    return bytes_of(builder->texts.data + before, builder->texts.size_bytes - before);
}

struct bytes append_builder_object(struct append_builder *builder, const char *field, struct bytes text)
{
    return text.size_bytes == 0 ? BYTES_NONE : compact_object(builder, -1, field, text);
}

struct bytes append_builder_state(struct append_builder *builder, const char *field,
                                  struct bytes aggregate_type, struct bytes text)
{
    const size_t before = builder->faults.count;
    const struct bytes state = append_builder_object(builder, field, text);
    if (state.size_bytes > 0 && builder->faults.count == before)
        faults_add(
            &builder->faults, field,
            domain_check_state(builder->service->parts.domain, builder->arena, field, aggregate_type, state));
    return state;
}

/* One of metadata's two ids becomes the event's, or agrees with it. */
static void take_metadata_id(struct append_builder *builder, int index, const char *field,
                             const struct json_token *value, struct bytes *id)
{
    struct bytes text = BYTES_NONE;
    if (value->kind != JSON_STRING) {
        if (value->kind != JSON_NULL) /* which is as good as absent */
            EVENT_CHECK(builder, index, field,
                        status_reason(REASON_INVALID_FIELD, "%s is no string; give a string, or leave it out",
                                      field));
        return;
    }
    struct status status = json_unescape(builder->arena, value, &text);
    if (status_is_ok(&status) && id->size_bytes == 0) {
        status = id_check(field, text, ID_OPTIONAL);
        if (status_is_ok(&status))
            *id = text;
    } else if (status_is_ok(&status) && !bytes_equal(text, *id)) {
        status = status_reason(REASON_INVALID_FIELD,
                               "%s is \"%.*s\" and the event's is \"%.*s\"; give it once, or the same twice",
                               field, BYTES_FORMAT(text), BYTES_FORMAT(*id));
    }
    EVENT_CHECK(builder, index, field, status);
}

/* metadata.correlation_id and metadata.causation_id. The text is known to be a compact object. */
static void take_metadata_ids(struct append_builder *builder, int index, struct append_event *event)
{
    struct json_reader *reader = json_reader_new(builder->arena, event->metadata);
    if (reader == NULL)
        return;
    struct json_token token;
    struct status status = json_next(reader, &token); /* the brace */
    while (status_is_ok(&status)) {
        status = json_next(reader, &token);
        if (!status_is_ok(&status) || token.kind != JSON_NAME)
            return;
        struct bytes name = BYTES_NONE;
        status = json_unescape(builder->arena, &token, &name);
        if (status_is_ok(&status))
            status = json_next(reader, &token);
        if (!status_is_ok(&status))
            return;
        if (bytes_equal(name, BYTES_LITERAL("correlation_id")))
            take_metadata_id(builder, index, "metadata.correlation_id", &token, &event->correlation_id);
        else if (bytes_equal(name, BYTES_LITERAL("causation_id")))
            take_metadata_id(builder, index, "metadata.causation_id", &token, &event->causation_id);
        struct bytes skipped;
        status = json_skip_value(reader, &token, &skipped);
    }
}

static void take_tags(struct append_builder *builder, int index, const Strata__V1__NewEvent *from,
                      struct append_event *event)
{
    event->tag_count = 0;
    if (from->n_tags > RECORD_TAGS_MAX) {
        EVENT_CHECK(builder, index, "tags",
                    status_reason(REASON_INVALID_FIELD, "tags has %zu entries; give at most %u", from->n_tags,
                                  RECORD_TAGS_MAX));
        return;
    }
    for (size_t i = 0; i < from->n_tags; i++) {
        const struct bytes tag = bytes_of_text(from->tags[i]);
        const struct status status = id_check("tags", tag, ID_REQUIRED);
        if (!status_is_ok(&status)) {
            char field[32];
            snprintf(field, sizeof field, "tags[%zu]", i);
            event_fault(builder, index, field, &status);
        }
        bool seen = false; /* a tag given twice says nothing more, and would be indexed twice */
        for (size_t j = 0; j < event->tag_count; j++)
            seen = seen || bytes_equal(event->tags[j], tag);
        if (!seen)
            event->tags[event->tag_count++] = tag;
    }
}

static struct status too_large(size_t size_bytes, size_t most)
{
    return status_reason(REASON_EVENT_TOO_LARGE,
                         "data and metadata have %zu bytes and validation_rules.max_event_data_size is %zu; "
                         "keep large content elsewhere and refer to it",
                         size_bytes, most);
}

static void take_payload(struct append_builder *builder, int index, const Strata__V1__NewEvent *from,
                         struct append_event *event)
{
    const size_t most = builder->service->options.limits.event_data_max_bytes;
    const size_t given = from->data.len + from->metadata.len;
    event->data = BYTES_LITERAL("{}");
    event->metadata = BYTES_NONE;
    /* A text of twice the limit is not read for its white space. */
    if (given > 2 * most) {
        EVENT_CHECK(builder, index, "data", too_large(given, most));
        return;
    }
    if (event->content_type.size_bytes > 0)
        event->data = bytes_of_blob(from->data);
    else if (from->data.len > 0)
        event->data = compact_object(builder, index, "data", bytes_of_blob(from->data));
    if (from->metadata.len > 0) {
        event->metadata = compact_object(builder, index, "metadata", bytes_of_blob(from->metadata));
        take_metadata_ids(builder, index, event);
    }
    const size_t size_bytes = event->data.size_bytes + event->metadata.size_bytes;
    if (size_bytes > most)
        EVENT_CHECK(builder, index, "data", too_large(size_bytes, most));
}

static void check_payload(struct append_builder *builder, int index, const struct append_event *event)
{
    const struct domain *domain = builder->service->parts.domain;
    if (event->content_type.size_bytes > 0) {
        EVENT_CHECK(builder, index, "content_type",
                    domain_check_opaque(domain, builder->arena, event->type, event->content_type));
        return;
    }
    struct status status =
        domain_check_payload(domain, builder->arena, "data", event->type, event->aggregate_id, event->data);
    if (status_is_ok(&status))
        return;
    char path[48] = "data";
    if (index >= 0) { /* again with the path that the caller knows, which its messages then name themselves */
        snprintf(path, sizeof path, "events[%d].data", index);
        status =
            domain_check_payload(domain, builder->arena, path, event->type, event->aggregate_id, event->data);
    }
    faults_add(&builder->faults, path, status);
}

static void take_ids(struct append_builder *builder, int index, const Strata__V1__NewEvent *from,
                     struct append_event *event)
{
    event->id = bytes_of_text(from->id);
    event->correlation_id = bytes_of_text(from->correlation_id);
    event->causation_id = bytes_of_text(from->causation_id);
    event->subject = bytes_of_text(from->subject);
    EVENT_CHECK(builder, index, "id", id_check("id", event->id, ID_OPTIONAL));
    EVENT_CHECK(builder, index, "correlation_id",
                id_check("correlation_id", event->correlation_id, ID_OPTIONAL));
    EVENT_CHECK(builder, index, "causation_id", id_check("causation_id", event->causation_id, ID_OPTIONAL));
    EVENT_CHECK(builder, index, "subject", id_check("subject", event->subject, ID_OPTIONAL));
    if (event->id.size_bytes > 0)
        builder->given_ids++;
}

/* Which of its two types the lists do not have; a mismatch is a matter of both, and is told of the event's. */
static __attribute__((cold, noinline)) void types_fault(struct append_builder *builder, int index,
                                                        const struct append_event *event,
                                                        const struct status *status)
{
    const struct status alone = domain_check_types(builder->service->parts.domain, event->type, BYTES_NONE);
    const bool of_aggregate = status->reason == REASON_TYPE_NOT_ALLOWED && status_is_ok(&alone);
    event_fault(builder, index, of_aggregate ? "aggregate_type" : "type", status);
}

static void find_types(struct append_builder *builder, int index, struct append_event *event)
{
    const size_t faults_before = builder->faults.count;
    event->fitting_type = domain_fitting_type(event->type);
    EVENT_CHECK(builder, index, "type", type_check("type", event->type, ID_REQUIRED));
    EVENT_CHECK(builder, index, "aggregate_id", id_check("aggregate_id", event->aggregate_id, ID_REQUIRED));
    EVENT_CHECK(builder, index, "aggregate_type",
                type_check("aggregate_type", event->aggregate_type, ID_OPTIONAL));
    if (builder->faults.count > faults_before)
        return;
    const struct status status =
        domain_check_types(builder->service->parts.domain, event->type, event->aggregate_type);
    if (!status_is_ok(&status))
        types_fault(builder, index, event, &status);
    else
        builder->typed = event;
}

/*
 * Most events of an append are of the types of one before: what was found out of those holds, and they share their texts,
 * which the threads behind this one then fetch from memory once.
 */
static void take_types(struct append_builder *builder, int index, const Strata__V1__NewEvent *from,
                       struct append_event *event)
{
    const struct append_event *typed = builder->typed;
    event->type = bytes_of_text(from->type);
    if (typed == NULL || !bytes_equal(typed->type, event->type) ||
        !bytes_equal(typed->aggregate_type, event->aggregate_type)) {
        find_types(builder, index, event);
        return;
    }
    event->type = typed->type;
    event->aggregate_type = typed->aggregate_type;
    event->fitting_type = typed->fitting_type;
    EVENT_CHECK(builder, index, "aggregate_id", id_check("aggregate_id", event->aggregate_id, ID_REQUIRED));
}

void append_builder_add(struct append_builder *builder, const Strata__V1__NewEvent *from, int index,
                        struct bytes aggregate_id, struct bytes aggregate_type)
{
    struct append_event *event = &builder->events[builder->count++];
    event->aggregate_id = from->aggregate_id[0] == '\0' ? aggregate_id : bytes_of_text(from->aggregate_id);
    event->aggregate_type =
        from->aggregate_type[0] == '\0' ? aggregate_type : bytes_of_text(from->aggregate_type);
    take_ids(builder, index, from, event);
    take_types(builder, index, from, event);
    take_tags(builder, index, from, event);
    event->schema_version = from->schema_version;
    if (from->schema_version < 0)
        EVENT_CHECK(builder, index, "schema_version",
                    status_reason(REASON_INVALID_FIELD, "schema_version is %d; give 0 or more",
                                  from->schema_version));
    event->has_occurred_at = from->occurred_at != NULL;
    event->occurred_at_us = 0;
    if (from->occurred_at != NULL)
        EVENT_CHECK(builder, index, "occurred_at",
                    time_check("occurred_at", from->occurred_at, &event->occurred_at_us));
    event->content_type = bytes_of_text(from->content_type);
    if (bytes_equal(event->content_type, BYTES_LITERAL("application/json")))
        event->content_type = BYTES_NONE; /* the default is not stored */
    EVENT_CHECK(builder, index, "content_type", content_type_check(event->content_type));
    const size_t faults_before = builder->faults.count;
    take_payload(builder, index, from, event);
    if (builder->faults.count == faults_before)
        check_payload(builder, index, event);
}

void append_builder_add_system(struct append_builder *builder, const char *field, const char *type,
                               struct bytes aggregate_id, struct bytes aggregate_type, struct bytes data,
                               struct bytes metadata)
{
    const size_t most = builder->service->options.limits.event_data_max_bytes;
    if (data.size_bytes + metadata.size_bytes > most)
        faults_add(&builder->faults, field,
                   status_reason(
                       REASON_EVENT_TOO_LARGE,
                       "%s%s %zu bytes and validation_rules.max_event_data_size is %zu; keep large content "
                       "elsewhere and refer to it",
                       field, metadata.size_bytes > 0 ? " and metadata have" : " has",
                       data.size_bytes + metadata.size_bytes, most));
    builder->events[builder->count++] = (struct append_event){
        .type = bytes_of_text(type),
        .aggregate_id = aggregate_id,
        .aggregate_type = aggregate_type,
        .data = data.size_bytes > 0 ? data : BYTES_LITERAL("{}"),
        .metadata = metadata,
    };
}

/* --- the whole append --- */

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the append");
}

/* UUIDv5 of append_id ‖ 0x00 ‖ decimal index: the same request has the same ids whenever it comes. */
static struct status derive_id(struct append_builder *builder, struct bytes append_id, size_t index,
                               struct bytes *ret)
{
    char name[ID_MAX_BYTES + 1 + 20];
    char text[UUID_TEXT_BYTES];
    memcpy(name, append_id.data, append_id.size_bytes);
    name[append_id.size_bytes] = '\0';
    const int digits = snprintf(name + append_id.size_bytes + 1, 20, "%zu", index);
    uuid_v5_oid(bytes_of(name, append_id.size_bytes + 1 + (size_t)digits), text);
    *ret = arena_bytes(builder->arena, bytes_of(text, UUID_TEXT_BYTES - 1));
    return ret->data == NULL ? no_memory() : status_ok();
}

static struct status make_id(struct append_builder *builder, int64_t now_us, struct bytes *ret)
{
    char text[UUID_TEXT_BYTES];
    uuid_v7(now_us, builder->service->parts.entropy, text);
    *ret = arena_bytes(builder->arena, bytes_of(text, UUID_TEXT_BYTES - 1));
    return ret->data == NULL ? no_memory() : status_ok();
}

/* Every event gets an id. Where a client gives some of them, the others follow from the first, so that a
 * repeated request is still recognised. */
static struct status settle_ids(struct append_builder *builder, struct append *append)
{
    struct append_event *events = builder->events;
    struct bytes seed = builder->key;
    if (seed.size_bytes == 0 && events[0].id.size_bytes > 0)
        seed = events[0].id;
    const int64_t now_us = seed.size_bytes == 0 ? clock_now_us(builder->service->parts.clock) : 0;
    for (size_t i = 0; i < builder->count; i++) {
        if (events[i].id.size_bytes > 0)
            continue;
        if (seed.size_bytes > 0)
            STATUS_TRY(derive_id(builder, seed, i, &events[i].id));
        else
            STATUS_TRY(make_id(builder, now_us, &events[i].id));
    }
    append->append_id = builder->key.size_bytes > 0 ? builder->key : events[0].id;
    append->ids_server_made = seed.size_bytes == 0 && builder->given_ids == 0;
    return status_ok();
}

static int compare_ids(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* An id named twice in one append can never be stored. */
static void check_repeated_ids(struct append_builder *builder)
{
    if (builder->given_ids < 2)
        return;
    struct bytes *ids = arena_array(builder->arena, builder->count, sizeof *ids);
    if (ids == NULL)
        return; /* decide looks again */
    size_t count = 0;
    for (size_t i = 0; i < builder->count; i++)
        if (builder->events[i].id.size_bytes > 0)
            ids[count++] = builder->events[i].id;
    qsort(ids, count, sizeof *ids, compare_ids);
    for (size_t i = 1; i < count; i++)
        if (bytes_equal(ids[i - 1], ids[i])) {
            faults_add(&builder->faults, "events.id",
                       status_reason(REASON_INVALID_FIELD,
                                     "two events have the id \"%.*s\"; give each its own, or none",
                                     BYTES_FORMAT(ids[i])));
            return;
        }
}

static bool is_hex(struct bytes text, size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++)
        if (!((text.data[i] >= '0' && text.data[i] <= '9') || (text.data[i] >= 'a' && text.data[i] <= 'f')))
            return false;
    return true;
}

/* It comes from outside and is kept for ever, so only the one form of W3C Trace Context passes. */
static struct bytes sound_traceparent(struct bytes given)
{
    const bool sound = given.size_bytes == TRACEPARENT_BYTES && is_hex(given, 0, 2) && given.data[2] == '-' &&
                       is_hex(given, 3, 32) && given.data[35] == '-' && is_hex(given, 36, 16) &&
                       given.data[52] == '-' && is_hex(given, 53, 2);
    return sound ? given : BYTES_NONE;
}

static size_t event_bytes(const struct append_event *event)
{
    size_t size_bytes = event->id.size_bytes + event->type.size_bytes + event->aggregate_id.size_bytes +
                        event->aggregate_type.size_bytes + event->correlation_id.size_bytes +
                        event->causation_id.size_bytes + event->content_type.size_bytes +
                        event->subject.size_bytes + event->data.size_bytes + event->metadata.size_bytes;
    for (size_t i = 0; i < event->tag_count; i++)
        size_bytes += event->tags[i].size_bytes;
    return size_bytes;
}

static void check_key(struct append_builder *builder)
{
    if (builder->key.size_bytes == 0)
        return;
    faults_add(&builder->faults, builder->key_field, id_check(builder->key_field, builder->key, ID_OPTIONAL));
    if (builder->given_ids > 0)
        faults_add(
            &builder->faults, builder->key_field,
            status_reason(REASON_INVALID_FIELD,
                          "%s and event ids are both given; event ids follow from %s, give one of the two",
                          builder->key_field, builder->key_field));
}

struct status append_builder_finish(struct append_builder *builder, struct append_job *job)
{
    check_key(builder);
    check_repeated_ids(builder);
    STATUS_TRY(faults_status(&builder->faults));
    STATUS_TRY(buffer_status(&builder->texts));

    struct append *append = &job->append;
    STATUS_TRY(settle_ids(builder, append));
    size_t content_bytes = 0;
    const struct domain *domain = builder->service->parts.domain;
    for (size_t i = 0; i < builder->count; i++) {
        const struct append_event *event = &builder->events[i];
        content_bytes += event_bytes(event);
        job->needs_lane = job->needs_lane || domain_needs_check(domain, event->type, event->aggregate_type);
    }
    if (content_bytes > APPEND_BYTES_MAX)
        return status_reason(
            REASON_APPEND_TOO_LARGE,
            "the append has %zu bytes and the most is %zu; split it, or keep large content elsewhere",
            content_bytes, APPEND_BYTES_MAX);
    append->events = builder->events;
    append->event_count = builder->count;
    append->encoded_bytes = content_bytes + builder->count * EVENT_OVERHEAD_BYTES;
    append->actor = call_principal(builder->call);
    append->traceparent = sound_traceparent(call_traceparent(builder->call));
    job->service = builder->service;
    job->arena = builder->arena;
    job->call = builder->call;
    return status_ok();
}
