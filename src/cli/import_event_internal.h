/*
 * One line of an import, an event in the JSON of the REST API, as what is to be sent for it.
 *
 * Ownership  What is made lives in the arena that is handed in.
 * Threads    Any.
 * Blocking   Never.
 */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

enum import_kind {
    IMPORT_EVENT,    /* appended, as a NewEvent */
    IMPORT_CREATED,  /* $aggregate_created: CreateAggregate */
    IMPORT_REPLACED, /* $state_replaced, $metadata_changed, $activated, $deactivated: SaveAggregate */
    IMPORT_SKIPPED,  /* the store's own word about itself */
};

struct import_event {
    enum import_kind kind;
    struct bytes id;
    struct bytes append_id; /* of the append it was in; empty = not known */
    int32_t append_index;
    int32_t append_count; /* 0 = not known */
    struct bytes request; /* packed NewEvent, CreateAggregateRequest or SaveAggregateRequest */
};

/*
 * `key` empty, or what ids are made from where a line has none. The time goes along as occurred_at: the line's own, else
 * its timestamp. INVALID_ARGUMENT says what is wrong with the line.
 */
STATUS_MUST_CHECK struct status import_event_read(struct arena *arena, struct bytes line,
                                                  uint64_t line_number, struct bytes key,
                                                  struct import_event *ret);

/*
 * Whether a stored event (packed Event) is what appending `sent` (packed NewEvent) made. Asked where an id is used: then
 * the event is there already, or another has its id.
 */
STATUS_MUST_CHECK struct status import_event_is_stored(struct arena *arena, struct bytes sent,
                                                       struct bytes stored, bool *ret);
