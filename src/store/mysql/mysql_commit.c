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
    char session[MYSQL_SESSION_NAME_BYTES]; /* that was lost */
    bool over; /* it is: what it was sent and has not come yet will not be executed */
    int64_t position;
    struct bytes record;
    struct fate fate;
};

static struct status take_over(void *context, unsigned statement, const struct sql_row *row)
{
    (void)statement;
    *(bool *)context = sql_int(row, 0) == 1;
    return status_ok();
}

/* From then on the lock that the session had is ours, until the end of our own. */
static struct status ask_whether_over(struct mysql_store *store, struct fate_question *question)
{
    struct mysql_link *link = &store->writer;
    STATUS_TRY(mysql_link_begin(link));
    sql_printf(&link->sql, "SELECT GET_LOCK('%s', 0)", question->session);
    return mysql_link_run(link, take_over, &question->over, NULL);
}

static struct status take_fate(void *context, unsigned statement, const struct sql_row *row)
{
    struct fate_question *question = context;
    if (statement == 1)
        question->fate.known = true;
    if (statement == 2)
        question->fate.present = bytes_equal(sql_column(row, 0), question->record);
    return status_ok();
}

/*
 * The lock on the head waits until the lost transaction has ended, either way. That of a batch decided ahead takes this lock
 * in its own packet, which may be on its way or wait for the lock as well: so the session must be over first, which the
 * server sees to when it hears nothing of it (wait_timeout).
 */
static struct status ask_fate(struct mysql_store *store, struct fate_question *question)
{
    struct mysql_link *link = &store->writer;
    if (!question->over)
        STATUS_TRY(ask_whether_over(store, question));
    if (!question->over)
        return status_ok();
    STATUS_TRY(mysql_link_begin(link));
    sql_printf(&link->sql,
               "START TRANSACTION;SELECT position FROM strata_stores WHERE store=%" PRId64 " FOR UPDATE;",
               store->number);
    sql_printf(&link->sql,
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
    memcpy(question.session, store->writer.session, sizeof question.session);
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
        if (status.code != STATUS_OK)
            mysql_link_drop(&store->writer);
        pause_briefly();
    } while (clock_monotonic_us(store->clock) < until_us);
    return status_reason(REASON_OUTCOME_UNKNOWN,
                         "the connection to the database server was lost during the commit (%s) "
                         "and it could not be asked since",
                         why->message);
}

/* ---- the commit ---- */

/* The statement of a batch decided ahead that fails when another process was first; those before it cannot. */
#define PROOF_STATEMENT 2U

static struct bytes packet(const struct mysql_text *text, size_t at)
{
    const size_t begin = at == 0 ? 0 : text->ends[at - 1];
    return bytes_of(text->sql.data + begin, text->ends[at] - begin);
}

static struct status may_begin(struct mysql_store *store, const struct mysql_commit *commit)
{
    struct mysql_link *link = &store->writer;
    STATUS_TRY(commit->status);
    if (!commit->batch->ahead)
        return link->handle != NULL ? status_ok() : overtaken("the lock on the head was lost");
    if (!store->committer.stood)
        return overtaken("the batch before it did not take place");
    const struct status status = mysql_link_begin(link);
    return status.code == STATUS_OK ? status : overtaken(status.message);
}

void mysql_commit_begin(struct mysql_store *store, struct mysql_commit *commit)
{
    commit->failure = (struct sql_failure){0};
    commit->status = may_begin(store, commit);
    if (commit->status.code != STATUS_OK)
        return;
    atomic_fetch_add(&store->writer_round_trips, 1);
    commit->status = mysql_link_send(&store->writer, packet(&commit->text, 0), &commit->failure);
}

/* How many packets were executed whole. */
static size_t run_packets(struct mysql_store *store, struct mysql_commit *commit)
{
    struct mysql_link *link = &store->writer;
    size_t done = 0;
    while (commit->status.code == STATUS_OK) {
        commit->status = mysql_link_receive(link, NULL, NULL, &commit->failure);
        if (commit->status.code != STATUS_OK || ++done == commit->text.packet_count)
            break;
        atomic_fetch_add(&store->writer_round_trips, 1);
        commit->status = mysql_link_send(link, packet(&commit->text, done), &commit->failure);
    }
    return done;
}

struct status mysql_commit_end(struct mysql_store *store, struct mysql_commit *commit)
{
    const struct sql_failure *failure = &commit->failure;
    const bool begun = commit->status.code == STATUS_OK || failure->lost;
    const size_t done = begun ? run_packets(store, commit) : 0;
    const struct status status = commit->status;
    if (status.code == STATUS_OK) {
        atomic_fetch_add(&store->batches, 1);
        return status;
    }
    if (!begun) {
        if (!commit->batch->ahead)
            mysql_link_drop(&store->writer); /* the lock goes with it */
        return status;
    }
    const bool ahead = commit->batch->ahead && done == 0;
    if (ahead && failure->statement == PROOF_STATEMENT && failure->number == ER_SUBQUERY_NO_1_ROW) {
        store->writer.locks = true; /* who decides it again need not wait for it once more */
        return overtaken("another process was first");
    }
    mysql_link_drop(&store->writer); /* a transaction that was refused ends with it */
    if (done + 1 == commit->text.packet_count &&
        (failure->lost || failure->statement >= commit->text.commit_statement))
        return settle(store, commit->batch, &status);
    /* COMMIT was not sent, or not reached. A deadlock is with who appends to another store in the same tables. */
    if (failure->lost || failure->number == ER_LOCK_DEADLOCK ||
        (ahead && failure->statement <= PROOF_STATEMENT))
        return overtaken(status.message);
    log_warn(store->log, "the database server refused a batch", LOG_TEXT("reason", status.message));
    return status_reason(REASON_STORE_UNREACHABLE, "nothing of this request was recorded: %s",
                         status.message);
}

static struct status write_text(struct mysql_store *store, struct mysql_commit *commit)
{
    const struct commit_batch *batch = commit->batch;
    if (!batch->ahead && (!store->hold.held || !same_head(&store->hold.head, &batch->before)))
        return overtaken("it was decided at another head");
    const struct status status = mysql_text_write(&commit->text, store, batch);
    return status.code == STATUS_OK
               ? status
               : status_reason(REASON_STORE_UNREACHABLE, "nothing of this request was recorded: %s",
                               status.message);
}

void mysql_store_commit(struct event_store *base, const struct commit_batch *batch, commit_done done,
                        void *context)
{
    struct mysql_store *store = mysql_of(base);
    struct mysql_commit *commit = &store->commits[store->turn];
    store->turn = 1 - store->turn;
    commit->batch = batch;
    commit->done = done;
    commit->context = context;
    commit->status = write_text(store, commit);
    store->hold.held = false;
    store->last_before = batch->before;
    store->last_after = batch->after;
    mysql_store_know(store, batch);
    mysql_committer_submit(store, commit);
}
