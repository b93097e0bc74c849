/*
 * Heads of aggregates that the writer knows from its last batches. It need not ask for them again: it asks what others have
 * appended since, which is nothing, or little. All of them stand at one position of the store, and are worth nothing
 * without the proof that the store still has the event there that it had.
 *
 * Ownership  A member of the store; texts that are put are copied.
 * Threads    The writer's thread only.
 * Blocking   Never.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "store/hash_table.h"

/* So much of a record's end has all of its salt, which no other record has. */
#define KNOWN_TAIL_BYTES 32U

struct known_head {
    struct bytes id;
    struct bytes type;
    int32_t version;
};

struct mysql_known {
    struct arena *arena; /* NULL until something is put */
    struct hash_table by_id;
    struct known_head *heads;
    size_t count;
    size_t capacity;
    int64_t position;               /* where all heads stand; 0 = nowhere, so that they may not be used */
    uint8_t tail[KNOWN_TAIL_BYTES]; /* of the record there */
    int64_t stood_at_us;            /* monotonic: when it was the head */
};

void mysql_known_init(struct mysql_known *known, uint64_t seed);
void mysql_known_done(struct mysql_known *known);
void mysql_known_forget(struct mysql_known *known);
/* Before a batch: forgets what is too much, or so old that others may have appended more than is worth reading. */
void mysql_known_tidy(struct mysql_known *known, int64_t now_us);
/* NULL = not known. Valid until the next call. */
struct known_head *mysql_known_find(const struct mysql_known *known, struct bytes id);
/* Adds it or sets its version. False when out of memory: forget all. */
bool mysql_known_put(struct mysql_known *known, struct bytes id, struct bytes type, int32_t version);
/* All stand at `position` now, where this record is, or this end of it. */
void mysql_known_stand(struct mysql_known *known, int64_t position, struct bytes record, int64_t now_us);
bool mysql_known_is_tail(const struct mysql_known *known, struct bytes tail);
