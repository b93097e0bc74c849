/*
 * What an event store in memory keeps beside its events: values, leases, checkpoints. The functions are those of
 * event_store_ops, with the same errors.
 *
 * Ownership  Copies what it is given; the clock is borrowed.
 * Threads    Any; its lock is a leaf, and no sink is called under it.
 * Blocking   Never.
 */
#pragma once

#include "store/event_store.h"

struct clock;
struct memory_state;

struct memory_state *memory_state_new(const struct clock *clock); /* NULL when out of memory */
void memory_state_free(struct memory_state *state);               /* NULL is fine */

struct status memory_state_get(struct memory_state *state, struct bytes key, struct arena *arena,
                               struct bytes *ret);
struct status memory_state_put(struct memory_state *state, struct bytes key, struct bytes value);
struct status memory_state_remove(struct memory_state *state, struct bytes key);
struct status memory_state_swap(struct memory_state *state, struct bytes key, const struct bytes *expected,
                                struct bytes value, bool *ret_put);
struct status memory_state_list(struct memory_state *state, struct bytes prefix, struct bytes after_key,
                                state_sink sink, void *context);
struct status memory_state_lease(struct memory_state *state, struct bytes name, struct bytes holder,
                                 int64_t ttl_ms, struct lease *ret);
struct status memory_state_release(struct memory_state *state, struct bytes name, struct bytes holder,
                                   int64_t epoch);
struct status memory_state_forget(struct memory_state *state, struct bytes name, struct bytes holder,
                                  int64_t epoch);
struct status memory_state_checkpoint_put(struct memory_state *state, struct bytes name, int64_t position,
                                          int64_t epoch, int64_t head_position);
struct status memory_state_checkpoint_get(struct memory_state *state, struct bytes name,
                                          struct checkpoint *ret);
struct status memory_state_checkpoint_remove(struct memory_state *state, struct bytes name);
struct status memory_state_checkpoints(struct memory_state *state, checkpoint_sink sink, void *context);
