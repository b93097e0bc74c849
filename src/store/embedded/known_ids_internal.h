/*
 * A set of ids that is filled and emptied for each batch: copies, so that who named them may go.
 *
 * Threads  One at a time.  Blocking  Never.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "store/hash_table.h"

struct known_ids {
    struct hash_table by_id; /* → place in items */
    struct buffer texts;
    struct buffer items; /* struct known_id each */
    int64_t as_of;       /* for the owner: the head when the ids were found out */
};

struct known_ids known_ids_make(uint64_t seed);
void known_ids_done(struct known_ids *ids);
void known_ids_clear(struct known_ids *ids);
/* Twice does no harm. RESOURCE_EXHAUSTED. */
STATUS_MUST_CHECK struct status known_ids_add(struct known_ids *ids, struct bytes id);
bool known_ids_has(const struct known_ids *ids, struct bytes id);
