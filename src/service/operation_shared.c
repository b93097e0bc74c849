/*
 * Operations where several processes share the store: each is run by the one that has its lease, and all know of all.
 *
 *   "operation/" id         in the state: the record, written by who has the lease
 *   "operation-cancel/" id  in the state: u64 LE, when it was cancelled. Who cancels puts nothing but this, so that the next
 *                           record of a runner cannot undo it: with it, what runs or ends later is cancelled
 *   "operation/" id         the lease of who runs it; the record is there before anybody else could take it, and nothing is
 *                           left of the lease when the operation's end is recorded
 *   "operation-kind/" kind  the lease of who starts one of a kind, so that two do not at once
 *
 * A runner that was held up for longer than its lease finds that another one went on, and stops. Until then both run it,
 * and it may have written a record of an earlier place: harmless, since every step may be done again, and the other's next
 * record stands above it.
 *
 * A mark is read before its record: a runner records CANCELLED before it removes the mark.
 */
#include "service/operation_store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MARK_PREFIX "operation-cancel/"
#define TURN_PREFIX "operation-kind/"
#define MARK_BYTES  8U
#define TURN_TTL_MS INT64_C(10000)

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the operations of other processes");
}

static struct event_store *store_of(const struct operations *operations)
{
    return operations->service->parts.store;
}

/* --- leases --- */

static struct status lease_take(struct operations *operations, struct bytes name, int64_t ttl_ms,
                                int64_t *ret_epoch)
{
    struct lease lease = {0};
    struct event_store *store = store_of(operations);
    STATUS_TRY(store->ops->lease(store, name, bytes_of_text(operations->holder), ttl_ms, &lease));
    *ret_epoch = lease.epoch;
    return status_ok();
}

/* `name` is one of operation_key: it ends with a zero. `for_ever` = it is never wanted again. */
static void lease_end(struct operations *operations, struct bytes name, int64_t epoch, bool for_ever)
{
    struct event_store *store = store_of(operations);
    const struct bytes holder = bytes_of_text(operations->holder);
    const struct status status = for_ever ? store->ops->lease_forget(store, name, holder, epoch)
                                          : store->ops->lease_release(store, name, holder, epoch);
    if (!status_is_ok(&status))
        log_warn(operations->service->parts.log, "the lease of an operation ends only by its time",
                 LOG_TEXT("lease", (const char *)name.data), LOG_TEXT("reason", status.message));
}

struct status operation_lease_take(struct operations *operations, const char *id, int64_t *ret_epoch)
{
    char memory[OPERATION_KEY_MAX_BYTES];
    return lease_take(operations, operation_key(OPERATION_KEY_PREFIX, id, memory), OPERATION_LEASE_TTL_MS,
                      ret_epoch);
}

/* Its end is recorded, or its record is gone: who still takes it for one that runs finds that, and lets it be. */
static bool is_over(struct operations *operations, const char *id)
{
    pthread_mutex_lock(&operations->lock);
    const struct operation *operation = operation_find_locked(operations, id);
    const bool over = operation == NULL || (operation->state != OPERATION_RUNS && !operation->unsaved);
    pthread_mutex_unlock(&operations->lock);
    return over;
}

void operation_lease_end(struct operations *operations, const char *id, int64_t epoch)
{
    char memory[OPERATION_KEY_MAX_BYTES];
    lease_end(operations, operation_key(OPERATION_KEY_PREFIX, id, memory), epoch, is_over(operations, id));
}

struct status operation_turn_take(struct operations *operations, enum operation_kind kind, int64_t *ret_epoch)
{
    char memory[OPERATION_KEY_MAX_BYTES];
    const struct bytes name = operation_key(TURN_PREFIX, operation_kind_name(kind), memory);
    const struct status status = lease_take(operations, name, TURN_TTL_MS, ret_epoch);
    if (status.code != STATUS_ABORTED)
        return status;
    return status_reason(
        REASON_OPERATION_RUNNING,
        "another process starts a %s right now, and one of a kind runs at a time; wait for its "
        "end or cancel it",
        operation_kind_name(kind));
}

void operation_turn_end(struct operations *operations, enum operation_kind kind, int64_t epoch)
{
    char memory[OPERATION_KEY_MAX_BYTES];
    lease_end(operations, operation_key(TURN_PREFIX, operation_kind_name(kind), memory), epoch, false);
}

/* --- what others have recorded --- */

struct mark {
    char id[UUID_TEXT_BYTES];
    int64_t cancelled_at_us;
};

struct refresh {
    struct operations *operations;
    struct mark *marks; /* by id */
    size_t mark_count;
    uint64_t number; /* of the listing; 0 = of one operation */
    bool failed;     /* out of memory */
};

static int compare_mark(const void *id, const void *mark)
{
    return strcmp(id, ((const struct mark *)mark)->id);
}

static const struct mark *mark_of(const struct refresh *refresh, const char *id)
{
    if (refresh->mark_count == 0)
        return NULL;
    return bsearch(id, refresh->marks, refresh->mark_count, sizeof *refresh->marks, compare_mark);
}

static bool mark_read(struct bytes id, struct bytes value, struct mark *ret)
{
    if (id.size_bytes != sizeof ret->id - 1 || value.size_bytes != MARK_BYTES)
        return false;
    memcpy(ret->id, id.data, id.size_bytes);
    ret->id[id.size_bytes] = '\0';
    ret->cancelled_at_us = (int64_t)get_u64_le(value.data);
    return true;
}

/* What runs here is known better here; but it may have been cancelled, or ended by who went on with it. */
static void hear_locked(struct operations *operations, struct operation *known,
                        const struct operation *stored)
{
    if (known->lost || known->state != OPERATION_RUNS)
        return;
    if (stored->state == OPERATION_CANCELLED)
        operation_cancel_locked(operations, known, stored->ended_at_us);
    else if (stored->state != OPERATION_RUNS)
        operation_lose_locked(operations, known);
}

/* `stored` is used up. */
static void merge_locked(struct refresh *refresh, struct operation *stored, uint64_t hash)
{
    struct operations *operations = refresh->operations;
    struct operation *gone = NULL;
    struct operation *known = operation_find_locked(operations, stored->id);
    stored->stored_hash = hash;
    stored->seen = refresh->number;
    if (known == NULL) {
        /* The oldest finished one may leave memory for it. Its record stays: each start removes one. */
        const struct status status = operation_insert_locked(operations, stored, &gone);
        operation_free(status_is_ok(&status) ? gone : stored);
    } else if (known->has_task) {
        known->seen = refresh->number;
        hear_locked(operations, known, stored);
        operation_free(stored);
    } else {
        operation_replace(known, stored);
        known->revision = ++operations->revision;
    }
}

/* It is as it was read before. */
static bool is_seen_locked(struct refresh *refresh, const char *id, uint64_t hash)
{
    struct operation *known = operation_find_locked(refresh->operations, id);
    if (known == NULL || known->has_task || known->stored_hash != hash)
        return false;
    known->seen = refresh->number;
    return true;
}

static void take_record(struct refresh *refresh, const char *id, struct bytes value)
{
    struct operations *operations = refresh->operations;
    const struct mark *mark = mark_of(refresh, id);
    const uint64_t hash = XXH3_64bits_withSeed(value.data, value.size_bytes, mark != NULL) | 1U;
    pthread_mutex_lock(&operations->lock);
    const bool seen = is_seen_locked(refresh, id, hash);
    pthread_mutex_unlock(&operations->lock);
    struct operation *stored = NULL;
    struct status status = seen ? status_ok() : operation_decode(value, &stored);
    refresh->failed |= status.code == STATUS_RESOURCE_EXHAUSTED;
    if (seen || !status_is_ok(&status) || strcmp(stored->id, id) != 0) { /* of another version of strata */
        operation_free(stored);
        return;
    }
    if (mark != NULL && stored->state != OPERATION_CANCELLED) {
        stored->state = OPERATION_CANCELLED;
        stored->ended_at_us = mark->cancelled_at_us;
    }
    pthread_mutex_lock(&operations->lock);
    merge_locked(refresh, stored, hash);
    pthread_mutex_unlock(&operations->lock);
}

static bool id_of_key(const char *prefix, struct bytes key, char id[UUID_TEXT_BYTES])
{
    const size_t prefix_bytes = strlen(prefix);
    if (key.size_bytes != prefix_bytes + UUID_TEXT_BYTES - 1)
        return false;
    memcpy(id, key.data + prefix_bytes, UUID_TEXT_BYTES - 1);
    id[UUID_TEXT_BYTES - 1] = '\0';
    return true;
}

static bool take_listed(void *context, struct bytes key, struct bytes value)
{
    char id[UUID_TEXT_BYTES];
    if (id_of_key(OPERATION_KEY_PREFIX, key, id))
        take_record(context, id, value);
    return true;
}

static bool take_listed_mark(void *context, struct bytes key, struct bytes value)
{
    struct refresh *refresh = context;
    char id[UUID_TEXT_BYTES];
    if (id_of_key(MARK_PREFIX, key, id) &&
        mark_read(bytes_of_text(id), value, &refresh->marks[refresh->mark_count]))
        refresh->mark_count++;
    return refresh->mark_count < OPERATIONS_KEPT_MAX;
}

/* One that the listing did not have is no longer recorded. */
static void drop_unseen_locked(struct operations *operations, uint64_t number)
{
    for (size_t i = operations->count; i > 0; i--) {
        struct operation *operation = operations->items[i - 1];
        if (operation->seen == number || operation->has_task)
            continue;
        operation_take_out_locked(operations, operation);
        operation_free(operation);
    }
}

struct status operations_refresh_shared(struct operations *operations)
{
    struct event_store *store = store_of(operations);
    struct refresh refresh = {.operations = operations};
    refresh.marks = calloc(OPERATIONS_KEPT_MAX, sizeof *refresh.marks);
    if (refresh.marks == NULL)
        return no_memory();
    pthread_mutex_lock(&operations->save_lock);
    refresh.number = ++operations->listings;
    struct status status =
        store->ops->state_list(store, BYTES_LITERAL(MARK_PREFIX), BYTES_NONE, take_listed_mark, &refresh);
    if (status_is_ok(&status))
        status = store->ops->state_list(store, BYTES_LITERAL(OPERATION_KEY_PREFIX), BYTES_NONE, take_listed,
                                        &refresh);
    if (status_is_ok(&status) && refresh.failed)
        status = no_memory();
    pthread_mutex_lock(&operations->lock);
    if (status_is_ok(&status))
        drop_unseen_locked(operations, refresh.number);
    pthread_mutex_unlock(&operations->lock);
    pthread_mutex_unlock(&operations->save_lock);
    free(refresh.marks);
    return status;
}

static void drop_missing(struct operations *operations, const char *id)
{
    pthread_mutex_lock(&operations->lock);
    struct operation *known = operation_find_locked(operations, id);
    if (known != NULL && !known->has_task) {
        operation_take_out_locked(operations, known);
        operation_free(known);
    }
    pthread_mutex_unlock(&operations->lock);
}

/* NOT_FOUND is no failure: then there is none. */
static struct status read_mark(struct operations *operations, const char *id, struct arena *arena,
                               struct refresh *refresh)
{
    struct event_store *store = store_of(operations);
    char memory[OPERATION_KEY_MAX_BYTES];
    struct bytes value = BYTES_NONE;
    const struct status status =
        store->ops->state_get(store, operation_key(MARK_PREFIX, id, memory), arena, &value);
    refresh->mark_count = status_is_ok(&status) && mark_read(bytes_of_text(id), value, refresh->marks);
    return status.code == STATUS_NOT_FOUND ? status_ok() : status;
}

static struct status refresh_under_save_lock(struct operations *operations, const char *id)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return no_memory();
    struct event_store *store = store_of(operations);
    struct mark mark;
    struct refresh refresh = {.operations = operations, .marks = &mark, .number = operations->listings};
    char memory[OPERATION_KEY_MAX_BYTES];
    struct bytes value = BYTES_NONE;
    STATUS_TRY(read_mark(operations, id, arena, &refresh));
    const struct status status =
        store->ops->state_get(store, operation_key(OPERATION_KEY_PREFIX, id, memory), arena, &value);
    if (status.code == STATUS_NOT_FOUND) {
        drop_missing(operations, id);
        return status_ok();
    }
    STATUS_TRY(status);
    take_record(&refresh, id, value);
    return refresh.failed ? no_memory() : status_ok();
}

struct status operation_refresh_shared(struct operations *operations, const char *id)
{
    if (strlen(id) != UUID_TEXT_BYTES - 1)
        return status_ok(); /* there is none */
    pthread_mutex_lock(&operations->save_lock);
    const struct status status = refresh_under_save_lock(operations, id);
    pthread_mutex_unlock(&operations->save_lock);
    return status;
}

/* --- cancelling --- */

static bool runs(struct operations *operations, const char *id, bool *ret_known)
{
    pthread_mutex_lock(&operations->lock);
    const struct operation *operation = operation_find_locked(operations, id);
    const bool yes = operation != NULL && operation->state == OPERATION_RUNS;
    *ret_known = operation != NULL;
    pthread_mutex_unlock(&operations->lock);
    return yes;
}

static struct status mark_remove(struct operations *operations, const char *id)
{
    struct event_store *store = store_of(operations);
    char memory[OPERATION_KEY_MAX_BYTES];
    return store->ops->state_remove(store, operation_key(MARK_PREFIX, id, memory));
}

void operation_mark_remove(struct operations *operations, const char *id)
{
    const struct status status = mark_remove(operations, id);
    if (!status_is_ok(&status)) /* it says what the record says, or goes with it */
        log_warn(operations->service->parts.log, "the mark of a cancelled operation could not be removed",
                 LOG_TEXT("operation", id), LOG_TEXT("reason", status.message));
}

static bool has_ended_by_itself(struct operations *operations, const char *id, struct arena *arena)
{
    struct event_store *store = store_of(operations);
    char memory[OPERATION_KEY_MAX_BYTES];
    struct bytes value = BYTES_NONE;
    struct operation *stored = NULL;
    struct status status =
        store->ops->state_get(store, operation_key(OPERATION_KEY_PREFIX, id, memory), arena, &value);
    if (status_is_ok(&status))
        status = operation_decode(value, &stored);
    const bool ended =
        status_is_ok(&status) && (stored->state == OPERATION_SUCCEEDED || stored->state == OPERATION_FAILED);
    operation_free(stored);
    return ended;
}

/* The mark, unless it came after the end. Whoever looked in between saw it as cancelled. */
static struct status mark_put(struct operations *operations, const char *id)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return no_memory();
    struct event_store *store = store_of(operations);
    char memory[OPERATION_KEY_MAX_BYTES];
    uint8_t value[MARK_BYTES];
    put_u64_le(value, (uint64_t)clock_now_us(operations->service->parts.clock));
    STATUS_TRY(
        store->ops->state_put(store, operation_key(MARK_PREFIX, id, memory), bytes_of(value, sizeof value)));
    return has_ended_by_itself(operations, id, arena) ? mark_remove(operations, id) : status_ok();
}

struct status operation_cancel_shared(struct operations *operations, const char *id)
{
    bool known = false;
    STATUS_TRY(operation_refresh_shared(operations, id));
    if (!runs(operations, id, &known))
        return known ? status_ok() : status_operation_unknown(id);
    STATUS_TRY(mark_put(operations, id));
    log_info(operations->service->parts.log, "an operation was cancelled", LOG_TEXT("operation", id));
    return operation_refresh_shared(operations, id);
}
