/*
 * What Redis does for Strata: snapshots, cached states, and hints between replicas that the head has moved. Never the
 * only copy of an event: a Redis that is down, slow, full or empty costs speed. Keys: README.md of this room.
 *
 * Ownership  Texts of the options are copied. Clock and log are borrowed and outlive what is opened.
 * Threads    As snapshot_store.h says; callers share a pool of connections and wait for one.
 * Blocking   For connect_timeout_ms and io_timeout_ms at most. After a failure calls fail at once, for a while that
 *            doubles up to two seconds; then one of them tries.
 */
#pragma once

#include "store/snapshot_store.h"

struct clock;
struct log;

enum redis_tls {
    REDIS_TLS_OFF,
    REDIS_TLS_REQUIRED, /* encrypted, whoever the server is */
    REDIS_TLS_VERIFIED, /* and its certificate is signed by tls_ca_file and names the host */
};

struct redis_options {
    const char *host;
    uint16_t port;        /* 0 = 6379 */
    const char *username; /* NULL or "" = the server's default user */
    const char *password; /* NULL or "" = none */
    unsigned database;    /* number, for SELECT */
    enum redis_tls tls;
    const char *tls_ca_file;   /* REDIS_TLS_VERIFIED; NULL = the system's */
    const char *tls_cert_file; /* of the client, where the server wants one; NULL = none */
    const char *tls_key_file;
    const char *key_prefix;      /* of every key and channel; NULL = "strata" */
    const char *store_id;        /* of the store of events that all belongs to */
    unsigned pool_size;          /* connections; 0 = 8 */
    uint32_t connect_timeout_ms; /* 0 = 1,000 */
    uint32_t io_timeout_ms;      /* of one command; 0 = 5,000 */
};

/*
 * The snapshots of a store. OK also when the server cannot be reached or refuses us: calls then answer
 * STORE_UNREACHABLE with the reason and its remedy, which the log has too.
 *   INVALID_ARGUMENT  an option; a certificate that cannot be read
 */
STATUS_MUST_CHECK struct status redis_snapshots_open(const struct redis_options *options,
                                                     const struct clock *clock, struct log *log,
                                                     struct snapshot_store **ret);

/*
 * A cache: one state of each aggregate, the one that was put last. They go after `ttl_ms` (0 = never), and when there are
 * more than `entries_max`, those put longest ago first. Of a server that does not answer or refuses, get finds nothing
 * and put and remove do nothing; stats and list tell of it. Fails as above.
 */
struct redis_cache_bounds {
    int64_t ttl_ms;
    int64_t entries_max;
};
STATUS_MUST_CHECK struct status redis_cache_open(const struct redis_options *options,
                                                 const struct redis_cache_bounds *bounds,
                                                 const struct clock *clock, struct log *log,
                                                 struct snapshot_store **ret);

/*
 * Hints that the head has moved, by publish and subscribe on one channel of the store, over a thread and connections of
 * their own. A hint may be lost, late, repeated or wrong: who hears one reads the head from the store.
 */
struct redis_hints;
struct redis_hint_listener {
    /* On the hints' thread; must not block. `position` is what somebody says the head is. */
    void (*heard)(void *context, int64_t position);
    /* Whether hints can be heard from now on; false at first. */
    void (*listening)(void *context, bool yes);
    void *context;
};
STATUS_MUST_CHECK struct status redis_hints_start(const struct redis_options *options,
                                                  const struct redis_hint_listener *listener,
                                                  const struct clock *clock, struct log *log,
                                                  struct redis_hints **ret);
/* Any thread; never blocks. Several in a row may become one hint, of the highest position. NULL is fine. */
void redis_hints_tell(struct redis_hints *hints, int64_t position);
/* Any thread; never blocks. OK, or why hints of others cannot be heard, or ours not be told. NULL is fine. */
STATUS_MUST_CHECK struct status redis_hints_health(struct redis_hints *hints);
/* The listener is not called afterwards. NULL is fine. */
void redis_hints_stop(struct redis_hints *hints);
