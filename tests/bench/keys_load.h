/*
 * Appends that are named by a number: what each sends, and what each is answered, without remembering any.
 *
 * Append n, from 0, is one event or (each eighth) two. Most are named by an append_id; of eight, one brings the id of
 * its event, another such an id of UUID version 7 whose time goes on with n. Events go to `aggregates` aggregates in
 * turn. When appends are made in the order of their numbers and nothing else is, position and version of each event
 * follow from n. Only the time does not.
 *
 * Ownership  Requests and answers are written into the caller's buffer.
 * Threads    One at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* What is changed in a retry that must be refused. */
enum key_change {
    KEY_SAME,
    KEY_OTHER_DATA,  /* the last event's data has a member more */
    KEY_OTHER_COUNT, /* the second event is left out, or there is one more */
    KEY_OTHER_FIRST, /* a new event stands before; only where keys_brings_ids() */
};

bool keys_brings_ids(int64_t number);

/* Events of appends 0 … number - 1, that is the position before append `number`. */
int64_t keys_events_before(int64_t number);

/* Packs an AppendStreamRequest. */
void keys_put_request(int64_t number, int64_t aggregates, enum key_change change, struct buffer *to);

/* Packs the AppendStreamResponse that append `number` gets as message `sequence`, recorded at `timestamp_us`. */
void keys_put_answer(int64_t number, int64_t aggregates, int64_t sequence, int64_t timestamp_us,
                     bool replayed, struct buffer *to);
