#include "run_internal.h"

static struct status damaged(const struct run *run, const char *what)
{
    return index_damaged(index_reader_path(run->reader), what);
}

static struct status key_check(const struct run *run, const struct posting_source *lists,
                               const struct run_entry *entry, uint64_t *list_end)
{
    if (entry->list == 0)
        return status_ok();
    struct posting_list list = {.last_position = run->layout.facts.first_position + entry->delta,
                                .at = run_list_at(run, entry)};
    if (list.at < *list_end)
        return damaged(run, "its lists are not in the order of the keys");
    STATUS_TRY(posting_count(lists, list.at, &list.count));
    STATUS_TRY(posting_check(lists, &list));
    *list_end = list.at + POSTING_ALIGN_BYTES;
    return status_ok();
}

/* The cursor checks the order; here that the filter lets every entry through and that its list decodes. */
static struct status table_check(const struct run *run, const struct run_table *table)
{
    const struct posting_source lists = run_lists(run);
    uint64_t list_end = lists.at;
    struct run_cursor cursor = {0};
    struct status status = run_cursor_init(&cursor, table);
    while (status.code == STATUS_OK && !cursor.ended) {
        if (!run_filter_may_have(&table->filter, cursor.entry->class))
            status = damaged(run, "a filter does not know one of its entries");
        if (status.code == STATUS_OK)
            status = key_check(run, &lists, cursor.entry, &list_end);
        if (status.code == STATUS_OK)
            status = run_cursor_next(&cursor);
    }
    run_cursor_done(&cursor);
    return status;
}

struct status run_check(const struct run *run)
{
    STATUS_TRY(index_reader_check(run->reader));
    STATUS_TRY(table_check(run, &run->ids));
    return table_check(run, &run->keys);
}
