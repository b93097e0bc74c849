#include "store/decide.h"

#include <assert.h>
#include <string.h>

#include "base/entropy.h"
#include "decide_internal.h"

/* --- what is known --- */

uint32_t decide_find_place(const struct hash_table *table, const struct bytes *items, struct bytes wanted)
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
struct overlay_head *decide_head_of(struct deciding *deciding, struct bytes aggregate_id)
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
            decide_find_place(&deciding->facts_by_aggregate, input->request->aggregate_ids, aggregate_id);
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

/* --- acceptance --- */

static struct event_fields fields_of(const struct append *append, size_t place, int32_t version,
                                     struct bytes type, int64_t position, int64_t timestamp_us)
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
static struct status encode(struct deciding *deciding, const struct append *append,
                            const struct landing *landing, int64_t timestamp_us, struct commit_append *ret)
{
    struct record *records = arena_array(deciding->arena, append->event_count, sizeof *records);
    struct event_fields *views = arena_array(deciding->arena, append->event_count, sizeof *views);
    struct sha256 *leaves = arena_array(deciding->arena, append->event_count, sizeof *leaves);
    if (records == NULL || views == NULL || leaves == NULL)
        return decide_no_memory();
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
            return decide_no_memory();
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
    overlay->appends[overlay->append_count] = accepted;
    if (!overlay_add_ids(overlay, &overlay->appends[overlay->append_count]))
        return decide_no_memory();
    overlay->append_count++;
    keep_staged(deciding, append, place);
    overlay->head.position += (int64_t)accepted.count;
    overlay->head.timestamp_us = timestamp_us;
    overlay->head.chain = accepted.chain_after;
    overlay->head.aggregate_count += landing->new_aggregates;
    deciding->record_count += accepted.count;
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
        status = decide_rules(deciding, append, place, &landing, &revalidate);
    if (status.code == STATUS_RESOURCE_EXHAUSTED && status.reason == STATUS_REASON_NONE)
        return status; /* want of memory alone is not about this append */
    if (status.code != STATUS_OK) {
        *outcome = (struct append_outcome){.kind = APPEND_REFUSED, .status = status};
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
        return decide_no_memory();
    deciding->id_named_by =
        arena_array(deciding->arena, request->event_id_count, sizeof *deciding->id_named_by);
    if (deciding->id_named_by == NULL)
        return decide_no_memory();
    for (size_t i = 0; i < deciding->input->append_count; i++) {
        deciding->turn = i + 1;
        STATUS_TRY(decide_one(deciding, i, &outcomes[i]));
    }
    return status_ok();
}

struct status decide(const struct decide_input *input, struct arena *arena, struct decision *ret)
{
    uint64_t seed = 0;
    entropy_fill(input->entropy, &seed, sizeof seed);
    CLEANUP(overlay_free_at) struct overlay *overlay = overlay_seeded(seed);
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
    struct deciding deciding = {.input = input,
                                .arena = arena,
                                .overlay = overlay,
                                .seed = seed,
                                .facts_by_aggregate = hash_table_make(seed),
                                .facts_by_id = hash_table_make(seed)};
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
