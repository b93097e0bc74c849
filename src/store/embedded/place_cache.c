#include "place_cache_internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SET_PAGES 4U /* where a page may be */

struct page {
    int64_t first; /* 0 = free */
    struct place places[PART_PAGE_PLACES];
};

struct set {
    pthread_mutex_t lock; /* guards the set and its pages; a leaf */
    uint32_t counts[SET_PAGES];
    uint32_t next; /* to be filled */
};

struct place_cache {
    struct set *sets;
    struct page *pages; /* SET_PAGES of each set */
    uint64_t set_count;
};

struct place_cache *place_cache_new(uint64_t bytes)
{
    struct place_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return NULL;
    const uint64_t set_bytes = sizeof(struct set) + SET_PAGES * sizeof(struct page);
    const uint64_t count = bytes < set_bytes ? 1 : bytes / set_bytes;
    cache->sets = calloc(count, sizeof *cache->sets);
    cache->pages = calloc(count * SET_PAGES, sizeof *cache->pages); /* untouched pages cost nothing */
    if (cache->sets == NULL || cache->pages == NULL) {
        place_cache_free(cache);
        return NULL;
    }
    for (uint64_t i = 0; i < count; i++)
        (void)pthread_mutex_init(&cache->sets[i].lock,
                                 NULL); /* fails only for attributes that are not used */
    cache->set_count = count;
    return cache;
}

void place_cache_free(struct place_cache *cache)
{
    if (cache == NULL)
        return;
    for (uint64_t i = 0; i < cache->set_count; i++)
        (void)pthread_mutex_destroy(&cache->sets[i].lock); /* nobody holds it */
    free(cache->sets);
    free(cache->pages);
    free(cache);
}

/* Pages that follow each other go to sets that follow each other: a history is spread evenly. */
static uint64_t set_of(const struct place_cache *cache, int64_t page)
{
    return (uint64_t)page / PART_PAGE_PLACES % cache->set_count;
}

/* The set's page of this name, or NULL. */
static struct page *find_page(const struct place_cache *cache, uint64_t set, int64_t first)
{
    struct page *pages = &cache->pages[set * SET_PAGES];
    for (size_t i = 0; i < SET_PAGES; i++)
        if (pages[i].first == first)
            return &pages[i];
    return NULL;
}

bool place_cache_get(struct place_cache *cache, int64_t page, uint32_t number, struct place ret[2],
                     uint32_t *ret_count)
{
    const uint64_t at = set_of(cache, page);
    struct set *set = &cache->sets[at];
    pthread_mutex_lock(&set->lock);
    const struct page *found = find_page(cache, at, page);
    if (found != NULL) {
        const uint32_t count = set->counts[found - &cache->pages[at * SET_PAGES]];
        assert(number < count);
        *ret_count = number + 1 < count ? 2 : 1;
        memcpy(ret, &found->places[number], *ret_count * sizeof *ret);
    }
    pthread_mutex_unlock(&set->lock);
    return found != NULL;
}

void place_cache_put(struct place_cache *cache, int64_t page, const struct place *places, uint32_t count)
{
    assert(page > 0 && count > 0 && count <= PART_PAGE_PLACES);
    const uint64_t at = set_of(cache, page);
    struct set *set = &cache->sets[at];
    pthread_mutex_lock(&set->lock);
    if (find_page(cache, at, page) == NULL) { /* else another thread was faster */
        struct page *filled = &cache->pages[at * SET_PAGES + set->next];
        filled->first = page;
        memcpy(filled->places, places, count * sizeof *places);
        set->counts[set->next] = count;
        set->next = (set->next + 1) % SET_PAGES;
    }
    pthread_mutex_unlock(&set->lock);
}
