/* Wire bytes of replies: stored records are copied as they are, with the computed fields behind them. */
#pragma once

#include "service/service_internal.h"

#define FIELD_EVENT_PROCESSED    40U
#define FIELD_EVENT_PROCESSED_AT 41U

/* A google.protobuf.Timestamp as field `number`. */
void wire_put_time(struct buffer *to, uint32_t number, int64_t time_us);
void wire_put_int(struct buffer *to, uint32_t number, int64_t value); /* nothing for 0, as proto3 has it */
void wire_put_text(struct buffer *to, uint32_t number, struct bytes text); /* nothing for an empty one */

/* Room for so many bytes more, which are then written without growing. */
void wire_reserve(struct buffer *to, size_t size_bytes);

/* A stored event as field `number`, with `processed` and `processed_at`. */
void wire_put_event(struct buffer *to, uint32_t number, struct service *service, int64_t position,
                    struct record record);
/* The same as a whole message. */
void wire_put_event_message(struct buffer *to, struct service *service, int64_t position,
                            struct record record);

/* The fields of strata.v1.Aggregate that a state has. */
void wire_put_state(struct buffer *to, const struct aggregate_state *state);
/* And those of a reply: the etag, the position that `as_of` resolved to, `replayed`. */
struct aggregate_reply {
    bool without_state;
    bool without_etag;
    bool replayed;
    int64_t as_of_position;
};
void wire_put_aggregate(struct buffer *to, const struct aggregate_state *state,
                        const struct aggregate_reply *reply);
#define FIELD_AGGREGATE_EVENTS 11U

/* Copies all texts into the arena. */
STATUS_MUST_CHECK struct status state_copy(const struct aggregate_state *from, struct arena *arena,
                                           struct aggregate_state *ret);

/* NULL without memory, or for 0. */
Google__Protobuf__Timestamp *time_to_proto(struct arena *arena, int64_t time_us);
