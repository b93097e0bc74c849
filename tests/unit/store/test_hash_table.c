#include "support/cmocka.h"

#include "unit/store/failing_memory.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/hash_table.h"

#define MANY 5000U

/* Hashes that pile up at both ends, so that walks go over the end of the slots; each comes four times. */
static uint64_t hash_of(uint32_t value)
{
    const uint32_t group = value / 4;
    return group % 2 == 0 ? UINT32_MAX - group % 64 : (uint64_t)group * UINT64_C(0x9e3779b97f4a7c15);
}

static unsigned count_found(const struct hash_table *table, uint32_t value)
{
    size_t state = 0;
    unsigned found = 0;
    for (uint32_t at = 0; (at = hash_table_next(table, hash_of(value), &state)) != HASH_NONE;)
        found += at == value;
    return found;
}

static void test_every_value_is_found_once_whatever_collides(void **state)
{
    (void)state;
    struct hash_table table = hash_table_make(1);
    assert_int_equal(count_found(&table, 0), 0);
    for (uint32_t i = 0; i < MANY; i++)
        assert_true(hash_table_add(&table, hash_of(i), i));
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(count_found(&table, i), 1);
    assert_int_equal(count_found(&table, MANY + 1), 0);
    hash_table_clear(&table);
    assert_int_equal(count_found(&table, 1), 0);
    assert_true(hash_table_add(&table, hash_of(1), 1));
    assert_int_equal(count_found(&table, 1), 1);
    hash_table_done(&table);
}

static void test_what_was_reserved_needs_no_memory(void **state)
{
    (void)state;
    struct hash_table table = hash_table_make(1);
    assert_true(hash_table_reserve(&table, MANY));
    failing_memory_from(1);
    for (uint32_t i = 0; i < MANY; i++)
        if (!hash_table_add(&table, hash_of(i), i)) {
            (void)failing_memory_stop();
            fail_msg("value %u needed memory", i);
        }
    uint32_t added = MANY; /* a few more fit; the first that does not leaves all as it was */
    while (added < 2 * MANY && hash_table_add(&table, hash_of(added), added))
        added++;
    assert_true(failing_memory_stop());
    assert_true(added < 2 * MANY);
    for (uint32_t i = 0; i < added; i++)
        assert_int_equal(count_found(&table, i), 1);
    hash_table_done(&table);
}

/* How many pages of the slots the system has given so far. */
static size_t pages_there(const struct hash_table *table)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t count = (table->capacity * sizeof *table->slots + page - 1) / page;
    unsigned char *there = calloc(count, 1);
    assert_non_null(there);
    assert_int_equal(mincore(table->slots, count * page, there), 0);
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += there[i] & 1U;
    free(there);
    return sum;
}

static void test_all_memory_of_a_table_can_be_had_ahead_in_steps(void **state)
{
    (void)state;
    struct hash_table table = hash_table_make(1);
    assert_true(hash_table_reserve(&table, 300000));
    const size_t all = table.capacity * sizeof *table.slots / (size_t)sysconf(_SC_PAGESIZE);
    size_t at = 0;
    size_t before = pages_there(&table);
    assert_true(before < all / 10);
    for (size_t steps = 0; hash_table_touch(&table, &at); steps++) {
        const size_t now = pages_there(&table);
        assert_true(now <= before + all / 10); /* a step takes a moment */
        assert_true(steps <= all);
        before = now;
    }
    assert_true(before >= all);
    for (uint32_t i = 0; i < MANY; i++)
        assert_true(hash_table_add(&table, hash_of(i), i));
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(count_found(&table, i), 1);
    hash_table_done(&table);
    at = 0;
    assert_false(hash_table_touch(&table, &at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_value_is_found_once_whatever_collides),
        cmocka_unit_test(test_what_was_reserved_needs_no_memory),
        cmocka_unit_test(test_all_memory_of_a_table_can_be_had_ahead_in_steps),
    };
    return cmocka_run_group_tests_name("hash_table", tests, NULL, NULL);
}
