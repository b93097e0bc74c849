/*
 * What every upstream keeps to (gateway/upstream/upstream.h), over a method table whose handlers do what the suite says.
 * Ends may come at once or later: all of them are waited for.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "support/cmocka.h"

#include "gateway/upstream/upstream.h"
#include "rpc/table.h"

/* How one implementation is made over a table, and taken down; both on the test's thread. */
struct upstream_suite {
    struct upstream *(*open)(struct rpc_table *table);
    void (*close)(struct upstream *upstream);
};

/* cmocka's group with all tests of the suite; returns how many failed. */
int upstream_suite_run(const struct upstream_suite *suite);

/*
 * What came of a call. The test sets `room` and `pause_every` before it begins. Read the rest after suite_wait_end, or
 * by the functions below.
 */
struct suite_seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned messages, ends;
    unsigned pause_every;       /* on_message is false for each so many'th; 0 = never */
    bool paused, overrun;       /* overrun: a message came while it was paused, or out of order */
    struct upstream_call *call; /* released inside of on_end, when `drop` */
    bool drop;
    unsigned chain; /* so many more calls are begun, each inside of the former's on_end */
    struct status status;
    char reply[64];
    size_t reply_bytes;
    int http_status;
};

void suite_seen_init(struct suite_seen *seen);
void suite_wait_end(struct suite_seen *seen);
void suite_wait_messages(struct suite_seen *seen, unsigned count); /* at least */
/* The receiver has room again. */
void suite_resume(struct suite_seen *seen);

/* The suite's table and upstream, made anew for each test of a group that has these as setup and teardown. */
int suite_setup(void **state);
int suite_teardown(void **state);
extern struct rpc_table *suite_table;
extern struct upstream *suite_upstream;
extern const struct upstream_suite *suite_now;

/*
 * GetEvent by its id: "none" fails with EVENT_UNKNOWN, "faults" with a faulty field, "late" answers from another thread,
 * "large" with SUITE_LARGE_BYTES, "hold" waits until it is cancelled; anything else is echoed with HTTP status 304.
 * Subscribe sends SUITE_MESSAGES messages, then ends. PublishEvent holds. The deadline is in microseconds.
 */
#define SUITE_LARGE_BYTES ((size_t)9 * 1024 * 1024)
#define SUITE_MESSAGES    300U
struct upstream_call *suite_get(struct suite_seen *seen, const char *id, int64_t deadline_us);
struct upstream_call *suite_make(enum schema_method_id method, struct suite_seen *seen, int64_t deadline_us);
/* Of another upstream than the suite's. */
struct upstream_call *suite_make_on(struct upstream *upstream, const struct upstream_request *request,
                                    struct suite_seen *seen);

struct suite_handler {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned held, cancelled, late_begun, late_done;
    /* As the handlers of GetEvent and Subscribe saw them last. */
    char transport[16], peer[64], request_id[16], authorization[16], client_transport[16], client_peer[64];
};
extern struct suite_handler suite_handler;
void suite_wait_handler(const unsigned *number, unsigned least);
