#include "known_ids_internal.h"

struct known_id {
    size_t offset;
    size_t size_bytes;
};

struct known_ids known_ids_make(uint64_t seed)
{
    return (struct known_ids){
        .by_id = hash_table_make(seed), .texts = buffer_make(0), .items = buffer_make(0)};
}

void known_ids_done(struct known_ids *ids)
{
    hash_table_done(&ids->by_id);
    buffer_done(&ids->texts);
    buffer_done(&ids->items);
}

void known_ids_clear(struct known_ids *ids)
{
    hash_table_clear(&ids->by_id);
    buffer_clear(&ids->texts);
    buffer_clear(&ids->items);
}

struct status known_ids_add(struct known_ids *ids, struct bytes id)
{
    const struct known_id item = {ids->texts.size_bytes, id.size_bytes};
    const size_t place = ids->items.size_bytes / sizeof item;
    buffer_add_bytes(&ids->texts, id);
    buffer_add(&ids->items, &item, sizeof item);
    STATUS_TRY(buffer_status(&ids->texts));
    STATUS_TRY(buffer_status(&ids->items));
    if (!hash_table_add(&ids->by_id, hash_table_hash(&ids->by_id, id), (uint32_t)place))
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the ids of a batch");
    return status_ok();
}

bool known_ids_has(const struct known_ids *ids, struct bytes id)
{
    const struct known_id *items = (const struct known_id *)(const void *)ids->items.data;
    const uint64_t hash = hash_table_hash(&ids->by_id, id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&ids->by_id, hash, &state)) != HASH_NONE)
        if (bytes_equal(bytes_of(ids->texts.data + items[at].offset, items[at].size_bytes), id))
            return true;
    return false;
}
