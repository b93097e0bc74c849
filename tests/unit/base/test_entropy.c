#include "support/cmocka.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/seeded_entropy.h"

#include "base/entropy.h"

static void test_the_system_gives_no_pattern(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    const size_t sizes[] = {1, 16, 500, 512, 513, sizeof bytes};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t ones = 0;
        for (size_t total = 0; total < sizeof bytes; total += sizes[i]) {
            const size_t size = sizes[i] < sizeof bytes - total ? sizes[i] : sizeof bytes - total;
            entropy_fill(&system_entropy, bytes + total, size);
        }
        for (size_t b = 0; b < sizeof bytes; b++)
            ones += (size_t)__builtin_popcount(bytes[b]);
        /* 16384 ± 90: fifteen standard deviations never happen. */
        assert_in_range(ones, 16384 - 1400, 16384 + 1400);
    }
}

static void test_a_forked_child_gets_other_bytes(void **state)
{
    (void)state;
    uint8_t own[16];
    uint8_t childs[16];
    int ends[2];
    entropy_fill(&system_entropy, own, sizeof own); /* fills the pool */
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        entropy_fill(&system_entropy, childs, sizeof childs);
        _exit(write(ends[1], childs, sizeof childs) == (ssize_t)sizeof childs ? 0 : 1);
    }
    entropy_fill(&system_entropy, own, sizeof own);
    assert_int_equal(read(ends[0], childs, sizeof childs), sizeof childs);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_memory_not_equal(own, childs, sizeof own);
    static const uint8_t zeros[sizeof childs];
    assert_memory_not_equal(childs, zeros, sizeof childs); /* what a wiped pool would give every child */
    close(ends[0]);
    close(ends[1]);
}

static void test_a_seed_repeats(void **state)
{
    (void)state;
    struct seeded_entropy a = seeded_entropy_from(42);
    struct seeded_entropy b = seeded_entropy_from(42);
    char first[UUID_TEXT_BYTES];
    char second[UUID_TEXT_BYTES];
    for (int i = 0; i < 10; i++) {
        uuid_v7(1, &a.entropy, first);
        uuid_v7(1, &b.entropy, second);
        assert_string_equal(first, second);
    }
}

/* RFC 9562 A.6 shows the milliseconds 0x017F22E279B0. */
static void test_uuid_v7_carries_its_time(void **state)
{
    (void)state;
    char text[UUID_TEXT_BYTES];
    uuid_v7(INT64_C(1645557742000) * 1000 + 999, &system_entropy, text);
    assert_int_equal(strlen(text), 36);
    assert_memory_equal(text, "017f22e2-79b0-7ffb-", 19);
    assert_non_null(strchr("89ab", text[19]));
    uuid_v7(-5, &system_entropy, text); /* a clock before 1970 */
    assert_memory_equal(text, "00000000-0000-7000-", 19);
}

static void test_uuid_v7_grows_with_each_microsecond(void **state)
{
    (void)state;
    char former[UUID_TEXT_BYTES] = "";
    for (int64_t us = INT64_C(1645557742000000); us < INT64_C(1645557742003000); us++) {
        char text[UUID_TEXT_BYTES];
        uuid_v7(us, &system_entropy, text);
        assert_true(strcmp(former, text) < 0);
        memcpy(former, text, sizeof former);
    }
}

/* Computed by Python's uuid.uuid5(uuid.NAMESPACE_OID, …). */
static void test_uuid_v5_is_that_of_others(void **state)
{
    (void)state;
    char text[UUID_TEXT_BYTES];
    uuid_v5_oid(BYTES_LITERAL("key-1\0000"), text);
    assert_string_equal(text, "db28e83c-ec67-5ba4-a652-c6d4fccf8cd1");
    uuid_v5_oid(BYTES_NONE, text);
    assert_string_equal(text, "0a68eb57-c88a-5f34-9e9d-27f85e68af4f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_system_gives_no_pattern),
        cmocka_unit_test(test_a_forked_child_gets_other_bytes),
        cmocka_unit_test(test_a_seed_repeats),
        cmocka_unit_test(test_uuid_v7_carries_its_time),
        cmocka_unit_test(test_uuid_v7_grows_with_each_microsecond),
        cmocka_unit_test(test_uuid_v5_is_that_of_others),
    };
    return cmocka_run_group_tests_name("entropy", tests, NULL, NULL);
}
