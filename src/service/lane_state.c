#include "service/lane_state_internal.h"

#include "service/loader_internal.h"

/* A lane's arena grows with each event folded in; beyond this it starts anew from the state. */
#define LANE_ARENA_MAX_BYTES ((size_t)1024 * 1024)

void lane_state_forget(struct lane_state *state)
{
    arena_free(state->arena);
    *state = (struct lane_state){0};
}

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the state of an aggregate");
}

/* --- what is stored --- */

static struct status load(struct service *service, struct bytes id, struct lane_state *state)
{
    lane_state_forget(state);
    state->arena = arena_new(0);
    if (state->arena == NULL)
        return no_memory();
    struct loaded loaded = {0};
    const struct load_request request = {.id = id, .version = INT32_MAX, .position = INT64_MAX};
    const struct status status = loader_load(service, &request, state->arena, &loaded);
    if (!status_is_ok(&status) && status.reason != REASON_AGGREGATE_UNKNOWN)
        return status;
    state->exists = status_is_ok(&status) && loaded.exists;
    state->version = state->exists ? loaded.state.version : 0;
    state->type = arena_text(state->arena, state->exists ? loaded.state.type : BYTES_NONE);
    state->fold = fold_new(service->parts.domain, state->arena, state->exists ? &loaded.state : NULL);
    if (state->fold == NULL || state->type == NULL)
        return no_memory();
    state->known = true;
    return status_ok();
}

struct tail {
    struct lane_state *state;
    struct status status;
};

static struct status fold_stored(struct lane_state *state, const struct event_fields *fields)
{
    STATUS_TRY(fold_apply(state->fold, fields));
    if (!state->exists) {
        state->type = arena_text(state->arena, fields->aggregate_type);
        if (state->type == NULL)
            return no_memory();
    }
    state->exists = true;
    state->version = fields->version;
    return status_ok();
}

static bool take_tail(void *context, int64_t position, struct record record)
{
    (void)position;
    struct tail *tail = context;
    struct event_fields fields;
    tail->status = record_decode(record, &fields);
    if (status_is_ok(&tail->status))
        tail->status = fold_stored(tail->state, &fields);
    return status_is_ok(&tail->status);
}

static struct status catch_up(struct service *service, struct bytes id, struct lane_state *state)
{
    struct aggregate_head head = {0};
    STATUS_TRY(service->parts.store->ops->aggregate(service->parts.store, id, state->arena, &head));
    if (head.exists == state->exists && (!head.exists || head.version == state->version))
        return status_ok();
    if (!head.exists || (state->exists && head.version < state->version))
        return load(service, id, state); /* what was predicted was not recorded */
    const struct read_query query = {
        .by = READ_BY_AGGREGATE,
        .key = id,
        .from_version = state->exists ? state->version + 1 : 0,
        .to_version = head.version,
    };
    struct tail tail = {state, status_ok()};
    STATUS_TRY(service->parts.store->ops->read(service->parts.store, &query, take_tail, &tail));
    return tail.status;
}

struct status lane_state_refresh(struct service *service, struct bytes id, struct lane_state *state)
{
    const bool fresh = state->known && arena_used_bytes(state->arena) < LANE_ARENA_MAX_BYTES;
    const struct status status = fresh ? catch_up(service, id, state) : load(service, id, state);
    if (!status_is_ok(&status))
        lane_state_forget(state);
    return status;
}

/* --- what would be --- */

static bool expectation_holds(const struct expectation *expectation, const struct lane_state *state)
{
    switch (expectation->kind) {
    case EXPECT_VERSION:
        return expectation->version == 0 ? !state->exists || state->version == 0
                                         : state->exists && state->version == expectation->version;
    case EXPECT_NOT_EXIST:
    case EXPECT_CREATE:
        return !state->exists;
    case EXPECT_EXIST:
        return state->exists;
    case EXPECT_IF_MATCH:
        return state->exists && state->version == expectation->version;
    }
    return true;
}

/* As the event would be stored, without what only decide knows. */
static struct event_fields fields_of(const struct append_event *event, struct bytes type, int32_t version)
{
    struct event_fields fields = {
        .id = event->id,
        .type = event->type,
        .aggregate_id = event->aggregate_id,
        .aggregate_type = event->aggregate_type.size_bytes > 0 ? event->aggregate_type : type,
        .version = version,
        .correlation_id = event->correlation_id,
        .causation_id = event->causation_id,
        .content_type = event->content_type,
        .schema_version = event->schema_version,
        .subject = event->subject,
        .has_occurred_at = event->has_occurred_at,
        .occurred_at_us = event->occurred_at_us,
        .data = event->data,
        .metadata = event->metadata,
    };
    return fields;
}

/* "$aggregate_created" alone has version 0. */
static int32_t version_after(bool exists, int32_t version, const struct append_event *event)
{
    if (!exists)
        return bytes_equal(event->type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED)) ? 0 : 1;
    return version + 1;
}

static struct status copy_fold(struct service *service, struct lane_state *state, struct fold **ret)
{
    struct aggregate_state now = {0};
    if (state->exists)
        STATUS_TRY(fold_result(state->fold, &now));
    *ret = fold_new(service->parts.domain, state->arena, state->exists ? &now : NULL);
    return *ret == NULL ? no_memory() : status_ok();
}

static bool event_is_checked(struct service *service, const struct append_event *event, struct bytes type)
{
    return domain_needs_check(service->parts.domain, event->type,
                              event->aggregate_type.size_bytes > 0 ? event->aggregate_type : type);
}

/* Several events: each is checked against the state after the one before, on a copy that can be dropped. */
static struct status try_many(struct service *service, struct bytes id, struct lane_state *state,
                              const struct append *append, struct lane_trial *trial)
{
    STATUS_TRY(copy_fold(service, state, &trial->fold));
    bool exists = state->exists;
    int32_t version = state->version;
    for (size_t i = 0; i < append->event_count; i++) {
        const struct append_event *event = &append->events[i];
        if (!bytes_equal(event->aggregate_id, id))
            continue;
        version = version_after(exists, version, event);
        exists = true;
        const struct event_fields fields = fields_of(event, bytes_of_text(state->type), version);
        if (event_is_checked(service, event, fields.aggregate_type))
            trial->verdict = domain_check(service->parts.domain, trial->fold, &fields);
        if (!status_is_ok(&trial->verdict))
            return status_ok();
        STATUS_TRY(fold_apply(trial->fold, &fields));
    }
    return status_ok();
}

/* Whether decide will be content with the types; only a prediction. */
static bool type_will_do(const struct append_event *event, const struct lane_state *state)
{
    if (!state->exists)
        return true;
    const struct bytes type = bytes_of_text(state->type);
    return (event->aggregate_type.size_bytes == 0 || bytes_equal(event->aggregate_type, type)) &&
           (event->fitting_type.size_bytes == 0 || bytes_equal(event->fitting_type, type));
}

struct status lane_state_try(struct service *service, struct bytes id, struct lane_state *state,
                             const struct append *append, struct lane_trial *ret)
{
    *ret = (struct lane_trial){.expectations_hold = true, .verdict = status_ok()};
    for (size_t i = 0; i < append->expectation_count; i++)
        if (bytes_equal(append->expectations[i].aggregate_id, id) &&
            !expectation_holds(&append->expectations[i], state))
            ret->expectations_hold = false;
    for (size_t i = 0; i < append->event_count; i++) {
        const struct append_event *event = &append->events[i];
        if (!bytes_equal(event->aggregate_id, id))
            continue;
        ret->single = event;
        ret->event_count++;
        if (!type_will_do(event, state))
            ret->expectations_hold = false;
        ret->checked = ret->checked || event_is_checked(service, event, bytes_of_text(state->type));
    }
    if (ret->event_count > 1)
        return try_many(service, id, state, append, ret);
    if (ret->event_count == 1 && ret->checked) {
        const int32_t version = version_after(state->exists, state->version, ret->single);
        const struct event_fields fields = fields_of(ret->single, bytes_of_text(state->type), version);
        ret->verdict = domain_check(service->parts.domain, state->fold, &fields);
    }
    return status_ok();
}

struct status lane_state_adopt(struct lane_state *state, const struct append *append,
                               const struct lane_trial *trial)
{
    (void)append;
    if (trial->event_count == 0)
        return status_ok();
    const int32_t first = version_after(state->exists, state->version, trial->single);
    const struct event_fields fields = fields_of(trial->single, bytes_of_text(state->type), first);
    if (trial->fold != NULL)
        state->fold = trial->fold;
    else
        STATUS_TRY(fold_apply(state->fold, &fields));
    if (!state->exists) {
        state->type = arena_text(state->arena, fields.aggregate_type);
        if (state->type == NULL)
            return no_memory();
    }
    /* Creation takes version 0; every other event the next one. */
    const bool created = !state->exists && trial->event_count >= 1 && first == 0;
    state->version = (state->exists ? state->version : 0) + (int32_t)trial->event_count - (created ? 1 : 0);
    state->exists = true;
    return status_ok();
}
