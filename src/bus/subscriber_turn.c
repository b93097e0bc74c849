#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bus/bus_internal.h"

/* --- saving --- */

struct status subscriber_save(const struct subscriber *subscriber, int64_t position, int64_t epoch)
{
    char name[sizeof BUS_CHECKPOINT_PREFIX + BUS_NAME_MAX_BYTES];
    const int size = snprintf(name, sizeof name, "%s%s", BUS_CHECKPOINT_PREFIX, subscriber->name);
    struct event_store *store = subscriber->bus->store;
    return store->ops->checkpoint_put(store, bytes_of(name, (size_t)size), position, epoch);
}

static bool is_unsaved(const struct subscriber *subscriber)
{
    const struct progress *progress = &subscriber->progress;
    const bool standby = is_clustered(subscriber) && progress->epoch == 0;
    return subscriber->name[0] != '\0' && !standby && progress->position > progress->checkpoint;
}

static void save(struct subscriber *subscriber)
{
    struct progress *progress = &subscriber->progress;
    subscriber->saved_at_us = clock_monotonic_us(subscriber->bus->clock);
    subscriber->save_failure = subscriber_save(subscriber, progress->position, progress->epoch);
    if (status_is_ok(&subscriber->save_failure))
        progress->checkpoint = progress->position;
    if (is_clustered(subscriber) && subscriber->save_failure.code == STATUS_FAILED_PRECONDITION) {
        subscriber_lease_lose(subscriber, &subscriber->save_failure);
        subscriber->save_failure = status_ok(); /* it is another's from here on */
    }
}

/* --- failing --- */

void subscriber_fail(struct subscriber *subscriber, struct status failure)
{
    if (subscriber->retry_wait_us == 0)
        log_warn(subscriber->bus->log, "a subscriber does not move, retrying",
                 LOG_INT("subscriber", subscriber->id), LOG_TEXT("name", subscriber->name),
                 LOG_INT("position", subscriber->progress.position), LOG_TEXT("reason", failure.message));
    const int64_t doubled_us = subscriber->retry_wait_us * 2;
    subscriber->retry_wait_us = doubled_us == 0                 ? BUS_RETRY_FIRST_US
                                : doubled_us > BUS_RETRY_MAX_US ? BUS_RETRY_MAX_US
                                                                : doubled_us;
    subscriber->retry_at_us = clock_monotonic_us(subscriber->bus->clock) + subscriber->retry_wait_us;
    subscriber->progress.failures++;
    subscriber->progress.failure = failure;
}

static void succeed(struct subscriber *subscriber)
{
    subscriber->retry_wait_us = 0;
    if (!status_is_ok(&subscriber->progress.failure))
        subscriber->progress.failure = status_ok();
}

/* --- getting events --- */

static bool hold(void *context, int64_t position, struct record record)
{
    struct subscriber *subscriber = context;
    struct buffer *texts = &subscriber->texts;
    const size_t size_bytes = record.bytes.size_bytes;
    if (subscriber->held_count == HELD_EVENTS_MAX ||
        (subscriber->held_count > 0 && texts->size_bytes + size_bytes > HELD_BYTES_MAX))
        return false;
    const size_t offset = texts->size_bytes;
    buffer_add_bytes(texts, record.bytes);
    if (texts->failed)
        return false;
    subscriber->held[subscriber->held_count++] =
        (struct held_event){position, offset, size_bytes, record.header_bytes};
    return true;
}

static bool holds_none(const struct subscriber *subscriber)
{
    return subscriber->held_next == subscriber->held_count;
}

void subscriber_forget_held(struct subscriber *subscriber)
{
    subscriber->held_count = 0;
    subscriber->held_next = 0;
    subscriber->progress.attempt = 0;
}

static void fetch(struct subscriber *subscriber, struct cursor *cursor)
{
    subscriber->held_count = 0;
    subscriber->held_next = 0;
    if (subscriber->texts.capacity_bytes > HELD_BYTES_MAX)
        buffer_done(&subscriber->texts); /* one large event was enough */
    buffer_clear(&subscriber->texts);
    struct status status = cursor_next(cursor, hold, subscriber);
    if (status_is_ok(&status) && subscriber->held_count == 0)
        status = buffer_status(&subscriber->texts);
    if (!status_is_ok(&status))
        subscriber_fail(subscriber, status);
    else if (holds_none(subscriber))
        succeed(subscriber);
}

/* --- handing them out --- */

static void end_by_answer(struct subscriber *subscriber)
{
    struct subscriber_list *list = &subscriber->bus->subscribers;
    pthread_mutex_lock(&list->lock);
    if (subscriber->stage == SUBSCRIBER_LIVE)
        subscriber->stage = SUBSCRIBER_DONE;
    atomic_store(&subscriber->wanted, false);
    pthread_mutex_unlock(&list->lock);
}

/* False: that was the last one for now. */
static bool deliver_one(struct subscriber *subscriber)
{
    const struct held_event *held = &subscriber->held[subscriber->held_next];
    const struct record record = {bytes_of(subscriber->texts.data + held->offset, held->size_bytes),
                                  held->header_bytes};
    struct progress *progress = &subscriber->progress;
    struct event_fields event;
    const struct status readable = record_decode(record, &event);
    if (!status_is_ok(&readable)) {
        subscriber_fail(subscriber, readable);
        return false;
    }
    const struct bus_delivery delivery = {subscriber->id, held->position, ++progress->attempt,
                                          progress->epoch, &event};
    const enum bus_answer answer = subscriber->handler(subscriber->context, &delivery);
    if (answer == BUS_FAILED) {
        subscriber_fail(
            subscriber,
            status_error(STATUS_UNAVAILABLE,
                         "the handler of subscriber %lld \"%s\" failed at position %lld in attempt "
                         "%d; it is asked again",
                         (long long)subscriber->id, subscriber->name, (long long)held->position,
                         progress->attempt));
        return false;
    }
    succeed(subscriber);
    progress->attempt = 0;
    progress->position = held->position;
    progress->delivered++;
    atomic_fetch_add_explicit(&subscriber->bus->delivered, 1, memory_order_relaxed);
    subscriber->held_next++;
    if (answer == BUS_DONE)
        end_by_answer(subscriber);
    return true;
}

/* Nothing has ended it, and its lease, if it needs one, is its own. */
static bool may_go_on(const struct subscriber *subscriber)
{
    return atomic_load(&subscriber->wanted) &&
           (!is_clustered(subscriber) || subscriber_lease_is_valid(subscriber));
}

static void run(struct subscriber *subscriber, struct cursor *cursor)
{
    if (is_clustered(subscriber) && !subscriber_lease_keep(subscriber, cursor))
        return;
    if (subscriber->retry_wait_us > 0 && clock_monotonic_us(subscriber->bus->clock) < subscriber->retry_at_us)
        return;
    if (holds_none(subscriber))
        fetch(subscriber, cursor);
    while (!holds_none(subscriber) && may_go_on(subscriber) && deliver_one(subscriber))
        ;
    if (holds_none(subscriber) && atomic_load(&subscriber->wanted))
        subscriber->progress.position = cursor_position(cursor); /* over what did not match, too */
}

/* --- a turn --- */

static void wake_by(struct cursor *cursor, int64_t at_us)
{
    if (cursor->wake_at_us == 0 || cursor->wake_at_us > at_us)
        cursor_wake_at(cursor, at_us);
}

/* When there is more to do. */
static enum cursor_turn plan(const struct subscriber *subscriber, struct cursor *cursor)
{
    if (is_clustered(subscriber)) {
        wake_by(cursor, subscriber->lease.ask_at_us);
        if (subscriber->progress.epoch == 0)
            return CURSOR_WAIT;
    }
    if (is_unsaved(subscriber))
        wake_by(cursor, subscriber->saved_at_us + BUS_CHECKPOINT_INTERVAL_US);
    if (subscriber->retry_wait_us > 0) {
        wake_by(cursor, subscriber->retry_at_us);
        return CURSOR_WAIT;
    }
    const bool more = cursor_position(cursor) < cursor_head(cursor) && !cursor_waits_for_missing(cursor);
    return more ? CURSOR_AGAIN : CURSOR_WAIT;
}

/* Under the lock, after its last turn. */
static enum cursor_turn close_cursor(struct subscriber *subscriber)
{
    subscriber->cursor = NULL;
    if (subscriber->stage == SUBSCRIBER_REMOVED)
        subscriber_drop(subscriber);
    return CURSOR_CLOSED;
}

static enum cursor_turn turn_end(struct subscriber *subscriber, struct cursor *cursor)
{
    struct subscriber_list *list = &subscriber->bus->subscribers;
    const bool due =
        clock_monotonic_us(subscriber->bus->clock) - subscriber->saved_at_us >= BUS_CHECKPOINT_INTERVAL_US;
    /* Who ends it from outside waits for this turn, and saves again only if this fails. */
    const bool wanted = atomic_load(&subscriber->wanted);
    if (is_unsaved(subscriber) && (due || !wanted))
        save(subscriber);
    if (!wanted) {
        subscriber_lease_release(subscriber, subscriber->progress.epoch);
        subscriber->progress.epoch = 0;
    }
    enum cursor_turn turn = plan(subscriber, cursor);
    pthread_mutex_lock(&list->lock);
    subscriber->shown = subscriber->progress;
    if (status_is_ok(&subscriber->shown.failure))
        subscriber->shown.failure = subscriber->save_failure;
    list->busy_id = 0;
    pthread_cond_broadcast(&list->quiet);
    if (subscriber->stage != SUBSCRIBER_LIVE)
        turn = subscriber->holds > 0 ? CURSOR_WAIT : close_cursor(subscriber);
    pthread_mutex_unlock(&list->lock);
    return turn;
}

enum cursor_turn subscriber_turn(void *context, struct cursor *cursor)
{
    struct subscriber *subscriber = context;
    struct subscriber_list *list = &subscriber->bus->subscribers;
    pthread_mutex_lock(&list->lock);
    const bool live = subscriber->stage == SUBSCRIBER_LIVE;
    enum cursor_turn turn = CURSOR_WAIT; /* who holds it pokes the cursor when he is done */
    if (live) {
        list->busy_id = subscriber->id;
        list->busy_thread = pthread_self();
    } else if (subscriber->holds == 0) {
        turn = close_cursor(subscriber);
    }
    pthread_mutex_unlock(&list->lock);
    if (!live)
        return turn;
    run(subscriber, cursor);
    return turn_end(subscriber, cursor);
}
