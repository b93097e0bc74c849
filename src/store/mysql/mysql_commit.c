/* Commits, and what became of those whose answer was lost. */
#include <inttypes.h>
#include <mysqld_error.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "mysql_internal.h"

#define SETTLE_PAUSE_MS 50

static bool same_head(const struct store_head *a, const struct store_head *b)
{
    return a->position == b->position && memcmp(&a->chain, &b->chain, sizeof a->chain) == 0;
}

static struct status overtaken(const char *why)
{
    return status_error(STATUS_ABORTED, "the batch must be decided again: %s", why);
}

/* ---- a commit whose answer was lost ---- */

struct fate {
    bool known;   /* the head's row was locked: no older transaction is under way any more */
    bool present; /* the last record of the batch stands where it was to stand */
};

/* Its id alone would not do: who sent the batch's append may have sent it to another process too, which wrote it there.
 * Records differ in their salts. */
struct fate_question {
    int64_t position;
    struct bytes record;
    struct fate fate;
};

static struct status take_fate(void *context, unsigned statement, const struct sql_row *row)
{
    struct fate_question *question = context;
    if (statement == 1)
        question->fate.known = true;
    if (statement == 2)
        question->fate.present = bytes_equal(sql_column(row, 0), question->record);
    return status_ok();
}

/* The lock waits until the lost transaction has ended, either way. */
static struct status ask_fate(struct mysql_store *store, struct fate_question *question)
{
    struct mysql_link *link = &store->writer;
    STATUS_TRY(mysql_link_begin(link));
    sql_printf(link,
               "START TRANSACTION;SELECT position FROM strata_stores WHERE store=%" PRId64 " FOR UPDATE;",
               store->number);
    sql_printf(link,
               "SELECT record FROM strata_events WHERE store=%" PRId64 " AND position=%" PRId64 ";ROLLBACK",
               store->number, question->position);
    atomic_fetch_add(&store->writer_round_trips, 1);
    return mysql_link_run(link, take_fate, question, NULL);
}

static void pause_briefly(void)
{
    const struct timespec pause = {.tv_nsec = SETTLE_PAUSE_MS * 1000000L};
    (void)nanosleep(&pause, NULL); /* shorter is as good */
}

static struct status settle(struct mysql_store *store, const struct commit_batch *batch,
                            const struct status *why)
{
    const struct commit_append *last = &batch->appends[batch->append_count - 1];
    struct fate_question question = {.position = batch->after.position,
                                     .record = last->records[last->count - 1].bytes};
    const int64_t until_us =
        clock_monotonic_us(store->clock) + (int64_t)store->settings.settle_timeout_ms * 1000;
    atomic_fetch_add(&store->settled, 1);
    do {
        question.fate = (struct fate){0};
        const struct status status = ask_fate(store, &question);
        if (status.code == STATUS_OK && question.fate.known) {
            log_info(store->log, "a commit whose answer was lost is settled",
                     LOG_INT("last_position", question.position),
                     LOG_TEXT("fate", question.fate.present ? "committed" : "not committed"));
            return question.fate.present ? status_ok() : overtaken("its transaction was lost");
        }
        mysql_link_drop(&store->writer);
        pause_briefly();
    } while (clock_monotonic_us(store->clock) < until_us);
    return status_reason(REASON_OUTCOME_UNKNOWN,
                         "the connection to the database server was lost during the commit (%s) "
                         "and it could not be asked since",
                         why->message);
}

/* ---- the commit ---- */

/* What the batch made of the heads, which were known or asked for its facts. */
static void know(struct mysql_store *store, const struct commit_batch *batch)
{
    struct mysql_known *known = &store->known;
    const struct commit_append *last = &batch->appends[batch->append_count - 1];
    for (size_t i = 0; i < batch->append_count; i++)
        for (size_t j = 0; j < batch->appends[i].count; j++) {
            const struct event_fields *fields = &batch->appends[i].fields[j];
            if (!mysql_known_put(known, fields->aggregate_id, fields->aggregate_type, fields->version)) {
                mysql_known_forget(known);
                return;
            }
        }
    mysql_known_stand(known, batch->after.position, last->records[last->count - 1].bytes,
                      clock_monotonic_us(store->clock));
}

static struct status commit(struct mysql_store *store, const struct commit_batch *batch)
{
    struct mysql_link *link = &store->writer;
    struct sql_failure failure;
    unsigned commit_statement = 0;
    if (!store->hold.held || !same_head(&store->hold.head, &batch->before))
        return overtaken("it was decided at another head");
    store->hold.held = false;
    struct status status = mysql_write_batch(link, batch, &commit_statement);
    if (status.code != STATUS_OK) {
        const bool lost = link->handle == NULL;
        mysql_link_drop(link); /* COMMIT was not sent: whatever was ends with the connection */
        return lost ? overtaken(status.message)
                    : status_reason(REASON_STORE_UNREACHABLE, "nothing of this request was recorded: %s",
                                    status.message);
    }
    atomic_fetch_add(&store->writer_round_trips, 1);
    status = mysql_link_run(link, NULL, NULL, &failure);
    if (status.code == STATUS_OK) {
        atomic_fetch_add(&store->batches, 1);
        return status;
    }
    mysql_link_drop(link); /* a transaction that was refused ends with it */
    if (failure.lost || failure.statement >= commit_statement)
        return settle(store, batch, &status);
    if (failure.number == ER_LOCK_DEADLOCK) /* with who appends to another store in the same tables */
        return overtaken(status.message);
    log_warn(store->log, "the database server refused a batch", LOG_TEXT("reason", status.message));
    return status_reason(REASON_STORE_UNREACHABLE, "nothing of this request was recorded: %s",
                         status.message);
}

void mysql_store_commit(struct event_store *base, const struct commit_batch *batch, commit_done done,
                        void *context)
{
    struct mysql_store *store = mysql_of(base);
    const struct status status = commit(store, batch);
    if (status.code == STATUS_OK)
        know(store, batch);
    else
        mysql_known_forget(&store->known);
    done(context, &status);
}
