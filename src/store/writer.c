#include "store/writer.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "store/decide.h"

#define BATCH_APPENDS_MAX 256U
#define BATCH_EVENTS_MAX  4096U
#define BATCH_BYTES_MAX   (4U * 1024U * 1024U)
#define QUEUE_APPENDS_MAX 8192U
#define QUEUE_BYTES_MAX   (64U * 1024U * 1024U)
#define RATE_SECONDS      60
#define SECOND_US         INT64_C(1000000)
/* Others may be first, or the store be lost, so often: far more than chance allows. */
#define ROUNDS_MAX 64U

/*
 * A batch goes through: filled and decided by the writer's thread → committed (the engine's thread reports) → answered →
 * free. Two exist: while one syncs the other is filled and decided.
 */
struct batch {
    struct writer *writer;
    struct arena *arena;
    struct append *appends[BATCH_APPENDS_MAX];
    size_t append_count;
    struct decide_names names;
    struct facts facts;
    struct decision decision;
    bool under_way; /* guarded by the writer's lock: handed to commit() and not yet answered */
    bool committed; /* guarded by the writer's lock: the commit took place */
    bool overtaken; /* guarded by the writer's lock: another process was first; nobody was answered */
    size_t written; /* of an overtaken one: so many of its accepted appends were written all the same */
};

/* Accepted appends of the last minute: those of second s are in slot s % RATE_SECONDS. */
struct rate {
    int64_t begun_us; /* monotonic, as all here */
    int64_t second;   /* the latest one that was counted in; older slots than a minute are empty */
    int64_t appends[RATE_SECONDS];
};

struct writer {
    struct event_store *store;
    struct writer_options options;
    const struct clock *clock;
    const struct entropy *entropy;
    pthread_t thread;

    pthread_mutex_t lock;    /* guards all down to `rate`; a leaf: no callback is made under it */
    pthread_cond_t queued;   /* the queue was empty, or stopping */
    pthread_cond_t finished; /* a batch is no longer under way */
    struct append *first;
    struct append **last;
    size_t queue_appends;
    size_t queue_bytes;
    bool idle; /* the thread waits on `queued` */
    bool stopping;
    bool failed; /* a commit failed: read-only until the store is opened again */
    struct writer_stats stats;
    struct rate rate;

    /* The writer's thread only. */
    struct append *taken; /* from the queue, not yet in a batch */
    struct batch batches[2];
    struct decide_namer namer;
};

static struct status store_failed(void)
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
                     ? store_failed()
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

/* Waits for appends; false when stopping and nothing is left. */
static bool take_queue(struct writer *writer)
{
    if (writer->taken != NULL)
        return true;
    pthread_mutex_lock(&writer->lock);
    while (writer->first == NULL && !writer->stopping) {
        writer->idle = true;
        pthread_cond_wait(&writer->queued, &writer->lock);
    }
    writer->idle = false;
    writer->taken = writer->first;
    writer->first = NULL;
    writer->last = &writer->first;
    pthread_mutex_unlock(&writer->lock);
    return writer->taken != NULL;
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

/* --- facts --- */

static struct status request_facts(struct writer *writer, struct batch *batch)
{
    STATUS_TRY(decide_name(&writer->namer, (const struct append *const *)batch->appends, batch->append_count,
                           batch->arena, &batch->names));
    return writer->store->ops->facts(writer->store, &batch->names.request, batch->arena, &batch->facts);
}

struct condition_search {
    const struct event_query *query;
    struct status status;
    int64_t hit; /* 0 = none yet */
};

static bool match_condition(void *context, int64_t position, struct record record)
{
    struct condition_search *search = context;
    struct event_fields fields;
    search->status = record_decode_header(record, &fields);
    if (search->status.code == STATUS_OK && query_matches(search->query, &fields))
        search->hit = position;
    return search->status.code == STATUS_OK && search->hit == 0;
}

/* Looks from where service stopped to the head of the facts; later events are in the overlays. */
static struct status look_for_condition(struct writer *writer, const struct batch *batch,
                                        const struct append_condition *condition, int64_t *ret_hit)
{
    *ret_hit = 0;
    if (condition == NULL)
        return status_ok();
    const int64_t after =
        condition->checked_to > condition->after_position ? condition->checked_to : condition->after_position;
    if (after >= batch->facts.head.position)
        return status_ok();
    struct condition_search search = {&condition->fail_if_match, status_ok(), 0};
    const struct read_query query = {.by = READ_BY_POSITION,
                                     .after_position = after,
                                     .to_position = batch->facts.head.position,
                                     .to_version = INT32_MAX};
    STATUS_TRY(writer->store->ops->read(writer->store, &query, match_condition, &search));
    STATUS_TRY(search.status);
    *ret_hit = search.hit;
    return status_ok();
}

/* What cannot be read refuses the append whose condition must know, and no other of the batch. */
static struct status look_for_conditions(struct writer *writer, struct batch *batch,
                                         struct condition_fact *facts)
{
    for (size_t i = 0; i < batch->append_count; i++) {
        facts[i] = (struct condition_fact){0};
        const struct status status =
            look_for_condition(writer, batch, batch->appends[i]->condition, &facts[i].hit);
        if (status.code == STATUS_OK)
            continue;
        struct status *kept = arena_alloc(batch->arena, sizeof *kept);
        if (kept == NULL)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to look up a batch; retry");
        *kept = status;
        facts[i].unreadable = kept;
    }
    return status_ok();
}

/* --- counting --- */

static void rate_forward(struct rate *rate, int64_t now_us)
{
    const int64_t second = now_us / SECOND_US;
    for (int64_t i = 0; rate->second < second && i < RATE_SECONDS; i++)
        rate->appends[++rate->second % RATE_SECONDS] = 0;
    if (rate->second < second) /* all slots are empty by now */
        rate->second = second;
}

static double rate_per_second(struct rate *rate, int64_t now_us)
{
    int64_t appends = 0;
    rate_forward(rate, now_us);
    for (size_t i = 0; i < RATE_SECONDS; i++)
        appends += rate->appends[i];
    /* The slots cover whole seconds before the one that is under way, and what has passed of that. */
    const int64_t begun_us = rate->begun_us > (rate->second - RATE_SECONDS + 1) * SECOND_US
                                 ? rate->begun_us
                                 : (rate->second - RATE_SECONDS + 1) * SECOND_US;
    const int64_t elapsed_us = now_us - begun_us > SECOND_US ? now_us - begun_us : SECOND_US;
    return (double)appends * (double)SECOND_US / (double)elapsed_us;
}

/* --- answers --- */

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
    rate_forward(&writer->rate, now_us);
    writer->rate.appends[writer->rate.second % RATE_SECONDS] += writer->stats.appends - before;
    pthread_mutex_unlock(&writer->lock);
    for (size_t i = 0; i < count; i++)
        batch->appends[i]->on_done(batch->appends[i], &batch->decision.outcomes[i]);
}

static void answer_all(struct batch *batch)
{
    answer_first(batch, batch->append_count, batch->decision.batch.append_count > 0);
}

static void refuse_all(struct batch *batch, const struct status *status)
{
    const struct append_outcome outcome = {.kind = APPEND_REFUSED, .status = *status};
    for (size_t i = 0; i < batch->append_count; i++)
        batch->appends[i]->on_done(batch->appends[i], &outcome);
}

/* Of a batch of unknown fate, what it did not want to write. */
static struct status not_executed(const struct batch *batch)
{
    return batch->writer->store->pipelined
               ? store_failed()
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
        answer_all(batch);
    } else if (nothing_happened) {
        refuse_all(batch, status);
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
    pthread_mutex_unlock(&writer->lock);
}

/* --- the thread --- */

/* True when the batch was committed, or there is none. */
static bool wait_for(struct writer *writer, struct batch *batch)
{
    if (batch == NULL)
        return true;
    pthread_mutex_lock(&writer->lock);
    while (batch->under_way)
        pthread_cond_wait(&writer->finished, &writer->lock);
    const bool committed = batch->committed;
    pthread_mutex_unlock(&writer->lock);
    return committed;
}

static struct status decide_batch(struct writer *writer, struct batch *batch, const struct batch *in_flight)
{
    struct condition_fact conditions[BATCH_APPENDS_MAX];
    STATUS_TRY(request_facts(writer, batch));
    STATUS_TRY(look_for_conditions(writer, batch, conditions));
    const struct decide_input input = {
        .appends = (const struct append *const *)batch->appends,
        .append_count = batch->append_count,
        .names = &batch->names,
        .facts = &batch->facts,
        .conditions = conditions,
        .in_flight = in_flight == NULL ? NULL : in_flight->decision.overlay,
        .now_us = batch->facts.now_us != 0 ? batch->facts.now_us : clock_now_us(writer->clock),
        .limits = &writer->options.limits,
        .entropy = writer->entropy,
    };
    return decide(&input, batch->arena, &batch->decision);
}

static void reuse_batch(struct batch *batch)
{
    overlay_free(batch->decision.overlay);
    batch->decision = (struct decision){0};
    batch->facts = (struct facts){0};
    arena_reset(batch->arena);
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
    reuse_batch(batch);
    return decide_batch(writer, batch, NULL);
}

static void commit_batch(struct writer *writer, struct batch *batch)
{
    batch->under_way = true; /* nobody else looks at the batch before commit() */
    batch->written = 0;
    batch->decision.batch.ret_written = &batch->written;
    writer->store->ops->commit(writer->store, &batch->decision.batch, on_committed, batch);
}

/* Decides `batch` beside the one that syncs; returns the batch that is then under way, or NULL. */
static struct batch *run_beside(struct writer *writer, struct batch *batch, struct batch *in_flight)
{
    struct status status = has_failed(writer) ? store_failed() : decide_batch(writer, batch, in_flight);
    const bool stands = wait_for(writer, in_flight);
    if (has_failed(writer))
        status = store_failed();
    else if (status.code == STATUS_OK && !stands)
        status = decide_again(writer, batch);
    if (status.code != STATUS_OK) {
        refuse_all(batch, &status);
        return NULL;
    }
    if (batch->decision.batch.append_count == 0) {
        answer_all(batch);
        return NULL;
    }
    commit_batch(writer, batch);
    return batch;
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
static void answer_written(struct batch *batch)
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

/* False = another process was first, so that the batch wants to be decided again; else it is answered. */
static bool run_once(struct writer *writer, struct batch *batch)
{
    const struct status status = decide_batch(writer, batch, NULL);
    if (status.code == STATUS_OK && batch->decision.batch.append_count > 0) {
        commit_batch(writer, batch);
        (void)wait_for(writer, batch); /* its appends are answered either way, unless it was overtaken */
        if (batch->overtaken && batch->written > 0) /* by now nobody else looks at it */
            answer_written(batch);
        return !batch->overtaken;
    }
    if (writer->store->ops->release != NULL)
        writer->store->ops->release(writer->store);
    if (status.code == STATUS_OK)
        answer_all(batch);
    else
        refuse_all(batch, &status);
    return true;
}

/* A batch for a store that other processes append to as well. */
static void run_among_others(struct writer *writer, struct batch *batch)
{
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        if (run_once(writer, batch))
            return;
        reuse_batch(batch);
    }
    const struct status status = status_reason(
        REASON_STORE_UNREACHABLE,
        "%u times in a row other services that append to the same store were first, or the store was lost; "
        "nothing of this request was recorded; send it again",
        ROUNDS_MAX);
    refuse_all(batch, &status);
}

static void *writer_main(void *context)
{
    struct writer *writer = context;
    struct batch *in_flight = NULL;
    size_t turn = 0;
    while (take_queue(writer)) {
        struct batch *batch = &writer->batches[turn];
        assert(batch != in_flight);
        reuse_batch(batch);
        fill_batch(writer, batch);
        if (!writer->store->pipelined) {
            run_among_others(writer, batch);
            continue;
        }
        in_flight = run_beside(writer, batch, in_flight);
        turn = 1 - turn;
    }
    (void)wait_for(writer, in_flight); /* its appends are answered either way */
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
    writer->rate.begun_us = clock_monotonic_us(clock);
    writer->rate.second = writer->rate.begun_us / SECOND_US;
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
    ret->appends_per_second = rate_per_second(&writer->rate, now_us);
    pthread_mutex_unlock(&writer->lock);
}
