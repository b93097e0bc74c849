#include "memory_state_internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/state_rules.h"

struct entry {
    struct bytes key; /* both owned */
    struct bytes value;
};

/* Keys to values, ascending by key: there are few, and lists come in order. */
struct table {
    struct entry *entries;
    size_t count;
};

struct memory_state {
    const struct clock *clock;
    pthread_mutex_t lock;     /* guards all below */
    struct table values;      /* the callers' bytes */
    struct table leases;      /* struct lease_value, then the holder */
    struct table checkpoints; /* struct checkpoint */
};

struct lease_value {
    struct lease lease;
    int64_t ttl_us;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the state in memory");
}

/* --- tables --- */

/* Where the first key that is not below `key` stands. */
static size_t table_place(const struct table *table, struct bytes key)
{
    size_t low = 0;
    size_t high = table->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (bytes_compare(table->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct entry *table_find(const struct table *table, struct bytes key)
{
    const size_t at = table_place(table, key);
    return at < table->count && bytes_equal(table->entries[at].key, key) ? &table->entries[at] : NULL;
}

static bool copy_of(struct bytes first, struct bytes second, struct bytes *ret)
{
    uint8_t *copy = malloc(first.size_bytes + second.size_bytes + 1); /* never 0: NULL means failure */
    if (copy == NULL)
        return false;
    if (first.size_bytes > 0)
        memcpy(copy, first.data, first.size_bytes);
    if (second.size_bytes > 0)
        memcpy(copy + first.size_bytes, second.data, second.size_bytes);
    *ret = bytes_of(copy, first.size_bytes + second.size_bytes);
    return true;
}

static bool table_insert(struct table *table, size_t at, struct bytes key, struct bytes value)
{
    struct bytes own_key = BYTES_NONE;
    struct entry *entries = realloc(table->entries, (table->count + 1) * sizeof *entries);
    if (entries == NULL)
        return false;
    table->entries = entries;
    if (!copy_of(key, BYTES_NONE, &own_key))
        return false;
    memmove(entries + at + 1, entries + at, (table->count - at) * sizeof *entries);
    entries[at] = (struct entry){own_key, value};
    table->count++;
    return true;
}

/* The value is stored as `first` followed by `second`. */
static struct status table_put(struct table *table, struct bytes key, struct bytes first, struct bytes second)
{
    struct bytes value = BYTES_NONE;
    if (!copy_of(first, second, &value))
        return no_memory();
    const size_t at = table_place(table, key);
    if (at < table->count && bytes_equal(table->entries[at].key, key)) {
        free((void *)table->entries[at].value.data);
        table->entries[at].value = value;
        return status_ok();
    }
    if (table_insert(table, at, key, value))
        return status_ok();
    free((void *)value.data);
    return no_memory();
}

static void table_remove(struct table *table, struct bytes key)
{
    const size_t at = table_place(table, key);
    if (at == table->count || !bytes_equal(table->entries[at].key, key))
        return;
    free((void *)table->entries[at].key.data);
    free((void *)table->entries[at].value.data);
    table->count--;
    memmove(table->entries + at, table->entries + at + 1, (table->count - at) * sizeof *table->entries);
}

static void table_free(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free((void *)table->entries[i].key.data);
        free((void *)table->entries[i].value.data);
    }
    free(table->entries);
}

static bool begins_with(struct bytes text, struct bytes prefix)
{
    return text.size_bytes >= prefix.size_bytes &&
           bytes_equal(bytes_of(text.data, prefix.size_bytes), prefix);
}

/* The first entry behind `after` (empty = from the first) that begins with `prefix`; false when there is none. */
static bool table_next(const struct table *table, struct bytes prefix, struct bytes after, struct entry *ret)
{
    size_t at = table_place(table, prefix);
    const size_t behind = table_place(table, after);
    at = behind > at ? behind : at;
    if (after.size_bytes > 0 && at < table->count && bytes_equal(table->entries[at].key, after))
        at++;
    if (at == table->count || !begins_with(table->entries[at].key, prefix))
        return false;
    *ret = table->entries[at];
    return true;
}

/* A copy of the next entry, since a sink is not called under the lock. */
static struct status next_entry(struct memory_state *state, const struct table *table, struct bytes prefix,
                                struct bytes after, struct arena *arena, struct entry *ret, bool *ret_found)
{
    struct entry found = {BYTES_NONE, BYTES_NONE};
    arena_reset(arena);
    pthread_mutex_lock(&state->lock);
    *ret_found = table_next(table, prefix, after, &found);
    struct entry copy = {arena_bytes(arena, found.key), arena_bytes(arena, found.value)};
    pthread_mutex_unlock(&state->lock);
    if (*ret_found && (copy.key.data == NULL || (copy.value.data == NULL && found.value.size_bytes > 0)))
        return no_memory();
    *ret = copy;
    return status_ok();
}

typedef bool (*entry_sink)(void *context, const struct entry *entry);

static struct status table_list(struct memory_state *state, const struct table *table, struct bytes prefix,
                                struct bytes after, entry_sink sink, void *context)
{
    /* Two arenas in turn: the key to go on from lives in the one filled before. */
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(arena_free_at) struct arena *next = arena_new(0);
    if (arena == NULL || next == NULL)
        return no_memory();
    for (;;) {
        struct entry entry;
        bool found = false;
        STATUS_TRY(next_entry(state, table, prefix, after, arena, &entry, &found));
        if (!found || !sink(context, &entry))
            return status_ok();
        after = entry.key;
        struct arena *filled = arena;
        arena = next;
        next = filled;
    }
}

/* --- the whole --- */

struct memory_state *memory_state_new(const struct clock *clock)
{
    struct memory_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return NULL;
    state->clock = clock;
    pthread_mutex_init(&state->lock, NULL);
    return state;
}

void memory_state_free(struct memory_state *state)
{
    if (state == NULL)
        return;
    table_free(&state->values);
    table_free(&state->leases);
    table_free(&state->checkpoints);
    pthread_mutex_destroy(&state->lock);
    free(state);
}

/* --- values --- */

struct status memory_state_get(struct memory_state *state, struct bytes key, struct arena *arena,
                               struct bytes *ret)
{
    struct status status = status_ok();
    pthread_mutex_lock(&state->lock);
    const struct entry *entry = table_find(&state->values, key);
    const struct bytes copy = entry == NULL ? BYTES_NONE : arena_bytes(arena, entry->value);
    if (entry == NULL)
        status = status_error(STATUS_NOT_FOUND, "no value is stored under \"%.*s\"", BYTES_FORMAT(key));
    else if (copy.data == NULL && entry->value.size_bytes > 0)
        status = no_memory();
    else
        *ret = copy;
    pthread_mutex_unlock(&state->lock);
    return status;
}

struct status memory_state_put(struct memory_state *state, struct bytes key, struct bytes value)
{
    STATUS_TRY(state_value_check(key, value));
    pthread_mutex_lock(&state->lock);
    const struct status status = table_put(&state->values, key, value, BYTES_NONE);
    pthread_mutex_unlock(&state->lock);
    return status;
}

struct status memory_state_remove(struct memory_state *state, struct bytes key)
{
    pthread_mutex_lock(&state->lock);
    table_remove(&state->values, key);
    pthread_mutex_unlock(&state->lock);
    return status_ok();
}

struct status memory_state_swap(struct memory_state *state, struct bytes key, const struct bytes *expected,
                                struct bytes value, bool *ret_put)
{
    STATUS_TRY(state_swap_check(key, value));
    struct status status = status_ok();
    pthread_mutex_lock(&state->lock);
    const struct entry *entry = table_find(&state->values, key);
    *ret_put = entry == NULL ? expected == NULL : expected != NULL && bytes_equal(entry->value, *expected);
    if (*ret_put)
        status = table_put(&state->values, key, value, BYTES_NONE);
    pthread_mutex_unlock(&state->lock);
    return status;
}

struct value_listing {
    state_sink sink;
    void *context;
};

static bool give_value(void *context, const struct entry *entry)
{
    const struct value_listing *listing = context;
    return listing->sink(listing->context, entry->key, entry->value);
}

struct status memory_state_list(struct memory_state *state, struct bytes prefix, struct bytes after_key,
                                state_sink sink, void *context)
{
    struct value_listing listing = {sink, context};
    return table_list(state, &state->values, prefix, after_key, give_value, &listing);
}

/* --- leases --- */

/* All zero when it was never taken; the holder's text lives as long as the entry. */
static struct lease_state stored_lease(const struct memory_state *state, struct bytes name)
{
    const struct entry *entry = table_find(&state->leases, name);
    struct lease_value value;
    if (entry == NULL)
        return (struct lease_state){.holder = BYTES_NONE};
    assert(entry->value.size_bytes > sizeof value);
    memcpy(&value, entry->value.data, sizeof value);
    return (struct lease_state){
        .holder = bytes_of(entry->value.data + sizeof value, entry->value.size_bytes - sizeof value),
        .lease = value.lease,
        .ttl_us = value.ttl_us,
    };
}

static struct status put_lease(struct memory_state *state, struct bytes name, const struct lease_state *lease)
{
    const struct lease_value value = {lease->lease, lease->ttl_us};
    return table_put(&state->leases, name, bytes_of(&value, sizeof value), lease->holder);
}

struct status memory_state_lease(struct memory_state *state, struct bytes name, struct bytes holder,
                                 int64_t ttl_ms, struct lease *ret)
{
    struct lease_state taken;
    const int64_t now_us = clock_now_us(state->clock);
    pthread_mutex_lock(&state->lock);
    const struct lease_state stored = stored_lease(state, name);
    struct status status = lease_take(&stored, name, holder, ttl_ms, now_us, &taken);
    if (status.code == STATUS_OK)
        status = put_lease(state, name, &taken);
    pthread_mutex_unlock(&state->lock);
    if (status.code == STATUS_OK)
        *ret = taken.lease;
    return status;
}

struct status memory_state_release(struct memory_state *state, struct bytes name, struct bytes holder,
                                   int64_t epoch)
{
    struct status status = status_ok();
    pthread_mutex_lock(&state->lock);
    struct lease_state stored = stored_lease(state, name);
    if (lease_is_held(&stored, holder, epoch)) {
        stored.lease.ends_at_us = 0;
        status = put_lease(state, name, &stored);
    }
    pthread_mutex_unlock(&state->lock);
    return status;
}

struct status memory_state_forget(struct memory_state *state, struct bytes name, struct bytes holder,
                                  int64_t epoch)
{
    pthread_mutex_lock(&state->lock);
    const struct lease_state stored = stored_lease(state, name);
    if (lease_is_held(&stored, holder, epoch))
        table_remove(&state->leases, name);
    pthread_mutex_unlock(&state->lock);
    return status_ok();
}

/* --- checkpoints --- */

static bool stored_checkpoint(const struct memory_state *state, struct bytes name, struct checkpoint *ret)
{
    const struct entry *entry = table_find(&state->checkpoints, name);
    if (entry == NULL)
        return false;
    assert(entry->value.size_bytes == sizeof *ret);
    memcpy(ret, entry->value.data, sizeof *ret);
    return true;
}

struct status memory_state_checkpoint_put(struct memory_state *state, struct bytes name, int64_t position,
                                          int64_t epoch, int64_t head_position)
{
    const struct checkpoint checkpoint = {
        .position = position, .epoch = epoch, .put_at_us = clock_now_us(state->clock)};
    struct checkpoint stored = {0};
    pthread_mutex_lock(&state->lock);
    const bool found = stored_checkpoint(state, name, &stored);
    const struct checkpoint_request request = {
        .name = name,
        .position = position,
        .epoch = epoch,
        .head_position = head_position,
        .lease_epoch = stored_lease(state, name).lease.epoch,
    };
    struct status status = checkpoint_check(found ? &stored : NULL, &request);
    if (status.code == STATUS_OK)
        status = table_put(&state->checkpoints, name, bytes_of(&checkpoint, sizeof checkpoint), BYTES_NONE);
    pthread_mutex_unlock(&state->lock);
    return status;
}

struct status memory_state_checkpoint_get(struct memory_state *state, struct bytes name,
                                          struct checkpoint *ret)
{
    pthread_mutex_lock(&state->lock);
    const bool found = stored_checkpoint(state, name, ret);
    pthread_mutex_unlock(&state->lock);
    return found ? status_ok()
                 : status_error(STATUS_NOT_FOUND, "no checkpoint \"%.*s\" is stored", BYTES_FORMAT(name));
}

struct status memory_state_checkpoint_remove(struct memory_state *state, struct bytes name)
{
    pthread_mutex_lock(&state->lock);
    table_remove(&state->checkpoints, name);
    pthread_mutex_unlock(&state->lock);
    return status_ok();
}

struct checkpoint_listing {
    checkpoint_sink sink;
    void *context;
};

static bool give_checkpoint(void *context, const struct entry *entry)
{
    const struct checkpoint_listing *listing = context;
    struct checkpoint checkpoint;
    memcpy(&checkpoint, entry->value.data, sizeof checkpoint);
    return listing->sink(listing->context, entry->key, &checkpoint);
}

struct status memory_state_checkpoints(struct memory_state *state, checkpoint_sink sink, void *context)
{
    struct checkpoint_listing listing = {sink, context};
    return table_list(state, &state->checkpoints, BYTES_NONE, BYTES_NONE, give_checkpoint, &listing);
}
