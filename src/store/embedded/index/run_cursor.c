#include "run_internal.h"

struct status run_cursor_init(struct run_cursor *cursor, const struct run_table *table)
{
    cursor->table = table;
    cursor->number = 0;
    cursor->bucket = 0;
    cursor->entry = NULL;
    cursor->left = 0;
    cursor->ended = false;
    STATUS_TRY(index_stream_init(&cursor->stream, table->reader, table->at,
                                 table->at + (uint64_t)table->count * table->entry_bytes));
    return run_cursor_fill(cursor);
}

void run_cursor_done(struct run_cursor *cursor)
{
    index_stream_done(&cursor->stream);
}

/* The directory ends with the number of entries, so looking for the bucket of one that there is ends before it does. */
static bool decode(struct run_cursor *cursor, const uint8_t *from, uint32_t count)
{
    const struct run_table *table = cursor->table;
    struct run_entry before = {0};
    if (cursor->entry != NULL)
        before = *cursor->entry;
    for (uint32_t i = 0; i < count; i++, from += table->entry_bytes) {
        struct run_entry *entry = &cursor->entries[i];
        while (cursor->number + i >= table->directory[cursor->bucket + 1])
            cursor->bucket++;
        if (!run_entry_decode(table, from, cursor->bucket, entry) || entry->class < before.class ||
            (entry->class == before.class && entry->delta < before.delta))
            return false;
        before = *entry;
    }
    return true;
}

struct status run_cursor_fill(struct run_cursor *cursor)
{
    const struct run_table *table = cursor->table;
    const uint32_t behind = table->count - cursor->number;
    const uint32_t count = behind < RUN_CURSOR_ENTRIES ? behind : RUN_CURSOR_ENTRIES;
    if (count == 0) {
        cursor->ended = true;
        return status_ok();
    }
    const uint8_t *from = NULL;
    size_t got = 0;
    STATUS_TRY(index_stream_at(&cursor->stream, table->at + (uint64_t)cursor->number * table->entry_bytes,
                               (size_t)count * table->entry_bytes, &from, &got));
    if (!decode(cursor, from, count))
        return index_damaged(index_reader_path(table->reader), "its entries are not in order");
    cursor->number += count;
    cursor->entry = cursor->entries;
    cursor->left = count;
    return status_ok();
}
