/* cmocka with the headers that it wants first, and the checks that every test needs. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/status.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define assert_status_ok(expression)                                                                         \
    do {                                                                                                     \
        const struct status assert_status_ = (expression);                                                   \
        if (assert_status_.code != STATUS_OK)                                                                \
            fail_msg("%s:%d: %s: %s %s: %s", __FILE__, __LINE__, #expression,                                \
                     status_code_name(assert_status_.code), status_reason_name(assert_status_.reason),       \
                     assert_status_.message);                                                                \
    } while (0)

#define assert_status(expression, expected_code)                                                             \
    do {                                                                                                     \
        const struct status assert_status_ = (expression);                                                   \
        if (assert_status_.code != (expected_code))                                                          \
            fail_msg("%s:%d: %s: wanted %s, got %s: %s", __FILE__, __LINE__, #expression,                    \
                     status_code_name(expected_code), status_code_name(assert_status_.code),                 \
                     assert_status_.message);                                                                \
    } while (0)

#define assert_reason(expression, expected_reason)                                                           \
    do {                                                                                                     \
        const struct status assert_status_ = (expression);                                                   \
        if (assert_status_.reason != (expected_reason))                                                      \
            fail_msg("%s:%d: %s: wanted %s, got %s %s: %s", __FILE__, __LINE__, #expression,                 \
                     status_reason_name(expected_reason), status_code_name(assert_status_.code),             \
                     status_reason_name(assert_status_.reason), assert_status_.message);                     \
    } while (0)
