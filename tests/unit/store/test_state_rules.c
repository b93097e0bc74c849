/* The rules of leases where no engine's clock can be set back. */
#include "support/cmocka.h"

#include <string.h>

#include "store/state_rules.h"

#define SECOND_US INT64_C(1000000)
#define NOW_US    (1700000000 * SECOND_US)
#define TTL_MS    10000

static struct lease_state taken_by(const char *holder)
{
    const struct lease_state never = {.holder = BYTES_NONE};
    struct lease_state taken;
    assert_status_ok(
        lease_take(&never, BYTES_LITERAL("relay"), bytes_of_text(holder), TTL_MS, NOW_US, &taken));
    return taken;
}

/* `a` holds the lease since NOW_US, for 10 s. */
static const struct {
    const char *why;
    int64_t elapsed_us;
    const char *holder;
    int64_t epoch; /* 0 = refused */
} story[] = {
    {"renewed", 5 * SECOND_US, "a", 1},
    {"renewed in the last microsecond", 10 * SECOND_US - 1, "a", 1},
    {"ended: even its holder takes it anew", 10 * SECOND_US, "a", 2},
    {"another's", 5 * SECOND_US, "b", 0},
    {"another's, in the last microsecond", 10 * SECOND_US - 1, "b", 0},
    {"free", 10 * SECOND_US, "b", 2},
    {"a clock that was set back a little prolongs it", -5 * SECOND_US, "b", 0},
    {"by its ttl at most", -10 * SECOND_US, "b", 0},
    {"behind that it has ended", -10 * SECOND_US - 1, "b", 2},
    {"also for its holder", -3600 * SECOND_US, "a", 2},
};

static void test_a_lease_ends_by_the_clock(void **state)
{
    (void)state;
    const struct lease_state stored = taken_by("a");
    for (size_t i = 0; i < ARRAY_SIZE(story); i++) {
        const int64_t now_us = NOW_US + story[i].elapsed_us;
        struct lease_state next = {.holder = BYTES_NONE};
        const struct status status = lease_take(&stored, BYTES_LITERAL("relay"),
                                                bytes_of_text(story[i].holder), TTL_MS, now_us, &next);
        const bool refused = status.code == STATUS_ABORTED;
        if (refused != (story[i].epoch == 0) || next.lease.epoch != story[i].epoch)
            fail_msg("%s: epoch %lld, \"%s\"", story[i].why, (long long)next.lease.epoch, status.message);
        if (!refused)
            assert_int_equal(next.lease.ends_at_us, now_us + TTL_MS * 1000);
    }
}

static void test_a_refusal_says_how_long_to_wait(void **state)
{
    (void)state;
    const struct lease_state stored = taken_by("a");
    struct lease_state next;
    const struct status status = lease_take(&stored, BYTES_LITERAL("relay"), BYTES_LITERAL("b"), TTL_MS,
                                            NOW_US + 3 * SECOND_US + 1, &next);
    assert_int_equal(status.retry_after_ms, 7000); /* rounded up */
    assert_string_equal(status.message, "the lease \"relay\" is held by \"a\" until "
                                        "2023-11-14T22:13:30.000000Z, epoch 1; try again after that");
}

static void test_only_the_holder_of_the_epoch_has_something_to_release(void **state)
{
    (void)state;
    struct lease_state stored = taken_by("a");
    assert_true(lease_is_held(&stored, BYTES_LITERAL("a"), 1));
    assert_false(lease_is_held(&stored, BYTES_LITERAL("b"), 1));
    assert_false(lease_is_held(&stored, BYTES_LITERAL("a"), 2));
    stored.lease.ends_at_us = 0;
    assert_false(lease_is_held(&stored, BYTES_LITERAL("a"), 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lease_ends_by_the_clock),
        cmocka_unit_test(test_a_refusal_says_how_long_to_wait),
        cmocka_unit_test(test_only_the_holder_of_the_epoch_has_something_to_release),
    };
    return cmocka_run_group_tests_name("state_rules", tests, NULL, NULL);
}
