/*
 * Short ways to start and follow operations in a world, and a gate before the store: the real engine, of which one entry
 * may wait, or tell something else, when a test says so.
 */
#pragma once

#include "world.h"

#define RUNNING   STRATA__V1__OPERATION__STATE__RUNNING
#define SUCCEEDED STRATA__V1__OPERATION__STATE__SUCCEEDED
#define FAILED    STRATA__V1__OPERATION__STATE__FAILED
#define CANCELLED STRATA__V1__OPERATION__STATE__CANCELLED

/* Replies are the test's, to be freed with test_message_free; NULL when refused, with *ret_status set. */
Strata__V1__Operation *start_operation(struct world *world, const Strata__V1__StartOperationRequest *request,
                                       struct status *ret_status);
Strata__V1__Operation *start_verify(struct world *world, int64_t from_position,
                                    ProtobufCBinaryData checkpoint);
Strata__V1__Operation *start_rebuild(struct world *world, const char *what);
Strata__V1__Operation *get_operation(struct world *world, const char *id, struct status *ret_status);
Strata__V1__Operation *cancel_operation(struct world *world, const char *id, struct status *ret_status);
/* Frees `started` and returns it as it has ended. */
Strata__V1__Operation *wait_operation(struct world *world, Strata__V1__Operation *started);
/* "" when there is none. */
const char *result_of(const Strata__V1__Operation *operation, const char *key);

/* Appends of 1,000 events to 10 aggregates. */
void append_thousands(struct world *world, int count);

/* --- a world with a gate; one at a time --- */

void gated_world_open(struct world *world, const struct clock *clock);
/* Over a store that several processes share, as it says. */
void gated_world_open_shared(struct world *world, const struct service_options *options,
                             const struct clock *clock);
/* The engine's own entries, for hooks to call. */
const struct event_store_ops *gate_inner(void);
/* From here on the store answers so; NULL = as the engine does. */
void gate_read_by(struct status (*hook)(struct event_store *store, const struct read_query *query,
                                        record_sink sink, void *context));
void gate_find_id_by(struct status (*hook)(struct event_store *store, struct bytes event_id,
                                           int64_t *ret_position));
void gate_state_put_by(struct status (*hook)(struct event_store *store, struct bytes key,
                                             struct bytes value));
void gate_state_list_by(struct status (*hook)(struct event_store *store, struct bytes prefix,
                                              struct bytes after_key, state_sink sink, void *context));
/* Begins to stop the service while its operation `id` waits at the gate, then opens that: what runs must pause. */
void world_stop_at_gate(struct world *world, const char *id);

/* find_id, which a verification calls for each event, waits from its call number `pass` + 1 on. Who waits already goes on,
 * and is not counted again. */
void gate_close(int64_t pass);
void gate_wait_reached(int count); /* so many wait */
void gate_open(void);
int64_t gate_calls(void); /* of find_id since gate_close */
