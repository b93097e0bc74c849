/*
 * The service: every operation of the contract, once, as a transport-agnostic handler in the method table.
 *
 * An unchecked append goes from the edge's thread straight into the writer; whatever reads or folds runs on the
 * service's pool; appends that a domain rule looks at pass through the lane of their aggregate. Replies come
 * from the thread that completes the work.
 *
 * Ownership  Copies the options' numbers, borrows their texts and all parts; they outlive it.
 * Threads    service_register before the edges start; handlers from any thread.
 * Blocking   Handlers never; service_stop waits for what is under way.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/status.h"
#include "store/append.h"

struct bus;
struct clock;
struct domain;
struct entropy;
struct event_store;
struct log;
struct rpc_table;
struct service;
struct snapshot_store;
struct writer;

struct service_pair {
    const char *key;
    const char *value;
};

struct service_options {
    /* For GetInfo; NULL reads as "". */
    const char *name;
    const char *version;
    const char *description;
    const struct service_pair *metadata;
    size_t metadata_count;
    const char *build_version;
    const char *commit;
    const struct service_pair *libraries;
    size_t library_count;
    const char *store_id;
    struct bytes configuration; /* JSON of the effective configuration, secrets removed; empty = not shown */
    const char *security_mode;  /* for GetHealth: "development", "enforced" */
    const char *cache_kind;     /* "memory", "redis"; without a cache "none" is shown */
    /* The name of this process where it takes leases: new with each start. NULL = one is made. */
    const char *holder;

    struct append_limits limits;  /* the writer's; event_data_max_bytes 0 = EVENT_DATA_MAX */
    int64_t snapshots_max;        /* 0 = unlimited */
    int32_t reducer_version;      /* snapshots of another are not used; 0 = DOMAIN_REDUCER_VERSION */
    int32_t snapshot_events;      /* a snapshot after so many events; 0 = never */
    int64_t snapshot_interval_us; /* a read renews an older snapshot; 0 = never */
    int64_t cleanup_interval_us;  /* what is superseded, expired or has ended goes; 0 = never */
    int64_t cache_ttl_us;         /* age at which a cached state may go; 0 = never */
    int64_t min_position_wait_us; /* 0 = 5 s */
    int64_t operation_look_us;    /* how often operations of other processes are looked at; 0 = 1 s */
    size_t pool_threads;          /* 0 = 2 */
    size_t pool_queue_max;        /* 0 = 4,096 */
};

struct service_parts {
    struct event_store *store;
    struct writer *writer; /* its on_commit calls bus_committed */
    struct snapshot_store *snapshots;
    struct snapshot_store *cache; /* NULL = none */
    struct bus *bus;              /* started */
    /* NULL, or whether hints between processes come and go. Any thread; must not block. */
    struct status (*hints_health)(void *context);
    void *hints_context;
    const struct domain *domain;
    const struct clock *clock;
    const struct entropy *entropy;
    struct log *log;
};

/* RESOURCE_EXHAUSTED when out of memory or threads. */
STATUS_MUST_CHECK struct status service_new(const struct service_parts *parts,
                                            const struct service_options *options, struct service **ret);
void service_register(struct service *service, struct rpc_table *table);

/*
 * Refuses new calls, sends `closing` to subscriptions, finishes what is under way and returns when nothing is.
 * Bus, writer and edges must still run, so that replies leave. Taking down: service_stop, the edges,
 * writer_stop, service_free, bus_free. May be called more than once.
 */
void service_stop(struct service *service);
void service_free(struct service *service); /* NULL is fine; stops first */
DEFINE_CLEANUP(struct service, service_free);
