#include "offline/keep.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "record/walk.h"
#include "store/adopt.h"
#include "store/append.h"
#include "store/embedded/embedded_store.h"

struct keeping {
    const struct keep_options *options;
    const struct entropy *entropy;
    struct event_store *store;
    struct records_reader reader;
    struct records_trailer trailer; /* as the check of the file found it */
    struct keep_report *report;
    struct store_head head;

    struct arena *arena; /* of the batch being gathered */
    struct bytes *records;
    size_t record_count;
    size_t record_bytes;
    struct status status;    /* of comparing, which runs in a callback */
    struct record_walk walk; /* over the records that the store had */
};

static void checking_progress(void *context, uint64_t bytes)
{
    const struct keep_options *options = ((const struct keeping *)context)->options;
    if (options->on_progress != NULL)
        options->on_progress(options->context, KEEP_CHECKING, bytes);
}

static void adopting_progress(const struct keeping *keeping)
{
    if (keeping->options->on_progress != NULL)
        keeping->options->on_progress(keeping->options->context, KEEP_ADOPTING, keeping->reader.offset);
}

/* --- what the store has already --- */

/* One event of the store against the next record of the file; false ends the reading. */
static bool compare(void *context, int64_t position, struct record stored)
{
    struct keeping *keeping = context;
    struct bytes record = BYTES_NONE;
    bool more = false;
    keeping->status = records_reader_next(&keeping->reader, &record, &more);
    if (keeping->status.code == STATUS_OK && !more)
        return false; /* the store has more than the file */
    if (keeping->status.code == STATUS_OK && !bytes_equal(record, stored.bytes))
        keeping->status = status_error(STATUS_FAILED_PRECONDITION,
                                       "position %" PRId64
                                       " of %s is another event than the store has there: these are two "
                                       "histories; import into a folder of its own",
                                       position, keeping->reader.name);
    struct event_fields fields;
    if (keeping->status.code == STATUS_OK)
        keeping->status = record_decode_header(stored, &fields);
    if (keeping->status.code == STATUS_OK)
        keeping->status = record_walk_take(&keeping->walk, stored, &fields);
    keeping->report->skipped += keeping->status.code == STATUS_OK;
    adopting_progress(keeping);
    return keeping->status.code == STATUS_OK;
}

static struct status other_history(const struct keeping *keeping, int64_t position)
{
    return status_error(STATUS_FAILED_PRECONDITION,
                        "%s continues another history than the store's: their chains at position %" PRId64
                        " differ; import into a folder of its own",
                        keeping->reader.name, position);
}

static struct status skip_what_is_there(struct keeping *keeping)
{
    const struct records_point *start = &keeping->reader.header.before;
    const int64_t before = start->position;
    const int64_t head = keeping->head.position;
    if (before > head)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "%s begins at position %" PRId64 " and the store ends at %" PRId64
                            "; import what lies between first",
                            keeping->reader.name, before + 1, head);
    const struct walk_point from = {before, start->timestamp_us, start->chain};
    keeping->walk = record_walk_from(&from);
    const struct read_query query = {
        .by = READ_BY_POSITION, .after_position = before, .to_version = INT32_MAX};
    struct status status = status_ok();
    if (before < head)
        status = keeping->store->ops->read(keeping->store, &query, compare, keeping);
    if (keeping->status.code != STATUS_OK)
        status = keeping->status;
    /* Equal events on top of another past are another history too, and only the chain tells. */
    if (status.code == STATUS_OK && keeping->walk.at.position == head &&
        memcmp(&keeping->walk.at.chain, &keeping->head.chain, sizeof keeping->head.chain) != 0)
        status = other_history(keeping, head);
    record_walk_done(&keeping->walk);
    return status;
}

/* --- what it gets --- */

static struct status adopt_batch(struct keeping *keeping)
{
    if (keeping->record_count == 0)
        return status_ok();
    const struct status status = event_store_adopt(keeping->store, keeping->records, keeping->record_count,
                                                   keeping->entropy, &keeping->head);
    if (status.code != STATUS_OK)
        return status_prefix(status, "%s", keeping->reader.name);
    keeping->report->adopted += (int64_t)keeping->record_count;
    keeping->record_count = 0;
    keeping->record_bytes = 0;
    arena_reset(keeping->arena);
    adopting_progress(keeping);
    return status_ok();
}

/* True when the record is the last of its append: only there may a batch end. */
static struct status ends_append(struct bytes bytes, bool *ret)
{
    struct record record;
    struct event_fields fields;
    STATUS_TRY(record_split(bytes, &record));
    STATUS_TRY(record_decode_header(record, &fields));
    *ret = fields.append_index + 1 == fields.append_count;
    return status_ok();
}

static struct status gather(struct keeping *keeping, struct bytes record)
{
    bool ends = false;
    const struct bytes copy = arena_bytes(keeping->arena, record);
    if (copy.data == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a batch of records");
    if (keeping->record_count == ADOPT_RECORDS_MAX + APPEND_EVENTS_MAX)
        return status_reason(REASON_DAMAGED, "%s: an append has over 1,000 events", keeping->reader.name);
    keeping->records[keeping->record_count++] = copy;
    keeping->record_bytes += copy.size_bytes;
    STATUS_TRY(ends_append(copy, &ends));
    if (ends && (keeping->record_count >= ADOPT_RECORDS_MAX || keeping->record_bytes >= ADOPT_BYTES_MAX))
        return adopt_batch(keeping);
    return status_ok();
}

static struct status adopt_the_rest(struct keeping *keeping)
{
    for (bool more = true; more;) {
        struct bytes record = BYTES_NONE;
        STATUS_TRY(records_reader_next(&keeping->reader, &record, &more));
        if (more)
            STATUS_TRY(gather(keeping, record));
    }
    return adopt_batch(keeping);
}

/* The chain says in one word that the store now holds what the file states, and nothing else. */
static struct status compare_chains(const struct keeping *keeping)
{
    const struct records_point *after = &keeping->trailer.after;
    if (keeping->head.position > after->position)
        return status_ok(); /* the store went on from there; what the file has was compared byte for byte */
    if (keeping->head.position == after->position && keeping->head.timestamp_us == after->timestamp_us &&
        memcmp(&keeping->head.chain, &after->chain, sizeof after->chain) == 0)
        return status_ok();
    return other_history(keeping, after->position);
}

static struct status keep(struct keeping *keeping)
{
    STATUS_TRY(keeping->store->ops->head(keeping->store, &keeping->head));
    STATUS_TRY(skip_what_is_there(keeping));
    if (keeping->head.position < keeping->trailer.after.position)
        STATUS_TRY(adopt_the_rest(keeping));
    return compare_chains(keeping);
}

static struct status keep_opened(struct keeping *keeping, struct file *records, const char *records_name)
{
    keeping->arena = arena_new(0);
    keeping->records = calloc(ADOPT_RECORDS_MAX + APPEND_EVENTS_MAX, sizeof *keeping->records);
    if (keeping->arena == NULL || keeping->records == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a batch of records");
    STATUS_TRY(records_reader_open(records, records_name, &keeping->reader));
    const struct status status = keep(keeping);
    keeping->report->end =
        (struct records_point){keeping->head.position, keeping->head.timestamp_us, keeping->head.chain};
    records_reader_done(&keeping->reader);
    return status;
}

struct status keep_records(struct files *files, const struct keep_options *options, struct file *records,
                           const char *records_name, const struct clock *clock, const struct entropy *entropy,
                           struct keep_report *ret)
{
    *ret = (struct keep_report){0};
    struct records_header header;
    struct keeping keeping = {.options = options, .entropy = entropy, .report = ret, .status = status_ok()};
    STATUS_TRY(
        records_file_check(records, records_name, checking_progress, &keeping, &header, &keeping.trailer));
    const struct embedded_options embedded = {.store_id = options->store_id};
    STATUS_TRY(embedded_store_open(files, &embedded, clock, entropy, NULL, &keeping.store));
    struct embedded_recovery recovery;
    embedded_store_recovery(keeping.store, &recovery);
    ret->created = recovery.created;
    const struct status status = keep_opened(&keeping, records, records_name);
    arena_free(keeping.arena);
    free(keeping.records);
    event_store_close(keeping.store);
    return status;
}
