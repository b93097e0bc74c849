#include "view_reader_internal.h"

#include <assert.h>

#include "embedded_internal.h"

void view_reader_init(struct view_reader *reader, struct embedded_store *store, const struct index_view *view,
                      enum read_order order)
{
    reader->store = store;
    reader->view = view;
    reader->records = record_reader_make(store->segments, order);
    reader->part = 0;
    reader->places_first = 0;
    reader->places_count = 0; /* the places themselves stay unset: many readers read but one record */
}

void view_reader_done(struct view_reader *reader)
{
    record_reader_done(&reader->records);
}

void view_reader_order(struct view_reader *reader, enum read_order order)
{
    reader->records.order = order;
}

/* Where the next entry begins at the earliest, or the segment ends: no record is longer. */
static uint32_t room_of(const struct view_reader *reader, const struct view_part *part, uint32_t number)
{
    const uint32_t offset = reader->places[number].offset;
    const uint64_t end = number + 1 < reader->places_count ? reader->places[number + 1].offset
                                                           : part_facts(part->part)->end_offset;
    /* Places are unchecked here: nonsense makes a record that does not fit, and is looked into then. */
    return end > offset && end - offset <= UINT32_MAX ? (uint32_t)(end - offset) : 0;
}

static struct location location_in_part(const struct view_reader *reader, int64_t position)
{
    const uint32_t number = (uint32_t)(position - reader->places_first);
    const struct view_part *part = reader->view->parts[reader->part];
    return (struct location){
        .segment = (uint32_t)reader->part,
        .offset = reader->places[number].offset,
        .room_bytes = room_of(reader, part, number),
        .header_crc = reader->places[number].header_crc,
    };
}

static bool has_place(const struct view_reader *reader, int64_t position)
{
    return position >= reader->places_first &&
           position < reader->places_first + (int64_t)reader->places_count;
}

/* A record among many others: its place comes from the cache, or the whole page goes there. */
static struct status read_page(struct view_reader *reader, const struct view_part *part, int64_t position)
{
    struct place_cache *cache = reader->store->page_places;
    const uint32_t number = (uint32_t)(position - part->first) % PART_PAGE_PLACES;
    const int64_t page = position - number;
    reader->places_first = position;
    if (place_cache_get(cache, page, number, reader->places, &reader->places_count))
        return status_ok();
    const int64_t left = part->last - page + 1;
    const uint32_t count = left < (int64_t)PART_PAGE_PLACES ? (uint32_t)left : PART_PAGE_PLACES;
    STATUS_TRY(part_places_checked(part->part, page, reader->places, count));
    place_cache_put(cache, page, reader->places, count);
    reader->places_first = page;
    reader->places_count = count;
    return status_ok();
}

/* Reads the place, and those before or behind it when neighbours are likely to come next. */
static struct status read_around(struct view_reader *reader, const struct view_part *part, int64_t position,
                                 bool checked)
{
    int64_t first = position;
    int64_t last = position;
    if (reader->records.order == READ_FORWARD)
        last = position + PLACES_AHEAD;
    if (reader->records.order == READ_BACKWARD) {
        first = position - PLACES_AHEAD + 1;
        last = position + 1;
    }
    first = first < part->first ? part->first : first;
    last = last > part->last ? part->last : last;
    reader->places_first = first;
    reader->places_count = (uint32_t)(last - first + 1);
    return checked ? part_places_checked(part->part, first, reader->places, reader->places_count)
                   : part_places(part->part, first, reader->places, reader->places_count);
}

static struct status read_places(struct view_reader *reader, int64_t position, bool checked)
{
    reader->part = view_part_of(reader->view, position);
    assert(reader->part < reader->view->part_count);
    const struct view_part *part = reader->view->parts[reader->part];
    const bool scattered = reader->records.order == READ_SCATTERED;
    const struct status status = scattered && !checked ? read_page(reader, part, position)
                                                       : read_around(reader, part, position, checked);
    if (status.code == STATUS_OK)
        return status;
    reader->places_count = 0;
    return embedded_index_trouble(reader->store, &status);
}

/* The record does not fit its place: if the place is wrong the index is damaged, and the log perhaps not at all. */
static struct status get_checked(struct view_reader *reader, int64_t position, struct location unchecked,
                                 const struct status *why, struct record *ret)
{
    STATUS_TRY(read_places(reader, position, true));
    const struct location location = location_in_part(reader, position);
    /* The room follows from what is known of the neighbours, which need not be the same. */
    if (location.offset == unchecked.offset && location.header_crc == unchecked.header_crc)
        return *why;
    return record_reader_get(&reader->records, position, location, ret);
}

struct status view_reader_get(struct view_reader *reader, int64_t position, struct record *ret)
{
    const struct index_view *view = reader->view;
    if (position > view->built)
        return record_reader_get(&reader->records, position,
                                 locations_at(&view_table_of(view, position)->locations, position), ret);
    if (!has_place(reader, position))
        STATUS_TRY(read_places(reader, position, false));
    const struct location location = location_in_part(reader, position);
    const struct status status = record_reader_get(&reader->records, position, location, ret);
    return status.code != STATUS_DATA_LOSS ? status : get_checked(reader, position, location, &status, ret);
}

struct status view_reader_fields(struct view_reader *reader, int64_t position, struct event_fields *ret)
{
    struct record record;
    STATUS_TRY(view_reader_get(reader, position, &record));
    return record_decode_header(record, ret);
}
