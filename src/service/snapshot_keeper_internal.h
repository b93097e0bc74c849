/* What the files of the snapshot rules share. Lock order: write_lock → pending_lock. */
#pragma once

#include "service/snapshots_internal.h"

#define PENDING_SLOTS   8192U
#define CACHED_AT_BYTES 8U /* a cache entry's metadata: when it was put, for the cleanup alone */

/* What is known of an aggregate's PENDING snapshots; another aggregate in the same slot makes it unknown. */
struct pending_slot {
    uint64_t id_hash; /* 0 = nothing known */
    int32_t lowest;   /* INT32_MAX = none */
};

struct snapshot_keeper {
    struct service *service;
    uint64_t seed;
    pthread_mutex_t write_lock;
    pthread_mutex_t pending_lock; /* a leaf; guards the slots */
    struct pending_slot pending[PENDING_SLOTS];
    atomic_bool evicting;
    struct bus_waiter timer;
    bool timer_set;
    atomic_bool timer_over; /* its last callback has returned */
};

/* snapshots_pending.c: a PENDING one was put, so nothing is known of that aggregate any more. */
void pending_forget(struct snapshot_keeper *keeper, struct bytes id);

/* snapshots_sweep.c: one more was put than there may be. */
void snapshots_evict_soon(struct service *service);
/* Starts the timer of the cleanup. */
void cleanup_begin(struct snapshot_keeper *keeper);
