#include "segment_space_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Zeros are written and synced in pieces, since a commit's sync may have to wait for one. */
#define PIECE_BYTES_MOST  (1024U * 1024U)
#define PIECE_BYTES_LEAST 4096U
#define PIECES_A_STEP     4U /* at least, so that tiny logs go the ways of large ones */
/*
 * Appends leave the last bytes of the disk alone: state/ needs them to remember the head and to checkpoint its WAL, and a
 * start that could not write would be worse than appends that are refused.
 */
#define RESERVE_BYTES (32U * 1024U * 1024U)
#define NS_A_MS       1000000L

/* What one round does, taken from the shared state at its begin. */
struct round {
    uint64_t asked;
    struct segment *last;
    uint32_t last_number;
    uint64_t prepared_end;
    uint64_t target_end;
    uint64_t next_prepared;
    uint64_t next_target; /* 0 = nothing to do */
    uint32_t next_taken;
    bool for_seal;
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Runs under space.lock. */
static struct round plan_round(struct segment_log *log)
{
    struct space *space = &log->space;
    const uint64_t max = log->options.segment_max_bytes;
    const uint64_t step = log->options.step_bytes;
    struct round round = {
        .asked = space->asked,
        .last = last_segment(log),
        .last_number = log->count,
        .prepared_end = space->prepared_end,
        .next_prepared = space->next_prepared,
        .next_taken = space->next_taken,
        .for_seal = space->for_seal,
    };
    if (round.last != NULL) {
        const bool low = space->prepared_end < space->used_end + step / 2;
        const uint64_t ahead = low ? smaller(space->used_end + step, max) : 0;
        round.target_end = space->for_seal ? space->needed_end : larger(space->needed_end, ahead);
    }
    const bool next_due = round.last == NULL || space->used_end > max / 2 || space->next_needed > 0 ||
                          round.last->event_count > log->options.segment_max_events / 2;
    if (next_due)
        round.next_target = larger(space->next_needed, smaller(SEGMENT_HEADER_BYTES + step, max));
    return round;
}

static bool has_work(struct round round)
{
    return round.target_end > round.prepared_end || round.next_target > round.next_prepared;
}

static struct status check_reserve(const struct segment_log *log, uint64_t wanted)
{
    uint64_t free_bytes = 0;
    /* A disk that cannot say tells when the space is allocated. */
    if (files_free_bytes(log->options.files, &free_bytes).code != STATUS_OK ||
        free_bytes >= wanted + RESERVE_BYTES)
        return status_ok();
    return status_error(STATUS_RESOURCE_EXHAUSTED,
                        "%s/log: %" PRIu64
                        " bytes are free on its disk, of which %u are kept for state/ and the "
                        "next start",
                        log->options.store_id, free_bytes, RESERVE_BYTES);
}

/* One piece a round, so that an append which waits for some space need not wait for all. */
static struct status extend(const struct segment_log *log, struct file *file, uint64_t from, uint64_t to,
                            bool for_seal, uint64_t *ret_end)
{
    const uint64_t piece =
        larger(PIECE_BYTES_LEAST, smaller(PIECE_BYTES_MOST, log->options.step_bytes / PIECES_A_STEP));
    const uint64_t piece_end = smaller(to, from + piece);
    if (!for_seal)
        STATUS_TRY(check_reserve(log, piece_end - from));
    STATUS_TRY(file_allocate(file, piece_end));
    STATUS_TRY(file_sync(file));
    *ret_end = piece_end;
    return status_ok();
}

static struct status extend_last(struct segment_log *log, struct round *round)
{
    if (round->last == NULL || round->target_end <= round->prepared_end)
        return status_ok();
    if (log->preparing == NULL || log->preparing_number != round->last_number) {
        file_close(log->preparing);
        log->preparing = NULL;
        STATUS_TRY(files_open(log->options.files, round->last->path, FILE_WRITE, &log->preparing));
        log->preparing_number = round->last_number;
    }
    return extend(log, log->preparing, round->prepared_end, round->target_end, round->for_seal,
                  &round->prepared_end);
}

/*
 * "next.7.pool". The appending thread may take the file while a round still extends it: more zeros do no harm. A round
 * that begins afterwards must not find it under the same name.
 */
static void pool_path(const struct segment_log *log, uint32_t number, char ret[STORE_PATH_BYTES])
{
    char name[32];
    snprintf(name, sizeof name, "next.%" PRIu32 ".pool", number);
    segment_path(log, name, ret);
}

static struct status make_next(struct segment_log *log, struct round *round)
{
    if (round->next_target <= round->next_prepared)
        return status_ok();
    char path[STORE_PATH_BYTES];
    pool_path(log, round->next_taken, path);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(log->options.files, path, FILE_WRITE | FILE_CREATE, &file));
    if (round->next_prepared == 0)
        STATUS_TRY(file_truncate(file, 0)); /* an attempt that failed may have left something */
    return extend(log, file, round->next_prepared, round->next_target, false, &round->next_prepared);
}

/*
 * Gives back what is behind the end of a segment that gets no more frames. A failure costs space and nothing else
 * (recovery accepts zeros behind the end of any segment and the next start tries again), so it is survived on purpose.
 */
static void cut_to_end(const struct segment_log *log, const struct segment *segment)
{
    struct file *file = NULL;
    uint64_t size = 0;
    if (files_open(log->options.files, segment->path, FILE_WRITE, &file).code == STATUS_OK &&
        file_size(file, &size).code == STATUS_OK && size > segment->end)
        (void)file_truncate(file, segment->end).code; /* see above */
    file_close(file);
}

static void truncate_full(struct segment_log *log)
{
    for (uint32_t i = log->count; i-- > 0;) {
        struct segment *segment = log->segments[i];
        pthread_mutex_lock(&log->space.lock);
        const bool wanted = segment->wants_truncation;
        segment->wants_truncation = false;
        pthread_mutex_unlock(&log->space.lock);
        if (!wanted && i + 2 < log->count)
            return;
        if (wanted)
            cut_to_end(log, segment);
    }
}

void segment_log_prepare(struct segment_log *log)
{
    struct space *space = &log->space;
    pthread_mutex_lock(&space->lock);
    struct round round = plan_round(log);
    pthread_mutex_unlock(&space->lock);

    struct status trouble = extend_last(log, &round);
    if (trouble.code == STATUS_OK)
        trouble = make_next(log, &round);
    truncate_full(log);

    pthread_mutex_lock(&space->lock);
    if (round.last_number == log->count) /* else the log has moved on to the next segment meanwhile */
        space->prepared_end = larger(space->prepared_end, round.prepared_end);
    if (round.next_taken == space->next_taken)
        space->next_prepared = round.next_prepared;
    space->trouble = trouble;
    space->refusing = space->refusing && trouble.code != STATUS_OK;
    /* A sync that failed may have been about a frame as well, and asking again would be answered with a lie.
     */
    if (trouble.code != STATUS_OK && trouble.code != STATUS_RESOURCE_EXHAUSTED &&
        space->broken.code == STATUS_OK)
        space->broken = trouble;
    space->served = round.asked;
    space->poked = space->poked || (trouble.code == STATUS_OK && has_work(plan_round(log)));
    pthread_cond_broadcast(&space->ready);
    pthread_mutex_unlock(&space->lock);
}

static void wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until); /* only how long to sleep: nothing is decided by it */
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (timeout_ms % 1000) * NS_A_MS;
    if (until.tv_nsec >= 1000 * NS_A_MS) {
        until.tv_sec++;
        until.tv_nsec -= 1000 * NS_A_MS;
    }
    (void)pthread_cond_timedwait(condition, lock, &until); /* woken or late: the caller looks again */
}

void segment_log_wait(struct segment_log *log, int64_t timeout_ms)
{
    struct space *space = &log->space;
    pthread_mutex_lock(&space->lock);
    if (!space->poked && space->asked == space->served)
        wait_until(&space->wanted, &space->lock, timeout_ms);
    space->poked = false;
    pthread_mutex_unlock(&space->lock);
}

void segment_log_poke(struct segment_log *log)
{
    pthread_mutex_lock(&log->space.lock);
    log->space.poked = true;
    pthread_cond_signal(&log->space.wanted);
    pthread_mutex_unlock(&log->space.lock);
}

/* Has a full round made by the preparing thread, or makes it. Called and left with space.lock held. */
static void demand_round(struct segment_log *log)
{
    struct space *space = &log->space;
    const uint64_t ticket = ++space->asked;
    if (!log->threaded) {
        pthread_mutex_unlock(&space->lock);
        segment_log_prepare(log);
        pthread_mutex_lock(&space->lock);
        return;
    }
    pthread_cond_signal(&space->wanted);
    while (space->served < ticket)
        pthread_cond_wait(&space->ready, &space->lock);
}

struct status space_demand_end(struct segment_log *log, uint64_t end, bool for_seal)
{
    struct space *space = &log->space;
    struct status status = status_ok();
    pthread_mutex_lock(&space->lock);
    space->needed_end = end;
    space->for_seal = for_seal;
    while (space->prepared_end < end && status.code == STATUS_OK) {
        demand_round(log);
        status = space->trouble;
    }
    space->needed_end = 0;
    space->for_seal = false;
    if (space->prepared_end >= end)
        status = status_ok(); /* what more was tried ahead of need is not this append's trouble */
    assert(status.code != STATUS_OK || space->prepared_end >= end);
    space->refusing = space->refusing || (status.code != STATUS_OK && !for_seal);
    pthread_mutex_unlock(&space->lock);
    return status;
}

/* Takes a next file of at least `size` bytes. */
struct status space_take_next(struct segment_log *log, uint64_t size, uint64_t *ret_size,
                              char ret_path[STORE_PATH_BYTES])
{
    struct space *space = &log->space;
    struct status status = status_ok();
    pthread_mutex_lock(&space->lock);
    space->next_needed = size;
    while (space->next_prepared < size && status.code == STATUS_OK) {
        demand_round(log);
        status = space->trouble;
    }
    space->next_needed = 0;
    if (space->next_prepared >= size)
        status = status_ok();
    assert(status.code != STATUS_OK || space->next_prepared >= size);
    space->refusing = space->refusing || status.code != STATUS_OK;
    if (status.code == STATUS_OK) {
        *ret_size = space->next_prepared;
        pool_path(log, space->next_taken, ret_path);
        space->next_prepared = 0;
        space->next_taken++;
    }
    pthread_mutex_unlock(&space->lock);
    return status;
}

void space_note_appended(struct segment_log *log, struct segment *segment, size_t size, uint32_t events)
{
    struct space *space = &log->space;
    pthread_mutex_lock(&space->lock);
    segment->end += size;
    segment->event_count += events;
    space->used_end = segment->end;
    if (has_work(plan_round(log))) {
        space->poked = true;
        pthread_cond_signal(&space->wanted);
    }
    pthread_mutex_unlock(&space->lock);
    atomic_fetch_add(&log->bytes, size);
}

struct status segment_log_space(struct segment_log *log)
{
    struct space *space = &log->space;
    pthread_mutex_lock(&space->lock);
    const struct status trouble = space->trouble;
    const bool refusing = space->refusing;
    pthread_mutex_unlock(&space->lock);
    if (trouble.code != STATUS_RESOURCE_EXHAUSTED)
        return status_ok(); /* another trouble is segment_log_health()'s */
    if (refusing)
        return status_reason(REASON_STORE_FAILED,
                             "appends are refused for want of space: %s; free some space, then they go on by "
                             "themselves",
                             trouble.message);
    return status_error(STATUS_RESOURCE_EXHAUSTED,
                        "appends will soon be refused for want of space: %s; free some space",
                        trouble.message);
}

bool segment_log_space_changed(struct segment_log *log, struct status *ret)
{
    *ret = segment_log_space(log);
    const bool changed = ret->code != log->reported;
    log->reported = ret->code;
    return changed;
}

void segment_log_give_back(struct segment_log *log)
{
    struct space *space = &log->space;
    char path[STORE_PATH_BYTES];
    const struct segment *last = last_segment(log);
    assert(!log->threaded);
    file_close(log->preparing);
    log->preparing = NULL;
    const bool trusted = !log->failed && space->broken.code == STATUS_OK;
    if (last != NULL && trusted)
        cut_to_end(log, last);
    pool_path(log, space->next_taken, path);
    (void)files_remove(log->options.files, path).code; /* the next start removes it, if there is one */
    space->trouble = status_ok();
    space->refusing = false;
}

struct status segment_log_remove_pool(struct files *files, const char *store_id)
{
    char folder[STORE_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/log", store_id);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list %s", folder);
    struct file_entry *entries = NULL;
    size_t count = 0;
    const struct status status = files_list(files, folder, arena, &entries, &count);
    if (status.code != STATUS_OK)
        return status.code == STATUS_NOT_FOUND ? status_ok() : status;
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(entries[i].name);
        if (length <= 5 || strcmp(entries[i].name + length - 5, ".pool") != 0)
            continue;
        char path[2 * STORE_PATH_BYTES + 2];
        snprintf(path, sizeof path, "%s/%.*s", folder, (int)STORE_PATH_BYTES, entries[i].name);
        STATUS_TRY(files_remove(files, path));
    }
    return status_ok();
}
