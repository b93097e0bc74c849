/*
 * One aggregate in a C program that needs no server: load its history, apply new events under the rules of the domain,
 * hand the uncommitted ones to a store, say which of them it took.
 *
 *     aggregate_new(domain, id, type, &order);
 *     aggregate_load(order, stored, stored_count);        // or aggregate_load_record in the sink of a read
 *     aggregate_apply(order, &event);                     // refused: nothing has changed
 *     events = aggregate_uncommitted(order, &count);      // append them, expecting aggregate_committed_version
 *     aggregate_mark_committed(order, version, position, timestamp_us);
 *
 * What an event must look like, whether it may follow and what it makes of the state is what the service does with it:
 * the same functions decide (domain.h). What a store decides (ids used before, limits, sizes, whether somebody else
 * was faster) is not known here; after a conflict free the aggregate and load it again.
 *
 * Ownership  The domain is borrowed and outlives the aggregate. Everything handed in is copied. What an aggregate hands
 *            out is its own unless an arena is asked for.
 * Threads    One at a time for each aggregate; the domain may be shared.
 * Blocking   Never: no clock, no store, no randomness.
 * Errors     RESOURCE_EXHAUSTED from load, apply or mark means that memory ran out, possibly half-way: the aggregate
 *            then refuses everything and can only be freed.
 */
#pragma once

#include "domain/domain.h"

struct aggregate;

/* An append takes no more at once. */
#define AGGREGATE_UNCOMMITTED_MAX 1000U

/*
 * An aggregate without events. Whether `type` may be appended to is asked by aggregate_apply: what is stored can
 * always be loaded.
 *   INVALID_ARGUMENT/INVALID_ID  id or type
 *   RESOURCE_EXHAUSTED
 */
STATUS_MUST_CHECK struct status aggregate_new(const struct domain *domain, struct bytes id, struct bytes type,
                                              struct aggregate **ret);
/* As all events up to `from` made it, a snapshot for instance; the history goes on after from->version. In addition:
 *   INVALID_ARGUMENT/INVALID_JSON  its state or metadata is not a JSON object */
STATUS_MUST_CHECK struct status
aggregate_new_from(const struct domain *domain, const struct aggregate_state *from, struct aggregate **ret);
void aggregate_free(struct aggregate *aggregate); /* NULL is fine */
DEFINE_CLEANUP(struct aggregate, aggregate_free);

/*
 * Stored events in the order of their versions, all or none of them; they are folded without being checked, as history
 * is a fact. The first has version 1, or 0 when it is "$aggregate_created"; each further one the next.
 *   DATA_LOSS/DAMAGED               a version is missing; the message names it
 *   INVALID_ARGUMENT/INVALID_FIELD  an event of another aggregate, a version that was there before, a first version
 *                                   that its type cannot have
 *   TYPE_MISMATCH                   an event of an aggregate of another type
 *   FAILED_PRECONDITION             there are uncommitted events: history cannot come after them
 */
STATUS_MUST_CHECK struct status aggregate_load(struct aggregate *aggregate, const struct event_fields *events,
                                               size_t count);
/* The same for one record. In addition DATA_LOSS/DAMAGED when it is not an event. */
STATUS_MUST_CHECK struct status aggregate_load_record(struct aggregate *aggregate, struct record record);

/*
 * A new event: checked, folded in and kept as uncommitted. Of `event` count id (may be empty), type, data, metadata,
 * correlation_id, causation_id, content_type, schema_version, tags, subject and occurred_at. aggregate_id and
 * aggregate_type may be left out; a version other than 0 says which one the caller expects it to get.
 *
 * Besides the types of clients these of the system's: "$aggregate_created" (data = initial state, metadata = the
 * aggregate's; only as the first event), and on an aggregate that exists "$state_replaced" (data = the whole new
 * state), "$metadata_changed" (data = a merge patch), "$activated" and "$deactivated".
 *
 * On failure nothing has changed. Faulty fields listed in a status live until the next apply.
 *   INVALID_ID, INVALID_JSON, INVALID_FIELD, UNKNOWN_FIELD, TYPE_NOT_ALLOWED, TYPE_MISMATCH  as domain.h says
 *   TRANSITION_REFUSED   by the check of its type against the state, uncommitted events included
 *   AGGREGATE_EXISTS, AGGREGATE_UNKNOWN  a system event in the wrong place
 *   VERSION_CONFLICT     event->version is not the next one
 *   APPEND_TOO_LARGE     AGGREGATE_UNCOMMITTED_MAX events wait already
 */
STATUS_MUST_CHECK struct status aggregate_apply(struct aggregate *aggregate,
                                                const struct event_fields *event);

/*
 * The uncommitted events, oldest first, with the versions they will have: data and metadata compact, aggregate id and
 * type filled in, position and timestamp 0. The aggregate's, until the next apply or mark; NULL when there are none.
 */
const struct event_fields *aggregate_uncommitted(const struct aggregate *aggregate, size_t *ret_count);

/*
 * A store took the uncommitted events up to `version`, in one append; `position` and `timestamp_us` are those it
 * gave the last of them. The others stay uncommitted, so an append may take them in portions. A version that was
 * committed before is nothing new and no error.
 *   OUT_OF_RANGE  `version` lies below the committed one, or no event has it yet
 */
STATUS_MUST_CHECK struct status aggregate_mark_committed(struct aggregate *aggregate, int32_t version,
                                                         int64_t position, int64_t timestamp_us);

struct bytes aggregate_id(const struct aggregate *aggregate);
struct bytes aggregate_type(const struct aggregate *aggregate);
/* An event, stored or not, has begun it. One that was only created is at version 0, like one without any. */
bool aggregate_exists(const struct aggregate *aggregate);
bool aggregate_active(const struct aggregate *aggregate);     /* false without events */
int32_t aggregate_version(const struct aggregate *aggregate); /* uncommitted events included */
int32_t aggregate_committed_version(const struct aggregate *aggregate);

/*
 * The whole aggregate, uncommitted events included, written into `arena`: state and metadata as compact JSON. As long
 * as the last event is uncommitted, its position and updated_at are 0, and so is created_at of one that is all
 * uncommitted.
 */
STATUS_MUST_CHECK struct status aggregate_state(const struct aggregate *aggregate, struct arena *arena,
                                                struct aggregate_state *ret);
