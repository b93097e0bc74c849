/*
 * What a .part holds behind the common fields of its header page, in logical offsets:
 *
 *   header   48  first position i64 · count u32 · '$…' events u32 · created aggregates u32 · terms u32
 *            72  segment epoch u64 · end offset u64 · chain 32 bytes
 *           120  timestamp of the first event i64 · of the last i64 · writer epoch u64
 *           144  bytes of the lists u64 · bytes of the texts u64
 *   places   8 bytes an event: offset u32 · header CRC u32; 511 in a page, so that none lies in two
 *   samples  timestamp i64 of every 256th event, from the first
 *   terms    32 bytes each, ascending by hash: XXH3 of the text, seeded with nonce + kind · 2^32, u64 · offset in texts u32
 *            · length of the text u16 · kind u8 · zero u8 · count u32 · last position - first u32 · offset in lists / 4 u32
 *            · zero u32
 *   lists    posting_codec_internal.h
 *   texts
 *
 * A term is found by bisection of the terms: they are few, and then lie in one page.
 *
 * Ownership  Plain values.  Threads  Any.  Blocking  Never.
 */
#pragma once

#include "index_file_internal.h"
#include "store/embedded/index/index_part.h"

#define PLACE_BYTES  8U
#define SAMPLE_BYTES 8U
#define TERM_BYTES   32U

/* The header page, and what follows from it. */
struct part_layout {
    struct part_facts facts;
    uint32_t term_count;
    uint64_t list_bytes;
    uint64_t text_bytes;
    uint64_t places_at;
    uint64_t samples_at;
    uint64_t terms_at;
    uint64_t lists_at;
    uint64_t texts_at;
    uint64_t end;
};

struct part_term_entry {
    uint64_t hash;
    uint32_t text_at;
    uint32_t text_bytes;
    enum part_term_kind kind;
    uint32_t count;
    uint32_t last_delta;
    uint32_t list_quarter; /* offset in lists / 4; meaningless for count 1 */
};

uint32_t part_sample_count(uint32_t event_count);
void part_layout_encode(const struct part_layout *layout, uint8_t header[INDEX_PAGE_BYTES]);
/* Of a header page that was checked. False when counts contradict each other; offsets are filled. */
bool part_layout_decode(const uint8_t header[INDEX_PAGE_BYTES], struct part_layout *ret);

uint64_t part_term_hash(uint32_t nonce, enum part_term_kind kind, struct bytes text);
void part_term_encode(const struct part_term_entry *entry, uint8_t to[TERM_BYTES]);
void part_term_decode(const uint8_t from[TERM_BYTES], struct part_term_entry *ret);
