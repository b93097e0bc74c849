/*
 * Reads records by position through a view: finds their places in tables or parts, and the bytes in the log.
 *
 * Ownership  Belongs to one read. The view is borrowed and outlives it; a record is valid until the next call.
 * Threads    One a reader.  Blocking  Yes.
 */
#pragma once

#include "record_reader_internal.h"
#include "view_internal.h"

struct embedded_store;

#define PLACES_AHEAD 512U /* read along when reading in order */

struct view_reader {
    struct embedded_store *store;
    const struct index_view *view;
    struct record_reader records;
    size_t part; /* whose places are here, from places_first on */
    int64_t places_first;
    uint32_t places_count;
    struct place places[PLACES_AHEAD + 1];
};

void view_reader_init(struct view_reader *reader, struct embedded_store *store, const struct index_view *view,
                      enum read_order order);
void view_reader_done(struct view_reader *reader);
void view_reader_order(struct view_reader *reader, enum read_order order);

/*
 * The position is one of the view's, and not behind the head that the caller knows.
 *   DATA_LOSS/DAMAGED          the record is not what was written
 *   UNAVAILABLE/STORE_FAILED   the index is not what was written (embedded_index_trouble)
 */
STATUS_MUST_CHECK struct status view_reader_get(struct view_reader *reader, int64_t position,
                                                struct record *ret);
/* The same, and the fields of its header. */
STATUS_MUST_CHECK struct status view_reader_fields(struct view_reader *reader, int64_t position,
                                                   struct event_fields *ret);
