#include "run_writer_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "posting_codec_internal.h"

#define DIRECTORY_PIECE 512U /* entries encoded at once */
#define PENDING_CLASSES 32U
#define ENTRIES_A_REST  32U /* each can be the first to touch a page of a directory or a filter */

/* A directory while its entries come by. */
struct directory {
    uint32_t *starts; /* 2^radix + 1; starts[bucket + 1] counts the bucket's entries until it is summed */
    uint32_t radix;
};

/*
 * A filter while its entries come by. Each of them touches another line of the cache, so it is fetched some entries before:
 * without that, waiting for memory was more than half of a merge's time.
 */
struct filling {
    struct run_filter filter;
    struct run_filter_place pending[PENDING_CLASSES];
    uint32_t pending_count;
};

struct run_writer {
    struct index_writer *file;
    struct run_layout layout;
    struct directory ids;
    struct directory keys;
    struct filling id_filter;
    struct filling key_filter;
    uint32_t id_count; /* written so far */
    uint32_t key_count;
    uint32_t class_count; /* distinct classes among the keys */
    uint32_t marked;
    uint64_t last_class;
    uint64_t list_bytes; /* announced so far */
};

static struct status directory_init(struct directory *directory, uint32_t entry_count)
{
    directory->radix = run_radix_for(entry_count);
    directory->starts = calloc(((size_t)1 << directory->radix) + 1, sizeof *directory->starts);
    if (directory->starts == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the directory of %u index entries",
                            entry_count);
    return status_ok();
}

static void filling_flush(struct filling *filling)
{
    for (uint32_t i = 0; i < filling->pending_count; i++)
        run_filter_set(filling->pending[i]);
    filling->pending_count = 0;
}

static void filling_add(struct filling *filling, uint64_t class)
{
    const struct run_filter_place place = run_filter_place_of(&filling->filter, class);
    __builtin_prefetch(place.block, 1);
    filling->pending[filling->pending_count++] = place;
    if (filling->pending_count == PENDING_CLASSES)
        filling_flush(filling);
}

struct status run_writer_open(const struct index_place *place, uint32_t nonce, const struct index_pace *pace,
                              const struct run_facts *facts, uint32_t id_count, uint32_t key_count,
                              struct run_writer **ret)
{
    assert(facts->first_position >= 1);
    assert(facts->last_position >= facts->first_position);
    assert(facts->last_position - facts->first_position <= UINT32_MAX);
    CLEANUP(run_writer_free_at) struct run_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to write an index file");
    writer->layout.facts = *facts;
    writer->layout.id_count = id_count;
    writer->layout.key_count = key_count;
    /* Ids are unique but for accidents of their hashes: their filter needs no counting beforehand. */
    STATUS_TRY(run_filter_init(&writer->id_filter.filter, run_filter_blocks_for(id_count), pace));
    STATUS_TRY(directory_init(&writer->ids, id_count));
    STATUS_TRY(directory_init(&writer->keys, key_count));
    STATUS_TRY(index_writer_open(place, nonce, pace, &writer->file));
    *ret = TAKE_PTR(writer);
    return status_ok();
}

void run_writer_free(struct run_writer *writer)
{
    if (writer == NULL)
        return;
    index_writer_free(writer->file);
    free(writer->ids.starts);
    free(writer->keys.starts);
    run_filter_done(&writer->id_filter.filter);
    run_filter_done(&writer->key_filter.filter);
    free(writer);
}

struct status run_writer_id(struct run_writer *writer, uint64_t class, uint32_t delta)
{
    assert(writer->id_count < writer->layout.id_count);
    if (writer->id_count++ % ENTRIES_A_REST == 0)
        index_writer_rest(writer->file);
    writer->ids.starts[run_bucket(class, writer->ids.radix) + 1]++;
    filling_add(&writer->id_filter, class);
    uint8_t bytes[RUN_ID_BYTES];
    uint8_t *room = index_writer_room(writer->file, sizeof bytes);
    uint8_t *to = room != NULL ? room : bytes;
    put_u32_le(to, run_stored_bits(class, writer->ids.radix));
    put_u32_le(to + 4, delta);
    return room != NULL ? status_ok() : index_writer_add(writer->file, bytes, sizeof bytes);
}

struct status run_writer_key(struct run_writer *writer, const struct run_entry *entry, uint32_t list_bytes)
{
    assert(writer->id_count == writer->layout.id_count);
    assert(writer->key_count < writer->layout.key_count);
    assert(writer->key_count == 0 || entry->class >= writer->last_class);
    writer->class_count += writer->key_count == 0 || entry->class != writer->last_class;
    writer->last_class = entry->class;
    if (writer->key_count++ % ENTRIES_A_REST == 0)
        index_writer_rest(writer->file);
    writer->keys.starts[run_bucket(entry->class, writer->keys.radix) + 1]++;
    const uint64_t quarter = writer->list_bytes / POSTING_ALIGN_BYTES;
    if (quarter >= UINT32_MAX)
        return status_error(STATUS_OUT_OF_RANGE, "the lists of an index file would have over 16 GiB");
    uint8_t bytes[RUN_KEY_BYTES];
    uint8_t *room = index_writer_room(writer->file, sizeof bytes);
    uint8_t *to = room != NULL ? room : bytes;
    put_u32_le(to, run_stored_bits(entry->class, writer->keys.radix));
    put_u32_le(to + 4, entry->value);
    put_u32_le(to + 8, entry->delta);
    put_u32_le(to + 12, list_bytes == 0 ? 0 : (uint32_t)quarter + 1);
    writer->list_bytes += posting_padded(list_bytes);
    return room != NULL ? status_ok() : index_writer_add(writer->file, bytes, sizeof bytes);
}

struct status run_writer_lists(struct run_writer *writer)
{
    assert(writer->key_count == writer->layout.key_count);
    writer->layout.list_bytes = writer->list_bytes;
    return run_filter_init(&writer->key_filter.filter, run_filter_blocks_for(writer->class_count),
                           index_writer_pace(writer->file));
}

void run_writer_mark(struct run_writer *writer, uint64_t class)
{
    filling_add(&writer->key_filter, class);
    if (writer->marked++ % ENTRIES_A_REST == 0) /* most keys have no list, so no page ends for long */
        index_writer_rest(writer->file);
}

struct status run_writer_bytes(struct run_writer *writer, const uint8_t *data, size_t size)
{
    return index_writer_add(writer->file, data, size);
}

static uint64_t lists_at(const struct run_writer *writer)
{
    return INDEX_PAGE_DATA_BYTES + (uint64_t)writer->layout.id_count * RUN_ID_BYTES +
           (uint64_t)writer->layout.key_count * RUN_KEY_BYTES;
}

struct status run_writer_pad(struct run_writer *writer)
{
    const uint64_t size = index_writer_at(writer->file) - lists_at(writer);
    return index_writer_add_zeros(writer->file, (size_t)(posting_padded(size) - size));
}

/* Turns counts into starts and writes them. */
static struct status directory_write(struct index_writer *file, struct directory *directory)
{
    const size_t count = ((size_t)1 << directory->radix) + 1;
    uint32_t start = 0;
    for (size_t i = 0; i < count;) {
        uint8_t bytes[DIRECTORY_PIECE * 4];
        size_t size = 0;
        for (; i < count && size < sizeof bytes; i++, size += 4) {
            start += directory->starts[i];
            put_u32_le(bytes + size, start);
        }
        STATUS_TRY(index_writer_add(file, bytes, size));
    }
    return status_ok();
}

static struct status filter_write(struct index_writer *file, struct filling *filling)
{
    filling_flush(filling);
    return index_writer_add(file, filling->filter.blocks,
                            (size_t)filling->filter.block_count * RUN_FILTER_BLOCK_BYTES);
}

struct status run_writer_finish(struct run_writer *writer, int64_t uuid7_min_ms, int64_t uuid7_max_ms)
{
    assert(index_writer_at(writer->file) == lists_at(writer) + writer->list_bytes);
    writer->layout.id_radix = writer->ids.radix;
    writer->layout.key_radix = writer->keys.radix;
    writer->layout.id_blocks = writer->id_filter.filter.block_count;
    writer->layout.key_blocks = writer->key_filter.filter.block_count;
    writer->layout.uuid7_min_ms = uuid7_min_ms;
    writer->layout.uuid7_max_ms = uuid7_max_ms;
    STATUS_TRY(directory_write(writer->file, &writer->ids));
    STATUS_TRY(directory_write(writer->file, &writer->keys));
    STATUS_TRY(filter_write(writer->file, &writer->id_filter));
    STATUS_TRY(filter_write(writer->file, &writer->key_filter));
    uint8_t header[INDEX_PAGE_BYTES] = {0};
    run_layout_encode(&writer->layout, header);
    return index_writer_finish(writer->file, INDEX_RUN_MAGIC, header);
}
