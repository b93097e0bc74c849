/* The cache of pages of places: what was put comes back, pages give way in order, threads may share it. */
#include <pthread.h>

#include "support/cmocka.h"

#include "store/embedded/place_cache_internal.h"

#define SETS      3
#define SET_BYTES (4 * 4096 + 256) /* a little more than a set takes */

static int64_t page_of(int64_t number)
{
    return 1 + number * PART_PAGE_PLACES;
}

static struct place place_of(int64_t page, uint32_t number)
{
    return (struct place){(uint32_t)page * 1000 + number, (uint32_t)page ^ number};
}

static void put(struct place_cache *cache, int64_t page, uint32_t count)
{
    struct place places[PART_PAGE_PLACES];
    for (uint32_t i = 0; i < count; i++)
        places[i] = place_of(page, i);
    place_cache_put(cache, page, places, count);
}

static bool has(struct place_cache *cache, int64_t page, uint32_t number)
{
    struct place got[2];
    uint32_t count = 0;
    if (!place_cache_get(cache, page, number, got, &count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct place wanted = place_of(page, number + i);
        assert_int_equal(got[i].offset, wanted.offset);
        assert_int_equal(got[i].header_crc, wanted.header_crc);
    }
    return true;
}

static void test_a_place_comes_with_the_next_unless_it_is_the_last(void **state)
{
    (void)state;
    struct place_cache *cache = place_cache_new(SETS * SET_BYTES);
    assert_non_null(cache);
    put(cache, page_of(0), PART_PAGE_PLACES);
    put(cache, page_of(1), 7);
    const struct {
        int64_t page;
        uint32_t number;
        uint32_t count;
    } cases[] = {{page_of(0), 0, 2},
                 {page_of(0), PART_PAGE_PLACES - 2, 2},
                 {page_of(0), PART_PAGE_PLACES - 1, 1},
                 {page_of(1), 5, 2},
                 {page_of(1), 6, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct place got[2];
        uint32_t count = 0;
        assert_true(has(cache, cases[i].page, cases[i].number));
        assert_true(place_cache_get(cache, cases[i].page, cases[i].number, got, &count));
        assert_int_equal(count, cases[i].count);
    }
    assert_false(has(cache, page_of(2), 0));
    place_cache_free(cache);
}

static void test_in_a_full_set_the_page_that_came_first_gives_way(void **state)
{
    (void)state;
    struct place_cache *cache = place_cache_new(1); /* one set of four pages */
    assert_non_null(cache);
    for (int64_t i = 0; i < 4; i++)
        put(cache, page_of(i), 10);
    put(cache, page_of(2), 10); /* is there already: changes nothing */
    for (int64_t i = 0; i < 4; i++)
        assert_true(has(cache, page_of(i), 3));
    put(cache, page_of(4), 10);
    assert_false(has(cache, page_of(0), 3));
    for (int64_t i = 1; i < 5; i++)
        assert_true(has(cache, page_of(i), 3));
    place_cache_free(cache);
}

static void *use(void *context)
{
    struct place_cache *cache = context;
    for (int64_t i = 0; i < 3000; i++)
        if (!has(cache, page_of(i % 17), (uint32_t)i % 100))
            put(cache, page_of(i % 17), 100);
    return NULL;
}

static void test_threads_share_it(void **state)
{
    (void)state;
    struct place_cache *cache = place_cache_new(SETS * SET_BYTES);
    assert_non_null(cache);
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, cache), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    place_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_place_comes_with_the_next_unless_it_is_the_last),
        cmocka_unit_test(test_in_a_full_set_the_page_that_came_first_gives_way),
        cmocka_unit_test(test_threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
