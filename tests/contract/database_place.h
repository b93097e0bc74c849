/*
 * Stores in the database of a server on loopback, for the suites of all engines and for tests of one: each store has a
 * name of its own there.
 *
 * Ownership  Who opens a store closes it.
 * Threads    One.
 * Blocking   Yes: the server.
 * Errors     Fail the test that runs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/event_store.h"
#include "store/snapshot_store.h"

struct log;

struct database_place {
    const char *engine; /* "mysql": as stats call it */
    struct status (*open)(const struct database_place *place, const char *store_id, struct event_store **ret);
    struct status (*snapshots)(struct event_store *store, struct snapshot_store **ret);
    bool append_by_append; /* as struct event_store_kind */
    uint16_t port;
    int opened;
    struct log *log;
    struct event_store *below; /* the snapshots of the suite */
};

/* Port and log. False: the variable is not set, and it was said that `script` starts a server. */
bool database_place_begin(struct database_place *place, const char *variable, const char *script);
void database_place_end(struct database_place *place);

/* A new store; the same again, as another process would open it. */
struct event_store *database_place_new(struct database_place *place);
struct event_store *database_place_again(struct database_place *place);

/* For a test: what is as large as the contract allows comes back, whatever was there. `fill` makes `size` bytes. */
void database_place_keeps_the_largest(struct database_place *place, void (*fill)(uint8_t *to, size_t size));

/* Both suites; the number of failed tests. */
int database_place_run_suites(struct database_place *place);
