#include "decide_internal.h"

#include "base/crypto.h"

struct earlier {
    const struct record *records;
    size_t count;
    bool in_flight;                  /* its records go away with the batch before */
    const struct status *unreadable; /* NULL, or why there are no records though the id is used */
};

static struct earlier find_earlier(const struct deciding *deciding, uint32_t place)
{
    const struct decide_input *input = deciding->input;
    const struct bytes event_id = input->names->request.event_ids[place];
    const uint64_t hash = input->names->event_id_hashes[place];
    const struct commit_append *own = overlay_find_id(deciding->overlay, event_id, hash);
    if (own != NULL)
        return (struct earlier){own->records, own->count, false, NULL};
    const struct commit_append *flying =
        input->in_flight == NULL ? NULL : overlay_find_id(input->in_flight, event_id, hash);
    if (flying != NULL)
        return (struct earlier){flying->records, flying->count, true, NULL};
    const struct earlier_append *known = &input->facts->earlier[place];
    return (struct earlier){known->records, known->count, false, known->unreadable};
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
           (event->aggregate_type.size_bytes == 0 ||
            bytes_equal(event->aggregate_type, stored->aggregate_type)) &&
           bytes_equal(event->correlation_id, stored->correlation_id) &&
           bytes_equal(event->causation_id, stored->causation_id) &&
           bytes_equal(event->content_type, stored->content_type) &&
           event->schema_version == stored->schema_version && same_tags(event, stored) &&
           bytes_equal(event->subject, stored->subject) &&
           event->has_occurred_at == stored->has_occurred_at &&
           event->occurred_at_us == stored->occurred_at_us &&
           bytes_equal(bytes_of(digest.bytes, sizeof digest.bytes), stored->payload_digest);
}

/* Who gave a key has never seen the ids that follow from it. */
static struct status id_used(const struct append *append, size_t index, const char *how)
{
    const struct bytes id = append->events[index].id;
    if (!bytes_equal(append->append_id, append->events[0].id))
        return status_reason(
            REASON_EVENT_ID_USED,
            "event id \"%.*s\", which follows from the append_id (Idempotency-Key) \"%.*s\", is recorded "
            "already%s; give a new append a new key, or repeat the first exactly as it was to get its answer",
            BYTES_FORMAT(id), BYTES_FORMAT(append->append_id), how);
    return status_reason(
        REASON_EVENT_ID_USED,
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
        return decide_no_memory();
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
        return decide_no_memory();
    for (size_t i = 0; i < earlier->count; i++) {
        copies[i] = earlier->records[i];
        copies[i].bytes = arena_bytes(deciding->arena, earlier->records[i].bytes);
        if (copies[i].bytes.data == NULL)
            return decide_no_memory();
    }
    *ret = copies;
    return status_ok();
}

struct status decide_heads(struct deciding *deciding, const struct event_fields *fields, size_t count,
                           struct append_outcome *outcome)
{
    const uint32_t *places = deciding_names(deciding)->aggregates;
    struct aggregate_head_change *heads = arena_alloc(deciding->arena, count * sizeof *heads);
    size_t head_count = 0;
    if (heads == NULL)
        return decide_no_memory();
    for (size_t i = 0; i < count; i++) {
        struct aggregate_notes *notes = &deciding->notes[places[i]];
        if (notes->changed_turn != deciding->turn) {
            notes->changed_turn = deciding->turn;
            notes->change = (uint32_t)head_count++;
        }
        heads[notes->change] = (struct aggregate_head_change){
            fields[i].aggregate_id, fields[i].aggregate_type, fields[i].version, fields[i].position};
    }
    outcome->heads = heads;
    outcome->head_count = head_count;
    return status_ok();
}

static struct status replay(struct deciding *deciding, const struct append *append,
                            const struct earlier *earlier, struct append_outcome *outcome)
{
    if (earlier->unreadable != NULL)
        return *earlier->unreadable;
    const struct record *records = NULL;
    STATUS_TRY(keep_records(deciding, earlier, &records));
    const struct earlier kept = {records, earlier->count, false, NULL};
    struct event_fields *fields = NULL;
    STATUS_TRY(decode_earlier(deciding, &kept, &fields));
    for (size_t i = 0; i < earlier->count; i++) {
        if (fields[i].salt.size_bytes == RECORD_SALT_BYTES)
            continue;
        outcome->kind = APPEND_REFUSED;
        outcome->status =
            status_reason(REASON_EVENT_ERASED,
                          "event id \"%.*s\" is recorded already and its payload is erased, so a "
                          "repetition cannot be told from another event; use a new id",
                          BYTES_FORMAT(fields[i].id));
        return status_ok();
    }
    bool same = append->event_count == earlier->count;
    for (size_t i = 0; same && i < earlier->count; i++)
        same = same_content(&append->events[i], &fields[i]);
    if (!same) {
        outcome->kind = APPEND_REFUSED;
        outcome->status = id_used(append, 0, " with other content");
        return status_ok();
    }
    outcome->kind = APPEND_REPLAYED;
    outcome->append_id = fields[0].append_id;
    outcome->first_position = fields[0].position;
    outcome->timestamp_us = fields[0].timestamp_us;
    outcome->records = records;
    outcome->record_count = earlier->count;
    return decide_heads(deciding, fields, earlier->count, outcome);
}

/* Whether the append that is looked at has named the id before; from now on it has. */
static bool repeats_an_id(struct deciding *deciding, uint32_t place)
{
    const bool repeated = deciding->id_named_by[place] == deciding->turn;
    deciding->id_named_by[place] = deciding->turn;
    return repeated;
}

/* True when the ids settle the append: replayed or refused. */
struct status decide_ids(struct deciding *deciding, const struct append *append,
                         struct append_outcome *outcome, bool *ret_settled)
{
    *ret_settled = false;
    const uint32_t *places = deciding_names(deciding)->ids;
    if (places == NULL)
        return status_ok();
    for (size_t i = 0; i < append->event_count; i++) {
        const struct earlier earlier = find_earlier(deciding, places[i]);
        const bool used = earlier.count > 0 || earlier.unreadable != NULL;
        if (!used && !repeats_an_id(deciding, places[i]))
            continue;
        *ret_settled = true;
        if (i == 0)
            return replay(deciding, append, &earlier, outcome);
        outcome->kind = APPEND_REFUSED;
        outcome->status = id_used(append, i, used ? "" : " by this very append");
        return status_ok();
    }
    return status_ok();
}
