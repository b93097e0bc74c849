#include "store/decide.h"

#include <assert.h>
#include <string.h>

#include "base/entropy.h"
#include "store/overlay_internal.h"

#define VERSION_MAX INT32_MAX

/* A batch being decided. */
struct deciding {
    const struct decide_input *input;
    struct arena *arena;
    struct overlay *overlay;
    struct hash_table facts_by_aggregate; /* place in request->aggregate_ids */
    struct hash_table facts_by_id;        /* place in request->event_ids */
    int64_t timestamp_us;                 /* of the last accepted append, or of the head */
    size_t record_count;
    size_t record_bytes;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to decide a batch; retry, or send smaller appends");
}

/* --- what is known --- */

static uint32_t find_place(const struct hash_table *table, const struct bytes *items, struct bytes wanted)
{
    const uint64_t hash = hash_table_hash(table, wanted);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(table, hash, &state)) != HASH_NONE)
        if (bytes_equal(items[at], wanted))
            return at;
    return HASH_NONE;
}

static bool index_request(struct hash_table *table, const struct bytes *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!hash_table_add(table, hash_table_hash(table, items[i]), (uint32_t)i))
            return false;
    return true;
}

/* The aggregate as it stands before the append that is looked at; NULL when out of memory. */
static struct overlay_head *head_of(struct deciding *deciding, struct bytes aggregate_id)
{
    struct overlay_head *known = overlay_find_head(deciding->overlay, aggregate_id);
    if (known != NULL)
        return known;
    const struct decide_input *input = deciding->input;
    struct aggregate_head head = {0};
    const struct overlay_head *flying =
        input->in_flight == NULL ? NULL : overlay_find_head(input->in_flight, aggregate_id);
    if (flying != NULL) {
        head = flying->now;
    } else {
        const uint32_t place =
            find_place(&deciding->facts_by_aggregate, input->request->aggregate_ids, aggregate_id);
        assert(place != HASH_NONE); /* the writer asks for every aggregate that an append names */
        head = input->facts->heads[place];
    }
    /* The texts go into this batch's arena: the append's own memory is gone while the next batch still looks here. */
    const struct bytes id = arena_bytes(deciding->arena, aggregate_id);
    if (head.exists)
        head.type = arena_bytes(deciding->arena, head.type);
    if (id.data == NULL || (head.exists && head.type.data == NULL))
        return NULL;
    return overlay_add_head(deciding->overlay, id, &head);
}

/* --- 1: event ids --- */

struct earlier {
    const struct record *records;
    size_t count;
    bool in_flight; /* its records go away with the batch before */
};

static struct earlier find_earlier(const struct deciding *deciding, struct bytes event_id)
{
    const struct decide_input *input = deciding->input;
    const struct commit_append *own = overlay_find_id(deciding->overlay, event_id);
    if (own != NULL)
        return (struct earlier){own->records, own->count, false};
    const struct commit_append *flying =
        input->in_flight == NULL ? NULL : overlay_find_id(input->in_flight, event_id);
    if (flying != NULL)
        return (struct earlier){flying->records, flying->count, true};
    const uint32_t place = find_place(&deciding->facts_by_id, input->request->event_ids, event_id);
    if (place == HASH_NONE)
        return (struct earlier){NULL, 0, false};
    return (struct earlier){input->facts->earlier[place].records, input->facts->earlier[place].count, false};
}

static bool same_tags(const struct append_event *event, const struct event_fields *stored)
{
    if (event->tag_count != stored->tag_count)
        return false;
    for (size_t i = 0; i < event->tag_count; i++)
        if (!bytes_equal(event->tags[i], stored->tags[i]))
            return false;
    return true;
}

/* What the client gave, not what the server added: a retry must compare equal whoever sends it and whenever. */
static bool same_content(const struct append_event *event, const struct event_fields *stored)
{
    const struct sha256 digest = record_payload_digest(stored->salt, event->data, event->metadata);
    return bytes_equal(event->id, stored->id) && bytes_equal(event->type, stored->type) &&
           bytes_equal(event->aggregate_id, stored->aggregate_id) &&
           (event->aggregate_type.size_bytes == 0 || bytes_equal(event->aggregate_type, stored->aggregate_type)) &&
           bytes_equal(event->correlation_id, stored->correlation_id) &&
           bytes_equal(event->causation_id, stored->causation_id) &&
           bytes_equal(event->content_type, stored->content_type) &&
           event->schema_version == stored->schema_version && same_tags(event, stored) &&
           bytes_equal(event->subject, stored->subject) && event->has_occurred_at == stored->has_occurred_at &&
           event->occurred_at_us == stored->occurred_at_us &&
           bytes_equal(bytes_of(digest.bytes, sizeof digest.bytes), stored->payload_digest);
}

static struct status id_used(struct bytes id, const char *how)
{
    return status_reason(REASON_EVENT_ID_USED,
                         "event id \"%.*s\" is recorded already%s; give a new event a new id, or repeat the first "
                         "append exactly as it was to get its answer",
                         BYTES_FORMAT(id), how);
}

/* Fields of all records of an earlier append, in its order. */
static struct status decode_earlier(struct deciding *deciding, const struct earlier *earlier,
                                    struct event_fields **ret)
{
    struct event_fields *fields = arena_array(deciding->arena, earlier->count, sizeof *fields);
    if (fields == NULL)
        return no_memory();
    for (size_t i = 0; i < earlier->count; i++)
        STATUS_TRY(record_decode(earlier->records[i], &fields[i]));
    *ret = fields;
    return status_ok();
}

/* Records that would go away with the batch before are copied, since this answer leaves after it. */
static struct status keep_records(struct deciding *deciding, const struct earlier *earlier,
                                  const struct record **ret)
{
    *ret = earlier->records;
    if (!earlier->in_flight)
        return status_ok();
    struct record *copies = arena_array(deciding->arena, earlier->count, sizeof *copies);
    if (copies == NULL)
        return no_memory();
    for (size_t i = 0; i < earlier->count; i++) {
        copies[i] = earlier->records[i];
        copies[i].bytes = arena_bytes(deciding->arena, earlier->records[i].bytes);
        if (copies[i].bytes.data == NULL)
            return no_memory();
    }
    *ret = copies;
    return status_ok();
}

/* The last event of each aggregate, in order of first mention. */
static struct status heads_of_records(struct deciding *deciding, const struct event_fields *fields, size_t count,
                                      struct append_outcome *outcome)
{
    struct aggregate_head_change *heads = arena_array(deciding->arena, count, sizeof *heads);
    struct hash_table seen = hash_table_make(0);
    struct bytes *ids = arena_array(deciding->arena, count, sizeof *ids);
    size_t head_count = 0;
    struct status status = heads == NULL || ids == NULL ? no_memory() : status_ok();
    for (size_t i = 0; i < count && status.code == STATUS_OK; i++) {
        uint32_t place = find_place(&seen, ids, fields[i].aggregate_id);
        if (place == HASH_NONE) {
            place = (uint32_t)head_count++;
            ids[place] = fields[i].aggregate_id;
            if (!hash_table_add(&seen, hash_table_hash(&seen, fields[i].aggregate_id), place))
                status = no_memory();
        }
        heads[place] = (struct aggregate_head_change){fields[i].aggregate_id, fields[i].aggregate_type,
                                                      fields[i].version, fields[i].position};
    }
    hash_table_done(&seen);
    outcome->heads = heads;
    outcome->head_count = head_count;
    return status;
}

static struct status replay(struct deciding *deciding, const struct append *append, const struct earlier *earlier,
                            struct append_outcome *outcome)
{
    const struct record *records = NULL;
    STATUS_TRY(keep_records(deciding, earlier, &records));
    const struct earlier kept = {records, earlier->count, false};
    struct event_fields *fields = NULL;
    STATUS_TRY(decode_earlier(deciding, &kept, &fields));
    bool same = append->event_count == earlier->count;
    for (size_t i = 0; same && i < earlier->count; i++)
        same = same_content(&append->events[i], &fields[i]);
    if (!same) {
        outcome->kind = APPEND_REFUSED;
        outcome->status = id_used(append->events[0].id, " with other content");
        return status_ok();
    }
    outcome->kind = APPEND_REPLAYED;
    outcome->append_id = fields[0].append_id;
    outcome->first_position = fields[0].position;
    outcome->timestamp_us = fields[0].timestamp_us;
    outcome->records = records;
    outcome->record_count = earlier->count;
    return heads_of_records(deciding, fields, earlier->count, outcome);
}

static bool repeats_an_id(const struct append *append, size_t place)
{
    for (size_t i = 0; i < place; i++)
        if (bytes_equal(append->events[i].id, append->events[place].id))
            return true;
    return false;
}

/* True when the ids settle the append: replayed or refused. */
static struct status look_at_ids(struct deciding *deciding, const struct append *append,
                                 struct append_outcome *outcome, bool *ret_settled)
{
    *ret_settled = false;
    if (append->ids_server_made)
        return status_ok();
    for (size_t i = 0; i < append->event_count; i++) {
        const struct earlier earlier = find_earlier(deciding, append->events[i].id);
        if (earlier.count == 0 && !repeats_an_id(append, i))
            continue;
        *ret_settled = true;
        if (i == 0)
            return replay(deciding, append, &earlier, outcome);
        outcome->kind = APPEND_REFUSED;
        outcome->status = id_used(append->events[i].id, earlier.count == 0 ? " by this very append" : "");
        return status_ok();
    }
    return status_ok();
}

/* --- 2: sizes and limits --- */

static struct status check_sizes(const struct append *append, const struct append_limits *limits)
{
    if (append->event_count == 0 || append->event_count > APPEND_EVENTS_MAX)
        return status_reason(REASON_APPEND_TOO_LARGE, "the append has %zu events; send 1 to %u", append->event_count,
                             APPEND_EVENTS_MAX);
    if (append->encoded_bytes > APPEND_BYTES_MAX)
        return status_reason(REASON_APPEND_TOO_LARGE, "the append is %zu bytes and %u is the most; split it",
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
        return status_reason(REASON_LIMIT_AGGREGATES,
                             "the append would make %lld aggregates and max_aggregates is %lld; raise max_aggregates",
                             (long long)count, (long long)most);
    return status_ok();
}

/* --- 3 and 7: types and versions; staged, so that a refusal leaves no trace --- */

static struct status check_type(const struct append_event *event, const struct aggregate_head *head)
{
    if (!head->exists && event->aggregate_type.size_bytes == 0)
        return status_reason(REASON_INVALID_FIELD,
                             "aggregate_type is missing and aggregate \"%.*s\" does not exist yet; its first event must "
                             "name its type",
                             BYTES_FORMAT(event->aggregate_id));
    if (head->exists && event->aggregate_type.size_bytes > 0 && !bytes_equal(event->aggregate_type, head->type))
        return status_reason(REASON_TYPE_MISMATCH, "aggregate \"%.*s\" is of type \"%.*s\" and \"%.*s\" was sent; its "
                             "type is fixed by its first event",
                             BYTES_FORMAT(event->aggregate_id), BYTES_FORMAT(head->type),
                             BYTES_FORMAT(event->aggregate_type));
    return status_ok();
}

static bool is_creation(const struct append_event *event)
{
    return bytes_equal(event->type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED));
}

static struct status advance(struct deciding *deciding, const struct append_event *event, int64_t position,
                             struct aggregate_head *head, int64_t *new_aggregates)
{
    const int32_t most = deciding->input->limits->aggregate_events_max;
    if (!head->exists) {
        const struct bytes type = arena_bytes(deciding->arena, event->aggregate_type);
        if (type.data == NULL)
            return no_memory();
        *head = (struct aggregate_head){.exists = true,
                                        .type = type,
                                        .version = is_creation(event) ? 0 : 1,
                                        .first_position = position,
                                        .position = position,
                                        .event_count = 1};
        *new_aggregates += 1;
    } else if (is_creation(event)) {
        return status_reason(REASON_AGGREGATE_EXISTS,
                             "aggregate \"%.*s\" exists already, at version %d; append to it instead of creating it",
                             BYTES_FORMAT(event->aggregate_id), head->version);
    } else if (head->version == VERSION_MAX) {
        return status_reason(REASON_LIMIT_AGGREGATE_EVENTS, "aggregate \"%.*s\" is at the highest version there is, %d",
                             BYTES_FORMAT(event->aggregate_id), VERSION_MAX);
    } else {
        head->version++;
        head->position = position;
        head->event_count++;
    }
    if (most > 0 && head->version > most)
        return status_reason(REASON_LIMIT_AGGREGATE_EVENTS,
                             "aggregate \"%.*s\" would reach version %d and validation_rules.max_aggregate_events is %d; "
                             "raise it or begin another aggregate",
                             BYTES_FORMAT(event->aggregate_id), head->version, most);
    return status_ok();
}

/* Where each event of the append lands. The heads move in `staged` only. */
struct landing {
    int32_t *versions;
    struct bytes *types;
    int64_t new_aggregates;
};

static struct status stage_events(struct deciding *deciding, const struct append *append, size_t place,
                                  struct landing *ret)
{
    ret->new_aggregates = 0;
    for (size_t i = 0; i < append->event_count; i++) {
        const struct append_event *event = &append->events[i];
        struct overlay_head *head = head_of(deciding, event->aggregate_id);
        if (head == NULL)
            return no_memory();
        if (head->staged_by != place) {
            head->staged = head->now;
            head->staged_by = place;
        }
        STATUS_TRY(check_type(event, &head->staged));
        STATUS_TRY(advance(deciding, event, deciding->overlay->head.position + 1 + (int64_t)i, &head->staged,
                           &ret->new_aggregates));
        ret->versions[i] = head->staged.version;
        ret->types[i] = head->staged.type;
    }
    return check_new_aggregates(deciding, ret->new_aggregates);
}

/* --- 4: expectations, against the aggregates as they stand before the append --- */

static struct status version_conflict(enum status_reason reason, const struct expectation *expected,
                                      const struct aggregate_head *head, struct status status)
{
    (void)reason; /* already in the status */
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
        return version_conflict(reason, expected, head,
                                status_reason(reason,
                                              "aggregate \"%.*s\" does not exist and version %d was expected; send "
                                              "version 1 (expected_version 0) to begin it",
                                              BYTES_FORMAT(expected->aggregate_id), expected->version));
    if (head->version == expected->version)
        return status_ok();
    if (if_match)
        return version_conflict(reason, expected, head,
                                status_reason(reason,
                                              "aggregate \"%.*s\" is at version %d and If-Match was \"%d\"; read it "
                                              "again and send If-Match: \"%d\"",
                                              BYTES_FORMAT(expected->aggregate_id), head->version, expected->version,
                                              head->version));
    return version_conflict(reason, expected, head,
                            status_reason(reason,
                                          "aggregate \"%.*s\" is at version %d and version %d was to follow %d; send "
                                          "version %d (expected_version %d) to append after it, or read it again first",
                                          BYTES_FORMAT(expected->aggregate_id), head->version, expected->version + 1,
                                          expected->version, head->version + 1, head->version));
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
        return version_conflict(REASON_VERSION_CONFLICT, expected, head,
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
    return version_conflict(reason, expected, head,
                            status_reason(reason,
                                          "aggregate \"%.*s\" exists already, at version %d; append to it with "
                                          "expected_version %d, or choose another id",
                                          BYTES_FORMAT(expected->aggregate_id), head->version, head->version));
}

static struct status check_expectations(struct deciding *deciding, const struct append *append)
{
    for (size_t i = 0; i < append->expectation_count; i++) {
        struct expectation expected = append->expectations[i];
        const struct overlay_head *head = head_of(deciding, expected.aggregate_id);
        if (head == NULL)
            return no_memory();
        if (expected.kind != EXPECT_VERSION && expected.kind != EXPECT_IF_MATCH)
            expected.version = STATUS_VERSION_NONE;
        STATUS_TRY(check_expectation(&expected, &head->now));
    }
    return status_ok();
}

/* --- 5: condition --- */

static struct status check_condition(const struct deciding *deciding, const struct append *append, bool hit)
{
    const struct append_condition *condition = append->condition;
    if (condition == NULL)
        return status_ok();
    const int64_t after =
        condition->after_position > condition->checked_to ? condition->after_position : condition->checked_to;
    int64_t match = 0;
    if (deciding->input->in_flight != NULL)
        match = overlay_match(deciding->input->in_flight, &condition->fail_if_match, after);
    if (match == 0)
        match = overlay_match(deciding->overlay, &condition->fail_if_match, after);
    if (!hit && match == 0)
        return status_ok();
    return status_reason(REASON_CONDITION_FAILED,
                         "an event after position %lld matches condition.fail_if_match; read again, decide again and "
                         "send the position you have read as condition.after_position",
                         (long long)condition->after_position);
}

/* --- 6: the domain check's verdict --- */

static struct status check_verdicts(struct deciding *deciding, const struct append *append, bool *ret_revalidate)
{
    *ret_revalidate = false;
    for (size_t i = 0; i < append->verdict_count; i++) {
        const struct append_verdict *verdict = &append->verdicts[i];
        const struct overlay_head *head = head_of(deciding, verdict->aggregate_id);
        if (head == NULL)
            return no_memory();
        const int32_t version = head->now.exists ? head->now.version : STATUS_VERSION_NONE;
        if (version != verdict->validated_at) {
            *ret_revalidate = true;
            return status_ok();
        }
    }
    for (size_t i = 0; i < append->verdict_count; i++)
        STATUS_TRY(append->verdicts[i].status);
    return status_ok();
}

/* --- acceptance --- */

static struct event_fields fields_of(const struct append *append, size_t place, int32_t version, struct bytes type,
                                     int64_t position, int64_t timestamp_us)
{
    const struct append_event *event = &append->events[place];
    struct event_fields fields = {
        .id = event->id,
        .type = event->type,
        .aggregate_id = event->aggregate_id,
        .aggregate_type = type,
        .version = version,
        .position = position,
        .timestamp_us = timestamp_us,
        .correlation_id = event->correlation_id,
        .causation_id = event->causation_id,
        .content_type = event->content_type,
        .schema_version = event->schema_version,
        .tag_count = event->tag_count,
        .subject = event->subject,
        .has_occurred_at = event->has_occurred_at,
        .occurred_at_us = event->occurred_at_us,
        .traceparent = append->traceparent,
        .append_id = append->append_id,
        .append_index = (int32_t)place,
        .append_count = (int32_t)append->event_count,
        .actor = append->actor,
        .data = event->data,
        .metadata = event->metadata,
    };
    memcpy(fields.tags, event->tags, sizeof fields.tags);
    return fields;
}

/* Encodes all events of an accepted append; records and their views live in the arena. */
static struct status encode(struct deciding *deciding, const struct append *append, const struct landing *landing,
                            int64_t timestamp_us, struct commit_append *ret)
{
    struct record *records = arena_array(deciding->arena, append->event_count, sizeof *records);
    struct event_fields *views = arena_array(deciding->arena, append->event_count, sizeof *views);
    struct sha256 *leaves = arena_array(deciding->arena, append->event_count, sizeof *leaves);
    if (records == NULL || views == NULL || leaves == NULL)
        return no_memory();
    for (size_t i = 0; i < append->event_count; i++) {
        uint8_t salt[RECORD_SALT_BYTES];
        entropy_fill(deciding->input->entropy, salt, sizeof salt);
        struct event_fields fields =
            fields_of(append, i, landing->versions[i], landing->types[i],
                      deciding->overlay->head.position + 1 + (int64_t)i, timestamp_us);
        fields.salt = bytes_of(salt, sizeof salt);
        struct buffer bytes = buffer_in(deciding->arena, 0);
        record_encode(&fields, &bytes, &records[i].header_bytes);
        if (bytes.failed)
            return no_memory();
        records[i].bytes = buffer_bytes(&bytes);
        STATUS_TRY(record_decode(records[i], &views[i]));
        leaves[i] = record_leaf(records[i]);
        deciding->record_bytes += records[i].bytes.size_bytes;
    }
    const int64_t first = deciding->overlay->head.position + 1;
    *ret = (struct commit_append){
        .first_position = first,
        .records = records,
        .fields = views,
        .count = append->event_count,
        .chain_after = chain_next(&deciding->overlay->head.chain, first, leaves, append->event_count),
    };
    return status_ok();
}

static void keep_staged(struct deciding *deciding, const struct append *append, size_t place)
{
    for (size_t i = 0; i < append->event_count; i++) {
        struct overlay_head *head = overlay_find_head(deciding->overlay, append->events[i].aggregate_id);
        assert(head != NULL && head->staged_by == place);
        head->now = head->staged;
    }
}

static struct status accept(struct deciding *deciding, const struct append *append, size_t place,
                            const struct landing *landing, struct append_outcome *outcome)
{
    struct overlay *overlay = deciding->overlay;
    const int64_t now_us = deciding->input->now_us;
    const int64_t timestamp_us = now_us > overlay->head.timestamp_us ? now_us : overlay->head.timestamp_us + 1;
    const size_t bytes_before = deciding->record_bytes;
    struct commit_append accepted;
    STATUS_TRY(encode(deciding, append, landing, timestamp_us, &accepted));
    outcome->kind = APPEND_ACCEPTED;
    outcome->append_id = accepted.fields[0].append_id;
    outcome->first_position = accepted.first_position;
    outcome->timestamp_us = timestamp_us;
    outcome->records = accepted.records;
    outcome->record_count = accepted.count;
    STATUS_TRY(heads_of_records(deciding, accepted.fields, accepted.count, outcome));
    if (append->validate_only) {
        deciding->record_bytes = bytes_before;
        return status_ok();
    }
    overlay->appends[overlay->append_count] = accepted;
    if (!overlay_add_ids(overlay, &overlay->appends[overlay->append_count]))
        return no_memory();
    overlay->append_count++;
    keep_staged(deciding, append, place);
    overlay->head.position += (int64_t)accepted.count;
    overlay->head.timestamp_us = timestamp_us;
    overlay->head.chain = accepted.chain_after;
    overlay->head.aggregate_count += landing->new_aggregates;
    deciding->record_count += accepted.count;
    return status_ok();
}

/* The rules in their order; a failure of ours (memory) is returned, everything else is the append's outcome. */
static struct status judge(struct deciding *deciding, const struct append *append, size_t place,
                           struct landing *landing, bool *ret_revalidate)
{
    *ret_revalidate = false;
    STATUS_TRY(check_sizes(append, deciding->input->limits));
    STATUS_TRY(check_store_limits(deciding, append));
    landing->versions = arena_array(deciding->arena, append->event_count, sizeof *landing->versions);
    landing->types = arena_array(deciding->arena, append->event_count, sizeof *landing->types);
    if (landing->versions == NULL || landing->types == NULL)
        return no_memory();
    /* Types come before expectations; limits of aggregates show only while the heads move, and creation of what
     * exists must be told by the expectation that knows how, so the staging's other refusals wait. */
    struct status staged = stage_events(deciding, append, place, landing);
    if (staged.reason == REASON_TYPE_MISMATCH || staged.reason == REASON_INVALID_FIELD ||
        staged.reason == REASON_LIMIT_AGGREGATES || staged.reason == REASON_LIMIT_AGGREGATE_EVENTS ||
        (staged.code != STATUS_OK && staged.reason == STATUS_REASON_NONE))
        return staged;
    STATUS_TRY(check_expectations(deciding, append));
    STATUS_TRY(check_condition(deciding, append, deciding->input->condition_hit[place]));
    STATUS_TRY(check_verdicts(deciding, append, ret_revalidate));
    return *ret_revalidate ? status_ok() : staged;
}

static struct status decide_one(struct deciding *deciding, size_t place, struct append_outcome *outcome)
{
    const struct append *append = deciding->input->appends[place];
    bool settled = false;
    *outcome = (struct append_outcome){.status = status_ok()};
    STATUS_TRY(look_at_ids(deciding, append, outcome, &settled));
    if (settled)
        return status_ok();
    struct landing landing = {0};
    bool revalidate = false;
    struct status status = judge(deciding, append, place, &landing, &revalidate);
    if (status.code == STATUS_RESOURCE_EXHAUSTED && status.reason == STATUS_REASON_NONE)
        return status;
    if (status.code != STATUS_OK) {
        outcome->kind = APPEND_REFUSED;
        outcome->status = status;
        return status_ok();
    }
    if (revalidate) {
        outcome->kind = APPEND_REVALIDATE;
        return status_ok();
    }
    return accept(deciding, append, place, &landing, outcome);
}

static struct status decide_all(struct deciding *deciding, struct append_outcome *outcomes)
{
    const struct facts_request *request = deciding->input->request;
    if (!index_request(&deciding->facts_by_aggregate, request->aggregate_ids, request->aggregate_count) ||
        !index_request(&deciding->facts_by_id, request->event_ids, request->event_id_count))
        return no_memory();
    for (size_t i = 0; i < deciding->input->append_count; i++)
        STATUS_TRY(decide_one(deciding, i, &outcomes[i]));
    return status_ok();
}

struct status decide(const struct decide_input *input, struct arena *arena, struct decision *ret)
{
    CLEANUP(overlay_free_at) struct overlay *overlay = overlay_new();
    struct append_outcome *outcomes = arena_array(arena, input->append_count, sizeof *outcomes);
    if (overlay == NULL || outcomes == NULL)
        return no_memory();
    overlay->appends = arena_array(arena, input->append_count, sizeof *overlay->appends);
    if (overlay->appends == NULL)
        return no_memory();
    overlay->head = input->facts->head;
    if (input->in_flight != NULL && input->in_flight->head.position > overlay->head.position)
        overlay->head = input->in_flight->head;
    const struct store_head before = overlay->head;
    struct deciding deciding = {.input = input,
                                .arena = arena,
                                .overlay = overlay,
                                .facts_by_aggregate = hash_table_make(0),
                                .facts_by_id = hash_table_make(0)};
    struct status status = decide_all(&deciding, outcomes);
    hash_table_done(&deciding.facts_by_aggregate);
    hash_table_done(&deciding.facts_by_id);
    STATUS_TRY(status);
    ret->outcomes = outcomes;
    ret->batch = (struct commit_batch){.before = before,
                                       .after = overlay->head,
                                       .appends = overlay->appends,
                                       .append_count = overlay->append_count,
                                       .record_count = deciding.record_count,
                                       .record_bytes = deciding.record_bytes};
    ret->overlay = TAKE_PTR(overlay);
    return status_ok();
}
