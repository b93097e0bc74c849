#include "store/writer.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "writer_internal.h"

#define BATCH_EVENTS_MAX  4096U
#define BATCH_BYTES_MAX   (4U * 1024U * 1024U)
#define QUEUE_APPENDS_MAX 8192U
#define QUEUE_BYTES_MAX   (64U * 1024U * 1024U)
/* Others may be first, or the store be lost, so often: far more than chance allows. */
#define ROUNDS_MAX 64U
/* Who was overtaken decides so many batches on facts, under the lock, before he decides one ahead: while others write too,
 * that would mostly be for nothing. */
#define RESTS_OF_THE_OVERTAKEN 8U

struct status writer_failed(void)
{
    return status_reason(
        REASON_STORE_FAILED,
        "the store failed to make an append durable and takes no more; nothing of this request was "
        "recorded; restart the service, which checks the log");
}

/* --- the queue --- */

struct status writer_submit(struct writer *writer, struct append *append)
{
    assert(append->on_done != NULL && append->event_count > 0);
    append->next = NULL;
    bool wake = false;
    struct status status = status_ok();
    pthread_mutex_lock(&writer->lock);
    if (writer->failed || writer->stopping) {
        status = writer->failed
                     ? writer_failed()
                     : status_reason(REASON_STORE_FAILED, "the service is stopping; send it again later");
    } else if (writer->queue_appends >= writer->options.queue_max_appends ||
               writer->queue_bytes + append->encoded_bytes > writer->options.queue_max_bytes) {
        status = status_reason(REASON_QUEUE_FULL,
                               "%zu appends of %zu bytes wait to be written, which is the most; retry in a "
                               "moment",
                               writer->queue_appends, writer->queue_bytes);
    } else {
        *writer->last = append;
        writer->last = &append->next;
        writer->queue_appends++;
        writer->queue_bytes += append->encoded_bytes;
        wake = writer->idle;
    }
    pthread_mutex_unlock(&writer->lock);
    if (wake)
        pthread_cond_signal(&writer->queued);
    return status;
}

/* Waits for appends, or until the batch that is under way was overtaken; false when stopping and nothing is left. */
static bool take_queue(struct writer *writer, const struct batch *in_flight)
{
    if (writer->taken != NULL)
        return true;
    pthread_mutex_lock(&writer->lock);
    while (writer->first == NULL && !writer->stopping && !(in_flight != NULL && in_flight->overtaken)) {
        writer->idle = true;
        pthread_cond_wait(&writer->queued, &writer->lock);
    }
    writer->idle = false;
    writer->taken = writer->first;
    writer->first = NULL;
    writer->last = &writer->first;
    const bool work = writer->taken != NULL || (in_flight != NULL && in_flight->overtaken);
    pthread_mutex_unlock(&writer->lock);
    return work;
}

static void fill_batch(struct writer *writer, struct batch *batch)
{
    size_t events = 0;
    size_t bytes = 0;
    batch->append_count = 0;
    while (writer->taken != NULL && batch->append_count < BATCH_APPENDS_MAX) {
        struct append *append = writer->taken;
        if (batch->append_count > 0 && (events + append->event_count > BATCH_EVENTS_MAX ||
                                        bytes + append->encoded_bytes > BATCH_BYTES_MAX))
            break;
        writer->taken = append->next;
        batch->appends[batch->append_count++] = append;
        events += append->event_count;
        bytes += append->encoded_bytes;
    }
    pthread_mutex_lock(&writer->lock);
    writer->queue_appends -= batch->append_count;
    writer->queue_bytes -= bytes;
    pthread_mutex_unlock(&writer->lock);
}

/* --- the thread, on an engine that this process has to itself --- */

/* Until the batch is answered, or overtaken. */
static void wait_for(struct writer *writer, struct batch *batch)
{
    pthread_mutex_lock(&writer->lock);
    while (batch->under_way)
        pthread_cond_wait(&writer->finished, &writer->lock);
    pthread_mutex_unlock(&writer->lock);
}

static bool has_failed(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    const bool failed = writer->failed;
    pthread_mutex_unlock(&writer->lock);
    return failed;
}

/* The batch before was refused by the engine and changed nothing, so what was decided beside it does not stand. */
static struct status decide_again(struct writer *writer, struct batch *batch)
{
    batch_reuse(batch);
    return batch_decide(writer, batch, NULL, false);
}

/* Decides `batch` beside the one that syncs; returns the batch that is then under way, or NULL. */
static struct batch *run_beside(struct writer *writer, struct batch *batch, struct batch *in_flight)
{
    struct status status =
        has_failed(writer) ? writer_failed() : batch_decide(writer, batch, in_flight, false);
    if (in_flight != NULL)
        wait_for(writer, in_flight);
    if (has_failed(writer))
        status = writer_failed();
    else if (status.code == STATUS_OK && in_flight != NULL && !in_flight->committed)
        status = decide_again(writer, batch);
    if (status.code != STATUS_OK) {
        batch_refuse(batch, &status);
        return NULL;
    }
    if (batch->decision.batch.append_count == 0) {
        batch_answer(batch);
        return NULL;
    }
    batch_commit(batch);
    return batch;
}

/* --- the thread, on an engine that others write to as well --- */

/* Decides the batch on facts and hands it to the engine; false = there was nothing to write, and it is answered. */
static bool start(struct writer *writer, struct batch *batch)
{
    const struct status status = batch_decide(writer, batch, NULL, false);
    if (status.code == STATUS_OK && batch->decision.batch.append_count > 0) {
        batch_commit(batch);
        return true;
    }
    if (writer->store->ops->release != NULL)
        writer->store->ops->release(writer->store);
    if (status.code == STATUS_OK)
        batch_answer(batch);
    else
        batch_refuse(batch, &status);
    return false;
}

/* Decides the batch beside the one that is under way, for the engine to find out whether that was right. False = it cannot
 * be known before, or there is nothing to write, which only facts may say. */
static bool start_ahead(struct writer *writer, struct batch *batch, struct batch *in_flight)
{
    pthread_mutex_lock(&writer->lock);
    const bool useful = in_flight->under_way;
    pthread_mutex_unlock(&writer->lock);
    if (!useful || writer->store->ops->facts_ahead == NULL)
        return false;
    const struct status status = batch_decide(writer, batch, in_flight, true);
    if (status.code == STATUS_OK && batch->decision.batch.append_count > 0) {
        batch_commit(batch);
        return true;
    }
    batch_reuse(batch);
    return false;
}

/* What an overtaken batch is worth: what was written of it stands, the rest is decided again, until nobody is first. */
static void run_again(struct writer *writer, struct batch *batch)
{
    for (unsigned round = 1; batch->overtaken; round++) {
        if (batch->written > 0)
            batch_answer_written(batch);
        if (round == ROUNDS_MAX) {
            const struct status status = status_reason(
                REASON_STORE_UNREACHABLE,
                "%u times in a row other services that append to the same store were first, or the store was "
                "lost; nothing of this request was recorded; send it again",
                ROUNDS_MAX);
            batch_refuse(batch, &status);
            return;
        }
        batch_reuse(batch);
        if (!start(writer, batch))
            return;
        wait_for(writer, batch);
    }
}

/* No commit is under way then but `ahead` (may be NULL), which was handed over behind this one. */
static void finish(struct writer *writer, struct batch *batch, struct batch *ahead)
{
    wait_for(writer, batch);
    if (!batch->overtaken)
        return;
    writer->rests = RESTS_OF_THE_OVERTAKEN;
    if (ahead != NULL)
        wait_for(writer, ahead); /* with the one before it was overtaken as well */
    run_again(writer, batch);
}

/* Returns the batch that is under way then, or was overtaken; or NULL. */
static struct batch *run_among_others(struct writer *writer, struct batch *batch, struct batch *in_flight)
{
    const bool rests = writer->rests > 0;
    writer->rests -= rests;
    if (in_flight != NULL) {
        const bool ahead = !rests && start_ahead(writer, batch, in_flight);
        finish(writer, in_flight, ahead ? batch : NULL);
        if (ahead)
            return batch;
    }
    return start(writer, batch) ? batch : NULL;
}

/* --- the thread --- */

static bool is_overtaken(struct writer *writer, const struct batch *batch)
{
    pthread_mutex_lock(&writer->lock);
    const bool overtaken = batch->overtaken;
    pthread_mutex_unlock(&writer->lock);
    return overtaken;
}

static void *writer_main(void *context)
{
    struct writer *writer = context;
    struct batch *in_flight = NULL;
    size_t turn = 0;
    while (take_queue(writer, in_flight)) {
        if (in_flight != NULL && is_overtaken(writer, in_flight)) {
            finish(writer, in_flight, NULL);
            in_flight = NULL;
            continue;
        }
        struct batch *batch = &writer->batches[turn];
        assert(batch != in_flight);
        batch_reuse(batch);
        fill_batch(writer, batch);
        in_flight = writer->store->pipelined ? run_beside(writer, batch, in_flight)
                                             : run_among_others(writer, batch, in_flight);
        turn = 1 - turn;
    }
    if (in_flight != NULL)
        finish(writer, in_flight, NULL); /* its appends are answered then */
    return NULL;
}

/* --- life --- */

static void writer_release(struct writer *writer)
{
    for (size_t i = 0; i < 2; i++) {
        overlay_free(writer->batches[i].decision.overlay);
        arena_free(writer->batches[i].arena);
    }
    decide_namer_done(&writer->namer);
    (void)pthread_mutex_destroy(&writer->lock);
    (void)pthread_cond_destroy(&writer->queued);
    (void)pthread_cond_destroy(&writer->finished);
    free(writer);
}

struct status writer_start(struct event_store *store, const struct writer_options *options,
                           const struct clock *clock, const struct entropy *entropy, struct writer **ret)
{
    struct writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the writer");
    writer->store = store;
    writer->options = *options;
    if (writer->options.queue_max_appends == 0)
        writer->options.queue_max_appends = QUEUE_APPENDS_MAX;
    if (writer->options.queue_max_bytes == 0)
        writer->options.queue_max_bytes = QUEUE_BYTES_MAX;
    writer->clock = clock;
    writer->entropy = entropy;
    writer->last = &writer->first;
    writer->rate = append_rate_from(clock_monotonic_us(clock));
    (void)pthread_mutex_init(&writer->lock, NULL); /* these fail only for attributes that are not used */
    (void)pthread_cond_init(&writer->queued, NULL);
    (void)pthread_cond_init(&writer->finished, NULL);
    uint64_t seed = 0;
    entropy_fill(entropy, &seed, sizeof seed);
    writer->namer = decide_namer_make(seed);
    for (size_t i = 0; i < 2; i++) {
        writer->batches[i].writer = writer;
        writer->batches[i].arena = arena_new(0);
        if (writer->batches[i].arena == NULL) {
            writer_release(writer);
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the writer");
        }
    }
    if (pthread_create(&writer->thread, NULL, writer_main, writer) != 0) {
        writer_release(writer);
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no thread for the writer");
    }
    *ret = writer;
    return status_ok();
}

void writer_stop(struct writer *writer)
{
    if (writer == NULL)
        return;
    pthread_mutex_lock(&writer->lock);
    writer->stopping = true;
    pthread_cond_signal(&writer->queued);
    pthread_mutex_unlock(&writer->lock);
    (void)pthread_join(writer->thread, NULL); /* joinable, and joined once */
    writer_release(writer);
}

void writer_stats(struct writer *writer, struct writer_stats *ret)
{
    const int64_t now_us = clock_monotonic_us(writer->clock);
    pthread_mutex_lock(&writer->lock);
    *ret = writer->stats;
    ret->queue_depth = (int64_t)writer->queue_appends;
    ret->appends_per_second = append_rate_per_second(&writer->rate, now_us);
    pthread_mutex_unlock(&writer->lock);
}
