#include "unit/store_embedded/state_bench.h"

#include "support/cmocka.h"

#include <string.h>

void state_bench_init(struct state_bench *bench, enum fault_kind kind, unsigned fail_at)
{
    memset(bench, 0, sizeof *bench);
    bench->disk = memory_files_empty();
    bench->faulty = faulty_files_over(&bench->disk.files, fail_at, kind);
    bench->faulty.lose_unsynced = memory_file_lose_unsynced;
    bench->clock = manual_clock_at_us(INT64_C(1700000000000000));
    bench->entropy = seeded_entropy_from(1);
    memset(bench->identity.uuid, 0x5a, sizeof bench->identity.uuid);
    bench->arena = arena_new(0);
    assert_non_null(bench->arena);
    static const char *const folders[] = {"main", "main/state"};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        assert_status_ok(files_mkdir(&bench->disk.files, folders[i]));
    assert_status_ok(files_sync_dir(&bench->disk.files, "."));
    assert_status_ok(files_sync_dir(&bench->disk.files, "main"));
}

void state_bench_done(struct state_bench *bench)
{
    state_bench_close(bench);
    arena_free(bench->arena);
    assert_int_equal(memory_files_open_count(&bench->disk), 0);
    memory_files_done(&bench->disk);
}

struct status state_bench_open(struct state_bench *bench, enum state_open_mode mode)
{
    return state_db_open(&bench->faulty.files, "main", &bench->identity, mode, &bench->clock.clock,
                         &bench->entropy.entropy, &bench->db);
}

void state_bench_close(struct state_bench *bench)
{
    state_db_close(bench->db);
    bench->db = NULL;
}

void state_bench_crash(struct state_bench *bench)
{
    bench->faulty.kind = FAULT_IO; /* whatever closing would still write */
    bench->faulty.sticky = true;
    bench->faulty.fail_at = 1;
    state_bench_close(bench);
    memory_files_crash_hard(&bench->disk);
    bench->faulty.fail_at = 0;
    bench->faulty.sticky = false;
}

struct snapshot state_bench_snapshot(const char *aggregate_id, const char *data)
{
    return (struct snapshot){
        .aggregate_id = bytes_of_text(aggregate_id),
        .aggregate_type = BYTES_LITERAL("user"),
        .version = 1,
        .state = SNAPSHOT_VERIFIED,
        .data = bytes_of_text(data),
    };
}

bool state_bench_same_head(const struct remembered_head *a, const struct remembered_head *b)
{
    return a->position == b->position && memcmp(&a->chain, &b->chain, sizeof a->chain) == 0 &&
           a->segment == b->segment && a->end_offset == b->end_offset && a->writer_epoch == b->writer_epoch &&
           a->clean == b->clean;
}
