/* CreateSnapshot, GetSnapshot, GetLatestSnapshot and ListSnapshots. */
#include <string.h>

#include "base/json.h"
#include "service/checks_internal.h"
#include "service/page_token_internal.h"
#include "service/replies_internal.h"
#include "service/snapshots_internal.h"

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
}

static struct status status_no_snapshot(struct bytes id)
{
    return status_reason(REASON_SNAPSHOT_NONE,
                         "aggregate \"%.*s\" has no such snapshot; take one with POST /api/v1/snapshots",
                         BYTES_FORMAT(id));
}

/* --- replies --- */

static char *text_of(struct arena *arena, struct bytes bytes)
{
    return arena_text(arena, bytes);
}

static ProtobufCBinaryData blob_of(struct bytes bytes)
{
    return (ProtobufCBinaryData){bytes.size_bytes, (uint8_t *)(uintptr_t)bytes.data};
}

/* `folded` stays inside: it is a rebuild's business and as large as the state. */
static Strata__V1__Snapshot *snapshot_to_proto(struct arena *arena, const struct snapshot *from)
{
    Strata__V1__Snapshot *to = arena_alloc(arena, sizeof *to);
    if (to == NULL)
        return NULL;
    strata__v1__snapshot__init(to);
    to->aggregate_id = text_of(arena, from->aggregate_id);
    to->aggregate_type = text_of(arena, from->aggregate_type);
    to->version = from->version;
    to->data = blob_of(from->data);
    to->state = (Strata__V1__Snapshot__State)from->state;
    to->created_at = time_to_proto(arena, from->created_at_us);
    to->event_digest = blob_of(from->event_digest);
    to->position = from->position;
    to->reducer_version = from->reducer_version;
    to->metadata = blob_of(from->metadata);
    return to->aggregate_id == NULL || to->aggregate_type == NULL ? NULL : to;
}

static struct status reply_snapshot(struct arena *arena, const struct snapshot *snapshot, struct reply *ret)
{
    const Strata__V1__Snapshot *message = snapshot_to_proto(arena, snapshot);
    ret->message = message == NULL ? NULL : &message->base;
    return message == NULL ? no_memory() : status_ok();
}

/* --- CreateSnapshot --- */

static struct status object_compact(struct faults *faults, const char *field, ProtobufCBinaryData given,
                                    struct bytes *ret)
{
    *ret = BYTES_NONE;
    if (given.len == 0)
        return status_ok();
    if (given.len > EVENT_DATA_MAX) {
        faults_add(faults, field,
                   status_reason(REASON_EVENT_TOO_LARGE, "%s has %zu bytes; a snapshot holds at most %zu",
                                 field, given.len, EVENT_DATA_MAX));
        return status_ok();
    }
    struct buffer compact = buffer_in(faults->arena, 0);
    const struct status status = json_compact(faults->arena, bytes_of_blob(given), true, &compact);
    if (status_is_ok(&status))
        *ret = buffer_bytes(&compact);
    else
        faults_add(faults, field, status_prefix(status, "%s", field));
    return buffer_status(&compact);
}

struct pending_count {
    size_t count;
    int32_t except; /* a version that is replaced does not count */
};

static bool count_pending(void *context, const struct snapshot *snapshot)
{
    struct pending_count *pending = context;
    pending->count += snapshot->state == SNAPSHOT_PENDING && snapshot->version != pending->except;
    return true;
}

/* Ahead of the aggregate: kept as it is until the aggregate gets there. Under the lock. */
static struct status create_pending(struct service *service, const struct aggregate_head *head,
                                    struct snapshot *snapshot)
{
    struct pending_count pending = {.except = snapshot->version};
    STATUS_TRY(service->parts.snapshots->ops->list(service->parts.snapshots, snapshot->aggregate_id,
                                                   BYTES_NONE, BYTES_NONE, 0, count_pending, &pending));
    if (pending.count >= PENDING_MAX)
        return status_reason(
            REASON_PENDING_TOO_MANY,
            "aggregate \"%.*s\" has %zu snapshots ahead of its version %d, the most is %u; wait until it "
            "gets there",
            BYTES_FORMAT(snapshot->aggregate_id), pending.count, head->version, PENDING_MAX);
    snapshot->state = SNAPSHOT_PENDING;
    snapshot->created_at_us = clock_now_us(service->parts.clock);
    snapshot->reducer_version = service->options.reducer_version;
    return snapshot_put_pending(service, snapshot);
}

/* At or below the head: compared at once. Under the lock. */
static struct status create_compared(struct service *service, struct arena *arena,
                                     const struct loaded *loaded, const struct snapshot *given,
                                     struct snapshot *ret)
{
    struct snapshot former = {0};
    bool found = false;
    bool usable = false;
    STATUS_TRY(service->parts.snapshots->ops->get(service->parts.snapshots, given->aggregate_id,
                                                  SNAPSHOT_PICK_EXACT, given->version, arena, &former,
                                                  &found));
    if (found)
        STATUS_TRY(snapshot_is_usable(service, &former, &usable));
    if (!usable)
        return snapshot_put_compared(service, arena, loaded, given->data, given->metadata, ret);
    bool equal = given->data.size_bytes == 0;
    if (!equal) {
        struct json_value *a = NULL;
        struct json_value *b = NULL;
        STATUS_TRY(json_parse(arena, given->data, &a));
        STATUS_TRY(json_parse(arena, former.data, &b));
        STATUS_TRY(json_equal(arena, a, b, &equal));
    }
    if (!equal)
        return status_reason(
            REASON_SNAPSHOT_EXISTS,
            "aggregate \"%.*s\" has a verified snapshot of version %d with other data; the events say "
            "what it holds, so it stays",
            BYTES_FORMAT(given->aggregate_id), given->version);
    *ret = former;
    return status_ok();
}

static struct status create_snapshot(struct service *service, struct arena *arena, struct snapshot *snapshot,
                                     bool version_given)
{
    struct aggregate_head head = {0};
    const struct bytes id = snapshot->aggregate_id;
    STATUS_TRY(service->parts.store->ops->aggregate(service->parts.store, id, arena, &head));
    if (!head.exists)
        return status_aggregate_unknown(id);
    snapshots_settle(service, arena, id, head.version);
    if (!version_given)
        snapshot->version = head.version;
    snapshot->aggregate_type = head.type;
    if (snapshot->version > head.version && snapshot->data.size_bytes == 0)
        FIELD_TRY(
            arena, "version",
            status_reason(
                REASON_INVALID_FIELD,
                "version is %d, aggregate \"%.*s\" is at version %d and data is missing; give data, or a "
                "version that has been reached",
                snapshot->version, BYTES_FORMAT(id), head.version));
    if (snapshot->version > head.version) {
        snapshots_lock(service);
        const struct status status = create_pending(service, &head, snapshot);
        snapshots_unlock(service);
        return status;
    }
    struct loaded loaded = {0};
    const struct load_request request = {.id = id, .version = snapshot->version, .position = INT64_MAX};
    STATUS_TRY(loader_load(service, &request, arena, &loaded));
    if (!loaded.exists)
        FIELD_TRY(
            arena, "version",
            status_reason(REASON_INVALID_FIELD,
                          "version is %d and aggregate \"%.*s\" began with its first event; give 1 or more",
                          snapshot->version, BYTES_FORMAT(id)));
    snapshots_lock(service);
    const struct status status = create_compared(service, arena, &loaded, snapshot, snapshot);
    snapshots_unlock(service);
    return status;
}

static struct status version_check(int32_t version)
{
    if (version < 0)
        return status_reason(REASON_INVALID_FIELD, "version is %d; versions begin at 0", version);
    return status_ok();
}

static struct status create_snapshot_run(struct service *service, struct call *call, const void *context,
                                         struct reply *ret)
{
    const Strata__V1__CreateSnapshotRequest *request = context;
    struct arena *arena = call_arena(call);
    const bool version_given =
        request->_version_case != STRATA__V1__CREATE_SNAPSHOT_REQUEST___VERSION__NOT_SET;
    struct snapshot snapshot = {
        .aggregate_id = bytes_of_text(request->aggregate_id),
        .version = version_given ? request->version : 0,
    };
    struct faults faults;
    faults_init(&faults, arena);
    faults_add(&faults, "aggregate_id", id_check("aggregate_id", snapshot.aggregate_id, ID_SYSTEM_ALLOWED));
    faults_add(&faults, "version", version_check(snapshot.version));
    STATUS_TRY(object_compact(&faults, "data", request->data, &snapshot.data));
    STATUS_TRY(object_compact(&faults, "metadata", request->metadata, &snapshot.metadata));
    STATUS_TRY(faults_status(&faults));
    STATUS_TRY(create_snapshot(service, arena, &snapshot, version_given));
    return reply_snapshot(arena, &snapshot, ret);
}

static void create_snapshot_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, create_snapshot_run);
}

const struct method_handler create_snapshot_handler = {.start = create_snapshot_start};

/* --- reading one --- */

/* The aggregate must exist; what it has reached is compared before anything is shown. */
static struct status begin_read(struct service *service, struct arena *arena, struct bytes id)
{
    FIELD_TRY(arena, "aggregate_id", id_check("aggregate_id", id, ID_SYSTEM_ALLOWED));
    struct aggregate_head head = {0};
    STATUS_TRY(service->parts.store->ops->aggregate(service->parts.store, id, arena, &head));
    if (!head.exists)
        return status_aggregate_unknown(id);
    snapshots_settle_shown(service, arena, id, head.version);
    return status_ok();
}

static struct status pick(struct service *service, struct arena *arena, struct bytes id,
                          enum snapshot_pick how, int32_t version, struct snapshot *ret, bool *ret_found)
{
    return service->parts.snapshots->ops->get(service->parts.snapshots, id, how, version, arena, ret,
                                              ret_found);
}

/* The highest that a rebuild would use; *ret_found false = there is none. */
static struct status pick_usable(struct service *service, struct arena *arena, struct bytes id,
                                 int32_t version, struct snapshot *ret, bool *ret_found)
{
    for (;;) {
        STATUS_TRY(snapshot_pick_ours(service, service->parts.snapshots, id, version, arena, ret, ret_found));
        if (!*ret_found)
            return status_ok();
        bool usable = false;
        STATUS_TRY(snapshot_is_usable(service, ret, &usable));
        if (usable)
            return status_ok();
        *ret_found = false;
        if (ret->version == 0)
            return status_ok();
        version = ret->version - 1;
    }
}

static struct status get_snapshot_run(struct service *service, struct call *call, const void *context,
                                      struct reply *ret)
{
    const Strata__V1__GetSnapshotRequest *request = context;
    struct arena *arena = call_arena(call);
    const struct bytes id = bytes_of_text(request->aggregate_id);
    const bool given = request->_version_case != STRATA__V1__GET_SNAPSHOT_REQUEST___VERSION__NOT_SET;
    if (given)
        FIELD_TRY(arena, "version", version_check(request->version));
    STATUS_TRY(begin_read(service, arena, id));
    const int32_t version = given ? request->version : INT32_MAX;
    struct snapshot snapshot = {0};
    bool found = false;
    STATUS_TRY(pick_usable(service, arena, id, version, &snapshot, &found));
    if (!found)
        STATUS_TRY(pick(service, arena, id, SNAPSHOT_PICK_LATEST, version, &snapshot, &found));
    if (found)
        snapshots_used(service, id);
    return found ? reply_snapshot(arena, &snapshot, ret) : status_no_snapshot(id);
}

static void get_snapshot_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, get_snapshot_run);
}

const struct method_handler get_snapshot_handler = {.start = get_snapshot_start};

static struct status get_latest_run(struct service *service, struct call *call, const void *context,
                                    struct reply *ret)
{
    const Strata__V1__GetLatestSnapshotRequest *request = context;
    struct arena *arena = call_arena(call);
    const struct bytes id = bytes_of_text(request->aggregate_id);
    STATUS_TRY(begin_read(service, arena, id));
    struct snapshot snapshot = {0};
    bool found = false;
    STATUS_TRY(pick(service, arena, id, SNAPSHOT_PICK_LATEST, INT32_MAX, &snapshot, &found));
    if (found)
        snapshots_used(service, id);
    return found ? reply_snapshot(arena, &snapshot, ret) : status_no_snapshot(id);
}

static void get_latest_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, get_latest_run);
}

const struct method_handler get_latest_snapshot_handler = {.start = get_latest_start};

/* --- ListSnapshots --- */

struct snapshot_listing {
    struct arena *arena;
    size_t page_size;
    Strata__V1__Snapshot **items;
    size_t count;
    size_t size_bytes;
    int64_t total;
    struct bytes last_id;
    int32_t last_version;
    bool more;
    bool failed;
};

static bool list_take(void *context, const struct snapshot *snapshot)
{
    struct snapshot_listing *listing = context;
    const size_t size_bytes = snapshot->data.size_bytes + snapshot->metadata.size_bytes;
    listing->more = listing->count == listing->page_size ||
                    (listing->count > 0 && listing->size_bytes + size_bytes > PAGE_BYTES_MAX);
    if (listing->more)
        return false;
    struct snapshot copy = *snapshot; /* the store's memory ends with this call */
    copy.data = arena_bytes(listing->arena, snapshot->data);
    copy.metadata = arena_bytes(listing->arena, snapshot->metadata);
    copy.event_digest = arena_bytes(listing->arena, snapshot->event_digest);
    Strata__V1__Snapshot *item = snapshot_to_proto(listing->arena, &copy);
    listing->failed = item == NULL || (copy.data.data == NULL && copy.data.size_bytes > 0);
    if (listing->failed)
        return false;
    listing->items[listing->count++] = item;
    listing->size_bytes += size_bytes;
    listing->last_id = bytes_of_text(item->aggregate_id);
    listing->last_version = item->version;
    return true;
}

static bool list_count(void *context, const struct snapshot *snapshot)
{
    (void)snapshot;
    struct snapshot_listing *listing = context;
    listing->total++;
    return true;
}

static struct status list_total(struct service *service, const Strata__V1__ListSnapshotsRequest *request,
                                struct snapshot_listing *listing)
{
    struct snapshot_store *store = service->parts.snapshots;
    if (request->aggregate_id[0] != '\0' || request->aggregate_type[0] != '\0')
        return store->ops->list(store, bytes_of_text(request->aggregate_id),
                                bytes_of_text(request->aggregate_type), BYTES_NONE, 0, list_count, listing);
    struct snapshot_store_stats stats;
    STATUS_TRY(store->ops->stats(store, &stats));
    listing->total = stats.snapshot_count;
    return status_ok();
}

static struct status list_page(struct service *service, const Strata__V1__ListSnapshotsRequest *request,
                               const struct page_token *token, struct snapshot_listing *listing)
{
    struct snapshot_store *store = service->parts.snapshots;
    listing->count = 0;
    listing->size_bytes = 0;
    listing->more = false;
    STATUS_TRY(store->ops->list(store, bytes_of_text(request->aggregate_id),
                                bytes_of_text(request->aggregate_type), token->id, token->version, list_take,
                                listing));
    return listing->failed ? no_memory() : status_ok();
}

/* Compares the PENDING ones of a page that their aggregates have reached; they come by aggregate. */
static struct status list_settle(struct service *service, const struct snapshot_listing *listing,
                                 bool *ret_settled)
{
    *ret_settled = false;
    struct bytes settled = BYTES_NONE;
    for (size_t i = 0; i < listing->count; i++) {
        const Strata__V1__Snapshot *item = listing->items[i];
        const struct bytes id = bytes_of_text(item->aggregate_id);
        if (item->state != STRATA__V1__SNAPSHOT__STATE__PENDING || bytes_equal(id, settled))
            continue;
        CLEANUP(arena_free_at) struct arena *scratch = arena_new(0);
        struct aggregate_head head = {0};
        if (scratch == NULL)
            return no_memory();
        STATUS_TRY(service->parts.store->ops->aggregate(service->parts.store, id, scratch, &head));
        if (!head.exists || head.version < item->version)
            continue; /* the lowest of it is still ahead */
        snapshots_settle_shown(service, scratch, id, head.version);
        settled = id;
        *ret_settled = true;
    }
    return status_ok();
}

static struct status list_build(struct service *service, struct arena *arena,
                                const Strata__V1__ListSnapshotsRequest *request, uint64_t filter,
                                Strata__V1__ListSnapshotsResponse *ret)
{
    struct snapshot_listing listing = {.arena = arena};
    FIELD_TRY(arena, "page_size", page_size_check(request->page_size, &listing.page_size));
    struct page_token token = {0};
    if (request->page_token[0] != '\0')
        FIELD_TRY(arena, "page_token",
                  page_token_read(request->page_token, filter, INT64_MAX, arena, &token));
    listing.items = arena_array(arena, listing.page_size, sizeof(Strata__V1__Snapshot *));
    if (listing.items == NULL)
        return no_memory();
    bool settled = false;
    STATUS_TRY(list_page(service, request, &token, &listing));
    STATUS_TRY(list_settle(service, &listing, &settled));
    if (settled) /* as they are now */
        STATUS_TRY(list_page(service, request, &token, &listing));
    STATUS_TRY(list_total(service, request, &listing));
    ret->n_snapshots = listing.count;
    ret->snapshots = listing.items;
    ret->total_size = listing.total;
    if (listing.more) {
        const struct page_token next = {.id = listing.last_id, .version = listing.last_version};
        ret->next_page_token = page_token_write(arena, filter, &next);
        if (ret->next_page_token == NULL)
            return no_memory();
    }
    return status_ok();
}

static struct status list_snapshots_run(struct service *service, struct call *call, const void *context,
                                        struct reply *ret)
{
    const Strata__V1__ListSnapshotsRequest *request = context;
    struct arena *arena = call_arena(call);
    struct faults faults;
    faults_init(&faults, arena);
    faults_add(
        &faults, "aggregate_id",
        id_check("aggregate_id", bytes_of_text(request->aggregate_id), ID_OPTIONAL | ID_SYSTEM_ALLOWED));
    faults_add(
        &faults, "aggregate_type",
        id_check("aggregate_type", bytes_of_text(request->aggregate_type), ID_OPTIONAL | ID_SYSTEM_ALLOWED));
    STATUS_TRY(faults_status(&faults));
    Strata__V1__ListSnapshotsRequest same = *request;
    same.page_size = 0;
    same.page_token = (char *)protobuf_c_empty_string;
    uint64_t filter = 0;
    STATUS_TRY(page_filter(service, &same.base, arena, &filter));
    Strata__V1__ListSnapshotsResponse *response = arena_alloc(arena, sizeof *response);
    if (response == NULL)
        return no_memory();
    strata__v1__list_snapshots_response__init(response);
    STATUS_TRY(list_build(service, arena, request, filter, response));
    ret->message = &response->base;
    return status_ok();
}

static void list_snapshots_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, list_snapshots_run);
}

const struct method_handler list_snapshots_handler = {.start = list_snapshots_start};
