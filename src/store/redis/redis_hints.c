/*
 * Wake-up hints. One thread waits for what others publish and publishes what it is told:
 *
 *   tell ──► position, eventfd ──►  thread  ──PUBLISH──► Redis ──► threads of all replicas ──► heard
 *
 * Publishing goes over a connection of its own, for one that has subscribed takes no other command.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "redis_internal.h"

/* A connection over which nothing came for so long is asked whether it lives, and dropped when it says nothing. */
#define QUIET_US     INT64_C(10000000)
#define NO_ANSWER_US INT64_C(5000000)

struct redis_hints {
    struct redis *redis;
    struct redis_hint_listener listener;
    struct buffer channel; /* immutable after the start */
    pthread_t thread;
    int wake_fd;
    atomic_bool stopping;
    _Atomic int64_t to_tell; /* 0 = nothing */

    pthread_mutex_t lock; /* a leaf; guards the next two */
    struct status deaf;   /* OK, or why nothing can be heard */
    struct status mute;   /* OK, or why the last hint was not told */

    struct redis_link subscription; /* the thread's, as all below */
    bool listening;
    int64_t heard_at_us; /* monotonic: when anything came */
    bool asked;          /* whether it lives, since then */
    int64_t untold;      /* 0 = none */
};

/* ---- hearing ---- */

static void set_listening(struct redis_hints *hints, bool yes)
{
    if (hints->listening != yes)
        hints->listener.listening(hints->listener.context, yes);
    hints->listening = yes;
}

static void note(struct redis_hints *hints, struct status *place, struct status status)
{
    pthread_mutex_lock(&hints->lock);
    *place = status;
    pthread_mutex_unlock(&hints->lock);
}

struct status redis_hints_health(struct redis_hints *hints)
{
    if (hints == NULL)
        return status_ok();
    pthread_mutex_lock(&hints->lock);
    const struct status status = hints->deaf.code != STATUS_OK ? hints->deaf : hints->mute;
    pthread_mutex_unlock(&hints->lock);
    return status;
}

static void drop_subscription(struct redis_hints *hints, const struct status *why)
{
    note(hints, &hints->deaf, *why);
    redis_link_drop(&hints->subscription);
    redis_breaker_failed(hints->redis, &hints->redis->reach, why);
    set_listening(hints, false);
}

static struct status subscribe(struct redis_hints *hints)
{
    const struct bytes words[] = {BYTES_LITERAL("SUBSCRIBE"), buffer_bytes(&hints->channel)};
    const struct redis_command command = {words, 2};
    redisReply *reply = NULL;
    STATUS_TRY(redis_link_connect(&hints->subscription));
    STATUS_TRY(redis_link_run(&hints->subscription, &command, 1, &reply));
    freeReplyObject(reply);
    return status_ok();
}

static void try_to_subscribe(struct redis_hints *hints)
{
    struct redis *redis = hints->redis;
    const struct status may = redis_breaker_may_try(redis, &redis->reach);
    if (may.code != STATUS_OK)
        return;
    const struct status status = subscribe(hints);
    if (status.code != STATUS_OK) {
        drop_subscription(hints, &status);
        return;
    }
    redis_breaker_succeeded(redis, &redis->reach);
    hints->heard_at_us = clock_monotonic_us(redis->clock);
    hints->asked = false;
    note(hints, &hints->deaf, status_ok());
    set_listening(hints, true);
}

/* ["message", channel, position]; all else is an answer to us. */
static void take_message(struct redis_hints *hints, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[2]->type != REDIS_REPLY_STRING ||
        !bytes_equal(redis_reply_bytes(reply->element[0]), BYTES_LITERAL("message")))
        return;
    const int64_t position = strtoll(reply->element[2]->str, NULL, 10);
    if (position > 0)
        hints->listener.heard(hints->listener.context, position);
}

static void hear(struct redis_hints *hints)
{
    for (;;) {
        redisReply *reply = NULL;
        const struct status status = redis_link_receive(&hints->subscription, 0, &reply);
        if (status.code != STATUS_OK)
            drop_subscription(hints, &status);
        if (reply == NULL)
            return;
        hints->heard_at_us = clock_monotonic_us(hints->redis->clock);
        hints->asked = false;
        take_message(hints, reply);
        freeReplyObject(reply);
    }
}

/* Asks a quiet connection for a sign of life; one that gives none is dropped. */
static void look_after(struct redis_hints *hints)
{
    const int64_t quiet_us = clock_monotonic_us(hints->redis->clock) - hints->heard_at_us;
    const struct bytes words[] = {BYTES_LITERAL("PING")};
    const struct redis_command ping = {words, 1};
    struct status status = status_ok();
    if (!hints->asked && quiet_us >= QUIET_US) {
        hints->asked = true;
        status = redis_link_send(&hints->subscription, &ping, 1);
    } else if (hints->asked && quiet_us >= QUIET_US + NO_ANSWER_US) {
        status = status_reason(REASON_STORE_UNREACHABLE, "Redis has fallen silent on the channel of hints");
    }
    if (status.code != STATUS_OK)
        drop_subscription(hints, &status);
}

/* ---- telling ---- */

/* One that fails is told later, if no other comes before that: late as it is, it shows whether hints go out again. */
static void publish(struct redis_hints *hints)
{
    char text[24];
    const int64_t newest = atomic_exchange(&hints->to_tell, 0);
    const int64_t position = newest > hints->untold ? newest : hints->untold;
    if (position == 0)
        return;
    (void)snprintf(text, sizeof text, "%" PRId64, position); /* fits */
    const struct bytes words[] = {BYTES_LITERAL("PUBLISH"), buffer_bytes(&hints->channel),
                                  bytes_of_text(text)};
    redisReply *reply = NULL;
    const struct status status = redis_run_one(hints->redis, REDIS_WRITES, words, ARRAY_COUNT(words), &reply);
    note(hints, &hints->mute, status);
    hints->untold = status.code == STATUS_OK ? 0 : position;
    if (status.code == STATUS_OK)
        freeReplyObject(reply);
}

void redis_hints_tell(struct redis_hints *hints, int64_t position)
{
    if (hints == NULL)
        return;
    /* Whoever found nothing to tell wakes the thread; positions of later calls go with it. */
    int64_t before = atomic_load(&hints->to_tell);
    while (position > before && !atomic_compare_exchange_weak(&hints->to_tell, &before, position))
        ;
    if (before == 0)
        (void)eventfd_write(hints->wake_fd, 1); /* fails only for a counter that is full, which wakes too */
}

/* ---- the thread ---- */

/* How long to wait for something to happen: until the next try or look. */
#define WAIT_MS 100

static void wait_for_something(struct redis_hints *hints)
{
    eventfd_t count = 0;
    struct pollfd fds[] = {{.fd = hints->wake_fd, .events = POLLIN},
                           {.fd = hints->subscription.socket.fd, .events = POLLIN}};
    /* Without a connection, hints from us may be all there is to do for long; with one, its silence is to be seen. */
    const int ready = poll(fds, hints->listening ? 2 : 1, hints->listening ? 1000 : WAIT_MS);
    if (ready <= 0)
        return;
    if (fds[0].revents != 0)
        (void)eventfd_read(hints->wake_fd, &count); /* there is nothing else in it */
}

static void *hints_main(void *context)
{
    struct redis_hints *hints = context;
    while (!atomic_load(&hints->stopping)) {
        if (!hints->listening)
            try_to_subscribe(hints);
        wait_for_something(hints);
        publish(hints);
        if (hints->listening)
            hear(hints);
        if (hints->listening)
            look_after(hints);
    }
    return NULL;
}

static void hints_free(struct redis_hints *hints)
{
    redis_link_drop(&hints->subscription);
    if (hints->wake_fd >= 0)
        (void)close(hints->wake_fd);
    buffer_done(&hints->channel);
    (void)pthread_mutex_destroy(&hints->lock);
    redis_free(hints->redis);
    free(hints);
}

static struct status start_thread(struct redis_hints *hints)
{
    const struct redis_settings *settings = &hints->redis->settings;
    buffer_printf(&hints->channel, "%s:%s:head", settings->key_prefix, settings->store_id);
    STATUS_TRY(buffer_status(&hints->channel));
    hints->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (hints->wake_fd < 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no descriptor for hints between replicas");
    const int error = pthread_create(&hints->thread, NULL, hints_main, hints);
    if (error != 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "the thread of hints could not start: error %d",
                            error);
    return status_ok();
}

struct status redis_hints_start(const struct redis_options *options,
                                const struct redis_hint_listener *listener, const struct clock *clock,
                                struct log *log, struct redis_hints **ret)
{
    struct redis_hints *hints = calloc(1, sizeof *hints);
    if (hints == NULL)
        return redis_no_memory();
    hints->listener = *listener;
    hints->deaf = hints->mute = status_ok();
    (void)pthread_mutex_init(&hints->lock, NULL); /* fails only for attributes that are not used */
    hints->wake_fd = -1;
    hints->subscription.socket.fd = -1;
    struct status status = redis_new(options, "hints between replicas", clock, log, &hints->redis);
    if (status.code == STATUS_OK) {
        hints->subscription.redis = hints->redis;
        status = start_thread(hints);
    }
    if (status.code != STATUS_OK)
        hints_free(hints);
    else
        *ret = hints;
    return status;
}

void redis_hints_stop(struct redis_hints *hints)
{
    if (hints == NULL)
        return;
    atomic_store(&hints->stopping, true);
    (void)eventfd_write(hints->wake_fd, 1);
    (void)pthread_join(hints->thread, NULL); /* it was started */
    hints_free(hints);
}
