/*
 * What every snapshot store must do; the same tests for each. A test program gives a kind and runs the suite.
 */
#pragma once

#include "store/snapshot_store.h"

struct snapshot_store_kind {
    const char *name;                              /* of the test group */
    struct snapshot_store *(*open)(void *context); /* an empty store without a bound; fails the test itself */
    /* Closes the store and opens it again. NULL = it keeps nothing. */
    struct snapshot_store *(*reopen)(void *context, struct snapshot_store *store);
    void (*close)(void *context, struct snapshot_store *store); /* and removes it */
    void *context;
};

/* The number of failed tests. */
int snapshot_store_suite_run(const struct snapshot_store_kind *kind);
