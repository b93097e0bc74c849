#include "support/cmocka.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"

static void assert_sha256(struct sha256 digest, const char *hex)
{
    char text[2 * SHA256_BYTES + 1];
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", digest.bytes[i]);
    assert_string_equal(text, hex);
}

/* FIPS 180-2, appendix B. */
static void test_sha256_gives_the_published_digests(void **state)
{
    (void)state;
    const struct bytes abc = BYTES_LITERAL("abc");
    assert_sha256(sha256_of(&abc, 1), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_sha256(sha256_of(NULL, 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    const struct bytes two_blocks = BYTES_LITERAL("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
    assert_sha256(sha256_of(&two_blocks, 1),
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_parts_and_steps_equal_their_concatenation(void **state)
{
    (void)state;
    const struct bytes whole = BYTES_LITERAL("abcdef");
    const struct bytes parts[] = {BYTES_LITERAL("ab"), BYTES_NONE, BYTES_LITERAL("cde"), BYTES_LITERAL("f")};
    const struct sha256 expected = sha256_of(&whole, 1);
    assert_memory_equal(sha256_of(parts, ARRAY_SIZE(parts)).bytes, expected.bytes, SHA256_BYTES);
    sha256_begin();
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        sha256_add(parts[i]);
    assert_memory_equal(sha256_end().bytes, expected.bytes, SHA256_BYTES);
}

static void *digest_often(void *ret)
{
    const struct bytes text = BYTES_LITERAL("abc");
    for (int i = 0; i < 200; i++)
        *(struct sha256 *)ret = sha256_of(&text, 1);
    return NULL;
}

static void test_threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct sha256 digests[4];
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, digest_often, &digests[i]), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_sha256(digests[i], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

static void assert_two_equal_one_by_one(const struct bytes *first, const struct bytes *second,
                                        size_t part_count)
{
    struct sha256 both[2];
    sha256_of_two(first, second, part_count, both);
    const struct sha256 expected[2] = {sha256_of(first, part_count), sha256_of(second, part_count)};
    assert_memory_equal(both, expected, sizeof both);
}

/* Every size around the ends of the first blocks beside every other; then around the longest that is not libcrypto's. */
static void test_two_digests_equal_those_of_one_by_one(void **state)
{
    (void)state;
    static const size_t large[] = {960, 1023, 4022, 4023, 4024, 4080, 4086, 4087, 4088, 4095, 4096, 5000};
    static uint8_t text[8192];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 31 + i / 251);
    for (size_t a = 0; a <= 200; a++)
        for (size_t b = 0; b <= 200; b++) {
            const struct bytes first = bytes_of(text, a);
            const struct bytes second = bytes_of(text + 7, b);
            assert_two_equal_one_by_one(&first, &second, 1);
        }
    for (size_t i = 0; i < ARRAY_SIZE(large); i++)
        for (size_t j = 0; j < ARRAY_SIZE(large); j++) {
            const struct bytes first = bytes_of(text + 1, large[i]);
            const struct bytes second = bytes_of(text, large[j]);
            assert_two_equal_one_by_one(&first, &second, 1);
        }
}

static void test_two_digests_are_over_concatenated_parts(void **state)
{
    (void)state;
    static const uint8_t text[4096] = {9, 8, 7};
    const struct bytes first[] = {bytes_of(text, 16), bytes_of(text, 4), bytes_of(text, 500), BYTES_NONE};
    const struct bytes second[] = {BYTES_NONE, bytes_of(text, 4000), BYTES_LITERAL("x"), bytes_of(text, 86)};
    const struct bytes whole[] = {BYTES_NONE, bytes_of(text, 4000), bytes_of(text, 4000),
                                  bytes_of(text, 4000)};
    assert_two_equal_one_by_one(first, second, ARRAY_SIZE(first));
    assert_two_equal_one_by_one(second, first, ARRAY_SIZE(first));
    assert_two_equal_one_by_one(first, whole, ARRAY_SIZE(first)); /* one that is far too long */
    struct sha256 empty[2];
    sha256_of_two(NULL, NULL, 0, empty);
    assert_sha256(empty[0], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_memory_equal(&empty[0], &empty[1], sizeof empty[0]);
}

/* RFC 3720, B.4, and the check value of the catalogue of CRCs. */
static void test_crc32c_gives_the_published_checksums(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, BYTES_LITERAL("123456789")), 0xE3069283);
    assert_int_equal(crc32c(0, BYTES_NONE), 0);
    assert_int_equal(crc32c(0, bytes_of(bytes, sizeof bytes)), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof bytes);
    assert_int_equal(crc32c(0, bytes_of(bytes, sizeof bytes)), 0x62A8AB43);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes_of(bytes, sizeof bytes)), 0x46DD794E);
}

static void test_crc32c_continues(void **state)
{
    (void)state;
    const char *text = "123456789";
    for (size_t cut = 0; cut <= 9; cut++)
        assert_int_equal(crc32c(crc32c(0, bytes_of(text, cut)), bytes_of(text + cut, 9 - cut)), 0xE3069283);
}

static void test_numbers_are_little_endian(void **state)
{
    (void)state;
    uint8_t bytes[8];
    put_u32_le(bytes, 0x01020384);
    assert_memory_equal(bytes, "\x84\x03\x02\x01", 4);
    assert_int_equal(get_u32_le(bytes), 0x01020384);
    put_u64_le(bytes, UINT64_C(0x8102030405060708));
    assert_memory_equal(bytes, "\x08\x07\x06\x05\x04\x03\x02\x81", 8);
    assert_true(get_u64_le(bytes) == UINT64_C(0x8102030405060708));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_gives_the_published_digests),
        cmocka_unit_test(test_parts_and_steps_equal_their_concatenation),
        cmocka_unit_test(test_two_digests_equal_those_of_one_by_one),
        cmocka_unit_test(test_two_digests_are_over_concatenated_parts),
        cmocka_unit_test(test_threads_do_not_disturb_each_other),
        cmocka_unit_test(test_crc32c_gives_the_published_checksums),
        cmocka_unit_test(test_crc32c_continues),
        cmocka_unit_test(test_numbers_are_little_endian),
    };
    return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
