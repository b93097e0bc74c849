#include "store/embedded/embedded_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "embedded_internal.h"
#include "pool_file_internal.h"
#include "state_ops_internal.h"
#include "totals_internal.h"

static void stop_threads(struct embedded_store *store)
{
    if (!store->threads_started)
        return;
    pthread_mutex_lock(&store->work_lock);
    store->stopping = true;
    pthread_cond_signal(&store->work_ready);
    pthread_mutex_unlock(&store->work_lock);
    pthread_join(store->sync_thread, NULL);
    pthread_mutex_lock(&store->work_lock);
    store->housekeeping_stopping = true;
    pthread_mutex_unlock(&store->work_lock);
    segment_log_poke(store->segments);
    pthread_join(store->housekeeping_thread, NULL);
    builder_stop(store); /* after the sync thread, which may wait for it */
    segment_log_use_thread(store->segments, false);
    store->threads_started = false;
}

/* Frees a store in any state of being opened; the threads have ended. */
static void embedded_free(struct embedded_store *store)
{
    if (store == NULL)
        return;
    view_unref(store->view);
    view_table_unref(store->next);
    view_table_unref(store->spare);
    view_table_unref(store->preparing);
    head_cache_free(store->heads);
    place_cache_free(store->page_places);
    known_ids_done(&store->unknown);
    known_ids_done(&store->created);
    segment_log_free(store->segments);
    state_db_close(store->state);
    buffer_done(&store->places);
    buffer_done(&store->firsts);
    buffer_done(&store->frame);
    builder_done(&store->builder);
    pthread_mutex_destroy(&store->change_lock);
    pthread_cond_destroy(&store->work_ready);
    pthread_mutex_destroy(&store->work_lock);
    pthread_rwlock_destroy(&store->view_lock);
    file_close(store->lock_file); /* last: until here no other process may touch the folder */
    free(store);
}
DEFINE_CLEANUP(struct embedded_store, embedded_free);

/* A clean stop: seal and remembered head say that nothing is missing behind them. */
static void close_store(struct event_store *base)
{
    struct embedded_store *store = embedded_of(base);
    stop_threads(store);
    if (!store->options.read_only) {
        embedded_seal(store);
        segment_log_give_back(store->segments); /* after the last frame, before state/ needs space */
        struct status status = embedded_health(base);
        if (status.code == STATUS_OK ||
            status.code == STATUS_RESOURCE_EXHAUSTED) /* all that was taken is durable */
            status = embedded_remember(store, true);
        if (status.code != STATUS_OK)
            log_warn(store->log, "the store was not stopped cleanly, the next start checks its end",
                     LOG_TEXT("store", store->id), LOG_TEXT("why", status.message));
    }
    embedded_free(store);
}

static struct status refuse_read_only(void)
{
    return status_reason(REASON_STORE_FAILED, "the store is open for reading only");
}

static const struct event_store_ops embedded_ops = {
    .facts = embedded_facts,
    .commit = embedded_commit,
    .read = embedded_read,
    .head = embedded_head,
    .aggregate = embedded_aggregate,
    .aggregates = embedded_aggregates,
    .find_id = embedded_find_id,
    .find_time = embedded_find_time,
    .stats = embedded_stats,
    .state_get = embedded_state_get,
    .state_put = embedded_state_put,
    .state_remove = embedded_state_remove,
    .state_list = embedded_state_list,
    .lease = embedded_lease,
    .lease_release = embedded_lease_release,
    .checkpoint_put = embedded_checkpoint_put,
    .checkpoint_get = embedded_checkpoint_get,
    .checkpoint_remove = embedded_checkpoint_remove,
    .checkpoints = embedded_checkpoints,
    .health = embedded_health,
    .close = close_store,
};

/* ---- opening ---- */

static struct status fill_options(struct embedded_store *store, const struct embedded_options *options)
{
    store->options = *options;
    struct embedded_options *mine = &store->options;
    const char *id = options->store_id == NULL ? "main" : options->store_id;
    STATUS_TRY(store_id_check(id));
    snprintf(store->id, sizeof store->id, "%s", id);
    mine->store_id = store->id;
    if (mine->segment_max_bytes == 0)
        mine->segment_max_bytes = SEGMENT_BYTES_DEFAULT;
    if (mine->segment_max_events == 0)
        mine->segment_max_events = SEGMENT_EVENTS_DEFAULT;
    if (mine->segments_max == 0 || mine->segments_max > SEGMENTS_MAX)
        mine->segments_max = SEGMENTS_MAX;
    if (mine->head_cache_bytes == 0)
        mine->head_cache_bytes = HEAD_CACHE_DEFAULT;
    if (mine->place_cache_bytes == 0)
        mine->place_cache_bytes = PLACE_CACHE_DEFAULT;
    if (mine->segment_max_bytes < SEGMENT_BYTES_LEAST || mine->segment_max_bytes > SEGMENT_BYTES_MOST)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "the segment size is %" PRIu64 "; set it between %u and %u bytes",
                            mine->segment_max_bytes, SEGMENT_BYTES_LEAST, SEGMENT_BYTES_MOST);
    return status_ok();
}

static struct status make_folder(struct embedded_store *store, const char *name)
{
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", store->id, name);
    return files_mkdir(store->files, path);
}

static struct status log_has_segments(struct embedded_store *store, bool *ret)
{
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/log", store->id);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list %s", path);
    struct file_entry *entries = NULL;
    size_t count = 0;
    STATUS_TRY(files_list(store->files, path, arena, &entries, &count));
    *ret = false;
    for (size_t i = 0; i < count; i++)
        *ret = *ret || segment_name_parse(entries[i].name) > 0 || pool_name_is(entries[i].name);
    return status_ok();
}

/*
 * STORE is written last, and no segment before it: so a making that was interrupted left nothing of worth and
 * is begun again, and a STORE without state/ or log/ means that somebody took them away.
 */
static struct status make_store(struct embedded_store *store)
{
    bool has_segments = false;
    STATUS_TRY(make_folder(store, "log"));
    STATUS_TRY(make_folder(store, "state"));
    STATUS_TRY(log_has_segments(store, &has_segments));
    if (has_segments)
        return status_error(
            STATUS_FAILED_PRECONDITION,
            "%s/STORE is missing beside a log with events; restore it from a backup of this store",
            store->id);
    entropy_fill(store->entropy, store->identity.uuid, sizeof store->identity.uuid);
    store->identity.created_at_us = clock_now_us(store->clock);
    STATUS_TRY(state_db_open(store->files, store->id, &store->identity, STATE_CREATE, store->clock,
                             store->entropy, &store->state));
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/state", store->id);
    STATUS_TRY(files_sync_dir(store->files, path));
    STATUS_TRY(store_identity_write(store->files, store->id, &store->identity));
    store->recovery.created = true;
    return status_ok();
}

static struct status open_state(struct embedded_store *store)
{
    const enum state_open_mode mode = store->options.read_only ? STATE_READ_ONLY : STATE_EXISTING;
    const struct status status = state_db_open(store->files, store->id, &store->identity, mode, store->clock,
                                               store->entropy, &store->state);
    if (status.code != STATUS_NOT_FOUND)
        return status;
    if (!store->options.accept_state_loss || store->options.read_only)
        return status_error(
            STATUS_FAILED_PRECONDITION,
            "%s/state/state.db is missing beside the log: snapshots, checkpoints, leases and the remembered "
            "head are gone; restore it from a backup, or start once with --accept-state-loss",
            store->id);
    log_warn(store->log, "state/ was missing, accepted", LOG_TEXT("store", store->id));
    STATUS_TRY(make_folder(store, "state"));
    return state_db_open(store->files, store->id, &store->identity, STATE_ANEW, store->clock, store->entropy,
                         &store->state);
}

static struct status find_or_make(struct embedded_store *store)
{
    const struct status status = store_identity_read(store->files, store->id, &store->identity);
    if (status.code == STATUS_OK)
        return open_state(store);
    if (status.code != STATUS_NOT_FOUND)
        return status;
    return store->options.read_only ? status_prefix(status, "there is no store \"%s\" here", store->id)
                                    : make_store(store);
}

static struct status make_parts(struct embedded_store *store)
{
    uint64_t seed = 0;
    entropy_fill(store->entropy, &seed, sizeof seed);
    store->unknown = known_ids_make(seed);
    store->created = known_ids_make(seed);
    store->heads = head_cache_new(store->options.head_cache_bytes);
    store->page_places = place_cache_new(store->options.place_cache_bytes);
    if (store->heads == NULL || store->page_places == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the caches of heads and places");
    return status_ok();
}

static struct status make_log(struct embedded_store *store)
{
    const struct segment_log_options options = {
        .files = store->files,
        .store_id = store->id,
        .identity = &store->identity,
        .clock = store->clock,
        .entropy = store->entropy,
        .segment_max_bytes = store->options.segment_max_bytes,
        .segment_max_events = store->options.segment_max_events,
        .step_bytes = store->options.segment_max_bytes < SPACE_STEP_BYTES ? store->options.segment_max_bytes
                                                                          : SPACE_STEP_BYTES,
        .segments_max = store->options.segments_max,
    };
    segment_log_free(store->segments);
    store->segments = NULL;
    return segment_log_new(&options, &store->segments);
}

struct status embedded_reset_parts(struct embedded_store *store)
{
    const struct totals *none = totals_new(0);
    struct index_view *empty = none == NULL ? NULL : view_of_files(NULL, 0, NULL, 0, none);
    totals_unref(none);
    if (empty == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the index");
    embedded_view_put(store, empty);
    store->open = NULL;
    return make_log(store);
}

/* Beyond the head when the end of the history was lost: what comes there now would be passed over. */
static struct status set_back_checkpoints(struct embedded_store *store)
{
    int64_t count = 0;
    STATUS_TRY(state_db_checkpoints_cut(store->state, store->head.position, &count));
    if (count > 0)
        log_warn(store->log, "checkpoints were ahead of the history, set back to its end",
                 LOG_TEXT("store", store->id), LOG_INT("checkpoints", count),
                 LOG_INT("position", store->head.position));
    return status_ok();
}

static struct status start_threads(struct embedded_store *store)
{
    STATUS_TRY(state_db_start(store->state));
    STATUS_TRY(builder_start(store));
    segment_log_use_thread(store->segments, true);
    store->threads_started = true;
    if (pthread_create(&store->housekeeping_thread, NULL, embedded_housekeeping_loop, store) != 0) {
        builder_stop(store);
        store->threads_started = false;
        return status_error(STATUS_RESOURCE_EXHAUSTED,
                            "no thread for the store; raise the limit of processes");
    }
    if (pthread_create(&store->sync_thread, NULL, embedded_sync_loop, store) != 0) {
        pthread_mutex_lock(&store->work_lock);
        store->housekeeping_stopping = true;
        pthread_mutex_unlock(&store->work_lock);
        segment_log_poke(store->segments);
        pthread_join(store->housekeeping_thread, NULL);
        builder_stop(store);
        store->threads_started = false;
        return status_error(STATUS_RESOURCE_EXHAUSTED,
                            "no thread for the store; raise the limit of processes");
    }
    segment_log_poke(store->segments); /* prepares the first space while the rest of the program starts */
    return status_ok();
}

static struct embedded_store *new_store(struct files *files, const struct clock *clock,
                                        const struct entropy *entropy, struct log *log)
{
    struct embedded_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    store->store.ops = &embedded_ops;
    store->store.pipelined = true;
    store->files = files;
    store->clock = clock;
    store->entropy = entropy;
    store->log = log;
    store->places = buffer_make(0);
    store->firsts = buffer_make(0);
    store->unknown = known_ids_make(0);
    store->created = known_ids_make(0);
    builder_init(&store->builder);
    pthread_mutex_init(&store->change_lock, NULL);
    store->frame = buffer_make(0);
    store->failed = status_ok();
    /* glibc lets readers overtake a waiting writer for ever; then a few busy readers stop all commits. */
    pthread_rwlockattr_t fair;
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&store->view_lock, &fair);
    pthread_rwlockattr_destroy(&fair);
    pthread_mutex_init(&store->work_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&store->work_ready, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return store;
}

static struct status open_store(struct files *files, const struct embedded_options *options,
                                const struct clock *clock, const struct entropy *entropy, struct log *log,
                                bool stepped, struct event_store **ret)
{
    CLEANUP(embedded_free_at) struct embedded_store *store = new_store(files, clock, entropy, log);
    if (store == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the store");
    STATUS_TRY(fill_options(store, options));
    STATUS_TRY(store_lock(files, store->id, !store->options.read_only, &store->lock_file));
    if (!store->options.read_only)
        STATUS_TRY(pool_remove_unused(files, store->id)); /* state/ may need the space */
    STATUS_TRY(find_or_make(store));
    STATUS_TRY(make_parts(store));
    STATUS_TRY(embedded_recover(store));
    if (!store->options.read_only)
        STATUS_TRY(
            set_back_checkpoints(store)); /* before the loss is recorded, which their consumers should read */
    if (store->lost_position > 0 && !store->options.read_only) {
        /* The former head is forgotten only when the loss is on record: a start that ends between is refused again. */
        STATUS_TRY(embedded_record_loss(store));
        STATUS_TRY(embedded_remember(store, false));
    }
    if (store->options.read_only)
        store->failed = refuse_read_only();
    else if (!stepped)
        STATUS_TRY(start_threads(store));
    *ret = &TAKE_PTR(store)->store;
    return status_ok();
}

struct status embedded_store_open(struct files *files, const struct embedded_options *options,
                                  const struct clock *clock, const struct entropy *entropy, struct log *log,
                                  struct event_store **ret)
{
    return open_store(files, options, clock, entropy, log, false, ret);
}

struct status embedded_store_open_stepped(struct files *files, const struct embedded_options *options,
                                          const struct clock *clock, const struct entropy *entropy,
                                          struct log *log, struct event_store **ret)
{
    return open_store(files, options, clock, entropy, log, true, ret);
}

void embedded_store_step(struct event_store *base)
{
    struct embedded_store *store = embedded_of(base);
    (void)embedded_housekeep(store); /* the next step goes on */
    embedded_seal(store);
    builder_step(store);
}

struct status embedded_store_snapshots(struct event_store *base, struct snapshot_store **ret)
{
    return state_snapshots_open(embedded_of(base)->state, ret);
}

void embedded_store_recovery(const struct event_store *base, struct embedded_recovery *ret)
{
    *ret = ((const struct embedded_store *)base)->recovery;
}
