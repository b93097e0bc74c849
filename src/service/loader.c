#include "service/loader_internal.h"

#include <string.h>

#include "service/replies_internal.h"
#include "service/snapshots_internal.h"

/* A long fold starts anew from its state when its arena has grown so far. */
#define FOLD_ARENA_MAX_BYTES ((size_t)4 * 1024 * 1024)
/* A cached state so far below the asked version: perhaps the snapshot store has a better one. */
#define CACHE_NEAR_EVENTS 256
#define WARN_EVERY_US     INT64_C(10000000)

struct status status_aggregate_unknown(struct bytes id)
{
    return status_reason(REASON_AGGREGATE_UNKNOWN,
                         "there is no aggregate \"%.*s\"; create it, or publish its first event",
                         BYTES_FORMAT(id));
}

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the state of an aggregate");
}

/* --- a packed state --- */

struct status state_pack(const struct aggregate_state *state, struct arena *arena, struct bytes *ret)
{
    struct buffer packed = buffer_in(arena, 0);
    wire_put_state(&packed, state);
    *ret = buffer_bytes(&packed);
    return buffer_status(&packed);
}

static void *arena_take(void *data, size_t size_bytes)
{
    return arena_alloc(data, size_bytes);
}

static void arena_leave(void *data, void *memory)
{
    (void)data; /* goes with the arena */
    (void)memory;
}

static int64_t time_of(const Google__Protobuf__Timestamp *time)
{
    return time == NULL ? 0 : time->seconds * 1000000 + time->nanos / 1000;
}

static struct status state_unpack(struct bytes packed, struct arena *arena, struct aggregate_state *ret)
{
    ProtobufCAllocator allocator = {arena_take, arena_leave, arena};
    const Strata__V1__Aggregate *from =
        strata__v1__aggregate__unpack(&allocator, packed.size_bytes, packed.data);
    if (from == NULL)
        return status_reason(REASON_DAMAGED, "a snapshot's state of %zu bytes cannot be read; it is not used",
                             packed.size_bytes);
    *ret = (struct aggregate_state){
        .id = bytes_of_text(from->id),
        .type = bytes_of_text(from->type),
        .version = from->version,
        .state = bytes_of(from->state.data, from->state.len),
        .metadata = bytes_of(from->metadata.data, from->metadata.len),
        .active = from->active,
        .created_at_us = time_of(from->created_at),
        .updated_at_us = time_of(from->updated_at),
        .position = from->position,
        .event_count = from->event_count,
    };
    return status_ok();
}

/* --- folding --- */

struct folding {
    struct service *service;
    const struct load_request *request;
    struct arena *arenas[2]; /* the fold lives in one; the other is for starting anew */
    int active;
    struct fold *fold;
    bool has_base; /* a snapshot whose event is still to be seen */
    int32_t base_version;
    struct bytes base_digest;
    bool base_refuted;
    int32_t last_version; /* seen; -1 = none */
    struct buffer last_header;
    int64_t tail_events;
    struct status status;
};

/* Copies the state into the other arena and goes on there, so that a long history
 * needs no more memory than a short one. */
static struct status fold_renew(struct folding *folding)
{
    struct aggregate_state state;
    STATUS_TRY(fold_result(folding->fold, &state));
    const int other = 1 - folding->active;
    if (folding->arenas[other] == NULL)
        folding->arenas[other] = arena_new(0);
    if (folding->arenas[other] == NULL)
        return no_memory();
    struct aggregate_state copy = {0};
    STATUS_TRY(state_copy(&state, folding->arenas[other], &copy));
    folding->fold = fold_new(folding->service->parts.domain, folding->arenas[other], &copy);
    if (folding->fold == NULL)
        return no_memory();
    arena_reset(folding->arenas[folding->active]);
    folding->active = other;
    return status_ok();
}

static bool base_confirmed(const struct folding *folding, int32_t version, struct record record)
{
    if (version != folding->base_version)
        return false;
    const struct sha256 leaf = record_leaf(record);
    return bytes_equal(bytes_of(leaf.bytes, sizeof leaf.bytes), folding->base_digest);
}

static struct status fold_one(struct folding *folding, struct record record)
{
    struct event_fields fields;
    STATUS_TRY(record_decode(record, &fields));
    if (folding->has_base && folding->last_version < 0) {
        folding->base_refuted = !base_confirmed(folding, fields.version, record);
        folding->last_version = fields.version;
        return status_ok();
    }
    if (folding->last_version >= 0 && fields.version != folding->last_version + 1)
        return status_reason(REASON_DAMAGED,
                             "aggregate \"%.*s\" has version %d after version %d; run strata verify",
                             BYTES_FORMAT(folding->request->id), fields.version, folding->last_version);
    folding->last_version = fields.version;
    const int64_t effective_us = fields.has_occurred_at ? fields.occurred_at_us : fields.timestamp_us;
    if (folding->request->has_effective_at && effective_us > folding->request->effective_at_us)
        return status_ok();
    STATUS_TRY(fold_apply(folding->fold, &fields));
    folding->tail_events++;
    buffer_clear(&folding->last_header);
    buffer_add_bytes(&folding->last_header, record_header(record));
    STATUS_TRY(buffer_status(&folding->last_header));
    if (arena_used_bytes(folding->arenas[folding->active]) > FOLD_ARENA_MAX_BYTES)
        return fold_renew(folding);
    return status_ok();
}

static bool take_record(void *context, int64_t position, struct record record)
{
    (void)position;
    struct folding *folding = context;
    folding->status = fold_one(folding, record);
    return status_is_ok(&folding->status) && !folding->base_refuted;
}

/* --- where to start --- */

struct base {
    bool found;
    bool cached;
    struct snapshot snapshot;
    struct aggregate_state state;
};

static struct status find_in(struct service *service, struct snapshot_store *store,
                             const struct load_request *request, int32_t version, struct arena *arena,
                             struct base *base, bool *ret_found)
{
    struct snapshot snapshot = {0};
    bool found = false;
    *ret_found = false;
    STATUS_TRY(snapshot_pick_ours(service, store, request->id, version, arena, &snapshot, &found));
    if (!found || (base->found && snapshot.version <= base->snapshot.version))
        return status_ok();
    struct aggregate_state state = {0};
    const struct status readable = state_unpack(snapshot.folded, arena, &state);
    if (!status_is_ok(&readable) || state.version != snapshot.version)
        return status_ok(); /* the events have it all: fold them instead */
    base->found = true;
    base->snapshot = snapshot;
    base->state = state;
    *ret_found = true;
    return status_ok();
}

/* Each read meets a store that is down: health shows it, the log needs to be told now and then. */
static void warn_of_snapshots(struct service *service, const struct status *why)
{
    const int64_t now_us = clock_monotonic_us(service->parts.clock);
    int_fast64_t told_us = atomic_load(&service->snapshots_warned_at_us);
    if ((told_us == 0 || now_us - told_us >= WARN_EVERY_US) &&
        atomic_compare_exchange_strong(&service->snapshots_warned_at_us, &told_us, now_us))
        log_warn(service->parts.log, "the snapshot store does not answer, folding from the events",
                 LOG_TEXT("reason", why->message));
}

/* A failing snapshot store costs speed, never an answer. */
static void find_base(struct service *service, const struct load_request *request, int32_t version,
                      struct arena *arena, struct base *ret)
{
    *ret = (struct base){0};
    bool found = false;
    if (service->parts.cache != NULL) {
        const struct status status =
            find_in(service, service->parts.cache, request, version, arena, ret, &found);
        ret->cached = status_is_ok(&status) && found;
        atomic_fetch_add_explicit(ret->cached ? &service->cache_hits : &service->cache_misses, 1,
                                  memory_order_relaxed);
    }
    if (ret->found && version - ret->snapshot.version <= CACHE_NEAR_EVENTS)
        return;
    const struct status status =
        find_in(service, service->parts.snapshots, request, version, arena, ret, &found);
    if (status_is_ok(&status) && found) {
        ret->cached = false;
        snapshots_used(service, request->id);
    }
    if (!status_is_ok(&status))
        warn_of_snapshots(service, &status);
}

/* --- loading --- */

static struct status fold_tail(struct service *service, const struct load_request *request, int32_t version,
                               const struct base *base, struct folding *folding)
{
    folding->arenas[0] = arena_new(0);
    if (folding->arenas[0] == NULL)
        return no_memory();
    folding->last_version = -1;
    folding->last_header = buffer_make(0);
    folding->status = status_ok();
    folding->has_base = base->found;
    folding->base_version = base->found ? base->snapshot.version : -1;
    folding->base_digest = base->snapshot.event_digest;
    folding->fold = fold_new(service->parts.domain, folding->arenas[0], base->found ? &base->state : NULL);
    if (folding->fold == NULL)
        return no_memory();
    const struct read_query query = {
        .by = READ_BY_AGGREGATE,
        .key = request->id,
        .after_position = base->found ? base->snapshot.position - 1 : 0,
        .from_version = base->found ? base->snapshot.version : 0,
        .to_version = version,
    };
    STATUS_TRY(service->parts.store->ops->read(service->parts.store, &query, take_record, folding));
    STATUS_TRY(folding->status);
    if (base->found && folding->last_version < 0)
        folding->base_refuted = true; /* the event that it names is not there */
    if (!folding->base_refuted && folding->last_version != version)
        return status_reason(
            REASON_DAMAGED, "aggregate \"%.*s\" is at version %d and its events end at %d; run strata verify",
            BYTES_FORMAT(request->id), version, folding->last_version);
    return status_ok();
}

static void folding_done(struct folding *folding)
{
    arena_free(folding->arenas[0]);
    arena_free(folding->arenas[1]);
    buffer_done(&folding->last_header);
}

static struct status take_result(const struct folding *folding, const struct base *base, struct arena *arena,
                                 struct loaded *ret)
{
    ret->exists = fold_exists(folding->fold);
    ret->tail_events = folding->tail_events;
    ret->base_version = base->found ? base->snapshot.version : -1;
    if (!ret->exists)
        return status_ok();
    struct aggregate_state state;
    STATUS_TRY(fold_result(folding->fold, &state));
    STATUS_TRY(state_copy(&state, arena, &ret->state));
    if (folding->tail_events > 0) {
        const struct record last = {buffer_bytes(&folding->last_header), folding->last_header.size_bytes};
        ret->leaf = record_leaf(last);
    } else if (base->found) {
        memcpy(ret->leaf.bytes, base->snapshot.event_digest.data, SHA256_BYTES);
    }
    return status_ok();
}

static struct status load_at(struct service *service, const struct load_request *request, int32_t version,
                             struct arena *arena, struct loaded *ret)
{
    struct base base = {0};
    if (!request->has_effective_at)
        find_base(service, request, version, arena, &base);
    for (;;) {
        struct folding folding = {.service = service, .request = request};
        struct status status = fold_tail(service, request, version, &base, &folding);
        if (status_is_ok(&status) && !folding.base_refuted)
            status = take_result(&folding, &base, arena, ret);
        const bool refuted = status_is_ok(&status) && folding.base_refuted;
        folding_done(&folding);
        if (!refuted) {
            STATUS_TRY(status);
            break;
        }
        /* Of another history, such as a store that was restored to an earlier time: it can never be right again. */
        log_warn(service->parts.log,
                 "a snapshot belongs to another history, removed and folding from the events",
                 LOG_INT("version", base.snapshot.version));
        snapshot_drop_refuted(service, base.cached ? service->parts.cache : service->parts.snapshots,
                              &base.snapshot);
        base = (struct base){0};
    }
    if (!request->keep_quiet && !request->has_effective_at && ret->exists)
        snapshots_loaded(service, ret, base.found ? &base.snapshot : NULL, base.cached);
    return status_ok();
}

struct version_at {
    int32_t version;
    bool found;
    struct status status;
};

static bool take_version(void *context, int64_t position, struct record record)
{
    (void)position;
    struct version_at *at = context;
    struct event_fields fields;
    at->status = record_decode_header(record, &fields);
    at->version = status_is_ok(&at->status) ? fields.version : 0;
    at->found = true;
    return false;
}

/* The version that an aggregate had at a position: *ret_exists false = it was not there yet. */
static struct status loader_version_at(struct service *service, struct bytes id, int64_t position,
                                       int32_t *ret, bool *ret_exists)
{
    *ret_exists = false;
    if (position <= 0)
        return status_ok();
    const struct read_query query = {
        .by = READ_BY_AGGREGATE,
        .key = id,
        .to_position = position,
        .to_version = INT32_MAX,
        .backward = true,
    };
    struct version_at at = {.status = status_ok()};
    STATUS_TRY(service->parts.store->ops->read(service->parts.store, &query, take_version, &at));
    STATUS_TRY(at.status);
    *ret = at.version;
    *ret_exists = at.found;
    return status_ok();
}

struct status loader_load(struct service *service, const struct load_request *request, struct arena *arena,
                          struct loaded *ret)
{
    *ret = (struct loaded){.base_version = -1};
    STATUS_TRY(service->parts.store->ops->aggregate(service->parts.store, request->id, arena, &ret->head));
    if (!ret->head.exists)
        return status_aggregate_unknown(request->id);
    int32_t version = request->version < ret->head.version ? request->version : ret->head.version;
    if (request->position < ret->head.position) {
        int32_t at = 0;
        bool exists = false;
        STATUS_TRY(loader_version_at(service, request->id, request->position, &at, &exists));
        if (!exists)
            return status_ok();
        version = at < version ? at : version;
    }
    /* An aggregate that was created by its first event has no version 0. */
    const int32_t first = ret->head.event_count > ret->head.version ? 0 : 1;
    if (version < first)
        return status_ok();
    return load_at(service, request, version, arena, ret);
}
