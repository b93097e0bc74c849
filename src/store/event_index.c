#include "event_index_internal.h"

#include <assert.h>
#include <stdlib.h>

struct event_index *event_index_new(const struct event_index_options *options)
{
    const uint64_t seed = options->seed;
    struct event_index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return NULL;
    assert(options->base_position >= 0);
    /* glibc lets readers overtake a waiting writer for ever; then a few busy readers stop all commits. */
    pthread_rwlockattr_t fair;
    (void)pthread_rwlockattr_init(&fair); /* these four cannot fail with a kind that glibc knows */
    (void)pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&index->lock, &fair);
    (void)pthread_rwlockattr_destroy(&fair);
    index->base = options->base_position;
    index->texts = pool_make(sizeof(uint8_t));
    index->ids = pool_make(sizeof(uint32_t));
    index->times_us = pool_make(sizeof(int64_t));
    index->aggregates = pool_make(sizeof(struct aggregate));
    index->terms = pool_make(sizeof(struct term));
    index->type_terms = pool_make(sizeof(uint32_t));
    index->lists = pool_make(sizeof(uint32_t));
    index->by_id = hash_table_make(seed + 1);
    index->by_aggregate = hash_table_make(seed);
    index->by_term = hash_table_make(seed ^ UINT64_C(0x9e3779b97f4a7c15));
    index->last_type = index->last_aggregate_type = HASH_NONE;
    if (options->expected_events > 0 &&
        (!hash_table_reserve(&index->by_id, options->expected_events) ||
         !hash_table_reserve(&index->by_aggregate, options->expected_events))) {
        event_index_free(index);
        return NULL;
    }
    return index;
}

bool event_index_touch(struct event_index *index, size_t *at)
{
    const size_t ids_bytes = index->by_id.capacity * sizeof *index->by_id.slots;
    if (*at < ids_bytes)
        return hash_table_touch(&index->by_id, at);
    size_t within = *at - ids_bytes;
    const bool more = hash_table_touch(&index->by_aggregate, &within);
    *at = ids_bytes + within;
    return more;
}

void event_index_rebase(struct event_index *index, int64_t base_position)
{
    assert(index_event_count(index) == 0);
    assert(base_position >= 0);
    index->base = base_position;
}

static void rest_never(void *context)
{
    (void)context;
}

void event_index_free(struct event_index *index)
{
    event_index_free_resting(index, rest_never, NULL);
}

void event_index_free_resting(struct event_index *index, void (*rest)(void *context), void *context)
{
    if (index == NULL)
        return;
    struct pool *const pools[] = {&index->texts, &index->ids,        &index->times_us, &index->aggregates,
                                  &index->terms, &index->type_terms, &index->lists};
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        while (pool_shrink(pools[i]))
            rest(context);
        pool_done(pools[i]);
    }
    struct hash_table *const tables[] = {&index->by_id, &index->by_aggregate, &index->by_term};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        hash_table_done(tables[i]);
        rest(context);
    }
    (void)pthread_rwlock_destroy(&index->lock); /* nobody holds it */
    free(index);
}

struct status index_no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the event index");
}

/* ---- terms ---- */

bool index_names_types(uint32_t kind)
{
    return kind == READ_BY_TYPE || kind == READ_BY_AGGREGATE_TYPE;
}

/* An aggregate type brings its list of first events: both or none. */
static uint32_t new_term(struct event_index *index, uint32_t kind, struct bytes text)
{
    const size_t used = index->terms.used;
    const size_t types_used = index->type_terms.used;
    uint32_t text_place = 0;
    uint32_t place = 0;
    uint32_t type_place = 0;
    if (text_add(&index->texts, text, &text_place) &&
        pool_take(&index->terms, kind == READ_BY_AGGREGATE_TYPE ? 2 : 1, &place) &&
        (!index_names_types(kind) || pool_take(&index->type_terms, 1, &type_place)) &&
        hash_table_add(&index->by_term, index_term_hash(index, kind, text), place)) {
        *index_term(index, place) = (struct term){.text = text_place, .kind = kind};
        if (kind == READ_BY_AGGREGATE_TYPE)
            *index_term(index, place + 1) = (struct term){.text = text_place, .kind = TERM_CREATED};
        if (index_names_types(kind))
            *(uint32_t *)pool_at(&index->type_terms, type_place) = place;
        return place;
    }
    index->terms.used = used;
    index->type_terms.used = types_used;
    return HASH_NONE;
}

/* `last` remembers a place, NULL = none does. */
static uint32_t add_to_term(struct event_index *index, uint32_t kind, struct bytes text, uint32_t number,
                            uint32_t *last)
{
    uint32_t place = HASH_NONE;
    if (last != NULL && *last != HASH_NONE && text_is(&index->texts, index_term(index, *last)->text, text))
        place = *last;
    if (place == HASH_NONE)
        place = index_find_term(index, kind, text);
    if (place == HASH_NONE)
        place = new_term(index, kind, text);
    if (place == HASH_NONE || !positions_add(&index->lists, &index_term(index, place)->positions, number))
        return HASH_NONE;
    if (last != NULL)
        *last = place;
    return place;
}

static bool is_repeated(const struct event_fields *fields, size_t tag)
{
    for (size_t i = 0; i < tag; i++)
        if (bytes_equal(fields->tags[i], fields->tags[tag]))
            return true;
    return false;
}

static struct status add_terms(struct event_index *index, const struct event_fields *fields, uint32_t number,
                               uint32_t *ret_type)
{
    if (add_to_term(index, READ_BY_TYPE, fields->type, number, &index->last_type) == HASH_NONE)
        return index_no_memory();
    *ret_type = add_to_term(index, READ_BY_AGGREGATE_TYPE, fields->aggregate_type, number,
                            &index->last_aggregate_type);
    if (*ret_type == HASH_NONE)
        return index_no_memory();
    if (fields->correlation_id.size_bytes > 0 &&
        add_to_term(index, READ_BY_CORRELATION, fields->correlation_id, number, NULL) == HASH_NONE)
        return index_no_memory();
    /* Imported records may say a tag twice: a list holds each position once. */
    for (size_t i = 0; i < fields->tag_count; i++)
        if (!is_repeated(fields, i) &&
            add_to_term(index, READ_BY_TAG, fields->tags[i], number, NULL) == HASH_NONE)
            return index_no_memory();
    return status_ok();
}

/* ---- aggregates ---- */

static struct status new_aggregate(struct event_index *index, const struct event_fields *fields,
                                   uint64_t hash, uint32_t number, uint32_t type, bool begins)
{
    uint32_t text = 0;
    uint32_t place = 0;
    if ((begins && !positions_add(&index->lists, &index_term(index, type + 1)->positions, number)) ||
        !text_add(&index->texts, fields->aggregate_id, &text) || !pool_take(&index->aggregates, 1, &place))
        return index_no_memory();
    if (!hash_table_add(&index->by_aggregate, hash, place)) {
        index->aggregates.used = place;
        return index_no_memory();
    }
    struct aggregate *aggregate = index_aggregate(index, place);
    *aggregate = (struct aggregate){
        .text = text, .type_term = type & INT32_MAX, .begins = begins, .first_version = fields->version};
    (void)positions_add(&index->lists, &aggregate->positions, number); /* the first needs no memory */
    index->created_count += begins;
    return status_ok();
}

/* ---- checks, before anything is changed ---- */

static struct status check_names(const struct event_fields *fields)
{
    size_t longest = fields->id.size_bytes;
    const struct bytes others[] = {fields->type, fields->aggregate_id, fields->aggregate_type,
                                   fields->correlation_id};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        longest = others[i].size_bytes > longest ? others[i].size_bytes : longest;
    for (size_t i = 0; i < fields->tag_count; i++)
        longest = fields->tags[i].size_bytes > longest ? fields->tags[i].size_bytes : longest;
    if (longest <= TEXT_MAX_BYTES)
        return status_ok();
    return status_reason(REASON_DAMAGED, "position %lld has a name of %zu bytes; the longest has %u",
                         (long long)fields->position, longest, TEXT_MAX_BYTES);
}

static struct status check_begins(const struct event_index *index, const struct event_fields *fields,
                                  bool first)
{
    const bool right =
        first ? fields->version == 0 || fields->version == 1 : index->base > 0 && fields->version >= 1;
    if (right)
        return status_ok();
    return status_reason(REASON_DAMAGED, "position %lld begins aggregate \"%.*s\" with version %d",
                         (long long)fields->position, BYTES_FORMAT(fields->aggregate_id), fields->version);
}

static struct status check_continues(const struct aggregate *aggregate, const struct event_fields *fields,
                                     bool first)
{
    const int64_t last = index_last_version(aggregate);
    if (!first && fields->version == last + 1)
        return status_ok();
    return status_reason(REASON_DAMAGED,
                         "position %lld has version %d of aggregate \"%.*s\"%s, which was at %lld",
                         (long long)fields->position, fields->version, BYTES_FORMAT(fields->aggregate_id),
                         first ? " as its first" : "", (long long)last);
}

/* An event with what was prepared for it. */
struct adding {
    const struct event_fields *fields;
    const bool *first; /* NULL = not said */
    uint64_t id_hash;
    uint64_t aggregate_hash;
};

/* Whether the event continues what is there. *ret_aggregate = HASH_NONE when it is new here. */
static struct status check_fits(const struct event_index *index, const struct adding *adding,
                                uint32_t *ret_aggregate, bool *ret_begins)
{
    const struct event_fields *fields = adding->fields;
    const int64_t last = index->base + (int64_t)index_event_count(index);
    if (fields->position != last + 1)
        return status_reason(REASON_DAMAGED, "position %lld follows position %lld",
                             (long long)fields->position, (long long)last);
    STATUS_TRY(check_names(fields));
    if (index_find_id(index, fields->id, adding->id_hash) != HASH_NONE)
        return status_reason(REASON_DAMAGED, "position %lld repeats the event id \"%.*s\"",
                             (long long)fields->position, BYTES_FORMAT(fields->id));
    *ret_aggregate = index_find_aggregate(index, fields->aggregate_id, adding->aggregate_hash);
    const bool is_new = *ret_aggregate == HASH_NONE;
    *ret_begins = adding->first == NULL ? is_new : *adding->first;
    return is_new ? check_begins(index, fields, *ret_begins)
                  : check_continues(index_aggregate(index, *ret_aggregate), fields, *ret_begins);
}

/* ---- adding and taking back ---- */

static bool is_system(struct bytes type)
{
    return type.size_bytes > 0 && type.data[0] == '$';
}

static struct status add_event(struct event_index *index, const struct adding *adding)
{
    uint32_t text = 0;
    uint32_t place = 0;
    uint32_t time_place = 0;
    if (!text_add(&index->texts, adding->fields->id, &text) || !pool_take(&index->times_us, 1, &time_place) ||
        !hash_table_add(&index->by_id, adding->id_hash, time_place) || !pool_take(&index->ids, 1, &place))
        return index_no_memory();
    assert(place == time_place);
    *(uint32_t *)pool_at(&index->ids, place) = text;
    *(int64_t *)pool_at(&index->times_us, place) = adding->fields->timestamp_us;
    index->system_count += is_system(adding->fields->type);
    return status_ok();
}

static struct status add_one(struct event_index *index, const struct adding *adding)
{
    uint32_t place = 0;
    uint32_t type = 0;
    bool begins = false;
    STATUS_TRY(check_fits(index, adding, &place, &begins));
    if (index_event_count(index) >= UINT32_MAX - 2)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "the event index is full");
    const uint32_t number = (uint32_t)index_event_count(index) + 1;
    STATUS_TRY(add_terms(index, adding->fields, number, &type));
    if (place == HASH_NONE)
        STATUS_TRY(new_aggregate(index, adding->fields, adding->aggregate_hash, number, type, begins));
    else if (!positions_add(&index->lists, &index_aggregate(index, place)->positions, number))
        return index_no_memory();
    return add_event(index, adding);
}

#define BLOCK_EVENTS EVENT_INDEX_PREFETCH_MAX

/* Slots and aggregates lie all over large tables: the processor fetches those of a block side by side. */
static struct status add_block(struct event_index *index, const struct event_fields *fields,
                               const bool *firsts, size_t count)
{
    struct adding block[BLOCK_EVENTS];
    uint64_t aggregate_hashes[BLOCK_EVENTS];
    for (size_t i = 0; i < count; i++) {
        block[i] = (struct adding){
            .fields = &fields[i],
            .first = firsts == NULL ? NULL : &firsts[i],
            .id_hash = hash_table_hash(&index->by_id, fields[i].id),
            .aggregate_hash = hash_table_hash(&index->by_aggregate, fields[i].aggregate_id),
        };
        hash_table_prefetch(&index->by_id, block[i].id_hash);
        aggregate_hashes[i] = block[i].aggregate_hash;
    }
    index_prefetch_aggregates(index, aggregate_hashes, count);
    for (size_t i = 0; i < count; i++)
        STATUS_TRY(add_one(index, &block[i]));
    return status_ok();
}

static void cut_terms(struct event_index *index, uint32_t last)
{
    for (size_t i = 0; i < index->terms.used; i++)
        positions_cut(&index->lists, &index_term(index, i)->positions, last);
    index->system_count = 0;
    for (size_t i = 0; i < index->type_terms.used; i++) {
        struct index_scratch scratch;
        const struct term *term = index_term(index, *(uint32_t *)pool_at(&index->type_terms, i));
        if (term->kind == READ_BY_TYPE && is_system(text_at(&index->texts, term->text, &scratch)))
            index->system_count += term->positions.count;
    }
}

/* Lists and pools are cut behind number `last`; slots of the tables that point beyond are passed over from then on. */
static void cut(struct event_index *index, uint32_t last)
{
    cut_terms(index, last);
    for (size_t i = index->aggregates.used; i-- > 0;) {
        struct aggregate *aggregate = index_aggregate(index, i);
        positions_cut(&index->lists, &aggregate->positions, last);
        if (aggregate->positions.count > 0)
            continue;
        /* In order of their first event: all behind it are gone already. */
        index->created_count -= aggregate->begins;
        index->aggregates.used = i;
    }
    index->ids.used = last;
    index->times_us.used = last;
}

struct status event_index_add(struct event_index *index, const struct event_fields *fields,
                              const bool *firsts, size_t count)
{
    struct status status = status_ok();
    assert(firsts != NULL || index->base == 0);
    pthread_rwlock_wrlock(&index->lock);
    const size_t before = index_event_count(index);
    for (size_t i = 0; i < count && status.code == STATUS_OK; i += BLOCK_EVENTS)
        status = add_block(index, &fields[i], firsts == NULL ? NULL : &firsts[i],
                           count - i < BLOCK_EVENTS ? count - i : BLOCK_EVENTS);
    if (status.code != STATUS_OK)
        cut(index, (uint32_t)before);
    pthread_rwlock_unlock(&index->lock);
    return status;
}

void event_index_cut(struct event_index *index, int64_t last_position)
{
    assert(last_position >= index->base);
    pthread_rwlock_wrlock(&index->lock);
    if (last_position - index->base < (int64_t)index_event_count(index))
        cut(index, (uint32_t)(last_position - index->base));
    pthread_rwlock_unlock(&index->lock);
}
