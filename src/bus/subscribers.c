#include "bus/subscribers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "bus/bus_internal.h"

/* Ended ones that the bus's thread has not closed yet; it closes all in each pass. */
#define CLOSING_MAX 3072U

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another subscriber; end some");
}

/* --- the list --- */

static bool is_durable(const struct subscriber *subscriber)
{
    return subscriber->name[0] != '\0';
}

static struct subscriber *find(const struct subscriber_list *list, int64_t id)
{
    struct subscriber *subscriber = list->first;
    while (subscriber != NULL && subscriber->id < id)
        subscriber = subscriber->next;
    return subscriber != NULL && subscriber->id == id ? subscriber : NULL;
}

/* NULL also when it is on its way in or out. */
static struct subscriber *find_listed(const struct subscriber_list *list, int64_t id)
{
    struct subscriber *subscriber = find(list, id);
    const bool listed = subscriber != NULL && subscriber->stage != SUBSCRIBER_STARTING &&
                        subscriber->stage != SUBSCRIBER_REMOVED;
    return listed ? subscriber : NULL;
}

static void free_subscriber(struct subscriber *subscriber)
{
    buffer_done(&subscriber->texts);
    arena_free(subscriber->arena);
    free(subscriber);
}

void subscriber_drop(struct subscriber *subscriber)
{
    struct subscriber_list *list = &subscriber->bus->subscribers;
    struct subscriber **link = &list->first;
    while (*link != subscriber)
        link = &(*link)->next;
    *link = subscriber->next;
    list->count--;
    free_subscriber(subscriber);
}

/* Under the lock: its name and its place are free from now on, though the bus's thread may still have to close it. */
static void remove_subscriber(struct subscriber_list *list, struct subscriber *subscriber)
{
    subscriber->stage = SUBSCRIBER_REMOVED;
    list->listed_count--;
    list->durable_count -= is_durable(subscriber);
}

/* Under the lock: the cursor's next turn, or nobody any more, has to do with it. */
static void let_go(struct subscriber *subscriber)
{
    if (subscriber->cursor != NULL)
        cursor_poke(subscriber->cursor);
    else if (subscriber->stage == SUBSCRIBER_REMOVED)
        subscriber_drop(subscriber);
}

static bool is_busy(const struct subscriber_list *list, int64_t id)
{
    return id != 0 && list->busy_id == id; /* 0 is nobody's */
}

static bool is_own_turn(const struct subscriber_list *list)
{
    return list->busy_id != 0 && pthread_equal(list->busy_thread, pthread_self());
}

void subscribers_init(struct bus *bus)
{
    pthread_mutex_init(&bus->subscribers.lock, NULL);
    pthread_cond_init(&bus->subscribers.quiet, NULL);
}

void subscribers_stop(struct bus *bus)
{
    pthread_mutex_lock(&bus->subscribers.lock);
    bus->subscribers.stopped = true;
    pthread_mutex_unlock(&bus->subscribers.lock);
}

void subscribers_detach(struct bus *bus)
{
    struct subscriber_list *list = &bus->subscribers;
    pthread_mutex_lock(&list->lock);
    for (struct subscriber *next = list->first; next != NULL;) {
        struct subscriber *subscriber = next;
        next = subscriber->next;
        subscriber->cursor = NULL;
        if (subscriber->stage == SUBSCRIBER_REMOVED && subscriber->holds == 0)
            subscriber_drop(subscriber);
    }
    pthread_mutex_unlock(&list->lock);
}

void subscribers_done(struct bus *bus)
{
    struct subscriber_list *list = &bus->subscribers;
    while (list->first != NULL)
        subscriber_drop(list->first);
    pthread_cond_destroy(&list->quiet);
    pthread_mutex_destroy(&list->lock);
}

/* --- subscribing --- */

static struct status check_options(const struct bus *bus, const struct bus_subscribe_options *options)
{
    const struct bytes name = bytes_of_text(options->name);
    assert(options->handler != NULL);
    assert(options->scope == BUS_SCOPE_PROCESS || name.size_bytes > 0); /* what would the lease be of? */
    if (options->scope == BUS_SCOPE_CLUSTER && bus->holder[0] == '\0')
        return status_error(STATUS_FAILED_PRECONDITION,
                            "the bus has no name to hold leases under; call bus_set_holder first");
    STATUS_TRY(id_check("name", name, ID_OPTIONAL));
    if (name.size_bytes > BUS_NAME_MAX_BYTES)
        return status_reason(REASON_INVALID_ID, "name has %zu bytes; give at most %u", name.size_bytes,
                             BUS_NAME_MAX_BYTES);
    if (options->after_position < BUS_FROM_NOW || options->after_position > bus_head(bus))
        return status_error(STATUS_INVALID_ARGUMENT,
                            "after_position is %lld and the head is %lld; give a position that exists, or "
                            "BUS_FROM_NOW",
                            (long long)options->after_position, (long long)bus_head(bus));
    return status_ok();
}

static struct status make(struct bus *bus, const struct bus_subscribe_options *options,
                          struct subscriber **ret)
{
    struct subscriber *subscriber = calloc(1, sizeof *subscriber);
    struct arena *arena = arena_new(0);
    if (subscriber == NULL || arena == NULL) {
        arena_free(arena);
        free(subscriber);
        return no_memory();
    }
    *subscriber = (struct subscriber){
        .bus = bus,
        .arena = arena,
        .owner = options->owner,
        .scope = options->scope,
        .name = arena_text(arena, bytes_of_text(options->name)),
        .handler = options->handler,
        .context = options->context,
        .began_at_us = clock_now_us(bus->clock),
        .texts = buffer_make(0),
        .saved_at_us = clock_monotonic_us(bus->clock),
        .progress = {.failure = status_ok()},
        .save_failure = status_ok(),
    };
    atomic_init(&subscriber->wanted, true);
    const struct status status =
        subscriber->name == NULL ? no_memory() : filter_copy(arena, options, &subscriber->filter);
    if (!status_is_ok(&status)) {
        free_subscriber(subscriber);
        return status;
    }
    *ret = subscriber;
    return status_ok();
}

/* Who has the name: one that has not ended, else one that is still being saved; NULL = it is free. */
static const struct subscriber *find_name(const struct subscriber_list *list, const char *name)
{
    const struct subscriber *saving = NULL;
    for (const struct subscriber *at = list->first; at != NULL; at = at->next) {
        if (strcmp(at->name, name) != 0)
            continue;
        if (at->stage == SUBSCRIBER_STARTING || at->stage == SUBSCRIBER_LIVE)
            return at;
        if (is_busy(list, at->id) || at->holds > 0)
            saving = at;
    }
    return saving;
}

/* Under the lock, which it gives up while the last one of that name saves its checkpoint. */
static struct status check_name(struct subscriber_list *list, const char *name)
{
    const struct subscriber *other = NULL;
    while (name[0] != '\0' && (other = find_name(list, name)) != NULL) {
        if (other->stage == SUBSCRIBER_STARTING || other->stage == SUBSCRIBER_LIVE || is_own_turn(list))
            return status_error(STATUS_ALREADY_EXISTS,
                                "subscriber %lld has the name \"%s\"; end it first, or take another name",
                                (long long)other->id, name);
        pthread_cond_wait(&list->quiet, &list->lock);
    }
    return status_ok();
}

/* Under the lock. */
static struct status check_room(const struct subscriber_list *list, const struct subscriber *newcomer)
{
    if (list->stopped)
        return status_error(STATUS_FAILED_PRECONDITION, "the bus was stopped; nobody can subscribe any more");
    if (list->listed_count >= BUS_SUBSCRIBERS_MAX)
        return status_error(STATUS_RESOURCE_EXHAUSTED,
                            "the bus has %u subscribers, which is the most; end some, or clean up those that "
                            "have ended",
                            BUS_SUBSCRIBERS_MAX);
    if (list->count >= CLOSING_MAX + BUS_SUBSCRIBERS_MAX)
        return status_error(STATUS_UNAVAILABLE,
                            "%zu subscribers that have ended wait for the bus's thread; try again",
                            list->count - list->listed_count);
    if (is_durable(newcomer) && list->durable_count >= BUS_DURABLE_MAX)
        return status_error(
            STATUS_RESOURCE_EXHAUSTED,
            "the bus has %u durable subscribers, which is the most; end some, or give no name",
            BUS_DURABLE_MAX);
    return status_ok();
}

/* Takes its name and its place. */
static struct status enter(struct subscriber_list *list, struct subscriber *subscriber)
{
    STATUS_TRY(check_name(list, subscriber->name));
    STATUS_TRY(check_room(list, subscriber));
    struct subscriber **link = &list->first;
    while (*link != NULL)
        link = &(*link)->next;
    *link = subscriber;
    subscriber->id = ++list->last_id;
    list->count++;
    list->listed_count++;
    list->durable_count += is_durable(subscriber);
    return status_ok();
}

static struct status find_start(const struct subscriber *subscriber, int64_t after_position, int64_t *ret)
{
    struct bus *bus = subscriber->bus;
    *ret = after_position == BUS_FROM_NOW ? bus_head(bus) : after_position;
    if (!is_durable(subscriber))
        return status_ok();
    char name[sizeof BUS_CHECKPOINT_PREFIX + BUS_NAME_MAX_BYTES];
    const int size = snprintf(name, sizeof name, "%s%s", BUS_CHECKPOINT_PREFIX, subscriber->name);
    struct checkpoint checkpoint;
    const struct status status =
        bus->store->ops->checkpoint_get(bus->store, bytes_of(name, (size_t)size), &checkpoint);
    if (status_is_ok(&status))
        *ret = checkpoint.position;
    if (status.code != STATUS_NOT_FOUND)
        return status;
    /* "Now" is remembered, else a crash before the first save would pass events over. A lease does it by itself. */
    const bool remember = after_position == BUS_FROM_NOW && !is_clustered(subscriber);
    return remember ? subscriber_save(subscriber, *ret, 0) : status_ok();
}

static struct status make_cursor(struct subscriber *subscriber, int64_t after_position, struct cursor **ret)
{
    struct query_item item;
    struct event_query query;
    filter_query(&subscriber->filter, &item, &query);
    const struct cursor_options options = {&query, after_position, subscriber_turn, subscriber};
    STATUS_TRY(cursor_new(subscriber->bus, &options, ret));
    (*ret)->in_process = true;
    (*ret)->filter = filter_has_patterns(&subscriber->filter) ? &subscriber->filter : NULL;
    return status_ok();
}

static struct status start(struct subscriber *subscriber, int64_t after_position)
{
    struct subscriber_list *list = &subscriber->bus->subscribers;
    struct cursor *cursor = NULL;
    STATUS_TRY(find_start(subscriber, after_position, &subscriber->progress.position));
    subscriber->progress.checkpoint = subscriber->progress.position;
    STATUS_TRY(make_cursor(subscriber, subscriber->progress.position, &cursor));
    pthread_mutex_lock(&list->lock);
    const bool stopped = list->stopped;
    if (!stopped) {
        subscriber->shown = subscriber->progress;
        subscriber->cursor = cursor;
        subscriber->stage = SUBSCRIBER_LIVE;
        cursor_start(cursor); /* under the lock, so that bus_stop finds it */
    }
    pthread_mutex_unlock(&list->lock);
    if (!stopped)
        return status_ok();
    cursor_free(cursor);
    return status_error(STATUS_FAILED_PRECONDITION, "the bus was stopped; nobody can subscribe any more");
}

struct status bus_subscribe(struct bus *bus, const struct bus_subscribe_options *options, int64_t *ret_id)
{
    struct subscriber *subscriber = NULL;
    struct subscriber_list *list = &bus->subscribers;
    STATUS_TRY(check_options(bus, options));
    STATUS_TRY(make(bus, options, &subscriber));
    pthread_mutex_lock(&list->lock);
    struct status status = enter(list, subscriber);
    pthread_mutex_unlock(&list->lock);
    if (!status_is_ok(&status)) {
        free_subscriber(subscriber);
        return status;
    }
    const int64_t id = subscriber->id; /* once started, it may end at any time */
    status = start(subscriber, options->after_position);
    if (!status_is_ok(&status)) {
        pthread_mutex_lock(&list->lock);
        remove_subscriber(list, subscriber);
        subscriber_drop(subscriber);
        pthread_mutex_unlock(&list->lock);
        return status;
    }
    *ret_id = id;
    return status_ok();
}

/* --- ending --- */

/* Under the lock, which it gives up to save and to release the lease. Nothing but `holds` keeps the subscriber meanwhile. */
static struct status save_held(struct subscriber_list *list, struct subscriber *subscriber)
{
    const int64_t position = subscriber->shown.position;
    const int64_t epoch = subscriber->shown.epoch;
    const bool standby = is_clustered(subscriber) && epoch == 0;
    const bool unsaved = is_durable(subscriber) && !standby && position > subscriber->shown.checkpoint;
    if (!unsaved && epoch == 0)
        return status_ok();
    subscriber->shown.epoch = 0;
    pthread_mutex_unlock(&list->lock);
    struct status status = status_ok();
    if (unsaved)
        status = subscriber_save(subscriber, position, epoch);
    subscriber_lease_release(subscriber, epoch);
    pthread_mutex_lock(&list->lock);
    if (unsaved && status_is_ok(&status))
        subscriber->shown.checkpoint = position;
    return status;
}

/* Under the lock, which it gives up to wait and to save. */
static struct status end(struct subscriber_list *list, struct subscriber *subscriber,
                         enum subscriber_stage stage)
{
    if (stage == SUBSCRIBER_REMOVED)
        remove_subscriber(list, subscriber);
    subscriber->stage = stage;
    atomic_store(&subscriber->wanted, false);
    if (is_busy(list, subscriber->id) && is_own_turn(list))
        return status_ok(); /* from its own handler: the end of this turn does the rest */
    subscriber->holds++;
    while (is_busy(list, subscriber->id))
        pthread_cond_wait(&list->quiet, &list->lock);
    const struct status status = save_held(list, subscriber);
    subscriber->holds--;
    pthread_cond_broadcast(&list->quiet);
    if (subscriber->holds == 0)
        let_go(subscriber);
    return status;
}

struct status bus_unsubscribe(struct bus *bus, int64_t id)
{
    struct subscriber_list *list = &bus->subscribers;
    struct status status;
    pthread_mutex_lock(&list->lock);
    struct subscriber *subscriber = find_listed(list, id);
    if (subscriber != NULL) {
        status = end(list, subscriber, SUBSCRIBER_REMOVED);
    } else {
        /* Another thread may be ending it: the promise holds for both. */
        while (is_busy(list, id) && !is_own_turn(list))
            pthread_cond_wait(&list->quiet, &list->lock);
        status = status_error(STATUS_NOT_FOUND, "there is no subscriber %lld", (long long)id);
    }
    pthread_mutex_unlock(&list->lock);
    return status;
}

size_t bus_abandon(struct bus *bus, uint64_t owner)
{
    struct subscriber_list *list = &bus->subscribers;
    size_t count = 0;
    pthread_mutex_lock(&list->lock);
    for (struct subscriber *at = owner == 0 ? NULL : list->first; at != NULL;) {
        if (at->stage != SUBSCRIBER_LIVE || at->owner != owner) {
            at = at->next;
            continue;
        }
        (void)end(list, at, SUBSCRIBER_ABANDONED); /* unsaved: its last second comes again */
        count++;
        at = list->first; /* the lock was given up */
    }
    pthread_mutex_unlock(&list->lock);
    return count;
}

size_t bus_cleanup(struct bus *bus)
{
    struct subscriber_list *list = &bus->subscribers;
    size_t count = 0;
    pthread_mutex_lock(&list->lock);
    for (struct subscriber *next = list->first; next != NULL;) {
        struct subscriber *at = next;
        next = at->next;
        const bool ended = at->stage == SUBSCRIBER_DONE || at->stage == SUBSCRIBER_ABANDONED;
        if (!ended || at->holds > 0 || is_busy(list, at->id))
            continue;
        remove_subscriber(list, at);
        count++;
        let_go(at);
    }
    pthread_mutex_unlock(&list->lock);
    return count;
}

/* --- the bus's own questions --- */

void subscribers_save(struct bus *bus)
{
    struct subscriber_list *list = &bus->subscribers;
    pthread_mutex_lock(&list->lock);
    for (struct subscriber *subscriber = list->first; subscriber != NULL;) {
        const int64_t id = subscriber->id; /* saving gives up the lock, and what is listed may change */
        subscriber->holds++;
        const struct status status = save_held(list, subscriber);
        if (!status_is_ok(&status))
            subscriber->shown.failure = status;
        subscriber->holds--;
        pthread_cond_broadcast(&list->quiet);
        if (subscriber->stage == SUBSCRIBER_REMOVED && subscriber->holds == 0)
            let_go(subscriber);
        subscriber = list->first;
        while (subscriber != NULL && subscriber->id <= id)
            subscriber = subscriber->next;
    }
    pthread_mutex_unlock(&list->lock);
}

int64_t subscribers_durable_position(struct bus *bus, int64_t head)
{
    struct subscriber_list *list = &bus->subscribers;
    int64_t least = head;
    pthread_mutex_lock(&list->lock);
    const struct subscriber *at = list->durable_count == 0 ? NULL : list->first;
    for (; at != NULL; at = at->next)
        if (at->stage == SUBSCRIBER_LIVE && is_durable(at) && at->shown.position < least)
            least = at->shown.position;
    pthread_mutex_unlock(&list->lock);
    return least;
}

static int64_t lag_of(const struct subscriber *subscriber)
{
    const int64_t head = bus_head(subscriber->bus);
    return head > subscriber->shown.position ? head - subscriber->shown.position : 0;
}

void subscribers_count(struct bus *bus, struct bus_stats *stats)
{
    struct subscriber_list *list = &bus->subscribers;
    pthread_mutex_lock(&list->lock);
    for (const struct subscriber *at = list->first; at != NULL; at = at->next) {
        stats->failures += at->shown.failures;
        stats->handlers += at->stage == SUBSCRIBER_LIVE;
        stats->standby += subscriber_stands_by(at);
        stats->ended += at->stage == SUBSCRIBER_DONE || at->stage == SUBSCRIBER_ABANDONED;
        if (at->stage == SUBSCRIBER_LIVE && !subscriber_stands_by(at) && lag_of(at) > stats->lag_max)
            stats->lag_max = lag_of(at);
    }
    pthread_mutex_unlock(&list->lock);
}

struct status subscribers_health(struct bus *bus)
{
    struct subscriber_list *list = &bus->subscribers;
    struct status status = status_ok();
    pthread_mutex_lock(&list->lock);
    for (const struct subscriber *at = list->first; at != NULL && status_is_ok(&status); at = at->next)
        if (at->stage == SUBSCRIBER_LIVE && is_durable(at) && !status_is_ok(&at->shown.failure))
            status = at->shown.failure;
    pthread_mutex_unlock(&list->lock);
    return status;
}
