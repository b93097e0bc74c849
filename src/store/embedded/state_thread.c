/*
 * Who uses the connection, and when. After state_db_start() it is one thread alone; callers queue what they want and wait.
 *
 *   reads    at once
 *   writes   together: each transaction takes along all that wait. While there are several callers the next one begins
 *            STATE_SHARE_MS after the last one began, so that many puts cost 100 syncs a second, on a disk which the log
 *            has need of. Who comes alone waits for nobody: there is none to share with.
 *   hurries  (a lease, the remembered head of a clean stop) begin a transaction at once
 *
 * A call returns when its transaction is durable. One that fails is rolled back and fails all its callers with the
 * cause; what cannot be rolled back ends all writing until the next start.
 */
#include <errno.h>
#include <time.h>

#include "state_db_internal.h"
#include "state_vfs_internal.h"

#define MICRO 1000000

/* Lives in its caller's frame until it is answered. */
struct state_call {
    state_work work;
    void *context;
    struct status status;
    pthread_cond_t answered; /* under state_db.lock */
    bool done;
    struct state_call *next;
};

/* ---- transactions ---- */

static struct status step(struct state_db *db, enum state_statement which, const char *doing)
{
    sqlite3_stmt *statement = NULL;
    STATUS_TRY(state_statement(db, which, &statement));
    return state_finish(db, statement, SQLITE_OK, doing);
}

static void roll_back(struct state_db *db, const struct status *why)
{
    /* SQLite has ended the transaction itself after most failures. */
    if (sqlite3_get_autocommit(db->connection) == 0)
        (void)step(db, STATE_ROLLBACK, "rolling back").code; /* whether it did is asked next */
    if (sqlite3_get_autocommit(db->connection) == 0)
        db->read_only = status_reason(REASON_STORE_FAILED,
                                      "%s takes no writes: a transaction failed and could not be rolled back "
                                      "(%.300s); restart strata",
                                      db->path, why->message);
}

/* Each call's status is set when it returns OK. */
static struct status run_calls(struct state_db *db, struct state_call *calls)
{
    STATUS_TRY(db->read_only);
    (void)state_vfs_take_failure(db->vfs); /* what an earlier call met is not the cause of anything to come */
    db->broke_off = false;
    STATUS_TRY(step(db, STATE_BEGIN, "beginning a transaction in"));
    for (struct state_call *call = calls; call != NULL; call = call->next) {
        call->status = call->work(db, call->context);
        if (db->broke_off)
            return call->status;
    }
    return step(db, STATE_COMMIT, "committing to");
}

static struct status run_transaction(struct state_db *db, struct state_call *calls)
{
    const struct snapshot_sums before = db->sums;
    const struct status status = run_calls(db, calls);
    if (status.code == STATUS_OK)
        return status;
    roll_back(db, &status);
    db->sums = before;
    for (struct state_call *call = calls; call != NULL; call = call->next)
        call->status = status;
    return status;
}

/* ---- the queues; the caller holds the lock ---- */

static void queue_add(struct state_queue *queue, struct state_call *call)
{
    if (queue->first == NULL)
        queue->first = call;
    else
        queue->last->next = call;
    queue->last = call;
}

static struct state_call *queue_take(struct state_queue *queue, unsigned most)
{
    struct state_call *const first = queue->first;
    struct state_call *last = first;
    for (unsigned i = 1; i < most && last != NULL && last->next != NULL; i++)
        last = last->next;
    if (last != NULL) {
        queue->first = last->next;
        last->next = NULL;
    }
    return first;
}

/* Before anyone is answered. A value that SQLite finds too large is its caller's trouble. */
static void note_transaction(struct state_db *db, const struct status *status)
{
    atomic_store(&db->snapshot_count, db->sums.count);
    if (status->code != STATUS_INVALID_ARGUMENT)
        db->trouble = *status;
}

static void answer(struct state_call *calls)
{
    while (calls != NULL) {
        struct state_call *const call = calls;
        calls = call->next; /* the call is gone as soon as its caller sees `done` */
        call->done = true;
        pthread_cond_signal(&call->answered);
    }
}

/* ---- the thread ---- */

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* only how long to sleep */
    return (int64_t)now.tv_sec * MICRO + now.tv_nsec / 1000;
}

static bool serve_reads(struct state_db *db)
{
    struct state_call *calls = queue_take(&db->reads, STATE_CALLS_MAX);
    if (calls == NULL)
        return false;
    pthread_mutex_unlock(&db->lock);
    for (struct state_call *call = calls; call != NULL; call = call->next)
        call->status = call->work(db, call->context);
    pthread_mutex_lock(&db->lock);
    answer(calls);
    return true;
}

static bool serve_writes(struct state_db *db)
{
    const int64_t now_us = monotonic_us();
    const bool waits = db->company && now_us < db->due_us && !db->hurry && !db->stopping;
    if (db->writes.first == NULL || waits)
        return false;
    struct state_call *calls = queue_take(&db->writes, STATE_CALLS_MAX);
    db->hurry = db->hurry && db->writes.first != NULL; /* it may stand among those that were left */
    pthread_mutex_unlock(&db->lock);
    db->due_us = now_us + STATE_SHARE_MS * 1000;
    const struct status status = run_transaction(db, calls);
    pthread_mutex_lock(&db->lock);
    note_transaction(db, &status);
    db->company = calls->next != NULL || db->writes.first != NULL;
    answer(calls);
    return true;
}

static void wait_for_work(struct state_db *db)
{
    if (db->writes.first == NULL) {
        pthread_cond_wait(&db->work_ready, &db->lock);
        return;
    }
    const struct timespec until = {.tv_sec = (time_t)(db->due_us / MICRO),
                                   .tv_nsec = (long)(db->due_us % MICRO) * 1000};
    (void)pthread_cond_timedwait(&db->work_ready, &db->lock, &until); /* the loop looks what there is */
}

static void *state_loop(void *context)
{
    struct state_db *db = context;
    pthread_mutex_lock(&db->lock);
    for (;;) {
        const bool read = serve_reads(db);
        const bool written = serve_writes(db); /* in turn, so that neither starves the other */
        if (read || written)
            continue;
        if (db->stopping)
            break;
        wait_for_work(db);
    }
    pthread_mutex_unlock(&db->lock);
    return NULL;
}

struct status state_db_start(struct state_db *db)
{
    pthread_mutex_lock(&db->lock);
    db->threaded = pthread_create(&db->thread, NULL, state_loop, db) == 0;
    const bool started = db->threaded;
    pthread_mutex_unlock(&db->lock);
    return started ? status_ok()
                   : status_error(STATUS_RESOURCE_EXHAUSTED,
                                  "no thread for state/; raise the limit of processes");
}

void state_thread_stop(struct state_db *db)
{
    pthread_mutex_lock(&db->lock);
    const bool threaded = db->threaded;
    db->stopping = true;
    pthread_cond_signal(&db->work_ready);
    pthread_mutex_unlock(&db->lock);
    if (!threaded)
        return;
    pthread_join(db->thread, NULL);
    db->threaded = false;
}

struct status state_run(struct state_db *db, enum state_urgency urgency, state_work work, void *context)
{
    struct state_call call = {.work = work, .context = context};
    pthread_mutex_lock(&db->lock);
    if (!db->threaded) {
        /* Files are touched under the lock, which has no other purpose then. */
        if (urgency == STATE_READ) {
            call.status = work(db, context);
        } else {
            const struct status status = run_transaction(db, &call);
            note_transaction(db, &status);
        }
        pthread_mutex_unlock(&db->lock);
        return call.status;
    }
    pthread_cond_init(&call.answered, NULL);
    queue_add(urgency == STATE_READ ? &db->reads : &db->writes, &call);
    db->hurry = db->hurry || urgency == STATE_WRITE_NOW;
    pthread_cond_signal(&db->work_ready);
    while (!call.done)
        pthread_cond_wait(&call.answered, &db->lock);
    pthread_mutex_unlock(&db->lock);
    pthread_cond_destroy(&call.answered);
    return call.status;
}

struct status state_db_health(struct state_db *db)
{
    pthread_mutex_lock(&db->lock);
    const struct status trouble = db->trouble;
    pthread_mutex_unlock(&db->lock);
    if (trouble.code == STATUS_OK)
        return trouble;
    return status_error(
        STATUS_RESOURCE_EXHAUSTED,
        "state/ takes no writes, so that snapshots, checkpoints and leases are refused and only "
        "appends go on: %.400s",
        trouble.message);
}

unsigned state_waiting_writes(struct state_db *db)
{
    unsigned count = 0;
    pthread_mutex_lock(&db->lock);
    for (const struct state_call *call = db->writes.first; call != NULL; call = call->next)
        count++;
    pthread_mutex_unlock(&db->lock);
    return count;
}
