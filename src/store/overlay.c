#include "store/overlay_internal.h"

#include <stdlib.h>

#define FIRST_CAPACITY 16U

static bool make_room(void **items, size_t *capacity, size_t wanted, size_t size)
{
    if (wanted <= *capacity)
        return true;
    const size_t doubled = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
    const size_t room = doubled < wanted ? wanted : doubled;
    void *grown = realloc(*items, room * size);
    if (grown == NULL)
        return false;
    *items = grown;
    *capacity = room;
    return true;
}

struct overlay *overlay_new(uint64_t seed, size_t heads, size_t ids)
{
    struct overlay *overlay = calloc(1, sizeof *overlay);
    if (overlay == NULL)
        return NULL;
    overlay->by_aggregate = hash_table_make(seed);
    overlay->by_id = hash_table_make(seed);
    if (make_room((void **)&overlay->heads, &overlay->head_capacity, heads, sizeof *overlay->heads) &&
        make_room((void **)&overlay->ids, &overlay->id_capacity, ids, sizeof *overlay->ids) &&
        hash_table_reserve(&overlay->by_aggregate, heads) && hash_table_reserve(&overlay->by_id, ids))
        return overlay;
    overlay_free(overlay);
    return NULL;
}

void overlay_free(struct overlay *overlay)
{
    if (overlay == NULL)
        return;
    hash_table_done(&overlay->by_aggregate);
    hash_table_done(&overlay->by_id);
    free(overlay->heads);
    free(overlay->ids);
    free(overlay);
}

struct overlay_head *overlay_find_head(const struct overlay *overlay, struct bytes id, uint64_t hash)
{
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&overlay->by_aggregate, hash, &state)) != HASH_NONE)
        if (bytes_equal(overlay->heads[at].id, id))
            return &overlay->heads[at];
    return NULL;
}

struct overlay_head *overlay_add_head(struct overlay *overlay, struct bytes id, uint64_t hash,
                                      const struct aggregate_head *head)
{
    if (!make_room((void **)&overlay->heads, &overlay->head_capacity, overlay->head_count + 1,
                   sizeof *overlay->heads) ||
        !hash_table_add(&overlay->by_aggregate, hash, (uint32_t)overlay->head_count))
        return NULL;
    struct overlay_head *added = &overlay->heads[overlay->head_count++];
    *added = (struct overlay_head){.id = id, .now = *head, .staged_by = SIZE_MAX};
    return added;
}

const struct commit_append *overlay_find_id(const struct overlay *overlay, struct bytes event_id,
                                            uint64_t hash)
{
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&overlay->by_id, hash, &state)) != HASH_NONE)
        if (bytes_equal(overlay->ids[at].id, event_id))
            return &overlay->appends[overlay->ids[at].accepted];
    return NULL;
}

uint64_t overlay_hash_id(const struct overlay *overlay, struct bytes event_id)
{
    return hash_table_hash(&overlay->by_id, event_id);
}

bool overlay_add_id(struct overlay *overlay, struct bytes event_id, uint64_t hash)
{
    if (!make_room((void **)&overlay->ids, &overlay->id_capacity, overlay->id_count + 1,
                   sizeof *overlay->ids) ||
        !hash_table_add(&overlay->by_id, hash, (uint32_t)overlay->id_count))
        return false;
    overlay->ids[overlay->id_count++] = (struct overlay_id){event_id, overlay->append_count};
    return true;
}

int64_t overlay_match(const struct overlay *overlay, const struct event_query *query, int64_t after)
{
    for (size_t i = 0; i < overlay->append_count; i++)
        for (size_t j = 0; j < overlay->appends[i].count; j++) {
            const struct event_fields *fields = &overlay->appends[i].fields[j];
            if (fields->position > after && query_matches(query, fields))
                return fields->position;
        }
    return 0;
}
