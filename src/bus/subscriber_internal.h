/*
 * A subscriber's inside, and what the two halves of it share: subscribers.c, the list that any thread may ask and change;
 * subscriber_turn.c, what the bus's thread does with one.
 *
 *     STARTING ──► LIVE ──► DONE ─────────┐
 *                   ├─────► ABANDONED ────┼──► REMOVED ──► freed
 *                   └─────────────────────┘
 *
 * Only a LIVE one gets turns; one of scope CLUSTER does nothing in them but ask for its lease while it has none. Whoever ends it from another thread waits until a turn that is under way is over, holds it
 * (`holds`) while its checkpoint is saved, and then pokes the cursor, whose next turn closes it. One that ends in its own
 * turn, by its answer or by its handler's call, is saved and closed at the end of that turn.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "bus/subscribers.h"

#define HELD_EVENTS_MAX 128U
#define HELD_BYTES_MAX  ((size_t)64 * 1024) /* unless one event alone is larger */

/* What a subscriber asked for. Patterns that no query knows are matched on top of it. */
struct filter {
    struct bytes_list types;
    struct bytes_list aggregate_types;
    struct bytes_list aggregate_ids;
};

enum subscriber_stage {
    SUBSCRIBER_STARTING, /* has its name and a place, and no cursor yet */
    SUBSCRIBER_LIVE,
    SUBSCRIBER_DONE,
    SUBSCRIBER_ABANDONED,
    SUBSCRIBER_REMOVED,
};

/* Copied out of the store or the ring, so that nothing is being read while a handler runs. */
struct held_event {
    int64_t position;
    size_t offset;
    size_t size_bytes;
    size_t header_bytes;
};

struct progress {
    int64_t epoch; /* of the lease that it has; 0 = none, or none is needed */
    int64_t position;
    int64_t checkpoint;
    int64_t delivered;
    int64_t failures;
    int32_t attempt;       /* of the event after `position`; 0 = not tried yet */
    struct status failure; /* OK, or why it does not move */
};

/* Of a lease, on the monotonic clock. */
struct lease_times {
    int64_t ask_at_us; /* to take it, or to renew it */
    int64_t valid_until_us;
    bool failing; /* the failure that is shown is of asking for it */
};

struct subscriber {
    struct bus *bus; /* from here on constant */
    struct arena *arena;
    int64_t id;
    uint64_t owner;
    const char *name; /* "" = not durable */
    enum bus_scope scope;
    struct filter filter;
    bus_handler handler;
    void *context;
    int64_t began_at_us; /* by the clock of days */

    struct subscriber *next; /* guarded by the list's lock, as the next four */
    enum subscriber_stage stage;
    struct cursor *cursor; /* NULL before its start and after its last turn */
    unsigned holds;
    struct progress shown;
    atomic_bool wanted; /* false as soon as the stage is no longer LIVE */

    struct progress progress; /* the bus's thread, as all that follows */
    struct buffer texts;      /* of the held events */
    struct held_event held[HELD_EVENTS_MAX];
    size_t held_count;
    size_t held_next; /* the first that is not handled yet */
    int64_t retry_at_us;
    int64_t retry_wait_us; /* 0 = nothing has failed */
    int64_t saved_at_us;
    struct status save_failure;
    struct lease_times lease; /* monotonic; scope CLUSTER */
};

struct subscriber_list {
    pthread_mutex_t lock; /* taken before bus->lock, never under it; nothing else is locked under either */
    pthread_cond_t quiet; /* somebody's turn or hold is over */
    struct subscriber *first; /* by id */
    size_t count;
    size_t listed_count; /* without the removed ones; so the next */
    size_t durable_count;
    int64_t last_id;
    int64_t busy_id; /* whose turn it is; 0 = nobody's */
    pthread_t busy_thread;
    bool stopped;
};

void subscribers_init(struct bus *bus);
void subscribers_stop(struct bus *bus);   /* no new ones; before the thread ends */
void subscribers_detach(struct bus *bus); /* after it; before the cursors are freed */
void subscribers_done(struct bus *bus);
/* The bus's thread, at its end: what was handled is saved. */
void subscribers_save(struct bus *bus);
/* The least position of the durable ones, at most `head`. */
int64_t subscribers_durable_position(struct bus *bus, int64_t head);
void subscribers_count(struct bus *bus, struct bus_stats *stats);
STATUS_MUST_CHECK struct status subscribers_health(struct bus *bus);
/* Under the lock: takes it out of the list and frees it. */
void subscriber_drop(struct subscriber *subscriber);

/* subscriber_turn.c */
enum cursor_turn subscriber_turn(void *context, struct cursor *cursor);
STATUS_MUST_CHECK struct status subscriber_save(const struct subscriber *subscriber, int64_t position,
                                                int64_t epoch);
void subscriber_forget_held(struct subscriber *subscriber); /* the events that it was to handle */
/* Stays where it is, and is tried again later. */
void subscriber_fail(struct subscriber *subscriber, struct status failure);

/* subscriber_lease.c: everything but subscriber_lease_release on the bus's thread, within a turn. */
static inline bool is_clustered(const struct subscriber *subscriber)
{
    return subscriber->scope == BUS_SCOPE_CLUSTER;
}
/* As it is shown; under the list's lock. */
static inline bool subscriber_stands_by(const struct subscriber *subscriber)
{
    return is_clustered(subscriber) && subscriber->stage == SUBSCRIBER_LIVE && subscriber->shown.epoch == 0;
}
/* Takes or renews the lease when it is time to; moves the cursor to the checkpoint when it was taken. False: the handler
 * must not be called now. The cursor is woken for the next time. */
bool subscriber_lease_keep(struct subscriber *subscriber, struct cursor *cursor);
/* Within a turn that subscriber_lease_keep was true in: is it still so? */
bool subscriber_lease_is_valid(const struct subscriber *subscriber);
void subscriber_lease_lose(struct subscriber *subscriber, const struct status *why);
/* Gives back what `epoch` stands for; 0 = nothing. Any thread that keeps the subscriber. */
void subscriber_lease_release(const struct subscriber *subscriber, int64_t epoch);

/* subscriber_filter.c */
STATUS_MUST_CHECK struct status filter_copy(struct arena *arena, const struct bus_subscribe_options *options,
                                            struct filter *ret);
/* The part that a query can say. The item must stay with the query. */
void filter_query(const struct filter *filter, struct query_item *item, struct event_query *ret);
/* The part that a query cannot say. */
bool filter_has_patterns(const struct filter *filter);
bool filter_matches(const struct filter *filter, const struct event_fields *header);
/* A list of names and patterns; an empty one has everything. */
bool patterns_have(struct bytes_list patterns, struct bytes name);
