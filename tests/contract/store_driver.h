/*
 * Appends to an engine without a writer: facts, decide(), commit, in one call, for tests of engines and of decide().
 *
 * Ownership  Borrows the store. Everything it answers lives in its arena until store_driver_done().
 * Threads    One.
 */
#pragma once

#include <pthread.h>

#include "support/manual_clock.h"
#include "support/seeded_entropy.h"

#include "base/arena.h"
#include "store/decide.h"
#include "store/event_store.h"

#define STORE_DRIVER_START_US INT64_C(1700000000000000)

struct store_driver {
    struct event_store *store;
    struct arena *arena;
    struct manual_clock clock; /* stands until the test moves it */
    struct seeded_entropy entropy;
    struct append_limits limits; /* none */
};

void store_driver_init(struct store_driver *driver, struct event_store *store);
void store_driver_done(struct store_driver *driver);

/* Decides on the store's facts as they are. */
struct decision store_driver_decide(struct store_driver *driver, const struct append *const *appends,
                                    size_t count);
/* On what facts_ahead() says, beside the decision whose commit is under way, or was. */
struct decision store_driver_decide_ahead(struct store_driver *driver, const struct append *append,
                                          const struct decision *in_flight);
/* Commits and waits; the status is the engine's. Frees the decision's overlay. */
struct status store_driver_commit(struct store_driver *driver, struct decision *decision);

/* A commit that is under way: where its answer arrives, from a thread of the engine's or our own. */
struct store_driver_answer {
    pthread_mutex_t lock;
    pthread_cond_t came;
    bool here;
    struct status status;
};
void store_driver_begin(struct store_driver *driver, const struct decision *decision,
                        struct store_driver_answer *answer);
struct status store_driver_await(struct store_driver_answer *answer);

/* Both; the commit must succeed. */
struct append_outcome store_driver_append(struct store_driver *driver, const struct append *append);

/* An event with "{}" for data; the texts are borrowed. */
struct append_event sample_event(const char *id, const char *aggregate_id, const char *type,
                                 const char *aggregate_type);
struct append sample_append(const struct append_event *events, size_t count);
/* As sample_event, copied into the driver's arena, under the next id "e1", "e2", … */
struct append_event numbered_event(struct store_driver *driver, int number, const char *aggregate_id,
                                   const char *type, const char *aggregate_type);

struct store_head store_driver_head(struct store_driver *driver);
