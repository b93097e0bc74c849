#include "base/entropy.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>

#define POOL_BYTES 512U
#define UUID_BYTES 16U

/* Owned by its thread. Bytes [used, POOL_BYTES) are unspent; spent ones are wiped as they are handed out. */
struct pool {
    size_t used_bytes;
    uint8_t bytes[POOL_BYTES];
};
static _Thread_local struct pool pool = {.used_bytes = POOL_BYTES};

/* A child must not hand out what its parent will: ids made by both would be equal. */
static void forget_in_child(void)
{
    memset(&pool, 0, sizeof pool);
    pool.used_bytes = POOL_BYTES;
}

static void watch_forks(void)
{
    const int failed = pthread_atfork(NULL, NULL, forget_in_child);
    assert(failed == 0);
    (void)failed;
}

static void fill_from_system(uint8_t *memory, size_t size_bytes)
{
    for (size_t done = 0; done < size_bytes;) {
        const ssize_t got = getrandom(memory + done, size_bytes - done, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            /* Without randomness every id would be a guess: there is no way to go on. */
            (void)fprintf(stderr, "getrandom failed: %s\n", strerror(errno));
            abort();
        }
        done += (size_t)got;
    }
}

static void system_fill(const struct entropy *entropy, void *memory, size_t size_bytes)
{
    (void)entropy;
    if (size_bytes > POOL_BYTES) {
        fill_from_system(memory, size_bytes);
        return;
    }
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint8_t *to = memory;
    while (size_bytes > 0) {
        if (pool.used_bytes == POOL_BYTES) {
            (void)pthread_once(&once, watch_forks);
            fill_from_system(pool.bytes, POOL_BYTES);
            pool.used_bytes = 0;
        }
        const size_t left = POOL_BYTES - pool.used_bytes;
        const size_t part = size_bytes < left ? size_bytes : left;
        memcpy(to, pool.bytes + pool.used_bytes, part);
        memset(pool.bytes + pool.used_bytes, 0, part);
        pool.used_bytes += part;
        to += part;
        size_bytes -= part;
    }
}

static const struct entropy_ops system_ops = {system_fill};
const struct entropy system_entropy = {&system_ops};

static void uuid_write(uint8_t uuid[UUID_BYTES], uint8_t version, char ret_text[UUID_TEXT_BYTES])
{
    static const char hex[] = "0123456789abcdef";
    uuid[6] = (uint8_t)((uuid[6] & 0x0F) | version << 4);
    uuid[8] = (uint8_t)((uuid[8] & 0x3F) | 0x80); /* RFC 9562 4.1: the variant */
    char *to = ret_text;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = hex[uuid[i] >> 4];
        *to++ = hex[uuid[i] & 15];
    }
    *to = '\0';
}

void uuid_v7(int64_t now_us, const struct entropy *entropy, char ret_text[UUID_TEXT_BYTES])
{
    const uint64_t us = now_us < 0 ? 0 : (uint64_t)now_us;
    const uint64_t ms = us / 1000;
    /* RFC 9562 6.2, method 3: the part of the millisecond stands in the twelve bits behind it. */
    const uint64_t fraction = us % 1000 * 4096 / 1000;
    uint8_t uuid[UUID_BYTES];
    for (size_t i = 0; i < 6; i++)
        uuid[i] = (uint8_t)(ms >> (40 - 8 * i));
    uuid[6] = (uint8_t)(fraction >> 8);
    uuid[7] = (uint8_t)fraction;
    entropy_fill(entropy, uuid + 8, 8);
    uuid_write(uuid, 7, ret_text);
}

void uuid_v5_oid(struct bytes name, char ret_text[UUID_TEXT_BYTES])
{
    static const uint8_t oid_namespace[UUID_BYTES] = {0x6b, 0xa7, 0xb8, 0x12, 0x9d, 0xad, 0x11, 0xd1,
                                                      0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8};
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
                      EVP_DigestUpdate(context, oid_namespace, sizeof oid_namespace) == 1 &&
                      EVP_DigestUpdate(context, name.data, name.size_bytes) == 1 &&
                      EVP_DigestFinal_ex(context, digest, NULL) == 1;
    EVP_MD_CTX_free(context);
    if (!done) {
        (void)fprintf(stderr, "libcrypto cannot compute SHA-1\n");
        abort();
    }
    uuid_write(digest, 5, ret_text);
}
