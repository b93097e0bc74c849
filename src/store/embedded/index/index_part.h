/*
 * The part of the index that belongs to one full segment and is never merged: where each record lies, its times, and the
 * positions of the few names that many events share (event types, aggregate types, creations). A file
 * index/<20-digit first position>.part, immutable, a projection of its segment: losing it loses nothing.
 *
 * Ownership  A part_builder and a part belong to who made them. Texts and positions given to a builder are borrowed until
 *            part_builder_write() has returned. `files` outlives both.
 * Threads    A builder: one. A part: any number, without a lock; nothing of it ever changes.
 * Blocking   part_builder_write(), part_open() and every reading function: yes (pread).
 * Errors     NOT_FOUND: no such file. FAILED_PRECONDITION/DATA_LOSS (REASON_DAMAGED): the file is not what was written, or is
 *            another store's; the caller drops the index and builds it anew. CANCELLED: the pace said so; no file is left.
 *            RESOURCE_EXHAUSTED: no space, no memory.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/files.h"
#include "store/embedded/index/posting_list.h"

#define INDEX_UUID_BYTES 16U

/* What the store must know of a full segment without reading it. */
struct part_facts {
    int64_t first_position;
    uint32_t count;         /* events; the last position is first_position + count - 1 */
    uint64_t segment_epoch; /* as in the segment's header */
    uint64_t end_offset;    /* behind its last frame */
    struct sha256 chain;    /* after its last event */
    int64_t first_timestamp_us;
    int64_t timestamp_us;   /* of its last event */
    uint64_t writer_epoch;  /* of its last frame */
    uint32_t system_count;  /* '$…' events */
    uint32_t created_count; /* aggregates whose first event is here */
};

/* Where a record lies and what the CRC-32C of its prefix and header must be. */
struct place {
    uint32_t offset; /* of the entry's prefix in the segment */
    uint32_t header_crc;
};

enum part_term_kind {
    PART_EVENT_TYPE,
    PART_AGGREGATE_TYPE,
    PART_CREATED, /* first events of aggregates; text = their aggregate type. All of them: the union over texts */
};

/* ---- writing ---- */

struct part_builder;

STATUS_MUST_CHECK struct status part_builder_new(const struct part_facts *facts, struct part_builder **ret);
void part_builder_free(struct part_builder *builder); /* NULL is fine */
DEFINE_CLEANUP(struct part_builder, part_builder_free);

/* For each position, in order. */
STATUS_MUST_CHECK struct status part_builder_add_place(struct part_builder *builder, struct place place,
                                                       int64_t timestamp_us);
/* Each (kind, text) at most once; positions ascending, all inside the segment. */
STATUS_MUST_CHECK struct status part_builder_add_term(struct part_builder *builder, enum part_term_kind kind,
                                                      struct bytes text, const int64_t *positions,
                                                      size_t count);

/* How background work behaves: both files' writers and the merge take it. */
struct index_pace {
    uint64_t sync_every_bytes; /* smooths the disk: synced each so many bytes; 0 = only at the end */
    /* Asked between pieces; false ends the work with CANCELLED and leaves no file. NULL = never. */
    bool (*go_on)(void *context);
    void *context;
    /* Called after every few µs of computing, so that it can give way to others; NULL = never. */
    void (*rest)(void *context);
};

static inline void index_pace_rest(const struct index_pace *pace)
{
    if (pace != NULL && pace->rest != NULL)
        pace->rest(pace->context);
}

/* Writes <folder>/<first>.part durably (as .tmp, synced, renamed; the folder is synced by who writes the MANIFEST). */
STATUS_MUST_CHECK struct status part_builder_write(struct part_builder *builder, struct files *files,
                                                   const char *folder,
                                                   const uint8_t store_uuid[INDEX_UUID_BYTES], uint32_t nonce,
                                                   const struct index_pace *pace);

/* ---- reading ---- */

struct part;

/* Reads and checks header, length and what is kept in memory: nothing that grows with the events. */
STATUS_MUST_CHECK struct status part_open(struct files *files, const char *folder, int64_t first_position,
                                          const uint8_t store_uuid[INDEX_UUID_BYTES], struct part **ret);
void part_close(struct part *part); /* NULL is fine */
DEFINE_CLEANUP(struct part, part_close);

const struct part_facts *part_facts(const struct part *part);

/* A page holds so many places, counted from the segment's first position; no place lies in two. */
#define PART_PAGE_PLACES 511U

/*
 * Places of `count` consecutive positions by one pread, unchecked: `header_crc` is itself the check, and who finds
 * that a record does not fit asks part_places_checked() before calling the log damaged.
 */
STATUS_MUST_CHECK struct status part_places(const struct part *part, int64_t position, struct place *ret,
                                            size_t count);
STATUS_MUST_CHECK struct status part_places_checked(const struct part *part, int64_t position,
                                                    struct place *ret, size_t count);

/* ret->count = 0 when no event of the segment has it. */
STATUS_MUST_CHECK struct status part_term(const struct part *part, enum part_term_kind kind,
                                          struct bytes text, struct posting_list *ret);
/* The list's positions: see posting_list.h. */
STATUS_MUST_CHECK struct status part_list_read(const struct part *part, const struct posting_list *list,
                                               uint32_t from, int64_t *ret, uint32_t count);
STATUS_MUST_CHECK struct status part_list_behind(const struct part *part, const struct posting_list *list,
                                                 int64_t position, uint32_t *ret);

/* Every term of the segment with its count, in any order; the text is valid during the call. False ends the walk. */
typedef bool (*part_term_sink)(void *context, enum part_term_kind kind, struct bytes text,
                               const struct posting_list *list);
STATUS_MUST_CHECK struct status part_terms(const struct part *part, part_term_sink sink, void *context);

/*
 * A position from which to look on for a time: the greatest sampled position of the segment whose timestamp is ≤ time_us
 * (samples are PART_SAMPLE_EVENTS apart, the first at first_position). The caller knows that the first one's is.
 */
#define PART_SAMPLE_EVENTS 256U
STATUS_MUST_CHECK struct status part_sample(const struct part *part, int64_t time_us, int64_t *ret_position);

/* Reads and checks every page: for `strata verify`. */
STATUS_MUST_CHECK struct status part_check(const struct part *part);
uint64_t part_size_bytes(const struct part *part);     /* on the disk */
uint64_t part_resident_bytes(const struct part *part); /* in memory */
