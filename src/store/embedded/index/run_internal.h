/*
 * An open run as its own room sees it: what is kept in memory, and its entries in order.
 *
 * Ownership  Of index_run.c; everything else borrows it.
 * Threads    Immutable after run_open(). A cursor: one thread.
 * Blocking   run_entry_at(), the cursor: yes.
 */
#pragma once

#include "posting_codec_internal.h"
#include "run_format_internal.h"

/* The ids or the keys. */
struct run_table {
    const struct index_reader *reader;
    uint64_t at; /* of the first entry */
    uint32_t entry_bytes;
    uint32_t count;
    uint32_t radix;
    uint32_t position_most; /* greatest delta that an entry may have */
    uint32_t *directory;    /* 2^radix + 1, ascending, from 0 to count: checked when it was read */
    struct run_filter filter;
};

struct run {
    struct index_reader *reader;
    struct run_layout layout;
    struct run_table ids;
    struct run_table keys;
};

struct posting_source run_lists(const struct run *run);
/* Where the list of an entry lies; entry->list > 0. */
uint64_t run_list_at(const struct run *run, const struct run_entry *entry);

/* Decodes one entry whose bucket is known. False when its position is not of this run. */
bool run_entry_decode(const struct run_table *table, const uint8_t *from, uint32_t bucket,
                      struct run_entry *ret);

#define RUN_CURSOR_ENTRIES 128U

/* All entries of a table, in order; decoded so many at a time. */
struct run_cursor {
    const struct run_table *table;
    struct index_stream stream;
    uint32_t number; /* of the first entry that is not decoded yet */
    uint32_t bucket;
    const struct run_entry *entry; /* the current one, while there is one */
    uint32_t left;                 /* decoded ones from there on */
    bool ended;
    struct run_entry entries[RUN_CURSOR_ENTRIES];
};

/* Stands on the first entry afterwards, or has ended. */
STATUS_MUST_CHECK struct status run_cursor_init(struct run_cursor *cursor, const struct run_table *table);
void run_cursor_done(struct run_cursor *cursor); /* a zeroed one is fine */
/* Decodes what comes behind the last one that was decoded. */
STATUS_MUST_CHECK struct status run_cursor_fill(struct run_cursor *cursor);
/* DAMAGED also when one of the next entries is out of order. */
STATUS_MUST_CHECK static inline struct status run_cursor_next(struct run_cursor *cursor)
{
    if (cursor->left <= 1)
        return run_cursor_fill(cursor);
    cursor->left--;
    cursor->entry++;
    return status_ok();
}
