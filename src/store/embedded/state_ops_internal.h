/* The operations of the event store that concern state/ alone; for the table in embedded_store.c. */
#pragma once

#include "store/event_store.h"

struct status embedded_state_get(struct event_store *base, struct bytes key, struct arena *arena,
                                 struct bytes *ret);
struct status embedded_state_put(struct event_store *base, struct bytes key, struct bytes value);
struct status embedded_state_remove(struct event_store *base, struct bytes key);
struct status embedded_state_list(struct event_store *base, struct bytes prefix, struct bytes after_key,
                                  state_sink sink, void *context);
struct status embedded_lease(struct event_store *base, struct bytes name, struct bytes holder, int64_t ttl_ms,
                             struct lease *ret);
struct status embedded_lease_release(struct event_store *base, struct bytes name, struct bytes holder,
                                     int64_t epoch);
struct status embedded_checkpoint_put(struct event_store *base, struct bytes name, int64_t position,
                                      int64_t epoch);
struct status embedded_checkpoint_get(struct event_store *base, struct bytes name, struct checkpoint *ret);
struct status embedded_checkpoint_remove(struct event_store *base, struct bytes name);
struct status embedded_checkpoints(struct event_store *base, checkpoint_sink sink, void *context);
