/* Snapshots in memory, least recently used out first: a cache, and the snapshot store of a store in memory. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/hash_table.h"
#include "store/memory/memory_store.h"

/* One snapshot with its texts in one block behind it. */
struct entry {
    struct snapshot snapshot;
    struct entry *next_version; /* of the same aggregate, lower versions behind */
    struct entry *newer;        /* use order */
    struct entry *older;
    size_t size_bytes;
};

struct chain {
    struct bytes aggregate_id; /* owned */
    struct entry *entries;     /* highest version first */
};

struct memory_snapshots {
    struct snapshot_store store;
    size_t max_entries;   /* 0 = unlimited */
    pthread_mutex_t lock; /* guards all below */
    struct hash_table by_id;
    struct chain *chains; /* empty ones go when they are the majority */
    size_t chain_count;
    size_t chain_capacity;
    struct entry *newest;
    struct entry *oldest;
    size_t count;
    int64_t size_bytes;
};

static struct memory_snapshots *of(struct snapshot_store *store)
{
    return (struct memory_snapshots *)store;
}

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for snapshots");
}

static struct chain *find_chain(const struct memory_snapshots *memory, struct bytes id)
{
    const uint64_t hash = hash_table_hash(&memory->by_id, id);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&memory->by_id, hash, &state)) != HASH_NONE)
        if (bytes_equal(memory->chains[at].aggregate_id, id))
            return &memory->chains[at];
    return NULL;
}

static struct chain *make_chain(struct memory_snapshots *memory, struct bytes id)
{
    struct chain *known = find_chain(memory, id);
    if (known != NULL)
        return known;
    if (memory->chain_count == memory->chain_capacity) {
        const size_t capacity = memory->chain_capacity == 0 ? 64 : memory->chain_capacity * 2;
        struct chain *chains = realloc(memory->chains, capacity * sizeof *chains);
        if (chains == NULL)
            return NULL;
        memory->chains = chains;
        memory->chain_capacity = capacity;
    }
    uint8_t *copy = malloc(id.size_bytes + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, id.data, id.size_bytes);
    if (!hash_table_add(&memory->by_id, hash_table_hash(&memory->by_id, id), (uint32_t)memory->chain_count)) {
        free(copy);
        return NULL;
    }
    memory->chains[memory->chain_count] = (struct chain){bytes_of(copy, id.size_bytes), NULL};
    return &memory->chains[memory->chain_count++];
}

static void use_order_remove(struct memory_snapshots *memory, struct entry *entry)
{
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        memory->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        memory->oldest = entry->newer;
}

static void use_order_add(struct memory_snapshots *memory, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = memory->newest;
    if (memory->newest != NULL)
        memory->newest->newer = entry;
    else
        memory->oldest = entry;
    memory->newest = entry;
}

static void remove_entry(struct memory_snapshots *memory, struct chain *chain, struct entry *entry)
{
    struct entry **link = &chain->entries;
    while (*link != entry)
        link = &(*link)->next_version;
    *link = entry->next_version;
    use_order_remove(memory, entry);
    memory->count--;
    memory->size_bytes -= (int64_t)entry->size_bytes;
    free(entry);
}

/* Copies the texts behind the entry, so that one free ends it. */
static struct entry *entry_new(const struct snapshot *snapshot)
{
    const size_t size = snapshot->aggregate_id.size_bytes + snapshot->aggregate_type.size_bytes +
                        snapshot->event_digest.size_bytes + snapshot->data.size_bytes +
                        snapshot->metadata.size_bytes + snapshot->folded.size_bytes;
    struct entry *entry = malloc(sizeof *entry + size);
    if (entry == NULL)
        return NULL;
    *entry = (struct entry){.snapshot = *snapshot, .size_bytes = sizeof *entry + size};
    struct bytes *texts[] = {&entry->snapshot.aggregate_id, &entry->snapshot.aggregate_type,
                             &entry->snapshot.event_digest, &entry->snapshot.data,
                             &entry->snapshot.metadata,     &entry->snapshot.folded};
    uint8_t *at = (uint8_t *)(entry + 1);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i]->size_bytes > 0)
            memcpy(at, texts[i]->data, texts[i]->size_bytes);
        texts[i]->data = at;
        at += texts[i]->size_bytes;
    }
    return entry;
}

#define EMPTY_CHAINS_MIN 1024U

/* Drops empty chains once they outnumber the rest, so that the table stays in proportion to what it holds. */
static void drop_empty_chains(struct memory_snapshots *memory)
{
    if (memory->chain_count < EMPTY_CHAINS_MIN || memory->chain_count < 2 * memory->count)
        return;
    size_t kept = 0;
    hash_table_clear(&memory->by_id);
    for (size_t i = 0; i < memory->chain_count; i++) {
        struct chain chain = memory->chains[i];
        if (chain.entries == NULL) {
            free((void *)chain.aggregate_id.data);
            continue;
        }
        /* The table had room for all of them before. */
        (void)hash_table_add(&memory->by_id, hash_table_hash(&memory->by_id, chain.aggregate_id),
                             (uint32_t)kept);
        memory->chains[kept++] = chain;
    }
    memory->chain_count = kept;
}

static void evict(struct memory_snapshots *memory)
{
    while (memory->max_entries != 0 && memory->count > memory->max_entries)
        remove_entry(memory, find_chain(memory, memory->oldest->snapshot.aggregate_id), memory->oldest);
    drop_empty_chains(memory);
}

static struct status put_locked(struct memory_snapshots *memory, const struct snapshot *snapshot)
{
    struct chain *chain = make_chain(memory, snapshot->aggregate_id);
    struct entry *entry = chain == NULL ? NULL : entry_new(snapshot);
    if (entry == NULL)
        return no_memory();
    struct entry **link = &chain->entries;
    while (*link != NULL && (*link)->snapshot.version > snapshot->version)
        link = &(*link)->next_version;
    if (*link != NULL && (*link)->snapshot.version == snapshot->version)
        remove_entry(memory, chain, *link);
    entry->next_version = *link;
    *link = entry;
    use_order_add(memory, entry);
    memory->count++;
    memory->size_bytes += (int64_t)entry->size_bytes;
    evict(memory);
    return status_ok();
}

static struct status snapshots_put(struct snapshot_store *store, const struct snapshot *snapshot)
{
    struct memory_snapshots *memory = of(store);
    pthread_mutex_lock(&memory->lock);
    struct status status = put_locked(memory, snapshot);
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static struct entry *pick_entry(const struct chain *chain, enum snapshot_pick pick, int32_t version)
{
    for (struct entry *entry = chain->entries; entry != NULL; entry = entry->next_version) {
        if (entry->snapshot.version > version)
            continue;
        if (pick == SNAPSHOT_PICK_EXACT)
            return entry->snapshot.version == version ? entry : NULL;
        if (pick == SNAPSHOT_PICK_LATEST || entry->snapshot.state == SNAPSHOT_VERIFIED)
            return entry;
    }
    return NULL;
}

static bool copy_snapshot(struct arena *arena, const struct snapshot *from, struct snapshot *ret)
{
    *ret = *from;
    struct bytes *texts[] = {&ret->aggregate_id, &ret->aggregate_type, &ret->event_digest,
                             &ret->data,         &ret->metadata,       &ret->folded};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *texts[i] = arena_bytes(arena, *texts[i]);
        if (texts[i]->data == NULL)
            return false;
    }
    return true;
}

static struct status snapshots_get(struct snapshot_store *store, struct bytes aggregate_id,
                                   enum snapshot_pick pick, int32_t version, struct arena *arena,
                                   struct snapshot *ret, bool *ret_found)
{
    struct memory_snapshots *memory = of(store);
    struct status status = status_ok();
    pthread_mutex_lock(&memory->lock);
    const struct chain *chain = find_chain(memory, aggregate_id);
    struct entry *entry = chain == NULL ? NULL : pick_entry(chain, pick, version);
    *ret_found = entry != NULL;
    if (entry != NULL) {
        use_order_remove(memory, entry);
        use_order_add(memory, entry);
        /* Allocation under the lock is an arena's pointer bump; the copy must be of one state. */
        if (!copy_snapshot(arena, &entry->snapshot, ret))
            status = no_memory();
    }
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static int compare_keys(const struct snapshot *a, struct bytes id, int32_t version)
{
    const int order = bytes_compare(a->aggregate_id, id);
    return order != 0 ? order : (a->version > version) - (a->version < version);
}

#define LIST_PAGE 16U /* snapshots copied under the lock at a time */

struct listing {
    struct bytes aggregate_id;   /* empty = all */
    struct bytes aggregate_type; /* empty = all */
    struct bytes after_id;       /* empty = from the start */
    int32_t after_version;
};

static bool is_listed(const struct listing *listing, const struct snapshot *snapshot)
{
    return (listing->aggregate_id.size_bytes == 0 ||
            bytes_equal(snapshot->aggregate_id, listing->aggregate_id)) &&
           (listing->aggregate_type.size_bytes == 0 ||
            bytes_equal(snapshot->aggregate_type, listing->aggregate_type)) &&
           (listing->after_id.size_bytes == 0 ||
            compare_keys(snapshot, listing->after_id, listing->after_version) > 0);
}

/* The least LIST_PAGE that are listed, in order. Nothing is kept sorted for lists: they are rare here. */
static size_t least_listed(const struct memory_snapshots *memory, const struct listing *listing,
                           const struct snapshot *ret_least[LIST_PAGE])
{
    size_t count = 0;
    for (const struct entry *entry = memory->newest; entry != NULL; entry = entry->older) {
        const struct snapshot *snapshot = &entry->snapshot;
        if (!is_listed(listing, snapshot))
            continue;
        size_t at = count;
        while (at > 0 && compare_keys(ret_least[at - 1], snapshot->aggregate_id, snapshot->version) > 0)
            at--;
        if (at == LIST_PAGE)
            continue;
        if (count < LIST_PAGE)
            count++;
        memmove(&ret_least[at + 1], &ret_least[at], (count - 1 - at) * sizeof *ret_least);
        ret_least[at] = snapshot;
    }
    return count;
}

static struct status copy_page(struct memory_snapshots *memory, const struct listing *listing,
                               struct arena *arena, struct snapshot page[LIST_PAGE], size_t *ret_count)
{
    const struct snapshot *least[LIST_PAGE];
    bool fits = true;
    pthread_mutex_lock(&memory->lock);
    const size_t count = least_listed(memory, listing, least);
    for (size_t i = 0; fits && i < count; i++)
        fits = copy_snapshot(arena, least[i], &page[i]);
    pthread_mutex_unlock(&memory->lock);
    *ret_count = count;
    return fits ? status_ok() : no_memory();
}

static struct status snapshots_list(struct snapshot_store *store, struct bytes aggregate_id,
                                    struct bytes aggregate_type, struct bytes after_id, int32_t after_version,
                                    snapshot_sink sink, void *context)
{
    /* Two arenas in turn: a page goes as soon as the next one, which begins behind its last key, is there. */
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(arena_free_at) struct arena *other = arena_new(0);
    if (arena == NULL || other == NULL)
        return no_memory();
    struct listing listing = {aggregate_id, aggregate_type, after_id, after_version};
    for (;;) {
        struct snapshot page[LIST_PAGE];
        size_t count = 0;
        arena_reset(arena);
        STATUS_TRY(copy_page(of(store), &listing, arena, page, &count));
        for (size_t i = 0; i < count; i++) {
            if (!sink(context, &page[i]))
                return status_ok();
        }
        if (count < LIST_PAGE)
            return status_ok();
        listing.after_id = page[count - 1].aggregate_id;
        listing.after_version = page[count - 1].version;
        struct arena *kept = arena;
        arena = other;
        other = kept;
    }
}

static struct status snapshots_remove(struct snapshot_store *store, struct bytes aggregate_id,
                                      int32_t version)
{
    struct memory_snapshots *memory = of(store);
    pthread_mutex_lock(&memory->lock);
    struct chain *chain = find_chain(memory, aggregate_id);
    struct entry *entry = chain == NULL ? NULL : pick_entry(chain, SNAPSHOT_PICK_EXACT, version);
    if (entry != NULL)
        remove_entry(memory, chain, entry);
    pthread_mutex_unlock(&memory->lock);
    return status_ok();
}

static struct status snapshots_stats(struct snapshot_store *store, struct snapshot_store_stats *ret)
{
    struct memory_snapshots *memory = of(store);
    pthread_mutex_lock(&memory->lock);
    *ret = (struct snapshot_store_stats){"memory", (int64_t)memory->count, memory->size_bytes};
    pthread_mutex_unlock(&memory->lock);
    return status_ok();
}

static void snapshots_close(struct snapshot_store *store)
{
    struct memory_snapshots *memory = of(store);
    while (memory->newest != NULL) {
        struct entry *next = memory->newest->older;
        free(memory->newest);
        memory->newest = next;
    }
    for (size_t i = 0; i < memory->chain_count; i++)
        free((void *)memory->chains[i].aggregate_id.data);
    free(memory->chains);
    hash_table_done(&memory->by_id);
    (void)pthread_mutex_destroy(&memory->lock); /* nobody holds it */
    free(memory);
}

static const struct snapshot_store_ops snapshots_ops = {
    .put = snapshots_put,
    .get = snapshots_get,
    .list = snapshots_list,
    .remove = snapshots_remove,
    .stats = snapshots_stats,
    .close = snapshots_close,
};

struct status memory_snapshots_open(size_t max_entries, struct snapshot_store **ret)
{
    struct memory_snapshots *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return no_memory();
    memory->store.ops = &snapshots_ops;
    memory->max_entries = max_entries;
    memory->by_id = hash_table_make((uint64_t)(uintptr_t)memory);
    (void)pthread_mutex_init(&memory->lock, NULL); /* fails only for attributes that are not used */
    *ret = &memory->store;
    return status_ok();
}
