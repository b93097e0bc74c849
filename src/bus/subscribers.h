/*
 * Subscribers in the process: handlers that the bus calls with the events they asked for, each event exactly once and in
 * the commit order, from a position on.
 *
 *     const struct bus_subscribe_options options = {
 *         .types = {types, 1}, .after_position = BUS_FROM_NOW, .handler = take_order, .context = orders};
 *     bus_subscribe(bus, &options, &id);
 *     …
 *     bus_unsubscribe(bus, id); // from here on `orders` may go
 *
 * A subscriber with a name is durable: how far it has come is kept in the event store under "handler/<name>", and who
 * subscribes under that name later goes on there. Across a crash it gets again what came after the last save, at most
 * a second old: at least once. Such a checkpoint outlives its subscriber; event_store_ops.checkpoint_remove ends it.
 * `processed` (bus_checkpoint) waits for every durable subscriber there is, so let them subscribe before bus_start.
 *
 * Of scope PROCESS, two processes over one store that subscribe under the same name both get every event. Of scope
 * CLUSTER, one of them does: the one that has the lease "handler/<name>" of the event store, for BUS_LEASE_TTL_MS at a
 * time, renewed each BUS_LEASE_RENEW_US. The others stand by, and ask for it each BUS_LEASE_POLL_US; who gets it goes on
 * at the checkpoint. Its checkpoints carry the epoch of the lease, so that a holder who was held up and lost it can
 * neither move the checkpoint nor go on: what he handled since the last save is handled again by his successor. A handler
 * that writes elsewhere should let the epoch of the delivery guard it there too, since he cannot be stopped within a call.
 *
 * A handler that answers BUS_FAILED is asked again about the same event, after BUS_RETRY_FIRST_US, then twice as long
 * each time up to BUS_RETRY_MAX_US; no event is passed over, and other subscribers do not wait for it.
 *
 * Ownership  Options are copied but for `context`, which must stay until bus_unsubscribe has returned (or bus_stop has).
 * Threads    All functions from any thread, handlers included; handlers run on the bus's thread, one at a time. Nothing
 *            of the bus is locked while a handler runs, so it may call the bus and the store, and append. It delays
 *            every other subscriber for as long as it takes.
 * Blocking   bus_unsubscribe and bus_abandon wait until a call of that handler that is under way has returned (not when
 *            called from it): hold no lock that the handler takes. With a durable subscriber bus_subscribe reads the
 *            store, and ending one writes to it.
 */
#pragma once

#include "bus/bus.h"

struct arena;

#define BUS_SUBSCRIBERS_MAX   1024U
#define BUS_DURABLE_MAX       32U /* each saves once a second while it moves */
#define BUS_NAME_MAX_BYTES    240U
#define BUS_PATTERNS_MAX      256U /* of one subscriber, in each list */
#define BUS_FROM_NOW          (-1)
#define BUS_LEASE_TTL_MS      INT64_C(10000)
#define BUS_LEASE_RENEW_US    INT64_C(3000000)
#define BUS_LEASE_POLL_US     INT64_C(1000000)
#define BUS_LEASE_MARGIN_US   INT64_C(1000000) /* so much before its end a lease counts as lost */
#define BUS_RETRY_FIRST_US    INT64_C(100000)
#define BUS_RETRY_MAX_US      INT64_C(10000000)
#define BUS_CHECKPOINT_PREFIX "handler/"

/* One event, or one more try of it; all of it valid during the call. */
struct bus_delivery {
    int64_t subscriber; /* its id */
    int64_t position;
    int32_t attempt; /* 1, 2, 3 …: more than 1 after BUS_FAILED */
    int64_t epoch;   /* of the lease it is made under; 0 = scope PROCESS */
    const struct event_fields *event;
};

enum bus_answer {
    BUS_HANDLED, /* go on with the next event */
    BUS_FAILED,  /* ask again later */
    BUS_DONE,    /* handled, and no more are wanted: the subscriber has ended */
};
typedef enum bus_answer (*bus_handler)(void *context, const struct bus_delivery *delivery);

enum bus_scope {
    BUS_SCOPE_PROCESS,
    BUS_SCOPE_CLUSTER, /* needs a name, and bus_set_holder; a name keeps its scope as long as its checkpoint is there */
};

struct bus_subscribe_options {
    const char *name; /* NULL or "" = not durable; one subscriber a name */
    enum bus_scope scope;
    /* Whom bus_abandon ends together; 0 = nobody's. */
    uint64_t owner;
    /* Names, or beginnings followed by '*'. None = every type, the system's included; a pattern fits system types ('$…')
     * only if it begins with '$'. */
    struct bytes_list types;
    struct bytes_list aggregate_types;
    struct bytes_list aggregate_ids; /* exact; none = all */
    /* Where it begins if its name has no checkpoint: 0 = with the first event of the store. BUS_FROM_NOW = with what is
     * committed after this call. */
    int64_t after_position;
    bus_handler handler;
    void *context;
};

/*
 * May be called before bus_start. *ret_id counts 1, 2, 3 … and is never used again.
 *   INVALID_ARGUMENT     a name, pattern, id or position that cannot be
 *   ALREADY_EXISTS       another subscriber has the name
 *   RESOURCE_EXHAUSTED   BUS_SUBSCRIBERS_MAX or BUS_DURABLE_MAX is reached, or memory
 *   UNAVAILABLE          thousands have just ended, and the bus's thread is not done with them
 *   FAILED_PRECONDITION  the bus was stopped, or has no holder's name for scope CLUSTER
 *   or the store's failure to read the checkpoint
 */
STATUS_MUST_CHECK struct status bus_subscribe(struct bus *bus, const struct bus_subscribe_options *options,
                                              int64_t *ret_id);

/*
 * When this returns, the handler will not be called again: not even once more, unless it is its own handler that calls
 * this and is still running. Whatever the outcome, it has ended.
 *   NOT_FOUND  there is none (any more)
 *   or the store's failure to save a durable one's checkpoint: what it had handled since the last save comes again
 */
STATUS_MUST_CHECK struct status bus_unsubscribe(struct bus *bus, int64_t id);

/* Ends all subscribers of that owner, with the same promise as bus_unsubscribe; they stay listed until bus_cleanup.
 * Returns how many. `owner` 0 ends none. */
size_t bus_abandon(struct bus *bus, uint64_t owner);

/* Forgets the subscribers that have ended: by BUS_DONE, or abandoned. Returns how many. Checkpoints stay. */
size_t bus_cleanup(struct bus *bus);

/* Identifier, name. */
#define BUS_SUBSCRIBER_STATE_TABLE(X)                                                                        \
    X(ACTIVE, "active")                                                                                      \
    X(FAILING, "failing")     /* its handler or its read has failed, and is tried again */                   \
    X(STANDBY, "standby")     /* another holder has its lease */                                             \
    X(DONE, "done")           /* its handler answered BUS_DONE */                                            \
    X(ABANDONED, "abandoned") /* by its owner */

enum bus_subscriber_state {
#define X(id, name) BUS_SUBSCRIBER_##id,
    BUS_SUBSCRIBER_STATE_TABLE(X)
#undef X
        BUS_SUBSCRIBER_STATE_COUNT
};
const char *bus_subscriber_state_name(enum bus_subscriber_state state);

/* A subscriber as it was after its last turn. */
struct bus_subscriber {
    int64_t id;
    const char *name; /* "" = not durable */
    uint64_t owner;
    enum bus_subscriber_state state;
    enum bus_scope scope;
    int64_t epoch;           /* of the lease that it has; 0 = none */
    struct bytes_list types; /* as asked for; none = every type */
    struct bytes_list aggregate_types;
    struct bytes_list aggregate_ids;
    int64_t began_at_us; /* by the clock of days */
    int64_t position;    /* everything up to here was handled or not asked for; on standby: its checkpoint */
    int64_t lag;         /* positions between there and the head */
    int64_t checkpoint;  /* durable: as saved */
    int64_t delivered;   /* events handled */
    int64_t failures;    /* answers BUS_FAILED, and reads that failed */
    int32_t attempt;     /* of the event that it fails at; 0 = none */
    struct status failure; /* OK, or why it does not move */
};
struct bus_subscribers {
    struct bus_subscriber *items; /* by id */
    size_t count;
};
/* Those that get events of `type`; empty = all. The ended ones are among them until they are cleaned up. All from `arena`.
 * RESOURCE_EXHAUSTED. */
STATUS_MUST_CHECK struct status bus_subscribers(struct bus *bus, struct bytes type, struct arena *arena,
                                                struct bus_subscribers *ret);

/* Something that subscribers asked for: a type or a pattern; "*" stands for those who named none. */
struct bus_type {
    struct bytes type;
    size_t subscriber_count;
};
struct bus_types {
    struct bus_type *items; /* in the order of bytes */
    size_t count;
};
/* What subscribers that have not ended asked for, each once. RESOURCE_EXHAUSTED. */
STATUS_MUST_CHECK struct status bus_types(struct bus *bus, struct arena *arena, struct bus_types *ret);

/* How many subscribers that have not ended get events of `type`; empty = all. */
size_t bus_count(struct bus *bus, struct bytes type);
