#include "segment_space_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "base/entropy.h"

/* Zeros are written and synced in pieces, since a commit may have to wait for one. */
#define PIECE_BYTES_MOST  (1024U * 1024U)
#define PIECE_BYTES_LEAST 4096U
#define PIECES_A_STEP     4U /* at least, so that tiny logs go the ways of large ones */
/*
 * Appends leave the last bytes of the disk alone: state/ needs them to remember the head and to checkpoint its WAL, and a
 * start that could not write would be worse than appends that are refused.
 */
#define RESERVE_BYTES (32U * 1024U * 1024U)
/* With so many whole segments free, the next one is prepared whole. */
#define AMPLE_SEGMENTS 4U
/* Pages and blocks of a whole end that are freed at once hold a processor for milliseconds, and with it some commits. */
#define CUT_BYTES_AT_ONCE (256U * 1024U)
#define CUT_PAUSE_MS      2

/* What one round does, taken from the shared state at its begin. */
struct round {
    uint64_t asked;
    struct segment *last;
    uint32_t last_number;
    uint64_t prepared_end;
    uint64_t target_end;
    uint64_t needed_end;
    uint64_t next_prepared;
    uint64_t next_target; /* 0 = nothing to do */
    uint64_t next_needed;
    uint64_t next_epoch;
    uint32_t next_taken;
    bool for_seal;
    bool unnamed;  /* the last segment lies under the name of its pool file … */
    bool name_due; /* … and can have its own */
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/*
 * Zeros that are added to the file that is appended to hold up its writes (one writer at a time) and its syncs (the file
 * grows, which is in the journal). So the next file is prepared whole, as large as this segment seems to become, in step
 * with it: from an eighth of it until seven eighths. Small logs, and short disks, are prepared as needed.
 */
static uint64_t whole_next(const struct segment_log *log, const struct segment *last)
{
    const uint64_t max = log->options.segment_max_bytes;
    const uint64_t used = last->end - SEGMENT_HEADER_BYTES;
    const uint64_t by_bytes = used * 1024 / max;
    const uint64_t by_events = (uint64_t)last->event_count * 1024 / log->options.segment_max_events;
    const uint64_t progress = larger(by_bytes, by_events);
    if (!log->space.ample || used < log->options.step_bytes || progress <= 1024 / 8)
        return 0;
    const uint64_t whole = smaller(max, SEGMENT_HEADER_BYTES + used * 1024 / progress * 17 / 16);
    const uint64_t due = whole * (progress - 1024 / 8) / (1024 * 3 / 4);
    return smaller(whole, (due + PIECE_BYTES_MOST - 1) / PIECE_BYTES_MOST * PIECE_BYTES_MOST);
}

/* How large the next file should be; 0 = it is not due. Runs under space.lock. */
static uint64_t plan_next(const struct segment_log *log, const struct segment *last)
{
    const struct space *space = &log->space;
    const uint64_t max = log->options.segment_max_bytes;
    const bool due = last == NULL || space->used_end > max / 2 || space->next_needed > 0 ||
                     last->event_count > log->options.segment_max_events / 2;
    const uint64_t first_step = smaller(SEGMENT_HEADER_BYTES + log->options.step_bytes, max);
    const uint64_t least = due ? larger(space->next_needed, first_step) : 0;
    return last == NULL ? least : larger(least, whole_next(log, last));
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
        .needed_end = space->needed_end,
        .next_needed = space->next_needed,
        .next_prepared = space->next_prepared,
        .next_epoch = space->next_epoch,
        .next_taken = space->next_taken,
        .for_seal = space->for_seal,
        .unnamed = space->unnamed.pending,
        .name_due = space->unnamed.pending && space->unnamed.due,
    };
    if (round.last != NULL) {
        const bool low = space->prepared_end < space->used_end + step / 2;
        const uint64_t ahead = low ? smaller(space->used_end + step, max) : 0;
        round.target_end = space->for_seal ? space->needed_end : larger(space->needed_end, ahead);
    }
    round.next_target = plan_next(log, round.last);
    return round;
}

static bool has_work(struct round round)
{
    return round.target_end > round.prepared_end || round.next_target > round.next_prepared || round.name_due;
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
        const char *path = round->unnamed ? log->space.unnamed.path : round->last->path;
        STATUS_TRY(files_open(log->options.files, path, FILE_WRITE, &log->preparing));
        log->preparing_number = round->last_number;
    }
    return extend(log, log->preparing, round->prepared_end, round->target_end, round->for_seal,
                  &round->prepared_end);
}

/* Not before the first frame is durable: until then it is no segment. */
static struct status name_last(struct segment_log *log)
{
    const struct unnamed *unnamed = &log->space.unnamed;
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(log->options.files, unnamed->path, FILE_WRITE, &file));
    return pool_make_segment(log->options.files, log->options.store_id, unnamed->path, file,
                             &unnamed->header);
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

/* An attempt that failed may have left something. */
static struct status begin_next(const struct segment_log *log, struct round *round, struct file *file)
{
    round->next_epoch = 0;
    while (round->next_epoch == 0)
        entropy_fill(log->options.entropy, &round->next_epoch, sizeof round->next_epoch);
    STATUS_TRY(file_truncate(file, 0));
    STATUS_TRY(file_allocate(file, SEGMENT_HEADER_BYTES));
    return pool_write_first_page(file, log->options.identity->uuid, round->next_epoch,
                                 clock_now_us(log->options.clock));
}

static struct status make_next(const struct segment_log *log, struct round *round)
{
    if (round->next_target <= round->next_prepared)
        return status_ok();
    char path[STORE_PATH_BYTES];
    char folder[STORE_PATH_BYTES];
    const bool begins = round->next_prepared == 0;
    pool_path(log, round->next_taken, path);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(log->options.files, path, FILE_WRITE | FILE_CREATE, &file));
    if (begins)
        STATUS_TRY(begin_next(log, round, file));
    uint64_t end = 0;
    STATUS_TRY(extend(log, file, round->next_prepared, round->next_target, false, &end));
    snprintf(folder, sizeof folder, "%s/log", log->options.store_id);
    if (begins) /* no frame may be written into a file whose name a power loss can take away */
        STATUS_TRY(files_sync_dir(log->options.files, folder));
    round->next_prepared = end;
    return status_ok();
}

/*
 * Gives back what is behind the end of a segment that gets no more frames, at most `most` bytes of it; true = there is more.
 * A failure costs space and nothing else (recovery accepts zeros behind the end of any segment and the next start tries
 * again), so it is survived on purpose.
 */
static bool cut(const struct segment_log *log, const struct segment *segment, uint64_t most)
{
    struct file *file = NULL;
    uint64_t size = 0;
    bool more = false;
    if (files_open(log->options.files, segment->path, FILE_WRITE, &file).code == STATUS_OK &&
        file_size(file, &size).code == STATUS_OK && size > segment->end) {
        more = size - segment->end > most;
        if (file_truncate(file, more ? size - most : segment->end).code != STATUS_OK)
            more = false; /* see above */
    }
    file_close(file);
    return more;
}

/* The full segments, oldest first; true = there is more to do. */
static bool cut_full(struct segment_log *log, uint64_t most)
{
    while (log->cut_count + 1 < segment_log_count(log)) {
        if (cut(log, log->segments[log->cut_count], most))
            return true;
        log->cut_count++;
    }
    return false;
}

static bool asks_ample(const struct segment_log *log)
{
    uint64_t free_bytes = 0;
    return files_free_bytes(log->options.files, &free_bytes).code == STATUS_OK &&
           free_bytes >= AMPLE_SEGMENTS * log->options.segment_max_bytes + RESERVE_BYTES;
}

/* What ended the round; *ret_named = the last segment has its name now. */
static struct status run_round(struct segment_log *log, struct round *round, bool *ret_named)
{
    /* First what an append may be waiting for. No space must not keep the segment from its name. */
    struct status trouble = extend_last(log, round);
    const struct status unnamed = round->name_due ? name_last(log) : status_ok();
    *ret_named = round->name_due && unnamed.code == STATUS_OK;
    if (trouble.code == STATUS_OK || trouble.code == STATUS_RESOURCE_EXHAUSTED)
        trouble = unnamed.code == STATUS_OK ? trouble : unnamed;
    if (trouble.code == STATUS_OK)
        trouble = make_next(log, round);
    log->cutting = cut_full(log, CUT_BYTES_AT_ONCE);
    return trouble;
}

/* Runs under space.lock. */
static void take_over(struct segment_log *log, const struct round *round, bool named)
{
    struct space *space = &log->space;
    if (round->last_number == log->count) /* else the log has moved on to the next segment meanwhile */
        space->prepared_end = larger(space->prepared_end, round->prepared_end);
    if (round->next_taken == space->next_taken) {
        space->next_prepared = round->next_prepared;
        space->next_epoch = round->next_epoch;
    }
    if (named)
        space->unnamed.pending = false;
}

void segment_log_prepare(struct segment_log *log)
{
    struct space *space = &log->space;
    const bool ample = asks_ample(log);
    pthread_mutex_lock(&space->lock);
    space->ample = ample;
    struct round round = plan_round(log);
    pthread_mutex_unlock(&space->lock);

    bool named = false;
    const struct status trouble = run_round(log, &round, &named);

    pthread_mutex_lock(&space->lock);
    take_over(log, &round, named);
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

/* Runs under space.lock. */
static bool nearly_full(const struct segment_log *log)
{
    const struct segment *last = last_segment(log);
    return last != NULL && (log->space.used_end > log->options.segment_max_bytes / 8 * 7 ||
                            last->event_count > (uint64_t)log->options.segment_max_events * 7 / 8);
}

bool segment_log_nearly_full(struct segment_log *log)
{
    pthread_mutex_lock(&log->space.lock);
    const bool is = nearly_full(log);
    pthread_mutex_unlock(&log->space.lock);
    return is;
}

static void wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t timeout_ms)
{
    const struct timespec until = deadline_after_ms(timeout_ms);
    (void)pthread_cond_timedwait(condition, lock, &until); /* woken or late: the caller looks again */
}

void segment_log_wait(struct segment_log *log, int64_t timeout_ms)
{
    struct space *space = &log->space;
    pthread_mutex_lock(&space->lock);
    if (!space->poked && space->asked == space->served)
        wait_until(&space->wanted, &space->lock,
                   log->cutting && timeout_ms > CUT_PAUSE_MS ? CUT_PAUSE_MS : timeout_ms);
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

struct status space_take_next(struct segment_log *log, uint64_t size, struct next_file *ret)
{
    struct space *space = &log->space;
    struct status status = status_ok();
    pthread_mutex_lock(&space->lock);
    space->next_needed = size;
    /* With its name still to come when the round begins: that is before the file of the next. */
    while ((space->next_prepared < size || space->unnamed.pending) && status.code == STATUS_OK) {
        demand_round(log);
        status = space->trouble;
    }
    space->next_needed = 0;
    if (space->next_prepared >= size && !space->unnamed.pending)
        status = status_ok();
    space->refusing = space->refusing || status.code != STATUS_OK;
    if (status.code == STATUS_OK) {
        ret->size_bytes = space->next_prepared;
        ret->epoch = space->next_epoch;
        pool_path(log, space->next_taken, ret->path);
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
    const bool was_near = nearly_full(log);
    segment->end += size;
    segment->event_count += events;
    space->used_end = segment->end;
    space->unnamed.due = true;
    space->poked = space->poked || has_work(plan_round(log)) || (nearly_full(log) && !was_near);
    pthread_mutex_unlock(&space->lock);
    atomic_fetch_add(&log->bytes, size);
}

void segment_log_wake(struct segment_log *log)
{
    struct space *space = &log->space;
    pthread_mutex_lock(&space->lock);
    const bool poked = space->poked;
    pthread_mutex_unlock(&space->lock);
    if (poked)
        pthread_cond_signal(&space->wanted);
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
    if (trusted && space->unnamed.pending && space->unnamed.due) {
        space->broken = name_last(log);
        space->unnamed.pending = space->broken.code != STATUS_OK;
    }
    if (last != NULL && trusted && !space->unnamed.pending)
        (void)cut(log, last, UINT64_MAX);
    (void)cut_full(log, UINT64_MAX);
    pool_path(log, space->next_taken, path);
    (void)files_remove(log->options.files, path).code; /* the next start removes it, if there is one */
    space->trouble = status_ok();
    space->refusing = false;
}
