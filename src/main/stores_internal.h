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

struct files;

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
/* Says what was found, for engines that recover. */
void stores_log(const struct stores *stores, struct log *log);
/* "embedded store in data", for people. */
void stores_describe(const struct config *config, char *to, size_t size_bytes);
