/*
 * The engines that the configuration names: events, snapshots, cache.
 *
 * Ownership  stores_open() … stores_close(), which takes down what was opened, also after a failure.
 * Threads    One.
 * Blocking   Yes: files and servers.
 */
#pragma once

#include "config/config.h"
#include "main/serve_internal.h"
#include "store/event_store.h"
#include "store/snapshot_store.h"

struct bus;
struct files;
struct redis_hints;

struct stores {
    struct event_store *events;
    struct snapshot_store *snapshots;
    struct snapshot_store *cache; /* NULL = none */
    const char *store_id;
    struct files *files; /* under an embedded store; else NULL */
    struct event_store
        *snapshot_base; /* holds the snapshots when they are elsewhere than the events; else NULL */
};

STATUS_MUST_CHECK struct status stores_open(const struct config *config, const struct serve_options *once,
                                            struct log *log, struct stores *ret);
void stores_close(struct stores *stores);
/*
 * Between this process and others over the same store, where Redis is configured: the bus hears of their commits, and
 * redis_hints_tell tells of ours. *ret NULL = nobody to talk to. Ends by redis_hints_stop, before the bus.
 */
STATUS_MUST_CHECK struct status stores_start_hints(const struct stores *stores, const struct config *config,
                                                   struct bus *bus, struct log *log,
                                                   struct redis_hints **ret);

/* Warns of each file with a secret that others than its owner may read. */
void stores_log_exposures(const struct config *config, struct log *log);
/* Says what was found, for engines that recover. */
void stores_log(const struct stores *stores, struct log *log);
/* For the files of this room: a password from its own key, or from a file without the line's end. */
#define PASSWORD_MAX_BYTES 1024U
STATUS_MUST_CHECK struct status stores_password(const struct config *config, enum config_key key,
                                                enum config_key file_key, char to[PASSWORD_MAX_BYTES]);
/* stores_redis.c */
STATUS_MUST_CHECK struct status stores_redis_snapshots(const struct config *config, const char *store_id,
                                                       struct log *log, struct snapshot_store **ret);
STATUS_MUST_CHECK struct status stores_redis_cache(const struct config *config, const char *store_id,
                                                   struct log *log, struct snapshot_store **ret);

/* stores_mongodb.c: the events; snapshots lie beside them. */
STATUS_MUST_CHECK struct status stores_mongodb(const struct config *config, struct log *log,
                                               struct event_store **ret);

/* "embedded store in data", for people. */
void stores_describe(const struct config *config, char *to, size_t size_bytes);
