/*
 * The domain: which types exist, what their payloads look like, which changes a state allows (check), and what
 * an event makes of a state (fold). Pure: no I/O, no clock.
 *
 * fold never fails on a stored event: what it does not understand advances the version and leaves the state.
 * check reads one aggregate only.
 *
 * Ownership  Results live in the arena that is handed in.
 * Threads    Any; a registry never changes once built.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"
#include "record/record.h"

/* Goes up whenever fold gives another state for the same events: older snapshots are then not used. */
#define DOMAIN_REDUCER_VERSION 1

struct domain;

struct domain_options {
    /* supported_event_types; entries may end in '*'; NULL/0 = the built-in ones. Copied. */
    const char *const *event_types;
    size_t event_type_count;
    const char *const *aggregate_types; /* supported_aggregate_types; as above */
    size_t aggregate_type_count;
    bool validation_enabled; /* false: no checks and no payload shapes */
    bool strict;             /* validation_rules.strict: unknown payload members are refused */
};

/* INVALID_ARGUMENT naming the key and the entry that is no type; RESOURCE_EXHAUSTED. */
STATUS_MUST_CHECK struct status domain_new(const struct domain_options *options, struct domain **ret);
void domain_free(struct domain *domain);
DEFINE_CLEANUP(struct domain, domain_free);

/* The names a client may append, for /api/v1/info. */
const char *const *domain_event_types(const struct domain *domain, size_t *ret_count);
const char *const *domain_aggregate_types(const struct domain *domain, size_t *ret_count);

/*
 * TYPE_NOT_ALLOWED naming the type and what is allowed; TYPE_MISMATCH when the event type does not fit the
 * aggregate type. aggregate_type empty = not known yet: only the event type is looked at. event_type empty or
 * one of the system's ("$…"): only the aggregate type is looked at (creating, saving); keeping clients from
 * appending system types is the rule for ids (id_check). Not switched off by validation_enabled.
 */
STATUS_MUST_CHECK struct status domain_check_types(const struct domain *domain, struct bytes event_type,
                                                   struct bytes aggregate_type);

/* The only aggregate type that an event type fits, by its prefix; empty = any. A literal. */
struct bytes domain_fitting_type(struct bytes event_type);

/* Whether appends of this event type to this aggregate type need a check against the aggregate's state. Also
 * asked for system types: "$aggregate_created" and "$state_replaced" need one in some kinds of aggregates.
 * aggregate_type empty = not known yet: what the event type suggests. */
bool domain_needs_check(const struct domain *domain, struct bytes event_type, struct bytes aggregate_type);

/*
 * The shape of a payload: known types against their messages (proto/strata/v1/payload.proto). Every faulty
 * field is named (at most 100, the message has the number). `field` is the path of the data, e.g. "data" or
 * "events[2].data". INVALID_FIELD with faults; UNKNOWN_FIELD when strict and nothing else is wrong;
 * INVALID_JSON. Types that have no message pass unread. Empty data counts as "{}". `data` is JSON: another
 * content type is not to be asked about. `aggregate_id` is the event's, which the payload must not contradict;
 * empty = not known.
 */
STATUS_MUST_CHECK struct status domain_check_payload(const struct domain *domain, struct arena *arena,
                                                     const char *field, struct bytes event_type,
                                                     struct bytes aggregate_id, struct bytes data);

/* Whether an event of that type may carry bytes of another content type than JSON: INVALID_FIELD when its data has a
 * shape that no bytes can have. */
STATUS_MUST_CHECK struct status domain_check_opaque(const struct domain *domain, struct arena *arena,
                                                    struct bytes event_type, struct bytes content_type);

/* As domain_check_payload for a whole state, initial or new: what its type's creating event would carry has those
 * types, nothing is required, and strict does not count. Types that are not built in pass unread. */
STATUS_MUST_CHECK struct status domain_check_state(const struct domain *domain, struct arena *arena,
                                                   const char *field, struct bytes aggregate_type,
                                                   struct bytes state);

/* An aggregate as its events made it. */
struct aggregate_state {
    struct bytes id;
    struct bytes type;
    int32_t version;       /* of the last event folded in */
    struct bytes state;    /* compact JSON object; "{}" when empty */
    struct bytes metadata; /* compact JSON object; "{}" when empty */
    bool active;
    int64_t created_at_us;
    int64_t updated_at_us;
    int64_t position;
    int32_t event_count;
};

/* A fold in progress; begins at nothing or at a former state (a snapshot, a cache entry). */
struct fold;
/* `from` NULL = before the first event; else it is copied. NULL when the arena is exhausted, or
 * when state or metadata of `from` are not JSON objects. The result depends on `from` and the
 * events alone, never on the configuration. */
struct fold *fold_new(const struct domain *domain, struct arena *arena, const struct aggregate_state *from);
/* Events in the order of their versions; nothing of `event` is kept. Takes time linear in the event's size,
 * whatever the state's. RESOURCE_EXHAUSTED only (the fold is then of no more use); never about the event. */
STATUS_MUST_CHECK struct status fold_apply(struct fold *fold, const struct event_fields *event);
bool fold_exists(const struct fold *fold); /* false before the first event */
/* Writes the state into the fold's arena; the fold may go on. */
STATUS_MUST_CHECK struct status fold_result(const struct fold *fold, struct aggregate_state *ret);
/* The same with state and metadata in another arena, so that asking often does not let the fold's grow. */
STATUS_MUST_CHECK struct status fold_result_in(const struct fold *fold, struct arena *arena,
                                               struct aggregate_state *ret);

/*
 * May `event` follow? `fold` is the state it would follow (before fold_apply). TRANSITION_REFUSED with a
 * message that names the states and what is allowed; also the check of "$state_replaced" and
 * "$aggregate_created" data. The rules are in docs/domain.md.
 */
STATUS_MUST_CHECK struct status domain_check(const struct domain *domain, const struct fold *fold,
                                             const struct event_fields *event);
