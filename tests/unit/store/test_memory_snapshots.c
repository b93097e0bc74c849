/* What the contract suite of snapshot stores cannot see: the bound. */
#include "support/cmocka.h"

#include <stdio.h>

#include "store/memory/memory_store.h"

static void put(struct snapshot_store *store, int aggregate, int32_t version)
{
    char id[16];
    (void)snprintf(id, sizeof id, "a%d", aggregate);
    const struct snapshot snapshot = {.aggregate_id = bytes_of_text(id),
                                      .version = version,
                                      .state = SNAPSHOT_VERIFIED,
                                      .data = BYTES_LITERAL("{}")};
    assert_status_ok(store->ops->put(store, &snapshot));
}

static bool has(struct snapshot_store *store, int aggregate, int32_t version)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    char id[16];
    (void)snprintf(id, sizeof id, "a%d", aggregate);
    struct snapshot got;
    bool found = false;
    assert_status_ok(
        store->ops->get(store, bytes_of_text(id), SNAPSHOT_PICK_EXACT, version, arena, &got, &found));
    return found;
}

static void test_the_least_recently_used_goes_first(void **state)
{
    (void)state;
    CLEANUP(snapshot_store_close_at) struct snapshot_store *store = NULL;
    assert_status_ok(memory_snapshots_open(3, &store));
    put(store, 1, 1);
    put(store, 1, 2);
    put(store, 2, 1);
    assert_true(has(store, 1, 1)); /* which makes (1, 2) the oldest in use */
    put(store, 3, 1);
    assert_false(has(store, 1, 2));
    assert_true(has(store, 1, 1));
    assert_true(has(store, 2, 1));
    assert_true(has(store, 3, 1));
    put(store, 1, 1); /* a replacement pushes nothing out */
    assert_true(has(store, 2, 1));
    struct snapshot_store_stats stats;
    assert_status_ok(store->ops->stats(store, &stats));
    assert_int_equal(stats.snapshot_count, 3);
}

/* Ever new aggregates through a small cache: neither its count nor its answers drift. */
static void test_a_bounded_cache_stays_bounded(void **state)
{
    (void)state;
    CLEANUP(snapshot_store_close_at) struct snapshot_store *store = NULL;
    assert_status_ok(memory_snapshots_open(10, &store));
    for (int i = 0; i < 20000; i++)
        put(store, i, 1);
    struct snapshot_store_stats stats;
    assert_status_ok(store->ops->stats(store, &stats));
    assert_int_equal(stats.snapshot_count, 10);
    assert_true(has(store, 19999, 1));
    assert_true(has(store, 19990, 1));
    assert_false(has(store, 19989, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_least_recently_used_goes_first),
        cmocka_unit_test(test_a_bounded_cache_stays_bounded),
    };
    return cmocka_run_group_tests_name("memory_snapshots_bound", tests, NULL, NULL);
}
