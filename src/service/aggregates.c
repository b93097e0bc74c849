/* CreateAggregate, GetAggregate and ListAggregates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/aggregate_append_internal.h"
#include "service/loader_internal.h"
#include "service/page_token_internal.h"
#include "service/replies_internal.h"
#include "service/snapshots_internal.h"

#define INCLUDE_EVENTS_MAX 1000
#define LIST_LOOK_MAX      2000U /* aggregates looked at for one page when few of them match */

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the aggregate");
}

/* --- CreateAggregate --- */

/* A repeated creation must name the same aggregate, so with a key the id follows from it. */
static struct status create_id(struct service *service, struct arena *arena,
                               const Strata__V1__CreateAggregateRequest *request, struct bytes *ret)
{
    *ret = bytes_of_text(request->id);
    if (ret->size_bytes > 0)
        return status_ok();
    char text[UUID_TEXT_BYTES];
    const struct bytes key = bytes_of_text(request->idempotency_key);
    if (key.size_bytes > 0 && key.size_bytes <= ID_MAX_BYTES) {
        static const char suffix[] = "\0aggregate";
        char name[ID_MAX_BYTES + sizeof suffix];
        memcpy(name, key.data, key.size_bytes);
        memcpy(name + key.size_bytes, suffix, sizeof suffix - 1);
        uuid_v5_oid(bytes_of(name, key.size_bytes + sizeof suffix - 1), text);
    } else {
        uuid_v7(clock_now_us(service->parts.clock), service->parts.entropy, text);
    }
    *ret = arena_bytes(arena, bytes_of(text, UUID_TEXT_BYTES - 1));
    return ret->data == NULL ? no_memory() : status_ok();
}

static struct status create_build(struct service *service, struct call *call,
                                  const Strata__V1__CreateAggregateRequest *request, struct append_job *job)
{
    struct arena *arena = call_arena(call);
    struct append_builder builder;
    STATUS_TRY(append_builder_init(&builder, service, arena, call, 1,
                                   request->initial_state.len + request->metadata.len));
    builder.key = bytes_of_text(request->idempotency_key);
    builder.key_field = "idempotency_key";
    struct bytes id = BYTES_NONE;
    STATUS_TRY(create_id(service, arena, request, &id));
    const struct bytes type = bytes_of_text(request->type);
    faults_add(&builder.faults, "id", id_check("id", id, ID_REQUIRED));
    const struct status typed = type_check("type", type, ID_REQUIRED);
    faults_add(&builder.faults, "type", typed);
    if (status_is_ok(&typed))
        faults_add(&builder.faults, "type",
                   domain_check_types(service->parts.domain, BYTES_LITERAL(TYPE_AGGREGATE_CREATED), type));
    const struct bytes state =
        append_builder_state(&builder, "initial_state", type, bytes_of_blob(request->initial_state));
    const struct bytes metadata =
        append_builder_object(&builder, "metadata", bytes_of_blob(request->metadata));
    append_builder_add_system(&builder, "initial_state", TYPE_AGGREGATE_CREATED, id, type, state, metadata);
    STATUS_TRY(append_builder_finish(&builder, job));
    struct expectation *expectation = arena_zalloc(arena, sizeof *expectation);
    if (expectation == NULL)
        return no_memory();
    *expectation = (struct expectation){.aggregate_id = id, .kind = EXPECT_CREATE};
    job->append.expectations = expectation;
    job->append.expectation_count = 1;
    job->append.validate_only = request->validate_only;
    return status_ok();
}

static void create_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    struct service *service = context;
    if (!service_enter(service, call))
        return;
    struct aggregate_append *append = arena_zalloc(call_arena(call), sizeof *append);
    struct status status =
        append == NULL
            ? no_memory()
            : create_build(service, call, (const Strata__V1__CreateAggregateRequest *)request, &append->job);
    if (status_is_ok(&status))
        aggregate_append_run(append);
    else
        service_finish(service, call, &status);
}

const struct method_handler create_aggregate_handler = {.start = create_start};

/* --- GetAggregate: which moment --- */

struct as_of {
    struct load_request load;
    int64_t position; /* what as_of resolved to; 0 = not asked */
    bool by_version;
};

static struct status as_of_version(int32_t given, struct as_of *ret)
{
    if (given < 0)
        return status_reason(REASON_INVALID_FIELD, "as_of_version is %d; versions begin at 0", given);
    ret->by_version = true;
    ret->load.version = given;
    return status_ok();
}

static struct status as_of_position(struct service *service, struct arena *arena, int64_t given,
                                    struct as_of *ret)
{
    struct store_head head;
    STATUS_TRY(service->parts.store->ops->head(service->parts.store, &head));
    FIELD_TRY(arena, "as_of_position", position_check("as_of_position", given));
    ret->position = given < head.position ? given : head.position;
    ret->load.position = ret->position;
    return status_ok();
}

static struct status as_of_time(struct service *service, struct arena *arena,
                                const Google__Protobuf__Timestamp *time, struct as_of *ret)
{
    int64_t time_us = 0;
    FIELD_TRY(arena, "as_of_time", time_check("as_of_time", time, &time_us));
    STATUS_TRY(service->parts.store->ops->find_time(service->parts.store, time_us, &ret->position));
    ret->load.position = ret->position;
    return status_ok();
}

static struct status as_of_read(struct service *service, struct arena *arena,
                                const Strata__V1__GetAggregateRequest *request, struct as_of *ret)
{
    ret->load = (struct load_request){
        .id = bytes_of_text(request->id),
        .version = INT32_MAX,
        .position = INT64_MAX,
        .has_effective_at = request->effective_at != NULL,
    };
    if (request->effective_at != NULL)
        FIELD_TRY(arena, "effective_at",
                  time_check("effective_at", request->effective_at, &ret->load.effective_at_us));
    switch (request->as_of_case) {
    case STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_VERSION:
        FIELD_TRY(arena, "as_of_version", as_of_version(request->as_of_version, ret));
        return status_ok();
    case STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_TIME:
        return as_of_time(service, arena, request->as_of_time, ret);
    case STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_POSITION:
        return as_of_position(service, arena, request->as_of_position, ret);
    default:
        return status_ok();
    }
}

static struct status as_of_version_reached(const struct as_of *as_of, int32_t version)
{
    if (as_of->load.version <= version)
        return status_ok();
    return status_reason(REASON_INVALID_FIELD,
                         "as_of_version is %d and aggregate \"%.*s\" is at version %d; ask for that or less",
                         as_of->load.version, BYTES_FORMAT(as_of->load.id), version);
}

/* Whether there is an event at the moment that was asked for; what takes effect when is not looked at. */
static bool began_by(const struct as_of *as_of, const struct aggregate_head *head)
{
    if (!as_of->by_version)
        return as_of->load.position >= head->first_position;
    return as_of->load.version >= (head->event_count > head->version ? 0 : 1);
}

static struct status status_not_yet(const struct as_of *as_of, const struct loaded *loaded)
{
    if (as_of->load.has_effective_at && began_by(as_of, &loaded->head))
        return status_reason(
            REASON_AGGREGATE_UNKNOWN,
            "nothing of aggregate \"%.*s\" had taken effect at that time; ask for a later effective_at",
            BYTES_FORMAT(as_of->load.id));
    if (as_of->by_version)
        return status_reason(
            REASON_AGGREGATE_UNKNOWN,
            "aggregate \"%.*s\" has no version %d: it began with its first event, at version 1",
            BYTES_FORMAT(as_of->load.id), as_of->load.version);
    return status_reason(
        REASON_AGGREGATE_UNKNOWN,
        "aggregate \"%.*s\" was not there yet at position %lld; its first event has position %lld",
        BYTES_FORMAT(as_of->load.id), (long long)as_of->load.position,
        (long long)loaded->head.first_position);
}

/* --- GetAggregate: conditional reads --- */

/* If-None-Match: `*`, or a list of tags; a weak one compares like a strong one (RFC 9110 13.1.2). */
static bool none_match_hits(const char *text, int32_t version)
{
    char own[16];
    const size_t own_bytes = (size_t)snprintf(own, sizeof own, "\"%d\"", version);
    if (text[0] == '*' && text[1] == '\0')
        return true;
    while (*text != '\0') {
        text += strspn(text, " \t,");
        if (strncmp(text, "W/", 2) == 0)
            text += 2;
        const size_t length = strcspn(text, " \t,");
        if (length == own_bytes && memcmp(text, own, length) == 0)
            return true;
        text += length;
    }
    return false;
}

static struct status reply_not_modified(struct arena *arena, const struct aggregate_state *state,
                                        const struct as_of *as_of, struct reply *ret)
{
    struct buffer reply = buffer_in(arena, 0);
    const struct aggregate_reply extras = {.without_state = true, .as_of_position = as_of->position};
    wire_put_aggregate(&reply, state, &extras);
    ret->bytes = buffer_bytes(&reply);
    ret->http_status = 304;
    return buffer_status(&reply);
}

/* The head alone tells whether the newest state is the one that the caller has. */
static struct status try_not_modified(struct service *service, struct arena *arena,
                                      const Strata__V1__GetAggregateRequest *request,
                                      const struct as_of *as_of, struct reply *ret)
{
    if (request->as_of_case != STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF__NOT_SET)
        return status_ok();
    struct aggregate_head head = {0};
    STATUS_TRY(service->parts.store->ops->aggregate(service->parts.store, as_of->load.id, arena, &head));
    if (!head.exists || !none_match_hits(request->if_none_match, head.version))
        return status_ok();
    const struct aggregate_state state = {
        .id = as_of->load.id,
        .type = head.type,
        .version = head.version,
        .position = head.position,
        .event_count = head.event_count,
    };
    return reply_not_modified(arena, &state, as_of, ret);
}

/* --- GetAggregate: its events --- */

struct inclusion {
    struct service *service;
    const struct load_request *load;
    struct buffer *reply;
    int64_t count;
    size_t size_bytes;
    bool too_many;
    struct status status;
};

static bool include_event(void *context, int64_t position, struct record record)
{
    struct inclusion *inclusion = context;
    if (inclusion->load->has_effective_at) {
        struct event_fields header;
        inclusion->status = record_decode_header(record, &header);
        if (!status_is_ok(&inclusion->status))
            return false;
        if ((header.has_occurred_at ? header.occurred_at_us : header.timestamp_us) >
            inclusion->load->effective_at_us)
            return true;
    }
    inclusion->count++;
    inclusion->size_bytes += record.bytes.size_bytes;
    inclusion->too_many = inclusion->count > INCLUDE_EVENTS_MAX || inclusion->size_bytes > PAGE_BYTES_MAX;
    if (!inclusion->too_many)
        wire_put_event(inclusion->reply, FIELD_AGGREGATE_EVENTS, inclusion->service, position, record);
    return !inclusion->too_many;
}

static struct status include_events(struct service *service, const struct load_request *load,
                                    const struct aggregate_state *state, struct buffer *reply)
{
    struct inclusion inclusion = {.service = service, .load = load, .reply = reply, .status = status_ok()};
    const struct read_query query = {.by = READ_BY_AGGREGATE, .key = load->id, .to_version = state->version};
    STATUS_TRY(service->parts.store->ops->read(service->parts.store, &query, include_event, &inclusion));
    STATUS_TRY(inclusion.status);
    if (inclusion.too_many)
        return status_reason(
            REASON_EVENTS_TOO_MANY,
            "aggregate \"%.*s\" has more than %d events or %zu bytes of them; read them in pages with "
            "ListEvents (GET /api/v1/events/aggregate/{id})",
            BYTES_FORMAT(load->id), INCLUDE_EVENTS_MAX, PAGE_BYTES_MAX);
    return status_ok();
}

/* --- GetAggregate --- */

static struct status get_aggregate_run(struct service *service, struct call *call, const void *context,
                                       struct reply *ret)
{
    const Strata__V1__GetAggregateRequest *request = context;
    struct arena *arena = call_arena(call);
    FIELD_TRY(arena, "id", id_check("id", bytes_of_text(request->id), ID_SYSTEM_ALLOWED));
    struct as_of as_of = {0};
    STATUS_TRY(as_of_read(service, arena, request, &as_of));
    const bool conditional = request->if_none_match[0] != '\0' && request->effective_at == NULL;
    if (conditional) {
        STATUS_TRY(try_not_modified(service, arena, request, &as_of, ret));
        if (ret->http_status != 0)
            return status_ok();
    }
    struct loaded loaded = {0};
    STATUS_TRY(loader_load(service, &as_of.load, arena, &loaded));
    if (as_of.by_version)
        FIELD_TRY(arena, "as_of_version", as_of_version_reached(&as_of, loaded.head.version));
    if (!loaded.exists)
        return status_not_yet(&as_of, &loaded);
    snapshots_settle(service, arena, as_of.load.id, loaded.head.version);
    if (as_of.by_version)
        as_of.position = loaded.state.position;
    if (conditional && none_match_hits(request->if_none_match, loaded.state.version))
        return reply_not_modified(arena, &loaded.state, &as_of, ret);

    struct buffer reply = buffer_in(arena, 0);
    const struct aggregate_reply extras = {
        .without_etag = request->effective_at != NULL,
        .as_of_position = as_of.position,
    };
    wire_put_aggregate(&reply, &loaded.state, &extras);
    if (request->include_events)
        STATUS_TRY(include_events(service, &as_of.load, &loaded.state, &reply));
    ret->bytes = buffer_bytes(&reply);
    return buffer_status(&reply);
}

static void get_aggregate_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    const Strata__V1__GetAggregateRequest *get = (const Strata__V1__GetAggregateRequest *)request;
    service_start(context, call, request, get->min_position, get_aggregate_run);
}

const struct method_handler get_aggregate_handler = {.start = get_aggregate_start};

/* --- ListAggregates --- */

struct found_aggregate {
    struct bytes id;
    int64_t first_position;
};

struct aggregate_listing {
    struct service *service;
    struct arena *arena;
    const Strata__V1__ListAggregatesRequest *request;
    size_t page_size;
    int64_t head;
    int64_t after;
    struct found_aggregate *found;
    size_t found_max; /* looked up at a time */
    size_t found_count;
    size_t count; /* in the page */
    size_t looked_at;
    bool more;
    struct buffer reply;
    struct status status;
};

static bool wants_active(const Strata__V1__ListAggregatesRequest *request)
{
    return request->_active_case != STRATA__V1__LIST_AGGREGATES_REQUEST___ACTIVE__NOT_SET;
}

static bool note_aggregate(void *context, struct bytes id, const struct aggregate_head *head)
{
    struct aggregate_listing *listing = context;
    if (head->first_position > listing->head || listing->found_count == listing->found_max)
        return false;
    struct found_aggregate *found = &listing->found[listing->found_count];
    found->id = arena_bytes(listing->arena, id);
    found->first_position = head->first_position;
    if (found->id.data == NULL) {
        listing->status = no_memory();
        return false;
    }
    listing->found_count++;
    return true;
}

/* Adds one aggregate as it was at the head of the first page; false = the page is full. */
static struct status list_one(struct aggregate_listing *listing, const struct found_aggregate *found,
                              bool *ret_room)
{
    const Strata__V1__ListAggregatesRequest *request = listing->request;
    *ret_room = listing->count < listing->page_size && listing->looked_at < LIST_LOOK_MAX &&
                listing->reply.size_bytes < PAGE_BYTES_MAX;
    if (!*ret_room)
        return status_ok();
    CLEANUP(arena_free_at) struct arena *scratch = arena_new(0);
    if (scratch == NULL)
        return no_memory();
    struct loaded loaded = {0};
    const struct load_request load = {.id = found->id, .version = INT32_MAX, .position = listing->head};
    STATUS_TRY(loader_load(listing->service, &load, scratch, &loaded));
    listing->looked_at++;
    listing->after = found->first_position;
    if (!loaded.exists || (wants_active(request) && loaded.state.active != (bool)request->active))
        return status_ok();
    struct buffer part = buffer_in(scratch, 0);
    const struct aggregate_reply extras = {.without_state = !request->include_state};
    wire_put_aggregate(&part, &loaded.state, &extras);
    wire_put_bytes(&listing->reply, 1, buffer_bytes(&part));
    listing->count++;
    return buffer_status(&part);
}

static struct status list_fill(struct aggregate_listing *listing)
{
    struct event_store *store = listing->service->parts.store;
    bool room = true;
    while (room) {
        listing->found_count = 0;
        STATUS_TRY(store->ops->aggregates(store, bytes_of_text(listing->request->type), listing->after,
                                          note_aggregate, listing));
        STATUS_TRY(listing->status);
        for (size_t i = 0; i < listing->found_count && room; i++)
            STATUS_TRY(list_one(listing, &listing->found[i], &room));
        listing->more = !room;
        if (listing->found_count < listing->found_max)
            break;
    }
    return status_ok();
}

static struct status list_aggregates_run(struct service *service, struct call *call, const void *context,
                                         struct reply *ret)
{
    const Strata__V1__ListAggregatesRequest *request = context;
    struct arena *arena = call_arena(call);
    struct aggregate_listing listing = {
        .service = service,
        .arena = arena,
        .request = request,
        .reply = buffer_in(arena, 0),
        .status = status_ok(),
    };
    struct faults faults;
    faults_init(&faults, arena);
    faults_add(&faults, "type",
               id_check("type", bytes_of_text(request->type), ID_OPTIONAL | ID_SYSTEM_ALLOWED));
    faults_add(&faults, "page_size", page_size_check(request->page_size, &listing.page_size));
    STATUS_TRY(faults_status(&faults));

    Strata__V1__ListAggregatesRequest same = *request;
    same.page_size = 0;
    same.page_token = (char *)protobuf_c_empty_string;
    uint64_t filter = 0;
    STATUS_TRY(page_filter(service, &same.base, arena, &filter));
    struct store_head head;
    STATUS_TRY(service->parts.store->ops->head(service->parts.store, &head));
    struct page_token token = {.head = head.position};
    if (request->page_token[0] != '\0')
        FIELD_TRY(arena, "page_token",
                  page_token_read(request->page_token, filter, head.position, arena, &token));
    listing.head = token.head;
    listing.after = token.at;
    listing.found_max =
        wants_active(request) ? PAGE_SIZE_MAX : listing.page_size + 1; /* one more: is there more? */
    listing.found = arena_array(arena, listing.found_max, sizeof *listing.found);
    if (listing.found == NULL)
        return no_memory();
    STATUS_TRY(list_fill(&listing));
    if (listing.more) {
        const struct page_token next = {.head = listing.head, .at = listing.after};
        const char *text = page_token_write(arena, filter, &next);
        if (text == NULL)
            return no_memory();
        wire_put_text(&listing.reply, 2, bytes_of_text(text));
    }
    ret->bytes = buffer_bytes(&listing.reply);
    return buffer_status(&listing.reply);
}

static void list_aggregates_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, list_aggregates_run);
}

const struct method_handler list_aggregates_handler = {.start = list_aggregates_start};
