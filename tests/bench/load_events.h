/*
 * Events for load, written straight into the wire: cheap enough that the client doesn't decide the figure.
 *
 * `data` is a JSON object of `data_bytes`: ten members of the kinds that events have (texts, numbers, a nested
 * object, an array), and a note that fills it up. Ids given by the client look like random UUIDs and depend on the
 * seed and a counter only, so that a run can be repeated, or made to differ.
 *
 * Threads    One at a time for each maker.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_EVENT_BYTES_MAX  70000U /* of an event whose texts keep to the limits below */
#define LOAD_DATA_BYTES_MAX   65536
#define LOAD_DATA_BYTES_LEAST 300
#define LOAD_TEXT_MAX         100U /* of each text in the options */

struct load_event_options {
    const char *prefix; /* of aggregate ids */
    const char *type;
    const char *aggregate_type;
    long aggregates; /* events go to so many in turn */
    long data_bytes;
    bool client_ids;
    uint64_t seed; /* of the clients' ids */
};

struct load_event_maker {
    struct load_event_options options;
    uint64_t made;
};

/* Writes such `data`, `data_bytes` of it: LOAD_DATA_BYTES_LEAST or more. Returns its end. */
uint8_t *load_data_put(uint8_t *to, size_t data_bytes, uint64_t number);

/* Writes a NewEvent (or a PublishEventRequest: the numbers are the same); returns its end. */
uint8_t *load_event_put(struct load_event_maker *maker, uint8_t *to);
