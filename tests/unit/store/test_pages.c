/* Pieces of memory are zeroed, whatever they were used for before, and never given twice. */
#include <pthread.h>
#include <string.h>

#include "support/cmocka.h"

#include "store/pages.h"

#define MIB ((size_t)1024 * 1024)

static const size_t sizes[] = {1, 1000, 64 * 1024 - 1, 64 * 1024, 100 * 1000, MIB, 8 * MIB, 8 * MIB + 1};

static void assert_zeros(const uint8_t *memory, size_t size)
{
    assert_int_equal(memory[0], 0);
    assert_int_equal(memcmp(memory, memory + 1, size - 1), 0);
}

static void test_a_piece_is_zeroed_also_when_it_was_used_before(void **state)
{
    (void)state;
    for (int turn = 0; turn < 3; turn++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            uint8_t *memory = pages_new(sizes[i]);
            assert_non_null(memory);
            assert_zeros(memory, sizes[i]);
            memset(memory, 0xA5, sizes[i]);
            pages_recycle(memory, sizes[i]);
        }
    pages_recycle(NULL, MIB);
    pages_free(NULL, MIB);
    pages_free(pages_new(MIB), MIB);
    pages_trim();
}

/* Far more than is kept: the oldest give way. */
static void test_pieces_do_not_share_memory(void **state)
{
    (void)state;
    uint8_t *pieces[100];
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < 100; i++) {
            pieces[i] = pages_new(MIB);
            assert_non_null(pieces[i]);
            assert_zeros(pieces[i], MIB);
            memset(pieces[i], (int)i + 1, MIB);
        }
        for (size_t i = 0; i < 100; i++) {
            assert_int_equal(pieces[i][0], i + 1);
            assert_int_equal(memcmp(pieces[i], pieces[i] + 1, MIB - 1), 0);
            pages_recycle(pieces[i], MIB);
        }
    }
}

static void *use(void *context)
{
    const uint8_t mark = *(const uint8_t *)context;
    for (size_t i = 0; i < 200; i++) {
        const size_t size = 64 * 1024 * (1 + i % 3);
        uint8_t *memory = pages_new(size);
        if (memory == NULL || memory[0] != 0 || memcmp(memory, memory + 1, size - 1) != 0)
            return context;
        memset(memory, mark, size);
        if (memory[size - 1] != mark)
            return context;
        pages_recycle(memory, size);
    }
    return NULL;
}

static void test_threads_share_what_is_kept(void **state)
{
    (void)state;
    uint8_t marks[] = {1, 2, 3};
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, &marks[i]), 0);
    for (size_t i = 0; i < 3; i++) {
        void *wrong = NULL;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_piece_is_zeroed_also_when_it_was_used_before),
        cmocka_unit_test(test_pieces_do_not_share_memory),
        cmocka_unit_test(test_threads_share_what_is_kept),
    };
    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
