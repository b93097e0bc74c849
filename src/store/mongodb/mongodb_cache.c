/* The heads of the aggregates that were asked for or written lately, all as of one position. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mongodb_internal.h"

#define HEADS_MOST ((size_t)1 << 17)

struct status mongodb_cache_init(struct mongodb_cache *cache, uint64_t seed)
{
    cache->by_id = hash_table_make(seed);
    cache->texts = arena_new(0);
    return cache->texts != NULL ? status_ok() : mongodb_no_memory();
}

void mongodb_cache_done(struct mongodb_cache *cache)
{
    hash_table_done(&cache->by_id);
    free(cache->heads);
    arena_free(cache->texts);
}

static void forget_heads(struct mongodb_cache *cache)
{
    hash_table_clear(&cache->by_id);
    arena_reset(cache->texts);
    cache->count = 0;
}

void mongodb_cache_forget(struct mongodb_cache *cache)
{
    forget_heads(cache);
    cache->known = false;
}

void mongodb_cache_make_room(struct mongodb_cache *cache, size_t count)
{
    if (cache->count + count > HEADS_MOST)
        forget_heads(cache);
}

struct mongodb_head *mongodb_cache_find(struct mongodb_cache *cache, struct bytes id)
{
    const uint64_t hash = hash_table_hash(&cache->by_id, id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&cache->by_id, hash, &state)) != HASH_NONE)
        if (bytes_equal(cache->heads[at].id, id))
            return &cache->heads[at];
    return NULL;
}

static bool grow(struct mongodb_cache *cache)
{
    if (cache->count < cache->capacity)
        return true;
    const size_t capacity = cache->capacity == 0 ? 256 : cache->capacity * 2;
    struct mongodb_head *heads = realloc(cache->heads, capacity * sizeof *heads);
    if (heads == NULL)
        return false;
    cache->heads = heads;
    cache->capacity = capacity;
    return true;
}

struct mongodb_head *mongodb_cache_enter(struct mongodb_cache *cache, struct bytes id)
{
    struct mongodb_head *known = mongodb_cache_find(cache, id);
    if (known != NULL)
        return known;
    const struct bytes copy = arena_bytes(cache->texts, id);
    if (copy.data == NULL || !grow(cache) ||
        !hash_table_add(&cache->by_id, hash_table_hash(&cache->by_id, id), (uint32_t)cache->count))
        return NULL;
    cache->heads[cache->count] = (struct mongodb_head){.id = copy};
    return &cache->heads[cache->count++];
}

static bool fill(struct mongodb_cache *cache, struct mongodb_head *head, const bson_iter_t *entry)
{
    if (!head->exists)
        head->type = arena_bytes(cache->texts, iter_member_bytes(entry, "t"));
    head->exists = true;
    head->version = (int32_t)iter_member_int(entry, "v");
    head->position = iter_member_int(entry, "p");
    head->first_position = iter_member_int(entry, "f");
    head->event_count = (int32_t)iter_member_int(entry, "c");
    return head->type.data != NULL;
}

bool mongodb_cache_take(struct mongodb_cache *cache, const bson_iter_t *entry)
{
    struct mongodb_head *head = mongodb_cache_enter(cache, iter_member_bytes(entry, "a"));
    return head != NULL && fill(cache, head, entry);
}

struct status mongodb_cache_follow(struct mongodb_cache *cache, const bson_t *append)
{
    bson_iter_t entry;
    struct store_head head;
    const int64_t first = get_int(append, "_id");
    STATUS_TRY(mongodb_head_of(append, &head));
    if (first != cache->head.position + 1)
        return status_reason(REASON_POSITION_MISSING,
                             "the event at position %" PRId64 " is not in the database",
                             cache->head.position + 1);
    if (get_array(append, "agg", &entry))
        while (bson_iter_next(&entry)) {
            struct mongodb_head *known = mongodb_cache_find(cache, iter_member_bytes(&entry, "a"));
            if (known != NULL && !fill(cache, known, &entry))
                return mongodb_no_memory();
        }
    cache->head = head;
    cache->newest = first;
    return status_ok();
}
