/*
 * How a list of ascending positions is coded. Everything in it is relative to its last position, which stands in the
 * entry that names the list: so a list is copied into a merged run as it is. Lists begin at multiples of 4 bytes.
 *
 *   2 … 128 positions   count u8 · block
 *   more                0 u32 · count u32 · bytes of the list u32, without the zeros behind it · directory · blocks of 128
 *                       (the last may be shorter)
 *   directory           for each block: the list's last position - the block's last u32 · offset from the list's begin u32
 *   block               n - 1 varints, from its last position down: distance to the one before, minus 1
 *
 * A varint has 7 bits a byte, low ones first, the high bit saying that more follow, and at most 5 bytes. A list of one has
 * no bytes. Nothing read from the file is trusted for an offset or a length: damage is reported, never followed.
 *
 * Ownership  Everything is borrowed.  Threads  Any.
 * Blocking   posting_read(), posting_behind(), posting_count(), posting_check(): yes.
 */
#pragma once

#include "index_file_internal.h"
#include "store/embedded/index/posting_list.h"

#define POSTING_BLOCK_POSITIONS 128U
#define POSTING_ALIGN_BYTES     4U
/* A short list, and so much of a long one as posting_size() wants to see. */
#define POSTING_SHORT_MAX_BYTES (1U + (POSTING_BLOCK_POSITIONS - 1U) * 5U)
#define POSTING_LONG_HEAD_BYTES 12U

/* The lists of one file. */
struct posting_source {
    const struct index_reader *reader;
    uint64_t at; /* of the first list */
    uint64_t end;
    int64_t first_position; /* what the file covers */
    int64_t last_position;
};

/* Appends the list, and zeros up to a multiple of 4. `count` ≥ 2; positions ascend and span less than 2^32. */
void posting_encode(struct buffer *to, const int64_t *positions, uint32_t count,
                    const struct index_pace *pace);

/*
 * Bytes of the list that begins at list[0], without the zeros behind it. `size` = how many are there, at least
 * POSTING_SHORT_MAX_BYTES unless the section ends. 0 = this is no list.
 */
uint32_t posting_size(const uint8_t *list, size_t size);

static inline uint64_t posting_padded(uint64_t size_bytes)
{
    return (size_bytes + POSTING_ALIGN_BYTES - 1) / POSTING_ALIGN_BYTES * POSTING_ALIGN_BYTES;
}

/* How many positions the list at `at` has. */
STATUS_MUST_CHECK struct status posting_count(const struct posting_source *source, uint64_t at,
                                              uint32_t *ret_count);
STATUS_MUST_CHECK struct status posting_read(const struct posting_source *source,
                                             const struct posting_list *list, uint32_t from, int64_t *ret,
                                             uint32_t count);
STATUS_MUST_CHECK struct status posting_behind(const struct posting_source *source,
                                               const struct posting_list *list, int64_t position,
                                               uint32_t *ret);
/* Decodes all of it: positions ascend and lie inside what the file covers. */
STATUS_MUST_CHECK struct status posting_check(const struct posting_source *source,
                                              const struct posting_list *list);
