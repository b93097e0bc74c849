#include "support/cmocka.h"

#include "gateway/websocket/websocket_internal.h"

#define MASK "\1\2\3\4"

static const struct {
    const char *why, *bytes;
    size_t size_bytes, passed_bytes;
    uint16_t code;
} rows[] = {
    {"an empty text frame", "\x81\x80" MASK, 6, 6, 0},
    {"a short one and the beginning of the next", "\x81\x82" MASK "ab\x81", 9, 9, 0},
    {"no mask, no payload", "\x81\x00", 2, 1, 1002},
    {"no mask",
     "\x81\x02"
     "ab",
     4, 1, 1002},
    {"no mask in the second frame",
     "\x81\x81" MASK "a\x81\x01"
     "b",
     10, 8, 1002},
    {"no mask in a continuation",
     "\x01\x81" MASK "a\x80\x01"
     "b",
     10, 8, 1002},
    {"no mask in a ping", "\x89\x00", 2, 1, 1002},
    {"a payload that looks like a frame without mask", "\x81\x82" MASK "\x81\x02", 8, 8, 0},
    {"16-bit length", "\x81\xfe\x00\x7e" MASK, 8, 8, 0},
    {"16-bit length, too large", "\x81\xfe\x10\x01" MASK, 8, 3, 1009},
    {"64-bit length", "\x81\xff\0\0\0\0\0\0\x10\0" MASK, 14, 14, 0},
    {"64-bit length, too large", "\x81\xff\0\0\0\0\1\0\0\0" MASK, 14, 8, 1009},
    {"64-bit length with its sign", "\x81\xff\x80\0\0\0\0\0\0\1" MASK, 14, 3, 1009},
    {"a ping longer than a ping may be", "\x89\xfe\x00\x7e" MASK, 8, 1, 1002},
};

static void test_frames_are_judged_however_they_arrive(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (size_t piece = 1; piece <= rows[i].size_bytes; piece++) {
            struct ws_guard guard = {.message_max_bytes = 4096};
            uint16_t code = 0;
            size_t passed = 0;
            for (size_t at = 0; at < rows[i].size_bytes && code == 0; at += piece) {
                const size_t left = rows[i].size_bytes - at;
                passed +=
                    ws_guard_step(&guard, bytes_of(rows[i].bytes + at, left < piece ? left : piece), &code);
            }
            if (code != rows[i].code || passed != rows[i].passed_bytes)
                fail_msg("%s, in pieces of %zu: code %u after %zu bytes", rows[i].why, piece, code, passed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_frames_are_judged_however_they_arrive)};
    return cmocka_run_group_tests_name("ws_guard", tests, NULL, NULL);
}
