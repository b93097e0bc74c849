/*
 * How the builder gives way while it computes. A scheduler lets a thread that has begun go on until the next tick (4 ms on many
 * machines), nearly whatever its priority; and what a commit waits for can be bound to the same processor: the kernel's
 * thread that hands a flush to the disk is. So the builder sleeps for a moment after each REST_AFTER_US of computing.
 *
 * Threads  The builder's. Before it runs, as when a store is opened, nobody rests.
 * Blocking It sleeps; not while appends may soon have to wait for full tables, and not while the store stops.
 */
#pragma once

struct embedded_store;

/* An index_pace's `rest`; `context` is the store. */
void builder_rest(void *context);
/* Between two steps that keep the disk busy: rests for 1 ms in any case. */
void builder_rest_disk(struct embedded_store *store);
