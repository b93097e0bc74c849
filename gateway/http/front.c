#include "gateway/http/front.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "gateway/http/front_internal.h"

#define EVENTS_A_ROUND 256
#define SLEEP_MAX_MS   1000 /* wakes now and then, whatever the timers say */
#define SECOND_US      INT64_C(1000000)

/* The front whose loop this thread is: calls made from inside need no wake-up. */
static _Thread_local const struct front *running;

/* --- references and the inbox --- */

void front_ref(struct front *front)
{
    atomic_fetch_add(&front->references, 1);
}

static void texts_free(const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)texts[i]); /* our own copies */
    free((void *)(uintptr_t)texts);
}

void front_unref(struct front *front)
{
    if (atomic_fetch_sub(&front->references, 1) != 1)
        return;
    listener_close(front);
    if (front->epoll_fd >= 0)
        close(front->epoll_fd);
    if (front->wake_fd >= 0)
        close(front->wake_fd);
    while (front->arena_count > 0)
        arena_free(front->arenas[--front->arena_count]);
    texts_free(front->options.allowed_hosts, front->options.allowed_host_count);
    texts_free(front->options.allowed_origins, front->options.allowed_origin_count);
    free((void *)(uintptr_t)front->options.bind_address);
    free((void *)(uintptr_t)front->options.websocket_path);
    pthread_mutex_destroy(&front->inbox_lock);
    free(front);
}

struct arena *front_arena_take(struct front *front)
{
    if (running != front || front->arena_count == 0)
        return arena_new(REQUEST_ARENA_MAX_BYTES);
    return front->arenas[--front->arena_count];
}

void front_arena_give(struct front *front, struct arena *arena)
{
    if (running != front || front->arena_count == SPARE_ARENAS_MAX) {
        arena_free(arena);
        return;
    }
    arena_reset(arena);
    front->arenas[front->arena_count++] = arena;
}

static void front_wake(struct front *front)
{
    const uint64_t one = 1;
    (void)!write(front->wake_fd, &one, sizeof one); /* EAGAIN means that it is awake anyway */
}

void front_post(struct front *front, struct http_exchange *exchange)
{
    pthread_mutex_lock(&front->inbox_lock);
    const bool closed = front->closed;
    bool wake = false;
    if (!closed && !exchange->posted) {
        exchange->posted = true;
        exchange->next_posted = NULL;
        exchange_ref(exchange);
        wake = front->first_posted == NULL;
        if (wake)
            front->first_posted = exchange;
        else
            front->last_posted->next_posted = exchange;
        front->last_posted = exchange;
    }
    pthread_mutex_unlock(&front->inbox_lock);
    if (closed)
        (void)exchange_process(exchange); /* nobody counts any more */
    else if (wake && running != front)
        front_wake(front);
}

static void inbox_process(struct front *front)
{
    pthread_mutex_lock(&front->inbox_lock);
    struct http_exchange *at = front->first_posted;
    front->first_posted = NULL;
    front->last_posted = NULL;
    pthread_mutex_unlock(&front->inbox_lock);
    while (at != NULL) {
        /* Only now may it be posted again: its link is in use until here, and what is
         * written from here on must not be overlooked. */
        pthread_mutex_lock(&front->inbox_lock);
        struct http_exchange *next = at->next_posted;
        at->posted = false;
        pthread_mutex_unlock(&front->inbox_lock);
        if (exchange_process(at))
            front->exchange_count--;
        exchange_unref(at);
        at = next;
    }
}

static void unsettled_settle(struct front *front)
{
    while (!link_is_alone(&front->unsettled)) {
        struct connection *connection = LINK_OWNER(front->unsettled.next, struct connection, unsettled);
        link_remove(&connection->unsettled);
        connection->protocol->settle(connection);
    }
}

/* --- time --- */

static void timers_run(struct front *front)
{
    for (size_t kind = 0; kind < TIMER_KINDS; kind++) {
        while (!link_is_alone(&front->timers[kind])) {
            struct connection *first = LINK_OWNER(front->timers[kind].next, struct connection, timer);
            if (first->timer_due_us > front->now_us)
                break;
            first->protocol->timeout(first);
            assert(first->timer_kind != kind || first->timer_due_us > front->now_us);
        }
    }
    if (front->accept_paused_until_us != 0 && front->now_us >= front->accept_paused_until_us)
        listener_resume(front);
}

static void sooner(int64_t due_us, int64_t *least_us)
{
    if (due_us < *least_us)
        *least_us = due_us;
}

static int sleep_ms(struct front *front)
{
    pthread_mutex_lock(&front->inbox_lock);
    const bool posted = front->first_posted != NULL;
    pthread_mutex_unlock(&front->inbox_lock);
    if (posted)
        return 0;
    int64_t due_us = front->now_us + SLEEP_MAX_MS * INT64_C(1000);
    for (size_t kind = 0; kind < TIMER_KINDS; kind++)
        if (!link_is_alone(&front->timers[kind]))
            sooner(LINK_OWNER(front->timers[kind].next, struct connection, timer)->timer_due_us, &due_us);
    if (front->accept_paused_until_us != 0)
        sooner(front->accept_paused_until_us, &due_us);
    if (front->draining)
        sooner(front->connection_count > 0 ? front->drain_due_us : front->abandon_due_us, &due_us);
    if (due_us <= front->now_us)
        return 0;
    return (int)((due_us - front->now_us + 999) / 1000);
}

const char *front_date(struct front *front)
{
    const int64_t second = clock_now_us(front->clock) / SECOND_US;
    if (second == front->date_second)
        return front->date;
    /* strftime would follow the locale. */
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm parts;
    const time_t time = (time_t)second;
    if (gmtime_r(&time, &parts) == NULL)
        return "Thu, 01 Jan 1970 00:00:00 GMT";
    (void)snprintf(front->date, sizeof front->date, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                   days[parts.tm_wday % 7], (unsigned)parts.tm_mday % 100, months[parts.tm_mon % 12],
                   (unsigned)(parts.tm_year + 1900) % 10000, (unsigned)parts.tm_hour % 100,
                   (unsigned)parts.tm_min % 100, (unsigned)parts.tm_sec % 100);
    front->date_second = second;
    return front->date;
}

/* --- the loop --- */

static void connections_each(struct front *front, void (*visit)(struct connection *))
{
    struct link *next;
    for (struct link *at = front->connections.next; at != &front->connections; at = next) {
        next = at->next;
        visit(LINK_OWNER(at, struct connection, all));
    }
}

static void freed_free(struct front *front)
{
    while (!link_is_alone(&front->freed)) {
        struct connection *connection = LINK_OWNER(front->freed.next, struct connection, all);
        link_remove(&connection->all);
        connection->protocol->free(connection);
    }
}

static void connection_drain(struct connection *connection)
{
    connection->protocol->drain(connection);
}

static void drain_begin(struct front *front)
{
    front->draining = true;
    front->drain_due_us = front->now_us + atomic_load(&front->drain_ms) * 1000;
    front->abandon_due_us = front->drain_due_us + FRONT_ABANDON_MS * INT64_C(1000);
    listener_close(front);
    if (front->options.handler->on_drain != NULL)
        front->options.handler->on_drain(front->options.context);
    connections_each(front, connection_drain);
}

/* False: everything is done, or has had its time. */
static bool drain_goes_on(struct front *front)
{
    if (front->connection_count > 0 && front->now_us >= front->drain_due_us)
        connections_each(front, connection_reset);
    if (front->connection_count > 0)
        return true;
    if (front->exchange_count == 0)
        return false;
    if (front->now_us < front->abandon_due_us)
        return true;
    log_warn(front->log, "requests are still running, stopping without their end",
             LOG_INT("requests", front->exchange_count));
    return false;
}

static void events_handle(struct front *front, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == &front->listen_fd) {
            listener_accept(front);
        } else if (events[i].data.ptr == &front->wake_fd) {
            uint64_t wakes;
            (void)!read(front->wake_fd, &wakes, sizeof wakes); /* only empties it */
        } else {
            struct connection *connection = events[i].data.ptr;
            if (connection->fd >= 0) /* else it was closed by an event before this one */
                connection->protocol->event(connection, events[i].events);
        }
    }
}

static void *front_run(void *context)
{
    struct front *front = context;
    running = front;
    struct epoll_event events[EVENTS_A_ROUND];
    for (;;) {
        const int count = epoll_wait(front->epoll_fd, events, EVENTS_A_ROUND, sleep_ms(front));
        front->now_us = clock_monotonic_us(front->clock);
        if (count > 0)
            events_handle(front, events, count);
        inbox_process(front);
        unsettled_settle(front);
        timers_run(front);
        if (!front->draining && atomic_load(&front->stopping))
            drain_begin(front);
        const bool go_on = !front->draining || drain_goes_on(front);
        freed_free(front);
        if (!go_on)
            break;
    }
    pthread_mutex_lock(&front->inbox_lock);
    front->closed = true;
    pthread_mutex_unlock(&front->inbox_lock);
    inbox_process(front); /* what was posted before it closed */
    freed_free(front);
    return NULL;
}

/* --- start and stop --- */

static size_t size_or(size_t value, size_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static int64_t us_or(int64_t value_ms, int64_t otherwise_ms)
{
    return (value_ms == 0 ? otherwise_ms : value_ms) * 1000;
}

static void limits_fill(struct front *front, const struct front_limits *given)
{
    front->limits = (struct request_limits){
        .target_max_bytes = size_or(given->target_max_bytes, (size_t)8 * 1024),
        .header_max_bytes = size_or(given->header_max_bytes, (size_t)16 * 1024),
        .header_max_count = size_or(given->header_max_count, 100),
        .body_max_bytes = size_or(given->body_max_bytes, (size_t)12 * 1024 * 1024),
    };
    front->options.limits.connections_max = size_or(given->connections_max, 10000);
    front->timeout_us[TIMER_IDLE] = us_or(given->idle_timeout_ms, 75000);
    front->timeout_us[TIMER_HEAD] = us_or(given->header_timeout_ms, 10000);
    front->timeout_us[TIMER_BODY] = us_or(given->body_timeout_ms, 60000);
    front->timeout_us[TIMER_WRITE] = us_or(given->write_timeout_ms, 60000);
    front->timeout_us[TIMER_LINGER] = LINGER_MS * INT64_C(1000);
}

/* NULL when out of memory; what was copied by then is lost, as is the process. */
static const char *const *texts_copy(const char *const *texts, size_t count)
{
    char **copies = calloc(count + 1, sizeof *copies);
    for (size_t i = 0; copies != NULL && i < count; i++)
        copies[i] = strdup(texts[i]);
    return (const char *const *)copies;
}

static struct front *front_make(const struct front_options *options, struct log *log,
                                const struct clock *clock, const struct entropy *entropy)
{
    struct front *front = calloc(1, sizeof *front);
    if (front == NULL)
        return NULL;
    atomic_init(&front->references, 1);
    pthread_mutex_init(&front->inbox_lock, NULL);
    front->log = log;
    front->clock = clock;
    front->entropy = entropy;
    front->listen_fd = -1;
    front->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    front->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    front->date_second = INT64_MIN;
    front->now_us = clock_monotonic_us(clock);
    link_init(&front->connections);
    link_init(&front->freed);
    link_init(&front->unsettled);
    for (size_t i = 0; i < TIMER_KINDS; i++)
        link_init(&front->timers[i]);
    front->options = *options;
    front->options.bind_address = strdup(options->bind_address == NULL ? "127.0.0.1" : options->bind_address);
    front->options.websocket_path = strdup(options->websocket_path == NULL ? "/ws" : options->websocket_path);
    front->options.allowed_hosts = texts_copy(options->allowed_hosts, options->allowed_host_count);
    front->options.allowed_origins = texts_copy(options->allowed_origins, options->allowed_origin_count);
    limits_fill(front, &options->limits);
    return front;
}

struct status front_start(const struct front_options *options, struct log *log, const struct clock *clock,
                          const struct entropy *entropy, struct front **ret)
{
    assert(options->handler != NULL);
    assert(options->handler->on_request != NULL);
    struct front *front = front_make(options, log, clock, entropy);
    if (front == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the HTTP front");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &front->wake_fd};
    struct status status = status_ok();
    if (front->epoll_fd < 0 || front->wake_fd < 0 ||
        epoll_ctl(front->epoll_fd, EPOLL_CTL_ADD, front->wake_fd, &event) < 0)
        status =
            status_error(STATUS_RESOURCE_EXHAUSTED, "no descriptors for the HTTP front: %s", strerror(errno));
    if (status_is_ok(&status))
        status = listener_open(front);
    if (status_is_ok(&status)) {
        const int error = pthread_create(&front->thread, NULL, front_run, front);
        if (error != 0)
            status =
                status_error(STATUS_RESOURCE_EXHAUSTED, "no thread for the HTTP front: %s", strerror(error));
    }
    if (!status_is_ok(&status)) {
        front_unref(front);
        return status;
    }
    *ret = front;
    return status_ok();
}

uint16_t front_port(const struct front *front)
{
    return front->port;
}

struct front_counts front_counts(const struct front *front)
{
    return (struct front_counts){
        .connections = atomic_load(&front->connections_now),
        .accepted = atomic_load(&front->accepted),
        .requests = atomic_load(&front->requests),
        .refused = atomic_load(&front->refused),
    };
}

void front_stop(struct front *front, int64_t drain_ms)
{
    if (front == NULL)
        return;
    atomic_store(&front->drain_ms, drain_ms);
    atomic_store(&front->stopping, true);
    front_wake(front);
    pthread_join(front->thread, NULL);
    front_unref(front);
}
