/* SaveAggregate: events or a whole new state, then metadata, then the active flag;
 * recorded in that order, as one append. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "service/aggregate_append_internal.h"
#include "service/loader_internal.h"

#define SYSTEM_EVENTS_MAX 3U /* state, metadata, active */

static bool gives_version(const Strata__V1__SaveAggregateRequest *request)
{
    return request->_expected_version_case != STRATA__V1__SAVE_AGGREGATE_REQUEST___EXPECTED_VERSION__NOT_SET;
}

static bool gives_active(const Strata__V1__SaveAggregateRequest *request)
{
    return request->_active_case != STRATA__V1__SAVE_AGGREGATE_REQUEST___ACTIVE__NOT_SET;
}

/* --- preconditions --- */

/* `"N"` as a read answers it, without leading zeros: an ETag is compared, not computed with. */
static bool etag_read(const char *text, int32_t *ret_version)
{
    int64_t version = 0;
    const char *at = text + 1;
    if (text[0] != '"' || (at[0] == '0' && at[1] != '"'))
        return false;
    for (; *at >= '0' && *at <= '9' && version <= INT32_MAX; at++)
        version = version * 10 + (*at - '0');
    *ret_version = (int32_t)version;
    return at > text + 1 && version <= INT32_MAX && at[0] == '"' && at[1] == '\0';
}

/* `"N"` or `*`; -1 stands for the latter. */
static struct status if_match_read(const char *text, int32_t *ret_version)
{
    *ret_version = -1;
    if (text[0] == '*' && text[1] == '\0')
        return status_ok();
    if (text[0] == 'W' && text[1] == '/')
        return status_reason(
            REASON_INVALID_FIELD,
            "If-Match is %.40s, a weak validator, which never matches here (RFC 9110 13.1.1); "
            "give the ETag of a read as it is, as in \"3\", or *",
            text);
    if (!etag_read(text, ret_version))
        return status_reason(
            REASON_INVALID_FIELD,
            "If-Match is %.40s; give one version in quotes, as in \"3\" (the ETag of a read), or *", text);
    return status_ok();
}

static void expectation_take(struct append_builder *builder, const Strata__V1__SaveAggregateRequest *request,
                             struct bytes id, struct append *append)
{
    int32_t match = -1;
    const bool matches = request->if_match[0] != '\0';
    if (matches) {
        const struct status status = if_match_read(request->if_match, &match);
        faults_add(&builder->faults, "if_match", status);
        if (!status_is_ok(&status))
            return;
    }
    if (gives_version(request) && request->expected_version < 0)
        faults_add(&builder->faults, "expected_version",
                   status_reason(REASON_INVALID_FIELD, "expected_version is %d; give 0 or more",
                                 request->expected_version));
    if (gives_version(request) && match >= 0 && match != request->expected_version)
        faults_add(&builder->faults, "expected_version",
                   status_reason(
                       REASON_INVALID_FIELD,
                       "If-Match is \"%d\" and expected_version is %d; they must agree, give one of the two",
                       match, request->expected_version));
    struct expectation *expectation = arena_zalloc(builder->arena, sizeof *expectation);
    if (expectation == NULL) {
        faults_add(&builder->faults, "if_match",
                   status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the save"));
        return;
    }
    expectation->aggregate_id = id;
    expectation->kind = match >= 0 ? EXPECT_IF_MATCH : gives_version(request) ? EXPECT_VERSION : EXPECT_EXIST;
    expectation->version = match >= 0 ? match : gives_version(request) ? request->expected_version : 0;
    append->expectations = expectation;
    append->expectation_count = 1;
}

static struct status check_one_of(const Strata__V1__SaveAggregateRequest *request)
{
    if (request->n_events == 0 || request->state.len == 0)
        return status_ok();
    return status_reason(
        REASON_INVALID_FIELD,
        "events and state are both given; give the events that happened, or a whole new state");
}

static struct status check_parts(const Strata__V1__SaveAggregateRequest *request)
{
    const bool state = request->state.len > 0;
    const size_t count = request->n_events + state + (request->set_metadata.len > 0) + gives_active(request);
    if (count == 0)
        return status_reason(REASON_INVALID_FIELD,
                             "nothing is to be saved; give events, state, set_metadata or active");
    if (count > APPEND_EVENTS_MAX)
        return status_reason(REASON_APPEND_TOO_LARGE,
                             "the save has %zu events, set_metadata and active counted; give at most %u",
                             count, APPEND_EVENTS_MAX);
    if (state && request->if_match[0] == '\0' && !gives_version(request))
        return status_reason(
            REASON_PRECONDITION_REQUIRED,
            "a whole new state would undo what you have not seen; send If-Match with the ETag of your "
            "read, or expected_version");
    return status_ok();
}

/* --- parts --- */

/* A null member is an absent member (as in a merge patch), at every depth. */
static void drop_nulls(struct json_value *value)
{
    if (value->kind == JSON_ARRAY_BEGIN)
        for (size_t i = 0; i < value->count; i++)
            drop_nulls(value->elements[i]);
    if (value->kind != JSON_OBJECT_BEGIN)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < value->count; i++) {
        if (value->members[i].value->kind == JSON_NULL)
            continue;
        drop_nulls(value->members[i].value);
        value->members[kept++] = value->members[i];
    }
    value->count = kept;
    value->index = NULL;
}

static struct status state_clean(struct arena *arena, struct bytes text, struct bytes *ret)
{
    struct json_value *value = NULL;
    STATUS_TRY(json_parse(arena, text, &value));
    drop_nulls(value);
    struct buffer written = buffer_in(arena, 0);
    json_write(value, &written);
    *ret = buffer_bytes(&written);
    return buffer_status(&written);
}

static void events_take(struct append_builder *builder, const Strata__V1__SaveAggregateRequest *request,
                        struct bytes id, struct bytes type)
{
    for (size_t i = 0; i < request->n_events; i++) {
        const Strata__V1__NewEvent *event = request->events[i];
        if (event->aggregate_id[0] != '\0' && !bytes_equal(bytes_of_text(event->aggregate_id), id)) {
            char field[48];
            snprintf(field, sizeof field, "events[%zu].aggregate_id", i);
            faults_add(
                &builder->faults, field,
                status_reason(REASON_INVALID_FIELD,
                              "%s is \"%.255s\" and the saved aggregate is \"%.*s\"; leave it out, or use "
                              "AppendEvents for several aggregates",
                              field, event->aggregate_id, BYTES_FORMAT(id)));
        }
        append_builder_add(builder, event, (int)i, id, type);
    }
}

static struct status state_take(struct append_builder *builder,
                                const Strata__V1__SaveAggregateRequest *request, struct bytes id,
                                struct bytes type)
{
    const size_t before = builder->faults.count;
    struct bytes state = append_builder_state(builder, "state", type, bytes_of_blob(request->state));
    if (state.size_bytes == 0 || builder->faults.count > before)
        return status_ok();
    STATUS_TRY(state_clean(builder->arena, state, &state));
    append_builder_add_system(builder, "state", TYPE_STATE_REPLACED, id, type, state, BYTES_NONE);
    return status_ok();
}

static struct status save_build(struct service *service, struct call *call,
                                const Strata__V1__SaveAggregateRequest *request, struct bytes type,
                                struct append_job *job)
{
    size_t text_bytes = request->state.len + request->set_metadata.len;
    for (size_t i = 0; i < request->n_events; i++)
        text_bytes += request->events[i]->data.len + request->events[i]->metadata.len;
    const struct bytes id = bytes_of_text(request->id);
    struct append_builder builder;
    STATUS_TRY(append_builder_init(&builder, service, call_arena(call), call,
                                   request->n_events + SYSTEM_EVENTS_MAX, text_bytes));
    builder.key = bytes_of_text(request->idempotency_key);
    builder.key_field = "idempotency_key";
    expectation_take(&builder, request, id, &job->append);
    events_take(&builder, request, id, type);
    STATUS_TRY(state_take(&builder, request, id, type));
    const struct bytes patch =
        append_builder_object(&builder, "set_metadata", bytes_of_blob(request->set_metadata));
    if (patch.size_bytes > 0)
        append_builder_add_system(&builder, "set_metadata", TYPE_METADATA_CHANGED, id, type, patch,
                                  BYTES_NONE);
    if (gives_active(request))
        append_builder_add_system(&builder, "active", request->active ? TYPE_ACTIVATED : TYPE_DEACTIVATED, id,
                                  type, BYTES_NONE, BYTES_NONE);
    STATUS_TRY(faults_status(&builder.faults)); /* before finish: there may be no event to give an id to */
    STATUS_TRY(append_builder_finish(&builder, job));
    job->append.validate_only = request->validate_only;
    return status_ok();
}

static struct status save_run(struct service *service, struct call *call, const void *context,
                              struct reply *ret)
{
    const Strata__V1__SaveAggregateRequest *request = context;
    struct arena *arena = call_arena(call);
    const struct bytes id = bytes_of_text(request->id);
    FIELD_TRY(arena, "id", id_check("id", id, ID_REQUIRED));
    FIELD_TRY(arena, "state", check_one_of(request));
    STATUS_TRY(check_parts(request));
    struct aggregate_head head = {0};
    STATUS_TRY(service->parts.store->ops->aggregate(service->parts.store, id, arena, &head));
    if (!head.exists)
        return status_aggregate_unknown(id);
    struct aggregate_append *append = arena_zalloc(arena, sizeof *append);
    if (append == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the save");
    STATUS_TRY(save_build(service, call, request, head.type, &append->job));
    ret->later = true;
    aggregate_append_run(append);
    return status_ok();
}

static void save_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, save_run);
}

const struct method_handler save_aggregate_handler = {.start = save_start};
