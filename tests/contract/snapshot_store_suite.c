#include "contract/snapshot_store_suite.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/seeded_entropy.h"

struct fixture {
    const struct snapshot_store_kind *kind;
    struct snapshot_store *store;
    struct arena *arena;
};

static int open_store(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->kind = *state;
    fixture->store = fixture->kind->open(fixture->kind->context);
    fixture->arena = arena_new(0);
    assert_non_null(fixture->arena);
    *state = fixture;
    return 0;
}

static int close_store(void **state)
{
    struct fixture *fixture = *state;
    fixture->kind->close(fixture->kind->context, fixture->store);
    arena_free(fixture->arena);
    free(fixture);
    return 0;
}

static struct snapshot sample(const char *aggregate_id, int32_t version, enum snapshot_state state)
{
    static const uint8_t digest[SHA256_BYTES] = {1, 2, 3};
    const bool pending = state == SNAPSHOT_PENDING;
    return (struct snapshot){
        .aggregate_id = bytes_of_text(aggregate_id),
        .aggregate_type = bytes_of_text(aggregate_id[0] == 'u' ? "user" : "order"),
        .version = version,
        .state = state,
        .created_at_us = 1700000000000000 + version,
        .position = pending ? 0 : 100 + version,
        .event_digest = pending ? BYTES_NONE : bytes_of(digest, sizeof digest),
        .reducer_version = 3,
        .data = BYTES_LITERAL("{\"email\":\"john@example.com\"}"),
        .metadata = BYTES_LITERAL("{}"),
        .folded = state == SNAPSHOT_VERIFIED ? BYTES_LITERAL("folded\0bytes") : BYTES_NONE,
    };
}

static void put(struct fixture *fixture, const char *aggregate_id, int32_t version, enum snapshot_state state)
{
    const struct snapshot snapshot = sample(aggregate_id, version, state);
    assert_status_ok(fixture->store->ops->put(fixture->store, &snapshot));
}

static bool get(struct fixture *fixture, const char *aggregate_id, enum snapshot_pick pick, int32_t version,
                struct snapshot *ret)
{
    bool found = false;
    assert_status_ok(fixture->store->ops->get(fixture->store, bytes_of_text(aggregate_id), pick, version,
                                              fixture->arena, ret, &found));
    return found;
}

static void assert_same(const struct snapshot *got, const struct snapshot *expected)
{
    assert_true(bytes_equal(got->aggregate_id, expected->aggregate_id));
    assert_true(bytes_equal(got->aggregate_type, expected->aggregate_type));
    assert_int_equal(got->version, expected->version);
    assert_int_equal(got->state, expected->state);
    assert_int_equal(got->created_at_us, expected->created_at_us);
    assert_int_equal(got->position, expected->position);
    assert_true(bytes_equal(got->event_digest, expected->event_digest));
    assert_int_equal(got->reducer_version, expected->reducer_version);
    assert_true(bytes_equal(got->data, expected->data));
    assert_true(bytes_equal(got->metadata, expected->metadata));
    assert_true(bytes_equal(got->folded, expected->folded));
}

static void test_what_is_put_is_got(void **state)
{
    struct fixture *fixture = *state;
    const enum snapshot_state states[] = {SNAPSHOT_VERIFIED, SNAPSHOT_PENDING, SNAPSHOT_DIVERGENT};
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        put(fixture, "user-1", (int32_t)i, states[i]);
        struct snapshot got;
        assert_true(get(fixture, "user-1", SNAPSHOT_PICK_EXACT, (int32_t)i, &got));
        const struct snapshot expected = sample("user-1", (int32_t)i, states[i]);
        assert_same(&got, &expected);
    }
}

static void test_a_snapshot_outlives_what_it_was_made_of(void **state)
{
    struct fixture *fixture = *state;
    char text[] = "{\"a\":1}";
    struct snapshot snapshot = sample("user-1", 1, SNAPSHOT_VERIFIED);
    snapshot.data = bytes_of_text(text);
    assert_status_ok(fixture->store->ops->put(fixture->store, &snapshot));
    memset(text, 'x', sizeof text);
    struct snapshot got;
    assert_true(get(fixture, "user-1", SNAPSHOT_PICK_EXACT, 1, &got));
    assert_status_ok(fixture->store->ops->remove(fixture->store, BYTES_LITERAL("user-1"), 1));
    assert_true(bytes_equal(got.data, BYTES_LITERAL("{\"a\":1}")));
}

/* Stored: 2 VERIFIED, 5 VERIFIED, 7 DIVERGENT, 9 PENDING. */
static const struct {
    const char *why;
    enum snapshot_pick pick;
    int32_t version;
    int32_t found; /* -1 = none */
} picks[] = {
    {"exact names one", SNAPSHOT_PICK_EXACT, 5, 5},
    {"exact takes no neighbour", SNAPSHOT_PICK_EXACT, 6, -1},
    {"exact shows a pending one", SNAPSHOT_PICK_EXACT, 9, 9},
    {"best below the first is none", SNAPSHOT_PICK_BEST, 1, -1},
    {"best includes its bound", SNAPSHOT_PICK_BEST, 2, 2},
    {"best is the highest below", SNAPSHOT_PICK_BEST, 4, 2},
    {"best passes over divergent and pending ones", SNAPSHOT_PICK_BEST, INT32_MAX, 5},
    {"latest takes any state", SNAPSHOT_PICK_LATEST, INT32_MAX, 9},
    {"latest includes its bound", SNAPSHOT_PICK_LATEST, 7, 7},
    {"latest keeps below its bound", SNAPSHOT_PICK_LATEST, 6, 5},
    {"latest below the first is none", SNAPSHOT_PICK_LATEST, 1, -1},
};

static void test_the_right_one_is_picked(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "user-1", 9, SNAPSHOT_PENDING);
    put(fixture, "user-1", 2, SNAPSHOT_VERIFIED);
    put(fixture, "user-1", 7, SNAPSHOT_DIVERGENT);
    put(fixture, "user-1", 5, SNAPSHOT_VERIFIED);
    put(fixture, "user-2", 6, SNAPSHOT_VERIFIED); /* a neighbour's */
    for (size_t i = 0; i < ARRAY_SIZE(picks); i++) {
        struct snapshot got = {.version = -1};
        const bool found = get(fixture, "user-1", picks[i].pick, picks[i].version, &got);
        if (found != (picks[i].found >= 0) || (found && got.version != picks[i].found))
            fail_msg("%s: version %d", picks[i].why, found ? got.version : -1);
    }
    struct snapshot none;
    assert_false(get(fixture, "unknown", SNAPSHOT_PICK_LATEST, INT32_MAX, &none));
}

static void test_a_second_put_replaces_the_first(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "user-1", 4, SNAPSHOT_PENDING);
    put(fixture, "user-1", 4, SNAPSHOT_VERIFIED);
    struct snapshot got;
    assert_true(get(fixture, "user-1", SNAPSHOT_PICK_EXACT, 4, &got));
    assert_int_equal(got.state, SNAPSHOT_VERIFIED);
    struct snapshot_store_stats stats = {0};
    assert_status_ok(fixture->store->ops->stats(fixture->store, &stats));
    assert_int_equal(stats.snapshot_count, 1);
}

static void test_a_removed_one_is_gone(void **state)
{
    struct fixture *fixture = *state;
    struct snapshot_store *store = fixture->store;
    put(fixture, "user-1", 1, SNAPSHOT_VERIFIED);
    put(fixture, "user-1", 2, SNAPSHOT_VERIFIED);
    assert_status_ok(store->ops->remove(store, BYTES_LITERAL("user-1"), 2));
    struct snapshot got;
    assert_true(get(fixture, "user-1", SNAPSHOT_PICK_BEST, INT32_MAX, &got));
    assert_int_equal(got.version, 1);
    assert_status_ok(store->ops->remove(store, BYTES_LITERAL("user-1"), 2)); /* again: not an error */
    assert_status_ok(store->ops->remove(store, BYTES_LITERAL("unknown"), 1));
    struct snapshot_store_stats stats = {0};
    assert_status_ok(store->ops->stats(store, &stats));
    assert_int_equal(stats.snapshot_count, 1);
    assert_true(stats.size_bytes > 0);
    assert_non_null(stats.engine);
}

#define LIST_AGGREGATES 40
#define LIST_VERSIONS   3

struct listed {
    char last_id[32];
    int32_t last_version;
    const char *id;   /* NULL = any */
    const char *type; /* NULL = any */
    size_t count;
    size_t most;
};

static bool list_one(void *context, const struct snapshot *snapshot)
{
    struct listed *listed = context;
    const int order = bytes_compare(bytes_of_text(listed->last_id), snapshot->aggregate_id);
    assert_true(order < 0 || (order == 0 && listed->last_version < snapshot->version));
    if (listed->id != NULL)
        assert_true(bytes_equal(snapshot->aggregate_id, bytes_of_text(listed->id)));
    if (listed->type != NULL)
        assert_true(bytes_equal(snapshot->aggregate_type, bytes_of_text(listed->type)));
    char id[32];
    (void)snprintf(id, sizeof id, "%.*s", BYTES_FORMAT(snapshot->aggregate_id));
    const struct snapshot expected = sample(id, snapshot->version, SNAPSHOT_VERIFIED);
    assert_same(snapshot, &expected);
    (void)snprintf(listed->last_id, sizeof listed->last_id, "%s", id);
    listed->last_version = snapshot->version;
    listed->count++;
    return listed->count < listed->most;
}

/* `stride` has no divisor in common with LIST_AGGREGATES: another order of arrival, the same snapshots. */
static void fill(struct fixture *fixture, int stride)
{
    for (int n = 0; n < LIST_AGGREGATES; n++) {
        const int i = n * stride % LIST_AGGREGATES;
        char id[32];
        (void)snprintf(id, sizeof id, "%s-%d", i % 4 == 0 ? "order" : "user", i);
        for (int32_t version = LIST_VERSIONS; version >= 1; version--)
            put(fixture, id, version, SNAPSHOT_VERIFIED);
    }
}

static size_t list(struct fixture *fixture, struct listed *listed)
{
    char after_id[32];
    (void)snprintf(after_id, sizeof after_id, "%s", listed->last_id);
    assert_status_ok(fixture->store->ops->list(fixture->store, bytes_of_text(listed->id),
                                               bytes_of_text(listed->type), bytes_of_text(after_id),
                                               listed->last_version, list_one, listed));
    return listed->count;
}

static void test_a_list_is_ordered_filtered_and_can_be_continued(void **state)
{
    struct fixture *fixture = *state;
    static const int strides[] = {7, 11, 13, 17, 39, 1};
    struct listed all;
    for (size_t i = 0; i < ARRAY_SIZE(strides); i++) {
        fill(fixture, strides[i]);
        all = (struct listed){.most = SIZE_MAX};
        assert_int_equal(list(fixture, &all), LIST_AGGREGATES * LIST_VERSIONS);
    }

    struct listed pages = {0};
    while (pages.count < all.count) {
        const size_t before = pages.count;
        pages.most = before + 7;
        assert_true(list(fixture, &pages) > before); /* list_one checks that nothing comes twice */
    }
    assert_int_equal(pages.count, all.count);
    assert_int_equal(list(fixture, &pages), all.count); /* nothing behind the last */

    struct listed orders = {.type = "order", .most = SIZE_MAX};
    assert_int_equal(list(fixture, &orders), LIST_AGGREGATES / 4 * LIST_VERSIONS);
    struct listed one = {.id = "user-7", .most = SIZE_MAX};
    assert_int_equal(list(fixture, &one), LIST_VERSIONS);
    struct listed none = {.id = "user-7", .type = "order", .most = SIZE_MAX};
    assert_int_equal(list(fixture, &none), 0);
}

static bool count_one(void *context, const struct snapshot *snapshot)
{
    struct snapshot_store_stats *counted = context;
    counted->snapshot_count++;
    counted->size_bytes += (int64_t)(snapshot->data.size_bytes + snapshot->folded.size_bytes);
    return true;
}

/* Counts are kept, not made when asked for: they must be those of a walk over all, whatever came before. */
static void assert_counts(struct fixture *fixture, int64_t *ret_overhead_bytes)
{
    struct snapshot_store_stats kept = {0};
    struct snapshot_store_stats counted = {0};
    assert_status_ok(fixture->store->ops->stats(fixture->store, &kept));
    assert_status_ok(fixture->store->ops->list(fixture->store, BYTES_NONE, BYTES_NONE, BYTES_NONE, 0,
                                               count_one, &counted));
    assert_int_equal(kept.snapshot_count, counted.snapshot_count);
    *ret_overhead_bytes = kept.size_bytes - counted.size_bytes;
}

static void test_kept_counts_are_exact_after_random_work(void **state)
{
    struct fixture *fixture = *state;
    static char text[2000];
    memset(text, 'x', sizeof text);
    uint64_t random = 4;
    int64_t overhead_bytes = 0;
    for (int i = 0; i < 200; i++) {
        const int32_t version = (int32_t)random_below(&random, 6);
        char id[16];
        (void)snprintf(id, sizeof id, "user-%d", (int)random_below(&random, 4));
        struct snapshot snapshot = sample(id, version, (enum snapshot_state)(1 + random_below(&random, 3)));
        snapshot.data = bytes_of(text, random_below(&random, sizeof text));
        if (random_below(&random, 3) == 0)
            assert_status_ok(fixture->store->ops->remove(fixture->store, bytes_of_text(id), version));
        else
            assert_status_ok(fixture->store->ops->put(fixture->store, &snapshot));
        if (i % 40 == 39)
            assert_counts(fixture, &overhead_bytes);
    }
    if (fixture->kind->reopen != NULL) {
        int64_t again_bytes = 0;
        fixture->store = fixture->kind->reopen(fixture->kind->context, fixture->store);
        assert_counts(fixture, &again_bytes);
        assert_int_equal(again_bytes, overhead_bytes); /* kept bytes equal those that opening has counted */
    }
    for (int i = 0; i < 4; i++)
        for (int32_t version = 0; version < 6; version++) {
            char id[16];
            (void)snprintf(id, sizeof id, "user-%d", i);
            assert_status_ok(fixture->store->ops->remove(fixture->store, bytes_of_text(id), version));
        }
    assert_counts(fixture, &overhead_bytes);
    assert_int_equal(overhead_bytes, 0);
}

static void test_all_is_there_after_opening_again(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->kind->reopen == NULL)
        skip();
    fill(fixture, 7);
    put(fixture, "zebra", 10, SNAPSHOT_PENDING);
    fixture->store = fixture->kind->reopen(fixture->kind->context, fixture->store);
    struct snapshot got;
    assert_true(get(fixture, "zebra", SNAPSHOT_PICK_LATEST, INT32_MAX, &got));
    const struct snapshot expected = sample("zebra", 10, SNAPSHOT_PENDING);
    assert_same(&got, &expected);
    assert_status_ok(fixture->store->ops->remove(fixture->store, BYTES_LITERAL("zebra"), 10));
    struct listed all = {.most = SIZE_MAX};
    assert_int_equal(list(fixture, &all), LIST_AGGREGATES * LIST_VERSIONS);
}

int snapshot_store_suite_run(const struct snapshot_store_kind *kind)
{
    void *initial = (void *)(uintptr_t)kind; /* cmocka hands it on and writes nothing to it */
#define TEST(function) cmocka_unit_test_prestate_setup_teardown(function, open_store, close_store, initial)
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_put_is_got),
        TEST(test_a_snapshot_outlives_what_it_was_made_of),
        TEST(test_the_right_one_is_picked),
        TEST(test_a_second_put_replaces_the_first),
        TEST(test_a_removed_one_is_gone),
        TEST(test_a_list_is_ordered_filtered_and_can_be_continued),
        TEST(test_kept_counts_are_exact_after_random_work),
        TEST(test_all_is_there_after_opening_again),
    };
#undef TEST
    return cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
}
