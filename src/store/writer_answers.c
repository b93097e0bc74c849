/* What is said to who waits for an append. */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "writer_internal.h"

static void count_outcome(struct writer_stats *stats, const struct append_outcome *outcome)
{
    stats->appends += outcome->kind == APPEND_ACCEPTED;
    stats->events += outcome->kind == APPEND_ACCEPTED ? (int64_t)outcome->record_count : 0;
    stats->replays += outcome->kind == APPEND_REPLAYED;
    stats->refused += outcome->kind == APPEND_REFUSED;
    stats->conflicts += outcome->kind == APPEND_REFUSED && outcome->status.code == STATUS_ABORTED;
}

static void answer_first(struct batch *batch, size_t count, bool committed)
{
    struct writer *writer = batch->writer;
    const int64_t now_us = clock_monotonic_us(writer->clock);
    pthread_mutex_lock(&writer->lock);
    const int64_t before = writer->stats.appends;
    for (size_t i = 0; i < count; i++)
        if (!batch->appends[i]->validate_only)
            count_outcome(&writer->stats, &batch->decision.outcomes[i]);
    writer->stats.batches += committed;
    append_rate_count(&writer->rate, now_us, writer->stats.appends - before);
    pthread_mutex_unlock(&writer->lock);
    for (size_t i = 0; i < count; i++)
        batch->appends[i]->on_done(batch->appends[i], &batch->decision.outcomes[i]);
}

void batch_answer(struct batch *batch)
{
    answer_first(batch, batch->append_count, batch->decision.batch.append_count > 0);
}

void batch_refuse(struct batch *batch, const struct status *status)
{
    const struct append_outcome outcome = {.kind = APPEND_REFUSED, .status = *status};
    for (size_t i = 0; i < batch->append_count; i++)
        batch->appends[i]->on_done(batch->appends[i], &outcome);
}

/* Of a batch of unknown fate, what it did not want to write. */
static struct status not_executed(const struct batch *batch)
{
    return batch->writer->store->pipelined
               ? writer_failed()
               : status_reason(
                     REASON_STORE_UNREACHABLE,
                     "the store was lost while it answered; nothing of this request was recorded; send it "
                     "again");
}

/* The sync failed: what was to be written may or may not be there after a restart; what was only looked at was not
 * executed, but was decided beside events that may be gone, so no answer of the batch stands. */
static void fail_batch(struct batch *batch, const struct status *cause)
{
    const struct append_outcome unknown = {
        .kind = APPEND_REFUSED,
        .status = status_reason(
            REASON_OUTCOME_UNKNOWN,
            "whether the append was recorded is not known (%s); repeat it with the same event ids or "
            "Idempotency-Key once the %s",
            cause->message, batch->writer->store->pipelined ? "service runs again" : "store can be reached")};
    const struct append_outcome failed = {.kind = APPEND_REFUSED, .status = not_executed(batch)};
    for (size_t i = 0; i < batch->append_count; i++) {
        const enum append_outcome_kind kind = batch->decision.outcomes[i].kind;
        const bool written =
            !batch->appends[i]->validate_only && (kind == APPEND_ACCEPTED || kind == APPEND_REPLAYED);
        batch->appends[i]->on_done(batch->appends[i], written ? &unknown : &failed);
    }
}

/* Comes from the engine's thread, or from within commit(). */
static void on_committed(void *context, const struct status *status)
{
    struct batch *batch = context;
    struct writer *writer = batch->writer;
    const bool nothing_happened =
        status->reason == REASON_STORE_UNREACHABLE || status->reason == REASON_STORE_FAILED;
    const bool overtaken = status->code == STATUS_ABORTED;
    assert(!overtaken || !writer->store->pipelined);
    if (status->code == STATUS_OK) {
        if (writer->options.on_commit != NULL)
            writer->options.on_commit(writer->options.on_commit_context, &batch->decision.batch.after);
        batch_answer(batch);
    } else if (nothing_happened) {
        batch_refuse(batch, status);
    } else if (!overtaken) {
        pthread_mutex_lock(&writer->lock);
        writer->failed = writer->store->pipelined;
        pthread_mutex_unlock(&writer->lock);
        fail_batch(batch, status);
    }
    pthread_mutex_lock(&writer->lock);
    batch->under_way = false;
    batch->committed = status->code == STATUS_OK;
    batch->overtaken = overtaken;
    pthread_cond_signal(&writer->finished);
    if (overtaken) /* who waits for appends has this one to decide again */
        pthread_cond_signal(&writer->queued);
    pthread_mutex_unlock(&writer->lock);
}

static void tell_of_written(const struct batch *batch)
{
    const struct writer *writer = batch->writer;
    const struct commit_append *last = &batch->decision.batch.appends[batch->written - 1];
    const struct store_head head = {
        .position = last->first_position + (int64_t)last->count - 1,
        .timestamp_us = last->fields[0].timestamp_us,
        .chain = last->chain_after,
        .aggregate_count = last->aggregate_count_after,
    };
    if (writer->options.on_commit != NULL)
        writer->options.on_commit(writer->options.on_commit_context, &head);
}

/* The appends before the first one that was to be written and was not have been decided, and stay so. */
void batch_answer_written(struct batch *batch)
{
    size_t accepted = 0;
    size_t count = 0;
    while (count < batch->append_count) {
        const bool was_to_be =
            !batch->appends[count]->validate_only && batch->decision.outcomes[count].kind == APPEND_ACCEPTED;
        if (was_to_be && accepted == batch->written)
            break;
        accepted += was_to_be;
        count++;
    }
    tell_of_written(batch);
    answer_first(batch, count, true);
    batch->append_count -= count;
    memmove(batch->appends, batch->appends + count, batch->append_count * sizeof *batch->appends);
}

void batch_commit(struct batch *batch)
{
    struct writer *writer = batch->writer;
    pthread_mutex_lock(&writer->lock);
    batch->under_way = true;
    batch->overtaken = false;
    pthread_mutex_unlock(&writer->lock);
    batch->written = 0;
    batch->decision.batch.ret_written = &batch->written;
    writer->store->ops->commit(writer->store, &batch->decision.batch, on_committed, batch);
}
