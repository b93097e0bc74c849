#include "head_cache_internal.h"

#include <stdlib.h>
#include <string.h>

#include "store/pages.h"

/* A slot is one line of the processor's cache, and so are the tags of a set; most ids fit into one. */
#define LINE_BYTES    64U
#define ID_BYTES      44U
#define SET_SLOTS     15U /* where a hash may be: so many that few sets get more keys than they hold */
#define NO_SLOT       SET_SLOTS
#define TYPES_MAX     1024U
#define POSITION_BITS 40
/* Fetched before they are needed: more than the processor has under way at a time only push each other out. */
#define SETS_AHEAD 12U

struct slot {
    uint64_t as_of : POSITION_BITS;
    uint64_t id_bytes : 8;
    uint64_t : 16;
    uint64_t position : POSITION_BITS;
    uint64_t type : 16;
    uint64_t : 8;
    int32_t version;
    uint8_t id[ID_BYTES];
};
_Static_assert(sizeof(struct slot) == LINE_BYTES, "a slot is as large as is counted");

struct set {
    uint32_t tags[SET_SLOTS]; /* of the hashes in the slots; 0 = free */
    uint32_t unused;
    struct slot slots[SET_SLOTS];
};
_Static_assert(sizeof(struct set) == (1 + SET_SLOTS) * LINE_BYTES, "a set is as large as is counted");

struct staged {
    uint64_t hash;
    size_t id_offset; /* in the buffer of texts */
    uint8_t id_bytes;
    uint16_t type;
    int32_t version;
    int64_t position;
};

struct head_cache {
    struct set *sets;
    uint64_t set_count;
    struct arena *texts;
    struct bytes types[TYPES_MAX];
    size_t type_count;
    size_t last_type; /* the one that was looked for last: most often the next one too */

    int64_t settled_to;     /* the last commit whose heads are entries; -1 = none */
    int64_t complete_since; /* since this position every commit up to settled_to became entries */
    int64_t staged_as_of;   /* 0 = nothing is staged */
    struct buffer staged;   /* struct staged each */
    struct buffer staged_texts;
};

struct head_cache *head_cache_new(uint64_t bytes)
{
    struct head_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return NULL;
    cache->settled_to = -1;
    cache->complete_since = INT64_MAX;
    cache->staged = buffer_make(0);
    cache->staged_texts = buffer_make(0);
    cache->set_count = bytes / sizeof *cache->sets + 1;
    cache->sets = pages_new(cache->set_count * sizeof *cache->sets);
    cache->texts = arena_new(0);
    if (cache->sets != NULL && cache->texts != NULL)
        return cache;
    head_cache_free(cache);
    return NULL;
}

void head_cache_free(struct head_cache *cache)
{
    if (cache == NULL)
        return;
    buffer_done(&cache->staged);
    buffer_done(&cache->staged_texts);
    pages_free(cache->sets, cache->set_count * sizeof *cache->sets);
    arena_free(cache->texts);
    free(cache);
}

/* The product spreads hashes over the sets as a remainder would, without a division; it takes their upper bits. */
static inline struct set *set_of(const struct head_cache *cache, uint64_t hash)
{
    return &cache->sets[(uint64_t)(((unsigned __int128)hash * cache->set_count) >> 64U)];
}

static inline uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)hash | 1U;
}

/* The first slot from `at` on with this tag, or NO_SLOT. */
static inline uint32_t find_tag(const struct set *set, uint32_t tag, uint32_t at)
{
    while (at < SET_SLOTS && set->tags[at] != tag)
        at++;
    return at;
}

static bool is_of(const struct slot *slot, struct bytes id)
{
    return slot->id_bytes == id.size_bytes && memcmp(slot->id, id.data, id.size_bytes) == 0;
}

static uint32_t find_slot(const struct set *set, struct bytes id, uint32_t tag)
{
    uint32_t at = find_tag(set, tag, 0);
    while (at != NO_SLOT && !is_of(&set->slots[at], id))
        at = find_tag(set, tag, at + 1);
    return at;
}

/* Always inlined: gcc takes a function that only fetches for one without effect, and leaves out calls of it. */
static inline __attribute__((always_inline)) void prefetch_tags(const struct head_cache *cache, uint64_t hash)
{
    __builtin_prefetch(set_of(cache, hash));
}

static inline __attribute__((always_inline)) void prefetch_slot(const struct head_cache *cache, uint64_t hash)
{
    const struct set *set = set_of(cache, hash);
    const uint32_t at = find_tag(set, tag_of(hash), 0);
    if (at != NO_SLOT)
        __builtin_prefetch(&set->slots[at]);
}

void head_cache_prefetch(const struct head_cache *cache, uint64_t hash)
{
    prefetch_tags(cache, hash);
}

void head_cache_prefetch_entry(const struct head_cache *cache, uint64_t hash)
{
    prefetch_slot(cache, hash);
}

bool head_cache_get(const struct head_cache *cache, struct bytes id, uint64_t hash,
                    struct aggregate_head *ret, int64_t *ret_as_of)
{
    const struct set *set = set_of(cache, hash);
    if (id.size_bytes > ID_BYTES || id.size_bytes == 0)
        return false;
    const uint32_t at = find_slot(set, id, tag_of(hash));
    if (at == NO_SLOT)
        return false;
    const struct slot *slot = &set->slots[at];
    *ret = (struct aggregate_head){
        .exists = true,
        .type = cache->types[slot->type],
        .version = slot->version,
        .position = (int64_t)slot->position,
    };
    *ret_as_of = (int64_t)slot->as_of;
    if (*ret_as_of >= cache->complete_since && *ret_as_of < cache->settled_to)
        *ret_as_of = cache->settled_to; /* a later commit to the aggregate would have changed the entry */
    return true;
}

/* Services have few aggregate types; one that uses thousands does without the cache for the rest. */
static bool find_type(struct head_cache *cache, struct bytes type, uint16_t *ret)
{
    if (cache->last_type < cache->type_count && bytes_equal(cache->types[cache->last_type], type)) {
        *ret = (uint16_t)cache->last_type;
        return true;
    }
    size_t at = 0;
    while (at < cache->type_count && !bytes_equal(cache->types[at], type))
        at++;
    if (at == TYPES_MAX)
        return false;
    if (at == cache->type_count) {
        const struct bytes copy = arena_bytes(cache->texts, type);
        if (copy.data == NULL)
            return false;
        cache->types[cache->type_count++] = copy;
    }
    cache->last_type = at;
    *ret = (uint16_t)at;
    return true;
}

/*
 * The id's own slot, else a free one, else any: who goes through more aggregates than fit, in turn, would always find
 * that the oldest had just given way.
 */
static struct slot *slot_for(struct head_cache *cache, struct bytes id, uint64_t hash, int64_t as_of)
{
    struct set *set = set_of(cache, hash);
    uint32_t at = find_slot(set, id, tag_of(hash));
    if (at == NO_SLOT)
        at = find_tag(set, 0, 0);
    if (at == NO_SLOT)
        at = (uint32_t)((hash ^ (uint64_t)as_of) * UINT64_C(0x9E3779B97F4A7C15) >> 32U) % SET_SLOTS;
    set->tags[at] = tag_of(hash);
    return &set->slots[at];
}

static void put(struct head_cache *cache, struct bytes id, uint64_t hash, uint16_t type, int32_t version,
                int64_t position, int64_t as_of)
{
    struct slot *slot = slot_for(cache, id, hash, as_of);
    slot->as_of = (uint64_t)as_of & ((UINT64_C(1) << POSITION_BITS) - 1);
    slot->position = (uint64_t)position & ((UINT64_C(1) << POSITION_BITS) - 1);
    slot->id_bytes = (uint8_t)id.size_bytes;
    slot->type = type;
    slot->version = version;
    memcpy(slot->id, id.data, id.size_bytes);
}

static bool fits(struct bytes id, int64_t as_of)
{
    return id.size_bytes > 0 && id.size_bytes <= ID_BYTES && as_of > 0 && as_of < INT64_C(1) << POSITION_BITS;
}

void head_cache_put(struct head_cache *cache, struct bytes id, uint64_t hash,
                    const struct aggregate_head *head, int64_t as_of)
{
    uint16_t type = 0;
    if (fits(id, as_of) && find_type(cache, head->type, &type))
        put(cache, id, hash, type, head->version, head->position, as_of);
}

static void forget_staged(struct head_cache *cache)
{
    buffer_clear(&cache->staged);
    buffer_clear(&cache->staged_texts);
    cache->staged_as_of = 0;
}

void head_cache_stage_begin(struct head_cache *cache, int64_t before, int64_t as_of)
{
    forget_staged(cache);
    if (before != cache->settled_to)
        cache->complete_since = before; /* a commit in between has left no entries */
    cache->settled_to = before;
    cache->staged_as_of = as_of;
}

void head_cache_stage(struct head_cache *cache, uint64_t hash, const struct event_fields *fields)
{
    struct staged staged = {
        .hash = hash,
        .id_offset = cache->staged_texts.size_bytes,
        .id_bytes = (uint8_t)fields->aggregate_id.size_bytes,
        .version = fields->version,
        .position = fields->position,
    };
    if (!fits(fields->aggregate_id, cache->staged_as_of) ||
        !find_type(cache, fields->aggregate_type, &staged.type))
        return;
    buffer_add_bytes(&cache->staged_texts, fields->aggregate_id);
    buffer_add(&cache->staged, &staged, sizeof staged);
    if (cache->staged.failed || cache->staged_texts.failed)
        forget_staged(cache);
}

void head_cache_settle(struct head_cache *cache, int64_t head_position)
{
    if (cache->staged_as_of == 0 || cache->staged_as_of > head_position)
        return;
    const struct staged *staged = (const struct staged *)(const void *)cache->staged.data;
    const size_t count = cache->staged.size_bytes / sizeof *staged;
    for (size_t i = 0; i < count && i < 2 * (size_t)SETS_AHEAD; i++)
        prefetch_tags(cache, staged[i].hash);
    for (size_t i = 0; i < count; i++) {
        if (i + 2 * (size_t)SETS_AHEAD < count)
            prefetch_tags(cache, staged[i + 2 * (size_t)SETS_AHEAD].hash);
        if (i + SETS_AHEAD < count)
            prefetch_slot(cache, staged[i + SETS_AHEAD].hash);
        const struct bytes id = bytes_of(cache->staged_texts.data + staged[i].id_offset, staged[i].id_bytes);
        put(cache, id, staged[i].hash, staged[i].type, staged[i].version, staged[i].position,
            cache->staged_as_of);
    }
    cache->settled_to = cache->staged_as_of;
    forget_staged(cache);
}
