/* PENDING snapshots: whether there are any, and comparing those that their aggregate has reached. */
#include "service/snapshot_keeper_internal.h"

#include <xxhash.h>

#define SETTLE_EVENTS_MAX 1000 /* a longer way from a lower snapshot is a job's */
#define SNAPSHOTS_OF_ONE  256U /* looked at when settling */

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
}

/* --- what is known of PENDING ones --- */

uint64_t keeper_hash(const struct snapshot_keeper *keeper, struct bytes id)
{
    const uint64_t hash = XXH3_64bits_withSeed(id.data, id.size_bytes, keeper->seed);
    return hash == 0 ? 1 : hash;
}

static bool pending_known(struct snapshot_keeper *keeper, struct bytes id, int32_t *ret_lowest)
{
    const uint64_t hash = keeper_hash(keeper, id);
    pthread_mutex_lock(&keeper->pending_lock);
    const struct pending_slot slot = keeper->pending[hash % PENDING_SLOTS];
    pthread_mutex_unlock(&keeper->pending_lock);
    *ret_lowest = slot.lowest;
    return slot.id_hash == hash;
}

static void pending_note(struct snapshot_keeper *keeper, struct bytes id, int32_t lowest)
{
    const uint64_t hash = keeper_hash(keeper, id);
    pthread_mutex_lock(&keeper->pending_lock);
    keeper->pending[hash % PENDING_SLOTS] = (struct pending_slot){hash, lowest};
    pthread_mutex_unlock(&keeper->pending_lock);
}

void pending_forget(struct snapshot_keeper *keeper, struct bytes id)
{
    const uint64_t hash = keeper_hash(keeper, id);
    pthread_mutex_lock(&keeper->pending_lock);
    keeper->pending[hash % PENDING_SLOTS] = (struct pending_slot){0};
    pthread_mutex_unlock(&keeper->pending_lock);
}

/* --- PENDING ones --- */

struct pending_look {
    struct arena *arena;
    struct snapshot items[PENDING_MAX];
    size_t count; /* reached */
    int32_t head_version;
    int32_t lowest_ahead;
    size_t seen;
    struct status status;
};

static bool look_at_pending(void *context, const struct snapshot *snapshot)
{
    struct pending_look *look = context;
    if (snapshot->state != SNAPSHOT_PENDING)
        return ++look->seen < SNAPSHOTS_OF_ONE;
    if (snapshot->version > look->head_version) {
        if (snapshot->version < look->lowest_ahead)
            look->lowest_ahead = snapshot->version;
        return true;
    }
    if (look->count == PENDING_MAX)
        return false;
    struct snapshot *item = &look->items[look->count];
    *item = (struct snapshot){.version = snapshot->version,
                              .data = arena_bytes(look->arena, snapshot->data),
                              .metadata = arena_bytes(look->arena, snapshot->metadata)};
    if (item->data.data == NULL) {
        look->status = no_memory();
        return false;
    }
    look->count++;
    return true;
}

/* How many events a fold up to `version` would read. */
static struct status distance_to(struct service *service, struct arena *arena, struct bytes id,
                                 int32_t version, int32_t *ret)
{
    struct snapshot base = {0};
    bool found = false;
    int32_t from = 0;
    if (service->parts.cache != NULL)
        STATUS_TRY(snapshot_pick_ours(service, service->parts.cache, id, version, arena, &base, &found));
    from = found ? base.version : 0;
    STATUS_TRY(snapshot_pick_ours(service, service->parts.snapshots, id, version, arena, &base, &found));
    if (found && base.version > from)
        from = base.version;
    *ret = version - from;
    return status_ok();
}

static struct status settle_one(struct service *service, struct arena *arena, struct bytes id,
                                const struct snapshot *pending)
{
    struct loaded loaded = {0};
    const struct load_request request = {
        .id = id, .version = pending->version, .position = INT64_MAX, .keep_quiet = true};
    STATUS_TRY(loader_load(service, &request, arena, &loaded));
    if (!loaded.exists || loaded.state.version != pending->version)
        return status_ok();
    struct snapshot now = {0};
    bool found = false;
    snapshots_lock(service);
    struct status status = service->parts.snapshots->ops->get(
        service->parts.snapshots, id, SNAPSHOT_PICK_EXACT, pending->version, arena, &now, &found);
    /* Somebody may have settled or replaced it since we looked. */
    if (status_is_ok(&status) && found && now.state == SNAPSHOT_PENDING)
        status = snapshot_put_compared(service, arena, &loaded, now.data, now.metadata, &now);
    snapshots_unlock(service);
    return status;
}

static void settle_job(struct service *service, struct bytes id);

static struct status settle(struct service *service, struct arena *arena, struct bytes id,
                            int32_t head_version, bool all)
{
    struct pending_look *look = arena_zalloc(arena, sizeof *look);
    if (look == NULL)
        return no_memory();
    look->arena = arena;
    look->head_version = head_version;
    look->lowest_ahead = INT32_MAX;
    look->status = status_ok();
    STATUS_TRY(service->parts.snapshots->ops->list(service->parts.snapshots, id, BYTES_NONE, BYTES_NONE, 0,
                                                   look_at_pending, look));
    STATUS_TRY(look->status);
    bool left = false;
    for (size_t i = 0; i < look->count; i++) {
        int32_t distance = 0;
        STATUS_TRY(distance_to(service, arena, id, look->items[i].version, &distance));
        if (!all && distance > SETTLE_EVENTS_MAX)
            left = true;
        else
            STATUS_TRY(settle_one(service, arena, id, &look->items[i]));
    }
    if (left)
        service_background(service, id, settle_job);
    else
        pending_note(service->snapshots, id, look->lowest_ahead);
    return status_ok();
}

static void settle_job(struct service *service, struct bytes id)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct status status = arena == NULL ? no_memory() : status_ok();
    struct aggregate_head head = {0};
    if (status_is_ok(&status))
        status = service->parts.store->ops->aggregate(service->parts.store, id, arena, &head);
    if (status_is_ok(&status) && head.exists)
        status = settle(service, arena, id, head.version, true);
    if (!status_is_ok(&status))
        log_warn(service->parts.log, "pending snapshots could not be compared, the next read tries again",
                 LOG_TEXT("reason", status.message));
}

void snapshots_settle(struct service *service, struct arena *arena, struct bytes id, int32_t head_version)
{
    int32_t lowest = 0;
    if (pending_known(service->snapshots, id, &lowest) && lowest > head_version)
        return;
    const struct status status = settle(service, arena, id, head_version, false);
    if (!status_is_ok(&status))
        log_warn(service->parts.log, "pending snapshots could not be compared, the next read tries again",
                 LOG_TEXT("reason", status.message));
}

void snapshots_settle_shown(struct service *service, struct arena *arena, struct bytes id,
                            int32_t head_version)
{
    if (!service->parts.store->pipelined)
        pending_forget(service->snapshots, id);
    snapshots_settle(service, arena, id, head_version);
}
