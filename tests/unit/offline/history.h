/*
 * A short history with everything that an import of records must keep: appends of one and of several events, an
 * explicit creation, events of two aggregates in one append, tags, metadata, times.
 *
 * Ownership  history_done() frees all.
 * Threads    One.
 */
#pragma once

#include <stddef.h>

#include "record/record.h"
#include "store/event_store.h"

#define HISTORY_MAX 16U

struct history {
    struct arena *arena;
    struct bytes records[HISTORY_MAX]; /* by position - 1 */
    size_t count;
    struct store_head head;
};

/* Made by decide() on a memory store, so that it is what a right writer writes. */
void history_init(struct history *history);
void history_done(struct history *history);

/* Appends it to an empty store through decide(), so that ids, times and salts are the same whatever the engine. */
void history_write(struct event_store *store, struct store_head *ret_head);

/* The record at `place` with `change` applied to its fields; the digest is computed anew unless `change` sets it. */
struct bytes history_changed(struct history *history, size_t place,
                             void (*change)(struct event_fields *fields));
struct bytes history_encoded(struct history *history, const struct event_fields *fields);
