/*
 * Drives an embedded store in single steps and keeps the books: what was acknowledged, what was attempted. Tests that
 * break the disk under it then ask whether the store still tells the same story.
 *
 * Ownership  The caller's; init and done. Borrows files.
 * Threads    One.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/files.h"
#include "store/embedded/embedded_store.h"
#include "support/manual_clock.h"
#include "support/seeded_entropy.h"

#define DRIVER_AGGREGATES 5U
#define DRIVER_EVENTS_MAX 4096U
#define DRIVER_SNAPSHOTS  4U

/* What a value may be: the acknowledged one, or one whose put failed afterwards. */
struct driver_value {
    uint64_t acknowledged; /* 0 = none yet */
    uint64_t attempted;    /* 0 = none since */
};

struct driver {
    struct files *files;
    struct embedded_options options;
    struct manual_clock clock;
    struct seeded_entropy entropy;
    struct log *log; /* into `log_fd`; the number of its lines tells whether something was reported */
    int log_fd;
    struct event_store *store; /* NULL = closed */
    struct snapshot_store *snapshots;

    /* digests of whole records by position - 1 */
    struct sha256 events[DRIVER_EVENTS_MAX];
    int64_t acknowledged; /* the first so many are promised */
    int64_t attempted;    /* the rest up to here were written with an unknown outcome, all of one batch */
    struct driver_value snapshot[DRIVER_SNAPSHOTS];
    struct driver_value state;
    bool failed; /* some call has reported a failure */
    char first_failure[256];
};

void driver_init(struct driver *driver, struct files *files, uint64_t seed);
void driver_done(struct driver *driver);

/* Opens without threads. Then what the store holds is checked against the books, and becomes acknowledged: it was shown. */
struct status driver_open(struct driver *driver);
void driver_close(struct driver *driver);

/* One batch of `appends` appends of up to 3 events each with payloads of about `payload_bytes`. */
struct status driver_append(struct driver *driver, size_t appends, size_t payload_bytes);
struct status driver_put_snapshot(struct driver *driver, size_t which, size_t payload_bytes);
struct status driver_put_state(struct driver *driver);
/* Lets time pass and does what the threads would do meanwhile. */
void driver_step(struct driver *driver, int64_t ms);
/* Reads everything in several ways and compares; a failure of the disk is passed on, a difference fails the test. */
struct status driver_check(struct driver *driver);
/* The same of one acknowledged event alone. */
struct status driver_read(struct driver *driver, int64_t position);
/* Snapshots and state as well. */
struct status driver_check_state(struct driver *driver);

/* How often the log was written to. */
int64_t driver_log_bytes(const struct driver *driver);
