#include "store/decide.h"

#include <assert.h>
#include <string.h>

#include "base/entropy.h"
#include "decide_internal.h"

/* --- what is known --- */

struct overlay_head *decide_head_at(struct deciding *deciding, uint32_t place)
{
    struct overlay *overlay = deciding->overlay;
    struct aggregate_notes *notes = &deciding->notes[place];
    if (notes->head_plus_1 != 0)
        return &overlay->heads[notes->head_plus_1 - 1];
    const struct decide_input *input = deciding->input;
    const struct bytes aggregate_id = input->names->request.aggregate_ids[place];
    const uint64_t hash = input->names->aggregate_hashes[place];
    const struct overlay_head *flying =
        input->in_flight == NULL ? NULL : overlay_find_head(input->in_flight, aggregate_id, hash);
    struct aggregate_head head = flying != NULL ? flying->now : input->facts->heads[place];
    /* The texts go into this batch's arena: the append's own memory is gone while the next batch still looks here. */
    const struct bytes id = arena_bytes(deciding->arena, aggregate_id);
    if (head.exists)
        head.type = arena_bytes(deciding->arena, head.type);
    if (id.data == NULL || (head.exists && head.type.data == NULL))
        return NULL;
    struct overlay_head *added = overlay_add_head(overlay, id, hash, &head);
    if (added != NULL)
        notes->head_plus_1 = (uint32_t)overlay->head_count;
    return added;
}

/* --- acceptance --- */

static void take_fields(const struct append *append, size_t place, struct event_fields *ret)
{
    const struct append_event *event = &append->events[place];
    ret->id = event->id;
    ret->type = event->type;
    ret->aggregate_id = event->aggregate_id;
    ret->correlation_id = event->correlation_id;
    ret->causation_id = event->causation_id;
    ret->content_type = event->content_type;
    ret->schema_version = event->schema_version;
    for (size_t i = 0; i < event->tag_count; i++)
        ret->tags[i] = event->tags[i];
    ret->tag_count = event->tag_count;
    ret->subject = event->subject;
    ret->has_occurred_at = event->has_occurred_at;
    ret->occurred_at_us = event->occurred_at_us;
    ret->traceparent = append->traceparent;
    ret->append_id = append->append_id;
    ret->append_index = (int32_t)place;
    ret->append_count = (int32_t)append->event_count;
    ret->actor = append->actor;
    ret->payload_digest = BYTES_NONE;
    ret->data = event->data;
    ret->metadata = event->metadata;
}

/* Fields of all events of an accepted append, the salts behind them; *ret_bound: room that their records need. */
static struct event_fields *all_fields(struct deciding *deciding, const struct append *append,
                                       const struct landing *landing, int64_t timestamp_us, size_t *ret_bound)
{
    const size_t count = append->event_count;
    struct event_fields *fields = arena_alloc(deciding->arena, count * sizeof *fields);
    uint8_t *salts = arena_alloc(deciding->arena, count * RECORD_SALT_BYTES);
    if (fields == NULL || salts == NULL)
        return NULL;
    entropy_fill(deciding->input->entropy, salts, count * RECORD_SALT_BYTES);
    *ret_bound = 0;
    for (size_t i = 0; i < count; i++) {
        take_fields(append, i, &fields[i]);
        fields[i].aggregate_type = landing->types[i];
        fields[i].version = landing->versions[i];
        fields[i].position = deciding->overlay->head.position + 1 + (int64_t)i;
        fields[i].timestamp_us = timestamp_us;
        fields[i].salt = bytes_of(salts + i * RECORD_SALT_BYTES, RECORD_SALT_BYTES);
        *ret_bound += record_encoded_bound(&fields[i]);
    }
    return fields;
}

/* Encodes all events of an accepted append, one behind the other; records and their views live in the arena. */
static struct status encode(struct deciding *deciding, const struct append *append,
                            const struct landing *landing, int64_t timestamp_us, struct commit_append *ret)
{
    size_t bound = 0;
    struct event_fields *fields = all_fields(deciding, append, landing, timestamp_us, &bound);
    struct record *records = arena_alloc(deciding->arena, append->event_count * sizeof *records);
    struct sha256 *leaves = arena_alloc(deciding->arena, append->event_count * sizeof *leaves);
    uint8_t *memory = fields == NULL ? NULL : arena_alloc(deciding->arena, bound);
    if (records == NULL || leaves == NULL || memory == NULL)
        return decide_no_memory();
    for (size_t i = 0; i < append->event_count; i++) {
        records[i] = record_write(&fields[i], memory);
        memory += records[i].bytes.size_bytes;
        leaves[i] = record_leaf(records[i]);
        deciding->record_bytes += records[i].bytes.size_bytes;
    }
    const int64_t first = deciding->overlay->head.position + 1;
    *ret = (struct commit_append){
        .first_position = first,
        .records = records,
        .fields = fields,
        .count = append->event_count,
        .chain_after = chain_next(&deciding->overlay->head.chain, first, leaves, append->event_count),
    };
    return status_ok();
}

static void keep_staged(struct deciding *deciding, const struct append *append, size_t place)
{
    const uint32_t *places = deciding_names(deciding)->aggregates;
    for (size_t i = 0; i < append->event_count; i++) {
        struct overlay_head *head = &deciding->overlay->heads[deciding->notes[places[i]].head_plus_1 - 1];
        assert(head->staged_by == place);
        head->now = head->staged;
    }
}

/* The ids go under the append that is entered next. */
static bool keep_ids(struct deciding *deciding, const struct commit_append *accepted)
{
    struct overlay *overlay = deciding->overlay;
    const uint32_t *places = deciding_names(deciding)->ids;
    const uint64_t *hashes = deciding->input->names->event_id_hashes;
    for (size_t i = 0; i < accepted->count; i++) {
        const struct bytes id = accepted->fields[i].id;
        if (!overlay_add_id(overlay, id, places != NULL ? hashes[places[i]] : overlay_hash_id(overlay, id)))
            return false;
    }
    return true;
}

static struct status accept(struct deciding *deciding, const struct append *append, size_t place,
                            const struct landing *landing, struct append_outcome *outcome)
{
    struct overlay *overlay = deciding->overlay;
    const int64_t now_us = deciding->input->now_us;
    const int64_t timestamp_us =
        now_us > overlay->head.timestamp_us ? now_us : overlay->head.timestamp_us + 1;
    const size_t bytes_before = deciding->record_bytes;
    struct commit_append accepted = {0};
    STATUS_TRY(encode(deciding, append, landing, timestamp_us, &accepted));
    assert(accepted.fields != NULL);
    outcome->kind = APPEND_ACCEPTED;
    outcome->append_id = accepted.fields[0].append_id;
    outcome->first_position = accepted.first_position;
    outcome->timestamp_us = timestamp_us;
    outcome->records = accepted.records;
    outcome->record_count = accepted.count;
    STATUS_TRY(decide_heads(deciding, accepted.fields, accepted.count, outcome));
    if (append->validate_only) {
        deciding->record_bytes = bytes_before;
        return status_ok();
    }
    if (!keep_ids(deciding, &accepted))
        return decide_no_memory();
    accepted.aggregate_count_after = overlay->head.aggregate_count + landing->new_aggregates;
    overlay->appends[overlay->append_count++] = accepted;
    keep_staged(deciding, append, place);
    overlay->head.position += (int64_t)accepted.count;
    overlay->head.timestamp_us = timestamp_us;
    overlay->head.chain = accepted.chain_after;
    overlay->head.aggregate_count = accepted.aggregate_count_after;
    deciding->record_count += accepted.count;
    return status_ok();
}

/* A damaged record refuses who names its aggregate, and nobody else. */
static struct status check_readable(const struct deciding *deciding, const struct append *append)
{
    const uint32_t *places = deciding_names(deciding)->aggregates;
    const size_t count = append->event_count + append->expectation_count + append->verdict_count;
    for (size_t i = 0; i < count; i++) {
        const struct aggregate_head *head = &deciding->input->facts->heads[places[i]];
        if (head->unreadable != NULL)
            return *head->unreadable;
    }
    return status_ok();
}

static struct status decide_one(struct deciding *deciding, size_t place, struct append_outcome *outcome)
{
    const struct append *append = deciding->input->appends[place];
    bool settled = false;
    *outcome = (struct append_outcome){.status = status_ok()};
    struct landing landing = {0};
    bool revalidate = false;
    struct status status = decide_ids(deciding, append, outcome, &settled);
    if (status.code == STATUS_OK && settled)
        return status_ok();
    if (status.code == STATUS_OK)
        status = check_readable(deciding, append);
    if (status.code == STATUS_OK)
        status = decide_rules(deciding, append, place, &landing, &revalidate);
    if (status.code == STATUS_RESOURCE_EXHAUSTED && status.reason == STATUS_REASON_NONE)
        return status; /* want of memory alone is not about this append */
    if (status.code != STATUS_OK) {
        const bool nameless = status.reason == REASON_INVALID_FIELD;
        *outcome = (struct append_outcome){.kind = APPEND_REFUSED,
                                           .status = status,
                                           .faulty_event = nameless ? landing.type_fault_event : 0};
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
    const struct facts_request *request = &deciding->input->names->request;
    deciding->notes = arena_array(deciding->arena, request->aggregate_count, sizeof *deciding->notes);
    deciding->id_named_by =
        arena_array(deciding->arena, request->event_id_count, sizeof *deciding->id_named_by);
    if (deciding->notes == NULL || deciding->id_named_by == NULL)
        return decide_no_memory();
    for (size_t i = 0; i < deciding->input->append_count; i++) {
        deciding->turn = i + 1;
        STATUS_TRY(decide_one(deciding, i, &outcomes[i]));
    }
    return status_ok();
}

struct status decide(const struct decide_input *input, struct arena *arena, struct decision *ret)
{
    size_t event_count = 0;
    for (size_t i = 0; i < input->append_count; i++)
        event_count += input->appends[i]->event_count;
    CLEANUP(overlay_free_at)
    struct overlay *overlay =
        overlay_new(input->names->seed, input->names->request.aggregate_count, event_count);
    struct append_outcome *outcomes = arena_array(arena, input->append_count, sizeof *outcomes);
    if (overlay == NULL || outcomes == NULL)
        return decide_no_memory();
    overlay->appends = arena_array(arena, input->append_count, sizeof *overlay->appends);
    if (overlay->appends == NULL)
        return decide_no_memory();
    overlay->head = input->facts->head;
    if (input->in_flight != NULL && input->in_flight->head.position > overlay->head.position)
        overlay->head = input->in_flight->head;
    const struct store_head before = overlay->head;
    struct deciding deciding = {.input = input, .arena = arena, .overlay = overlay};
    STATUS_TRY(decide_all(&deciding, outcomes));
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
