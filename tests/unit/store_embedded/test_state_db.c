/* state.db: what shares a transaction, what a failure does to it, and what is left after a crash. */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "support/cmocka.h"

#include "unit/store_embedded/state_bench.h"

#define CALLERS   8
#define CALLS_MAX 5000U

/* ---- the connection's thread, held up until all are queued ---- */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool entered;
    bool open;
};

static struct status wait_at_gate(struct state_db *db, void *context)
{
    struct gate *gate = context;
    (void)db;
    pthread_mutex_lock(&gate->lock);
    gate->entered = true;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    return status_ok();
}

struct caller {
    struct state_bench *bench;
    struct gate *gate; /* of the first one, which holds up the others */
    pthread_t thread;
    int number;
    struct status (*call)(struct caller *caller);
    struct status status;
};

static void *run_caller(void *context)
{
    struct caller *caller = context;
    caller->status = caller->call(caller);
    return NULL;
}

static struct status call_gate(struct caller *caller)
{
    return state_run(caller->bench->db, STATE_READ, wait_at_gate, caller->gate);
}

/* All calls are waiting when the thread turns to them, and so they share one transaction. */
static void run_together(struct state_bench *bench, struct caller callers[CALLERS],
                         struct status (*call)(struct caller *caller))
{
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct caller first = {.bench = bench, .gate = &gate, .call = call_gate};
    assert_int_equal(pthread_create(&first.thread, NULL, run_caller, &first), 0);
    pthread_mutex_lock(&gate.lock);
    while (!gate.entered)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.bench = bench, .number = i, .call = call};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, run_caller, &callers[i]), 0);
        while (state_waiting_writes(bench->db) <= (unsigned)i) /* so that their order is known, too */
            sched_yield();
    }
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
    assert_int_equal(pthread_join(first.thread, NULL), 0);
}

static void open_with_thread(struct state_bench *bench, enum fault_kind kind)
{
    state_bench_init(bench, kind, 0);
    assert_status_ok(state_bench_open(bench, STATE_CREATE));
    assert_status_ok(state_db_start(bench->db));
}

static struct bytes key_of(const struct caller *caller, char text[16])
{
    (void)snprintf(text, 16, "key-%d", caller->number);
    return bytes_of_text(text);
}

static struct status call_put(struct caller *caller)
{
    char text[16];
    return state_db_put(caller->bench->db, key_of(caller, text), BYTES_LITERAL("value"));
}

static struct status value_of(struct state_bench *bench, int number)
{
    const struct caller caller = {.number = number};
    char text[16];
    struct bytes value = BYTES_NONE;
    const struct status status = state_db_get(bench->db, key_of(&caller, text), bench->arena, &value);
    if (status.code == STATUS_OK)
        assert_true(bytes_equal(value, BYTES_LITERAL("value")));
    return status;
}

static void test_calls_that_come_together_share_one_sync(void **state)
{
    (void)state;
    struct state_bench bench;
    struct caller callers[CALLERS];
    open_with_thread(&bench, FAULT_SYNC_LOST); /* which counts syncs */
    const unsigned before = bench.faulty.fit_count;
    run_together(&bench, callers, call_put);
    const unsigned syncs = bench.faulty.fit_count - before;
    assert_in_range(syncs, 1, 2); /* of the WAL, and of its name when it is new */
    for (int i = 0; i < CALLERS; i++)
        assert_status_ok(callers[i].status);
    state_bench_crash(&bench);
    assert_status_ok(state_bench_open(&bench, STATE_EXISTING));
    for (int i = 0; i < CALLERS; i++)
        assert_status_ok(value_of(&bench, i));
    state_bench_done(&bench);
}

static struct status call_put_snapshot(struct caller *caller)
{
    struct snapshot_store *snapshots = NULL;
    char text[16];
    STATUS_TRY(state_snapshots_open(caller->bench->db, &snapshots));
    (void)key_of(caller, text);
    const struct snapshot snapshot = state_bench_snapshot(text, "{}");
    const struct status status = snapshots->ops->put(snapshots, &snapshot);
    snapshot_store_close(snapshots);
    return status;
}

static int64_t snapshot_count(struct state_bench *bench)
{
    struct snapshot_store *snapshots = NULL;
    struct snapshot_store_stats stats;
    assert_status_ok(state_snapshots_open(bench->db, &snapshots));
    assert_status_ok(snapshots->ops->stats(snapshots, &stats));
    snapshot_store_close(snapshots);
    assert_int_equal(stats.size_bytes > 0, stats.snapshot_count > 0);
    return stats.snapshot_count;
}

/* Nobody may take the failed sync of another for his success; and no later success may bring the failed ones with it. */
static void test_a_failed_transaction_fails_all_its_callers_with_the_cause(void **state)
{
    (void)state;
    struct state_bench bench;
    struct caller callers[CALLERS];
    open_with_thread(&bench, FAULT_SYNC_LOST);
    assert_status_ok(state_db_put(bench.db, BYTES_LITERAL("before"), BYTES_LITERAL("value")));
    bench.faulty.fail_at = bench.faulty.fit_count + 1;
    run_together(&bench, callers, call_put_snapshot);
    for (int i = 0; i < CALLERS; i++) {
        assert_reason(callers[i].status, REASON_STORE_FAILED);
        assert_non_null(strstr(callers[i].status.message, "on purpose"));
    }
    assert_int_equal(snapshot_count(&bench), 0);
    const unsigned syncs = bench.faulty.fit_count;
    run_together(&bench, callers, call_put);
    for (int i = 0; i < CALLERS; i++) {
        assert_reason(callers[i].status, REASON_STORE_FAILED);
        assert_status(value_of(&bench, i), STATUS_NOT_FOUND); /* reading goes on */
    }
    assert_int_equal(bench.faulty.fit_count, syncs); /* no second sync that would lie */
    state_bench_crash(&bench);
    assert_status_ok(state_bench_open(&bench, STATE_EXISTING));
    struct bytes value;
    assert_status_ok(state_db_get(bench.db, BYTES_LITERAL("before"), bench.arena, &value));
    assert_int_equal(snapshot_count(&bench), 0);
    for (int i = 0; i < CALLERS; i++)
        assert_status(value_of(&bench, i), STATUS_NOT_FOUND);
    state_bench_done(&bench);
}

static struct status fail_within(struct state_db *db, void *context)
{
    (void)context;
    return state_failure(db, SQLITE_IOERR, "failing on purpose in");
}

static struct status call_put_or_fail(struct caller *caller)
{
    if (caller->number != 3)
        return call_put(caller);
    return state_run(caller->bench->db, STATE_WRITE, fail_within, NULL);
}

static void test_a_failure_amid_a_transaction_undoes_all_of_it(void **state)
{
    (void)state;
    struct state_bench bench;
    struct caller callers[CALLERS];
    open_with_thread(&bench, FAULT_NONE);
    run_together(&bench, callers, call_put_or_fail);
    for (int i = 0; i < CALLERS; i++) {
        assert_reason(callers[i].status, REASON_STORE_FAILED);
        assert_status(value_of(&bench, i), STATUS_NOT_FOUND);
    }
    run_together(&bench, callers, call_put); /* the disk is well: the next transaction succeeds */
    for (int i = 0; i < CALLERS; i++)
        assert_status_ok(value_of(&bench, i));
    state_bench_done(&bench);
}

/* Two want the lease, the others put. */
static struct status call_mixed(struct caller *caller)
{
    struct lease lease;
    if (caller->number != 2 && caller->number != 5)
        return call_put(caller);
    return state_db_lease(caller->bench->db, BYTES_LITERAL("relay"),
                          caller->number == 2 ? BYTES_LITERAL("a") : BYTES_LITERAL("b"), 60000, &lease);
}

static void test_a_refusal_is_for_its_caller_alone(void **state)
{
    (void)state;
    struct state_bench bench;
    struct caller callers[CALLERS];
    open_with_thread(&bench, FAULT_SYNC_LOST);
    run_together(&bench, callers, call_mixed);
    for (int i = 0; i < CALLERS; i++)
        assert_status(callers[i].status, i == 5 ? STATUS_ABORTED : STATUS_OK);
    assert_non_null(strstr(callers[5].status.message, "\"a\""));
    state_bench_done(&bench);
}

/* ---- a full disk ---- */

static struct status put_each_kind(struct state_bench *bench, int64_t number)
{
    struct lease lease;
    struct caller caller = {.bench = bench, .number = (int)number};
    STATUS_TRY(call_put(&caller));
    STATUS_TRY(call_put_snapshot(&caller));
    STATUS_TRY(state_db_checkpoint_put(bench->db, BYTES_LITERAL("mail"), number, 0, 100));
    return state_db_lease(bench->db, BYTES_LITERAL("relay"), BYTES_LITERAL("a"), 60000, &lease);
}

static void assert_no_space(struct status status)
{
    assert_int_equal(status.reason, REASON_STORE_UNREACHABLE);
    assert_true(status.retry_after_ms > 0);
    assert_non_null(strstr(status.message, "main/state/state.db found no space"));
    assert_non_null(strstr(status.message, "free some and try again"));
}

static void assert_takes_no_writes(struct state_bench *bench, const char *why)
{
    const struct status health = state_db_health(bench->db);
    assert_int_equal(health.code, STATUS_RESOURCE_EXHAUSTED); /* appends go on */
    assert_non_null(strstr(health.message, "state/ takes no writes"));
    assert_non_null(strstr(health.message, why));
}

static void test_a_full_disk_refuses_and_heals(void **state)
{
    (void)state;
    for (int threaded = 0; threaded < 2; threaded++) {
        struct state_bench bench;
        state_bench_init(&bench, FAULT_NO_SPACE, 0);
        assert_status_ok(state_bench_open(&bench, STATE_CREATE));
        if (threaded)
            assert_status_ok(state_db_start(bench.db));
        assert_status_ok(put_each_kind(&bench, 1));
        bench.faulty.sticky = true;
        bench.faulty.fail_at = 1;
        struct caller caller = {.bench = &bench, .number = 2};
        struct lease lease;
        struct remembered_head head = {.position = 9};
        assert_no_space(call_put(&caller));
        assert_no_space(call_put_snapshot(&caller));
        assert_no_space(state_db_checkpoint_put(bench.db, BYTES_LITERAL("mail"), 2, 0, 100));
        assert_no_space(state_db_lease(bench.db, BYTES_LITERAL("other"), BYTES_LITERAL("a"), 60000, &lease));
        assert_no_space(state_db_head_put(bench.db, &head));
        assert_takes_no_writes(&bench, "found no space");
        assert_status_ok(value_of(&bench, 1));
        assert_int_equal(snapshot_count(&bench), 1);
        bench.faulty.fail_at = 0;
        bench.faulty.sticky = false;
        assert_status_ok(put_each_kind(&bench, 3));
        assert_status_ok(state_db_health(bench.db));
        assert_status_ok(state_db_lease(bench.db, BYTES_LITERAL("other"), BYTES_LITERAL("a"), 60000, &lease));
        assert_int_equal(lease.epoch, 1); /* the refused one was not taken */
        state_bench_crash(&bench);
        assert_status_ok(state_bench_open(&bench, STATE_EXISTING));
        assert_status_ok(value_of(&bench, 3));
        assert_int_equal(snapshot_count(&bench), 2);
        assert_status(value_of(&bench, 2), STATUS_NOT_FOUND);
        state_bench_done(&bench);
    }
}

/* ---- every call fails once ---- */

/* What was promised: the highest epoch that was given, the checkpoint. */
struct promises {
    int64_t epoch;
    int64_t attempted_epoch;
    int64_t position;
    int64_t attempted_position;
};

static void check_promises(struct state_bench *bench, struct promises *promises)
{
    struct checkpoint checkpoint = {0};
    const struct status got = state_db_checkpoint_get(bench->db, BYTES_LITERAL("relay"), &checkpoint);
    assert_true(got.code == STATUS_OK || (got.code == STATUS_NOT_FOUND && promises->position == 0));
    assert_in_range(checkpoint.position, promises->position, promises->attempted_position);
    promises->position = checkpoint.position;
}

/* Each round another holder takes the lease, puts under it, lets go: the epoch grows each time. */
static void live(struct state_bench *bench, struct promises *promises)
{
    for (int i = 0; i < 4; i++) {
        const struct bytes holder = i % 2 == 0 ? BYTES_LITERAL("a") : BYTES_LITERAL("b");
        const struct bytes relay = BYTES_LITERAL("relay");
        struct lease lease = {0};
        manual_clock_advance_ms(&bench->clock, 100); /* the former lease has ended */
        promises->attempted_epoch++;
        if (state_db_lease(bench->db, relay, holder, 50, &lease).code != STATUS_OK)
            continue;
        if (lease.epoch <= promises->epoch || lease.epoch > promises->attempted_epoch)
            fail_msg("epoch %" PRId64 " was given, %" PRId64 " was given before", lease.epoch,
                     promises->epoch);
        promises->epoch = lease.epoch;
        promises->attempted_position++;
        if (state_db_checkpoint_put(bench->db, relay, promises->attempted_position, lease.epoch, 1000).code ==
            STATUS_OK)
            promises->position = promises->attempted_position;
        (void)state_db_lease_release(bench->db, relay, holder, lease.epoch).code; /* or it ends by itself */
    }
}

static void test_whatever_fails_epochs_and_checkpoints_never_go_back(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_IO, FAULT_IO_AFTER, FAULT_TORN_WRITE, FAULT_NO_SPACE,
                                            FAULT_SYNC_LOST};
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        bool hit = true;
        unsigned fail_at = 1;
        for (; hit && fail_at < CALLS_MAX; fail_at++) {
            struct state_bench bench;
            struct promises promises = {0};
            state_bench_init(&bench, kinds[k], fail_at);
            if (state_bench_open(&bench, STATE_CREATE).code == STATUS_OK)
                live(&bench, &promises);
            hit = bench.faulty.hit;
            state_bench_crash(&bench);
            assert_status_ok(state_bench_open(&bench, STATE_CREATE));
            check_promises(&bench, &promises);
            live(&bench, &promises);
            assert_int_equal(promises.position, promises.attempted_position); /* a disk that works again */
            state_bench_close(&bench);
            assert_status_ok(state_bench_open(&bench, STATE_EXISTING));
            check_promises(&bench, &promises);
            state_bench_done(&bench);
        }
        assert_in_range(fail_at, 10, CALLS_MAX - 1);
    }
}

/* ---- a state that was lost ---- */

static int64_t take_epoch(struct state_bench *bench)
{
    struct lease lease = {0};
    manual_clock_advance_ms(&bench->clock, 100); /* the former lease has ended */
    assert_status_ok(state_db_lease(bench->db, BYTES_LITERAL("relay"), BYTES_LITERAL("a"), 50, &lease));
    return lease.epoch;
}

static void lose(struct state_bench *bench)
{
    state_bench_close(bench);
    assert_status_ok(files_remove(&bench->disk.files, "main/state/state.db"));
    assert_status_ok(files_sync_dir(&bench->disk.files, "main/state"));
}

static void test_a_holder_of_before_a_loss_is_refused_after_it(void **state)
{
    (void)state;
    struct state_bench bench;
    const struct bytes relay = BYTES_LITERAL("relay");
    int64_t former = 0;
    state_bench_init(&bench, FAULT_NONE, 0);
    assert_status_ok(state_bench_open(&bench, STATE_CREATE));
    for (int round = 0; round < 3; round++) { /* lost again and again */
        for (int i = 0; i < 5; i++)
            former = take_epoch(&bench);
        assert_status_ok(state_db_checkpoint_put(bench.db, relay, 10, former, 100));
        lose(&bench);
        assert_status_ok(state_bench_open(&bench, STATE_ANEW));
        for (int i = 0; i < 2; i++) { /* also before anybody took the lease, and after a restart */
            assert_status(state_db_checkpoint_put(bench.db, relay, 11, former, 100),
                          STATUS_FAILED_PRECONDITION);
            state_bench_close(&bench);
            assert_status_ok(state_bench_open(&bench, STATE_EXISTING));
        }
        assert_status_ok(state_db_checkpoint_put(bench.db, BYTES_LITERAL("mail"), 10, 0, 100)); /* no lease */
        const int64_t next = take_epoch(&bench);
        assert_true(next > former);
        assert_status_ok(state_db_checkpoint_put(bench.db, relay, 5, next, 100));
        assert_status(state_db_checkpoint_put(bench.db, relay, 11, former, 100), STATUS_FAILED_PRECONDITION);
        assert_int_equal(take_epoch(&bench), next + 1); /* and on as ever */
    }
    state_bench_done(&bench);
}

/* A state that is not whole is no state: the operator is asked again. */
static void test_a_loss_is_accepted_whole_or_not_at_all(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_IO, FAULT_IO_AFTER, FAULT_TORN_WRITE, FAULT_NO_SPACE,
                                            FAULT_SYNC_LOST};
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        bool hit = true;
        unsigned fail_at = 1;
        for (; hit && fail_at < CALLS_MAX; fail_at++) {
            struct state_bench bench;
            state_bench_init(&bench, kinds[k], 0);
            assert_status_ok(state_bench_open(&bench, STATE_CREATE));
            const int64_t former = take_epoch(&bench);
            lose(&bench);
            bench.faulty.fail_at = bench.faulty.fit_count + fail_at;
            const struct status accepted = state_bench_open(&bench, STATE_ANEW);
            hit = bench.faulty.hit;
            state_bench_crash(&bench);
            const struct status found = state_bench_open(&bench, STATE_EXISTING);
            if (accepted.code == STATUS_OK || found.code != STATUS_NOT_FOUND)
                assert_status_ok(found);
            if (found.code == STATUS_NOT_FOUND)
                assert_status_ok(state_bench_open(&bench, STATE_ANEW));
            assert_true(take_epoch(&bench) > former);
            state_bench_done(&bench);
        }
        assert_in_range(fail_at, 3, CALLS_MAX - 1);
    }
}

/* ---- checkpoints ahead of the history; the former format ---- */

static void test_checkpoints_beyond_the_head_are_set_back(void **state)
{
    (void)state;
    struct state_bench bench;
    state_bench_init(&bench, FAULT_NONE, 0);
    assert_status_ok(state_bench_open(&bench, STATE_CREATE));
    assert_status_ok(state_db_checkpoint_put(bench.db, BYTES_LITERAL("a"), 10, 0, 10));
    assert_status_ok(state_db_checkpoint_put(bench.db, BYTES_LITERAL("b"), 9, 4, 10));
    assert_status_ok(state_db_checkpoint_put(bench.db, BYTES_LITERAL("c"), 7, 0, 10));
    int64_t count = -1;
    assert_status_ok(state_db_checkpoints_cut(bench.db, 10, &count));
    assert_int_equal(count, 0);
    assert_status_ok(state_db_checkpoints_cut(bench.db, 8, &count));
    assert_int_equal(count, 2);
    const int64_t expected[] = {8, 8, 7};
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        struct checkpoint checkpoint;
        assert_status_ok(state_db_checkpoint_get(bench.db, bytes_of("abc" + i, 1), &checkpoint));
        assert_int_equal(checkpoint.position, expected[i]);
        assert_int_equal(checkpoint.epoch, i == 1 ? 4 : 0);
    }
    state_bench_done(&bench);
}

static const char to_format_1[] =
    "BEGIN; DROP TABLE lease; DROP TABLE checkpoint; ALTER TABLE value DROP COLUMN crc;"
    "ALTER TABLE head DROP COLUMN crc; PRAGMA user_version = 1; COMMIT";

static void test_the_former_format_is_brought_up_to_date(void **state)
{
    (void)state;
    struct state_bench bench;
    state_bench_init(&bench, FAULT_NONE, 0);
    assert_status_ok(state_bench_open(&bench, STATE_CREATE));
    const struct remembered_head head = {.position = 7, .segment = 1, .end_offset = 4096, .clean = true};
    assert_status_ok(state_db_head_put(bench.db, &head));
    assert_status_ok(state_db_put(bench.db, BYTES_LITERAL("key-1"), BYTES_LITERAL("value")));
    assert_status_ok(state_execute(bench.db, to_format_1, "making an old one of"));
    state_bench_close(&bench);
    const struct status refused = state_bench_open(&bench, STATE_READ_ONLY);
    assert_int_equal(refused.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(refused.message, "format version 1"));
    for (int i = 0; i < 2; i++) {
        assert_status_ok(state_bench_open(&bench, STATE_EXISTING));
        struct remembered_head found;
        assert_status_ok(state_db_head_get(bench.db, &found));
        assert_true(state_bench_same_head(&found, &head));
        assert_status_ok(value_of(&bench, 1));
        assert_status_ok(put_each_kind(&bench, 2 + i));
        state_bench_close(&bench);
    }
    state_bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_that_come_together_share_one_sync),
        cmocka_unit_test(test_a_failed_transaction_fails_all_its_callers_with_the_cause),
        cmocka_unit_test(test_a_failure_amid_a_transaction_undoes_all_of_it),
        cmocka_unit_test(test_a_refusal_is_for_its_caller_alone),
        cmocka_unit_test(test_a_full_disk_refuses_and_heals),
        cmocka_unit_test(test_whatever_fails_epochs_and_checkpoints_never_go_back),
        cmocka_unit_test(test_a_holder_of_before_a_loss_is_refused_after_it),
        cmocka_unit_test(test_a_loss_is_accepted_whole_or_not_at_all),
        cmocka_unit_test(test_checkpoints_beyond_the_head_are_set_back),
        cmocka_unit_test(test_the_former_format_is_brought_up_to_date),
    };
    return cmocka_run_group_tests_name("state_db", tests, NULL, NULL);
}
