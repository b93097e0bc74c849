#include "decide_internal.h"

#include <assert.h>

#define VERSION_MAX INT32_MAX

/* --- 2: sizes and limits --- */

static struct status check_sizes(const struct append *append, const struct append_limits *limits)
{
    if (append->event_count == 0 || append->event_count > APPEND_EVENTS_MAX)
        return status_reason(REASON_APPEND_TOO_LARGE, "the append has %zu events; send 1 to %u",
                             append->event_count, APPEND_EVENTS_MAX);
    if (append->encoded_bytes > APPEND_BYTES_MAX)
        return status_reason(REASON_APPEND_TOO_LARGE, "the append is %zu bytes and %zu is the most; split it",
                             append->encoded_bytes, APPEND_BYTES_MAX);
    const size_t most = limits->event_data_max_bytes == 0 ? EVENT_DATA_MAX : limits->event_data_max_bytes;
    for (size_t i = 0; i < append->event_count; i++) {
        const size_t size = append->events[i].data.size_bytes + append->events[i].metadata.size_bytes;
        if (size > most)
            return status_reason(REASON_EVENT_TOO_LARGE,
                                 "data and metadata of event \"%.*s\" are %zu bytes and "
                                 "validation_rules.max_event_data_size is %zu; send less or raise it",
                                 BYTES_FORMAT(append->events[i].id), size, most);
    }
    return status_ok();
}

static struct status check_store_limits(struct deciding *deciding, const struct append *append)
{
    const struct append_limits *limits = deciding->input->limits;
    const int64_t events = deciding->overlay->head.position + (int64_t)append->event_count;
    if (limits->events_max > 0 && events > limits->events_max)
        return status_reason(REASON_LIMIT_EVENTS,
                             "the append would make %lld events and max_events is %lld; raise max_events",
                             (long long)events, (long long)limits->events_max);
    return status_ok();
}

static struct status check_new_aggregates(struct deciding *deciding, int64_t new_count)
{
    const int64_t most = deciding->input->limits->aggregates_max;
    const int64_t count = deciding->overlay->head.aggregate_count + new_count;
    if (most > 0 && new_count > 0 && count > most)
        return status_reason(
            REASON_LIMIT_AGGREGATES,
            "the append would make %lld aggregates and max_aggregates is %lld; raise max_aggregates",
            (long long)count, (long long)most);
    return status_ok();
}

/* --- 3 and 7: types and versions; staged, so that a refusal leaves no trace --- */

static struct status check_type(const struct append_event *event, const struct aggregate_head *head)
{
    if (!head->exists && event->aggregate_type.size_bytes == 0)
        return status_reason(
            REASON_INVALID_FIELD,
            "aggregate_type is missing and aggregate \"%.*s\" does not exist yet; its first event must "
            "name its type",
            BYTES_FORMAT(event->aggregate_id));
    if (head->exists && event->aggregate_type.size_bytes > 0 &&
        !bytes_equal(event->aggregate_type, head->type))
        return status_reason(REASON_TYPE_MISMATCH,
                             "aggregate \"%.*s\" is of type \"%.*s\" and \"%.*s\" was sent; its "
                             "type is fixed by its first event",
                             BYTES_FORMAT(event->aggregate_id), BYTES_FORMAT(head->type),
                             BYTES_FORMAT(event->aggregate_type));
    if (head->exists && event->fitting_type.size_bytes > 0 && !bytes_equal(event->fitting_type, head->type))
        return status_reason(REASON_TYPE_MISMATCH,
                             "aggregate \"%.*s\" is of type \"%.*s\" and \"%.*s\" fits aggregates of type "
                             "\"%.*s\" only",
                             BYTES_FORMAT(event->aggregate_id), BYTES_FORMAT(head->type),
                             BYTES_FORMAT(event->type), BYTES_FORMAT(event->fitting_type));
    return status_ok();
}

static bool is_creation(const struct append_event *event)
{
    return bytes_equal(event->type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED));
}

static struct status check_creation(const struct append_event *event, const struct aggregate_head *head)
{
    if (!head->exists || !is_creation(event))
        return status_ok();
    return status_reason(
        REASON_AGGREGATE_EXISTS,
        "aggregate \"%.*s\" exists already, at version %d; append to it instead of creating it",
        BYTES_FORMAT(event->aggregate_id), head->version);
}

static struct status advance(struct deciding *deciding, const struct append_event *event, int64_t position,
                             struct aggregate_head *head, int64_t *new_aggregates)
{
    const int32_t most = deciding->input->limits->aggregate_events_max;
    if (!head->exists) {
        const struct bytes type = arena_bytes(deciding->arena, event->aggregate_type);
        if (type.data == NULL)
            return decide_no_memory();
        *head = (struct aggregate_head){.exists = true,
                                        .type = type,
                                        .version = is_creation(event) ? 0 : 1,
                                        .first_position = position,
                                        .position = position,
                                        .event_count = 1};
        *new_aggregates += 1;
    } else if (head->version == VERSION_MAX) {
        return status_reason(REASON_LIMIT_AGGREGATE_EVENTS,
                             "aggregate \"%.*s\" is at the highest version there is, %d",
                             BYTES_FORMAT(event->aggregate_id), VERSION_MAX);
    } else {
        head->version++;
        head->position = position;
        head->event_count++;
    }
    if (most > 0 && head->version > most)
        return status_reason(
            REASON_LIMIT_AGGREGATE_EVENTS,
            "aggregate \"%.*s\" would reach version %d and validation_rules.max_aggregate_events is %d; "
            "raise it or begin another aggregate",
            BYTES_FORMAT(event->aggregate_id), head->version, most);
    return status_ok();
}

/* A status is large, so a good one is not copied. */
static void keep_first(struct status *kept, const struct status *status)
{
    if (kept->code == STATUS_OK && status->code != STATUS_OK)
        *kept = *status;
}

static struct status stage_events(struct deciding *deciding, const struct append *append, size_t place,
                                  struct landing *ret)
{
    const uint32_t *places = deciding_names(deciding)->aggregates;
    ret->new_aggregates = 0;
    ret->type_fault = status_ok();
    ret->creation_fault = status_ok();
    for (size_t i = 0; i < append->event_count; i++) {
        const struct append_event *event = &append->events[i];
        struct overlay_head *head = decide_head_at(deciding, places[i]);
        if (head == NULL)
            return decide_no_memory();
        if (head->staged_by != place) {
            head->staged = head->now;
            head->staged_by = place;
        }
        const struct status of_type = check_type(event, &head->staged);
        const struct status of_creation = check_creation(event, &head->staged);
        if (ret->type_fault_event == 0 && of_type.code != STATUS_OK)
            ret->type_fault_event = i + 1;
        keep_first(&ret->type_fault, &of_type);
        keep_first(&ret->creation_fault, &of_creation);
        STATUS_TRY(advance(deciding, event, deciding->overlay->head.position + 1 + (int64_t)i, &head->staged,
                           &ret->new_aggregates));
        ret->versions[i] = head->staged.version;
        ret->types[i] = head->staged.type;
    }
    return check_new_aggregates(deciding, ret->new_aggregates);
}

/* --- 4: expectations, against the aggregates as they stand before the append --- */

static struct status version_conflict(const struct expectation *expected, const struct aggregate_head *head,
                                      struct status status)
{
    status.aggregate_id = (const char *)expected->aggregate_id.data;
    status.aggregate_id_bytes = expected->aggregate_id.size_bytes;
    status.expected_version = expected->version;
    status.current_version = head->exists ? head->version : STATUS_VERSION_NONE;
    return status;
}

static struct status check_version(const struct expectation *expected, const struct aggregate_head *head)
{
    const bool if_match = expected->kind == EXPECT_IF_MATCH;
    const enum status_reason reason = if_match ? REASON_IF_MATCH_FAILED : REASON_VERSION_CONFLICT;
    if (!head->exists && expected->version == 0 && !if_match)
        return status_ok();
    if (!head->exists)
        return version_conflict(
            expected, head,
            status_reason(reason,
                          "aggregate \"%.*s\" does not exist and was expected at version %d; send "
                          "version 1 (expected_version 0) to begin it",
                          BYTES_FORMAT(expected->aggregate_id), expected->version));
    if (head->version == expected->version)
        return status_ok();
    if (if_match)
        return version_conflict(
            expected, head,
            status_reason(reason,
                          "aggregate \"%.*s\" is at version %d and If-Match was \"%d\"; read it "
                          "again and send If-Match: \"%d\"",
                          BYTES_FORMAT(expected->aggregate_id), head->version, expected->version,
                          head->version));
    return version_conflict(
        expected, head,
        status_reason(reason,
                      "aggregate \"%.*s\" is at version %d and version %lld was to be written; "
                      "send version %lld (expected_version %d) to append after it, or read it "
                      "again first",
                      BYTES_FORMAT(expected->aggregate_id), head->version, (long long)expected->version + 1,
                      (long long)head->version + 1, head->version));
}

static struct status check_expectation(const struct expectation *expected, const struct aggregate_head *head)
{
    switch (expected->kind) {
    case EXPECT_VERSION:
    case EXPECT_IF_MATCH:
        return check_version(expected, head);
    case EXPECT_EXIST:
        if (head->exists)
            return status_ok();
        return version_conflict(
            expected, head,
            status_reason(REASON_VERSION_CONFLICT,
                          "aggregate \"%.*s\" was expected to exist and does not; create it first",
                          BYTES_FORMAT(expected->aggregate_id)));
    case EXPECT_NOT_EXIST:
    case EXPECT_CREATE:
        if (!head->exists)
            return status_ok();
        break;
    }
    const enum status_reason reason =
        expected->kind == EXPECT_CREATE ? REASON_AGGREGATE_EXISTS : REASON_VERSION_CONFLICT;
    return version_conflict(
        expected, head,
        status_reason(reason,
                      "aggregate \"%.*s\" exists already, at version %d; append to it with "
                      "expected_version %d, or choose another id",
                      BYTES_FORMAT(expected->aggregate_id), head->version, head->version));
}

static struct status check_expectations(struct deciding *deciding, const struct append *append)
{
    const uint32_t *places = deciding_names(deciding)->aggregates + append->event_count;
    for (size_t i = 0; i < append->expectation_count; i++) {
        struct expectation expected = append->expectations[i];
        const struct overlay_head *head = decide_head_at(deciding, places[i]);
        if (head == NULL)
            return decide_no_memory();
        if (expected.kind != EXPECT_VERSION && expected.kind != EXPECT_IF_MATCH)
            expected.version = STATUS_VERSION_NONE;
        STATUS_TRY(check_expectation(&expected, &head->now));
    }
    return status_ok();
}

/* Comes before limits and types: who creates what exists should hear just that, whatever else would be refused. */
static struct status check_creates(struct deciding *deciding, const struct append *append)
{
    const uint32_t *places = deciding_names(deciding)->aggregates + append->event_count;
    for (size_t i = 0; i < append->expectation_count; i++) {
        struct expectation expected = append->expectations[i];
        if (expected.kind != EXPECT_CREATE)
            continue;
        const struct overlay_head *head = decide_head_at(deciding, places[i]);
        if (head == NULL)
            return decide_no_memory();
        expected.version = STATUS_VERSION_NONE;
        STATUS_TRY(check_expectation(&expected, &head->now));
    }
    return status_ok();
}

/* --- 5: condition --- */

static struct status check_condition(const struct deciding *deciding, const struct append *append,
                                     const struct condition_fact *known)
{
    const struct append_condition *condition = append->condition;
    if (condition == NULL)
        return status_ok();
    const int64_t after =
        condition->after_position > condition->checked_to ? condition->after_position : condition->checked_to;
    int64_t match = known->hit;
    if (match == 0 && deciding->input->in_flight != NULL)
        match = overlay_match(deciding->input->in_flight, &condition->fail_if_match, after);
    if (match == 0)
        match = overlay_match(deciding->overlay, &condition->fail_if_match, after);
    if (match == 0)
        return known->unreadable == NULL ? status_ok() : *known->unreadable;
    struct status status = status_reason(
        REASON_CONDITION_FAILED,
        "the event at position %lld matches condition.fail_if_match; read again, decide again and "
        "send the position that you have read to as condition.after_position",
        (long long)match);
    status.position = match;
    return status;
}

/* --- 6: the domain check's verdict --- */

static bool is_broken(const struct append_verdict *verdict)
{
    return verdict->broken != NULL && !verdict->stands_on_none && atomic_load(verdict->broken);
}

/* Whether a verdict is about another version, or about another event there. That is asked before any other rule: what was
 * to come first in the aggregate's lane has not come yet, and a refusal now would be about a state that the append was not
 * meant for. */
static struct status check_validated(struct deciding *deciding, const struct append *append,
                                     bool *ret_revalidate)
{
    const uint32_t *places =
        deciding_names(deciding)->aggregates + append->event_count + append->expectation_count;
    *ret_revalidate = false;
    for (size_t i = 0; i < append->verdict_count; i++) {
        const struct append_verdict *verdict = &append->verdicts[i];
        const struct overlay_head *head = decide_head_at(deciding, places[i]);
        if (head == NULL)
            return decide_no_memory();
        const int32_t version = head->now.exists ? head->now.version : STATUS_VERSION_NONE;
        if (version != verdict->validated_at || is_broken(verdict)) {
            if (verdict->broken != NULL)
                atomic_store(verdict->broken, true);
            *ret_revalidate = true;
            return status_ok();
        }
    }
    return status_ok();
}

static struct status check_verdicts(const struct append *append)
{
    for (size_t i = 0; i < append->verdict_count; i++)
        STATUS_TRY(append->verdicts[i].status);
    return status_ok();
}

/* --- in their order --- */

struct status decide_rules(struct deciding *deciding, const struct append *append, size_t place,
                           struct landing *landing, bool *ret_revalidate)
{
    STATUS_TRY(check_validated(deciding, append, ret_revalidate));
    if (*ret_revalidate)
        return status_ok();
    STATUS_TRY(check_sizes(append, deciding->input->limits));
    STATUS_TRY(check_creates(deciding, append));
    STATUS_TRY(check_store_limits(deciding, append));
    landing->versions = arena_alloc(deciding->arena, append->event_count * sizeof *landing->versions);
    landing->types = arena_alloc(deciding->arena, append->event_count * sizeof *landing->types);
    if (landing->versions == NULL || landing->types == NULL)
        return decide_no_memory();
    /* Fails for want of memory and for limits, which show only while the heads move; its other findings wait. */
    STATUS_TRY(stage_events(deciding, append, place, landing));
    STATUS_TRY(landing->type_fault);
    STATUS_TRY(check_expectations(deciding, append));
    STATUS_TRY(landing->creation_fault); /* the expectation that came with it knows better what was meant */
    STATUS_TRY(check_condition(deciding, append, &deciding->input->conditions[place]));
    return check_verdicts(append);
}
