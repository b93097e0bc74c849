#include "run_internal.h"

struct status run_cursor_init(struct run_cursor *cursor, const struct run_table *table)
{
    *cursor = (struct run_cursor){.table = table};
    STATUS_TRY(index_stream_init(&cursor->stream, table->reader, table->at,
                                 table->at + (uint64_t)table->count * table->entry_bytes));
    return run_cursor_next(cursor);
}

void run_cursor_done(struct run_cursor *cursor)
{
    index_stream_done(&cursor->stream);
}

struct status run_cursor_next(struct run_cursor *cursor)
{
    const struct run_table *table = cursor->table;
    if (cursor->number == table->count) {
        cursor->ended = true;
        return status_ok();
    }
    const uint8_t *from = NULL;
    size_t got = 0;
    STATUS_TRY(index_stream_at(&cursor->stream, table->at + (uint64_t)cursor->number * table->entry_bytes,
                               table->entry_bytes, &from, &got));
    /* The directory ends with the number of entries, so this ends before it does. */
    while (cursor->number >= table->directory[cursor->bucket + 1])
        cursor->bucket++;
    const struct run_entry before = cursor->entry;
    if (!run_entry_decode(table, from, cursor->bucket, &cursor->entry) ||
        (cursor->number > 0 && (cursor->entry.class < before.class ||
                                (cursor->entry.class == before.class && cursor->entry.delta < before.delta))))
        return index_damaged(index_reader_path(table->reader), "its entries are not in order");
    cursor->number++;
    return status_ok();
}
