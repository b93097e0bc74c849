#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/deadline.h"
#include "base/log.h"
#include "embedded_internal.h"
#include "short_slice_internal.h"

/* ---- building the frame, on the writer's thread ---- */

/* Wrong events must not reach the disk: what the writer promised is checked before it is written. */
static void assert_batch(const struct commit_batch *batch)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->append_count; i++) {
        assert(batch->appends[i].first_position == batch->before.position + 1 + (int64_t)count);
        count += batch->appends[i].count;
    }
    assert(batch->append_count > 0);
    assert(count == batch->record_count);
    assert(batch->after.position == batch->before.position + (int64_t)count);
    assert(batch->after.timestamp_us >= batch->before.timestamp_us);
    const struct sha256 *chain = &batch->appends[batch->append_count - 1].chain_after;
    assert(memcmp(chain, &batch->after.chain, sizeof *chain) == 0);
}

/* The place counts from the frame's first byte until the frame has its own. */
static void add_entry(struct embedded_store *store, struct record record, uint32_t *headers_crc)
{
    struct location place = {.offset = (uint32_t)store->frame.size_bytes};
    place.header_crc = entry_encode(record, &store->frame, headers_crc);
    place.room_bytes = (uint32_t)store->frame.size_bytes - place.offset;
    buffer_add(&store->places, &place, sizeof place);
}

static struct status build_frame(struct embedded_store *store, const struct commit_batch *batch,
                                 struct frame_header *header)
{
    struct buffer *frame = &store->frame;
    uint32_t headers_crc = 0;
    buffer_clear(frame);
    buffer_clear(&store->places);
    (void)buffer_extend(frame, FRAME_HEADER_BYTES); /* encoded last; a failure stays in the buffer */
    for (size_t i = 0; i < batch->append_count; i++) {
        for (size_t j = 0; j < batch->appends[i].count; j++)
            add_entry(store, batch->appends[i].records[j], &headers_crc);
    }
    STATUS_TRY(buffer_status(&store->places));
    const size_t used = frame->size_bytes;
    const size_t size = (used + FRAME_ALIGN_BYTES - 1) / FRAME_ALIGN_BYTES * FRAME_ALIGN_BYTES;
    static const uint8_t zeros[FRAME_ALIGN_BYTES];
    buffer_add(frame, zeros, size - used);
    STATUS_TRY(buffer_status(frame));
    if (size > FRAME_BYTES_MAX)
        return status_reason(REASON_APPEND_TOO_LARGE,
                             "a commit of %zu bytes is larger than a frame may be (%u)", size,
                             FRAME_BYTES_MAX);
    *header = (struct frame_header){
        .kind = FRAME_EVENTS,
        .entries_bytes = (uint32_t)(used - FRAME_HEADER_BYTES),
        .count = (uint32_t)batch->record_count,
        .first_position = batch->before.position + 1,
        .writer_epoch = store->writer_epoch,
        .commit_time_us = batch->after.timestamp_us,
        .chain_before = batch->before.chain,
        .chain_after = batch->after.chain,
        .headers_crc = headers_crc,
    };
    return status_ok();
}

static struct status check_head(struct embedded_store *store, const struct commit_batch *batch)
{
    pthread_rwlock_rdlock(&store->view_lock);
    const struct store_head head = store->head;
    pthread_rwlock_unlock(&store->view_lock);
    if (batch->before.position == head.position &&
        memcmp(&batch->before.chain, &head.chain, sizeof head.chain) == 0)
        return status_ok();
    return status_reason(REASON_STORE_FAILED,
                         "a commit was decided at position %" PRId64 " and the store is at %" PRId64
                         "; nothing of it was written",
                         batch->before.position, head.position);
}

static struct status prepare_job(struct embedded_store *store, const struct commit_batch *batch,
                                 struct frame_header *header)
{
    assert_batch(batch);
    STATUS_TRY(check_head(store, batch));
    STATUS_TRY(embedded_find_firsts(store, batch));
    return build_frame(store, batch, header);
}

/* ---- writing and publishing, on the sync thread ---- */

static void fail(struct embedded_store *store, const struct status *why)
{
    pthread_mutex_lock(&store->work_lock);
    const bool first = store->failed.code == STATUS_OK;
    if (first)
        store->failed = status_reason(
            REASON_STORE_FAILED,
            "the store takes no appends since: %s; look at the disk, then restart strata", why->message);
    pthread_mutex_unlock(&store->work_lock);
    if (first)
        log_error(store->log, "the store is read-only from now on", LOG_TEXT("store", store->id),
                  LOG_TEXT("why", why->message));
}

void embedded_mark(struct embedded_store *store)
{
    store->mark.position = store->head.position;
    store->mark.chain = store->head.chain;
    segment_log_end(store->segments, &store->mark.segment, &store->mark.end_offset);
}

static struct status unknown_outcome(const struct status *why)
{
    return status_reason(
        REASON_OUTCOME_UNKNOWN,
        "whether the events were stored is not known: %s; restart strata and repeat with the same "
        "event ids",
        why->message);
}

/* The index cannot take the batch for want of memory or space: may be tried again. */
static struct status not_now(const struct status *why)
{
    struct status status = status_reason(REASON_STORE_FAILED, "nothing was written: %s", why->message);
    status.retry_after_ms = 1000;
    return status;
}

/* Writes, syncs and publishes one batch; the status is the batch's answer. */
static struct status run_batch(struct embedded_store *store, const struct commit_job *job)
{
    if (job->refused.code != STATUS_OK) /* whatever the reason, the writer may go on */
        return status_reason(REASON_STORE_FAILED, "nothing was written: %s", job->refused.message);
    struct frame_header header = job->header;
    const struct log_point before = {job->batch->before.position, job->batch->before.timestamp_us,
                                     job->batch->before.chain};
    enum append_fate fate = FRAME_NOT_WRITTEN;
    uint32_t segment = 0;
    uint64_t offset = 0;
    struct status status = embedded_make_table(store, job->batch, store->frame.size_bytes);
    if (status.code != STATUS_OK)
        return not_now(&status);
    status = segment_log_append(store->segments, &header, store->frame.data, store->frame.size_bytes, &before,
                                &fate, &segment, &offset);
    if (fate == FRAME_SYNCED) {
        store->sealed = false;
        status = embedded_publish(store, job->batch, segment, offset);
        if (status.code == STATUS_OK)
            return status;
        /* Durable, but the next start must show it: no append may follow events that nobody sees. */
        fate = FRAME_UNKNOWN;
    }
    if (fate == FRAME_NOT_WRITTEN && status.code == STATUS_RESOURCE_EXHAUSTED) {
        /* The only refusal that ends by itself. */
        struct status full =
            status_reason(REASON_STORE_FAILED,
                          "there is no space for more events: %s; nothing was written, free some "
                          "space and try again",
                          status.message);
        full.retry_after_ms = 1000;
        return full;
    }
    fail(store, &status);
    if (fate == FRAME_UNKNOWN)
        return unknown_outcome(&status);
    return status_reason(REASON_STORE_FAILED,
                         "nothing was written: %s; look at the disk, then restart strata", status.message);
}

/* Called with work_lock held, which is given up for the work. */
static void run_job(struct embedded_store *store)
{
    struct commit_job job = store->job;
    store->job.batch = NULL;
    if (job.refused.code == STATUS_OK)
        job.refused = store->failed;
    pthread_mutex_unlock(&store->work_lock);
    const struct status status = run_batch(store, &job);
    job.done(job.context, &status);
    segment_log_wake(store->segments); /* behind the answer, which comes first */
    pthread_mutex_lock(&store->work_lock);
}

void embedded_seal(struct embedded_store *store)
{
    pthread_mutex_lock(&store->work_lock);
    const bool failed = store->failed.code != STATUS_OK;
    pthread_mutex_unlock(&store->work_lock);
    if (store->sealed || failed || segment_log_count(store->segments) == 0)
        return;
    /* Only this thread changes the head, so it may be read without the lock. */
    const struct log_point before = {store->head.position, store->head.timestamp_us, store->head.chain};
    struct frame_header header = {
        .kind = FRAME_SEAL,
        .first_position = before.position + 1,
        .writer_epoch = store->writer_epoch,
        .commit_time_us = before.timestamp_us,
        .chain_before = before.chain,
        .chain_after = before.chain,
    };
    uint8_t frame[FRAME_HEADER_BYTES];
    enum append_fate fate = FRAME_NOT_WRITTEN;
    uint32_t segment = 0;
    uint64_t offset = 0;
    const struct status status =
        segment_log_append(store->segments, &header, frame, sizeof frame, &before, &fate, &segment, &offset);
    if (fate == FRAME_NOT_WRITTEN && status.code == STATUS_RESOURCE_EXHAUSTED)
        return; /* tried again when 5 ms have passed; a seal only helps to tell kinds of damage apart */
    if (status.code != STATUS_OK) {
        fail(store, &status);
        return;
    }
    segment_log_wake(store->segments);
    store->sealed = true;
    store->frame_epoch = store->writer_epoch;
    pthread_rwlock_wrlock(&store->view_lock);
    embedded_mark(store);
    pthread_rwlock_unlock(&store->view_lock);
}

/* False when the time ran out. */
static bool wait_for_work(struct embedded_store *store, bool with_timeout)
{
    if (!with_timeout) {
        pthread_cond_wait(&store->work_ready, &store->work_lock);
        return true;
    }
    const struct timespec until = deadline_after_ms(SEAL_AFTER_MS);
    return pthread_cond_timedwait(&store->work_ready, &store->work_lock, &until) != ETIMEDOUT;
}

void *embedded_sync_loop(void *context)
{
    struct embedded_store *store = context;
    short_slice_ask();
    pthread_mutex_lock(&store->work_lock);
    for (;;) {
        if (store->job.batch != NULL) {
            run_job(store);
            continue;
        }
        if (store->stopping)
            break;
        const bool seal_due = !store->sealed && store->failed.code == STATUS_OK;
        const bool woken = wait_for_work(store, seal_due);
        if (!woken && store->job.batch == NULL && !store->stopping) {
            pthread_mutex_unlock(&store->work_lock);
            embedded_seal(store);
            pthread_mutex_lock(&store->work_lock);
        }
    }
    pthread_mutex_unlock(&store->work_lock);
    return NULL;
}

void embedded_commit(struct event_store *base, const struct commit_batch *batch, commit_done done,
                     void *context)
{
    struct embedded_store *store = embedded_of(base);
    struct commit_job job = {.batch = batch, .done = done, .context = context};
    job.refused = prepare_job(store, batch, &job.header);
    pthread_mutex_lock(&store->work_lock);
    assert(store->job.batch == NULL); /* the next commit comes only after the former's answer */
    assert(!store->stopping);
    store->job = job;
    const bool threaded = store->threads_started;
    if (!threaded)
        run_job(store);
    pthread_mutex_unlock(&store->work_lock);
    /* Not with the lock: the sync thread takes over at once, and would have to wait for it. */
    if (threaded)
        pthread_cond_signal(&store->work_ready);
}

struct status embedded_health(struct event_store *base)
{
    struct embedded_store *store = embedded_of(base);
    pthread_mutex_lock(&store->work_lock);
    const struct status failed = store->failed;
    pthread_mutex_unlock(&store->work_lock);
    if (failed.code != STATUS_OK)
        return failed;
    const struct status status = segment_log_health(store->segments);
    if (status.code == STATUS_OK) {
        STATUS_TRY(segment_log_space(store->segments));
        STATUS_TRY(builder_health(store));
        return state_db_health(store->state);
    }
    return status_reason(REASON_STORE_FAILED,
                         "the store takes no appends since: %s; look at the disk, then restart strata",
                         status.message);
}
