/*
 * The lease of a subscriber of scope CLUSTER: it decides which one of several processes calls the handler.
 *
 *     standing by ──lease taken, cursor at the checkpoint──► holding ──another took it: lost──► standing by
 *                                                            └─ renewed at ask_at_us ─┘
 *
 * Its own clock ends a lease before the store does, and from then on the handler is not called until it was renewed. A
 * call that takes longer than that may be made by two holders at a time; the epoch tells them apart, and the store
 * refuses the checkpoint of the older one.
 */
#include <stdio.h>

#include "base/log.h"
#include "bus/bus_internal.h"

#define NAME_BYTES (sizeof BUS_CHECKPOINT_PREFIX + BUS_NAME_MAX_BYTES)

/* The lease has the name of the checkpoint, so that the store guards one by the other. */
static struct bytes lease_name(const struct subscriber *subscriber, char text[NAME_BYTES])
{
    const int size = snprintf(text, NAME_BYTES, "%s%s", BUS_CHECKPOINT_PREFIX, subscriber->name);
    return bytes_of(text, (size_t)size);
}

static int64_t now_of(const struct subscriber *subscriber)
{
    return clock_monotonic_us(subscriber->bus->clock);
}

static void forget_failure(struct subscriber *subscriber)
{
    subscriber->retry_wait_us = 0;
    subscriber->progress.failure = status_ok();
}

/* Where another holder has come. */
static void stand_by(struct subscriber *subscriber, int64_t now_us)
{
    char text[NAME_BYTES];
    struct event_store *store = subscriber->bus->store;
    struct progress *progress = &subscriber->progress;
    struct checkpoint checkpoint;
    const struct status status = store->ops->checkpoint_get(store, lease_name(subscriber, text), &checkpoint);
    progress->epoch = 0;
    subscriber->lease.ask_at_us = now_us + BUS_LEASE_POLL_US;
    if (status_is_ok(&status))
        progress->position = progress->checkpoint = checkpoint.position;
    if (status_is_ok(&status) || status.code == STATUS_NOT_FOUND)
        forget_failure(subscriber);
    else
        subscriber_fail(subscriber, status);
}

void subscriber_lease_lose(struct subscriber *subscriber, const struct status *why)
{
    log_warn(subscriber->bus->log, "a subscriber lost its lease, standing by",
             LOG_TEXT("name", subscriber->name), LOG_INT("epoch", subscriber->progress.epoch),
             LOG_INT("position", subscriber->progress.position), LOG_TEXT("reason", why->message));
    subscriber_forget_held(subscriber);
    stand_by(subscriber, now_of(subscriber));
}

/* At the checkpoint; where it is, if that has not moved since it last had the lease; where it was to begin, if there is
 * none: from then on there is one, so that every later holder begins behind the same event. */
static struct status adopt(struct subscriber *subscriber, struct cursor *cursor, int64_t epoch)
{
    char text[NAME_BYTES];
    struct event_store *store = subscriber->bus->store;
    struct progress *progress = &subscriber->progress;
    struct checkpoint checkpoint = {.position = progress->position};
    const struct status status = store->ops->checkpoint_get(store, lease_name(subscriber, text), &checkpoint);
    if (status.code == STATUS_NOT_FOUND)
        STATUS_TRY(subscriber_save(subscriber, checkpoint.position, epoch));
    else
        STATUS_TRY(status);
    if (progress->epoch == 0 || checkpoint.position != progress->checkpoint) {
        subscriber_forget_held(subscriber);
        cursor_move(cursor, checkpoint.position);
        progress->position = checkpoint.position;
    }
    progress->checkpoint = checkpoint.position;
    progress->epoch = epoch;
    return status_ok();
}

/* The store cannot say: what was taken holds until its end. */
static void ask_failed(struct subscriber *subscriber, int64_t now_us, struct status failure)
{
    if (subscriber->progress.epoch != 0 && now_us < subscriber->lease.valid_until_us) {
        subscriber->lease.ask_at_us = now_us + BUS_LEASE_POLL_US;
        return;
    }
    subscriber->progress.epoch = 0;
    subscriber_forget_held(subscriber);
    subscriber_fail(subscriber, failure);
    subscriber->lease.ask_at_us = subscriber->retry_at_us;
    subscriber->lease.failing = true;
}

static void ask(struct subscriber *subscriber, struct cursor *cursor, int64_t now_us)
{
    char text[NAME_BYTES];
    const struct bus *bus = subscriber->bus;
    struct event_store *store = bus->store;
    struct lease lease;
    struct status status = store->ops->lease(store, lease_name(subscriber, text), bytes_of_text(bus->holder),
                                             BUS_LEASE_TTL_MS, &lease);
    if (status.code == STATUS_ABORTED) {
        subscriber->lease.failing = false;
        if (subscriber->progress.epoch != 0)
            subscriber_lease_lose(subscriber, &status);
        else
            stand_by(subscriber, now_us);
        return;
    }
    if (status_is_ok(&status) && lease.epoch != subscriber->progress.epoch)
        status = adopt(subscriber, cursor, lease.epoch);
    if (!status_is_ok(&status)) {
        ask_failed(subscriber, now_us, status);
        return;
    }
    if (subscriber->lease.failing)
        forget_failure(subscriber); /* but not the handler's own */
    subscriber->lease.failing = false;
    subscriber->lease.ask_at_us = now_us + BUS_LEASE_RENEW_US;
    subscriber->lease.valid_until_us = now_us + BUS_LEASE_TTL_MS * 1000 - BUS_LEASE_MARGIN_US;
}

bool subscriber_lease_keep(struct subscriber *subscriber, struct cursor *cursor)
{
    const int64_t now_us = now_of(subscriber); /* before it is asked: the store counts from later on */
    if (now_us >= subscriber->lease.ask_at_us)
        ask(subscriber, cursor, now_us);
    return subscriber->progress.epoch != 0;
}

bool subscriber_lease_is_valid(const struct subscriber *subscriber)
{
    return subscriber->progress.epoch != 0 && now_of(subscriber) < subscriber->lease.valid_until_us;
}

void subscriber_lease_release(const struct subscriber *subscriber, int64_t epoch)
{
    char text[NAME_BYTES];
    const struct bus *bus = subscriber->bus;
    if (epoch == 0)
        return;
    const struct status status = bus->store->ops->lease_release(bus->store, lease_name(subscriber, text),
                                                                bytes_of_text(bus->holder), epoch);
    if (!status_is_ok(&status))
        log_warn(bus->log, "a lease could not be given back, it ends by itself",
                 LOG_TEXT("name", subscriber->name), LOG_TEXT("reason", status.message));
}
