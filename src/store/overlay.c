#include "store/overlay_internal.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_CAPACITY 16U

struct overlay *overlay_new(void)
{
    return overlay_seeded(0);
}

struct overlay *overlay_seeded(uint64_t seed)
{
    struct overlay *overlay = calloc(1, sizeof *overlay);
    if (overlay == NULL)
        return NULL;
    overlay->by_aggregate = hash_table_make(seed);
    overlay->by_id = hash_table_make(seed);
    return overlay;
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

struct overlay_head *overlay_find_head(const struct overlay *overlay, struct bytes id)
{
    const uint64_t hash = hash_table_hash(&overlay->by_aggregate, id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&overlay->by_aggregate, hash, &state)) != HASH_NONE)
        if (bytes_equal(overlay->heads[at].id, id))
            return &overlay->heads[at];
    return NULL;
}

static bool make_room(void **items, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return true;
    const size_t wanted = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
    void *grown = realloc(*items, wanted * size);
    if (grown == NULL)
        return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

struct overlay_head *overlay_add_head(struct overlay *overlay, struct bytes id,
                                      const struct aggregate_head *head)
{
    assert(overlay_find_head(overlay, id) == NULL);
    if (!make_room((void **)&overlay->heads, &overlay->head_capacity, overlay->head_count,
                   sizeof *overlay->heads) ||
        !hash_table_add(&overlay->by_aggregate, hash_table_hash(&overlay->by_aggregate, id),
                        (uint32_t)overlay->head_count))
        return NULL;
    struct overlay_head *added = &overlay->heads[overlay->head_count++];
    *added = (struct overlay_head){.id = id, .now = *head, .staged_by = SIZE_MAX};
    return added;
}

const struct commit_append *overlay_find_id(const struct overlay *overlay, struct bytes event_id)
{
    const uint64_t hash = hash_table_hash(&overlay->by_id, event_id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&overlay->by_id, hash, &state)) != HASH_NONE)
        if (bytes_equal(overlay->ids[at].id, event_id))
            return &overlay->appends[overlay->ids[at].accepted];
    return NULL;
}

bool overlay_add_ids(struct overlay *overlay, const struct commit_append *append)
{
    for (size_t i = 0; i < append->count; i++) {
        const struct bytes id = append->fields[i].id;
        if (!make_room((void **)&overlay->ids, &overlay->id_capacity, overlay->id_count,
                       sizeof *overlay->ids) ||
            !hash_table_add(&overlay->by_id, hash_table_hash(&overlay->by_id, id),
                            (uint32_t)overlay->id_count))
            return false;
        overlay->ids[overlay->id_count++] = (struct overlay_id){id, (size_t)(append - overlay->appends)};
    }
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
