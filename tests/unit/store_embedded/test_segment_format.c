#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/seeded_entropy.h"

#include "store/embedded/segment_format_internal.h"

static struct segment_header sample_segment(void)
{
    struct segment_header header = {
        .first_position = 250001,
        .epoch = UINT64_C(0x0123456789abcdef),
        .created_at_us = INT64_C(1700000000000000),
        .timestamp_us = INT64_C(1699999999999999),
    };
    memcpy(header.store_uuid, "sixteen bytes id", sizeof header.store_uuid);
    memset(header.chain.bytes, 0x5a, sizeof header.chain.bytes);
    return header;
}

static struct frame_header sample_frame(void)
{
    struct frame_header header = {
        .kind = FRAME_EVENTS,
        .entries_bytes = 1234,
        .count = 3,
        .first_position = 7,
        .segment_epoch = UINT64_C(0xfedcba9876543210),
        .writer_epoch = 2,
        .commit_time_us = INT64_C(1700000000000001),
        .headers_crc = 0xdeadbeef,
    };
    memset(header.chain_before.bytes, 0x11, SHA256_BYTES);
    memset(header.chain_after.bytes, 0x22, SHA256_BYTES);
    return header;
}

static void test_a_segment_header_comes_back_as_it_was(void **state)
{
    (void)state;
    const struct segment_header written = sample_segment();
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    segment_header_encode(&written, bytes);
    struct segment_header read;
    memset(&read, 0, sizeof read);
    assert_status_ok(segment_header_decode(bytes, &read));
    assert_memory_equal(read.store_uuid, written.store_uuid, STORE_UUID_BYTES);
    assert_int_equal(read.first_position, written.first_position);
    assert_true(read.epoch == written.epoch);
    assert_int_equal(read.created_at_us, written.created_at_us);
    assert_int_equal(read.timestamp_us, written.timestamp_us);
    assert_memory_equal(read.chain.bytes, written.chain.bytes, SHA256_BYTES);
}

static void test_every_flipped_bit_of_a_segment_header_is_seen(void **state)
{
    (void)state;
    const struct segment_header written = sample_segment();
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    segment_header_encode(&written, bytes);
    for (size_t i = 0; i < sizeof bytes * 8; i++) {
        struct segment_header read;
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
        assert_reason(segment_header_decode(bytes, &read), REASON_DAMAGED);
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
    }
}

static void test_another_major_version_is_named_and_not_called_damage(void **state)
{
    (void)state;
    const struct segment_header written = sample_segment();
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    segment_header_encode(&written, bytes);
    bytes[8] = 2;
    put_u32_le(bytes + SEGMENT_HEADER_BYTES - 4, crc32c(0, bytes_of(bytes, SEGMENT_HEADER_BYTES - 4)));
    struct segment_header read;
    const struct status status = segment_header_decode(bytes, &read);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_string_equal(status.message,
                        "the segment has format version 2.0 and this program reads 1.x; use a newer strata");
}

static void test_a_newer_minor_version_is_read(void **state)
{
    (void)state;
    const struct segment_header written = sample_segment();
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    segment_header_encode(&written, bytes);
    bytes[10] = 7;
    put_u32_le(bytes + SEGMENT_HEADER_BYTES - 4, crc32c(0, bytes_of(bytes, SEGMENT_HEADER_BYTES - 4)));
    struct segment_header read;
    assert_status_ok(segment_header_decode(bytes, &read));
}

static void test_a_frame_header_comes_back_as_it_was(void **state)
{
    (void)state;
    const struct frame_header written = sample_frame();
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_header_encode(&written, bytes);
    struct frame_header read;
    const char *why = NULL;
    assert_int_equal(frame_header_decode(bytes, &read, &why), FRAME_GOOD);
    assert_int_equal(read.kind, written.kind);
    assert_int_equal(read.entries_bytes, written.entries_bytes);
    assert_int_equal(read.count, written.count);
    assert_int_equal(read.first_position, written.first_position);
    assert_true(read.segment_epoch == written.segment_epoch);
    assert_int_equal(read.writer_epoch, written.writer_epoch);
    assert_int_equal(read.commit_time_us, written.commit_time_us);
    assert_int_equal(read.headers_crc, written.headers_crc);
    assert_memory_equal(read.chain_before.bytes, written.chain_before.bytes, SHA256_BYTES);
    assert_memory_equal(read.chain_after.bytes, written.chain_after.bytes, SHA256_BYTES);
}

static void test_every_flipped_bit_of_a_frame_header_is_seen(void **state)
{
    (void)state;
    const struct frame_header written = sample_frame();
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_header_encode(&written, bytes);
    for (size_t i = 0; i < sizeof bytes * 8; i++) {
        struct frame_header read;
        const char *why = NULL;
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
        assert_int_equal(frame_header_decode(bytes, &read, &why), FRAME_BAD);
        assert_non_null(why);
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
    }
}

static void test_zeros_are_no_frame_and_no_damage(void **state)
{
    (void)state;
    const uint8_t zeros[FRAME_HEADER_BYTES] = {0};
    struct frame_header read;
    const char *why = NULL;
    assert_int_equal(frame_header_decode(zeros, &read, &why), FRAME_ZERO);
}

/* A valid checksum only says that the bytes are as they were written: what was written is judged as well. */
static void test_frames_that_our_writer_never_writes_are_bad(void **state)
{
    (void)state;
    struct frame_header broken[5];
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++)
        broken[i] = sample_frame();
    broken[0].count = 0;
    broken[1].first_position = 0;
    broken[2].entries_bytes = FRAME_BYTES_MAX + 1;
    broken[3].kind = FRAME_SEAL; /* with entries */
    broken[4].first_position = -5;
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        uint8_t bytes[FRAME_HEADER_BYTES];
        frame_header_encode(&broken[i], bytes);
        struct frame_header read;
        const char *why = NULL;
        if (frame_header_decode(bytes, &read, &why) != FRAME_BAD)
            fail_msg("broken frame %zu passes", i);
    }
}

static struct record sample_record(const char *text, size_t header_bytes)
{
    return (struct record){bytes_of_text(text), header_bytes};
}

static void test_entries_are_walked_and_checked(void **state)
{
    (void)state;
    struct buffer frame = buffer_make(0);
    uint32_t headers_crc = 0;
    assert_non_null(buffer_extend(&frame, FRAME_HEADER_BYTES));
    const uint32_t first_crc = entry_encode(sample_record("headerpayload", 6), &frame, &headers_crc);
    (void)entry_encode(sample_record("only header", 11), &frame,
                       &headers_crc); /* its own CRC is not looked at */
    assert_status_ok(buffer_status(&frame));
    uint32_t at = FRAME_HEADER_BYTES;
    struct frame_entry entry;
    const uint32_t end = (uint32_t)frame.size_bytes;
    assert_true(frame_next_entry(frame.data, end, &at, &entry));
    assert_true(bytes_equal(entry.record.bytes, BYTES_LITERAL("headerpayload")));
    assert_int_equal(entry.record.header_bytes, 6);
    assert_int_equal(entry.offset, FRAME_HEADER_BYTES);
    assert_true(entry_payload_fits(&entry));
    assert_int_equal(first_crc, entry_header_crc(0, frame.data + entry.offset, record_header(entry.record)));
    assert_true(frame_next_entry(frame.data, end, &at, &entry));
    assert_true(entry_payload_fits(&entry));
    assert_int_equal(at, end);
    assert_false(frame_next_entry(frame.data, end, &at, &entry));

    frame.data[FRAME_HEADER_BYTES + ENTRY_PREFIX_BYTES + 8] ^= 1; /* inside "payload" */
    at = FRAME_HEADER_BYTES;
    assert_true(frame_next_entry(frame.data, end, &at, &entry));
    assert_false(entry_payload_fits(&entry));
    buffer_done(&frame);
}

/* Lengths come from the disk: no value of them may lead outside the frame. */
static void test_lengths_beyond_the_frame_are_refused(void **state)
{
    (void)state;
    static const uint32_t lengths[][2] = {{UINT32_MAX, 0}, {0, UINT32_MAX}, {UINT32_MAX, UINT32_MAX},
                                          {9, 0},          {4, 5},          {0x80000000U, 0x80000000U}};
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        uint8_t frame[ENTRY_PREFIX_BYTES + 8] = {0};
        put_u32_le(frame, lengths[i][0]);
        put_u32_le(frame + 4, lengths[i][1]);
        uint32_t at = 0;
        struct frame_entry entry;
        assert_false(frame_next_entry(frame, sizeof frame, &at, &entry));
    }
    uint8_t short_frame[ENTRY_PREFIX_BYTES - 1] = {0};
    uint32_t at = 0;
    struct frame_entry entry;
    assert_false(frame_next_entry(short_frame, sizeof short_frame, &at, &entry));
}

static void test_random_bytes_are_never_a_frame(void **state)
{
    (void)state;
    uint64_t random = 20;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[FRAME_HEADER_BYTES];
        for (size_t j = 0; j < sizeof bytes; j++)
            bytes[j] = (uint8_t)random_next(&random);
        if (i % 2 == 0)
            memcpy(bytes, "STFR", 4);
        struct frame_header read;
        const char *why = NULL;
        assert_int_equal(frame_header_decode(bytes, &read, &why), FRAME_BAD);
    }
}

static void test_names_carry_the_first_position(void **state)
{
    (void)state;
    char name[SEGMENT_NAME_BYTES];
    segment_name_format(250001, name);
    assert_string_equal(name, "00000000000000250001.seg");
    assert_int_equal(segment_name_parse(name), 250001);
    static const char *const others[] = {"next.0.pool",
                                         "00000000000000250001.seg.tmp",
                                         "00000000000000250001.torn",
                                         "0000000000000250001.seg",
                                         "00000000000000000000.seg",
                                         "99999999999999999999.seg",
                                         "0000000000000025000a.seg",
                                         ""};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(segment_name_parse(others[i]), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_segment_header_comes_back_as_it_was),
        cmocka_unit_test(test_every_flipped_bit_of_a_segment_header_is_seen),
        cmocka_unit_test(test_another_major_version_is_named_and_not_called_damage),
        cmocka_unit_test(test_a_newer_minor_version_is_read),
        cmocka_unit_test(test_a_frame_header_comes_back_as_it_was),
        cmocka_unit_test(test_every_flipped_bit_of_a_frame_header_is_seen),
        cmocka_unit_test(test_zeros_are_no_frame_and_no_damage),
        cmocka_unit_test(test_frames_that_our_writer_never_writes_are_bad),
        cmocka_unit_test(test_entries_are_walked_and_checked),
        cmocka_unit_test(test_lengths_beyond_the_frame_are_refused),
        cmocka_unit_test(test_random_bytes_are_never_a_frame),
        cmocka_unit_test(test_names_carry_the_first_position),
    };
    return cmocka_run_group_tests_name("segment_format", tests, NULL, NULL);
}
