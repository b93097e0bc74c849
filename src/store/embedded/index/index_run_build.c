#include <assert.h>
#include <stdlib.h>

#include "posting_codec_internal.h"
#include "run_writer_internal.h"

#define INSERTION_MOST 24U /* entries of a bucket; more are sorted by qsort */
#define ITEMS_A_REST   1024U
#define MOVES_A_REST   32U /* at first each touches another page of fresh memory */
#define BUCKETS_A_REST 128U

struct item {
    uint64_t class;
    uint32_t value;
    uint32_t delta;
    uint32_t list; /* 0 = none, else 1 + offset in the builder's lists / 4 */
};

struct run_builder {
    struct run_facts facts;
    struct buffer ids;   /* of struct item */
    struct buffer keys;  /* of struct item */
    struct buffer lists; /* encoded, in the order in which they came */
    int64_t uuid7_min_ms;
    int64_t uuid7_max_ms;
};

struct status run_builder_new(const struct run_facts *facts, struct run_builder **ret)
{
    assert(facts->first_position >= 1);
    assert(facts->last_position >= facts->first_position);
    assert(facts->last_position - facts->first_position <= UINT32_MAX);
    struct run_builder *builder = calloc(1, sizeof *builder);
    if (builder == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to index a segment");
    builder->facts = *facts;
    builder->ids = buffer_make(0);
    builder->keys = buffer_make(0);
    builder->lists = buffer_make(0);
    builder->uuid7_min_ms = INT64_MAX;
    builder->uuid7_max_ms = -1;
    *ret = builder;
    return status_ok();
}

void run_builder_free(struct run_builder *builder)
{
    if (builder == NULL)
        return;
    buffer_done(&builder->ids);
    buffer_done(&builder->keys);
    buffer_done(&builder->lists);
    free(builder);
}

static struct status item_add(struct buffer *items, const struct item *item)
{
    if (items->size_bytes / sizeof *item == UINT32_MAX)
        return status_error(STATUS_OUT_OF_RANGE,
                            "an index file cannot hold over 4,294,967,295 entries of a kind");
    buffer_add(items, item, sizeof *item);
    return items->failed ? buffer_status(items) : status_ok();
}

struct status run_builder_add_id(struct run_builder *builder, uint64_t hash, struct bytes id,
                                 int64_t position)
{
    assert(position >= builder->facts.first_position);
    assert(position <= builder->facts.last_position);
    const int64_t ms = index_uuid7_ms(id);
    if (ms >= 0 && ms < builder->uuid7_min_ms)
        builder->uuid7_min_ms = ms;
    if (ms > builder->uuid7_max_ms)
        builder->uuid7_max_ms = ms;
    const struct item item = {.class = run_class(hash),
                              .delta = (uint32_t)(position - builder->facts.first_position)};
    return item_add(&builder->ids, &item);
}

struct status run_builder_add_key(struct run_builder *builder, uint64_t hash, uint32_t value,
                                  const int64_t *positions, uint32_t count)
{
    assert(count >= 1);
    assert(positions[0] >= builder->facts.first_position);
    assert(positions[count - 1] <= builder->facts.last_position);
    struct item item = {.class = run_class(hash),
                        .value = value,
                        .delta = (uint32_t)(positions[count - 1] - builder->facts.first_position)};
    if (count > 1) {
        const size_t quarter = builder->lists.size_bytes / POSTING_ALIGN_BYTES;
        if (quarter >= UINT32_MAX)
            return status_error(STATUS_OUT_OF_RANGE, "the lists of an index file would have over 16 GiB");
        item.list = (uint32_t)quarter + 1;
        posting_encode(&builder->lists, positions, count, NULL);
        if (builder->lists.failed)
            return buffer_status(&builder->lists);
    }
    return item_add(&builder->keys, &item);
}

/* ---- sorting ---- */

static bool item_less(const struct item *a, const struct item *b)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): counting fills all that items_sort() has */
    return a->class != b->class ? a->class < b->class : a->delta < b->delta;
}

static int item_order(const void *a, const void *b)
{
    return item_less(a, b) ? -1 : item_less(b, a);
}

static void bucket_sort(struct item *items, size_t count)
{
    if (count > INSERTION_MOST) {
        qsort(items, count, sizeof *items, item_order);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        const struct item item = items[i];
        size_t to = i;
        for (; to > 0 && item_less(&item, &items[to - 1]); to--)
            items[to] = items[to - 1];
        items[to] = item;
    }
}

/*
 * Sorts by counting on the radix bits, then inside each bucket of about 8: a seventh of qsort's time.
 * *ret is the caller's to free.
 */
static struct status items_sort(const struct buffer *items, const struct index_pace *pace, struct item **ret,
                                uint32_t *ret_count)
{
    const struct item *from = (const struct item *)(const void *)items->data;
    const uint32_t count = (uint32_t)(items->size_bytes / sizeof *from);
    const uint32_t radix = run_radix_for(count);
    const size_t buckets = (size_t)1 << radix;
    uint32_t *starts = calloc(buckets + 1, sizeof *starts);
    struct item *sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    if (starts == NULL || sorted == NULL) {
        free(starts);
        free(sorted);
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to sort %u index entries", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        starts[run_bucket(from[i].class, radix) + 1]++;
        if (i % ITEMS_A_REST == 0)
            index_pace_rest(pace);
    }
    for (size_t bucket = 0; bucket < buckets; bucket++)
        starts[bucket + 1] += starts[bucket];
    for (uint32_t i = 0; i < count; i++) { /* moves each start to its bucket's end */
        sorted[starts[run_bucket(from[i].class, radix)]++] = from[i];
        if (i % MOVES_A_REST == 0)
            index_pace_rest(pace);
    }
    for (size_t bucket = 0; bucket < buckets; bucket++) {
        const uint32_t start = bucket == 0 ? 0 : starts[bucket - 1];
        bucket_sort(sorted + start, starts[bucket] - start);
        if (bucket % BUCKETS_A_REST == 0)
            index_pace_rest(pace);
    }
    free(starts);
    *ret = sorted;
    *ret_count = count;
    return status_ok();
}

/* ---- writing ---- */

static const uint8_t *list_of(const struct run_builder *builder, const struct item *item, uint32_t *ret_bytes)
{
    *ret_bytes = 0;
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): as in item_less() */
    if (item->list == 0)
        return NULL;
    const size_t at = (size_t)(item->list - 1) * POSTING_ALIGN_BYTES;
    *ret_bytes = posting_size(builder->lists.data + at, builder->lists.size_bytes - at);
    assert(*ret_bytes > 0);
    return builder->lists.data + at;
}

static struct status keys_write(const struct run_builder *builder, const struct item *keys, uint32_t count,
                                struct run_writer *writer)
{
    uint32_t list_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        (void)list_of(builder, &keys[i], &list_bytes); /* its size only */
        const struct run_entry entry = {keys[i].class, keys[i].value, keys[i].delta, 0};
        STATUS_TRY(run_writer_key(writer, &entry, list_bytes));
    }
    STATUS_TRY(run_writer_lists(writer));
    for (uint32_t i = 0; i < count; i++) {
        run_writer_mark(writer, keys[i].class);
        const uint8_t *list = list_of(builder, &keys[i], &list_bytes);
        STATUS_TRY(run_writer_bytes(writer, list, list_bytes));
        if (list_bytes > 0)
            STATUS_TRY(run_writer_pad(writer));
    }
    return status_ok();
}

static struct status sections_write(const struct run_builder *builder, const struct item *ids,
                                    uint32_t id_count, const struct item *keys, uint32_t key_count,
                                    const struct index_place *place, uint32_t nonce,
                                    const struct index_pace *pace)
{
    CLEANUP(run_writer_free_at) struct run_writer *writer = NULL;
    STATUS_TRY(run_writer_open(place, nonce, pace, &builder->facts, id_count, key_count, &writer));
    for (uint32_t i = 0; i < id_count; i++)
        STATUS_TRY(run_writer_id(writer, ids[i].class, ids[i].delta));
    STATUS_TRY(keys_write(builder, keys, key_count, writer));
    return run_writer_finish(writer, builder->uuid7_min_ms, builder->uuid7_max_ms);
}

struct status run_builder_write(struct run_builder *builder, struct files *files, const char *folder,
                                const uint8_t store_uuid[INDEX_UUID_BYTES], uint32_t nonce,
                                const struct index_pace *pace)
{
    char name[INDEX_NAME_MAX_BYTES];
    index_run_name(builder->facts.first_position, builder->facts.last_position, name);
    const struct index_place place = {files, folder, name, store_uuid};
    struct item *ids = NULL;
    struct item *keys = NULL;
    uint32_t id_count = 0;
    uint32_t key_count = 0;
    struct status status = items_sort(&builder->ids, pace, &ids, &id_count);
    buffer_done(&builder->ids); /* one by one: giving megabytes back takes a while */
    index_pace_rest(pace);
    if (status.code == STATUS_OK)
        status = items_sort(&builder->keys, pace, &keys, &key_count);
    buffer_done(&builder->keys);
    index_pace_rest(pace);
    if (status.code == STATUS_OK)
        status = sections_write(builder, ids, id_count, keys, key_count, &place, nonce, pace);
    free(ids);
    index_pace_rest(pace);
    free(keys);
    index_pace_rest(pace);
    return status;
}
