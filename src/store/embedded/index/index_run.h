/*
 * An immutable run of the index: which positions hold an event id, an aggregate, a correlation id or a tag, for a range
 * of positions (one segment, or several after merging). A file index/<first>-<last>.run, 20 digits each.
 *
 * Keys are hashes (index_hash), of which the top 42 bits count. A hit is a candidate: the caller reads the record and compares.
 * Nothing is deduplicated on a hash:
 * entries of equal hash lie side by side, ascending by position, each with its own list, also after merging.
 *
 *   ids     8 bytes an entry:  hash bits u32 · position - first u32
 *   keys   16 bytes an entry:  hash bits u32 · value u32 · last position - first u32 · list u32 (0 = that one position;
 *           else 1 + offset / 4 in the lists)
 *
 * both sorted by the 64-bit hash behind a radix directory (about 8 entries a bucket) and a blocked bloom filter (512-bit
 * blocks, 6 probes, 12 bits for each distinct hash); directories and filters are kept in memory, entries and lists
 * are read by pread through checked pages.
 *
 * Ownership  A run_builder and a run belong to who made them.  `files` outlives both.
 * Threads    A builder: one. A run: any number, without a lock; nothing of it ever changes.
 * Blocking   Everything but run_may_have_*() and run_prefetch_*().
 * Errors     As index_part.h. run_merge() also: INVALID_ARGUMENT, the runs are not adjacent; OUT_OF_RANGE, the result would span
 *            over 2^32 positions or have over 16 GiB of lists: leave them as they are.
 */
#pragma once

#include "store/embedded/index/index_part.h"

/* What a key names, mixed into its hash. */
enum index_key_kind {
    INDEX_KEY_EVENT_ID = 1,
    INDEX_KEY_AGGREGATE = 2,
    INDEX_KEY_CORRELATION = 3,
    INDEX_KEY_TAG = 4,
};

/* XXH3, seeded: ids come from outside. `seed` is the MANIFEST's. */
uint64_t index_hash(uint64_t seed, enum index_key_kind kind, struct bytes text);

struct run_facts {
    int64_t first_position;
    int64_t last_position;
    struct sha256 chain; /* after last_position */
    uint32_t level;      /* 0 = of one segment; a merge of level n runs is of level n + 1 */
};

/* ---- writing ---- */

struct run_builder;

STATUS_MUST_CHECK struct status run_builder_new(const struct run_facts *facts, struct run_builder **ret);
void run_builder_free(struct run_builder *builder);
DEFINE_CLEANUP(struct run_builder, run_builder_free);

/* In any order. `id` is looked at for a UUIDv7's time (run_may_have_id prunes by it); not kept. */
STATUS_MUST_CHECK struct status run_builder_add_id(struct run_builder *builder, uint64_t hash,
                                                   struct bytes id, int64_t position);
/*
 * One key with its positions, ascending; the same key once. `value` comes back from lookups: of an aggregate the version
 * of its last event here, else a mark of the key's kind (run_value_of in layer_list_internal.h). `positions` is copied.
 */
STATUS_MUST_CHECK struct status run_builder_add_key(struct run_builder *builder, uint64_t hash,
                                                    uint32_t value, const int64_t *positions, uint32_t count);
/* Sorts and writes <folder>/<first>-<last>.run durably, as part_builder_write(). */
STATUS_MUST_CHECK struct status run_builder_write(struct run_builder *builder, struct files *files,
                                                  const char *folder,
                                                  const uint8_t store_uuid[INDEX_UUID_BYTES], uint32_t nonce,
                                                  const struct index_pace *pace);

/* ---- reading ---- */

struct run;

/* Reads and checks what is kept in memory, a few bytes for each key; of `pace`, which may be NULL, it takes the rests. */
STATUS_MUST_CHECK struct status run_open(struct files *files, const char *folder, int64_t first_position,
                                         int64_t last_position, const uint8_t store_uuid[INDEX_UUID_BYTES],
                                         const struct index_pace *pace, struct run **ret);
void run_close(struct run *run); /* NULL is fine */
DEFINE_CLEANUP(struct run, run_close);

const struct run_facts *run_facts(const struct run *run);

/* Fetches the filter's line into the processor's cache: first for a whole batch, then ask. */
void run_prefetch_id(const struct run *run, uint64_t hash);
void run_prefetch_key(const struct run *run, uint64_t hash);
/* False: certainly not here. `uuid7_ms` = the time in the id when it is a UUIDv7, else -1 (index_uuid7_ms). */
bool run_may_have_id(const struct run *run, uint64_t hash, int64_t uuid7_ms);
bool run_may_have_key(const struct run *run, uint64_t hash);
int64_t index_uuid7_ms(struct bytes id); /* -1 = not a UUIDv7 in text form */

/* Candidate positions of an id, ascending; skips the first `skip`. *ret_count < max: there are no more. */
STATUS_MUST_CHECK struct status run_find_id(const struct run *run, uint64_t hash, uint32_t skip,
                                            int64_t *ret_positions, uint32_t max, uint32_t *ret_count);

struct run_key {
    uint32_t value;
    struct posting_list list;
};
/* Candidates of a key, ascending by position (their lists never overlap for the same text); as run_find_id. */
STATUS_MUST_CHECK struct status run_find_key(const struct run *run, uint64_t hash, uint32_t skip,
                                             struct run_key *ret, uint32_t max, uint32_t *ret_count);
/*
 * Only the last position and the value of each, newest first, without reading its list: for heads. Skips the newest `skip`;
 * as run_find_id.
 */
struct run_last {
    int64_t position;
    uint32_t value;
};
STATUS_MUST_CHECK struct status run_find_last(const struct run *run, uint64_t hash, uint32_t skip,
                                              struct run_last *ret, uint32_t max, uint32_t *ret_count);
/* How many entries have this hash, so that a caller can begin at the newest. */
STATUS_MUST_CHECK struct status run_count_key(const struct run *run, uint64_t hash, uint32_t *ret_count);

/* Positions number from … from + count - 1 of a list (0-based); the caller stays inside list->count. */
STATUS_MUST_CHECK struct status run_list_read(const struct run *run, const struct posting_list *list,
                                              uint32_t from, int64_t *ret, uint32_t count);
/* *ret = how many positions of the list are ≤ position. */
STATUS_MUST_CHECK struct status run_list_behind(const struct run *run, const struct posting_list *list,
                                                int64_t position, uint32_t *ret);

STATUS_MUST_CHECK struct status
run_check(const struct run *run); /* every page, order of entries: for verify */
uint64_t run_size_bytes(const struct run *run);
uint64_t run_resident_bytes(const struct run *run);

/* ---- merging ---- */

/*
 * Merges adjacent runs, oldest first, into <folder>/<first of the first>-<last of the last>.run, of the first's level + 1:
 * streams through all inputs in pieces, memory bounded by the filters of the result. Durable when OK.
 */
STATUS_MUST_CHECK struct status run_merge(struct files *files, const char *folder, struct run *const *runs,
                                          size_t count, const uint8_t store_uuid[INDEX_UUID_BYTES],
                                          uint32_t nonce, const struct index_pace *pace);
/* Whether they can be merged: false is for ever. Looks at headers only, without blocking. */
bool run_merge_fits(struct run *const *runs, size_t count);
