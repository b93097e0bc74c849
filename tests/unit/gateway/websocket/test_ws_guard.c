#include "support/cmocka.h"

#include "base/text.h"
#include "gateway/websocket/websocket_internal.h"

#define MASK        "\1\2\3\4"
#define PLAIN       "\0\0\0\0" /* a mask that leaves the payload readable */
#define BYTES(text) text, sizeof(text) - 1
#define MAX_BYTES   4096U

static const struct {
    const char *why, *bytes;
    size_t size_bytes, passed_bytes;
    uint16_t code;
} rows[] = {
    {"an empty text frame", BYTES("\x81\x80" MASK), 6, 0},
    {"a short one and the beginning of the next", BYTES("\x81\x82" MASK "ab\x81"), 9, 0},
    {"no mask, no payload", BYTES("\x81\x00"), 1, 1002},
    {"no mask",
     BYTES("\x81\x02"
           "ab"),
     1, 1002},
    {"no mask in the second frame",
     BYTES("\x81\x81" MASK "a\x81\x01"
           "b"),
     8, 1002},
    {"no mask in a continuation",
     BYTES("\x01\x81" MASK "a\x80\x01"
           "b"),
     8, 1002},
    {"no mask in a ping", BYTES("\x89\x00"), 1, 1002},
    {"a payload that looks like a frame without mask", BYTES("\x81\x82" PLAIN "\x01\x02"), 8, 0},
    {"the first reserved bit", BYTES("\xc1\x80" MASK), 0, 1002},
    {"the second reserved bit", BYTES("\xa1\x80" MASK), 0, 1002},
    {"the third reserved bit", BYTES("\x91\x80" MASK), 0, 1002},
    {"a reserved bit of a ping", BYTES("\xc9\x80" MASK), 0, 1002},
    {"the least unknown data frame", BYTES("\x83\x80" MASK), 0, 1002},
    {"the greatest unknown data frame", BYTES("\x87\x80" MASK), 0, 1002},
    {"the least unknown control frame", BYTES("\x8b\x80" MASK), 0, 1002},
    {"the greatest unknown control frame", BYTES("\x8f\x80" MASK), 0, 1002},
    {"binary", BYTES("\x82\x80" MASK), 0, 1003},
    {"a continuation of nothing", BYTES("\x80\x80" MASK), 0, 1002},
    {"a continuation of a message that has ended", BYTES("\x01\x80" MASK "\x80\x80" MASK "\x80\x80" MASK), 12,
     1002},
    {"a message in a message", BYTES("\x01\x80" MASK "\x81\x80" MASK), 6, 1002},
    {"a ping in a message", BYTES("\x01\x80" MASK "\x89\x80" MASK "\x80\x80" MASK), 18, 0},
    {"a fragmented ping", BYTES("\x09\x80" MASK), 0, 1002},
    {"a fragmented close", BYTES("\x08\x80" MASK), 0, 1002},
    {"16-bit length", BYTES("\x81\xfe\x00\x7e" MASK), 8, 0},
    {"16-bit length, too large", BYTES("\x81\xfe\x10\x01" MASK), 3, 1009},
    {"64-bit length", BYTES("\x81\xff\0\0\0\0\0\0\x10\0" MASK), 14, 0},
    {"64-bit length, too large", BYTES("\x81\xff\0\0\0\0\1\0\0\0" MASK), 8, 1009},
    {"64-bit length with its sign", BYTES("\x81\xff\x80\0\0\0\0\0\0\1" MASK), 3, 1009},
    {"a ping longer than a ping may be", BYTES("\x89\xfe\x00\x7e" MASK), 1, 1002},
    {"a close longer than a close may be", BYTES("\x88\xfe\x00\x7e" MASK), 1, 1002},
    {"a close without code", BYTES("\x88\x80" MASK), 6, 0},
    {"a close of one byte", BYTES("\x88\x81" MASK "\x03"), 1, 1002},
    {"a close frame, masked", BYTES("\x88\x82" MASK "\x02\xea"), 8, 0},
    {"what follows a close", BYTES("\x88\x82" PLAIN "\x03\xe8\x81\x00\xff"), 8, 0},
    {"what follows a close without code", BYTES("\x88\x80" MASK "\xff"), 6, 0},
    {"a close with a reason", BYTES("\x88\x84" PLAIN "\x03\xe8\xc3\xa4"), 10, 0},
    {"a close whose reason is not UTF-8", BYTES("\x88\x84" PLAIN "\x03\xe8\xc3\x41"), 9, 1007},
    {"a close whose reason is cut", BYTES("\x88\x83" PLAIN "\x03\xe8\xc3"), 8, 1007},
    {"a close between the halves of a character",
     BYTES("\x01\x81" PLAIN "\xc3\x88\x84" PLAIN "\x03\xe8\xc3\xa4"), 17, 0},
    {"a byte that no text has",
     BYTES("\x81\x83" PLAIN "a\xff"
           "b"),
     7, 1007},
    {"the same under a mask", BYTES("\x81\x82" MASK "`\xfd"), 7, 1007},
    {"half a character at the end", BYTES("\x81\x82" PLAIN "a\xc3"), 7, 1007},
    {"a character in two frames", BYTES("\x01\x81" PLAIN "\xc3\x80\x81" PLAIN "\xa4"), 14, 0},
    {"a character around a ping", BYTES("\x01\x81" PLAIN "\xc3\x89\x81" PLAIN "\xff\x80\x81" PLAIN "\xa4"),
     21, 0},
    {"half a character and an empty last frame", BYTES("\x01\x81" PLAIN "\xc3\x80\x80" PLAIN), 12, 1007},
    {"half a character and the next frame's ASCII", BYTES("\x01\x81" PLAIN "\xc3\x80\x88" PLAIN "12345678"),
     13, 1007},
    {"a fault behind sixteen of ASCII", BYTES("\x81\x95" PLAIN "0123456789abcdef0\xc0\x80xx"), 23, 1007},
};

static size_t step(struct ws_guard *guard, const void *data, size_t size_bytes, const struct ws_breach **ret)
{
    uint8_t bytes[64];
    assert_true(size_bytes <= sizeof bytes);
    memcpy(bytes, data, size_bytes);
    size_t at = 0;
    do
        at += ws_guard_step(guard, bytes + at, size_bytes - at, ret);
    while (guard->pinged);
    return at;
}

/* Gives the bytes in pieces; how many went on. */
static size_t run(struct ws_guard *guard, struct bytes bytes, size_t piece, const struct ws_breach **ret)
{
    size_t passed = 0;
    *ret = NULL;
    for (size_t at = 0; at < bytes.size_bytes && *ret == NULL; at += piece) {
        const size_t left = bytes.size_bytes - at;
        passed += step(guard, bytes.data + at, left < piece ? left : piece, ret);
    }
    return passed;
}

static void test_frames_are_judged_however_they_arrive(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (size_t piece = 1; piece <= rows[i].size_bytes; piece++) {
            struct ws_guard guard = {.message_max_bytes = MAX_BYTES};
            const struct ws_breach *breach = NULL;
            const size_t passed = run(&guard, bytes_of(rows[i].bytes, rows[i].size_bytes), piece, &breach);
            const unsigned code = breach == NULL ? 0 : breach->code;
            if (code != rows[i].code || passed != rows[i].passed_bytes)
                fail_msg("%s, in pieces of %zu: code %u after %zu bytes", rows[i].why, piece, code, passed);
        }
    }
}

/* Which may be sent: RFC 6455 7.4, and what IANA has registered since (1012 to 1014). */
static void test_close_codes_are_those_that_may_be_sent(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        const bool good = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                          (code >= 3000 && code <= 4999);
        const uint8_t frame[] = {0x88, 0x82, 0, 0, 0, 0, (uint8_t)(code >> 8), (uint8_t)code};
        struct ws_guard guard = {.message_max_bytes = MAX_BYTES};
        const struct ws_breach *breach = NULL;
        (void)step(&guard, frame, sizeof frame, &breach);
        if (good != (breach == NULL) || (!good && breach->code != 1002))
            fail_msg("close code %u: %s", code, breach == NULL ? "taken" : breach->reason);
    }
}

static void test_a_message_of_many_fragments_is_as_bounded_as_one(void **state)
{
    (void)state;
    static const uint8_t frame[] = {0x00, 0x84, 0, 0, 0, 0, 'a', 'b', 'c', 'd'};
    static const uint8_t last[] = {0x80, 0x81, 0, 0, 0, 0, 'e'};
    for (unsigned rounds = 0; rounds < 3; rounds++) {
        struct ws_guard guard = {.message_max_bytes = 5};
        const struct ws_breach *breach = NULL;
        uint8_t first[sizeof frame];
        memcpy(first, frame, sizeof frame);
        first[0] = 0x01;
        for (unsigned i = 0; i < rounds; i++) { /* each message has a bound of its own */
            assert_int_equal(step(&guard, first, sizeof first, &breach), sizeof first);
            assert_int_equal(step(&guard, last, sizeof last, &breach), sizeof last);
        }
        assert_int_equal(step(&guard, first, sizeof first, &breach), sizeof first);
        assert_int_equal(step(&guard, frame, sizeof frame, &breach), 1);
        assert_non_null(breach);
        assert_int_equal(breach->code, 1009);
    }
}

/* libwebsockets drops pings; it gets pongs, and what is to be answered is found here. */
static void test_pings_are_taken_out(void **state)
{
    (void)state;
    static const uint8_t sent[] =
        "\x01\x81" PLAIN "a\x89\x82" MASK "ik\x89\x80" MASK "\x80\x82" PLAIN "\x09\x09";
    for (size_t piece = 1; piece < sizeof sent; piece++) {
        struct ws_guard guard = {.message_max_bytes = MAX_BYTES};
        const struct ws_breach *breach = NULL;
        uint8_t bytes[sizeof sent];
        unsigned pings = 0;
        memcpy(bytes, sent, sizeof sent);
        for (size_t at = 0; at < sizeof sent - 1; at += piece) {
            const size_t end = at + piece < sizeof sent - 1 ? at + piece : sizeof sent - 1;
            size_t done = at;
            do {
                done += ws_guard_step(&guard, bytes + done, end - done, &breach);
                if (guard.pinged && ++pings == 1) {
                    assert_int_equal(guard.ping_bytes, 2);
                    assert_memory_equal(guard.ping, "hi", 2);
                } else if (guard.pinged) {
                    assert_int_equal(guard.ping_bytes, 0);
                }
            } while (guard.pinged);
            assert_int_equal(done, end);
        }
        assert_int_equal(pings, 2);
        assert_memory_equal(bytes,
                            "\x01\x81" PLAIN "a\x8a\x82" MASK "ik\x8a\x80" MASK "\x80\x82" PLAIN "\x09\x09",
                            sizeof sent);
    }
}

/* --- UTF-8: the same verdict as base/text.h on every text, wherever it is cut into frames --- */

static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
                                0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};

/* `text` in frames of `size_bytes`; the mask differs at each. */
static bool guard_takes(struct bytes text, size_t size_bytes)
{
    struct ws_guard guard = {.message_max_bytes = MAX_BYTES};
    const struct ws_breach *breach = NULL;
    for (size_t at = 0; at < text.size_bytes && breach == NULL; at += size_bytes) {
        const size_t left = text.size_bytes - at;
        const size_t size = left < size_bytes ? left : size_bytes;
        uint8_t frame[64] = {(uint8_t)((at == 0 ? 1 : 0) | (size == left ? 0x80 : 0)),
                             (uint8_t)(0x80 | size),
                             (uint8_t)(at * 37 + 1),
                             0x80,
                             (uint8_t)(at ^ 0xff),
                             0x5a};
        for (size_t i = 0; i < size; i++)
            frame[6 + i] = text.data[at + i] ^ frame[2 + i % 4];
        (void)step(&guard, frame, size + 6, &breach);
    }
    assert_true(breach == NULL || breach->code == 1007);
    return breach == NULL;
}

static void assert_agree(const uint8_t *text, size_t size_bytes)
{
    const bool good = utf8_is_valid(bytes_of(text, size_bytes));
    for (size_t piece = 1; piece <= size_bytes; piece++)
        if (guard_takes(bytes_of(text, size_bytes), piece) != good)
            fail_msg("%02x %02x %02x %02x in frames of %zu: is %svalid", text[0],
                     size_bytes > 1 ? text[1] : 0, size_bytes > 2 ? text[2] : 0, size_bytes > 3 ? text[3] : 0,
                     piece, good ? "" : "not ");
}

static void test_texts_are_judged_as_a_whole_text_would_be(void **state)
{
    (void)state;
    enum { EDGES = ARRAY_SIZE(edges) };
    for (unsigned n = 0; n < EDGES * EDGES * EDGES * EDGES; n++) {
        const uint8_t text[] = {edges[n % EDGES], edges[n / EDGES % EDGES], edges[n / EDGES / EDGES % EDGES],
                                edges[n / EDGES / EDGES / EDGES]};
        if (text[0] < 0xc0 && text[0] > 0x7f && n > EDGES)
            continue; /* wrong at its first byte, whatever follows */
        assert_agree(text, sizeof text);
    }
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            /* Behind and before so much ASCII that whole eights are passed over. */
            uint8_t text[24];
            memset(text, 'x', sizeof text);
            text[9] = (uint8_t)a;
            text[10] = (uint8_t)b;
            assert_agree(text, sizeof text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_are_judged_however_they_arrive),
        cmocka_unit_test(test_close_codes_are_those_that_may_be_sent),
        cmocka_unit_test(test_a_message_of_many_fragments_is_as_bounded_as_one),
        cmocka_unit_test(test_pings_are_taken_out),
        cmocka_unit_test(test_texts_are_judged_as_a_whole_text_would_be),
    };
    return cmocka_run_group_tests_name("ws_guard", tests, NULL, NULL);
}
