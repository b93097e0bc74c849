/*
 * Making anew what is made from the events: snapshots, or the cached states.
 *
 * The place of "snapshots" (little-endian): u64 first position of the last aggregate that was looked at · u64 aggregates
 * looked at · u64 snapshots taken. "cache" has none: what was dropped is not found again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "service/operation_internal.h"
#include "service/snapshots_internal.h"

#define PAGE_AGGREGATES 64U
#define PLACE_BYTES     24U

/* --- snapshots --- */

struct page_item {
    struct bytes id;
    int32_t version;
    int64_t first_position;
};

struct page {
    struct arena *arena;
    struct page_item items[PAGE_AGGREGATES];
    size_t count;
    bool failed;
};

static bool take_aggregate(void *context, struct bytes id, const struct aggregate_head *head)
{
    struct page *page = context;
    const struct bytes copy = arena_bytes(page->arena, id);
    page->failed = copy.data == NULL;
    if (page->failed)
        return false;
    page->items[page->count++] = (struct page_item){copy, head->version, head->first_position};
    return page->count < PAGE_AGGREGATES;
}

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to rebuild snapshots");
}

/* Is the one that a rebuild would try first of no use, or is there none where one should be? */
static struct status is_wanted(struct service *service, const struct page_item *item, struct arena *arena,
                               bool *ret)
{
    struct snapshot_store *store = service->parts.snapshots;
    struct snapshot snapshot = {0};
    bool found = false;
    bool usable = false;
    STATUS_TRY(store->ops->get(store, item->id, SNAPSHOT_PICK_BEST, INT32_MAX, arena, &snapshot, &found));
    if (found)
        STATUS_TRY(snapshot_is_usable(service, &snapshot, &usable));
    const int32_t every = service->options.snapshot_events;
    *ret = found ? !usable : every > 0 && item->version >= every;
    return status_ok();
}

static struct status snapshot_renew(struct service *service, struct bytes id, struct arena *arena)
{
    struct loaded loaded = {0};
    struct snapshot taken;
    const struct load_request request = {
        .id = id, .version = INT32_MAX, .position = INT64_MAX, .keep_quiet = true};
    STATUS_TRY(loader_load(service, &request, arena, &loaded));
    snapshots_lock(service);
    const struct status status =
        snapshot_put_compared(service, arena, &loaded, BYTES_NONE, BYTES_NONE, &taken);
    snapshots_unlock(service);
    return status;
}

static struct status rebuild_one(struct service *service, const struct page_item *item, int64_t *taken)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    bool wanted = false;
    struct status status = arena == NULL ? no_memory() : is_wanted(service, item, arena, &wanted);
    if (status_is_ok(&status) && wanted)
        status = snapshot_renew(service, item->id, arena);
    if (!status_is_ok(&status))
        return status_prefix(status, "aggregate \"%.*s\"", BYTES_FORMAT(item->id));
    *taken += wanted;
    return status_ok();
}

struct rebuilding {
    int64_t after_first_position;
    int64_t looked_at;
    int64_t taken;
};

static void say_moved(struct operation_task *task, const struct rebuilding *rebuilding)
{
    uint8_t place[PLACE_BYTES];
    put_u64_le(place, (uint64_t)rebuilding->after_first_position);
    put_u64_le(place + 8, (uint64_t)rebuilding->looked_at);
    put_u64_le(place + 16, (uint64_t)rebuilding->taken);
    operation_moved(task, rebuilding->looked_at, bytes_of(place, sizeof place));
}

/* *ret_more false: the last aggregate was in it. */
static struct status rebuild_page(struct operation_task *task, struct rebuilding *rebuilding, bool *ret_more)
{
    struct service *service = operation_service(task);
    struct event_store *store = service->parts.store;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return no_memory();
    struct page page = {.arena = arena};
    STATUS_TRY(
        store->ops->aggregates(store, BYTES_NONE, rebuilding->after_first_position, take_aggregate, &page));
    if (page.failed)
        return no_memory();
    *ret_more = page.count == PAGE_AGGREGATES;
    for (size_t i = 0; i < page.count; i++) {
        if (!operation_goes_on(task))
            return operation_stopped();
        STATUS_TRY(rebuild_one(service, &page.items[i], &rebuilding->taken));
        rebuilding->after_first_position = page.items[i].first_position;
        rebuilding->looked_at++;
        say_moved(task, rebuilding);
    }
    return status_ok();
}

static struct status rebuild_snapshots(struct operation_task *task)
{
    struct rebuilding rebuilding = {0};
    const struct bytes place = operation_place(task);
    if (place.size_bytes == PLACE_BYTES)
        rebuilding = (struct rebuilding){(int64_t)get_u64_le(place.data), (int64_t)get_u64_le(place.data + 8),
                                         (int64_t)get_u64_le(place.data + 16)};
    bool more = true;
    while (more)
        STATUS_TRY(rebuild_page(task, &rebuilding, &more));
    operation_set_total(task, rebuilding.looked_at); /* others may have come meanwhile */
    operation_set_result(task, "aggregates", "%" PRId64, rebuilding.looked_at);
    operation_set_result(task, "taken", "%" PRId64, rebuilding.taken);
    return status_ok();
}

static struct status plan_snapshots(struct service *service, struct operation_plan *ret)
{
    struct store_head head = {0};
    STATUS_TRY(service->parts.store->ops->head(service->parts.store, &head));
    ret->total = head.aggregate_count;
    (void)snprintf(ret->message, sizeof ret->message, "renews the snapshots of %" PRId64 " aggregates",
                   ret->total); /* fits */
    return status_ok();
}

/* --- cached states --- */

struct entries {
    struct arena *arena;
    struct page_item items[PAGE_AGGREGATES];
    size_t count;
    bool failed;
};

static bool take_entry(void *context, const struct snapshot *entry)
{
    struct entries *entries = context;
    const struct bytes copy = arena_bytes(entries->arena, entry->aggregate_id);
    entries->failed = copy.data == NULL;
    if (entries->failed)
        return false;
    entries->items[entries->count++] = (struct page_item){.id = copy, .version = entry->version};
    return entries->count < PAGE_AGGREGATES;
}

/* `after`: the last one of the part before, its id in `memory`; reads put new ones behind us meanwhile, and those stay. */
static struct status drop_part(struct operation_task *task, struct page_item *after,
                               uint8_t memory[ID_MAX_BYTES], int64_t *dropped, bool *ret_more)
{
    struct snapshot_store *cache = operation_service(task)->parts.cache;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return no_memory();
    struct entries entries = {.arena = arena};
    STATUS_TRY(
        cache->ops->list(cache, BYTES_NONE, BYTES_NONE, after->id, after->version, take_entry, &entries));
    if (entries.failed)
        return no_memory();
    for (size_t i = 0; i < entries.count; i++) {
        if (!operation_goes_on(task))
            return operation_stopped();
        STATUS_TRY(cache->ops->remove(cache, entries.items[i].id, entries.items[i].version));
        ++*dropped;
    }
    *ret_more = entries.count == PAGE_AGGREGATES;
    if (entries.count > 0) {
        const struct page_item *last = &entries.items[entries.count - 1];
        memcpy(memory, last->id.data, last->id.size_bytes);
        *after = (struct page_item){.id = bytes_of(memory, last->id.size_bytes), .version = last->version};
    }
    operation_moved(task, *dropped, BYTES_NONE);
    return status_ok();
}

static struct status drop_cache(struct operation_task *task)
{
    uint8_t memory[ID_MAX_BYTES];
    struct page_item after = {.id = BYTES_NONE};
    int64_t dropped = 0;
    bool more = operation_service(task)->parts.cache != NULL;
    while (more)
        STATUS_TRY(drop_part(task, &after, memory, &dropped, &more));
    operation_set_total(task, dropped);
    operation_set_result(task, "dropped", "%" PRId64, dropped);
    return status_ok();
}

static struct status plan_cache(struct service *service, struct operation_plan *ret)
{
    struct snapshot_store *cache = service->parts.cache;
    struct snapshot_store_stats stats = {0};
    if (cache != NULL)
        STATUS_TRY(cache->ops->stats(cache, &stats));
    ret->total = stats.snapshot_count;
    (void)snprintf(ret->message, sizeof ret->message, "drops %" PRId64 " cached states",
                   ret->total); /* fits */
    return status_ok();
}

/* --- which --- */

static const struct {
    const char *what;
    struct status (*plan)(struct service *service, struct operation_plan *ret);
    struct status (*run)(struct operation_task *task);
} parts[] = {
    {"snapshots", plan_snapshots, rebuild_snapshots},
    {"cache", plan_cache, drop_cache},
};

static struct status unknown_part(const char *what)
{
    if (strcmp(what, "index") == 0)
        return status_reason(
            REASON_INVALID_FIELD,
            "rebuild.what is \"index\", which cannot be made anew while the store serves: stop it, "
            "remove the folder index/ of the store and start it");
    return status_reason(REASON_INVALID_FIELD, "rebuild.what is \"%.64s\"; give \"snapshots\" or \"cache\"",
                         what);
}

static struct status rebuild_plan(struct service *service, const Strata__V1__StartOperationRequest *request,
                                  bool exactly, struct faults *faults, struct operation_plan *ret)
{
    (void)exactly;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        if (strcmp(request->rebuild->what, parts[i].what) == 0)
            return parts[i].plan(service, ret);
    faults_add(faults, "rebuild.what", unknown_part(request->rebuild->what));
    return status_ok();
}

static struct status rebuild_run(struct operation_task *task)
{
    const char *what = operation_request(task)->rebuild->what;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        if (strcmp(what, parts[i].what) == 0)
            return parts[i].run(task);
    return unknown_part(what); /* recorded by a newer version */
}

const struct operation_kind_ops operation_rebuild = {.plan = rebuild_plan, .run = rebuild_run};
