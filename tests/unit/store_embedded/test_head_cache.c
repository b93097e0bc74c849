/* The cache of heads: what an entry says, as of when it says it, and what gives way. */
#include <stdio.h>
#include <string.h>

#include "support/cmocka.h"

#include "store/embedded/head_cache_internal.h"

/* Of the test's own making: a real one spreads better, which is of no concern here. */
static uint64_t hash_of(const char *id)
{
    uint64_t hash = 14695981039346656037U;
    for (; *id != '\0'; id++)
        hash = (hash ^ (uint8_t)*id) * 1099511628211U;
    return hash;
}

static void stage(struct head_cache *cache, const char *id, int32_t version, int64_t position)
{
    struct event_fields fields;
    memset(&fields, 0, sizeof fields);
    fields.aggregate_id = bytes_of_text(id);
    fields.aggregate_type = BYTES_LITERAL("order");
    fields.version = version;
    fields.position = position;
    head_cache_stage(cache, hash_of(id), &fields);
}

static void commit(struct head_cache *cache, const char *id, int32_t version, int64_t position)
{
    head_cache_settle(cache, position - 1);
    head_cache_stage_begin(cache, position - 1, position);
    stage(cache, id, version, position);
    head_cache_settle(cache, position);
}

static void assert_head(struct head_cache *cache, const char *id, int32_t version, int64_t position,
                        int64_t as_of)
{
    struct aggregate_head head;
    int64_t got = 0;
    if (!head_cache_get(cache, bytes_of_text(id), hash_of(id), &head, &got))
        fail_msg("%s is not there", id);
    assert_true(head.exists);
    assert_int_equal(head.version, version);
    assert_int_equal(head.position, position);
    assert_int_equal(got, as_of);
    assert_true(bytes_equal(head.type, BYTES_LITERAL("order")));
}

static bool has(struct head_cache *cache, const char *id)
{
    struct aggregate_head head;
    int64_t as_of = 0;
    return head_cache_get(cache, bytes_of_text(id), hash_of(id), &head, &as_of);
}

static void test_entries_stay_as_new_as_the_last_commit(void **state)
{
    (void)state;
    struct head_cache *cache = head_cache_new(64 * 1024);
    assert_non_null(cache);
    commit(cache, "a", 1, 1);
    commit(cache, "b", 1, 2);
    assert_head(cache, "a", 1, 1, 2);
    commit(cache, "a", 2, 3);
    assert_head(cache, "a", 2, 3, 3);
    assert_head(cache, "b", 1, 2, 3);
    head_cache_free(cache);
}

static void test_a_commit_that_failed_leaves_nothing(void **state)
{
    (void)state;
    struct head_cache *cache = head_cache_new(64 * 1024);
    assert_non_null(cache);
    commit(cache, "a", 1, 1);
    head_cache_stage_begin(cache, 1, 2);
    stage(cache, "a", 2, 2);
    head_cache_settle(cache, 1); /* the store's head has not come so far */
    assert_head(cache, "a", 1, 1, 1);
    commit(cache, "b", 1, 2);
    assert_head(cache, "a", 1, 1, 2);
    head_cache_free(cache);
}

/* What a commit without entries had changed nobody knows: entries from before say no more than they said. */
static void test_a_gap_makes_older_entries_old(void **state)
{
    (void)state;
    struct head_cache *cache = head_cache_new(64 * 1024);
    assert_non_null(cache);
    commit(cache, "a", 1, 1);
    commit(cache, "b", 1, 2);
    commit(cache, "c", 1, 5); /* positions 3 and 4 were not staged */
    assert_head(cache, "a", 1, 1, 1);
    assert_head(cache, "b", 1, 2, 2);
    commit(cache, "d", 1, 6);
    assert_head(cache, "a", 1, 1, 1);
    assert_head(cache, "c", 1, 5, 6);
    const struct aggregate_head found = {
        .exists = true, .type = BYTES_LITERAL("order"), .version = 2, .position = 4};
    head_cache_put(cache, BYTES_LITERAL("a"), hash_of("a"), &found, 6);
    commit(cache, "d", 2, 7);
    assert_head(cache, "a", 2, 4, 7);
    head_cache_free(cache);
}

static void test_a_head_that_was_found_is_as_old_as_it_says(void **state)
{
    (void)state;
    struct head_cache *cache = head_cache_new(64 * 1024);
    assert_non_null(cache);
    const struct aggregate_head found = {
        .exists = true, .type = BYTES_LITERAL("order"), .version = 7, .position = 9};
    head_cache_put(cache, BYTES_LITERAL("a"), hash_of("a"), &found, 12);
    assert_head(cache, "a", 7, 9, 12);
    commit(cache, "b", 1, 20); /* behind commits of which the cache has not heard */
    assert_head(cache, "a", 7, 9, 12);
    head_cache_free(cache);
}

/* Who goes round through a few more aggregates than there is room for still finds most of them. */
static void test_a_full_set_forgets_only_some(void **state)
{
    (void)state;
    struct head_cache *cache = head_cache_new(1); /* one set of 15 */
    assert_non_null(cache);
    int found = 0;
    int64_t position = 0;
    for (int round = 0; round < 50; round++)
        for (int i = 0; i < 18; i++) {
            char id[16];
            (void)snprintf(id, sizeof id, "aggregate-%d", i);
            found += round > 0 && has(cache, id);
            position++;
            commit(cache, id, round + 1, position);
            assert_head(cache, id, round + 1, position, position);
        }
    assert_in_range(found, 49 * 18 / 2, 49 * 18 - 1);
    head_cache_free(cache);
}

static void test_what_does_not_fit_is_not_kept(void **state)
{
    (void)state;
    struct head_cache *cache = head_cache_new(64 * 1024);
    assert_non_null(cache);
    char text[46];
    memset(text, 'x', sizeof text - 1);
    text[45] = '\0';
    commit(cache, text, 1, 1);
    assert_false(has(cache, text));
    text[44] = '\0';
    commit(cache, text, 1, 2);
    assert_head(cache, text, 1, 2, 2);
    head_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_stay_as_new_as_the_last_commit),
        cmocka_unit_test(test_a_commit_that_failed_leaves_nothing),
        cmocka_unit_test(test_a_gap_makes_older_entries_old),
        cmocka_unit_test(test_a_head_that_was_found_is_as_old_as_it_says),
        cmocka_unit_test(test_a_full_set_forgets_only_some),
        cmocka_unit_test(test_what_does_not_fit_is_not_kept),
    };
    return cmocka_run_group_tests_name("head cache", tests, NULL, NULL);
}
