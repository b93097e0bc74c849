#include "unit/store/held_store.h"

#include <assert.h>

static struct held_store *of(struct event_store *store)
{
    return (struct held_store *)store;
}

static struct status held_facts(struct event_store *store, const struct facts_request *request,
                                struct arena *arena, struct facts *ret)
{
    struct held_store *held = of(store);
    pthread_mutex_lock(&held->lock);
    held->facts_begun++;
    held->overlapped = held->overlapped || held->waiting_count > 0;
    pthread_cond_broadcast(&held->changed);
    while (held->hold_facts)
        pthread_cond_wait(&held->changed, &held->lock);
    const struct status status = held->facts_status;
    held->facts_status = status_ok();
    pthread_mutex_unlock(&held->lock);
    STATUS_TRY(status);
    STATUS_TRY(held->inner->ops->facts(held->inner, request, arena, ret));
    ret->now_us = held->now_us;
    return status_ok();
}

static struct status held_facts_ahead(struct event_store *store, const struct facts_request *request,
                                      struct arena *arena, struct facts *ret)
{
    return of(store)->inner->ops->facts(of(store)->inner, request, arena, ret);
}

static void held_release(struct event_store *store)
{
    pthread_mutex_lock(&of(store)->lock);
    of(store)->releases++;
    pthread_mutex_unlock(&of(store)->lock);
}

static void held_commit(struct event_store *store, const struct commit_batch *batch, commit_done done,
                        void *context)
{
    struct held_store *held = of(store);
    pthread_mutex_lock(&held->lock);
    assert(held->waiting_count <= batch->ahead); /* one at a time is the writer's promise, but for those */
    assert(held->commits_begun < HELD_COMMITS_MAX);
    held->commit_appends[held->commits_begun++] = batch->append_count;
    held->aheads += batch->ahead;
    held->waiting[held->waiting_count++] = (struct held_commit){batch, done, context};
    pthread_cond_broadcast(&held->changed);
    pthread_mutex_unlock(&held->lock);
}

static void copy_status(void *context, const struct status *status)
{
    *(struct status *)context = *status; /* the inner engine answers before it returns */
}

/* The first appends alone, as an engine writes them that is overtaken behind them. */
static void write_first(struct held_store *held, const struct commit_batch *batch, size_t count)
{
    const struct commit_append *last = &batch->appends[count - 1];
    struct commit_batch first = *batch;
    first.append_count = count;
    first.record_count = 0;
    for (size_t i = 0; i < count; i++)
        first.record_count += batch->appends[i].count;
    first.after.position = last->first_position + (int64_t)last->count - 1;
    first.after.chain = last->chain_after;
    first.after.aggregate_count = last->aggregate_count_after;
    struct status status = status_ok();
    held->inner->ops->commit(held->inner, &first, copy_status, &status);
    assert(status.code == STATUS_OK);
    *batch->ret_written = count;
}

/* Whether what was decided ahead came true. */
static bool is_proven(const struct held_store *held, const struct commit_batch *batch)
{
    struct store_head head;
    const struct status status = held->inner->ops->head(held->inner, &head);
    assert(status.code == STATUS_OK);
    return held->stood && head.position == batch->before.position;
}

static void *answer_commits(void *context)
{
    struct held_store *held = context;
    pthread_mutex_lock(&held->lock);
    while (!held->stopping) {
        if (held->waiting_count == 0 || held->hold_commits) {
            pthread_cond_wait(&held->changed, &held->lock);
            continue;
        }
        const struct held_commit commit = held->waiting[0];
        const bool in_vain = commit.batch->ahead && !is_proven(held, commit.batch);
        struct status status = in_vain ? status_error(STATUS_ABORTED, "another service was first")
                               : held->commit_failures > 0 ? held->commit_status
                                                           : status_ok();
        held->commit_failures -= !in_vain && held->commit_failures > 0;
        const bool reaches = status.code == STATUS_OK || (!in_vain && held->commit_anyway);
        const size_t first = held->write_first;
        held->write_first = 0;
        pthread_mutex_unlock(&held->lock);
        struct status inner = status_ok();
        if (first > 0)
            write_first(held, commit.batch, first);
        if (reaches)
            held->inner->ops->commit(held->inner, commit.batch, copy_status, &inner);
        if (status.code == STATUS_OK)
            status = inner;
        pthread_mutex_lock(&held->lock);
        held->stood = status.code == STATUS_OK;
        held->waiting[0] = held->waiting[1]; /* before the answer: the next commit may follow at once */
        held->waiting_count--;
        pthread_mutex_unlock(&held->lock);
        commit.done(commit.context, &status);
        pthread_mutex_lock(&held->lock);
    }
    pthread_mutex_unlock(&held->lock);
    return NULL;
}

static struct status held_read(struct event_store *store, const struct read_query *query, record_sink sink,
                               void *context)
{
    struct held_store *held = of(store);
    pthread_mutex_lock(&held->lock);
    const struct status status = held->read_status;
    held->read_status = status_ok();
    pthread_mutex_unlock(&held->lock);
    STATUS_TRY(status);
    return held->inner->ops->read(held->inner, query, sink, context);
}

static struct status held_head(struct event_store *store, struct store_head *ret)
{
    return of(store)->inner->ops->head(of(store)->inner, ret);
}

static struct status held_health(struct event_store *store)
{
    return of(store)->inner->ops->health(of(store)->inner);
}

/* What a writer needs; nothing else is called. */
static const struct event_store_ops held_ops = {
    .facts = held_facts,
    .release = held_release,
    .commit = held_commit,
    .read = held_read,
    .head = held_head,
    .health = held_health,
};

static const struct event_store_ops looking_ahead_ops = {
    .facts = held_facts,
    .facts_ahead = held_facts_ahead,
    .release = held_release,
    .commit = held_commit,
    .read = held_read,
    .head = held_head,
    .health = held_health,
};

void held_store_look_ahead(struct held_store *held)
{
    held->store.ops = &looking_ahead_ops;
}

void held_store_init(struct held_store *held, struct event_store *inner)
{
    *held = (struct held_store){
        .store = {&held_ops, true},
        .inner = inner,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
        .facts_status = status_ok(),
        .read_status = status_ok(),
        .commit_status = status_ok(),
    };
    const int failed = pthread_create(&held->thread, NULL, answer_commits, held);
    assert(failed == 0);
    (void)failed;
}

void held_store_done(struct held_store *held)
{
    pthread_mutex_lock(&held->lock);
    held->stopping = true;
    pthread_cond_broadcast(&held->changed);
    pthread_mutex_unlock(&held->lock);
    (void)pthread_join(held->thread, NULL);
}

void held_store_hold(struct held_store *held, bool facts, bool commits)
{
    pthread_mutex_lock(&held->lock);
    held->hold_facts = facts;
    held->hold_commits = commits;
    pthread_cond_broadcast(&held->changed);
    pthread_mutex_unlock(&held->lock);
}

void held_store_fail_commit(struct held_store *held, struct status status, bool anyway)
{
    pthread_mutex_lock(&held->lock);
    held->commit_status = status;
    held->commit_failures = 1;
    held->commit_anyway = anyway;
    pthread_mutex_unlock(&held->lock);
}

void held_store_fail_commits(struct held_store *held, struct status status, int count)
{
    pthread_mutex_lock(&held->lock);
    held->commit_status = status;
    held->commit_failures = count;
    held->commit_anyway = false;
    pthread_mutex_unlock(&held->lock);
}

void held_store_overtake_behind(struct held_store *held, size_t count)
{
    held_store_fail_commit(held, status_error(STATUS_ABORTED, "another service was first"), false);
    pthread_mutex_lock(&held->lock);
    held->write_first = count;
    pthread_mutex_unlock(&held->lock);
}

void held_store_fail_facts(struct held_store *held, struct status status)
{
    pthread_mutex_lock(&held->lock);
    held->facts_status = status;
    pthread_mutex_unlock(&held->lock);
}

void held_store_fail_read(struct held_store *held, struct status status)
{
    pthread_mutex_lock(&held->lock);
    held->read_status = status;
    pthread_mutex_unlock(&held->lock);
}

void held_store_await_facts(struct held_store *held, int count)
{
    pthread_mutex_lock(&held->lock);
    while (held->facts_begun < count)
        pthread_cond_wait(&held->changed, &held->lock);
    pthread_mutex_unlock(&held->lock);
}

void held_store_await_commits(struct held_store *held, int count)
{
    pthread_mutex_lock(&held->lock);
    while (held->commits_begun < count)
        pthread_cond_wait(&held->changed, &held->lock);
    pthread_mutex_unlock(&held->lock);
}
