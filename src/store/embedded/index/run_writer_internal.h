/*
 * Writes the sections of a .run in their order from entries that come sorted: ids, keys, then the lists in the order of
 * the keys. Directories and filters grow in memory beside it: that is what a merge's memory is bounded by.
 *
 *   run_writer_open → run_writer_id … → run_writer_key … → run_writer_lists →
 *   (run_writer_mark, run_writer_bytes …, run_writer_pad) … → run_writer_finish
 *
 * Ownership  Of who opened it. run_writer_free() removes what was not finished.
 * Threads    One.  Blocking  Yes.
 * Errors     As index_file_internal.h; OUT_OF_RANGE: the lists do not fit in what an entry can name.
 */
#pragma once

#include "run_format_internal.h"

struct run_writer;

STATUS_MUST_CHECK struct status run_writer_open(const struct index_place *place, uint32_t nonce,
                                                const struct index_pace *pace, const struct run_facts *facts,
                                                uint32_t id_count, uint32_t key_count,
                                                struct run_writer **ret);
void run_writer_free(struct run_writer *writer); /* NULL is fine */
DEFINE_CLEANUP(struct run_writer, run_writer_free);

/* Exactly as many as were announced, by class, then by position. */
STATUS_MUST_CHECK struct status run_writer_id(struct run_writer *writer, uint64_t class, uint32_t delta);
/* `list_bytes` = size of the list that will follow, without padding; 0 = none. `entry->list` is not looked at. */
STATUS_MUST_CHECK struct status run_writer_key(struct run_writer *writer, const struct run_entry *entry,
                                               uint32_t list_bytes);
/* All keys were written: makes their filter, which run_writer_mark() fills with each of them once more. */
STATUS_MUST_CHECK struct status run_writer_lists(struct run_writer *writer);
void run_writer_mark(struct run_writer *writer, uint64_t class);
/* A part of a list; run_writer_pad() ends it. */
STATUS_MUST_CHECK struct status run_writer_bytes(struct run_writer *writer, const uint8_t *data, size_t size);
STATUS_MUST_CHECK struct status run_writer_pad(struct run_writer *writer);
STATUS_MUST_CHECK struct status run_writer_finish(struct run_writer *writer, int64_t uuid7_min_ms,
                                                  int64_t uuid7_max_ms);
