/*
 * The last version of every aggregate, to see that none is left out. The only thing of a verification that grows with
 * the number of aggregates: their ids and about 40 bytes each.
 *
 * Ownership  version_table_done() frees. Ids are copied.
 * Threads    One.
 * Blocking   Never.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

struct version_entry {
    struct bytes id; /* data NULL = free */
    int32_t version;
};

/* Open addressing, at most half full, a power of two. */
struct version_table {
    struct version_entry *slots;
    size_t slot_count;
    size_t count;
    uint64_t seed; /* ids come from outside: nobody may choose ones that collide */
    struct arena *arena;
};

STATUS_MUST_CHECK struct status version_table_init(struct version_table *table, uint64_t seed);
void version_table_done(struct version_table *table);

/* The entry of an aggregate, made when it is new; *ret_new says so, and then its version is for the caller to set. Valid
 * until the next call. */
STATUS_MUST_CHECK struct status version_table_get(struct version_table *table, struct bytes id,
                                                  struct version_entry **ret, bool *ret_new);
