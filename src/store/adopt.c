#include "store/adopt.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/text.h"
#include "store/append.h"
#include "store/hash_table.h"

/* Ids, types, tags and the digest are at most so much of a header; what a record may have beside its payload. */
#define HEADER_MAX_BYTES ((size_t)16 * 1024)

/* An aggregate that the batch names: as the store knows it, then as the records move it. */
struct moving_head {
    struct bytes id;
    struct bytes type;
    bool exists;
    int32_t version;
};

struct adoption {
    struct event_store *store;
    struct arena *arena;
    size_t count;
    struct record *records;
    struct event_fields *fields;
    struct sha256 *leaves;
    struct commit_append *appends;
    size_t append_count;
    struct hash_table aggregates_by_id; /* to places in `heads` */
    struct hash_table ids;              /* to places in `records` */
    struct moving_head *heads;
    size_t head_count;
    size_t record_bytes;
    struct store_head before;
    struct store_head after; /* moves with each append that was checked */
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to adopt records");
}

/* "position 17: what"; a macro so that the format is checked. */
#define REFUSE(code, fields, format, ...)                                                                    \
    status_error(code, "position %" PRId64 ": " format, (fields)->position, __VA_ARGS__)
#define DAMAGED(fields, format, ...)                                                                         \
    status_reason(REASON_DAMAGED, "position %" PRId64 ": " format, (fields)->position, __VA_ARGS__)

/* --- each record by itself --- */

/* Moves `at` over one length-delimited field of the payload, written as record_encode writes it; 0 = it is not there. */
static size_t payload_field(struct bytes payload, size_t at, uint32_t number, struct bytes content)
{
    uint8_t start[12];
    size_t size = 0;
    if (content.size_bytes == 0)
        return at;
    for (uint64_t value = (uint64_t)number << 3 | 2; size == 0 || value > 0; value >>= 7)
        start[size++] = (uint8_t)(value & 0x7F) | (value > 0x7F ? 0x80 : 0);
    for (uint64_t value = content.size_bytes; value > 0; value >>= 7)
        start[size++] = (uint8_t)(value & 0x7F) | (value > 0x7F ? 0x80 : 0);
    if (payload.size_bytes - at < size + content.size_bytes || memcmp(payload.data + at, start, size) != 0 ||
        memcmp(payload.data + at + size, content.data, content.size_bytes) != 0)
        return 0;
    return at + size + content.size_bytes;
}

/* The digest covers data, metadata and salt; anything else in a payload would stand there unproved. */
static bool payload_is_plain(struct record record, const struct event_fields *fields)
{
    const struct bytes payload = record_payload(record);
    size_t at = payload_field(payload, 0, 30, fields->data);
    at = payload_field(payload, at, 31, fields->metadata);
    at = payload_field(payload, at, 32, fields->salt);
    return at == payload.size_bytes;
}

static struct status check_texts(const struct event_fields *fields)
{
    const enum id_rule optional = (enum id_rule)(ID_OPTIONAL | ID_SYSTEM_ALLOWED);
    STATUS_TRY(id_check("id", fields->id, ID_SYSTEM_ALLOWED));
    STATUS_TRY(id_check("type", fields->type, ID_SYSTEM_ALLOWED));
    STATUS_TRY(id_check("aggregate_id", fields->aggregate_id, ID_SYSTEM_ALLOWED));
    STATUS_TRY(id_check("aggregate_type", fields->aggregate_type, ID_SYSTEM_ALLOWED));
    STATUS_TRY(id_check("append_id", fields->append_id, ID_SYSTEM_ALLOWED));
    STATUS_TRY(id_check("correlation_id", fields->correlation_id, optional));
    STATUS_TRY(id_check("causation_id", fields->causation_id, optional));
    STATUS_TRY(id_check("subject", fields->subject, optional));
    for (size_t i = 0; i < fields->tag_count; i++)
        STATUS_TRY(id_check("tags", fields->tags[i], ID_SYSTEM_ALLOWED));
    if (!utf8_is_valid(fields->content_type) || !utf8_is_valid(fields->traceparent) ||
        !utf8_is_valid(fields->actor))
        return status_error(STATUS_DATA_LOSS, "content_type, traceparent or actor is not UTF-8");
    return status_ok();
}

static struct status check_record(struct record record, const struct event_fields *fields)
{
    const struct status texts = check_texts(fields);
    if (texts.code != STATUS_OK)
        return DAMAGED(fields, "%s", texts.message);
    if (record.header_bytes > HEADER_MAX_BYTES)
        return DAMAGED(fields, "the header has %zu bytes", record.header_bytes);
    if (fields->data.size_bytes + fields->metadata.size_bytes > EVENT_DATA_MAX)
        return DAMAGED(fields, "data and metadata have %zu bytes and %zu is the most",
                       fields->data.size_bytes + fields->metadata.size_bytes, EVENT_DATA_MAX);
    if (fields->timestamp_us <= 0 || fields->timestamp_us > TIME_MAX_US)
        return DAMAGED(fields, "the timestamp %" PRId64 " us is no time", fields->timestamp_us);
    if (fields->has_occurred_at &&
        (fields->occurred_at_us < TIME_MIN_US || fields->occurred_at_us > TIME_MAX_US))
        return DAMAGED(fields, "occurred_at %" PRId64 " us is no time", fields->occurred_at_us);
    if (fields->salt.size_bytes != RECORD_SALT_BYTES)
        return DAMAGED(fields, "the salt has %zu bytes", fields->salt.size_bytes);
    if (!payload_is_plain(record, fields))
        return DAMAGED(fields, "%s", "the payload holds more than data, metadata and salt");
    const struct sha256 digest = record_payload_digest(fields->salt, fields->data, fields->metadata);
    if (!bytes_equal(fields->payload_digest, bytes_of(digest.bytes, sizeof digest.bytes)))
        return DAMAGED(fields, "%s", "the payload does not have the digest in the header");
    return status_ok();
}

static struct status take_records(struct adoption *adoption, const struct bytes *bytes)
{
    for (size_t i = 0; i < adoption->count; i++) {
        struct event_fields *fields = &adoption->fields[i];
        const int64_t expected = adoption->before.position + 1 + (int64_t)i;
        struct status status = record_split(bytes[i], &adoption->records[i]);
        if (status.code == STATUS_OK)
            status = record_decode(adoption->records[i], fields);
        if (status.code != STATUS_OK)
            return status_prefix(status, "position %" PRId64, expected);
        if (fields->position != expected)
            return REFUSE(STATUS_FAILED_PRECONDITION, fields,
                          "position %" PRId64 " comes next in this store; nothing of the batch was kept",
                          expected);
        STATUS_TRY(check_record(adoption->records[i], fields));
        adoption->leaves[i] = record_leaf(adoption->records[i]);
        adoption->record_bytes += bytes[i].size_bytes;
    }
    return status_ok();
}

/* --- the records as appends --- */

static struct status check_append_member(const struct event_fields *first, const struct event_fields *fields,
                                         int32_t index)
{
    if (fields->append_index != index || fields->append_count != first->append_count)
        return REFUSE(
            STATUS_FAILED_PRECONDITION, fields,
            "it is event %d of %d of its append where event %d of %d comes next; appends come whole",
            fields->append_index, fields->append_count, index, first->append_count);
    if (!bytes_equal(fields->append_id, first->append_id))
        return REFUSE(STATUS_FAILED_PRECONDITION, fields,
                      "its append is \"%.*s\" and the one begun is \"%.*s\"; appends come whole",
                      BYTES_FORMAT(fields->append_id), BYTES_FORMAT(first->append_id));
    if (fields->timestamp_us != first->timestamp_us)
        return REFUSE(STATUS_FAILED_PRECONDITION, fields,
                      "its time %" PRId64 " us is not that of its append, %" PRId64 " us",
                      fields->timestamp_us, first->timestamp_us);
    return status_ok();
}

/* The append that begins at `place`: whole, later than what came before; the chain moves over it. */
static struct status take_append(struct adoption *adoption, size_t place, size_t *ret_count)
{
    const struct event_fields *first = &adoption->fields[place];
    struct store_head *head = &adoption->after;
    if (first->append_count < 1 || first->append_count > (int32_t)APPEND_EVENTS_MAX)
        return REFUSE(STATUS_FAILED_PRECONDITION, first, "its append has %d events; 1 to %u are possible",
                      first->append_count, APPEND_EVENTS_MAX);
    if (first->timestamp_us <= head->timestamp_us)
        return REFUSE(STATUS_FAILED_PRECONDITION, first,
                      "its time %" PRId64 " us is not after that of the append before it, %" PRId64 " us",
                      first->timestamp_us, head->timestamp_us);
    const size_t count = (size_t)first->append_count;
    size_t payload_bytes = 0;
    for (size_t i = 0; i < count && place + i < adoption->count; i++) {
        const struct event_fields *fields = &adoption->fields[place + i];
        STATUS_TRY(check_append_member(first, fields, (int32_t)i));
        payload_bytes += fields->data.size_bytes + fields->metadata.size_bytes;
    }
    if (count > adoption->count - place)
        return REFUSE(STATUS_FAILED_PRECONDITION, first,
                      "its append has %zu events and %zu are here; appends come whole", count,
                      adoption->count - place);
    if (payload_bytes > APPEND_BYTES_MAX)
        return REFUSE(STATUS_FAILED_PRECONDITION, first, "its append has %zu bytes and %zu is the most",
                      payload_bytes, APPEND_BYTES_MAX);
    head->chain = chain_next(&head->chain, first->position, &adoption->leaves[place], count);
    head->position += (int64_t)count;
    head->timestamp_us = first->timestamp_us;
    adoption->appends[adoption->append_count++] = (struct commit_append){
        .first_position = first->position,
        .records = &adoption->records[place],
        .fields = &adoption->fields[place],
        .count = count,
        .chain_after = head->chain,
    };
    *ret_count = count;
    return status_ok();
}

static struct status take_appends(struct adoption *adoption)
{
    size_t count = 0;
    for (size_t place = 0; place < adoption->count; place += count)
        STATUS_TRY(take_append(adoption, place, &count));
    return status_ok();
}

/* --- what the store knows --- */

static struct moving_head *find_head(const struct adoption *adoption, struct bytes aggregate_id)
{
    const uint64_t hash = hash_table_hash(&adoption->aggregates_by_id, aggregate_id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&adoption->aggregates_by_id, hash, &state)) != HASH_NONE)
        if (bytes_equal(adoption->heads[at].id, aggregate_id))
            return &adoption->heads[at];
    return NULL;
}

static struct status name_aggregate(struct adoption *adoption, struct bytes id)
{
    if (find_head(adoption, id) != NULL)
        return status_ok();
    if (!hash_table_add(&adoption->aggregates_by_id, hash_table_hash(&adoption->aggregates_by_id, id),
                        (uint32_t)adoption->head_count))
        return no_memory();
    adoption->heads[adoption->head_count++] = (struct moving_head){.id = id};
    return status_ok();
}

static struct status used_id(const struct event_fields *fields)
{
    return status_reason(REASON_EVENT_ID_USED,
                         "position %" PRId64 ": the event id \"%.*s\" is used by another event",
                         fields->position, BYTES_FORMAT(fields->id));
}

static struct status name_id(struct adoption *adoption, size_t place)
{
    const struct bytes id = adoption->fields[place].id;
    const uint64_t hash = hash_table_hash(&adoption->ids, id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&adoption->ids, hash, &state)) != HASH_NONE)
        if (bytes_equal(adoption->fields[at].id, id))
            return used_id(&adoption->fields[place]);
    return hash_table_add(&adoption->ids, hash, (uint32_t)place) ? status_ok() : no_memory();
}

static struct status ask_facts(struct adoption *adoption)
{
    struct bytes *ids = arena_array(adoption->arena, adoption->count, sizeof *ids);
    struct bytes *aggregate_ids = arena_array(adoption->arena, adoption->count, sizeof *aggregate_ids);
    if (ids == NULL || aggregate_ids == NULL)
        return no_memory();
    for (size_t i = 0; i < adoption->count; i++) {
        STATUS_TRY(name_aggregate(adoption, adoption->fields[i].aggregate_id));
        STATUS_TRY(name_id(adoption, i));
        ids[i] = adoption->fields[i].id;
    }
    for (size_t i = 0; i < adoption->head_count; i++)
        aggregate_ids[i] = adoption->heads[i].id;
    const struct facts_request request = {aggregate_ids, adoption->head_count, ids, adoption->count};
    struct facts facts = {0};
    STATUS_TRY(adoption->store->ops->facts(adoption->store, &request, adoption->arena, &facts));
    if (facts.head.position !=
        adoption->before.position) /* the last batch of a process that was killed, maybe */
        return status_error(STATUS_ABORTED,
                            "position %" PRId64 " was next in this store and is written now: another process "
                            "writes there, or what one that was ended had sent has arrived; start again",
                            adoption->before.position + 1);
    for (size_t i = 0; i < adoption->head_count; i++) {
        adoption->heads[i].exists = facts.heads[i].exists;
        adoption->heads[i].type = facts.heads[i].type;
        adoption->heads[i].version = facts.heads[i].version;
    }
    for (size_t i = 0; i < adoption->count; i++)
        if (facts.earlier[i].count > 0 || facts.earlier[i].unreadable != NULL)
            return used_id(&adoption->fields[i]);
    return status_ok();
}

/* --- versions --- */

static struct status move_head(struct moving_head *head, const struct event_fields *fields,
                               int64_t *aggregate_count)
{
    const bool creation = bytes_equal(fields->type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED));
    if (head->exists && creation)
        return REFUSE(STATUS_FAILED_PRECONDITION, fields, "it creates \"%.*s\", which is at version %d",
                      BYTES_FORMAT(head->id), head->version);
    if (head->exists && !bytes_equal(head->type, fields->aggregate_type))
        return REFUSE(STATUS_FAILED_PRECONDITION, fields,
                      "it has \"%.*s\" as a \"%.*s\" and the aggregate is a \"%.*s\"", BYTES_FORMAT(head->id),
                      BYTES_FORMAT(fields->aggregate_type), BYTES_FORMAT(head->type));
    const int64_t expected = head->exists ? (int64_t)head->version + 1 : !creation;
    if (fields->version != expected)
        return REFUSE(STATUS_FAILED_PRECONDITION, fields,
                      "it is version %d of \"%.*s\" where %" PRId64 " comes next", fields->version,
                      BYTES_FORMAT(head->id), expected);
    *aggregate_count += !head->exists;
    head->exists = true;
    head->type = fields->aggregate_type;
    head->version = fields->version;
    return status_ok();
}

static struct status check_versions(struct adoption *adoption)
{
    for (size_t i = 0; i < adoption->count; i++) {
        const struct event_fields *fields = &adoption->fields[i];
        struct moving_head *head = find_head(adoption, fields->aggregate_id);
        STATUS_TRY(move_head(head, fields, &adoption->after.aggregate_count));
    }
    return status_ok();
}

/* --- the commit --- */

struct commit_answer {
    pthread_mutex_t lock; /* guards the two below; the engine answers from a thread of its own */
    pthread_cond_t came;
    bool here;
    struct status status;
};

static void take_answer(void *context, const struct status *status)
{
    struct commit_answer *answer = context;
    pthread_mutex_lock(&answer->lock);
    answer->status = *status;
    answer->here = true;
    pthread_cond_signal(&answer->came);
    pthread_mutex_unlock(&answer->lock);
}

static struct status commit(struct adoption *adoption)
{
    const struct commit_batch batch = {
        .before = adoption->before,
        .after = adoption->after,
        .appends = adoption->appends,
        .append_count = adoption->append_count,
        .record_count = adoption->count,
        .record_bytes = adoption->record_bytes,
    };
    struct commit_answer answer = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    adoption->store->ops->commit(adoption->store, &batch, take_answer, &answer);
    pthread_mutex_lock(&answer.lock);
    while (!answer.here) /* the engine promises one answer */
        pthread_cond_wait(&answer.came, &answer.lock);
    pthread_mutex_unlock(&answer.lock);
    return answer.status;
}

static struct status adopt(struct adoption *adoption, const struct bytes *records)
{
    STATUS_TRY(adoption->store->ops->head(adoption->store, &adoption->before));
    adoption->after = adoption->before;
    STATUS_TRY(take_records(adoption, records));
    STATUS_TRY(take_appends(adoption));
    STATUS_TRY(ask_facts(adoption));
    STATUS_TRY(check_versions(adoption));
    return commit(adoption);
}

struct status event_store_adopt(struct event_store *store, const struct bytes *records, size_t count,
                                const struct entropy *entropy, struct store_head *ret_head)
{
    if (count == 0 || count > ADOPT_RECORDS_MAX + APPEND_EVENTS_MAX)
        return status_error(STATUS_INVALID_ARGUMENT, "%zu records were given to adopt; give 1 to %u", count,
                            ADOPT_RECORDS_MAX + APPEND_EVENTS_MAX);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return no_memory();
    uint64_t seed = 0;
    entropy_fill(entropy, &seed, sizeof seed);
    struct adoption adoption = {
        .store = store,
        .arena = arena,
        .count = count,
        .records = arena_array(arena, count, sizeof *adoption.records),
        .fields = arena_array(arena, count, sizeof *adoption.fields),
        .leaves = arena_array(arena, count, sizeof *adoption.leaves),
        .appends = arena_array(arena, count, sizeof *adoption.appends),
        .heads = arena_array(arena, count, sizeof *adoption.heads),
        .aggregates_by_id = hash_table_make(seed),
        .ids = hash_table_make(seed),
    };
    struct status status = no_memory();
    if (adoption.records != NULL && adoption.fields != NULL && adoption.leaves != NULL &&
        adoption.appends != NULL && adoption.heads != NULL)
        status = adopt(&adoption, records);
    hash_table_done(&adoption.aggregates_by_id);
    hash_table_done(&adoption.ids);
    if (status.code == STATUS_OK)
        *ret_head = adoption.after;
    else if (store->ops->release != NULL)
        store->ops->release(store);
    return status;
}
