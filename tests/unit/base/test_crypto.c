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

/* Few bytes and many go different ways: by the bit, as the standard says it. */
static void test_crc32c_of_any_length_is_that_of_its_bits(void **state)
{
    (void)state;
    uint8_t bytes[700];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 151 + i / 7);
    uint32_t crc = UINT32_MAX;
    for (size_t size = 0; size < sizeof bytes - 3; size++) {
        assert_int_equal(crc32c(0, bytes_of(bytes + 3, size)), ~crc);
        crc ^= bytes[3 + size];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82F63B78U & (0U - (crc & 1U)));
    }
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
        cmocka_unit_test(test_threads_do_not_disturb_each_other),
        cmocka_unit_test(test_crc32c_gives_the_published_checksums),
        cmocka_unit_test(test_crc32c_continues),
        cmocka_unit_test(test_crc32c_of_any_length_is_that_of_its_bits),
        cmocka_unit_test(test_numbers_are_little_endian),
    };
    return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
