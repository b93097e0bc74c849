#include "builder_internal.h"

#include <assert.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "base/log.h"
#include "builder_work_internal.h"
#include "embedded_internal.h"
#include "index_renewal_internal.h"

#define NICE_BUILDER 10

void builder_init(struct index_builder *builder)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&builder->lock, NULL);
    pthread_mutex_init(&builder->manifest_lock, NULL);
    pthread_cond_init(&builder->wanted, &monotonic);
    pthread_cond_init(&builder->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    builder->trouble = status_ok();
}

void builder_done(struct index_builder *builder)
{
    pthread_cond_destroy(&builder->wanted);
    pthread_cond_destroy(&builder->changed);
    pthread_mutex_destroy(&builder->manifest_lock);
    pthread_mutex_destroy(&builder->lock);
}

/* ---- one attempt ---- */

static void note_attempt(struct embedded_store *store, const struct status *status)
{
    struct index_builder *builder = &store->builder;
    pthread_mutex_lock(&builder->lock);
    builder->attempts++;
    builder->trouble = *status;
    builder->waiting = work_waiting(store);
    pthread_cond_broadcast(&builder->changed);
    pthread_mutex_unlock(&builder->lock);
    const bool failed = status->code != STATUS_OK && status->code != STATUS_CANCELLED;
    if (failed && !builder->warned)
        log_warn(store->log, "the index of a full segment could not be written, trying again",
                 LOG_TEXT("store", store->id), LOG_TEXT("why", status->message));
    if (status->code != STATUS_CANCELLED)
        builder->warned = failed;
}

bool builder_is_stopping(struct index_builder *builder)
{
    pthread_mutex_lock(&builder->lock);
    const bool stopping = builder->stopping;
    pthread_mutex_unlock(&builder->lock);
    return stopping;
}

static struct status build(struct embedded_store *store)
{
    const struct status status = work_build_oldest(store);
    note_attempt(store, &status);
    return status;
}

/* Asked between the pieces of a merge: a full table must not wait for the end of it. */
static bool go_on_merging(void *context)
{
    struct embedded_store *store = context;
    while (work_waiting(store) > 0 && !store->index_damaged)
        if (build(store).code != STATUS_OK)
            break;
    return !builder_is_stopping(&store->builder);
}

/* One table or one merge; *ret_more = there may be something left to do. */
static struct status attempt(struct embedded_store *store, bool *ret_more)
{
    const struct status nothing = status_ok();
    *ret_more = false;
    if (store->options.read_only)
        return nothing;
    if (store->index_damaged) {
        note_attempt(store, &nothing); /* who has come to wait for one looks at the index once more */
        return nothing;
    }
    if (work_waiting(store) > 0) {
        *ret_more = true;
        return build(store);
    }
    size_t first = 0;
    if (builder_is_stopping(&store->builder) || !work_find_merge(store, &first))
        return status_ok();
    *ret_more = true;
    const struct status status = work_merge(store, first, go_on_merging);
    note_attempt(store, &status);
    return status;
}

/* ---- a damaged index ---- */

static void note_renewal(struct embedded_store *store, const struct status *status)
{
    struct index_builder *builder = &store->builder;
    if (status->code == STATUS_OK) {
        builder->renewal_wait_ms = 0;
        log_info(store->log, "the damaged index was made anew", LOG_TEXT("store", store->id));
        return;
    }
    if (status->code == STATUS_CANCELLED)
        return;
    const int64_t wait_ms = builder->renewal_wait_ms == 0 ? RENEWAL_RETRY_MS : 2 * builder->renewal_wait_ms;
    builder->renewal_wait_ms = wait_ms < RENEWAL_RETRY_MOST_MS ? wait_ms : RENEWAL_RETRY_MOST_MS;
    builder->renewal_at_us = clock_monotonic_us(store->clock) + builder->renewal_wait_ms * 1000;
    log_error(store->log, "the damaged index could not be made anew, trying again",
              LOG_TEXT("store", store->id), LOG_TEXT("why", status->message),
              LOG_INT("wait_ms", builder->renewal_wait_ms));
}

/* The store is open: its whole log is there to be read. */
static struct status renew_or_attempt(struct embedded_store *store, bool *ret_more)
{
    struct index_builder *builder = &store->builder;
    *ret_more = false;
    if (!store->index_damaged || store->options.read_only)
        return attempt(store, ret_more);
    STATUS_TRY(attempt(store, ret_more)); /* lets go who waits, since this can last */
    if (builder_is_stopping(builder))
        return status_ok();
    if (builder->renewal_wait_ms > 0 && clock_monotonic_us(store->clock) < builder->renewal_at_us)
        return status_error(STATUS_UNAVAILABLE, "it is not time yet to try again");
    const struct status status = index_renew(store);
    note_renewal(store, &status);
    pthread_mutex_lock(&builder->lock);
    builder->trouble = status;
    pthread_mutex_unlock(&builder->lock);
    *ret_more = status.code == STATUS_OK;
    return status;
}

void builder_step(struct embedded_store *store)
{
    bool more = true;
    while (more && renew_or_attempt(store, &more).code == STATUS_OK)
        ;
}

struct status builder_catch_up(struct embedded_store *store, uint32_t waiting)
{
    bool more = true;
    while (more && work_waiting(store) > waiting)
        STATUS_TRY(attempt(store, &more));
    return status_ok();
}

/* ---- the thread ---- */

/* With the lock held; until poked, or for a while after a failure. */
static void sleep_or_wait(struct index_builder *builder, bool failed)
{
    if (!failed) {
        while (!builder->poked && !builder->stopping)
            pthread_cond_wait(&builder->wanted, &builder->lock);
        return;
    }
    const struct timespec until = deadline_after_ms(BUILDER_RETRY_MS);
    while (!builder->poked && !builder->stopping)
        if (pthread_cond_timedwait(&builder->wanted, &builder->lock, &until) != 0)
            return;
}

static void *builder_loop(void *context)
{
    struct embedded_store *store = context;
    struct index_builder *builder = &store->builder;
    /* Appends and reads come first; without the permission it builds at the usual priority. */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE_BUILDER);
    builder->rests = true;
    for (;;) {
        bool more = false;
        const struct status status = renew_or_attempt(store, &more);
        pthread_mutex_lock(&builder->lock);
        const bool failed = status.code != STATUS_OK;
        /* When stopping, full tables are still written: the next start need not read their segments. */
        if (builder->stopping && (failed || !more)) {
            pthread_mutex_unlock(&builder->lock);
            return NULL;
        }
        if (failed || !more)
            sleep_or_wait(builder, failed);
        builder->poked = false;
        pthread_mutex_unlock(&builder->lock);
    }
}

struct status builder_start(struct embedded_store *store)
{
    struct index_builder *builder = &store->builder;
    builder->stopping = false;
    builder->waiting = work_waiting(store);
    if (pthread_create(&builder->thread, NULL, builder_loop, store) != 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED,
                            "no thread for the store; raise the limit of processes");
    builder->started = true;
    return status_ok();
}

void builder_stop(struct embedded_store *store)
{
    struct index_builder *builder = &store->builder;
    if (!builder->started)
        return;
    pthread_mutex_lock(&builder->lock);
    builder->stopping = true;
    pthread_cond_signal(&builder->wanted);
    pthread_mutex_unlock(&builder->lock);
    pthread_join(builder->thread, NULL);
    builder->started = false;
}

static void poke(struct index_builder *builder)
{
    builder->poked = true;
    pthread_cond_signal(&builder->wanted);
}

void builder_note_damaged(struct embedded_store *store)
{
    struct index_builder *builder = &store->builder;
    pthread_mutex_lock(&builder->lock);
    poke(builder);
    pthread_mutex_unlock(&builder->lock);
}

void builder_note_frozen(struct embedded_store *store)
{
    struct index_builder *builder = &store->builder;
    pthread_mutex_lock(&builder->lock);
    builder->waiting++;
    poke(builder);
    pthread_mutex_unlock(&builder->lock);
}

/* ---- room for one more table ---- */

/* Waits for one attempt to end that begins later than now. */
static struct status await_attempt(struct index_builder *builder)
{
    pthread_mutex_lock(&builder->lock);
    const uint64_t ticket = builder->attempts;
    poke(builder);
    /* A merge's pieces build too, so each table that gets written counts. */
    while (builder->attempts == ticket && builder->waiting >= BUILDER_WAITING_MAX)
        pthread_cond_wait(&builder->changed, &builder->lock);
    const struct status status = builder->trouble;
    pthread_mutex_unlock(&builder->lock);
    return status;
}

struct status builder_make_room(struct embedded_store *store)
{
    struct index_builder *builder = &store->builder;
    while (work_waiting(store) >= BUILDER_WAITING_MAX) {
        if (store->index_damaged)
            return status_reason(
                REASON_STORE_FAILED,
                "the index is damaged and its memory full; a new one is being made from the log, try again later");
        const struct status status = builder->started ? await_attempt(builder) : build(store);
        if (status.code != STATUS_OK && work_waiting(store) >= BUILDER_WAITING_MAX)
            return status_prefix(status, "the index of the full segments cannot be written");
    }
    return status_ok();
}

struct status builder_health(struct embedded_store *store)
{
    struct index_builder *builder = &store->builder;
    pthread_mutex_lock(&builder->lock);
    const struct status trouble = builder->trouble;
    const uint32_t waiting = builder->waiting;
    pthread_mutex_unlock(&builder->lock);
    if (store->index_damaged)
        return status_error(
            STATUS_RESOURCE_EXHAUSTED,
            "the index is damaged and a new one is being made from the log: nothing is lost, but who "
            "needs a damaged page is refused until then, and so are appends after %u more segments%s%.400s",
            BUILDER_WAITING_MAX, trouble.code == STATUS_OK ? "" : "; at the last try: ", trouble.message);
    if (waiting == 0 || trouble.code == STATUS_OK || trouble.code == STATUS_CANCELLED)
        return status_ok();
    return status_error(STATUS_RESOURCE_EXHAUSTED,
                        "appends will soon be refused since the index of full segments cannot be written: %s",
                        trouble.message);
}
