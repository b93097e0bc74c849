#include "totals_internal.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "store/embedded/index/index_part.h"
#include "store/hash_table.h"

/* Counts by text. */
struct counts {
    struct hash_table by_text; /* → place in items */
    struct type_count *items;
    size_t count;
    size_t capacity;
};

struct totals {
    _Atomic uint32_t references;
    struct arena *texts;
    int64_t event_count; /* system events included */
    int64_t system_count;
    struct counts events;
    struct counts aggregates;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for counts by type");
}

static void counts_done(struct counts *counts)
{
    hash_table_done(&counts->by_text);
    free(counts->items);
}

/* Adds `count` to that of the text, which is copied when it is new. */
static bool counts_add(struct counts *counts, struct arena *texts, struct bytes text, int64_t count)
{
    const uint64_t hash = hash_table_hash(&counts->by_text, text);
    size_t state = 0;
    uint32_t at = 0;
    while ((at = hash_table_next(&counts->by_text, hash, &state)) != HASH_NONE) {
        if (bytes_equal(counts->items[at].type, text)) {
            counts->items[at].count += count;
            return true;
        }
    }
    if (counts->count == counts->capacity) {
        const size_t capacity = counts->capacity == 0 ? 16 : counts->capacity * 2;
        struct type_count *items = realloc(counts->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        counts->items = items;
        counts->capacity = capacity;
    }
    const struct bytes copy = arena_bytes(texts, text);
    if ((copy.data == NULL && text.size_bytes > 0) ||
        !hash_table_add(&counts->by_text, hash, (uint32_t)counts->count))
        return false;
    counts->items[counts->count++] = (struct type_count){copy, count};
    return true;
}

static bool counts_add_all(struct counts *counts, struct arena *texts, const struct type_count *items,
                           size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!counts_add(counts, texts, items[i].type, items[i].count))
            return false;
    return true;
}

static struct totals *make(uint64_t seed)
{
    struct totals *totals = calloc(1, sizeof *totals);
    if (totals == NULL)
        return NULL;
    totals->references = 1;
    totals->events.by_text = hash_table_make(seed);
    totals->aggregates.by_text = hash_table_make(seed);
    totals->texts = arena_new(0);
    if (totals->texts != NULL)
        return totals;
    totals_unref(totals);
    return NULL;
}

const struct totals *totals_new(uint64_t seed)
{
    return make(seed);
}

/* The counter alone changes; everything else is constant. */
static struct totals *counter_of(const struct totals *totals)
{
    return (struct totals *)(uintptr_t)totals;
}

const struct totals *totals_ref(const struct totals *totals)
{
    const uint32_t before =
        atomic_fetch_add_explicit(&counter_of(totals)->references, 1, memory_order_relaxed);
    assert(before > 0);
    return totals;
}

void totals_unref(const struct totals *totals)
{
    if (totals == NULL)
        return;
    struct totals *mine = counter_of(totals);
    if (atomic_fetch_sub_explicit(&mine->references, 1, memory_order_acq_rel) != 1)
        return;
    counts_done(&mine->events);
    counts_done(&mine->aggregates);
    arena_free(mine->texts);
    free(mine);
}

struct adding {
    struct totals *totals;
    bool failed;
};

static bool add_term(void *context, enum part_term_kind kind, struct bytes text,
                     const struct posting_list *list)
{
    struct adding *adding = context;
    struct totals *totals = adding->totals;
    if (kind == PART_EVENT_TYPE)
        adding->failed = !counts_add(&totals->events, totals->texts, text, list->count);
    else if (kind == PART_CREATED)
        adding->failed = !counts_add(&totals->aggregates, totals->texts, text, list->count);
    return !adding->failed;
}

static struct status add_part(struct totals *totals, const struct part *part)
{
    struct adding adding = {totals, false};
    totals->event_count += part_facts(part)->count;
    totals->system_count += part_facts(part)->system_count;
    STATUS_TRY(part_terms(part, add_term, &adding));
    return adding.failed ? no_memory() : status_ok();
}

static bool add_totals(struct totals *totals, const struct totals *other)
{
    totals->event_count += other->event_count;
    totals->system_count += other->system_count;
    return counts_add_all(&totals->events, totals->texts, other->events.items, other->events.count) &&
           counts_add_all(&totals->aggregates, totals->texts, other->aggregates.items,
                          other->aggregates.count);
}

struct status totals_with_part(const struct totals *totals, const struct part *part,
                               const struct totals **ret)
{
    struct totals *sum = make(totals->events.by_text.seed);
    struct status status = sum != NULL && add_totals(sum, totals) ? add_part(sum, part) : no_memory();
    if (status.code == STATUS_OK)
        *ret = sum;
    else
        totals_unref(sum);
    return status;
}

static struct status copy_counts(const struct counts *counts, struct arena *arena,
                                 const struct type_count **ret, size_t *ret_count)
{
    struct type_count *items = arena_array(arena, counts->count, sizeof *items);
    if (items == NULL)
        return no_memory();
    for (size_t i = 0; i < counts->count; i++) {
        items[i] = (struct type_count){arena_bytes(arena, counts->items[i].type), counts->items[i].count};
        if (items[i].type.data == NULL && counts->items[i].type.size_bytes > 0)
            return no_memory();
    }
    *ret = items;
    *ret_count = counts->count;
    return status_ok();
}

static struct status fill_stats(struct totals *sum, const struct totals *totals,
                                const struct event_store_stats *tables, size_t count, struct arena *arena,
                                struct event_store_stats *ret)
{
    bool fits = add_totals(sum, totals);
    int64_t events = sum->event_count - sum->system_count;
    int64_t system = sum->system_count;
    for (size_t i = 0; i < count && fits; i++) {
        events += tables[i].event_count;
        system += tables[i].system_event_count;
        fits =
            counts_add_all(&sum->events, sum->texts, tables[i].events_by_type, tables[i].event_type_count) &&
            counts_add_all(&sum->aggregates, sum->texts, tables[i].aggregates_by_type,
                           tables[i].aggregate_type_count);
    }
    if (!fits)
        return no_memory();
    ret->event_count = events;
    ret->system_event_count = system;
    STATUS_TRY(copy_counts(&sum->events, arena, &ret->events_by_type, &ret->event_type_count));
    return copy_counts(&sum->aggregates, arena, &ret->aggregates_by_type, &ret->aggregate_type_count);
}

struct status totals_stats(const struct totals *totals, const struct event_store_stats *tables, size_t count,
                           struct arena *arena, struct event_store_stats *ret)
{
    struct totals *sum = make(totals->events.by_text.seed);
    const struct status status =
        sum == NULL ? no_memory() : fill_stats(sum, totals, tables, count, arena, ret);
    totals_unref(sum);
    return status;
}
