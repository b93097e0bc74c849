#include "offline/migrate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "record/record.h"
#include "store/adopt.h"
#include "store/append.h"

#define BATCH_RECORDS (ADOPT_RECORDS_MAX + APPEND_EVENTS_MAX)
#define ABORTED_MAX   10

/* Events on their way: whole appends that are adopted together. */
struct migration {
    struct migrate_side source;
    struct migrate_side target;
    const struct migrate_options *options;
    const struct entropy *entropy;
    struct migrate_report *report;
    struct sha256 chain; /* of the source, up to `position` */
    int64_t position;    /* of the last whole append that was read */
    int64_t head;        /* of the source, as far as is read now */
    int64_t there;    /* events that the target had when this reading began: they are compared, not moved */
    bool interrupted; /* what was read since the two below may be in the target or not */
    int aborted;      /* times that somebody else wrote */
    int64_t agreed;   /* the last position at which the target was seen to have the source's chain */
    struct sha256 agreed_chain;

    struct arena *arena; /* of the records */
    struct bytes records[BATCH_RECORDS];
    size_t count;
    size_t bytes;
    struct sha256 leaves[APPEND_EVENTS_MAX]; /* of the append that is being read */
    size_t leaf_count;
    struct status status;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to move events");
}

/* ---- events ---- */

static struct status other_history(const struct migration *migration)
{
    return status_error(
        STATUS_FAILED_PRECONDITION,
        "the target holds %" PRId64
        " events that are not the first ones of the source; move into an empty store, or into one that an "
        "interrupted migration of this source left",
        migration->there);
}

static void agree(struct migration *migration)
{
    migration->agreed = migration->position;
    migration->agreed_chain = migration->chain;
    migration->report->moved = migration->report->target.position - migration->report->found;
}

static struct status adopt_batch(struct migration *migration)
{
    if (migration->count == 0)
        return status_ok();
    const int64_t known = migration->report->target.position;
    struct event_store *target = migration->target.events;
    const struct status status = event_store_adopt(target, migration->records, migration->count,
                                                   migration->entropy, &migration->report->target);
    struct store_head now;
    if (status.code == STATUS_FAILED_PRECONDITION && target->ops->head(target, &now).code == STATUS_OK &&
        now.position != known)
        return status_error(STATUS_ABORTED, "%s", status.message); /* it moved after it was asked */
    STATUS_TRY(status);
    agree(migration);
    migration->count = migration->bytes = 0;
    arena_reset(migration->arena);
    if (migration->options->on_progress != NULL)
        migration->options->on_progress(migration->options->context, migration->report->target.position,
                                        migration->head);
    return status_ok();
}

/* The append is whole: it enters the chain, and what the target has already must end in the target's chain. */
static struct status end_append(struct migration *migration, int64_t position)
{
    const int64_t first = position - (int64_t)migration->leaf_count + 1;
    migration->chain = chain_next(&migration->chain, first, migration->leaves, migration->leaf_count);
    migration->leaf_count = 0;
    migration->position = position;
    if (first <= migration->there && position > migration->there)
        return other_history(migration); /* none of its appends ends there */
    if (position == migration->there) {
        if (memcmp(&migration->chain, &migration->report->target.chain, sizeof migration->chain) != 0)
            return other_history(migration);
        agree(migration);
    }
    if (migration->count >= ADOPT_RECORDS_MAX || migration->bytes >= ADOPT_BYTES_MAX)
        return adopt_batch(migration);
    return status_ok();
}

static struct status keep_record(struct migration *migration, struct record record)
{
    const struct bytes copy = arena_bytes(migration->arena, record.bytes);
    if (copy.data == NULL)
        return no_memory();
    migration->records[migration->count++] = copy;
    migration->bytes += copy.size_bytes;
    return status_ok();
}

static struct status take_record(struct migration *migration, int64_t position, struct record record)
{
    struct event_fields fields;
    const int64_t expected = migration->position + (int64_t)migration->leaf_count + 1;
    if (position != expected)
        return status_reason(REASON_POSITION_MISSING, "position %" PRId64 " is missing in the source",
                             expected);
    STATUS_TRY(record_decode_header(record, &fields));
    if (fields.append_count < 1 || fields.append_count > (int32_t)APPEND_EVENTS_MAX ||
        fields.append_index != (int32_t)migration->leaf_count)
        return status_reason(REASON_DAMAGED,
                             "the event at position %" PRId64 " is not the next one of its append", position);
    migration->leaves[migration->leaf_count++] = record_leaf(record);
    if (position > migration->there)
        STATUS_TRY(keep_record(migration, record));
    return (int32_t)migration->leaf_count == fields.append_count ? end_append(migration, position)
                                                                 : status_ok();
}

static bool on_record(void *context, int64_t position, struct record record)
{
    struct migration *migration = context;
    migration->status = take_record(migration, position, record);
    return migration->status.code == STATUS_OK;
}

/*
 * After a failure: the target is asked how far it came, and the source is read again from where both were known to agree.
 * What was on its way may have arrived, whole or in part; the chain tells whether it is that.
 */
static struct status go_back(struct migration *migration)
{
    struct event_store *target = migration->target.events;
    struct store_head *head = &migration->report->target;
    STATUS_TRY(target->ops->head(target, head));
    if (head->position < migration->agreed)
        return status_reason(REASON_POSITION_MISSING,
                             "the target had %" PRId64 " events and now holds %" PRId64
                             ": it was set back, or replaced",
                             migration->agreed, head->position);
    if (head->position == migration->agreed &&
        memcmp(&head->chain, &migration->agreed_chain, sizeof head->chain) != 0)
        return other_history(migration);
    migration->there = head->position;
    migration->position = migration->agreed;
    migration->chain = migration->agreed_chain;
    migration->leaf_count = 0;
    migration->count = migration->bytes = 0;
    arena_reset(migration->arena);
    migration->interrupted = false;
    return status_ok();
}

/* Everything up to the source's head as it is now. */
static struct status move_events(struct migration *migration)
{
    struct event_store *source = migration->source.events;
    if (migration->interrupted)
        STATUS_TRY(go_back(migration));
    STATUS_TRY(source->ops->head(source, &migration->report->source));
    migration->head = migration->report->source.position;
    if (migration->position >= migration->head)
        return status_ok();
    const struct read_query query = {.by = READ_BY_POSITION,
                                     .after_position = migration->position,
                                     .to_position = migration->head,
                                     .to_version = INT32_MAX};
    migration->status = status_ok();
    STATUS_TRY(source->ops->read(source, &query, on_record, migration));
    STATUS_TRY(migration->status);
    if (migration->position != migration->head)
        return status_reason(REASON_POSITION_MISSING, "position %" PRId64 " is missing in the source",
                             migration->position + (int64_t)migration->leaf_count + 1);
    return adopt_batch(migration);
}

/* A store that failed for good is none that comes back. */
static bool may_pass(const struct status *status)
{
    return (status->code == STATUS_UNAVAILABLE && status->reason != REASON_STORE_FAILED) ||
           status->code == STATUS_ABORTED || status->reason == REASON_OUTCOME_UNKNOWN;
}

/* Appends of a migration that was killed may arrive while this one begins: then it goes on behind them. */
static bool goes_on(struct migration *migration, const struct status *status)
{
    const struct migrate_options *options = migration->options;
    if (status->code == STATUS_ABORTED && migration->aborted < ABORTED_MAX) {
        migration->aborted++;
        return true;
    }
    return may_pass(status) && options->may_retry != NULL && options->may_retry(options->context, status);
}

static struct status persist(struct migration *migration, struct status (*step)(struct migration *migration))
{
    for (;;) {
        const struct status status = step(migration);
        if (status.code == STATUS_OK || !goes_on(migration, &status))
            return status;
        migration->interrupted = true;
    }
}

static struct status follow_events(struct migration *migration)
{
    const struct migrate_options *options = migration->options;
    STATUS_TRY(persist(migration, move_events));
    while (options->is_closed != NULL) {
        const bool closed = options->is_closed(options->context);
        STATUS_TRY(persist(migration, move_events));
        if (closed)
            break;
    }
    const struct store_head *source = &migration->report->source;
    const struct store_head *target = &migration->report->target;
    if (source->position != target->position ||
        memcmp(&source->chain, &target->chain, sizeof source->chain) != 0)
        return status_reason(REASON_DAMAGED,
                             "after the move the source is at position %" PRId64 " and the target at %" PRId64
                             ", or their chains differ; run strata verify on both",
                             source->position, target->position);
    return status_ok();
}

/* ---- what is kept beside the events ---- */

static bool on_snapshot(void *context, const struct snapshot *snapshot)
{
    struct migration *migration = context;
    struct snapshot_store *target = migration->target.snapshots;
    migration->status = target->ops->put(target, snapshot);
    migration->report->snapshots += migration->status.code == STATUS_OK;
    return migration->status.code == STATUS_OK;
}

static bool on_value(void *context, struct bytes key, struct bytes value)
{
    struct migration *migration = context;
    struct event_store *target = migration->target.events;
    migration->status = target->ops->state_put(target, key, value);
    migration->report->values += migration->status.code == STATUS_OK;
    return migration->status.code == STATUS_OK;
}

/* Under no epoch: leases begin anew in the new store. One that is there already is as far or further. */
static bool on_checkpoint(void *context, struct bytes name, const struct checkpoint *checkpoint)
{
    struct migration *migration = context;
    struct event_store *target = migration->target.events;
    struct checkpoint there = {0};
    const struct status found = target->ops->checkpoint_get(target, name, &there);
    if (found.code == STATUS_OK && there.position >= checkpoint->position)
        return true;
    migration->status = target->ops->checkpoint_put(target, name, checkpoint->position, 0);
    migration->report->checkpoints += migration->status.code == STATUS_OK;
    return migration->status.code == STATUS_OK;
}

static struct status move_state(struct migration *migration)
{
    struct event_store *source = migration->source.events;
    struct migrate_report *report = migration->report;
    report->snapshots = report->values = report->checkpoints = 0; /* a repeated step puts all of them again */
    migration->status = status_ok();
    if (migration->source.snapshots != NULL && migration->target.snapshots != NULL)
        STATUS_TRY(migration->source.snapshots->ops->list(migration->source.snapshots, BYTES_NONE, BYTES_NONE,
                                                          BYTES_NONE, 0, on_snapshot, migration));
    STATUS_TRY(migration->status);
    STATUS_TRY(source->ops->state_list(source, BYTES_NONE, BYTES_NONE, on_value, migration));
    STATUS_TRY(migration->status);
    STATUS_TRY(source->ops->checkpoints(source, on_checkpoint, migration));
    return migration->status;
}

/* ---- the whole ---- */

static struct status begin(struct migration *migration)
{
    struct event_store *source = migration->source.events;
    struct event_store *target = migration->target.events;
    struct migrate_report *report = migration->report;
    STATUS_TRY(source->ops->head(source, &report->source));
    STATUS_TRY(target->ops->head(target, &report->target));
    report->found = migration->there = report->target.position;
    if (report->found > report->source.position)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "the target holds %" PRId64 " events and the source %" PRId64
                            "; are they the wrong way round?",
                            report->found, report->source.position);
    if (report->source.position == 0 && migration->options->is_closed == NULL)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "the source holds no event, so there is nothing to move; correct the database or "
                            "store_id that its configuration names");
    return status_ok();
}

struct status migrate_store(const struct migrate_side *source, const struct migrate_side *target,
                            const struct migrate_options *options, const struct entropy *entropy,
                            struct migrate_report *ret)
{
    *ret = (struct migrate_report){0};
    struct migration *migration = calloc(1, sizeof *migration);
    if (migration == NULL)
        return no_memory();
    migration->source = *source;
    migration->target = *target;
    migration->options = options;
    migration->entropy = entropy;
    migration->report = ret;
    migration->arena = arena_new(0);
    struct status status = migration->arena == NULL ? no_memory() : begin(migration);
    if (status.code == STATUS_OK)
        status = follow_events(migration);
    if (status.code == STATUS_OK)
        status = persist(migration, move_state);
    arena_free(migration->arena);
    free(migration);
    return status;
}
