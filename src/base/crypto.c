#include "base/crypto.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <isa-l/crc.h>
#include <openssl/evp.h>

#define CRC_PIECE_BYTES (1U << 30) /* isa-l counts in int */
#define FEW_BYTES       256U

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;         /* made once, kept until the process ends */
static pthread_key_t contexts; /* frees a thread's context when the thread ends */
static _Thread_local EVP_MD_CTX *context;
static _Thread_local bool in_progress;

/* Nothing here can fail but for want of memory or a broken libcrypto, and then no event can be vouched for. */
static void must(bool worked, const char *what)
{
    if (worked)
        return;
    (void)fprintf(stderr, "libcrypto: %s failed\n", what);
    abort();
}

static void context_free(void *memory)
{
    EVP_MD_CTX_free(memory);
}

static void prepare(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    must(sha256 != NULL, "fetching SHA-256");
    must(pthread_key_create(&contexts, context_free) == 0, "making the key of the threads' contexts");
}

static void thread_context_make(void)
{
    if (context != NULL)
        return;
    (void)pthread_once(&once, prepare);
    context = EVP_MD_CTX_new();
    must(context != NULL, "making a digest context");
    must(pthread_setspecific(contexts, context) == 0, "keeping a digest context");
}

void sha256_begin(void)
{
    assert(!in_progress);
    in_progress = true;
    thread_context_make(); /* also fetches sha256, so it must come before that is read */
    must(EVP_DigestInit_ex2(context, sha256, NULL) == 1, "beginning a digest");
}

void sha256_add(struct bytes part)
{
    assert(in_progress);
    must(EVP_DigestUpdate(context, part.data, part.size_bytes) == 1, "adding to a digest");
}

struct sha256 sha256_end(void)
{
    assert(in_progress);
    in_progress = false;
    struct sha256 digest;
    must(EVP_DigestFinal_ex(context, digest.bytes, NULL) == 1, "ending a digest");
    return digest;
}

struct sha256 sha256_of(const struct bytes *parts, size_t part_count)
{
    sha256_begin();
    for (size_t i = 0; i < part_count; i++)
        sha256_add(parts[i]);
    return sha256_end();
}

/*
 * isa-l returns with the upper halves of the vector registers in use. As long as they are, each SSE instruction also waits
 * for what its target held before: SHA-256 takes a quarter longer, two side by side more than twice as long.
 */
#if defined(__x86_64__)
static __attribute__((target("avx"))) void clear_upper_halves(void)
{
    _mm256_zeroupper();
}

static void after_isal(void)
{
    if (__builtin_cpu_supports("avx"))
        clear_upper_halves();
}

/* The processor's own instruction beats the folding of isa-l where there is little to fold. */
static __attribute__((target("sse4.2"))) uint32_t crc_of_few(uint32_t crc, struct bytes bytes)
{
    uint64_t wide = crc;
    for (; bytes.size_bytes >= 8; bytes.data += 8, bytes.size_bytes -= 8) {
        uint64_t word = 0;
        memcpy(&word, bytes.data, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; bytes.size_bytes > 0; bytes.data++, bytes.size_bytes--)
        crc = _mm_crc32_u8(crc, *bytes.data);
    return crc;
}

static bool is_few(struct bytes bytes)
{
    return bytes.size_bytes < FEW_BYTES && __builtin_cpu_supports("sse4.2");
}
#else
static void after_isal(void)
{
}

static uint32_t crc_of_few(uint32_t crc, struct bytes bytes)
{
    (void)bytes;
    return crc;
}

static bool is_few(struct bytes bytes)
{
    (void)bytes;
    return false;
}
#endif

uint32_t crc32c(uint32_t former, struct bytes bytes)
{
    /* isa-l leaves out the inversions before and after that the standard wants. */
    uint32_t crc = ~former;
    if (is_few(bytes))
        return ~crc_of_few(crc, bytes);
    while (bytes.size_bytes > 0) {
        const size_t piece = bytes.size_bytes < CRC_PIECE_BYTES ? bytes.size_bytes : CRC_PIECE_BYTES;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)bytes.data, (int)piece, crc); /* reads only */
        bytes.data += piece;
        bytes.size_bytes -= piece;
    }
    after_isal();
    return ~crc;
}
