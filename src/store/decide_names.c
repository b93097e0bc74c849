#include <assert.h>

#include "decide_internal.h"

struct decide_namer decide_namer_make(uint64_t seed)
{
    return (struct decide_namer){hash_table_make(seed), hash_table_make(seed)};
}

void decide_namer_done(struct decide_namer *namer)
{
    hash_table_done(&namer->aggregates);
    hash_table_done(&namer->ids);
}

/* A list of names that is being filled. */
struct name_list {
    struct hash_table *seen; /* to places in `items` */
    struct bytes *items;
    uint64_t *hashes;
    size_t count;
};

/* The place of the name, which is added when it is new; HASH_NONE when out of memory. */
static uint32_t name_place(struct name_list *list, struct bytes name)
{
    const uint64_t hash = hash_table_hash(list->seen, name);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(list->seen, hash, &state)) != HASH_NONE)
        if (bytes_equal(list->items[at], name))
            return at;
    const uint32_t place = (uint32_t)list->count;
    if (!hash_table_add(list->seen, hash, place))
        return HASH_NONE;
    list->items[place] = name;
    list->hashes[place] = hash;
    list->count++;
    return place;
}

static size_t aggregate_mentions(const struct append *append)
{
    return append->event_count + append->expectation_count + append->verdict_count;
}

/* Nothing follows from a failure before the end: the places are then not used. */
static bool name_append(struct name_list *aggregates, struct name_list *ids, const struct append *append,
                        uint32_t *aggregate_places, uint32_t *id_places)
{
    bool good = true;
    for (size_t i = 0; i < append->event_count; i++) {
        *aggregate_places = name_place(aggregates, append->events[i].aggregate_id);
        good = good && *aggregate_places++ != HASH_NONE;
    }
    for (size_t i = 0; i < append->expectation_count; i++) {
        *aggregate_places = name_place(aggregates, append->expectations[i].aggregate_id);
        good = good && *aggregate_places++ != HASH_NONE;
    }
    for (size_t i = 0; i < append->verdict_count; i++) {
        *aggregate_places = name_place(aggregates, append->verdicts[i].aggregate_id);
        good = good && *aggregate_places++ != HASH_NONE;
    }
    for (size_t i = 0; !append->ids_server_made && i < append->event_count; i++) {
        id_places[i] = name_place(ids, append->events[i].id);
        good = good && id_places[i] != HASH_NONE;
    }
    return good;
}

static bool list_make(struct name_list *list, struct hash_table *seen, struct arena *arena, size_t most)
{
    list->seen = seen;
    list->items = arena_alloc(arena, most * sizeof *list->items);
    list->hashes = arena_alloc(arena, most * sizeof *list->hashes);
    list->count = 0;
    return list->items != NULL && list->hashes != NULL;
}

static bool name_all(struct decide_namer *namer, const struct append *const *appends, size_t append_count,
                     struct arena *arena, struct decide_names *ret)
{
    size_t mentions = 0;
    size_t ids = 0;
    for (size_t i = 0; i < append_count; i++) {
        mentions += aggregate_mentions(appends[i]);
        ids += appends[i]->ids_server_made ? 0 : appends[i]->event_count;
    }
    struct name_list aggregates;
    struct name_list event_ids;
    struct append_names *names = arena_alloc(arena, append_count * sizeof *names);
    uint32_t *places = arena_alloc(arena, (mentions + ids) * sizeof *places);
    if (!list_make(&aggregates, &namer->aggregates, arena, mentions) ||
        !list_make(&event_ids, &namer->ids, arena, ids) || names == NULL || places == NULL)
        return false;
    for (size_t i = 0; i < append_count; i++) {
        uint32_t *id_places = places + aggregate_mentions(appends[i]);
        if (!name_append(&aggregates, &event_ids, appends[i], places, id_places))
            return false;
        names[i] = (struct append_names){places, appends[i]->ids_server_made ? NULL : id_places};
        places = id_places + (appends[i]->ids_server_made ? 0 : appends[i]->event_count);
    }
    *ret = (struct decide_names){
        .request = {aggregates.items, aggregates.count, event_ids.items, event_ids.count},
        .aggregate_hashes = aggregates.hashes,
        .event_id_hashes = event_ids.hashes,
        .appends = names,
        .seed = namer->aggregates.seed,
    };
    return true;
}

struct status decide_name(struct decide_namer *namer, const struct append *const *appends,
                          size_t append_count, struct arena *arena, struct decide_names *ret)
{
    assert(namer->aggregates.count == 0 && namer->ids.count == 0);
    const bool good = name_all(namer, appends, append_count, arena, ret);
    hash_table_clear(&namer->aggregates);
    hash_table_clear(&namer->ids);
    return good ? status_ok() : decide_no_memory();
}
