/* Damage in state.db is named, by whoever meets it and by state_check(), and is never used. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"

#include "unit/store_embedded/state_bench.h"

#include "store/embedded/state_check.h"

#define PATH   "main/state/state.db"
#define STRIDE 11 /* of the sweep: a prime, so that all kinds of places in a page are met */

static const struct remembered_head head = {
    .position = 0x12345678, .chain = {"remembered chain remembered chai"}, .segment = 1, .end_offset = 5000};

/* One row of each kind, with contents that can be found in the file. */
static void fill(struct state_bench *bench)
{
    struct snapshot_store *snapshots = NULL;
    struct lease lease;
    state_bench_init(bench, FAULT_NONE, 0);
    assert_status_ok(state_bench_open(bench, STATE_CREATE));
    assert_status_ok(state_db_head_put(bench->db, &head));
    assert_status_ok(state_db_put(bench->db, BYTES_LITERAL("key"), BYTES_LITERAL("needle-value")));
    assert_status_ok(
        state_db_lease(bench->db, BYTES_LITERAL("relay"), BYTES_LITERAL("needle-holder"), 60000, &lease));
    assert_status_ok(state_db_checkpoint_put(bench->db, BYTES_LITERAL("mail"), 0x6e65656c, 0, INT32_MAX));
    assert_status_ok(state_snapshots_open(bench->db, &snapshots));
    const struct snapshot one = state_bench_snapshot("user-1", "{\"needle\":\"snapshot\"}");
    const struct snapshot two = state_bench_snapshot("user-2", "{}");
    assert_status_ok(snapshots->ops->put(snapshots, &one));
    assert_status_ok(snapshots->ops->put(snapshots, &two));
    snapshot_store_close(snapshots);
    state_bench_close(bench); /* which empties the WAL into the file */
}

/* Flips a bit of the last place where `text` stands in the file. */
static void flip(struct state_bench *bench, struct bytes text)
{
    size_t size = 0;
    uint8_t *content = memory_files_content(&bench->disk, PATH, &size);
    assert_non_null(content);
    size_t at = size - text.size_bytes;
    while (at > 0 && memcmp(content + at, text.data, text.size_bytes) != 0)
        at--;
    free(content);
    if (at == 0)
        fail_msg("\"%.*s\" is not in the file", BYTES_FORMAT(text));
    assert_true(memory_files_damage(&bench->disk, PATH, at + 1, 1));
}

static struct status check(struct state_bench *bench, struct state_check_report *report,
                           void (*on_damage)(void *context, const struct status *damage), void *context)
{
    const struct state_check_options options = {
        .store_id = "main", .identity = &bench->identity, .on_damage = on_damage, .context = context};
    return state_check(&bench->disk.files, &options, &bench->clock.clock, &bench->entropy.entropy, report);
}

static void test_a_sound_state_passes(void **state)
{
    (void)state;
    struct state_bench bench;
    struct state_check_report report;
    fill(&bench);
    assert_status_ok(check(&bench, &report, NULL, NULL));
    assert_int_equal(report.snapshot_count, 2);
    assert_int_equal(report.value_count, 1);
    assert_int_equal(report.lease_count, 1);
    assert_int_equal(report.checkpoint_count, 1);
    assert_int_equal(report.damaged_count, 0);
    bench.identity.uuid[0]++;
    assert_status(check(&bench, &report, NULL, NULL), STATUS_FAILED_PRECONDITION);
    state_bench_done(&bench);
}

static struct status get_snapshot(struct state_bench *bench, const char *aggregate_id, struct snapshot *ret)
{
    struct snapshot_store *snapshots = NULL;
    bool found = false;
    STATUS_TRY(state_snapshots_open(bench->db, &snapshots));
    const struct status status = snapshots->ops->get(snapshots, bytes_of_text(aggregate_id),
                                                     SNAPSHOT_PICK_BEST, 1, bench->arena, ret, &found);
    snapshot_store_close(snapshots);
    return status.code == STATUS_OK && !found ? status_error(STATUS_NOT_FOUND, "none") : status;
}

static bool count_row(void *context, const struct snapshot *snapshot)
{
    (void)snapshot;
    ++*(int *)context;
    return true;
}

static void collect(void *context, const struct status *damage)
{
    char *text = context;
    const size_t used = strlen(text);
    assert_int_equal(damage->reason, REASON_DAMAGED);
    (void)snprintf(text + used, 4096 - used, "%s\n", damage->message);
}

static void test_each_damaged_row_is_named_and_never_used(void **state)
{
    (void)state;
    struct state_bench bench;
    fill(&bench);
    flip(&bench, BYTES_LITERAL("{\"needle\":\"snapshot\"}"));
    flip(&bench, BYTES_LITERAL("needle-value"));
    flip(&bench, BYTES_LITERAL("needle-holder"));
    flip(&bench, BYTES_LITERAL("neel")); /* the checkpoint's position */
    flip(&bench, BYTES_LITERAL("remembered chain"));

    char named[4096] = "";
    struct state_check_report report;
    const struct status first = check(&bench, &report, collect, named);
    assert_int_equal(first.reason, REASON_DAMAGED);
    assert_int_equal(report.damaged_count, 5);
    assert_non_null(strstr(first.message, "the remembered head"));
    assert_non_null(strstr(first.message, "(and 4 more)"));
    static const char *const names[] = {"the snapshot of \"user-1\" at version 1", "the value of \"key\"",
                                        "the lease \"relay\"", "the checkpoint \"mail\""};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_non_null(strstr(named, names[i]));

    assert_status_ok(state_bench_open(&bench, STATE_EXISTING));
    struct remembered_head found;
    struct bytes value;
    struct lease lease;
    struct checkpoint checkpoint;
    struct snapshot snapshot;
    assert_reason(state_db_head_get(bench.db, &found), REASON_DAMAGED);
    assert_reason(state_db_get(bench.db, BYTES_LITERAL("key"), bench.arena, &value), REASON_DAMAGED);
    assert_reason(state_db_lease(bench.db, BYTES_LITERAL("relay"), BYTES_LITERAL("b"), 1, &lease),
                  REASON_DAMAGED); /* its epoch is not known */
    assert_reason(state_db_checkpoint_get(bench.db, BYTES_LITERAL("mail"), &checkpoint), REASON_DAMAGED);
    assert_reason(state_db_checkpoint_put(bench.db, BYTES_LITERAL("mail"), 1, 0, 9), REASON_DAMAGED);
    int64_t count = -1;
    assert_status_ok(
        state_db_checkpoints_cut(bench.db, 1, &count)); /* gives no sound checksum to a bad row */
    assert_int_equal(count, 0);
    assert_reason(get_snapshot(&bench, "user-1", &snapshot), REASON_DAMAGED);
    assert_status_ok(get_snapshot(&bench, "user-2", &snapshot));
    struct snapshot_store *snapshots = NULL;
    int rows = 0;
    assert_status_ok(state_snapshots_open(bench.db, &snapshots));
    assert_reason(snapshots->ops->list(snapshots, BYTES_NONE, BYTES_NONE, BYTES_NONE, 0, count_row, &rows),
                  REASON_DAMAGED);

    /* What the messages advise helps. */
    assert_status_ok(snapshots->ops->remove(snapshots, BYTES_LITERAL("user-1"), 1));
    assert_status_ok(state_db_put(bench.db, BYTES_LITERAL("key"), BYTES_LITERAL("anew")));
    assert_status_ok(state_db_checkpoint_remove(bench.db, BYTES_LITERAL("mail")));
    assert_status_ok(state_db_checkpoint_put(bench.db, BYTES_LITERAL("mail"), 1, 0, 9));
    snapshot_store_close(snapshots);
    state_bench_close(&bench);
    assert_reason(check(&bench, &report, NULL, NULL), REASON_DAMAGED);
    assert_int_equal(report.damaged_count, 2); /* the head and the lease */
    state_bench_done(&bench);
}

/* ---- every place ---- */

static int served; /* how often something was read that is not what was put */
static int missing;

static void compare(struct status status, bool equal)
{
    missing += status.code == STATUS_NOT_FOUND;
    served += status.code == STATUS_OK && !equal;
}

static void read_all(struct state_bench *bench)
{
    struct remembered_head found = {0};
    struct bytes value = BYTES_NONE;
    struct lease lease = {0};
    struct checkpoint checkpoint = {0};
    struct snapshot snapshot = {.version = 0};
    struct status status = state_db_head_get(bench->db, &found);
    compare(status, state_bench_same_head(&found, &head));
    status = state_db_get(bench->db, BYTES_LITERAL("key"), bench->arena, &value);
    compare(status, bytes_equal(value, BYTES_LITERAL("needle-value")));
    status = state_db_checkpoint_get(bench->db, BYTES_LITERAL("mail"), &checkpoint);
    compare(status, checkpoint.position == 0x6e65656c && checkpoint.epoch == 0);
    status = get_snapshot(bench, "user-1", &snapshot);
    compare(status, bytes_equal(snapshot.data, BYTES_LITERAL("{\"needle\":\"snapshot\"}")));
    status = get_snapshot(bench, "user-2", &snapshot);
    compare(status, bytes_equal(snapshot.aggregate_id, BYTES_LITERAL("user-2")));
    /* Renewing what is held keeps the epoch; anything else would be another lease. */
    status = state_db_lease(bench->db, BYTES_LITERAL("relay"), BYTES_LITERAL("needle-holder"), 60000, &lease);
    compare(status, lease.epoch == 1);
}

static void test_no_flipped_bit_changes_what_is_read(void **state)
{
    (void)state;
    struct state_bench sound;
    size_t size = 0;
    fill(&sound);
    uint8_t *content = memory_files_content(&sound.disk, PATH, &size);
    state_bench_done(&sound);
    int named = 0;
    for (size_t at = 0; at < size; at += STRIDE) {
        struct state_bench bench;
        struct state_check_report report;
        state_bench_init(&bench, FAULT_NONE, 0);
        struct file *file = NULL;
        assert_status_ok(files_open(&bench.disk.files, PATH, FILE_WRITE | FILE_CREATE, &file));
        content[at] ^= (uint8_t)(1U << (at % 8));
        assert_status_ok(file_write_at(file, 0, content, size));
        content[at] ^= (uint8_t)(1U << (at % 8));
        assert_status_ok(file_sync(file));
        file_close(file);
        const bool checked = check(&bench, &report, NULL, NULL).code == STATUS_OK;
        named += !checked;
        missing = 0;
        if (state_bench_open(&bench, STATE_EXISTING).code == STATUS_OK)
            read_all(&bench);
        if (served > 0 || (missing > 0 && checked))
            fail_msg("byte %zu was flipped: check %s, %d served, %d missing", at,
                     checked ? "found nothing" : "named it", served, missing);
        state_bench_done(&bench);
    }
    free(content);
    fprintf(stderr, "%d of %zu flips were named, the others lie where nothing is stored\n", named,
            size / STRIDE + 1);
    assert_in_range(named, 50, size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sound_state_passes),
        cmocka_unit_test(test_each_damaged_row_is_named_and_never_used),
        cmocka_unit_test(test_no_flipped_bit_changes_what_is_read),
    };
    return cmocka_run_group_tests_name("state_damage", tests, NULL, NULL);
}
