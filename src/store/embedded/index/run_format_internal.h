/*
 * What a .run holds behind the common fields of its header page, in logical offsets:
 *
 *   header   48  first position i64 · last position i64 · level u32
 *            68  ids u32 · keys u32 · radix bits of the ids u32 · of the keys u32
 *            84  filter blocks of the ids u32 · of the keys u32 · hash bits u32 (42)
 *            96  bytes of the lists u64 · least and greatest time of the UUIDv7s among the ids, ms, i64 each (none: max < min)
 *           120  chain 32 bytes
 *   ids      8 bytes each: hash bits u32 · position - first u32
 *   keys     16 bytes each: hash bits u32 · value u32 · last position - first u32 · list u32: 0 = that one position, else
 *            1 + offset in the lists / 4
 *   lists    posting_codec_internal.h; in the order of the keys that name them
 *   directories of the ids, of the keys: 2^radix + 1 u32 each: number of the bucket's first entry; the last = all
 *   filters of the ids, of the keys: blocks of 64 bytes
 *
 * A hash counts with its top 42 bits, its class: the first `radix` of them choose the bucket, the others stand in the entry. A
 * run of any size can so be merged into a larger one without the texts: what the larger radix takes from the
 * entry's bits, the smaller one had in the entry. (32 bits below the radix would lose bits at each merge, and differently
 * for each.) In 10^8 entries a stranger meets an entry of its class with a chance of 1 : 40,000.
 * Entries ascend by class, those of one class by (last) position.
 *
 * A filter block is a line of the processor's cache. With m = fmix64(class): block (m >> 32) · blocks >> 32; then with
 * g = m · 0x9E3779B97F4A7C15 the six bits (g >> 10 + 9 i) & 511: bit b is bit b & 7 of byte b >> 3.
 *
 * Ownership  Plain values; run_filter_done() frees a filter.
 * Threads    Any.  Blocking  Never.
 */
#pragma once

#include "index_file_internal.h"
#include "store/embedded/index/index_run.h"

#define RUN_HASH_BITS          42U
#define RUN_RADIX_MIN_BITS     10U /* so that the rest of the 42 fits in 32 */
#define RUN_RADIX_MAX_BITS     29U
#define RUN_ID_BYTES           8U
#define RUN_KEY_BYTES          16U
#define RUN_FILTER_BLOCK_BYTES 64U
#define RUN_LIST_BYTES_MAX     (UINT64_C(1) << 34) /* entries say where a list is in quarters */

struct run_layout {
    struct run_facts facts;
    uint32_t id_count;
    uint32_t key_count;
    uint32_t id_radix;
    uint32_t key_radix;
    uint32_t id_blocks;
    uint32_t key_blocks;
    uint64_t list_bytes;
    int64_t uuid7_min_ms;
    int64_t uuid7_max_ms;
    uint64_t ids_at; /* from here on computed */
    uint64_t keys_at;
    uint64_t lists_at;
    uint64_t id_directory_at;
    uint64_t key_directory_at;
    uint64_t id_filter_at;
    uint64_t key_filter_at;
    uint64_t end;
};

void run_layout_encode(const struct run_layout *layout, uint8_t header[INDEX_PAGE_BYTES]);
/* Of a header page that was checked. False when its numbers contradict each other; offsets are filled. */
bool run_layout_decode(const uint8_t header[INDEX_PAGE_BYTES], struct run_layout *ret);

/* One entry, of an id (value and list 0) or a key. */
struct run_entry {
    uint64_t class;
    uint32_t value;
    uint32_t delta;
    uint32_t list;
};

static inline uint64_t run_class(uint64_t hash)
{
    return hash >> (64 - RUN_HASH_BITS);
}
static inline uint32_t run_bucket(uint64_t class, uint32_t radix)
{
    return (uint32_t)(class >> (RUN_HASH_BITS - radix));
}
static inline uint32_t run_stored_bits(uint64_t class, uint32_t radix)
{
    return (uint32_t)(class & (((uint64_t)1 << (RUN_HASH_BITS - radix)) - 1));
}
/* For about 8 entries a bucket. */
uint32_t run_radix_for(uint32_t entry_count);

struct run_filter {
    uint8_t *blocks; /* aligned to 64; NULL when there is none */
    uint32_t block_count;
};

/* Where a class stands in a filter: its block, and its bits nine by nine. */
struct run_filter_place {
    uint8_t *block;
    uint64_t probes;
};
/* The filter has blocks. */
static inline struct run_filter_place run_filter_place_of(const struct run_filter *filter, uint64_t class)
{
    /* MurmurHash3's finaliser: every bit of the class reaches every bit. */
    class ^= class >> 33;
    class *= UINT64_C(0xFF51AFD7ED558CCD);
    class ^= class >> 33;
    class *= UINT64_C(0xC4CEB9FE1A85EC53);
    class ^= class >> 33;
    const size_t block = (size_t)((class >> 32) * filter->block_count >> 32);
    return (struct run_filter_place){filter->blocks + block * RUN_FILTER_BLOCK_BYTES,
                                     class * UINT64_C(0x9E3779B97F4A7C15) >> 10};
}

uint32_t run_filter_blocks_for(uint32_t key_count);
/* Memory that the caller fills whole; or zeroed, with the rests of `pace`, which may be NULL. RESOURCE_EXHAUSTED. */
STATUS_MUST_CHECK struct status run_filter_reserve(struct run_filter *filter, uint32_t block_count);
STATUS_MUST_CHECK struct status run_filter_init(struct run_filter *filter, uint32_t block_count,
                                                const struct index_pace *pace);
void run_filter_done(struct run_filter *filter); /* a zeroed one is fine */
void run_filter_set(struct run_filter_place place);
bool run_filter_may_have(const struct run_filter *filter, uint64_t class);
void run_filter_prefetch(const struct run_filter *filter, uint64_t class);
