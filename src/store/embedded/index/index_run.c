#include "store/embedded/index/index_run.h"

#include <assert.h>
#include <stdlib.h>

#include "run_internal.h"

#define DIRECTORY_PIECE 4096U         /* entries decoded at once */
#define FILTER_PIECE    (16U * 1024U) /* bytes read at once */

static struct status damaged(const struct index_reader *reader, const char *what)
{
    return index_damaged(index_reader_path(reader), what);
}

/* ---- opening ---- */

static struct status directory_read(struct run_table *table, uint64_t at, const struct index_pace *pace)
{
    const size_t count = ((size_t)1 << table->radix) + 1;
    table->directory = malloc(count * sizeof *table->directory);
    uint8_t *bytes = malloc((size_t)DIRECTORY_PIECE * 4);
    struct status status = table->directory != NULL && bytes != NULL
                               ? status_ok()
                               : status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to open %s",
                                              index_reader_path(table->reader));
    uint32_t before = 0;
    bool rises = true;
    for (size_t done = 0; done < count && status.code == STATUS_OK;) {
        const size_t piece = count - done < DIRECTORY_PIECE ? count - done : DIRECTORY_PIECE;
        status = index_reader_read(table->reader, at + done * 4, bytes, piece * 4);
        for (size_t i = 0; i < piece && status.code == STATUS_OK; i++) {
            const uint32_t start = get_u32_le(bytes + i * 4);
            rises = rises && start >= before;
            before = start;
            table->directory[done + i] = start;
        }
        done += piece;
        index_pace_rest(pace);
    }
    free(bytes);
    STATUS_TRY(status);
    if (!rises || table->directory[0] != 0 || before != table->count)
        return damaged(table->reader, "a directory contradicts itself");
    return status_ok();
}

static struct status filter_read(struct run_table *table, uint64_t at, uint32_t block_count,
                                 const struct index_pace *pace)
{
    const size_t size = (size_t)block_count * RUN_FILTER_BLOCK_BYTES;
    STATUS_TRY(run_filter_reserve(&table->filter, block_count));
    for (size_t done = 0; done < size; done += FILTER_PIECE) {
        const size_t piece = size - done < FILTER_PIECE ? size - done : FILTER_PIECE;
        STATUS_TRY(index_reader_read(table->reader, at + done, table->filter.blocks + done, piece));
        index_pace_rest(pace);
    }
    return status_ok();
}

static struct status table_read(struct run_table *table, uint64_t directory_at, uint64_t filter_at,
                                uint32_t block_count, const struct index_pace *pace)
{
    STATUS_TRY(directory_read(table, directory_at, pace));
    return filter_read(table, filter_at, block_count, pace);
}

static struct status tables_read(struct run *run, const struct index_pace *pace)
{
    const struct run_layout *layout = &run->layout;
    const uint32_t position_most = (uint32_t)(layout->facts.last_position - layout->facts.first_position);
    run->ids = (struct run_table){.reader = run->reader,
                                  .at = layout->ids_at,
                                  .entry_bytes = RUN_ID_BYTES,
                                  .count = layout->id_count,
                                  .radix = layout->id_radix,
                                  .position_most = position_most};
    run->keys = (struct run_table){.reader = run->reader,
                                   .at = layout->keys_at,
                                   .entry_bytes = RUN_KEY_BYTES,
                                   .count = layout->key_count,
                                   .radix = layout->key_radix,
                                   .position_most = position_most};
    STATUS_TRY(table_read(&run->ids, layout->id_directory_at, layout->id_filter_at, layout->id_blocks, pace));
    return table_read(&run->keys, layout->key_directory_at, layout->key_filter_at, layout->key_blocks, pace);
}

struct status run_open(struct files *files, const char *folder, int64_t first_position, int64_t last_position,
                       const uint8_t store_uuid[INDEX_UUID_BYTES], const struct index_pace *pace,
                       struct run **ret)
{
    char name[INDEX_NAME_MAX_BYTES];
    index_run_name(first_position, last_position, name);
    CLEANUP(run_close_at) struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to open %s/%s", folder, name);
    uint8_t header[INDEX_PAGE_BYTES];
    const struct index_place place = {files, folder, name, store_uuid};
    STATUS_TRY(index_reader_open(&place, INDEX_RUN_MAGIC, header, &run->reader));
    if (!run_layout_decode(header, &run->layout) || run->layout.end != index_reader_length(run->reader))
        return damaged(run->reader, "its header contradicts itself");
    if (run->layout.facts.first_position != first_position ||
        run->layout.facts.last_position != last_position)
        return damaged(run->reader, "it is the index of other positions than its name says");
    STATUS_TRY(tables_read(run, pace));
    *ret = TAKE_PTR(run);
    return status_ok();
}

static void table_done(struct run_table *table)
{
    free(table->directory);
    run_filter_done(&table->filter);
}

void run_close(struct run *run)
{
    if (run == NULL)
        return;
    table_done(&run->ids);
    table_done(&run->keys);
    index_reader_close(run->reader);
    free(run);
}

const struct run_facts *run_facts(const struct run *run)
{
    return &run->layout.facts;
}

uint64_t run_size_bytes(const struct run *run)
{
    return index_reader_size_bytes(run->reader);
}

static uint64_t table_resident_bytes(const struct run_table *table)
{
    return (((uint64_t)1 << table->radix) + 1) * sizeof *table->directory +
           (uint64_t)table->filter.block_count * RUN_FILTER_BLOCK_BYTES;
}

uint64_t run_resident_bytes(const struct run *run)
{
    return sizeof *run + table_resident_bytes(&run->ids) + table_resident_bytes(&run->keys);
}

/* ---- asking the filters ---- */

void run_prefetch_id(const struct run *run, uint64_t hash)
{
    run_filter_prefetch(&run->ids.filter, run_class(hash));
}

void run_prefetch_key(const struct run *run, uint64_t hash)
{
    run_filter_prefetch(&run->keys.filter, run_class(hash));
}

bool run_may_have_id(const struct run *run, uint64_t hash, int64_t uuid7_ms)
{
    if (uuid7_ms >= 0 && (uuid7_ms < run->layout.uuid7_min_ms || uuid7_ms > run->layout.uuid7_max_ms))
        return false;
    return run_filter_may_have(&run->ids.filter, run_class(hash));
}

bool run_may_have_key(const struct run *run, uint64_t hash)
{
    return run_filter_may_have(&run->keys.filter, run_class(hash));
}

/* ---- finding entries ---- */

bool run_entry_decode(const struct run_table *table, const uint8_t *from, uint32_t bucket,
                      struct run_entry *ret)
{
    ret->class = (uint64_t)bucket << (RUN_HASH_BITS - table->radix) | get_u32_le(from);
    if (table->entry_bytes == RUN_ID_BYTES) {
        ret->value = 0;
        ret->delta = get_u32_le(from + 4);
        ret->list = 0;
    } else {
        ret->value = get_u32_le(from + 4);
        ret->delta = get_u32_le(from + 8);
        ret->list = get_u32_le(from + 12);
    }
    return ret->delta <= table->position_most && run_bucket(ret->class, table->radix) == bucket;
}

#define WINDOW_ENTRIES 64U

/* Some entries of one bucket side by side. */
struct window {
    uint32_t first;
    uint32_t count;
    uint8_t bytes[WINDOW_ENTRIES * RUN_KEY_BYTES];
};

static struct status window_read(const struct run_table *table, uint32_t first, uint32_t count,
                                 struct window *ret)
{
    assert(count <= WINDOW_ENTRIES);
    ret->first = first;
    ret->count = count;
    return index_reader_read(table->reader, table->at + (uint64_t)first * table->entry_bytes, ret->bytes,
                             (size_t)count * table->entry_bytes);
}

static uint32_t window_bits(const struct run_table *table, const struct window *window, uint32_t i)
{
    return get_u32_le(window->bytes + (size_t)i * table->entry_bytes);
}

/* Number of the first entry in [low, high) whose bits are ≥ `least`, else high; by preads of single entries. */
static struct status bisect(const struct run_table *table, uint32_t low, uint32_t high, uint64_t least,
                            uint32_t *ret)
{
    while (low < high) {
        struct window window;
        const uint32_t middle = low + (high - low) / 2;
        STATUS_TRY(window_read(table, middle, 1, &window));
        if (window_bits(table, &window, 0) < least)
            low = middle + 1;
        else
            high = middle;
    }
    *ret = low;
    return status_ok();
}

/*
 * The entries of a class: number *low … *high - 1. A bucket of the usual size is read whole and left in the
 * window; a larger one (many entries of one key after merging) is bisected.
 */
static struct status entries_find(const struct run_table *table, uint64_t class, struct window *window,
                                  uint32_t *low, uint32_t *high)
{
    const uint32_t bucket = run_bucket(class, table->radix);
    const uint32_t bits = run_stored_bits(class, table->radix);
    *low = table->directory[bucket];
    *high = table->directory[bucket + 1];
    window->first = 0;
    window->count = 0;
    if (*low == *high)
        return status_ok();
    if (*high - *low > WINDOW_ENTRIES) {
        const uint32_t end = *high;
        STATUS_TRY(bisect(table, *low, end, bits, low));
        return bisect(table, *low, end, (uint64_t)bits + 1, high);
    }
    STATUS_TRY(window_read(table, *low, *high - *low, window));
    uint32_t first = 0;
    while (first < window->count && window_bits(table, window, first) < bits)
        first++;
    uint32_t end = first;
    while (end < window->count && window_bits(table, window, end) == bits)
        end++;
    *low = window->first + first;
    *high = window->first + end;
    return status_ok();
}

/* Entry `number` of those found, through the window. */
static struct status entry_get(const struct run_table *table, uint64_t class, uint32_t number, uint32_t end,
                               struct window *window, struct run_entry *ret)
{
    if (number < window->first || number >= window->first + window->count || window->count == 0)
        STATUS_TRY(window_read(table, number, end - number < WINDOW_ENTRIES ? end - number : WINDOW_ENTRIES,
                               window));
    const uint8_t *from = window->bytes + (size_t)(number - window->first) * table->entry_bytes;
    if (!run_entry_decode(table, from, run_bucket(class, table->radix), ret))
        return damaged(table->reader, "an entry contradicts itself");
    return status_ok();
}

struct status run_find_id(const struct run *run, uint64_t hash, uint32_t skip, int64_t *ret_positions,
                          uint32_t max, uint32_t *ret_count)
{
    struct window window;
    uint32_t low = 0;
    uint32_t high = 0;
    uint32_t count = 0;
    STATUS_TRY(entries_find(&run->ids, run_class(hash), &window, &low, &high));
    low = skip < high - low ? low + skip : high;
    for (; low < high && count < max; low++, count++) {
        struct run_entry entry;
        STATUS_TRY(entry_get(&run->ids, run_class(hash), low, high, &window, &entry));
        ret_positions[count] = run->layout.facts.first_position + entry.delta;
    }
    *ret_count = count;
    return status_ok();
}

struct posting_source run_lists(const struct run *run)
{
    return (struct posting_source){
        .reader = run->reader,
        .at = run->layout.lists_at,
        .end = run->layout.id_directory_at,
        .first_position = run->layout.facts.first_position,
        .last_position = run->layout.facts.last_position,
    };
}

uint64_t run_list_at(const struct run *run, const struct run_entry *entry)
{
    return run->layout.lists_at + (uint64_t)(entry->list - 1) * POSTING_ALIGN_BYTES;
}

struct status run_find_key(const struct run *run, uint64_t hash, uint32_t skip, struct run_key *ret,
                           uint32_t max, uint32_t *ret_count)
{
    const struct posting_source lists = run_lists(run);
    struct window window;
    uint32_t low = 0;
    uint32_t high = 0;
    uint32_t count = 0;
    STATUS_TRY(entries_find(&run->keys, run_class(hash), &window, &low, &high));
    low = skip < high - low ? low + skip : high;
    for (; low < high && count < max; low++, count++) {
        struct run_entry entry;
        STATUS_TRY(entry_get(&run->keys, run_class(hash), low, high, &window, &entry));
        ret[count] = (struct run_key){
            .value = entry.value,
            .list = {.count = 1, .last_position = run->layout.facts.first_position + entry.delta},
        };
        if (entry.list == 0)
            continue;
        ret[count].list.at = run_list_at(run, &entry);
        STATUS_TRY(posting_count(&lists, ret[count].list.at, &ret[count].list.count));
    }
    *ret_count = count;
    return status_ok();
}

struct status run_find_last(const struct run *run, uint64_t hash, uint32_t skip, struct run_last *ret,
                            uint32_t max, uint32_t *ret_count)
{
    struct window window;
    uint32_t low = 0;
    uint32_t high = 0;
    uint32_t count = 0;
    STATUS_TRY(entries_find(&run->keys, run_class(hash), &window, &low, &high));
    high = skip < high - low ? high - skip : low;
    for (; low < high && count < max; high--, count++) {
        struct run_entry entry;
        const uint32_t left = high - low;
        /* Backwards: the window must begin before the wanted entry, so the one that ends with it is read. */
        if (window.count == 0 || high - 1 < window.first)
            STATUS_TRY(window_read(&run->keys, high - (left < WINDOW_ENTRIES ? left : WINDOW_ENTRIES),
                                   left < WINDOW_ENTRIES ? left : WINDOW_ENTRIES, &window));
        STATUS_TRY(entry_get(&run->keys, run_class(hash), high - 1, high, &window, &entry));
        ret[count].value = entry.value;
        ret[count].position = run->layout.facts.first_position + entry.delta;
    }
    *ret_count = count;
    return status_ok();
}

struct status run_count_key(const struct run *run, uint64_t hash, uint32_t *ret_count)
{
    struct window window;
    uint32_t low = 0;
    uint32_t high = 0;
    STATUS_TRY(entries_find(&run->keys, run_class(hash), &window, &low, &high));
    *ret_count = high - low;
    return status_ok();
}

/* ---- lists ---- */

struct status run_list_read(const struct run *run, const struct posting_list *list, uint32_t from,
                            int64_t *ret, uint32_t count)
{
    const struct posting_source source = run_lists(run);
    return posting_read(&source, list, from, ret, count);
}

struct status run_list_behind(const struct run *run, const struct posting_list *list, int64_t position,
                              uint32_t *ret)
{
    const struct posting_source source = run_lists(run);
    return posting_behind(&source, list, position, ret);
}
