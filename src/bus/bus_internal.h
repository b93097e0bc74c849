/* What the files of the bus share. Lock order: subscribers.lock, then bus->lock, which is a leaf; no callback and no I/O
 * runs under either. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/text.h"
#include "bus/bus.h"
#include "bus/ring_internal.h"
#include "bus/subscriber_internal.h"

#define BUS_CHECKPOINT_INTERVAL_US INT64_C(1000000)
#define JOURNAL_ENTRIES_MAX        512U
/*
 * What a message to a subscriber may take of the machine: system calls of the server and of the client, mostly. A pass that
 * made many is followed by as much time in which no cursor hears of newer events, so that those of several commits go out
 * as one message. At most 50,000 messages a second, however many subscribers there are; one subscriber waits 20 µs, a
 * hundred wait 2 ms. Without it the edges' threads are busy with messages of one event, and answers to appends wait.
 */
#define BUS_MESSAGE_US   INT64_C(20)
#define BUS_PAUSE_MAX_US INT64_C(20000)

struct journal_entry {
    int64_t position;
    int64_t time_us;
};

struct dispatcher {
    int64_t reached;     /* what is processed, saved or not; the bus's thread */
    int64_t saved_at_us; /* monotonic; the bus's thread */
    atomic_int_fast64_t checkpoint;
    /* Guarded by bus->lock: positions and times rise. */
    struct journal_entry journal[JOURNAL_ENTRIES_MAX];
    size_t journal_count;
    struct status failure; /* OK, or why the last save failed */
};

struct cursor {
    struct bus *bus;
    struct arena *arena; /* holds the query */
    struct event_query query;
    struct read_query plan;
    cursor_take_turn turn;
    void *context;
    bool in_process;             /* a subscriber's, which counts what it handles itself */
    const struct filter *filter; /* NULL, or what must match besides the query */
    struct cursor *next;         /* the bus's thread; before adoption bus->lock */
    int64_t position;            /* from here on: the bus's thread */
    int64_t time_us;             /* of the event at `position`; 0 = not known */
    int64_t wake_at_us;          /* 0 = no time */
    bool missing;                /* the next position, although the head is beyond it */
    int64_t missing_since_us;
    int64_t seen_head; /* at the end of the last turn */
    bool again;
    atomic_bool poked;
};

struct bus {
    struct event_store *store;
    const struct clock *clock;
    struct log *log;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic; only the bus's thread waits */
    bool sleeping;          /* guarded by lock, as the next eight */
    bool woken;
    bool stopping;
    bool ending_waits;
    bool sleeps_for_ever; /* no timer: even an uninteresting commit must start one */
    bool pauses; /* commits are not heard of before a pause is over, unless somebody waits for them */
    int64_t head_time_us; /* of the event at `head` */
    struct cursor *newcomers;
    struct bus_waiter *waiters;

    atomic_int_fast64_t head;
    atomic_int_fast64_t hint; /* the highest position that bus_hint was told */
    atomic_bool hinted;
    atomic_int_fast64_t cursor_count;
    atomic_int_fast64_t delivered;
    atomic_int_fast64_t interests; /* cursors and waiters: who wants to be woken by a commit */

    bool loaded; /* head and checkpoint were read; bus_new, then the bus's thread, as the next four */
    bool polled; /* at polled_at_us (monotonic) */
    int64_t polled_at_us;
    bool poll_failed;
    struct cursor *cursors;
    struct ring ring;
    int64_t heard_head; /* the head when this pass began */
    int64_t pass_head;  /* the one that cursors know: that, or an earlier one during a pause */
    int64_t pass_head_time_us;
    int64_t pass_messages;  /* cursors that took events in this pass */
    int64_t pause_until_us; /* by the system's clock, whatever clock was handed in; 0 = none */

    char holder[ID_MAX_BYTES + 1]; /* of leases; "" = none was named */
    struct dispatcher dispatcher;
    struct subscriber_list subscribers;
};

/* cursor.c */
void cursor_free(struct cursor *cursor);
void cursor_move(struct cursor *cursor, int64_t after_position); /* within a turn */

/* head_poll.c */
/* Reads the head and the dispatcher's checkpoint. */
STATUS_MUST_CHECK struct status head_load(struct bus *bus);
/* Asks for the head of a store that other processes append to, when it is time; returns the monotonic time of the next. */
int64_t head_poll(struct bus *bus);

/* dispatcher.c */
STATUS_MUST_CHECK struct status dispatcher_load(struct bus *bus);
/* Sees what is processed and saves the checkpoint when it is due; returns the monotonic time at which it wants to be
 * called again, INT64_MAX for after a commit. */
int64_t dispatcher_run(struct bus *bus);
void dispatcher_save(struct bus *bus);
