/* gRPC's bytes: frames, time-outs, percent-encoded texts, numbers. */
#include <string.h>

#include "support/cmocka.h"

#include "gateway/upstream/grpc_format_internal.h"

static void test_a_frame_is_read_back_as_it_was_made(void **state)
{
    (void)state;
    static const char *const messages[] = {"", "x", "a message"};
    struct buffer all = buffer_make(0);
    for (size_t i = 0; i < ARRAY_COUNT(messages); i++)
        grpc_frame_add(&all, bytes_of_text(messages[i]));
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_COUNT(messages); i++) {
        struct bytes message;
        const struct bytes rest = {all.data + at, all.size_bytes - at};
        assert_int_equal(grpc_frame_next(rest, &message), GRPC_FRAME_WHOLE);
        assert_true(bytes_equal(message, bytes_of_text(messages[i])));
        at += GRPC_FRAME_HEAD_BYTES + message.size_bytes;
    }
    assert_int_equal(at, all.size_bytes);
    buffer_done(&all);
}

static void test_a_part_of_a_frame_is_no_frame(void **state)
{
    (void)state;
    struct buffer frame = buffer_make(0);
    struct bytes message;
    grpc_frame_add(&frame, BYTES_LITERAL("message"));
    for (size_t size = 0; size < frame.size_bytes; size++)
        assert_int_equal(grpc_frame_next((struct bytes){frame.data, size}, &message), GRPC_FRAME_MORE);
    buffer_done(&frame);
}

static void test_what_cannot_be_taken_is_known_from_the_head(void **state)
{
    (void)state;
    struct bytes message;
    assert_int_equal(grpc_frame_next(BYTES_LITERAL("\1\0\0\0\1x"), &message), GRPC_FRAME_WRONG);
    assert_int_equal(grpc_frame_next(BYTES_LITERAL("\0\4\0\0\0"), &message),
                     GRPC_FRAME_MORE); /* the largest */
    assert_int_equal(grpc_frame_next(BYTES_LITERAL("\0\4\0\0\1"), &message), GRPC_FRAME_WRONG);
    assert_int_equal(grpc_frame_next(BYTES_LITERAL("\0\xff\xff\xff\xff"), &message), GRPC_FRAME_WRONG);
    assert_int_equal(grpc_frame_next(BYTES_LITERAL("HTTP/1.1 400"), &message), GRPC_FRAME_WRONG);
}

static void test_timeouts(void **state)
{
    (void)state;
    static const struct {
        int64_t left_us;
        const char *text;
    } rows[] = {
        {INT64_MIN, "1m"},
        {-1, "1m"},
        {0, "1m"},
        {999, "1m"},
        {1999, "1m"},
        {2000, "2m"},
        {60000000, "60000m"},
        {INT64_C(99999999000), "99999999m"},
        {INT64_MAX, "99999999m"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char text[GRPC_TIMEOUT_TEXT_BYTES];
        grpc_timeout_write(rows[i].left_us, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void test_texts_are_decoded_and_broken_ones_kept(void **state)
{
    (void)state;
    static const struct {
        const char *text, *decoded;
    } rows[] = {
        {"", ""},       {"plain", "plain"}, {"100%25", "100%"}, {"%C3%a4", "\xc3\xa4"},
        {"%", "%"},     {"%4", "%4"},       {"%zz", "%zz"},     {"%%41", "%A"},
        {"a%2", "a%2"}, {"%0", "%0"},       {"%4g%41", "%4gA"}, {"%41", "A"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buffer decoded = buffer_make(0);
        grpc_message_decode(bytes_of_text(rows[i].text), &decoded);
        if (!bytes_equal(buffer_bytes(&decoded), bytes_of_text(rows[i].decoded)))
            fail_msg("%s became %.*s", rows[i].text, BYTES_FORMAT(buffer_bytes(&decoded)));
        buffer_done(&decoded);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int number;
    } rows[] = {
        {"0", 0},           {"16", 16}, {"007", 7},  {"999999999", 999999999},
        {"1000000000", -1}, {"", -1},   {"-1", -1},  {"+1", -1},
        {" 1", -1},         {"1 ", -1}, {"0x1", -1}, {"1.0", -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        assert_int_equal(grpc_number(bytes_of_text(rows[i].text)), rows[i].number);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_is_read_back_as_it_was_made),
        cmocka_unit_test(test_a_part_of_a_frame_is_no_frame),
        cmocka_unit_test(test_what_cannot_be_taken_is_known_from_the_head),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_texts_are_decoded_and_broken_ones_kept),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
