/* What may be asked about subscribers. Everything is copied into the caller's arena under the list's lock: an arena
 * never waits, and no append takes this lock. */
#include <stdlib.h>

#include "bus/bus_internal.h"

#define X(id, name) [BUS_SUBSCRIBER_##id] = name,
static const char *const state_names[BUS_SUBSCRIBER_STATE_COUNT] = {BUS_SUBSCRIBER_STATE_TABLE(X)};
#undef X

const char *bus_subscriber_state_name(enum bus_subscriber_state state)
{
    return state_names[state];
}

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for listing the subscribers");
}

static bool is_live(const struct subscriber *subscriber)
{
    return subscriber->stage == SUBSCRIBER_LIVE;
}

static bool is_listed(const struct subscriber *subscriber)
{
    return is_live(subscriber) || subscriber->stage == SUBSCRIBER_DONE ||
           subscriber->stage == SUBSCRIBER_ABANDONED;
}

static bool gets_type(const struct subscriber *subscriber, struct bytes type)
{
    return type.size_bytes == 0 || patterns_have(subscriber->filter.types, type);
}

static bool copy_list(struct arena *arena, struct bytes_list from, struct bytes_list *ret)
{
    struct bytes *items = arena_array(arena, from.count, sizeof *items);
    for (size_t i = 0; i < from.count && items != NULL; i++) {
        items[i] = arena_bytes(arena, from.items[i]);
        if (items[i].data == NULL)
            return false;
    }
    *ret = (struct bytes_list){items, from.count};
    return items != NULL;
}

static enum bus_subscriber_state state_of(const struct subscriber *subscriber)
{
    switch (subscriber->stage) {
    case SUBSCRIBER_DONE:
        return BUS_SUBSCRIBER_DONE;
    case SUBSCRIBER_ABANDONED:
        return BUS_SUBSCRIBER_ABANDONED;
    default:
        if (!status_is_ok(&subscriber->shown.failure))
            return BUS_SUBSCRIBER_FAILING;
        return subscriber_stands_by(subscriber) ? BUS_SUBSCRIBER_STANDBY : BUS_SUBSCRIBER_ACTIVE;
    }
}

static bool copy_subscriber(struct arena *arena, const struct subscriber *from, struct bus_subscriber *ret)
{
    const int64_t head = bus_head(from->bus);
    const int64_t position = from->shown.position;
    *ret = (struct bus_subscriber){
        .id = from->id,
        .name = arena_text(arena, bytes_of_text(from->name)),
        .owner = from->owner,
        .state = state_of(from),
        .scope = from->scope,
        .epoch = from->shown.epoch,
        .began_at_us = from->began_at_us,
        .position = position,
        .lag = head > position ? head - position : 0,
        .checkpoint = from->name[0] == '\0' ? 0 : from->shown.checkpoint,
        .delivered = from->shown.delivered,
        .failures = from->shown.failures,
        .attempt = from->shown.attempt,
        .failure = from->shown.failure,
    };
    return ret->name != NULL && copy_list(arena, from->filter.types, &ret->types) &&
           copy_list(arena, from->filter.aggregate_types, &ret->aggregate_types) &&
           copy_list(arena, from->filter.aggregate_ids, &ret->aggregate_ids);
}

struct status bus_subscribers(struct bus *bus, struct bytes type, struct arena *arena,
                              struct bus_subscribers *ret)
{
    struct subscriber_list *list = &bus->subscribers;
    pthread_mutex_lock(&list->lock);
    struct bus_subscriber *items = arena_array(arena, list->count, sizeof *items);
    size_t count = 0;
    bool copied = items != NULL;
    for (const struct subscriber *at = list->first; at != NULL && copied; at = at->next)
        if (is_listed(at) && gets_type(at, type))
            copied = copy_subscriber(arena, at, &items[count++]);
    pthread_mutex_unlock(&list->lock);
    if (!copied)
        return no_memory();
    *ret = (struct bus_subscribers){items, count};
    return status_ok();
}

size_t bus_count(struct bus *bus, struct bytes type)
{
    struct subscriber_list *list = &bus->subscribers;
    size_t count = 0;
    pthread_mutex_lock(&list->lock);
    for (const struct subscriber *at = list->first; at != NULL; at = at->next)
        count += is_live(at) && gets_type(at, type);
    pthread_mutex_unlock(&list->lock);
    return count;
}

/* --- types --- */

static const struct bytes everything = {(const uint8_t *)"*", 1};

static size_t count_types(const struct subscriber_list *list)
{
    size_t count = 0;
    for (const struct subscriber *at = list->first; at != NULL; at = at->next)
        if (is_live(at))
            count += at->filter.types.count == 0 ? 1 : at->filter.types.count;
    return count;
}

static bool take_type(struct arena *arena, struct bytes type, struct bus_type *ret)
{
    *ret = (struct bus_type){arena_bytes(arena, type), 1};
    return ret->type.data != NULL;
}

/* One that names a type twice has asked for it once. */
static bool is_repeated(struct bytes_list types, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (bytes_equal(types.items[i], types.items[index]))
            return true;
    return false;
}

static bool take_types(struct arena *arena, const struct subscriber *from, struct bus_type *items,
                       size_t *count)
{
    const struct bytes_list types = from->filter.types;
    if (types.count == 0)
        return take_type(arena, everything, &items[(*count)++]);
    for (size_t i = 0; i < types.count; i++)
        if (!is_repeated(types, i) && !take_type(arena, types.items[i], &items[(*count)++]))
            return false;
    return true;
}

static int compare_types(const void *a, const void *b)
{
    return bytes_compare(((const struct bus_type *)a)->type, ((const struct bus_type *)b)->type);
}

static size_t merge_equal(struct bus_type *items, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept > 0 && bytes_equal(items[kept - 1].type, items[i].type))
            items[kept - 1].subscriber_count++;
        else
            items[kept++] = items[i];
    return kept;
}

struct status bus_types(struct bus *bus, struct arena *arena, struct bus_types *ret)
{
    struct subscriber_list *list = &bus->subscribers;
    pthread_mutex_lock(&list->lock);
    struct bus_type *items = arena_array(arena, count_types(list), sizeof *items);
    size_t count = 0;
    bool copied = items != NULL;
    for (const struct subscriber *at = list->first; at != NULL && copied; at = at->next)
        if (is_live(at))
            copied = take_types(arena, at, items, &count);
    pthread_mutex_unlock(&list->lock);
    if (!copied)
        return no_memory();
    if (count > 1)
        qsort(items, count, sizeof *items, compare_types);
    *ret = (struct bus_types){items, merge_equal(items, count)};
    return status_ok();
}
