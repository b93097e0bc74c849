/*
 * The bus: the commit order, told to whoever waits for it.
 *
 * The writer reports each durable head. From there the bus wakes cursors (a position and a query:
 * subscriptions), calls those who wait for a position to be there, and keeps the checkpoint that says
 * which events are `processed`. A cursor near the head reads from a ring of
 * recent records that all cursors share, an older one from the store; it is only a position, so the switch
 * can neither lose nor repeat. Handlers in the process subscribe by subscribers.h.
 *
 * Ownership  Borrows store, clock and log; they outlive it.
 * Threads    bus_committed, bus_wait, bus_processed*, cursor_new, cursor_start and cursor_poke from any
 *            thread. Everything that a cursor does runs on the bus's one thread, as does cursor_next.
 * Blocking   Only bus_stop. The bus's thread itself reads the store.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/status.h"
#include "record/query.h"
#include "record/record.h"
#include "store/event_store.h"

struct bus;
struct cursor;
struct log;

/* A position that does not come within this time is reported as lost (DESIGN §3). */
#define BUS_MISSING_AFTER_US INT64_C(5000000)
/* How soon it is looked for again meanwhile. */
#define BUS_MISSING_RETRY_US INT64_C(20000)

/* Reads the head and the dispatcher's checkpoint from the store; later, from one that several processes share and that
 * cannot be reached. */
STATUS_MUST_CHECK struct status bus_new(struct event_store *store, const struct clock *clock, struct log *log,
                                        struct bus **ret);
/* Under which name it takes leases, for subscribers of scope CLUSTER; copied. New with each start of a program, for under
 * the old name it would renew what its former self had. Before the first such subscriber. INVALID_ID. */
STATUS_MUST_CHECK struct status bus_set_holder(struct bus *bus, struct bytes holder);
/* Starts the thread. */
STATUS_MUST_CHECK struct status bus_start(struct bus *bus);
/* Ends every wait as not reached, saves the checkpoint, ends the thread. Cursors must be closed by then: poke
 * them until their turns have answered CURSOR_CLOSED. */
void bus_stop(struct bus *bus);
void bus_free(struct bus *bus); /* NULL is fine; stops first */
DEFINE_CLEANUP(struct bus, bus_free);

/* From the writer, after a commit is durable and before its appends are answered. Cheap. */
void bus_committed(struct bus *bus, const struct store_head *head);
/*
 * Somebody says that the head of a store that several processes append to is at `position`: it is looked at as soon as
 * anybody waits for events, without waiting for the next poll. Any thread, cheap; whatever is said, the store alone is
 * believed.
 */
void bus_hint(struct bus *bus, int64_t position);
/* Whether such hints come: then polls, which make up for lost ones, may be rarer. Any thread. */
void bus_set_hinted(struct bus *bus, bool hinted);
/* The newest head the bus has heard of. */
int64_t bus_head(const struct bus *bus);
/* Lets the thread look at clock and work again; for tests that move the clock by hand. */
void bus_wake(struct bus *bus);

/* --- waiting for a position --- */
struct bus_waiter {
    int64_t position;
    int64_t deadline_us; /* monotonic */
    /* Once, on the bus's thread; must not block. The waiter is its owner's again. */
    void (*done)(struct bus_waiter *waiter, bool reached);
    struct bus_waiter *next; /* the bus's */
};
void bus_wait(struct bus *bus, struct bus_waiter *waiter);
/* True = taken back, `done` will not be called; false = it was, or is about to be. */
bool bus_forget(struct bus *bus, struct bus_waiter *waiter);

/* Ends all waits now, as not reached unless they are. */
void bus_end_waits(struct bus *bus);

/* --- what is processed --- */
/* The durable checkpoint: every event up to it is processed, which is to say that each durable subscriber (subscribers.h)
 * has handled it. It never steps back: one that begins below it handles again what was processed. */
int64_t bus_checkpoint(const struct bus *bus);
/* When the checkpoint passed `position`, to the second (later to the minute); 0 = not processed. */
int64_t bus_processed_at_us(struct bus *bus, int64_t position);

/* --- cursors --- */
enum cursor_turn {
    CURSOR_WAIT,   /* call again after a commit, a poke, or at the time of cursor_wake_at */
    CURSOR_AGAIN,  /* call again at once, after the others had their turn */
    CURSOR_CLOSED, /* the cursor is freed */
};
/* On the bus's thread. May read with cursor_next; should do a bounded piece of work. */
typedef enum cursor_turn (*cursor_take_turn)(void *context, struct cursor *cursor);

struct cursor_options {
    const struct event_query *query; /* copied */
    int64_t after_position;
    cursor_take_turn turn;
    void *context;
};
/* RESOURCE_EXHAUSTED. It gets its first turn after cursor_start. */
STATUS_MUST_CHECK struct status cursor_new(struct bus *bus, const struct cursor_options *options,
                                           struct cursor **ret);
/* Hands it to the bus's thread; the first turn may come, and close it, before this returns. Not after bus_stop. */
void cursor_start(struct cursor *cursor);
/* Any thread, until the turn that answers CURSOR_CLOSED: the cursor gets a turn soon. */
void cursor_poke(struct cursor *cursor);
/* Any thread, as long: its copy of the query. */
const struct event_query *cursor_query(const struct cursor *cursor);

/* --- the rest only from within a turn --- */

/* The next turn comes then, or a few milliseconds later, unless there is a reason before; 0 = no time. */
void cursor_wake_at(struct cursor *cursor, int64_t monotonic_us);
int64_t cursor_position(const struct cursor *cursor); /* everything up to here was taken or did not match */
int64_t cursor_head(const struct cursor *cursor);     /* as it was when the turn began */
int64_t cursor_time_us(const struct cursor *cursor);  /* of the event at cursor_position; 0 = not known */
/* The next position has not come yet although the head is beyond it: it is looked for again soon. */
bool cursor_waits_for_missing(const struct cursor *cursor);
/* So far behind that it reads the store and no longer the ring. */
bool cursor_behind(const struct cursor *cursor);

/* True = taken; false = no room: the event is offered again at the next call. Who has no room for the first of a call
 * must see to another turn (cursor_wake_at). */
typedef bool (*cursor_sink)(void *context, int64_t position, struct record record);
/*
 * Offers the next matching events, in order. Looks at a bounded number of events and returns with fewer, or
 * none, although more exist: see cursor_position against cursor_head.
 *   DATA_LOSS/POSITION_MISSING  a position has been missing for BUS_MISSING_AFTER_US
 *   or the store's own failures
 */
STATUS_MUST_CHECK struct status cursor_next(struct cursor *cursor, cursor_sink sink, void *context);

struct bus_stats {
    int64_t subscribers; /* open cursors, without those of the handlers */
    int64_t handlers;  /* subscribers in the process that have not ended, and the keeper of the checkpoint */
    int64_t standby;   /* of the handlers: those that wait for a lease that another holder has */
    int64_t ended;     /* subscribers in the process that bus_cleanup would forget */
    int64_t delivered; /* events taken by cursors and handled by subscribers since the start */
    int64_t failures;  /* of the subscribers in the process that are listed */
    int64_t
        lag_max; /* of the one of them, standby left out, that is furthest behind the head, in positions */
    int64_t checkpoint;
};
void bus_stats(struct bus *bus, struct bus_stats *ret);
/* OK, or the failure that keeps the checkpoint from moving: its own, or a durable subscriber's. */
STATUS_MUST_CHECK struct status bus_health(struct bus *bus);
