/* What zlib's other half makes of what the gateway compressed. */
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "support/cmocka.h"

#include "gateway/compress.h"

#define BODY_MAX_BYTES ((size_t)300000)

/* Lines of JSON, or noise that cannot be made smaller. */
static struct bytes make_body(uint8_t *room, size_t size, bool noise)
{
    uint32_t seed = 7;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525U + 1013904223U;
        room[i] = noise ? (uint8_t)(seed >> 24) : (uint8_t) "{\"position\":\"1\",\"n\":0}\n"[i % 23];
    }
    return bytes_of(room, size);
}

struct reader {
    z_stream zlib;
    struct buffer text;
    bool ended;
};

static void reader_take(struct reader *reader, struct bytes packed)
{
    reader->zlib.next_in = (Bytef *)(uintptr_t)packed.data; /* only read */
    reader->zlib.avail_in = (uInt)packed.size_bytes;
    int result = Z_OK;
    do {
        uint8_t room[5000];
        reader->zlib.next_out = room;
        reader->zlib.avail_out = sizeof room;
        result = inflate(&reader->zlib, Z_SYNC_FLUSH);
        assert_true(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR);
        buffer_add(&reader->text, room, sizeof room - reader->zlib.avail_out);
    } while (reader->zlib.avail_out == 0);
    assert_int_equal(reader->zlib.avail_in, 0);
    reader->ended = result == Z_STREAM_END;
}

static void reader_begin(struct reader *reader)
{
    *reader = (struct reader){.text = buffer_make(0)};
    assert_int_equal(inflateInit2(&reader->zlib, 31), Z_OK);
}

static void reader_done(struct reader *reader, struct bytes wanted)
{
    assert_true(reader->ended);
    assert_true(bytes_equal(buffer_bytes(&reader->text), wanted));
    assert_int_equal(inflateEnd(&reader->zlib), Z_OK);
    buffer_done(&reader->text);
}

static void test_a_body_comes_back_whatever_its_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1023, 1024, 16383, 16384, 16385, 65536, BODY_MAX_BYTES};
    uint8_t *room = malloc(BODY_MAX_BYTES);
    assert_non_null(room);
    for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
        const struct bytes body = make_body(room, sizes[i / 2], i % 2 == 0);
        struct buffer packed = buffer_make(0);
        struct reader reader;
        assert_true(gzip_whole(body, &packed));
        if (i % 2 == 1 && body.size_bytes >= COMPRESS_LEAST_BYTES)
            assert_true(packed.size_bytes < body.size_bytes / 4);
        reader_begin(&reader);
        reader_take(&reader, buffer_bytes(&packed));
        reader_done(&reader, body);
        buffer_done(&packed);
    }
    free(room);
}

static void test_each_piece_of_a_stream_can_be_read_at_once(void **state)
{
    (void)state;
    uint8_t *room = malloc(BODY_MAX_BYTES);
    assert_non_null(room);
    for (int noise = 0; noise < 2; noise++) {
        const struct bytes body = make_body(room, BODY_MAX_BYTES, noise == 1);
        struct gzip *gzip = gzip_new();
        struct reader reader;
        assert_non_null(gzip);
        reader_begin(&reader);
        size_t size = 0;
        for (size_t at = 0; at < body.size_bytes; at += size) {
            struct buffer packed = buffer_make(0);
            size = (at * 7919 + 1) % 40000 + 1;
            size = size < body.size_bytes - at ? size : body.size_bytes - at;
            assert_true(gzip_add(gzip, BYTES_NONE, &packed)); /* changes nothing */
            assert_int_equal(packed.size_bytes, 0);
            assert_true(gzip_add(gzip, bytes_of(body.data + at, size), &packed));
            reader_take(&reader, buffer_bytes(&packed));
            assert_int_equal(reader.text.size_bytes, at + size);
            assert_false(reader.ended);
            buffer_done(&packed);
        }
        struct buffer end = buffer_make(0);
        assert_true(gzip_end(gzip, &end));
        reader_take(&reader, buffer_bytes(&end));
        reader_done(&reader, body);
        buffer_done(&end);
        gzip_free(gzip);
    }
    free(room);
}

static void test_a_stream_may_be_given_up_at_any_time(void **state)
{
    (void)state;
    for (int pieces = 0; pieces < 3; pieces++) {
        struct buffer packed = buffer_make(0);
        struct gzip *gzip = gzip_new();
        for (int i = 0; i < pieces; i++)
            assert_true(gzip_add(gzip, BYTES_LITERAL("data: x\n\n"), &packed));
        gzip_free(gzip);
        buffer_done(&packed);
    }
    gzip_free(NULL);
}

static void test_a_buffer_that_is_full_is_said(void **state)
{
    (void)state;
    uint8_t noise[4096], memory[100];
    const struct bytes body = make_body(noise, sizeof noise, true);
    struct buffer packed = {.data = memory, .capacity_bytes = sizeof memory, .limit_bytes = sizeof memory};
    assert_false(gzip_whole(body, &packed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_body_comes_back_whatever_its_size),
        cmocka_unit_test(test_each_piece_of_a_stream_can_be_read_at_once),
        cmocka_unit_test(test_a_stream_may_be_given_up_at_any_time),
        cmocka_unit_test(test_a_buffer_that_is_full_is_said),
    };
    return cmocka_run_group_tests_name("gateway_compress", tests, NULL, NULL);
}
