/*
 * Commits. A batch is one ordered insert of documents with consecutive _ids: the server writes them one after the other
 * and stops at the first whose _id is taken. So whatever became of an insert whose answer was lost, sending the rest
 * again tells: what stands as we wanted it is ours, the first that stands otherwise is where another process was first,
 * and an insert that is still on its way somewhere can only come to the same.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "mongodb_internal.h"

#define SETTLE_PAUSE_US        INT64_C(50000)
#define OVERTAKEN_PAUSE_US     INT64_C(1000)
#define OVERTAKEN_DOUBLED_MOST 6U

struct committing {
    struct mongodb_store *store;
    const struct commit_batch *batch;
    bson_t **documents;
    size_t written; /* the first so many stand, on a majority */
    int64_t until_us;
    bool settling; /* an answer was lost */
};

enum step {
    STEP_DONE,      /* all stand */
    STEP_OVERTAKEN, /* another process was first */
    STEP_REFUSED,   /* the server does not take it */
    STEP_AGAIN,     /* not known yet */
};

/* ---- what the server says ---- */

static void apply_written(struct mongodb_store *store, const struct commit_batch *batch, size_t count,
                          bson_t *const *documents)
{
    for (size_t i = 0; i < count; i++) {
        const struct commit_append *append = &batch->appends[i];
        const struct status status = mongodb_cache_follow(&store->cache, documents[i]);
        if (status.code != STATUS_OK) { /* out of memory: the next look begins anew */
            mongodb_cache_forget(&store->cache);
            return;
        }
        mongodb_know_head(store, append->first_position + (int64_t)append->count - 1);
    }
}

/* 0 and more: the first document that was refused, and its code; -1 = none was. */
static int64_t first_refused(const bson_t *reply, int64_t *ret_code)
{
    bson_iter_t entry;
    if (!get_array(reply, "writeErrors", &entry) || !bson_iter_next(&entry))
        return -1;
    *ret_code = iter_member_int(&entry, "code");
    return iter_member_int(&entry, "index");
}

/* Of the appends that are not known to stand: the first so many do, and whether another's stands behind them. */
struct standing {
    size_t ours;
    bool others;
};

static struct status look_at_rest(struct committing *committing, bool local, struct standing *ret)
{
    const struct commit_batch *batch = committing->batch;
    static const char *const fields[] = {"chain"};
    const size_t rest = batch->append_count - committing->written;
    struct mongodb_find find;
    mongodb_find_init(&find, "appends");
    put_bound(&find.filter, "last", "$gte", batch->appends[committing->written].first_position);
    mongodb_find_options(&find, "last", 1, (int64_t)rest, fields, 1);
    find.local = local;
    mongodb_find_run(committing->store, committing->store->writer, &find);
    const struct status status = find.status;
    *ret = (struct standing){0};
    for (; ret->ours < find.count; ret->ours++) {
        const struct commit_append *append = &batch->appends[committing->written + ret->ours];
        const bson_t *found = find.documents[ret->ours];
        /* The chain is made of the records' own bytes, with their random salts: equal ids might be a client's second
         * try, at another process. */
        if (get_int(found, "_id") != append->first_position ||
            !bytes_equal(get_bytes(found, "chain"),
                         bytes_of(&append->chain_after, sizeof append->chain_after)))
            break;
    }
    ret->others = ret->ours < find.count;
    mongodb_find_done(&find);
    return status;
}

/* A unique key is taken: nearly always the _id. What the majority has not yet may still go away. */
static enum step look_who_was_first(struct committing *committing)
{
    struct standing standing = {0};
    if (look_at_rest(committing, false, &standing).code != STATUS_OK)
        return STEP_AGAIN;
    committing->written += standing.ours;
    if (standing.others)
        return STEP_OVERTAKEN;
    if (standing.ours > 0)
        return STEP_AGAIN;
    if (look_at_rest(committing, true, &standing).code != STATUS_OK || standing.ours > 0 || standing.others)
        return STEP_AGAIN;
    log_warn(committing->store->log, "the database holds an id or a version that was to be free",
             LOG_INT("position", committing->batch->appends[committing->written].first_position));
    return STEP_OVERTAKEN; /* and decide again, on new facts */
}

/* ---- one try ---- */

static enum step understand(struct committing *committing, const bson_t *reply, const bson_error_t *error,
                            struct status *ret_why)
{
    int64_t code = 0;
    const int64_t refused = first_refused(reply, &code);
    bson_iter_t unconfirmed;
    *ret_why = mongodb_failed(committing->store, error);
    if (get_array(reply, "writeConcernErrors", &unconfirmed) && bson_iter_next(&unconfirmed))
        return STEP_AGAIN; /* what was written may still go away */
    if (refused >= 0) {
        committing->written += (size_t)refused;
        return code == CODE_DUPLICATE_KEY ? look_who_was_first(committing) : STEP_REFUSED;
    }
    /* A plain refusal, or that nobody was there to be sent to, says nothing about an insert before it whose answer was
     * lost. (When the driver's own second try finds nobody it answers with what became of the first.) */
    return mongodb_is_refusal(error) && !committing->settling ? STEP_REFUSED : STEP_AGAIN;
}

static enum step insert_rest(struct committing *committing, struct status *ret_why)
{
    struct mongodb_store *store = committing->store;
    const size_t count = committing->batch->append_count - committing->written;
    bson_error_t error;
    bson_t reply;
    if (count == 0)
        return STEP_DONE;
    mongodb_client_refresh(store, &store->writer);
    *ret_why = mongodb_reach_may_try(store, store->writer);
    if (ret_why->code != STATUS_OK)
        return committing->settling ? STEP_AGAIN : STEP_REFUSED; /* nothing was sent */
    bson_t *options = BCON_NEW("ordered", BCON_BOOL(true), "validate", BCON_BOOL(false));
    mongoc_collection_t *collection = mongodb_collection(store, store->writer, "appends");
    const bool ok = mongoc_collection_insert_many(
        collection, (const bson_t **)(committing->documents + committing->written), count, options, &reply,
        &error);
    mongoc_collection_destroy(collection);
    bson_destroy(options);
    const enum step step = ok ? STEP_DONE : understand(committing, &reply, &error, ret_why);
    bson_destroy(&reply);
    return step;
}

/* ---- the commit ---- */

static struct status overtaken(const char *why)
{
    return status_error(STATUS_ABORTED, "the batch must be decided again: %s", why);
}

/* Of several that decide at the same time all but one begin anew: not at the same time again. */
static void make_way(struct mongodb_store *store)
{
    const unsigned doubled = store->overtaken_in_a_row < OVERTAKEN_DOUBLED_MOST ? store->overtaken_in_a_row
                                                                                : OVERTAKEN_DOUBLED_MOST;
    store->overtaken_in_a_row++;
    mongodb_pause(OVERTAKEN_PAUSE_US << doubled);
}

static struct status end(struct committing *committing, enum step step, const struct status *why)
{
    struct mongodb_store *store = committing->store;
    const size_t written = step == STEP_DONE ? committing->batch->append_count : committing->written;
    apply_written(store, committing->batch, written, committing->documents);
    if (step == STEP_DONE) {
        store->overtaken_in_a_row = 0;
        return status_ok();
    }
    if (step == STEP_AGAIN)
        return status_reason(
            REASON_OUTCOME_UNKNOWN,
            "the database server was lost during the commit (%s) and it could not be asked since",
            why->message);
    if (committing->batch->ret_written != NULL)
        *committing->batch->ret_written = written;
    if (step == STEP_OVERTAKEN) {
        make_way(store);
        return overtaken("another process was first");
    }
    log_warn(store->log, "the database server refused a batch", LOG_TEXT("reason", why->message));
    return written > 0 ? overtaken(why->message)
                       : status_reason(REASON_STORE_UNREACHABLE, "nothing of this request was recorded: %s",
                                       why->message);
}

static struct status run(struct committing *committing)
{
    struct status why = status_ok();
    enum step step = STEP_AGAIN;
    size_t written = 0;
    for (;;) {
        written = committing->written;
        step = insert_rest(committing, &why);
        if (step != STEP_AGAIN || clock_monotonic_us(committing->store->clock) >= committing->until_us)
            break;
        committing->settling = true;
        if (written == committing->written) /* else the next document is looked at at once */
            mongodb_pause(SETTLE_PAUSE_US);
    }
    if (committing->settling && step != STEP_AGAIN)
        log_info(
            committing->store->log, "a commit whose answer was lost is settled",
            LOG_INT("first_position", committing->batch->appends[0].first_position),
            LOG_INT("appends", committing->batch->append_count),
            LOG_INT("written", step == STEP_DONE ? committing->batch->append_count : committing->written));
    return end(committing, step, &why);
}

static struct status commit(struct mongodb_store *store, const struct commit_batch *batch)
{
    const struct mongodb_cache *cache = &store->cache;
    if (!cache->known || cache->head.position != batch->before.position ||
        memcmp(&cache->head.chain, &batch->before.chain, sizeof cache->head.chain) != 0)
        return overtaken("it was decided at another head");
    bson_t **documents = calloc(batch->append_count, sizeof(*documents));
    if (documents == NULL)
        return status_reason(REASON_STORE_UNREACHABLE, "nothing of this request was recorded: no memory");
    struct committing committing = {
        .store = store,
        .batch = batch,
        .documents = documents,
        .until_us = clock_monotonic_us(store->clock) + (int64_t)store->settings.settle_timeout_ms * 1000,
    };
    struct status status = mongodb_write_batch(store, batch, documents);
    status = status.code == STATUS_OK
                 ? run(&committing)
                 : status_reason(REASON_STORE_UNREACHABLE, "nothing of this request was recorded: %s",
                                 status.message);
    for (size_t i = 0; i < batch->append_count; i++)
        if (documents[i] != NULL)
            bson_destroy(documents[i]);
    free(documents);
    return status;
}

void mongodb_store_commit(struct event_store *base, const struct commit_batch *batch, commit_done done,
                          void *context)
{
    const struct status status = commit(mongodb_of(base), batch);
    done(context, &status);
}
