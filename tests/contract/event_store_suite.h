/*
 * What every event store engine must do; the same tests for each. A test program gives a kind and runs the suite.
 */
#pragma once

#include "store/event_store.h"

struct event_store_kind {
    const char *name;                           /* of the test group, and what stats call the engine */
    struct event_store *(*open)(void *context); /* an empty store; fails the test itself */
    /* Closes the store and opens it again. NULL = the engine keeps nothing. */
    struct event_store *(*reopen)(void *context, struct event_store *store);
    void (*close)(void *context, struct event_store *store); /* and removes it */
    void (*pass_time)(void *context, int64_t ms);            /* by the clock that says when a lease ends */
    bool append_by_append; /* the appends of a batch become visible one by one, in order; else all at once */
    void *context;
};

/* The number of failed tests. */
int event_store_suite_run(const struct event_store_kind *kind);
