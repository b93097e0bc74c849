/*
 * Verifying the stored events while the store serves: all of them up to the head as it was at the start, in order.
 *
 * Everything is held against itself: the payload against its digest in the header, the headers by their leaves against the
 * chain, which must lead to the one that the store has beside its head. What a record names must be found again: its id at
 * its position, its version behind the one before. The last versions of aggregates are remembered in a table of fixed size;
 * what it has forgotten is asked of the store.
 *
 * The place (little-endian): u64 from · u64 to · chain at `to`, 32 bytes · u64 position · u64 timestamp · chain, 32 bytes:
 * where the last whole append that was read ends · u8 whether that chain is known.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "record/walk.h"
#include "service/operation_internal.h"

#define PLACE_BYTES     (4U * 8U + 2U * SHA256_BYTES + 1U)
#define SLICE_EVENTS    2048U /* more than an append has, so that each slice comes to an end of one */
#define SLICE_BYTES     ((size_t)8 * 1024 * 1024)
#define VERSION_SLOTS   131072U /* 3 MiB */
#define VERSIONS_LOOKED 3U
static_assert(SLICE_EVENTS > 1000, "or a verification could record no place");
static_assert(PLACE_BYTES <= OPERATION_PLACE_MAX_BYTES, "or a place has no room");

struct place {
    int64_t from;
    int64_t to;
    struct sha256 to_chain;
    struct walk_point at; /* everything up to here is good */
    bool chain_known;     /* at.chain is what the store should have there */
};

/* --- the place --- */

static size_t place_write(const struct place *place, uint8_t to[PLACE_BYTES])
{
    put_u64_le(to, (uint64_t)place->from);
    put_u64_le(to + 8, (uint64_t)place->to);
    memcpy(to + 16, place->to_chain.bytes, SHA256_BYTES);
    put_u64_le(to + 48, (uint64_t)place->at.position);
    put_u64_le(to + 56, (uint64_t)place->at.timestamp_us);
    memcpy(to + 64, place->at.chain.bytes, SHA256_BYTES);
    to[96] = place->chain_known;
    return PLACE_BYTES;
}

static bool place_read(struct bytes from, struct place *ret)
{
    if (from.size_bytes != PLACE_BYTES)
        return false;
    ret->from = (int64_t)get_u64_le(from.data);
    ret->to = (int64_t)get_u64_le(from.data + 8);
    memcpy(ret->to_chain.bytes, from.data + 16, SHA256_BYTES);
    ret->at.position = (int64_t)get_u64_le(from.data + 48);
    ret->at.timestamp_us = (int64_t)get_u64_le(from.data + 56);
    memcpy(ret->at.chain.bytes, from.data + 64, SHA256_BYTES);
    ret->chain_known = from.data[96] != 0;
    return true;
}

/* --- the request --- */

struct first_look {
    struct event_fields fields; /* only the numbers are of use afterwards */
    struct status status;
    bool found;
};

static bool take_first(void *context, int64_t position, struct record record)
{
    (void)position;
    struct first_look *look = context;
    look->status = record_decode_header(record, &look->fields);
    look->found = true;
    return false;
}

/* The chain has links from append to append, so it can only be followed from the first event of one. */
static struct status check_begins_append(struct service *service, int64_t position, struct faults *faults)
{
    struct event_store *store = service->parts.store;
    const struct read_query query = {.by = READ_BY_POSITION,
                                     .after_position = position - 1,
                                     .to_position = position,
                                     .to_version = INT32_MAX};
    struct first_look look = {.status = status_ok()};
    STATUS_TRY(store->ops->read(store, &query, take_first, &look));
    STATUS_TRY(look.status);
    if (!look.found)
        return status_position_missing(position);
    if (look.fields.append_index != 0)
        faults_add(faults, "verify.from_position",
                   status_reason(REASON_INVALID_FIELD,
                                 "verify.from_position is %" PRId64
                                 ", inside of an append that begins at %" PRId64 "; give that",
                                 position, position - look.fields.append_index));
    return status_ok();
}

static void check_fields(const Strata__V1__Verify *verify, int64_t head, struct faults *faults)
{
    if (verify->from_position < 0 || verify->from_position > head + 1)
        faults_add(faults, "verify.from_position",
                   status_reason(REASON_INVALID_FIELD,
                                 "verify.from_position is %" PRId64 " and the head is %" PRId64
                                 "; give 1 to %" PRId64 ", or leave it out to begin at 1",
                                 verify->from_position, head, head + 1));
    if (verify->trusted_checkpoint.len == 0)
        return;
    if (verify->trusted_checkpoint.len != SHA256_BYTES)
        faults_add(
            faults, "verify.trusted_checkpoint",
            status_reason(REASON_INVALID_FIELD,
                          "verify.trusted_checkpoint has %zu bytes; a chain has %u: take `chain` of an "
                          "earlier verification",
                          verify->trusted_checkpoint.len, SHA256_BYTES));
    else if (verify->from_position <= 1)
        faults_add(
            faults, "verify.trusted_checkpoint",
            status_reason(REASON_INVALID_FIELD,
                          "verify.trusted_checkpoint is given and the chain begins at position 1; give "
                          "verify.from_position too, or leave it out"));
}

static struct status verify_plan(struct service *service, const Strata__V1__StartOperationRequest *request,
                                 bool exactly, struct faults *faults, struct operation_plan *ret)
{
    (void)exactly;
    const Strata__V1__Verify *verify = request->verify;
    struct store_head head = {0};
    STATUS_TRY(service->parts.store->ops->head(service->parts.store, &head));
    check_fields(verify, head.position, faults);
    if (faults->count > 0)
        return status_ok();
    const int64_t from = verify->from_position > 1 ? verify->from_position : 1;
    if (from > 1 && from <= head.position)
        STATUS_TRY(check_begins_append(service, from, faults));
    struct place place = {.from = from,
                          .to = head.position,
                          .to_chain = head.chain,
                          .at = {.position = from - 1},
                          .chain_known = from == 1 || verify->trusted_checkpoint.len > 0};
    if (verify->trusted_checkpoint.len > 0)
        memcpy(place.at.chain.bytes, verify->trusted_checkpoint.data, SHA256_BYTES);
    ret->total = place.to - place.at.position;
    ret->place_bytes = place_write(&place, ret->place);
    if (ret->total == 0)
        (void)snprintf(ret->message, sizeof ret->message, "nothing to read: the head is %" PRId64, place.to);
    else
        (void)snprintf(ret->message, sizeof ret->message,
                       "reads the events from position %" PRId64 " to %" PRId64, place.from,
                       place.to); /* both always fit */
    return status_ok();
}

/* --- versions --- */

/* The last version of an aggregate; another aggregate in the same slot makes it forgotten. */
struct version_slot {
    uint64_t id_low; /* both 0 = nothing known */
    uint64_t id_high;
    int32_t version;
};

/* What is looked up when the read of a slice is over: no engine has to bear a read inside of a read. */
struct look_up {
    struct bytes event_id;
    struct bytes aggregate_id; /* empty = the table knew the version before */
    int64_t position;
    int32_t version;
};

struct verification {
    struct operation_task *task;
    struct service *service;
    struct place place;
    struct record_walk walk;
    struct version_slot *versions;
    uint64_t seed;
    struct arena *ids; /* of the slice */
    struct look_up *look_ups;
    size_t count; /* of the slice */
    size_t size_bytes;
    struct status status; /* of the sink */
};

static struct status damaged(int64_t position, const char *what)
{
    return status_reason(REASON_DAMAGED,
                         "the event at position %" PRId64 " %s; restore the store from a backup", position,
                         what);
}

/* Whether the table shows that the version is right; false = it does not know the aggregate. */
static struct status version_known(struct verification *verification, const struct event_fields *fields,
                                   bool *ret)
{
    const XXH128_hash_t hash =
        XXH3_128bits_withSeed(fields->aggregate_id.data, fields->aggregate_id.size_bytes, verification->seed);
    struct version_slot *slot = &verification->versions[hash.low64 % VERSION_SLOTS];
    *ret = slot->id_low == hash.low64 && slot->id_high == hash.high64;
    if (*ret && fields->version != slot->version + 1)
        return status_reason(
            REASON_DAMAGED,
            "the event at position %" PRId64 " has version %d of aggregate \"%.*s\" where %d "
            "comes next; restore the store from a backup",
            fields->position, fields->version, BYTES_FORMAT(fields->aggregate_id), slot->version + 1);
    *slot = (struct version_slot){hash.low64, hash.high64, fields->version};
    return status_ok();
}

struct versions_seen {
    int64_t positions[VERSIONS_LOOKED];
    int32_t versions[VERSIONS_LOOKED];
    size_t count;
    struct status status;
};

static bool take_version(void *context, int64_t position, struct record record)
{
    struct versions_seen *seen = context;
    struct event_fields fields;
    seen->status = record_decode_header(record, &fields);
    seen->positions[seen->count] = position;
    seen->versions[seen->count] = fields.version;
    seen->count++;
    return status_is_ok(&seen->status) && seen->count < VERSIONS_LOOKED;
}

/*
 * The store must have the version once, here, and the one before it earlier; a first event has version 0 (created) or 1.
 * What lies before the part that is verified is not read: it is trusted, or known to be damaged.
 */
static struct status check_version(struct verification *verification, const struct look_up *look_up)
{
    struct event_store *store = verification->service->parts.store;
    const struct read_query query = {
        .by = READ_BY_AGGREGATE,
        .key = look_up->aggregate_id,
        .after_position = verification->place.from - 1,
        .from_version = look_up->version > 0 ? look_up->version - 1 : 0,
        .to_version = look_up->version,
    };
    struct versions_seen seen = {.status = status_ok()};
    STATUS_TRY(store->ops->read(store, &query, take_version, &seen));
    STATUS_TRY(seen.status);
    const bool here = seen.count > 0 && seen.versions[seen.count - 1] == look_up->version &&
                      seen.positions[seen.count - 1] == look_up->position;
    const bool before =
        seen.count == 2 && seen.versions[0] == look_up->version - 1 && seen.positions[0] < look_up->position;
    const bool first = seen.count == 1 && (look_up->version <= 1 || verification->place.from > 1);
    if (here && (before || first))
        return status_ok();
    return status_reason(REASON_DAMAGED,
                         "the event at position %" PRId64
                         " has version %d of aggregate \"%.*s\", which does not "
                         "follow on those that the store finds; restore the store from a backup, or let the "
                         "index be built anew",
                         look_up->position, look_up->version, BYTES_FORMAT(look_up->aggregate_id));
}

static struct status check_id(struct verification *verification, const struct look_up *look_up)
{
    struct event_store *store = verification->service->parts.store;
    int64_t found = 0;
    STATUS_TRY(store->ops->find_id(store, look_up->event_id, &found));
    if (found == look_up->position)
        return status_ok();
    if (found == 0)
        return damaged(look_up->position, "is not found by its id: the index is wrong, let it be built anew");
    return status_reason(REASON_DAMAGED,
                         "the events at positions %" PRId64 " and %" PRId64
                         " have the same id, or the index is wrong; restore the store from a backup",
                         found, look_up->position);
}

/* --- reading --- */

static struct status check_record(struct verification *verification, int64_t position, struct record record)
{
    struct event_fields fields;
    const struct status readable = record_decode_header(record, &fields);
    if (!status_is_ok(&readable))
        return status_prefix(readable, "position %" PRId64, position);
    STATUS_TRY(record_walk_take(&verification->walk, record, &fields));
    STATUS_TRY(record_check_digest(record));
    const bool created = bytes_equal(fields.type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED));
    if (fields.version < 0 || created != (fields.version == 0))
        return damaged(position, "has a version that its type cannot have");
    bool known = false;
    STATUS_TRY(version_known(verification, &fields, &known));
    struct look_up *look_up = &verification->look_ups[verification->count];
    *look_up = (struct look_up){.event_id = arena_bytes(verification->ids, fields.id),
                                .position = position,
                                .version = fields.version};
    if (!known)
        look_up->aggregate_id = arena_bytes(verification->ids, fields.aggregate_id);
    if (look_up->event_id.data == NULL || (!known && look_up->aggregate_id.data == NULL))
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a verification");
    verification->count++;
    verification->size_bytes += record.bytes.size_bytes;
    if (record_walk_is_whole(&verification->walk))
        verification->place.at = verification->walk.at;
    return status_ok();
}

static bool take_record(void *context, int64_t position, struct record record)
{
    struct verification *verification = context;
    if (!operation_goes_on(verification->task))
        verification->status = operation_stopped();
    else
        verification->status = check_record(verification, position, record);
    return status_is_ok(&verification->status) && verification->count < SLICE_EVENTS &&
           verification->size_bytes < SLICE_BYTES;
}

static struct status check_look_ups(struct verification *verification)
{
    for (size_t i = 0; i < verification->count; i++) {
        const struct look_up *look_up = &verification->look_ups[i];
        if (!operation_goes_on(verification->task))
            return operation_stopped();
        STATUS_TRY(check_id(verification, look_up));
        if (look_up->aggregate_id.size_bytes > 0)
            STATUS_TRY(check_version(verification, look_up));
    }
    return status_ok();
}

static void say_moved(struct verification *verification)
{
    const struct place *place = &verification->place;
    uint8_t bytes[PLACE_BYTES];
    operation_moved(verification->task, place->at.position - place->from + 1,
                    bytes_of(bytes, place_write(place, bytes)));
}

static struct status read_slice(struct verification *verification)
{
    struct event_store *store = verification->service->parts.store;
    const int64_t after = verification->walk.at.position;
    const struct read_query query = {.by = READ_BY_POSITION,
                                     .after_position = after,
                                     .to_position = verification->place.to,
                                     .to_version = INT32_MAX};
    arena_reset(verification->ids);
    verification->count = 0;
    verification->size_bytes = 0;
    verification->status = status_ok();
    STATUS_TRY(store->ops->read(store, &query, take_record, verification));
    STATUS_TRY(verification->status);
    if (verification->count == 0)
        return status_position_missing(after + 1);
    STATUS_TRY(check_look_ups(verification));
    say_moved(verification);
    return status_ok();
}

/* --- the whole --- */

static void hex_of(const struct sha256 *hash, char ret[2 * SHA256_BYTES + 1])
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", hash->bytes[i]);
}

static struct status check_end(struct verification *verification)
{
    const struct place *place = &verification->place;
    char counted[2 * SHA256_BYTES + 1];
    char stored[2 * SHA256_BYTES + 1];
    hex_of(&place->at.chain, counted);
    hex_of(&place->to_chain, stored);
    if (!record_walk_is_whole(&verification->walk))
        return damaged(place->to, "is not the last of its append, and none follows");
    if (place->chain_known && memcmp(&place->at.chain, &place->to_chain, sizeof place->to_chain) != 0)
        return status_reason(
            REASON_DAMAGED,
            "the events from position %" PRId64 " to %" PRId64
            " give the chain %s and the store has %s at %" PRId64
            ": one of them was altered, or trusted_checkpoint is of another history; verify parts "
            "with older checkpoints to find it, and restore the store from a backup",
            place->from, place->to, counted, stored, place->to);
    struct operation_task *task = verification->task;
    operation_set_result(task, "events", "%" PRId64, place->to - place->from + 1);
    operation_set_result(task, "from_position", "%" PRId64, place->from);
    operation_set_result(task, "to_position", "%" PRId64, place->to);
    operation_set_result(task, "chain", "%s", stored);
    operation_set_result(task, "chain_checked", "%s", place->chain_known ? "true" : "false");
    return status_ok();
}

static struct status verification_run(struct verification *verification)
{
    struct store_head head = {0};
    struct event_store *store = verification->service->parts.store;
    STATUS_TRY(store->ops->head(store, &head));
    if (head.position < verification->place.to)
        return status_reason(REASON_DAMAGED,
                             "history ends at position %" PRId64 " and %" PRId64
                             " was the head when the verification began; restore the store from a backup",
                             head.position, verification->place.to);
    while (verification->walk.at.position < verification->place.to)
        STATUS_TRY(read_slice(verification));
    return check_end(verification);
}

static struct status verify_run(struct operation_task *task)
{
    struct verification verification = {.task = task, .service = operation_service(task)};
    if (!place_read(operation_place(task), &verification.place))
        return status_error(STATUS_DATA_LOSS, "the place to go on at cannot be read; start it anew");
    entropy_fill(verification.service->parts.entropy, &verification.seed, sizeof verification.seed);
    verification.walk = record_walk_from(&verification.place.at);
    verification.versions = calloc(VERSION_SLOTS, sizeof *verification.versions);
    verification.look_ups = calloc(SLICE_EVENTS, sizeof *verification.look_ups);
    verification.ids = arena_new(0);
    struct status status;
    if (verification.versions == NULL || verification.look_ups == NULL || verification.ids == NULL)
        status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a verification");
    else
        status = verification_run(&verification);
    arena_free(verification.ids);
    free(verification.look_ups);
    free(verification.versions);
    record_walk_done(&verification.walk);
    return status;
}

const struct operation_kind_ops operation_verify = {.plan = verify_plan, .run = verify_run};
