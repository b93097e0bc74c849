/*
 * What an append asks and what comes of it: the words that service, writer, decide and engines share.
 *
 * Ownership  An append and everything it points to belongs to its maker and stays untouched until `on_done`
 *            has been called. The outcome is valid only during on_done.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/status.h"
#include "record/query.h"
#include "record/record.h"

#define APPEND_EVENTS_MAX 1000U
#define APPEND_BYTES_MAX  ((size_t)8 * 1024 * 1024)
#define EVENT_DATA_MAX    ((size_t)3 * 1024 * 1024)

/* One event to be recorded. Ids, JSON and shapes were checked by service. Version, position and time are decide's. */
struct append_event {
    struct bytes id; /* always set: the client's, derived from append_id, or a UUIDv7 */
    struct bytes type;
    struct bytes aggregate_id;
    struct bytes aggregate_type; /* may be empty when the aggregate exists: taken from its head */
    struct bytes fitting_type;   /* the only aggregate type that the event's type fits; empty = any */
    struct bytes correlation_id;
    struct bytes causation_id;
    struct bytes content_type;
    int32_t schema_version;
    struct bytes tags[RECORD_TAGS_MAX];
    size_t tag_count;
    struct bytes subject;
    bool has_occurred_at;
    int64_t occurred_at_us;
    struct bytes data;     /* compact JSON or opaque bytes */
    struct bytes metadata; /* compact JSON object or empty */
};

enum expectation_kind {
    EXPECT_VERSION,   /* at `version`; 0: unknown, or created and nothing since */
    EXPECT_NOT_EXIST, /* not even created; a miss is VERSION_CONFLICT */
    EXPECT_EXIST,
    EXPECT_CREATE,   /* as EXPECT_NOT_EXIST, but a miss is AGGREGATE_EXISTS */
    EXPECT_IF_MATCH, /* as EXPECT_VERSION (of an aggregate that exists), but a miss is IF_MATCH_FAILED */
};

struct expectation {
    struct bytes aggregate_id;
    enum expectation_kind kind;
    int32_t version;
};

/* Fails when an event after `after_position` matches. Service has found none up to `checked_to`. */
struct append_condition {
    struct event_query fail_if_match;
    int64_t after_position;
    int64_t checked_to;
};

/*
 * The domain check's word about one aggregate, given before the append was queued: it holds only if the
 * aggregate is at `validated_at` when the append is decided, else decide says REVALIDATE. Appends of a lane that nothing
 * checks carry one too (OK): it keeps them behind their predecessors.
 *
 * `broken` is shared by appends that were validated one on top of the other; NULL = it stands on none. A version alone
 * does not say whether the event there is the predecessor's: another process may have taken it. So once one of them is
 * sent back, all that are decided later are; service says so too of one that was not recorded for another reason.
 */
struct append_verdict {
    struct bytes aggregate_id;
    int32_t validated_at; /* STATUS_VERSION_NONE (-1) = validated as an unknown aggregate */
    struct status status; /* OK, or the refusal (TRANSITION_REFUSED, …) */
    atomic_bool *broken;
    bool stands_on_none; /* the first of them: sent back for its own version only */
};

/* Limits of the store; 0 = none. */
struct append_limits {
    int64_t events_max;
    int64_t aggregates_max;
    int32_t aggregate_events_max;
    size_t event_data_max_bytes; /* at most EVENT_DATA_MAX */
};

enum append_outcome_kind {
    APPEND_ACCEPTED,
    APPEND_REPLAYED,
    APPEND_REFUSED,
    APPEND_REVALIDATE, /* a verdict is about another version; service folds the new tail and tries again */
};

struct aggregate_head_change {
    struct bytes aggregate_id;
    struct bytes aggregate_type;
    int32_t version;
    int64_t position; /* of its last event in this append */
};

struct append_outcome {
    enum append_outcome_kind kind;
    struct status status; /* OK when accepted or replayed; else why */
    size_t faulty_event;  /* INVALID_FIELD: which event's aggregate_type is missing, from 1; else 0 */
    struct bytes append_id;
    int64_t first_position; /* validate_only: what it would be */
    int64_t timestamp_us;
    const struct record *records; /* all events of the append, in order, as stored */
    size_t record_count;
    const struct aggregate_head_change *heads; /* one an aggregate, in order of first mention */
    size_t head_count;
};

struct append {
    struct bytes append_id; /* always set */
    bool ids_server_made;   /* UUIDv7 made for this append: no lookup needed */
    const struct append_event *events;
    size_t event_count;
    const struct expectation *expectations;
    size_t expectation_count;
    const struct append_condition *condition; /* NULL = none */
    const struct append_verdict *verdicts;    /* one for each checked aggregate */
    size_t verdict_count;
    struct bytes actor;
    struct bytes traceparent;
    bool validate_only;   /* decide, answer, write nothing */
    size_t encoded_bytes; /* estimate for closing batches: sum of all field sizes + 128 an event */

    /* Called once, on a thread of the writer's; must not block. The append may be freed in it. */
    void (*on_done)(struct append *append, const struct append_outcome *outcome);
    struct append *next; /* the writer's queue; nobody else's */
};
