#include "support/cmocka.h"

#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

static void test_a_reason_brings_its_code_and_http_status(void **state)
{
    (void)state;
    const struct status status = status_reason(REASON_VERSION_CONFLICT, "expected %d, current %d", 3, 4);
    assert_int_equal(status.code, STATUS_ABORTED);
    assert_string_equal(status.message, "expected 3, current 4");
    assert_string_equal(status_reason_name(status.reason), "VERSION_CONFLICT");
    assert_int_equal(status_http(status.code, status.reason), 409);
    assert_int_equal(status_http(STATUS_ABORTED, REASON_IF_MATCH_FAILED), 412);
    assert_int_equal(status_http(STATUS_UNAVAILABLE, STATUS_REASON_NONE), 503);
    assert_int_equal(status_http((enum status_code)99, STATUS_REASON_NONE), 500);
}

/* "Not executed, ask again": without a time a client would hammer. What waiting does not heal carries none. */
static void test_a_reason_says_when_to_try_again(void **state)
{
    (void)state;
    for (int i = STATUS_REASON_NONE + 1; i < STATUS_REASON_COUNT; i++) {
        const struct status status = status_reason((enum status_reason)i, "x");
        const bool passes = status.code == STATUS_UNAVAILABLE || status.reason == REASON_RATE_LIMITED;
        if (passes != (status.retry_after_ms > 0))
            fail_msg("%s: retry after %d ms", status_reason_name(status.reason), status.retry_after_ms);
    }
    assert_int_equal(status_reason(REASON_QUEUE_FULL, "x").retry_after_ms, 50); /* queues drain fast */
    assert_int_equal(status_reason(REASON_STORE_FAILED, "x").retry_after_ms, 1000);
    assert_int_equal(status_error(STATUS_UNAVAILABLE, "x").retry_after_ms, 0);
}

static void test_names_of_reasons_are_found_again(void **state)
{
    (void)state;
    for (int i = STATUS_REASON_NONE + 1; i < STATUS_REASON_COUNT; i++) {
        const char *name = status_reason_name((enum status_reason)i);
        assert_int_equal(status_reason_from_name(name, strlen(name)), i);
    }
    assert_int_equal(status_reason_from_name("BEHINDX", 7), STATUS_REASON_NONE);
    assert_int_equal(status_reason_from_name("BEHINDX", 6), REASON_BEHIND);
    assert_int_equal(status_reason_from_name("", 0), STATUS_REASON_NONE);
}

static void test_a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    for (size_t pad = 0; pad < 8; pad++) {
        char text[2 * STATUS_MESSAGE_MAX_BYTES];
        size_t size = 0;
        for (; size < pad; size++)
            text[size] = 'x';
        for (; size + 4 < sizeof text; size += 4)
            memcpy(text + size, "\xF0\x9D\x84\x9E", 4);
        text[size] = '\0';
        const struct status status = status_error(STATUS_INTERNAL, "%s", text);
        assert_true(utf8_is_valid(bytes_of_text(status.message)));
        assert_true(strlen(status.message) > STATUS_MESSAGE_MAX_BYTES - 8);
    }
}

static void test_a_prefix_keeps_everything_else(void **state)
{
    (void)state;
    struct status status = status_reason(REASON_DAMAGED, "bad checksum");
    status.retry_after_ms = 7;
    status = status_prefix(status, "segment %d", 12);
    assert_string_equal(status.message, "segment 12: bad checksum");
    assert_int_equal(status.reason, REASON_DAMAGED);
    assert_int_equal(status.code, STATUS_DATA_LOSS);
    assert_int_equal(status.retry_after_ms, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reason_brings_its_code_and_http_status),
        cmocka_unit_test(test_a_reason_says_when_to_try_again),
        cmocka_unit_test(test_names_of_reasons_are_found_again),
        cmocka_unit_test(test_a_long_message_is_cut_between_characters),
        cmocka_unit_test(test_a_prefix_keeps_everything_else),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
