/*
 * An append on its way through the service: built from a request in an arena, sent into the writer straight or
 * through lanes, answered once from whatever thread completes it.
 */
#pragma once

#include "service/checks_internal.h"
#include "service/lanes_internal.h"
#include "service/service_internal.h"

/* Of a good answer to validate_only: 201 would say that something was made, and be followed by its Location. */
#define HTTP_STATUS_VALIDATED 200

struct append_job {
    struct append append; /* first: the writer's callback finds the job from it */
    struct service *service;
    struct arena *arena; /* of all that belongs to the job; one thread at a time */
    struct call *call;
    /* Exactly once, on the thread that completes the append: must not block. The job may be gone afterwards. */
    void (*answer)(struct append_job *job, const struct append_outcome *outcome);
    void *context;
    bool flat;       /* one event, whose fields are the request's own: their paths have no prefix */
    bool needs_lane; /* a domain check or a condition looks at it first */
    struct lane_ticket ticket;
};

/* Sends it on its way. Any thread; must not be touched afterwards. */
void append_job_run(struct append_job *job);
/* Answers with a refusal of the service's own. */
void append_job_refuse(struct append_job *job, const struct status *status);
/* From the writer's callbacks: what follows an append, and the answer. */
void append_job_answer(struct append_job *job, const struct append_outcome *outcome);

/* --- building (append_build.c) --- */
struct append_builder {
    struct service *service;
    struct arena *arena;
    struct call *call;
    struct faults faults;
    struct bytes key;      /* append_id or Idempotency-Key; empty = none */
    const char *key_field; /* its name in messages */
    struct append_event *events;
    size_t count;
    size_t capacity;
    size_t given_ids;
    const struct append_event *typed; /* the last one whose types were found good; NULL = none yet */
    struct buffer texts;              /* compacted JSON; holds everything, so that it never moves */
    size_t payload_bytes;
};

/* `event_capacity` events with `text_bytes` of JSON may be added. */
STATUS_MUST_CHECK struct status append_builder_init(struct append_builder *builder, struct service *service,
                                                    struct arena *arena, struct call *call,
                                                    size_t event_capacity, size_t text_bytes);
/* Checks a client's event and adds it; faults are collected. `index` < 0: a flat request, fields have no
 * prefix. An empty aggregate id or type of the event is taken from `aggregate_id` and `aggregate_type`. */
void append_builder_add(struct append_builder *builder, const Strata__V1__NewEvent *event, int index,
                        struct bytes aggregate_id, struct bytes aggregate_type);
/* Adds an event of the system's. `data` is compact JSON; `field` of the request is what it comes from. */
void append_builder_add_system(struct append_builder *builder, const char *field, const char *type,
                               struct bytes aggregate_id, struct bytes aggregate_type, struct bytes data,
                               struct bytes metadata);
/* Compacts a JSON object of the request; a fault is collected and gives "{}". Empty stays empty. */
struct bytes append_builder_object(struct append_builder *builder, const char *field, struct bytes text);
/* The same for the state of an aggregate, which must have the shape of its type. */
struct bytes append_builder_state(struct append_builder *builder, const char *field,
                                  struct bytes aggregate_type, struct bytes text);
/* Ids, sizes, actor: fills `job`, or says what is wrong with the request. */
STATUS_MUST_CHECK struct status append_builder_finish(struct append_builder *builder, struct append_job *job);

/* From an AppendEventsRequest; used by AppendEvents and AppendStream. */
STATUS_MUST_CHECK struct status append_events_build(struct service *service, struct arena *arena,
                                                    struct call *call,
                                                    const Strata__V1__AppendEventsRequest *request,
                                                    struct append_job *job);
/* Appends the wire bytes of an AppendEventsResponse. */
void append_events_reply(struct append_job *job, const struct append_outcome *outcome, struct buffer *to);
