/*
 * A state.db over a disk in memory on which a call can be made to fail, for the tests of state/.
 *
 * Threads  As state_db_internal.h.
 */
#pragma once

#include "support/faulty_files.h"
#include "support/manual_clock.h"
#include "support/memory_files.h"
#include "support/seeded_entropy.h"

#include "store/embedded/state_db_internal.h"

struct state_bench {
    struct memory_files disk;
    struct faulty_files faulty;
    struct manual_clock clock;
    struct seeded_entropy entropy;
    struct store_identity identity;
    struct arena *arena;
    struct state_db *db; /* NULL = closed */
};

/* The folders are there, the database is not. */
void state_bench_init(struct state_bench *bench, enum fault_kind kind, unsigned fail_at);
void state_bench_done(struct state_bench *bench); /* fails the test when a handle leaks */
struct status state_bench_open(struct state_bench *bench, enum state_open_mode mode);
void state_bench_close(struct state_bench *bench);
/* kill -9, then power loss: what is not synced is gone. The faults are over. */
void state_bench_crash(struct state_bench *bench);

/* A snapshot of `aggregate_id` at version 1 with `data`. */
struct snapshot state_bench_snapshot(const char *aggregate_id, const char *data);
bool state_bench_same_head(const struct remembered_head *a, const struct remembered_head *b);
