/* What the files of the snapshot rules share. Lock order: write_lock → pending_lock. */
#pragma once

#include "service/snapshots_internal.h"

#define PENDING_SLOTS 8192U
#define USED_SLOTS    8192U

/* A cache entry's metadata, which is nobody's but ours. */
#define CACHE_NOTE_BYTES 12U
struct cache_note {
    int64_t cached_at_us;   /* for the cleanup */
    int32_t stored_version; /* of the snapshot that the entry goes back to; 0 = from the first event on */
};
/* False when the entry has none, as one that an older release put into a shared cache. */
bool cache_note_read(const struct snapshot *entry, struct cache_note *ret);

/* What is known of an aggregate's PENDING snapshots; another aggregate in the same slot makes it unknown. */
struct pending_slot {
    uint64_t id_hash; /* 0 = nothing known */
    int32_t lowest;   /* INT32_MAX = none */
};

/* When a snapshot of an aggregate was last of use; another aggregate in the same slot makes it forgotten. */
struct used_slot {
    uint64_t id_hash; /* 0 = nothing known */
    int64_t time_us;
};

struct snapshot_keeper {
    struct service *service;
    uint64_t seed;
    pthread_mutex_t write_lock;
    uint64_t newest_hash; /* the one put last, which goes last; guarded by write_lock */
    int32_t newest_version;
    pthread_mutex_t pending_lock; /* a leaf; guards the slots */
    struct pending_slot pending[PENDING_SLOTS];
    struct used_slot used[USED_SLOTS];
    atomic_bool evicting;
    struct bus_waiter timer;
    bool timer_set;
    atomic_bool timer_over; /* its last callback has returned */
};

/* Of an aggregate's id; never 0. */
uint64_t keeper_hash(const struct snapshot_keeper *keeper, struct bytes id);

/* snapshots_pending.c: a PENDING one was put, so nothing is known of that aggregate any more. */
void pending_forget(struct snapshot_keeper *keeper, struct bytes id);

/* snapshots_sweep.c: one was put, perhaps one more than there may be. Under write_lock. */
void snapshots_evict_soon(struct service *service, const struct snapshot *put);
/* Starts the timer of the cleanup. */
void cleanup_begin(struct snapshot_keeper *keeper);
